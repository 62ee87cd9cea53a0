//! `security.capability` in words: `struct vfs_cap_data` of linux/capability.h, little endian.

/// Names by number.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

const REVISION_1: u32 = 0x0100_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const EFFECTIVE: u32 = 1;

/// As `cap_text_formats`(7) has it: `cap_net_raw+ep`. With the user that is root of the namespace they are for,
/// where there is one.
pub(super) fn words(value: &[u8]) -> String {
    parsed(value).unwrap_or_else(|| format!("{} bytes that are no capabilities", value.len()))
}

fn parsed(value: &[u8]) -> Option<String> {
    let (words, rest) = value.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (&magic, words) = words.split_first()?;
    let (permitted, inheritable, root) = match (magic & !EFFECTIVE, words) {
        (REVISION_1, &[permitted, inheritable]) => (permitted.into(), inheritable.into(), None),
        (REVISION_2, &[p, i, p_high, i_high]) => (wide(p, p_high), wide(i, i_high), None),
        (REVISION_3, &[p, i, p_high, i_high, root]) => {
            (wide(p, p_high), wide(i, i_high), Some(root))
        }
        _ => return None,
    };
    if !rest.is_empty() {
        return None;
    }
    let text = text(permitted, inheritable, magic & EFFECTIVE != 0);
    Some(match root.filter(|&root| root != 0) {
        Some(root) => format!("{text} [rootid={root}]"),
        None => text,
    })
}

fn wide(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Groups of capabilities with the same flags.
fn text(permitted: u64, inheritable: u64, effective: bool) -> String {
    let groups = [
        (permitted & !inheritable, "p"),
        (inheritable & !permitted, "i"),
        (inheritable & permitted, "ip"),
    ];
    let groups: Vec<String> = groups
        .into_iter()
        .filter(|&(set, _)| set != 0)
        .map(|(set, flags)| {
            let effective = if effective { "e" } else { "" };
            format!("{}+{effective}{flags}", names(set))
        })
        .collect();
    if groups.is_empty() {
        "none".to_owned()
    } else {
        groups.join(" ")
    }
}

fn names(set: u64) -> String {
    let numbers = (0..u64::BITS).filter(|bit| set & 1 << bit != 0);
    let names: Vec<String> = numbers
        .map(|number| {
            let name = usize::try_from(number).ok().and_then(|at| NAMES.get(at));
            name.map_or_else(|| format!("cap_{number}"), |name| format!("cap_{name}"))
        })
        .collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn what_setcap_writes_is_told_as_setcap_takes_it() {
        for (words_of_it, text) in [
            (&[0x0200_0001, 1 << 13, 0, 0, 0][..], "cap_net_raw+ep"),
            (&[0x0200_0000, 1 << 13, 0, 0, 0], "cap_net_raw+p"),
            (
                &[0x0200_0001, 1 << 12 | 1 << 13, 1 << 12, 1 << 7, 0],
                "cap_net_raw,cap_bpf+ep cap_net_admin+eip",
            ),
            (&[0x0100_0000, 0, 2], "cap_dac_override+i"),
            (
                &[0x0300_0001, 1, 0, 0, 0, 1000],
                "cap_chown+ep [rootid=1000]",
            ),
            (&[0x0200_0000, 0, 0, 1 << 31, 0], "cap_63+p"),
            (&[0x0200_0001, 0, 0, 0, 0], "none"),
        ] {
            assert_eq!(words(&value(words_of_it)), text);
        }
    }

    #[test]
    fn other_bytes_are_said_to_be_none() {
        for odd in [
            &[][..],
            &[1, 2, 3],
            &value(&[0x0200_0001]),
            &value(&[0x0400_0001, 1, 0, 0, 0]),
            &[&value(&[0x0200_0001, 1, 0, 0, 0])[..], b"x"].concat(),
        ] {
            assert_eq!(
                words(odd),
                format!("{} bytes that are no capabilities", odd.len())
            );
        }
    }
}
