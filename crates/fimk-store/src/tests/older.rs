//! Values that an older fimk wrote: read as they are, and no difference to those of today.

use super::*;
use crate::{
    Retention,
    codec::{self, SCHEMA},
    open::{META, SCHEMA_KEY},
};

/// The values that fimk 0.1 wrote into it, as text: records of every kind, an event of every action.
const SCHEMA_1: &str = include_str!("schema_1.txt");

/// Its files, packed.
const ARCHIVE_1: &[u8] = include_bytes!("schema_1.tar.gz");

/// The files of a database of schema 2, made with its sources: the records of these tests, and three events, of which the
/// second ends before what else is known of the object.
const ARCHIVE_2: &[u8] = include_bytes!("schema_2.tar.gz");

/// The same of schema 3: each event has all that it had then.
const ARCHIVE_3: &[u8] = include_bytes!("schema_3.tar.gz");

fn written(kind: &str) -> Vec<Vec<u8>> {
    let lines = SCHEMA_1
        .lines()
        .filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    lines
        .map(|hex| {
            let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("it is hex");
            (0..hex.len()).step_by(2).map(digit).collect()
        })
        .collect()
}

/// A database as fimk 0.1 left it: its own files, made with the sources of schema 1 from the values below.
fn old_database() -> tempfile::TempDir {
    unpacked(ARCHIVE_1)
}

fn unpacked(archive: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let packed = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(packed.path(), archive).unwrap();
    let unpacked = std::process::Command::new("tar")
        .args(["--no-same-owner", "-xzf"])
        .arg(packed.path())
        .arg("-C")
        .arg(dir.path())
        .status();
    assert!(unpacked.unwrap().success());
    dir
}

#[test]
fn records_of_schema_1_say_what_they_said_and_nothing_of_what_was_not_looked_at() {
    let old = old_database();
    let store = open(old.path());
    let read: Vec<Record> = store.records(None).map(|item| item.unwrap().1).collect();
    assert_eq!(read.len(), 7);
    assert!(read.iter().all(|record| record.snapshot.extended.is_none()));
    for (read, written) in read.iter().zip(records()) {
        let known = Snapshot {
            extended: None,
            ..written.snapshot
        };
        assert_eq!(
            (&read.snapshot, read.seen, read.key_id),
            (&known, written.seen, written.key_id)
        );
    }
    let states = read[4..].iter().map(|record| &record.snapshot.content);
    let states: Vec<_> = states
        .map(|content| match content {
            Content::Read {
                state: Some(state), ..
            } => state,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(matches!(
        states[..],
        [State::Passwd(_), State::Shadow(_), State::Text(_)]
    ));
}

#[test]
fn events_of_schema_1_keep_their_chain_and_new_ones_follow() {
    let old = old_database();
    let mut store = open(old.path());
    assert_eq!(sequences(&store, 0), (1..=12).collect::<Vec<u64>>());
    let events = store.events_after(0, 20).unwrap();
    let actions: Vec<&str> = events.iter().map(|event| event.action.name()).collect();
    assert_eq!(
        actions,
        [
            "created",
            "deleted",
            "renamed",
            "modified",
            "attributes_modified",
            "linked",
            "monitor_started",
            "monitor_stopped",
            "baseline_created",
            "gap",
            "events_lost",
            "degraded"
        ]
    );
    let expected = Event {
        sequence: 4,
        ..without_what_is_new(change())
    };
    assert_eq!(events[3], expected);
    add_events(&mut store, 1);
    store.verify_chain(0).expect("one chain");
    store.verify_chain(13).expect("also from the new one on");
}

/// As schema 1 had it.
fn without_what_is_new(mut event: Event) -> Event {
    if let Body::Change(change) = &mut event.body {
        change.unread = None;
        change.file.further = Further::default();
        let actors = change.actor.iter_mut().chain(&mut change.actors);
        for actor in actors {
            actor.attribution = Attribution::default();
            (actor.container, actor.cgroup, actor.pid_in_namespace) = (None, None, None);
            let processes = actor.ancestors.iter_mut().chain([&mut actor.process]);
            processes.for_each(|process| process.executable_in_memory = false);
        }
    }
    event
}

/// As schema 3 had it.
fn unattributed(mut event: Event) -> Event {
    if let Some(change) = event.body.change_mut() {
        change.attribute(&[Attribution::default(); 2]);
    }
    event
}

/// As the first of schema 2 had it.
fn bare(event: Event) -> Event {
    let mut event = unattributed(event);
    if let Some(change) = event.body.change_mut() {
        change.file.further = Further::default();
    }
    event
}

#[test]
fn events_of_schema_1_are_sorted_by_kind_once_and_can_go_like_new_ones() {
    let old = old_database();
    let sorted = open(old.path()).stored_events();
    assert_eq!(sorted.0, 12);
    let mut store = open(old.path());
    assert_eq!(store.stored_events(), sorted);
    let none = Retention {
        bytes: 0,
        ..Retention::default()
    };
    assert_eq!(store.retain(&none).unwrap(), 11);
    assert_eq!(sequences(&store, 0), [12]);
    add_events(&mut store, 1);
    store.verify_chain(0).unwrap();
}

#[test]
fn an_old_database_that_was_opened_is_refused_by_the_fimk_that_made_it() {
    let schema = |store: &Store| {
        let found = store.scan(META, SCHEMA_KEY, None).next();
        found.map(|item| item.unwrap().1.into_vec())
    };
    for archive in [ARCHIVE_1, ARCHIVE_2] {
        let old = unpacked(archive);
        assert_eq!(schema(&open(old.path())), Some(vec![SCHEMA]));
    }
    let old = old_database();
    let mut store = open(old.path());
    let put = vec![(path("/etc/0"), records().remove(0))];
    let commit = Commit {
        put,
        ..Commit::default()
    };
    store.commit(commit).unwrap();
    let record = store.record(&path("/etc/0")).unwrap();
    assert_eq!(record, Some(records().remove(0)));
}

#[test]
fn a_cut_value_of_schema_1_is_damage() {
    for whole in written("record") {
        for length in 0..whole.len() {
            assert!(codec::decode::<Record>(&whole[..length]).is_err());
        }
    }
    for whole in written("event") {
        for at in 33..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 0xff;
            let _ = crate::chain::unseal(&1_u64.to_be_bytes(), &altered);
        }
    }
}

/// It says what it said, and goes on: these events, and the records of these tests.
fn says_what_it_said(archive: &[u8], told: [Event; 3]) {
    let old = unpacked(archive);
    let mut store = open(old.path());
    let read: Vec<Record> = store.records(None).map(|item| item.unwrap().1).collect();
    assert_eq!(read, records());
    let events = store.events_after(0, 20).unwrap();
    for (number, (read, told)) in (1..).zip(events.iter().zip(told)) {
        let sequence = number;
        assert_eq!(*read, Event { sequence, ..told });
    }
    let sorted = store.stored_events();
    assert_eq!((events.len(), sorted.0), (3, 3));
    add_events(&mut store, 1);
    store.verify_chain(0).expect("one chain");
}

#[test]
fn a_database_of_schema_2_says_what_it_said_and_goes_on() {
    let told = [notice("one"), bare(change()), unattributed(change())];
    says_what_it_said(ARCHIVE_2, told);
}

#[test]
fn a_database_of_schema_3_says_what_it_said_and_goes_on() {
    let told = [
        notice("one"),
        unattributed(change()),
        unattributed(change()),
    ];
    says_what_it_said(ARCHIVE_3, told);
}

#[test]
fn an_event_may_end_before_what_else_is_known_of_the_object_and_of_its_processes() {
    let [first, second, whole] = [bare(change()), unattributed(change()), change()];
    let [bare, further, all] =
        [&first, &second, &whole].map(|event| codec::encode_event(event).unwrap());
    assert_eq!(codec::encode(&whole).unwrap(), bare);
    assert!(all.starts_with(&further) && further.starts_with(&bare));
    for (bytes, event) in [(&bare, first), (&further, second), (&all, whole)] {
        assert_eq!(codec::decode::<Event>(bytes), Ok(event));
    }
    for length in (bare.len() + 1..all.len()).filter(|it| *it != further.len()) {
        assert!(codec::decode::<Event>(&all[..length]).is_err());
    }
    let followed = [&codec::encode(&notice("")).unwrap()[..], &all[bare.len()..]].concat();
    assert!(codec::decode::<Event>(&followed).is_err());
}
