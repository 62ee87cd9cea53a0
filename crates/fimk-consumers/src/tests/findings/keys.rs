//! Keys that let in, and keys that software is trusted by.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::ids;
use crate::{
    Consumer,
    findings::find,
    tests::{
        Keyed,
        keys::samples::{ED25519, SK_ED25519},
        read,
        software::{KEY, TWO_KEYS},
    },
};

fn keys(before: &str, after: &str) -> Vec<String> {
    ids(Consumer::AuthorizedKeys, Some(before), after)
}

#[test]
fn a_key_that_is_added_and_a_command_that_it_runs_are_found() {
    let plain = format!("{ED25519} bob\n");
    let command = format!("command=\"/bin/sh\" {plain}");
    assert_eq!(keys("", &plain), ["key-added"]);
    assert_eq!(keys(&plain, &command), ["key-command"]);
    assert_eq!(keys("", &command), ["key-added", "key-command"]);
    assert!(keys(&plain, "").is_empty());
}

#[test]
fn a_key_that_loses_what_restricts_it_is_found() {
    let key = |options: &str| format!("{options} {ED25519} bob\n");
    let lost = ["key-unrestricted"];
    assert_eq!(keys(&key("command=\"/bin/x\""), &key("no-pty")), lost);
    assert_eq!(keys(&key("restrict,pty"), &key("pty")), lost);
    assert_eq!(
        keys(&key("FROM=\"10.*\",no-pty"), &key("from=\"10.*\"")),
        lost
    );
    // A second line lets in what the first one does not.
    let twice = key("restrict") + &key("no-pty");
    assert_eq!(keys(&key("restrict"), &twice), lost);
    assert!(keys(&twice, &key("no-pty")).is_empty());
    // Another place, another time, more of what `restrict` took away.
    for (before, after) in [
        ("from=\"10.0.0.1\"", "from=\"10.0.0.1,*\""),
        ("from=\"!10.0.0.1,*\"", "from=\"*\""),
        (
            "permitopen=\"a:1\"",
            "permitopen=\"a:1\",permitopen=\"b:1\"",
        ),
        ("expiry-time=\"20260101\"", "expiry-time=\"20270101\""),
        ("restrict", "restrict,pty"),
        ("no-pty", "no-pty,PTY"),
    ] {
        assert_eq!(keys(&key(before), &key(after)), lost, "{after}");
    }
    for (before, after) in [
        ("from=\"10.0.0.1,*\"", "from=\"10.0.0.1\""),
        ("from=\"*\"", "from=\"!10.0.0.1,*\""),
        (
            "permitopen=\"a:1\",permitopen=\"b:1\"",
            "permitopen=\"b:1\"",
        ),
        ("expiry-time=\"20260101\"", "expiry-time=\"20250101\""),
        ("restrict,pty", "pty,restrict"),
        ("no-touch-required,pty", "restrict"),
        ("no-pty", "NO-PTY,restrict"),
        ("environment=\"A=restrict\"", "no-pty"),
    ] {
        assert!(keys(&key(before), &key(after)).is_empty(), "{after}");
    }
}

/// PROTOCOL.u2f: who touches nothing signs all the same.
#[test]
fn a_key_of_a_token_that_need_not_be_touched_any_more_is_found() {
    let key = |options: &str| format!("{options} {SK_ED25519} bob\n");
    assert_eq!(
        keys(&key("no-pty"), &key("no-pty,no-touch-required")),
        ["key-unrestricted"]
    );
    assert!(keys(&key("no-touch-required"), &key("no-pty")).is_empty());
}

#[test]
fn keys_from_elsewhere_than_usual_are_found() {
    let sshd = |line: &str| ids(Consumer::Sshd, Some(""), &format!("{line}\n"));
    for line in [
        "AuthorizedKeysFile .ssh/authorized_keys /tmp/keys",
        "Match User a\nAuthorizedKeysFile \"/tmp/%u\"",
        "TrustedUserCAKeys /tmp/ca",
    ] {
        assert_eq!(sshd(line), ["sshd-keys-elsewhere"], "{line}");
    }
    for line in [
        "AuthorizedKeysFile .ssh/authorized_keys %h/.ssh/authorized_keys2",
        "AuthorizedKeysFile none",
        "TrustedUserCAKeys none",
    ] {
        assert!(sshd(line).is_empty(), "{line}");
    }
}

#[test]
fn a_key_that_packages_are_signed_with_is_found() {
    let [one, two] = [KEY, TWO_KEYS].map(|text| STANDARD.decode(text).expect("base64"));
    let [one, two] = [one, two].map(|it| read(Consumer::TrustedKeys, &it, &Keyed).state);
    let found = |before, after| -> Vec<String> {
        find(before, Some(after))
            .into_iter()
            .map(|it| it.id)
            .collect()
    };
    assert_eq!(found(None, &one), ["trusted-key-added"]);
    assert_eq!(found(Some(&one), &two), ["trusted-key-added"]);
    assert!(found(Some(&two), &one).is_empty());
}
