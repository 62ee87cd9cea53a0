//! Against a real database in a temporary directory.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test may end in a panic"
)]

mod chain;
mod crash;
mod damage;
mod deaths;
mod keeping;
mod older;
mod retention;
mod small;
mod trouble;

use std::path::{Path, PathBuf};

use fimk_consumers::{Difference, State, Token};
use fimk_core::{
    attribution::Attribution,
    event::{
        Action, Actor, Body, Change, ContentVerdict, DetectedBy, Event, File, Further, Gap, Notice,
        Process, Source, Words,
    },
    path::BytePath,
    record::{
        AclEntry, AclWho, Attributes, Content, Digest, Extended, FileFlag, FileKind, Record,
        Snapshot, Xattr, XattrValue,
    },
    time::Timestamp,
};

use crate::{Commit, Store};

fn open(dir: &Path) -> Store {
    Store::open(dir).expect("the store opens").0
}

fn path(bytes: &str) -> BytePath {
    BytePath::new(bytes.as_bytes())
}

fn attributes(kind: FileKind) -> Attributes {
    Attributes {
        kind,
        mode: 0o6755,
        uid: 1000,
        gid: u32::MAX,
        size: u64::MAX,
        links: 2,
        inode: 1 << 40,
        device: (259, 3),
        mtime: Timestamp(i64::MIN),
        ctime: Timestamp(i64::MAX),
    }
}

fn record(content: Content) -> Record {
    Record {
        snapshot: Snapshot {
            attributes: attributes(FileKind::File),
            content,
            extended: Some(extended()),
        },
        seen: Timestamp(-1),
        key_id: Token([7; 16]),
    }
}

/// Everything is set.
fn extended() -> Extended {
    let entry = |who| AclEntry {
        who,
        permissions: 6,
    };
    Extended {
        flags: vec![FileFlag::Immutable, FileFlag::Verity],
        acl: vec![entry(AclWho::User(1000)), entry(AclWho::Mask)],
        default_acl: vec![entry(AclWho::Other)],
        capabilities: Some("cap_net_raw+ep".into()),
        xattrs: vec![
            Xattr {
                name: "user.note".into(),
                value: Some(XattrValue {
                    bytes: 2,
                    digest: [3; 32],
                    text: Some("é".into()),
                }),
            },
            Xattr {
                name: "user.gone".into(),
                value: None,
            },
        ],
        more: 7,
    }
}

/// One of each content.
fn records() -> Vec<Record> {
    vec![
        record(Content::Unread("larger than may be read".into())),
        record(Content::Read {
            digest: Digest::Plain([1; 32]),
            state: None,
        }),
        record(Content::Read {
            digest: Digest::Keyed([2; 32]),
            state: Some(State::Binary),
        }),
        record(Content::Link(BytePath::new(b"../\xff\n"))),
    ]
}

fn notice(message: &str) -> Event {
    Event {
        sequence: 0,
        created: Timestamp(5),
        boot: "boot".into(),
        source: None,
        action: Action::Gap,
        severity: 40,
        body: Body::Notice(Notice {
            message: message.into(),
            plan: vec![("vfs_write".into(), "fexit".into())],
            counts: vec![("objects".into(), 12)],
            lost: Vec::new(),
            gap: Some(Gap {
                from: Timestamp(1),
                to: Timestamp(2),
            }),
            config_digest: None,
        }),
    }
}

fn process(pid: u32) -> Process {
    Process {
        pid,
        executable: Some(BytePath::new(b"/usr/bin/v\xffm")),
        name: Some("vim".into()),
        args: vec!["vim".into(), String::new()],
        start: Some(Timestamp(3)),
        executable_gone: true,
        executable_in_memory: true,
        kernel: false,
    }
}

fn further() -> Further {
    let now = Words {
        file_system: Some("ext4".into()),
        flags: vec!["immutable".into()],
        acl: vec!["user:alice:rw-".into()],
        default_acl: vec!["mask::r--".into()],
        capabilities: Some("cap_net_raw+ep".into()),
        selinux: Some("passwd_file_t".into()),
        xattrs: vec![("user.note".into(), "é".into())],
    };
    Further {
        before: Words {
            flags: Vec::new(),
            ..now.clone()
        },
        now,
        owner_before: Some("alice".into()),
        group_before: None,
        digests: vec![Digest::Sha512([[1; 32], [2; 32]])],
    }
}

/// Every field is set.
fn change() -> Event {
    let actor = Actor {
        process: process(10),
        ancestors: vec![process(1), Process::default()],
        uid: Some(0),
        user: Some("root".into()),
        login_uid: Some(1000),
        session: Some(4),
        container: Some("web".into()),
        cgroup: Some("/web".into()),
        pid_in_namespace: Some(1),
        attribution: Attribution::FANOTIFY.with(Attribution::TABLE),
    };
    let file = File {
        path: BytePath::new(b"/etc/\x01\xfe"),
        attributes: Some(attributes(FileKind::Socket)),
        before: Some(attributes(FileKind::Symlink)),
        digest: Some(Digest::Keyed([9; 32])),
        owner: Some("root".into()),
        group: Some("wheel".into()),
        target: Some(path("/target")),
        further: further(),
    };
    let difference = Difference {
        subject: "user alice".into(),
        field: "uid".into(),
        before: Some("1000".into()),
        after: None,
    };
    let change = Change {
        file,
        actor: Some(actor.clone()),
        actors: vec![actor, Actor::default()],
        operations: vec!["write".into(), "rename".into()],
        start: Timestamp(1),
        end: Timestamp(2),
        count: u64::MAX,
        bytes: Some(0),
        rule: "accounts".into(),
        rules: vec!["accounts".into(), "etc".into()],
        tags: vec!["pci".into()],
        detected_by: DetectedBy::Late,
        gap: Some(Gap {
            from: Timestamp(1),
            to: Timestamp(2),
        }),
        changes: vec![difference],
        findings: Vec::new(),
        diff: Some("-a\n+é\n".into()),
        truncated: vec!["fimk.diff".into()],
        observed: true,
        content: Some(ContentVerdict::Changed),
        unread: Some("it is a fifo".into()),
        previous_path: Some(path("/a")),
        new_path: Some(path("/b")),
        accessed_path: Some(path("/c")),
        replaced: true,
    };
    Event {
        source: Some(Source::Bpf),
        action: Action::Modified,
        severity: 100,
        body: Body::Change(Box::new(change)),
        ..notice("")
    }
}

/// Commits `count` notices, one at a time.
fn add_events(store: &mut Store, count: u64) {
    for _ in 0..count {
        let event = notice(&format!("number {}", store.next_sequence()));
        store
            .commit(Commit {
                events: vec![event],
                ..Commit::default()
            })
            .expect("it is committed");
    }
}

fn sequences(store: &Store, after: u64) -> Vec<u64> {
    store
        .events_after(after, usize::MAX)
        .expect("events can be read")
        .iter()
        .map(|event| event.sequence)
        .collect()
}

/// Files of the database whose names end so.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("rocksdb")).expect("there is a database");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    paths.sort();
    paths
}
