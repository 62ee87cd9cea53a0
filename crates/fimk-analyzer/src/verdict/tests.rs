use fimk_consumers::Token;
use fimk_core::{record::Digest, time::Timestamp};

use super::*;

fn attributes() -> Attributes {
    Attributes {
        kind: FileKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 4,
        links: 1,
        inode: 7,
        device: (8, 1),
        mtime: Timestamp(1),
        ctime: Timestamp(1),
    }
}

fn read(digest: Digest) -> Snapshot {
    Snapshot {
        attributes: attributes(),
        content: Content::Read {
            digest,
            state: None,
        },
        extended: None,
    }
}

fn record(snapshot: Snapshot) -> Record {
    Record {
        snapshot,
        seen: Timestamp(1),
        key_id: Token([0; 16]),
    }
}

#[test]
fn the_same_bytes_at_another_time_are_the_same_content() {
    let before = record(read(Digest::Plain([1; 32])));
    let mut after = read(Digest::Plain([1; 32]));
    after.attributes.mtime = Timestamp(2);
    let verdict = judge(Some(&before), Some(&after), true);
    assert_eq!(verdict.content, Some(ContentVerdict::Same));
    assert!(verdict.times && verdict.attributes.is_empty());
}

#[test]
fn a_changed_uid_is_named_with_both_values() {
    let before = record(read(Digest::Plain([1; 32])));
    let mut after = read(Digest::Plain([1; 32]));
    after.attributes.uid = 1_000;
    let verdict = judge(Some(&before), Some(&after), true);
    let [uid] = &verdict.attributes[..] else {
        panic!("one difference: {:?}", verdict.attributes)
    };
    assert_eq!(uid.field, "uid");
    assert_eq!(
        (uid.before.as_deref(), uid.after.as_deref()),
        (Some("0"), Some("1000"))
    );
}

#[test]
fn a_content_that_came_to_hold_a_secret_has_changed() {
    let before = record(read(Digest::Plain([1; 32])));
    let after = read(Digest::Keyed([1; 32]));
    assert!(judge(Some(&before), Some(&after), true).content_changed());
}

#[test]
fn secrets_under_another_key_are_judged_by_size_and_time() {
    let before = record(read(Digest::Keyed([1; 32])));
    let mut after = read(Digest::Keyed([2; 32]));
    assert!(!judge(Some(&before), Some(&after), false).content_changed());
    assert!(judge(Some(&before), Some(&after), true).content_changed());
    after.attributes.mtime = Timestamp(2);
    assert!(judge(Some(&before), Some(&after), false).content_changed());
}

#[test]
fn a_link_to_what_looks_like_a_secret_is_told_without_it() {
    let link = |target: &[u8]| Snapshot {
        attributes: attributes(),
        content: Content::Link(BytePath::new(target)),
        extended: None,
    };
    let hash = "$6$abcdefgh$0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopq";
    let before = record(link(b"/a"));
    let verdict = judge(Some(&before), Some(&link(hash.as_bytes())), true);
    let told = format!("{:?}", verdict.comparison.changes);
    assert!(verdict.content_changed() && told.contains("/a"), "{told}");
    assert!(!told.contains("0123456789"), "{told}");
}

struct Unkeyed;

impl fimk_consumers::Tokenize for Unkeyed {
    fn token(&self, _: &[u8]) -> Token {
        Token([0; 16])
    }
}

#[test]
fn what_is_not_read_now_is_not_called_empty() {
    let text = fimk_consumers::read(fimk_consumers::Consumer::Text, b"one\n", &Unkeyed);
    let mut before = read(Digest::Plain([1; 32]));
    before.content = Content::Read {
        digest: Digest::Plain([1; 32]),
        state: Some(text.state),
    };
    let mut after = read(Digest::Plain([1; 32]));
    after.content = Content::Unread("it is leased".to_owned());
    after.attributes.size += 4;
    let verdict = judge(Some(&record(before)), Some(&after), true);
    assert!(verdict.content_changed());
    assert_eq!(verdict.comparison, Comparison::default());
}

#[test]
fn what_was_understood_and_is_too_large_to_be_read_is_found() {
    use fimk_consumers::Consumer::{Sudoers, Text};
    let judged = |consumer, why: &str| {
        let reading = fimk_consumers::read(consumer, b"root ALL=ALL\n", &Unkeyed);
        let mut before = read(Digest::Plain([1; 32]));
        before.content = Content::Read {
            digest: Digest::Plain([1; 32]),
            state: Some(reading.state),
        };
        let mut after = read(Digest::Plain([1; 32]));
        after.content = Content::Unread(why.to_owned());
        after.attributes.size += 4;
        let verdict = judge(Some(&record(before)), Some(&after), true);
        let ids = verdict.content_findings.into_iter().map(|it| it.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(judged(Sudoers, "larger than 9 bytes"), ["not-understood"]);
    assert!(judged(Sudoers, "it is leased").is_empty());
    assert!(judged(Text, "larger than 9 bytes").is_empty());
}

#[test]
fn whom_an_access_list_newly_lets_write_is_found_as_far_as_its_mask_lets_him() {
    use fimk_core::record::{AclEntry, AclWho, Extended};
    let listed = |entries: &[(AclWho, u8)]| {
        let entry = |&(who, permissions): &(AclWho, u8)| AclEntry { who, permissions };
        Snapshot {
            extended: Some(Extended {
                acl: entries.iter().map(entry).collect(),
                ..Extended::default()
            }),
            ..read(Digest::Plain([1; 32]))
        }
    };
    let found = |before: &[(AclWho, u8)], after: &[(AclWho, u8)]| {
        let verdict = judge(Some(&record(listed(before))), Some(&listed(after)), true);
        let ids = verdict.attribute_findings.into_iter().map(|it| it.id);
        ids.collect::<Vec<_>>()
    };
    let (user, group, mask) = (AclWho::User(7), AclWho::Group(7), AclWho::Mask);
    for writer in [user, group] {
        assert_eq!(found(&[(writer, 4)], &[(writer, 6)]), ["acl-writable"]);
        assert_eq!(
            found(&[(writer, 6), (mask, 4)], &[(writer, 6)]),
            ["acl-writable"]
        );
        assert!(found(&[(writer, 6)], &[(writer, 6), (AclWho::Other, 4)]).is_empty());
        assert!(found(&[], &[(writer, 6), (mask, 4)]).is_empty());
    }
    assert!(found(&[], &[(AclWho::User(0), 6), (AclWho::Owner, 6)]).is_empty());
}
