//! File systems of which the events could not be told apart.

use std::collections::HashMap;

/// What all handles of a file system begin with: its number, and the length and type of what follows. (An overlay can have the
/// number of the file system that its upper layer is on; its handles have a type of their own.)
type Head = [u8; 16];

/// The devices that what is watched is on, by how their handles begin.
#[derive(Debug, Default)]
pub(super) struct Devices {
    by_head: HashMap<Head, libc::dev_t>,
}

impl Devices {
    /// Whether handles like this one are of this device alone. The first that comes has them. What has no number takes no marks.
    pub fn is_one(&mut self, handle: &[u8], device: libc::dev_t) -> bool {
        let head = handle.first_chunk::<16>();
        let head = head.filter(|_| !handle.starts_with(&[0; 8]));
        head.is_none_or(|head| *self.by_head.entry(*head).or_insert(device) == device)
    }

    /// Lets go of all others.
    pub fn retain(&mut self, mounted: impl Fn(libc::dev_t) -> bool) {
        self.by_head.retain(|_, device| mounted(*device));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(number: u8, kind: u8) -> [u8; 24] {
        let mut handle = [0; 24];
        (handle[0], handle[12]) = (number, kind);
        handle
    }

    #[test]
    fn a_copy_of_a_file_system_is_told_from_it_by_its_device() {
        let mut devices = Devices::default();
        assert!(devices.is_one(&handle(1, 1), 10) && devices.is_one(&handle(1, 1), 10));
        assert!(!devices.is_one(&handle(1, 1), 11));
        assert!(devices.is_one(&handle(1, 0xf8), 12), "an overlay above it");
        assert!(devices.is_one(&handle(2, 1), 11));
        devices.retain(|device| device != 10);
        assert!(devices.is_one(&handle(1, 1), 11), "the first is gone");
    }

    #[test]
    fn what_has_no_number_is_left_to_the_kernel() {
        let mut devices = Devices::default();
        for handle in [&b"short"[..], b"", &handle(0, 1)] {
            assert!(devices.is_one(handle, 1) && devices.is_one(handle, 2));
        }
    }
}
