//! What a read of a fanotify group returns, from bytes. Pure: no descriptor is touched here.
//!
//! An event is `struct fanotify_event_metadata` (24 bytes) and information records, each a header of 4 bytes (type, pad,
//! length) and its content. All numbers are the machine's own.

use nix::sys::fanotify::{FANOTIFY_METADATA_VERSION, MaskFlags};

const METADATA_BYTES: usize = 24;
const HEADER_BYTES: usize = 4;
/// `fsid`, length and type of the handle.
const HANDLE_HEAD_BYTES: usize = 16;

/// One event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    pub mask: u64,
    pub fd: i32,
    pub pid: i32,
    pub pidfd: Option<i32>,
    entry: Option<Entry<'a>>,
    old: Option<Entry<'a>>,
    new: Option<Entry<'a>>,
    /// The handle of the object itself.
    pub object: Option<&'a [u8]>,
    /// The first error of a file system since it was last told of one, and how many there were.
    pub error: Option<(i32, u32)>,
}

/// A directory and an entry of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// File system, length, type and bytes of the handle, as in the record: the key of our table.
    pub handle: &'a [u8],
    /// Empty for the directory itself.
    pub name: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Where the object was and where it is. Of what is not a move, only the second; a `FAN_MOVED_FROM` has only the
    /// first, unless the kernel merged it with something else on the same name.
    pub fn sides(&self) -> (Option<Entry<'a>>, Option<Entry<'a>>) {
        let from = MaskFlags::FAN_MOVED_FROM.bits();
        let entry = self.new.or(self.entry);
        if self.mask & from == 0 {
            return (self.old, entry);
        }
        let only_from = self.mask & !(from | MaskFlags::FAN_ONDIR.bits()) == 0;
        (self.old.or(self.entry), entry.filter(|_| !only_from))
    }
}

/// The events in one buffer. Ends early at what is not an event.
pub(super) struct Events<'a> {
    rest: &'a [u8],
    malformed: bool,
}

impl<'a> Events<'a> {
    pub fn of(buffer: &'a [u8]) -> Self {
        Self {
            rest: buffer,
            malformed: false,
        }
    }

    /// Whether it ended early.
    pub fn malformed(&self) -> bool {
        self.malformed
    }

    fn event(&mut self) -> Option<Raw<'a>> {
        let length = usize::try_from(u32_at(self.rest, 0)?).ok()?;
        let head = usize::from(u16::from_ne_bytes(array_at(self.rest, 6)?));
        let whole = self.rest.get(..length)?;
        if self.rest.get(4) != Some(&FANOTIFY_METADATA_VERSION) || head < METADATA_BYTES {
            return None;
        }
        let mut raw = Raw {
            mask: u64::from_ne_bytes(array_at(whole, 8)?),
            fd: i32_at(whole, 16)?,
            pid: i32_at(whole, 20)?,
            ..Raw::default()
        };
        let mut records = whole.get(head..)?;
        while !records.is_empty() {
            let length = usize::from(u16::from_ne_bytes(array_at(records, 2)?));
            let content = records.get(HEADER_BYTES..length)?;
            raw.record(*records.first()?, content)?;
            records = records.get(length..)?;
        }
        self.rest = self.rest.get(length..)?;
        Some(raw)
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        if self.rest.is_empty() || self.malformed {
            return None;
        }
        let event = self.event();
        self.malformed = event.is_none();
        event
    }
}

impl<'a> Raw<'a> {
    /// None if the record is too short for its type. A type that is not known says nothing to us.
    fn record(&mut self, kind: u8, content: &'a [u8]) -> Option<()> {
        match kind {
            libc::FAN_EVENT_INFO_TYPE_FID => self.object = Some(entry(content)?.handle),
            libc::FAN_EVENT_INFO_TYPE_DFID | libc::FAN_EVENT_INFO_TYPE_DFID_NAME => {
                self.entry = Some(entry(content)?);
            }
            libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => self.old = Some(entry(content)?),
            libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => self.new = Some(entry(content)?),
            libc::FAN_EVENT_INFO_TYPE_PIDFD => self.pidfd = Some(i32_at(content, 0)?),
            libc::FAN_EVENT_INFO_TYPE_ERROR => {
                self.error = Some((i32_at(content, 0)?, u32_at(content, 4)?));
            }
            _ => {}
        }
        Some(())
    }
}

/// A handle and, behind it, a name ended by NUL (and padded with more). `.` is the directory itself.
fn entry(content: &[u8]) -> Option<Entry<'_>> {
    let length = usize::try_from(u32_at(content, 8)?).ok()?;
    let (handle, name) = content.split_at_checked(HANDLE_HEAD_BYTES.checked_add(length)?)?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    Some(Entry {
        handle,
        name: if name == b"." { &[] } else { name },
    })
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_ne_bytes)
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array_at(bytes, at).map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + HEADER_BYTES).unwrap_or(0);
        [&[kind, 0], &length.to_ne_bytes()[..], content].concat()
    }

    fn named(kind: u8, directory: u8, name: &[u8]) -> Vec<u8> {
        let handle = [
            &[directory; 8][..],
            &4u32.to_ne_bytes(),
            &1i32.to_ne_bytes(),
            &[directory; 4],
        ]
        .concat();
        record(kind, &[&handle, name, &[0, 0]].concat())
    }

    fn event(mask: u64, records: &[Vec<u8>]) -> Vec<u8> {
        let records = records.concat();
        let length = u32::try_from(METADATA_BYTES + records.len()).unwrap_or(0);
        let head = [
            &length.to_ne_bytes()[..],
            &[FANOTIFY_METADATA_VERSION, 0],
            &24u16.to_ne_bytes(),
        ]
        .concat();
        [
            &head,
            &mask.to_ne_bytes()[..],
            &(-1i32).to_ne_bytes(),
            &42i32.to_ne_bytes(),
            &records,
        ]
        .concat()
    }

    #[test]
    fn both_sides_of_a_rename_and_a_pidfd_are_found() {
        let bytes = event(
            MaskFlags::FAN_RENAME.bits(),
            &[
                named(libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, 1, b"a"),
                named(libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, 2, b"b"),
                record(libc::FAN_EVENT_INFO_TYPE_PIDFD, &9i32.to_ne_bytes()),
                record(200, b"of a later kernel"),
            ],
        );
        let mut events = Events::of(&bytes);
        let raw = events.next().unwrap_or_default();
        assert_eq!((raw.pid, raw.fd, raw.pidfd), (42, -1, Some(9)));
        let (old, new) = raw.sides();
        assert_eq!(
            old.map(|side| (side.name, side.handle[0])),
            Some((&b"a"[..], 1))
        );
        assert_eq!(
            new.map(|side| (side.name, side.handle[0])),
            Some((&b"b"[..], 2))
        );
        assert_eq!((events.next(), events.malformed()), (None, false));
    }

    #[test]
    fn what_left_a_directory_is_on_the_old_side_only() {
        let bytes = event(
            MaskFlags::FAN_MOVED_FROM.bits(),
            &[named(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, 1, b"a")],
        );
        let (old, new) = Events::of(&bytes).next().unwrap_or_default().sides();
        assert!(old.is_some() && new.is_none());
        let both = MaskFlags::FAN_MOVED_FROM | MaskFlags::FAN_CREATE;
        let bytes = event(
            both.bits(),
            &[named(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, 1, b"a")],
        );
        let (old, new) = Events::of(&bytes).next().unwrap_or_default().sides();
        assert!(old.is_some() && new.is_some());
    }

    #[test]
    fn every_cut_of_an_event_is_malformed_and_ends_the_buffer() {
        let bytes = event(2, &[named(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, 1, b"name")]);
        for length in 1..bytes.len() {
            let mut events = Events::of(&bytes[..length]);
            assert_eq!((events.next(), events.malformed()), (None, true));
        }
    }

    #[test]
    fn no_bytes_make_decode_panic_or_run_for_ever() {
        let valid = event(2, &[named(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, 1, b"name")]).repeat(3);
        // A xorshift: the same bytes at every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..200_000 {
            let mut bytes = valid.clone();
            for _ in 0..=random() % 4 {
                let at = usize::try_from(random() % bytes.len() as u64).unwrap_or(0);
                bytes[at] = random().to_le_bytes()[0];
            }
            assert!(Events::of(&bytes).count() <= bytes.len() / METADATA_BYTES);
            let noise: Vec<u8> = (0..random() % 64)
                .map(|_| random().to_le_bytes()[0])
                .collect();
            assert!(Events::of(&noise).count() <= 2);
        }
    }
}
