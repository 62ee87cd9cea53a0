//! What a change means.

mod keys;
mod rights;
mod system;
mod users;

use proptest::prelude::*;

use super::{keys::samples::ED25519, state};
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

#[test]
fn a_line_that_may_be_understood_by_others_is_found_and_a_blank_one_and_a_comment_are_not() {
    let long = format!("bob::0:0:{}:/:/bin/sh", "x".repeat(5_000));
    for line in [
        "bob::0:0",
        "bob::0:0:a:b:/bin/sh:c:d",
        "bob:: 0:0::/:/bin/sh",
        "bob::+0:0::/:/bin/sh",
        "bob\t::0:0::/:/bin/sh",
        "bob::0:0::/:/bin/sh\0x",
        &long,
        "bob",
    ] {
        let after = format!("{ROOT}{line}\n");
        assert_eq!(users(ROOT, &after), ["not-understood"], "{line}");
        assert!(users(&after, &format!("{line}\n{ROOT}")).is_empty());
    }
    assert!(users(ROOT, &format!("\n# bob::0:0\n{ROOT}")).is_empty());
}

#[test]
fn what_is_behind_the_limits_or_of_no_known_form_is_found_in_every_file_that_has_findings() {
    use Consumer::{
        AptList, AuthorizedKeys, Crontab, Environment, Group, Hosts, KnownHosts, Pam, Preload,
        Sshd, Sudoers, Sysctl, Systemd, Text,
    };
    let padding = "#\n".repeat(20_000);
    for (consumer, line) in [
        (Group, "sudo:x:27"),
        (Sudoers, "bob ALL=(ALL"),
        (Sshd, "Permit-Root yes"),
        (Crontab, "* * * * root x"),
        (Preload, "/tmp/x.so\0"),
        (Pam, "auth"),
        (Systemd, "ExecStart"),
        (Environment, "LD_PRELOAD"),
        (AptList, "deb http://a"),
        (Sysctl, "kernel"),
    ] {
        let found = ids(consumer, Some("#\n"), &format!("#\n{line}\n"));
        assert_eq!(found, ["not-understood"], "{consumer:?}");
        let behind = format!("{padding}{line}\n");
        let found = ids(consumer, Some(&padding), &behind);
        assert_eq!(found, ["not-understood"], "{consumer:?}");
        assert!(ids(consumer, Some(&behind), &behind).is_empty());
    }
    let key = format!("{padding}{ED25519}\n");
    let found = ids(AuthorizedKeys, Some(&padding), &key);
    assert_eq!(found, ["not-understood"]);
    // Of which nothing would be found if it were understood; and what sshd passes over.
    for consumer in [Hosts, KnownHosts, Text, AuthorizedKeys] {
        assert!(ids(consumer, Some(""), "planted\n").is_empty());
    }
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
        for consumer in Consumer::ALL {
            let state = state(consumer, &content);
            prop_assert!(find(Some(&state), Some(&state)).is_empty());
        }
    }
}

#[test]
fn the_manual_describes_every_finding_with_its_severity() {
    let page = include_str!("../../../../man/fimk-consumers.7");
    let section = page.split(".Sh FINDINGS").nth(1).unwrap_or_default();
    let section = section.split(".Sh ").next().unwrap_or_default();
    let described: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Ql "))
        .collect();
    let known: Vec<String> = Kind::ALL
        .into_iter()
        .map(|kind| format!("{} Pq {}", kind.id(), kind.severity()))
        .collect();
    assert_eq!(described, known);
}
