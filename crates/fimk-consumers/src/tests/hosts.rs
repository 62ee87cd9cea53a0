//! hosts(5) and `/etc/ld.so.preload`
use super::{compared, state, words};
use crate::{Consumer, compare};

const HOSTS: &str = "127.0.0.1\tlocalhost\n\
    ::1 localhost ip6-localhost # loopback\n\
    10.0.0.7 updates.example.org updates\n";

fn hosts(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Hosts, before, after).changes)
}

fn preload(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Preload, before, after).changes)
}

#[test]
fn another_address_of_a_name_is_told_with_both() {
    let after = HOSTS.replace("10.0.0.7", "203.0.113.66");
    assert_eq!(
        hosts(HOSTS, &after),
        [
            "host updates.example.org|address|10.0.0.7|203.0.113.66",
            "host updates|address|10.0.0.7|203.0.113.66"
        ]
    );
    let after = format!("{HOSTS}fe80::1%eth0 deb.debian.org\n");
    assert_eq!(
        hosts(HOSTS, &after),
        ["host deb.debian.org||-|fe80::1%eth0, place 6"]
    );
    assert_eq!(
        hosts(&after, HOSTS),
        ["host deb.debian.org||fe80::1%eth0, place 6|-"]
    );
}

#[test]
fn a_line_that_comes_to_stand_before_another_is_told() {
    let (before, after) = ("10.0.0.1 a\n10.0.0.2 a\n", "10.0.0.2 a\n10.0.0.1 a\n");
    let said = hosts(before, after);
    assert!(
        said == ["host a|place|1|2"] || said == ["host a|place|2|1"],
        "{said:?}"
    );
    let layout = HOSTS.replace('\t', "   ").replace("loopback", "this host");
    assert!(hosts(HOSTS, &layout)[0].starts_with("file|layout"));
}

#[test]
fn malformed_lines_are_named_by_number_and_length_and_never_quoted() {
    for (line, fault) in [
        ("planted name", "the address is none"),
        ("10.0.0.256 planted", "the address is none"),
        ("10.0.0.1", "something is missing"),
        ("10.0.0.1 pl\0anted", "has NUL bytes"),
    ] {
        let said = hosts(HOSTS, &format!("{HOSTS}{line}\n"));
        let expected = format!("line 4||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected], "{line}");
    }
}

#[test]
fn more_names_than_are_kept_are_reported_as_a_line() {
    let line = format!("10.0.0.1{}\n", " a".repeat(20_001));
    let after = state(Consumer::Hosts, format!("{HOSTS}{line}"));
    let said = words(&compare(Some(&state(Consumer::Hosts, HOSTS)), Some(&after)).changes);
    assert_eq!(
        said,
        ["line 4||-|malformed, 40010 bytes (behind 20,000 entries)"]
    );
}

#[test]
fn a_library_that_is_loaded_before_all_others_is_named() {
    assert_eq!(
        preload("", "# none\n/tmp/evil.so\n"),
        ["preload /tmp/evil.so||-|place 1"]
    );
    assert_eq!(
        preload("/a.so /b.so:/c.so\n", "/a.so\n/c.so"),
        ["preload /b.so||place 2|-"]
    );
    let said = preload("/a.so /b.so", "/b.so /a.so");
    assert!(
        said == ["preload /a.so|place|1|2"] || said == ["preload /b.so|place|2|1"],
        "{said:?}"
    );
    let new = state(Consumer::Preload, "/tmp/evil.so");
    assert_eq!(
        words(&compare(None, Some(&new)).changes),
        ["preload /tmp/evil.so||-|place 1"]
    );
    assert_eq!(
        words(&compare(Some(&new), None).changes),
        ["file|content|1 entry|-"]
    );
}
