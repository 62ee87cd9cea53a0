//! POSIX access control lists as the kernel gives them: `struct posix_acl_xattr_header` and `_entry` of
//! `linux/posix_acl_xattr.h`, all little endian.

use fimk_core::record::{AclEntry, AclWho};

const VERSION: u32 = 2;

/// The entries in the kernel's order; none for bytes that are no list.
pub(super) fn entries(value: &[u8]) -> Option<Vec<AclEntry>> {
    let (version, rest) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let (entries, rest) = rest.as_chunks::<8>();
    if !rest.is_empty() {
        return None;
    }
    entries.iter().copied().map(entry).collect()
}

fn entry([tag, tag_high, permissions, permissions_high, id @ ..]: [u8; 8]) -> Option<AclEntry> {
    let id = u32::from_le_bytes(id);
    let who = match u16::from_le_bytes([tag, tag_high]) {
        0x01 => AclWho::Owner,
        0x02 => AclWho::User(id),
        0x04 => AclWho::OwningGroup,
        0x08 => AclWho::Group(id),
        0x10 => AclWho::Mask,
        0x20 => AclWho::Other,
        _ => return None,
    };
    (permissions_high == 0 && permissions <= 7).then_some(AclEntry { who, permissions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_nonsense_is_none() {
        let list = [
            2, 0, 0, 0, 2, 0, 6, 0, 0xe8, 3, 0, 0, 0x10, 0, 4, 0, 255, 255, 255, 255,
        ];
        let user = AclEntry {
            who: AclWho::User(1000),
            permissions: 6,
        };
        let mask = AclEntry {
            who: AclWho::Mask,
            permissions: 4,
        };
        assert_eq!(entries(&list), Some(vec![user, mask]));
        assert_eq!(entries(&list[..4]), Some(Vec::new()));
        for at in 0..list.len() {
            if at != 4 && at != 12 {
                assert_eq!(entries(&list[..at]), None, "cut to {at}");
            }
            let mut odd = list;
            odd[at] = 0xff;
            let _ = entries(&odd);
        }
        assert_eq!(entries(&[3, 0, 0, 0]), None);
    }
}
