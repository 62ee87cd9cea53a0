//! What goes in comes out.

use tempfile::tempdir;

use super::*;
use crate::{Opened, StoreError};

#[test]
fn every_field_of_records_and_events_survives_reopening() {
    let dir = tempdir().unwrap();
    let put: Vec<_> = records()
        .into_iter()
        .zip(1..)
        .map(|(record, n)| (path(&format!("/r/{n}")), record))
        .collect();
    let (mut store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(
        opened,
        Opened {
            created: true,
            lost: None,
            unstored: None
        }
    );
    assert_eq!(store.next_sequence(), 1);
    let commit = Commit {
        put: put.clone(),
        remove: vec![],
        events: vec![change(), notice("é")],
    };
    let events = store.commit(commit).unwrap();
    let expected = [
        Event {
            sequence: 1,
            ..change()
        },
        Event {
            sequence: 2,
            ..notice("é")
        },
    ];
    assert_eq!(events, expected);
    drop(store);

    for _ in 0..2 {
        let (store, opened) = Store::open(dir.path()).unwrap();
        assert_eq!(
            opened,
            Opened {
                created: false,
                lost: None,
                unstored: None
            }
        );
        assert_eq!(store.next_sequence(), 3);
        assert_eq!(
            store.records(None).map(Result::unwrap).collect::<Vec<_>>(),
            put
        );
        assert_eq!(store.record(&put[0].0).unwrap().as_ref(), Some(&put[0].1));
        assert_eq!(store.record(&path("/none")).unwrap(), None);
        assert_eq!(store.events_after(0, 10).unwrap(), expected);
        assert_eq!(store.event_range().unwrap(), Some((1, 2)));
        store.verify_chain(0).unwrap();
    }
}

#[test]
fn records_below_a_path_are_in_order_and_without_its_siblings() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    let names = [
        "/",
        "/etc",
        "/etc!",
        "/etc-old",
        "/etc/",
        "/etc/a",
        "/etc/a/b",
        "/etc0",
        "/etcetera",
        "/etc\u{fffd}",
        "/f",
    ];
    let put = names
        .iter()
        .rev()
        .map(|name| (path(name), records().remove(0)))
        .collect();
    store
        .commit(Commit {
            put,
            ..Commit::default()
        })
        .unwrap();
    let below = |root: Option<&str>| -> Vec<String> {
        let root = root.map(path);
        store
            .records(root.as_ref())
            .map(|item| item.unwrap().0.escaped())
            .collect()
    };
    assert_eq!(below(Some("/etc")), ["/etc", "/etc/", "/etc/a", "/etc/a/b"]);
    assert_eq!(below(Some("/etc/a/b")), ["/etc/a/b"]);
    assert_eq!(below(Some("/nothing")), [""; 0]);
    assert_eq!(below(None), names);
    assert_eq!(below(Some("/")), names);
    let mut one_by_one = Vec::new();
    while let Some((path, _)) = store.record_after(one_by_one.last()).unwrap() {
        one_by_one.push(path);
    }
    assert_eq!(one_by_one, names.map(path));
    let etc = path("/etc");
    let all = [
        path("/etc"),
        path("/etc/"),
        path("/etc/a"),
        path("/etc/a/b"),
    ];
    for (at, passed) in all.iter().enumerate() {
        let rest = store.records_after(Some(&etc), Some(passed));
        let rest: Vec<BytePath> = rest.map(|item| item.unwrap().0).collect();
        assert_eq!(rest, all[at + 1..], "after {passed}");
    }
}

#[test]
fn a_path_removed_and_put_in_one_commit_is_there() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    let [first, second, ..] = <[Record; 4]>::try_from(records()).unwrap();
    store
        .commit(Commit {
            put: vec![(path("/a"), first.clone()), (path("/b"), first)],
            ..Commit::default()
        })
        .unwrap();
    let commit = Commit {
        put: vec![(path("/a"), second.clone())],
        remove: vec![path("/a"), path("/b")],
        events: vec![],
    };
    assert_eq!(store.commit(commit).unwrap(), []);
    assert_eq!(store.record(&path("/a")).unwrap(), Some(second));
    assert_eq!(store.record(&path("/b")).unwrap(), None);
    assert_eq!(store.next_sequence(), 1, "records use no sequence");
}

#[test]
fn what_is_over_its_limit_is_refused_whole_and_named() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    let large = record(Content::Unread("x".repeat(9 << 20)));
    let half = record(Content::Unread("x".repeat(6 << 20)));
    let long = BytePath::new(&vec![b'/'; (64 << 10) + 1]);
    let cases = [
        vec![
            (path("/small"), records().remove(0)),
            (path("/large"), large),
        ],
        vec![
            (path("/1"), half.clone()),
            (path("/2"), half.clone()),
            (path("/3"), half),
        ],
        vec![(long, records().remove(0))],
    ];
    for put in cases {
        let error = store
            .commit(Commit {
                put,
                remove: vec![],
                events: vec![notice("")],
            })
            .unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    }
    assert_eq!(store.records(None).count(), 0);
    assert_eq!(store.next_sequence(), 1);
    let error = store
        .commit(Commit {
            events: vec![notice(&"x".repeat(9 << 20))],
            ..Commit::default()
        })
        .unwrap_err();
    assert!(
        error.to_string().starts_with("the size of event 1 is 9437"),
        "{error}"
    );
    let mut both = change();
    if let Body::Change(change) = &mut both.body {
        change.diff = Some("x".repeat(5 << 20));
        let value = "y".repeat(5 << 20);
        change.file.further.now.xattrs = vec![("user.large".to_owned(), value)];
    }
    let error = store
        .commit(Commit {
            events: vec![both],
            ..Commit::default()
        })
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert!(store.set_meta("m", &vec![0; (64 << 10) + 1]).is_err());
    assert!(store.set_cursor(&"x".repeat(129), 1).is_err());
}

#[test]
fn a_value_of_the_greatest_size_can_be_read_again() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    let large = record(Content::Unread("x".repeat((8 << 20) - 200)));
    store
        .commit(Commit {
            put: vec![(path("/large"), large.clone())],
            ..Commit::default()
        })
        .unwrap();
    assert_eq!(store.record(&path("/large")).unwrap(), Some(large));
}

#[test]
fn events_come_in_pages_of_bounded_size() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    add_events(&mut store, 5);
    assert_eq!(
        store
            .events_after(1, 2)
            .unwrap()
            .iter()
            .map(|event| event.sequence)
            .collect::<Vec<_>>(),
        [2, 3]
    );
    assert_eq!(sequences(&store, 5), Vec::<u64>::new());
    assert_eq!(sequences(&store, u64::MAX), Vec::<u64>::new());
    for _ in 0..5 {
        store
            .commit(Commit {
                events: vec![notice(&"x".repeat(3 << 20))],
                ..Commit::default()
            })
            .unwrap();
    }
    assert_eq!(sequences(&store, 5), [6, 7]);
    assert_eq!(sequences(&store, 9), [10]);
}

#[test]
fn cursors_and_meta_survive_and_stay_apart_from_the_stores_own() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.cursor("stdout").unwrap(), 0);
    store.set_cursor("stdout", 7).unwrap();
    store.set_cursor("journald", u64::MAX).unwrap();
    store.set_cursor("stdout", 8).unwrap();
    store.set_meta("schema", b"not yours").unwrap();
    store.set_meta("empty", b"").unwrap();
    drop(store);
    let mut store = open(dir.path());
    assert_eq!(
        store.cursors().unwrap(),
        [
            ("journald".to_string(), u64::MAX),
            ("stdout".to_string(), 8)
        ]
    );
    assert_eq!(
        store.meta("schema").unwrap().as_deref(),
        Some(&b"not yours"[..])
    );
    assert_eq!(store.meta("empty").unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(store.meta("head").unwrap(), None);
    store.remove_cursor("stdout").unwrap();
    assert_eq!(store.cursor("stdout").unwrap(), 0);
    for n in 1..64 {
        store.set_cursor(&format!("output {n}"), 1).unwrap();
    }
    assert!(matches!(
        store.set_cursor("one more", 1),
        Err(StoreError::TooLarge { limit: 64, .. })
    ));
    store
        .set_cursor("journald", 1)
        .expect("a known one may always move");
}
