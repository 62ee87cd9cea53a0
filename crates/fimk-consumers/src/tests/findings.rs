//! What a change means.
use proptest::prelude::*;

use super::{DES, YESCRYPT, keys::samples::ED25519, state};
use crate::{
    Consumer,
    findings::{Kind, MAX_FINDINGS, find, gravest},
};

const ROOT: &str = "root:x:0:0:root:/root:/bin/bash\n";

/// The ids of what is found when `after` takes the place of `before`.
fn ids(consumer: Consumer, before: Option<&str>, after: &str) -> Vec<String> {
    let before = before.map(|text| state(consumer, text));
    let found = find(before.as_ref(), Some(&state(consumer, after)));
    found.into_iter().map(|finding| finding.id).collect()
}

fn users(before: &str, after: &str) -> Vec<String> {
    ids(Consumer::Passwd, Some(before), after)
}

fn passwords(before: &str, after: &str) -> Vec<String> {
    let line = |password: &str| format!("bob:{password}:20000:0:99999:7:::\n");
    ids(Consumer::Shadow, Some(&line(before)), &line(after))
}

fn keys(before: &str, after: &str) -> Vec<String> {
    ids(Consumer::AuthorizedKeys, Some(before), after)
}

#[test]
fn another_root_is_found_however_the_zero_is_written_and_root_itself_is_not() {
    let bob = |uid: &str| format!("{ROOT}bob:x:{uid}:100::/:/bin/sh\n");
    assert_eq!(users(ROOT, &bob("0")), ["passwd-uid-zero"]);
    assert_eq!(users(&bob("1000"), &bob("000")), ["passwd-uid-zero"]);
    assert!(users(&bob("0"), &bob("00")).is_empty());
    assert!(users(ROOT, &bob("1000")).is_empty());
    assert!(ids(Consumer::Passwd, None, ROOT).is_empty());
    assert_eq!(ids(Consumer::Passwd, None, &bob("0")), ["passwd-uid-zero"]);
    // The second line of a name may be the one that counts for somebody.
    let twice = format!("{}bob:x:0:100::/:/bin/sh\n", bob("1000"));
    assert_eq!(users(&bob("1000"), &twice), ["passwd-uid-zero"]);
}

#[test]
fn a_password_that_is_not_needed_is_found_in_both_files() {
    let bob = |password: &str| format!("bob:{password}:1000:100::/:/bin/sh\n");
    assert_eq!(users(&bob("x"), &bob("")), ["passwd-empty-password"]);
    assert!(users(&bob(""), &bob("x")).is_empty());
    assert_eq!(passwords(YESCRYPT, ""), ["shadow-empty-password"]);
    assert!(passwords("", YESCRYPT).is_empty());
}

#[test]
fn a_service_account_that_gets_a_shell_or_a_password_is_found() {
    let backup = |shell: &str| format!("backup:x:34:34::/:{shell}\n");
    let closed = backup("/usr/sbin/nologin");
    assert_eq!(users(&closed, &backup("/bin/bash")), ["passwd-login-shell"]);
    assert_eq!(users(&closed, &backup("")), ["passwd-login-shell"]);
    assert!(users(&closed, &backup("/bin/false")).is_empty());
    assert!(users(&backup("/bin/bash"), &backup("/bin/sh")).is_empty());
    assert_eq!(passwords("*", YESCRYPT), ["shadow-unlocked"]);
    // A person's first password.
    assert!(passwords("!", YESCRYPT).is_empty());
}

#[test]
fn a_removed_lock_and_a_weaker_hash_are_found() {
    let locked = format!("!{YESCRYPT}");
    assert_eq!(passwords(&locked, YESCRYPT), ["shadow-unlocked"]);
    assert!(passwords(YESCRYPT, &locked).is_empty());
    assert_eq!(passwords(YESCRYPT, DES), ["shadow-weaker-hash"]);
    assert!(passwords(DES, YESCRYPT).is_empty());
}

#[test]
fn users_that_the_network_may_add_are_found() {
    assert_eq!(users(ROOT, &format!("{ROOT}+@admins\n")), ["passwd-nis"]);
    assert!(users(ROOT, &format!("{ROOT}-@guests\n")).is_empty());
}

#[test]
fn a_key_that_is_added_and_a_command_that_it_runs_are_found() {
    let plain = format!("{ED25519} bob\n");
    let command = format!("command=\"/bin/sh\" {plain}");
    assert_eq!(keys("", &plain), ["key-added"]);
    assert_eq!(keys(&plain, &command), ["key-command"]);
    assert_eq!(keys("", &command), ["key-added", "key-command"]);
    assert!(keys(&command, &plain).is_empty());
    assert!(keys(&plain, "").is_empty());
}

#[test]
fn the_gravest_findings_are_listed_and_it_is_known_that_there_were_more() {
    let mut many = vec![Kind::KeyAdded.finding("a key"); MAX_FINDINGS];
    assert_eq!(gravest(many.clone()), (many.clone(), false));
    many.push(Kind::PasswdUidZero.finding("another root"));
    let (listed, more) = gravest(many);
    assert_eq!((listed.len(), more), (MAX_FINDINGS, true));
    assert_eq!(listed[0].id, "passwd-uid-zero");
}

#[test]
fn every_kind_has_an_id_of_its_own() {
    let mut ids: Vec<&str> = Kind::ALL.iter().map(|kind| kind.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), Kind::ALL.len());
}

proptest! {
    #[test]
    fn what_stays_as_it_is_means_nothing_new(content: Vec<u8>) {
        for consumer in [Consumer::Passwd, Consumer::Shadow, Consumer::AuthorizedKeys] {
            let state = state(consumer, &content);
            prop_assert!(find(Some(&state), Some(&state)).is_empty());
        }
    }
}
