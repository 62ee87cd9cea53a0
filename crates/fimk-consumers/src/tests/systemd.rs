//! systemd.syntax(7)
use super::{Keyed, SHA512, assert_hidden, compared, state, words};
use crate::{Consumer, compare, read};

const BASE: &str = "[Unit]\nDescription=A daemon\n\n[Service]\nUser=svc\nExecStart=/usr/sbin/d --fast\n\
    [Install]\nWantedBy=multi-user.target\n";

fn changes(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Systemd, before, after).changes)
}

#[test]
fn another_command_is_told_with_both() {
    let after = BASE.replace("/usr/sbin/d --fast", "/tmp/d");
    assert_eq!(
        changes(BASE, &after),
        ["[Service] ExecStart||/usr/sbin/d --fast|/tmp/d"]
    );
    let after = BASE.replace("User=svc\n", "");
    assert_eq!(changes(BASE, &after), ["[Service] User||svc|-"]);
    let after = BASE.replace("multi-user", "sysinit");
    assert_eq!(
        changes(BASE, &after),
        ["[Install] WantedBy||multi-user.target|sysinit.target"]
    );
}

#[test]
fn the_same_key_in_another_section_is_another() {
    let after = BASE.replace("[Install]", "[Socket]");
    assert_eq!(
        changes(BASE, &after),
        [
            "[Socket] WantedBy||-|multi-user.target",
            "[Install] WantedBy||multi-user.target|-"
        ]
    );
}

#[test]
fn an_empty_value_is_told_to_drop_what_was_said() {
    let dropped_in = "[Service]\nExecStart=\nExecStart=/tmp/x\n";
    let emptied = "(nothing: what was said before is dropped)";
    let after = state(Consumer::Systemd, dropped_in);
    assert_eq!(
        words(&compare(None, Some(&after)).changes),
        [
            format!("[Service] ExecStart||-|{emptied}, place 1"),
            "[Service] ExecStart||-|/tmp/x, place 2".to_owned()
        ]
    );
    let swapped = "[Service]\nExecStart=/tmp/x\nExecStart=\n";
    assert_eq!(changes(dropped_in, swapped).len(), 1, "the order counts");
}

#[test]
fn a_second_value_of_a_list_is_told_with_its_place() {
    let after = BASE.replace(
        "[Install]",
        "ExecStartPre=/bin/a\nExecStartPre=-/bin/b\n[Install]",
    );
    assert_eq!(
        changes(BASE, &after),
        [
            "[Service] ExecStartPre||-|/bin/a, place 4",
            "[Service] ExecStartPre||-|-/bin/b, place 5"
        ]
    );
}

#[test]
fn continued_lines_are_one_and_a_comment_may_stand_between() {
    let one = "[Service]\nExecStart=/bin/a --one --two\n";
    let split =
        "[Service]\nExecStart=/bin/a --one \\\n# ExecStart=/bin/evil \\\n; and so on\n--two\n";
    assert!(
        changes(one, split)[0].starts_with("[Service] ExecStart||/bin/a --one --two|/bin/a --one")
    );
    assert!(!changes(one, split).concat().contains("evil"));
    assert_eq!(changes(split, &split.replace("--two", "--three")).len(), 1);
    // Two backslashes are one, and end nothing.
    let two = "[Service]\nExecStart=/bin/a \\\\\nUser=root\n";
    assert_eq!(changes(one, two).len(), 2);
}

#[test]
fn malformed_lines_are_named_by_number_and_length_and_never_quoted() {
    let long = format!("[{}]", "planted".repeat(40));
    for (line, fault) in [
        ("planted", "of no known form"),
        ("=planted", "of no known form"),
        ("[planted", "something is missing"),
        ("[]", "something is missing"),
        (long.as_str(), "too long"),
        ("A=b\0planted", "has NUL bytes"),
    ] {
        let said = changes(BASE, &format!("{BASE}{line}\n"));
        let expected = format!("line 9||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected], "{line}");
    }
    assert_eq!(
        changes("", "User=root\n"),
        ["line 1||-|malformed, 9 bytes (outside of any section)"]
    );
}

#[test]
fn secrets_in_commands_and_settings_are_hidden() {
    let unit = format!(
        "[Service]\nEnvironment=DB_PASSWORD=hunter2hunter2\nExecStart=usermod -p '{SHA512}' eve\n\
         SetCredential=token:hunter2hunter2\n"
    );
    let reading = read(Consumer::Systemd, unit.as_bytes(), &Keyed);
    assert!(reading.secrets);
    assert_hidden(SHA512, &format!("{reading:?}"));
    assert_hidden("hunter2hunter2", &format!("{reading:?}"));
    assert!(!read(Consumer::Systemd, BASE.as_bytes(), &Keyed).secrets);
}
