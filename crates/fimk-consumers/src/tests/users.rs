//! passwd(5)
use super::{DES, Keyed, SHA512, assert_hidden, compared, words};
use crate::{Comparison, Consumer, compare, read};

const BASE: &str = "root:x:0:0:root:/root:/bin/bash\n\
    daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
    alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash\n";

fn changes(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Passwd, before, after).changes)
}

#[test]
fn a_changed_uid_is_named_with_both_values() {
    let after = BASE.replace("alice:x:1000:", "alice:x:0:");
    assert_eq!(changes(BASE, &after), ["user alice|uid|1000|0"]);
}

#[test]
fn a_service_account_that_gets_a_shell_is_named() {
    let after = BASE.replace("/usr/sbin/nologin", "/bin/sh");
    assert_eq!(
        changes(BASE, &after),
        ["user daemon|shell|/usr/sbin/nologin|/bin/sh"]
    );
}

#[test]
fn a_new_user_is_summarised() {
    let after = format!("{BASE}toor:x:0:0::/root:/bin/bash\n");
    let summary = "uid 0, gid 0, home /root, shell /bin/bash, password in shadow";
    assert_eq!(changes(BASE, &after), [format!("user toor||-|{summary}")]);
    assert_eq!(changes(&after, BASE), [format!("user toor||{summary}|-")]);
}

#[test]
fn a_new_uid_0_user_with_an_empty_password_field_is_said_to_need_none() {
    let after = format!("{BASE}toor::0:0::/root:/bin/bash\n");
    let summary = "uid 0, gid 0, home /root, shell /bin/bash, password empty (no password needed)";
    assert_eq!(changes(BASE, &after), [format!("user toor||-|{summary}")]);
}

#[test]
fn a_password_field_that_is_emptied_is_said() {
    let after = BASE.replace("root:x:", "root::");
    assert_eq!(
        changes(BASE, &after),
        ["user root|password|in shadow|empty (no password needed)"]
    );
}

#[test]
fn a_hash_in_passwd_is_named_by_its_algorithm_only() {
    for (hash, algorithm) in [
        (DES, "DES"),
        (SHA512, "SHA-512"),
        ("hunter2", "unknown form"),
    ] {
        let after = BASE.replace("root:x:", &format!("root:{hash}:"));
        let said = changes(BASE, &after);
        assert_eq!(
            said,
            [format!("user root|password|in shadow|set, {algorithm}")]
        );
        let reading = read(Consumer::Passwd, after.as_bytes(), &Keyed);
        assert!(reading.secrets);
        assert!(!format!("{reading:?}").contains(hash));
    }
    assert!(!read(Consumer::Passwd, BASE.as_bytes(), &Keyed).secrets);
}

#[test]
fn nis_entries_are_named_as_such() {
    let after = format!("{BASE}+::::::\n+@admins:::::/bin/sh:\n-mallory\n+\n");
    assert_eq!(
        changes(BASE, &after),
        [
            "NIS entry +||-|NIS adds all users",
            "NIS entry +@admins||-|NIS adds users of netgroup admins",
            "NIS entry -mallory||-|NIS removes user mallory",
            "NIS entry +||-|NIS adds all users",
        ]
    );
}

#[test]
fn malformed_lines_are_named_by_number_and_length_and_never_quoted() {
    for (line, said) in [
        ("", "malformed, 0 bytes (blank)"),
        ("eve:x:0", "malformed, 7 bytes (wrong number of fields)"),
        ("eve", "malformed, 3 bytes (wrong number of fields)"),
        (
            "eve:x:0x0:0::/:/bin/sh",
            "malformed, 22 bytes (a number is none)",
        ),
        (
            "eve:x:4294967296:0::/:",
            "malformed, 22 bytes (a number is none)",
        ),
        (
            "eve:x:+0:0::/:/bin/sh",
            "malformed, 21 bytes (a number is none)",
        ),
        (
            "ev\0e:x:0:0::/:/bin/sh",
            "malformed, 21 bytes (has NUL bytes)",
        ),
        (
            ":x:0:0::/:/bin/sh",
            "malformed, 17 bytes (the name is none)",
        ),
        ("# eve", "malformed, 5 bytes (a comment)"),
    ] {
        let after = format!("{BASE}{line}\n");
        assert_eq!(
            changes(BASE, &after),
            [format!("line 4||-|{said}")],
            "{line:?}"
        );
    }
    let long = format!("{BASE}eve:x:0:0:{}:/:/bin/sh\n", "e".repeat(5_000));
    assert_eq!(
        changes(BASE, &long),
        ["line 4||-|malformed, 5020 bytes (too long)"]
    );
}

#[test]
fn a_malformed_line_that_changes_is_told_by_the_numbers_of_tokens() {
    let (before, after) = (format!("{BASE}eve:x:0\n"), format!("{BASE}eve:x:1\n"));
    let said = "malformed, 7 bytes (wrong number of fields)";
    assert_eq!(
        changes(&before, &after),
        [format!("line 4||{said} [redacted 1]|{said} [redacted 2]")]
    );
}

#[test]
fn a_malformed_line_that_only_moved_is_no_difference() {
    let (before, after) = (
        format!("{BASE}eve:x:0\n"),
        format!("{BASE}bob:x:7:7::/:\neve:x:0\n"),
    );
    assert_eq!(changes(&before, &after).len(), 1);
}

#[test]
fn a_second_line_of_a_name_is_a_duplicate_and_the_first_one_counts() {
    let second = "alice:x:0:0::/root:/bin/sh\n";
    let (last, first) = (format!("{BASE}{second}"), format!("{second}{BASE}"));
    let said = "1 more: uid 0, gid 0, home /root, shell /bin/sh, password in shadow";
    assert_eq!(
        changes(BASE, &last),
        [format!("user alice|duplicate|-|{said}")]
    );
    let first = changes(BASE, &first);
    assert!(
        first.contains(&"user alice|uid|1000|0".to_owned()),
        "{first:?}"
    );
    let further = "user alice|duplicate|-|1 more: uid 1000";
    assert!(
        first.iter().any(|said| said.starts_with(further)),
        "{first:?}"
    );
}

#[test]
fn lines_in_another_order_are_said_to_be() {
    let lines: Vec<&str> = BASE.lines().rev().collect();
    let after = format!("{}\n", lines.join("\n"));
    assert_eq!(
        changes(BASE, &after),
        ["file|order|-|lines stand in another order"]
    );
}

#[test]
fn blanks_alone_are_said_to_be_all() {
    for after in [
        BASE.replace("alice:x", "  alice:x"),
        BASE.trim_end().to_owned(),
    ] {
        let said = changes(BASE, &after);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("file|whitespace|-|"), "{said:?}");
    }
}

#[test]
fn the_same_content_written_again_is_no_difference() {
    assert_eq!(
        compared(Consumer::Passwd, BASE, BASE),
        Comparison::default()
    );
}

#[test]
fn names_and_fields_cannot_forge_lines_or_terminals() {
    let after = format!("{BASE}e\x1b[2Jve:x:0:0::/:/bin/sh\nbob:x:5:5::/\x1b[2J:/bin/sh\u{202e}\n");
    let said = changes(BASE, &after);
    assert!(
        said.iter().all(|line| !line.contains(['\x1b', '\u{202e}'])),
        "{said:?}"
    );
    assert!(
        said.iter().any(|line| line.contains("home /\\x1b[2J")),
        "{said:?}"
    );
}

#[test]
fn a_secret_in_another_field_is_redacted_there_and_its_change_seen() {
    let with = |secret: &str| BASE.replace("Alice,,,", secret);
    let other = SHA512.replace("zVq", "qVz");
    let said = changes(&with(SHA512), &with(&other)).concat();
    assert_eq!(said, "user alice|gecos|[redacted 1]|[redacted 2]");
    assert_hidden(SHA512, &said);
}

#[test]
fn what_lies_beyond_the_limit_still_counts() {
    let filler = "u:x:7:7::/:\n".repeat(20_000);
    let said = changes(&filler, &format!("{filler}toor::0:0::/:/bin/sh\n"));
    assert_eq!(
        said,
        ["file|rest|-|more differs after the first 20,000 lines or 1 MiB"]
    );
}

#[test]
fn a_new_file_lists_its_users() {
    let after = read(Consumer::Passwd, BASE.as_bytes(), &Keyed).state;
    assert_eq!(compare(None, Some(&after)).changes.len(), 3);
    assert_eq!(
        words(&compare(Some(&after), None).changes),
        ["file|content|3 users|-"]
    );
}
