//! group(5) and gshadow(5)
use super::{Keyed, SHA512, YESCRYPT, assert_hidden, compared, state, words};
use crate::{Consumer, compare, read};

const GROUP: &str = "root:x:0:\nsudo:x:27:alice\nbackup:x:34:\nalice:x:1000:\n";
const GSHADOW: &str = "root:*::\nsudo:*:alice:alice\nbackup:!::\n";

fn group(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Group, before, after).changes)
}

fn gshadow(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Gshadow, before, after).changes)
}

#[test]
fn a_member_that_is_added_or_removed_is_named_with_the_group() {
    let after = GROUP.replace("27:alice", "27:alice,bob");
    assert_eq!(group(GROUP, &after), ["group sudo member bob||-|member"]);
    assert_eq!(group(&after, GROUP), ["group sudo member bob||member|-"]);
    let other = GROUP.replace("27:alice", "27:mallory");
    assert_eq!(
        group(GROUP, &other),
        [
            "group sudo member alice||member|-",
            "group sudo member mallory||-|member"
        ]
    );
}

#[test]
fn an_administrator_is_told_from_a_member() {
    let after = GSHADOW.replace("backup:!::", "backup:!:mallory:eve");
    assert_eq!(
        gshadow(GSHADOW, &after),
        [
            "group backup administrator mallory||-|administrator",
            "group backup member eve||-|member"
        ]
    );
}

#[test]
fn a_gid_and_a_new_group_are_told_in_full() {
    let after = GROUP.replace("alice:x:1000:", "alice:x:0:") + "ops:x:0:alice,mallory\n";
    assert_eq!(
        group(GROUP, &after),
        [
            "group alice|gid|1000|0",
            "group ops||-|gid 0, password in gshadow, members alice, mallory"
        ]
    );
    let after = format!("{GSHADOW}ops:{SHA512}:eve:bob\n");
    let said = gshadow(GSHADOW, &after);
    assert_eq!(
        said,
        ["group ops||-|password set, SHA-512, administrators eve, members bob"]
    );
}

#[test]
fn a_password_of_a_group_is_never_shown_and_none_is_for_members_only() {
    let set = GSHADOW.replace("backup:!", &format!("backup:{YESCRYPT}"));
    let said = gshadow(GSHADOW, &set);
    assert_eq!(
        said,
        ["group backup|password|none (for members only)|set, yescrypt"]
    );
    assert!(read(Consumer::Gshadow, set.as_bytes(), &Keyed).secrets);
    assert_hidden(YESCRYPT, &format!("{:?}", state(Consumer::Gshadow, &set)));
    let empty = GSHADOW.replace("backup:!", "backup:");
    assert_eq!(
        gshadow(&set, &empty),
        ["group backup|password|set, yescrypt|empty (for members only)"]
    );
    let inline = GROUP.replace("backup:x", "backup:");
    assert_eq!(
        group(GROUP, &inline),
        ["group backup|password|in gshadow|empty (for members only)"]
    );
}

#[test]
fn a_list_of_members_in_another_order_or_with_one_twice_is_told_as_such() {
    let before = GROUP.replace("27:alice", "27:alice,bob");
    let after = GROUP.replace("27:alice", "27:bob,alice");
    assert_eq!(
        group(&before, &after),
        ["group sudo|members|alice, bob|bob, alice"]
    );
    let twice = GROUP.replace("27:alice", "27:alice,alice");
    assert_eq!(
        group(GROUP, &twice),
        ["group sudo|members|alice|alice, alice"]
    );
    let blanks = GROUP.replace("27:alice", "27: alice,");
    assert_eq!(
        group(GROUP, &blanks),
        ["file|whitespace|-|only blanks, digits' leading zeros, empty items or line ends differ"]
    );
}

#[test]
fn a_second_line_of_a_group_is_a_duplicate() {
    let after = format!("{GROUP}sudo:x:27:mallory\n");
    assert_eq!(
        group(GROUP, &after),
        ["group sudo|duplicate|-|1 more: gid 27, password in gshadow, members mallory"]
    );
}

#[test]
fn malformed_lines_and_nis_entries_are_reported() {
    let after = format!("{GROUP}evil:x:0\nevil:x:zero:\n\n+\n-@net\n");
    assert_eq!(
        group(GROUP, &after),
        [
            "line 5||-|malformed, 8 bytes (wrong number of fields)",
            "line 6||-|malformed, 12 bytes (a number is none)",
            "line 7||-|malformed, 0 bytes (blank)",
            "NIS entry +||-|NIS adds all groups",
            "NIS entry -@net||-|NIS removes groups of netgroup net",
        ]
    );
}

#[test]
fn a_group_of_thousands_is_compared_by_name() {
    let names = |range: std::ops::Range<u32>| {
        let names: Vec<String> = range.map(|n| format!("u{n}")).collect();
        format!("staff:x:50:{}\n", names.join(","))
    };
    let said = group(&names(0..8_000), &names(1..8_001));
    assert_eq!(
        said,
        [
            "group staff member u0||member|-",
            "group staff member u8000||-|member"
        ]
    );
}

#[test]
fn a_group_file_that_comes_or_goes_lists_its_groups() {
    let after = state(Consumer::Group, GROUP);
    assert_eq!(compare(None, Some(&after)).changes.len(), 4);
    assert_eq!(
        words(&compare(Some(&after), None).changes),
        ["file|content|4 groups|-"]
    );
}
