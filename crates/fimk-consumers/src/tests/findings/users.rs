//! Users, passwords and groups.

use super::{ROOT, ids, users};
use crate::{
    Consumer,
    tests::{DES, YESCRYPT},
};

fn passwords(before: &str, after: &str) -> Vec<String> {
    let line = |password: &str| format!("bob:{password}:20000:0:99999:7:::\n");
    ids(Consumer::Shadow, Some(&line(before)), &line(after))
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
fn a_user_whose_name_begins_like_a_line_of_nis_is_a_user() {
    for sign in ["+", "-"] {
        let bob = |uid: &str| format!("{ROOT}{sign}bob:x:{uid}:100::/:/bin/sh\n");
        assert_eq!(users(ROOT, &bob("0")), ["passwd-uid-zero"]);
        let group = |gid: &str| format!("{sign}ops:x:{gid}:\n");
        let found = ids(Consumer::Group, Some(&group("9")), &group("0"));
        assert_eq!(found, ["group-gid-zero"]);
    }
    assert_eq!(users(ROOT, &format!("{ROOT}+bob::::::\n")), ["passwd-nis"]);
    let shadow = ids(Consumer::Shadow, Some(""), "+bob::::::::\n");
    assert!(shadow.is_empty(), "{shadow:?}");
}

/// Each of these is another root to the C library (2.36), but the last.
#[test]
fn the_group_of_root_as_that_of_a_user_is_found() {
    let bob = |gid: &str| format!("{ROOT}bob:x:1000:{gid}::/:/bin/sh\n");
    assert_eq!(users(&bob("100"), &bob("0")), ["group-privileged-member"]);
    assert_eq!(users(&bob("100"), &bob("00")), ["group-privileged-member"]);
    assert!(users(&bob("0"), &bob("100")).is_empty());
}

#[test]
fn a_password_in_passwd_itself_is_found() {
    let bob = |password: &str| format!("bob:{password}:1000:100::/:/bin/sh\n");
    assert_eq!(users(&bob("x"), &bob(YESCRYPT)), ["passwd-hash"]);
    assert_eq!(users(&bob("!"), &bob(DES)), ["passwd-hash"]);
    assert!(users(&bob(DES), &bob(YESCRYPT)).is_empty());
    for locked in ["x", "*", "!!", "nothing", &format!("!{YESCRYPT}")] {
        assert!(users(&bob("x"), &bob(locked)).is_empty(), "{locked}");
    }
}

#[test]
fn who_comes_into_a_privileged_group_is_found() {
    let group = |before: &str, after: &str| ids(Consumer::Group, Some(before), after);
    let member = ["group-privileged-member"];
    assert_eq!(group("sudo:x:27:a\n", "sudo:x:27:a,bob\n"), member);
    assert_eq!(group("docker:x:99:\n", "docker:x:99:bob\n"), member);
    assert!(group("sudo:x:27:a,bob\n", "sudo:x:27:bob\n").is_empty());
    assert!(group("users:x:9:\n", "users:x:9:bob\n").is_empty());
    assert!(group("", "sudo:x:27:\nroot:x:0:root\n").is_empty());
    assert_eq!(group("ops:x:9:\n", "ops:x:00:\n"), ["group-gid-zero"]);
    assert!(group("ops:x:0:\n", "ops:x:9:\n").is_empty());
    // A second line of a group counts as well.
    assert_eq!(group("sudo:x:27:\n", "sudo:x:27:\nsudo:x:27:bob\n"), member);
    let gshadow = |before: &str, after: &str| ids(Consumer::Gshadow, Some(before), after);
    assert_eq!(gshadow("wheel:!::\n", "wheel:!:bob:\n"), member);
    assert_eq!(gshadow("wheel:!::\n", "wheel:!::bob\n"), member);
}
