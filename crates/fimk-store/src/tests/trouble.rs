//! A disk that takes nothing for a while.

use std::fs;

use tempfile::tempdir;

use super::*;
use crate::{
    KEPT_BYTES_MAX, Recovered, StoreError,
    fail::{FAILING, Point},
};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EROFS: i32 = 30;

fn fail_at(point: Point, errno: i32) {
    FAILING.set(Some((point, errno)));
}

fn works_again() {
    FAILING.set(None);
}

/// A record and an event.
fn commit(store: &mut Store, name: &str) {
    let commit = Commit {
        put: vec![(path(name), records().remove(2))],
        remove: vec![],
        events: vec![notice(name)],
    };
    store.commit(commit).unwrap();
}

fn names(store: &Store) -> Vec<String> {
    let records = store.records(None);
    records.map(|item| item.unwrap().0.escaped()).collect()
}

fn recover(store: &mut Store) -> Recovered {
    let recovered = store.recover().unwrap();
    recovered.unwrap_or_else(|| panic!("{:?}", store.trouble()))
}

fn assert_whole(store: &Store, events: u64) {
    assert_eq!(sequences(store, 0), (1..=events).collect::<Vec<_>>());
    assert_eq!(names(store).len() as u64, events);
    store.verify_chain(0).unwrap();
}

#[test]
fn what_the_disk_refuses_is_kept_in_memory_and_stored_when_it_takes_it() {
    for (point, errno) in [
        (Point::BeforeBatch, ENOSPC),
        (Point::AfterBatch, EIO),
        (Point::BeforeBatch, EROFS),
    ] {
        let dir = tempdir().unwrap();
        let mut store = open(dir.path());
        commit(&mut store, "/a/1");
        store.sync().unwrap();
        commit(&mut store, "/a/2");
        fail_at(point, errno);
        commit(&mut store, "/a/3");
        assert!(store.trouble().is_some() && store.has_room());
        commit(&mut store, "/b");
        let commit_of_removal = Commit {
            remove: vec![path("/a/1")],
            events: vec![notice("/a/1 went")],
            ..Commit::default()
        };
        store.commit(commit_of_removal).unwrap();
        store.set_cursor("stdout", 4).unwrap();
        store.set_meta("alive", b"now").unwrap();

        assert_eq!(names(&store), ["/a/2", "/a/3", "/b"]);
        let below: Vec<_> = store.records(Some(&path("/a"))).collect();
        assert_eq!(below.len(), 2);
        assert_eq!(store.record(&path("/a/1")).unwrap(), None);
        assert!(store.record(&path("/b")).unwrap().is_some());
        assert_eq!(sequences(&store, 1), [2, 3, 4, 5]);
        assert_eq!(store.cursor("stdout").unwrap(), 4);
        assert_eq!(store.event_range().unwrap(), Some((1, 5)));
        assert_eq!(store.retain(&crate::Retention::default()).unwrap(), 0);
        store.sync().unwrap();
        assert!(!store.is_on_disk());
        assert!(store.synced_sequence() <= 1);

        works_again();
        let recovered = recover(&mut store);
        assert!(
            recovered.records >= 3 && recovered.events >= 3,
            "{recovered:?}"
        );
        assert!(store.is_on_disk() && store.kept_bytes() == 0);
        assert_eq!(store.synced_sequence(), 5);
        commit(&mut store, "/c");
        drop(store);
        let (store, opened) = Store::open(dir.path()).unwrap();
        assert_eq!((opened.lost, opened.unstored), (None, None));
        assert_eq!(names(&store), ["/a/2", "/a/3", "/b", "/c"]);
        assert_eq!(sequences(&store, 0), [1, 2, 3, 4, 5, 6]);
        assert_eq!(store.stored_events().0, 6);
        assert_eq!(store.meta("alive").unwrap().as_deref(), Some(&b"now"[..]));
        store.verify_chain(0).unwrap();
    }
}

#[test]
fn nothing_counts_as_on_disk_when_a_sync_failed_and_all_of_it_is_written_again() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, "/1");
    fail_at(Point::BetweenSyncs, EIO);
    store.sync().unwrap();
    assert!(!store.is_on_disk() && store.synced_sequence() == 0);
    assert!(matches!(
        store.trouble().unwrap().error,
        StoreError::Io { .. }
    ));
    assert!(store.recover().unwrap().is_none(), "it still fails");
    works_again();
    assert_eq!(recover(&mut store).events, 1);
    assert!(store.is_on_disk() && store.synced_sequence() == 1);
    assert_whole(&store, 1);
}

#[test]
fn a_recovery_that_fails_half_way_is_tried_again() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, "/1");
    fail_at(Point::BeforeBatch, ENOSPC);
    commit(&mut store, "/2");
    for point in [
        Point::Closed,
        Point::Reopened,
        Point::Closed,
        Point::AfterSync,
    ] {
        fail_at(point, EIO);
        assert!(store.recover().unwrap().is_none());
        assert_eq!(
            store.has_room(),
            point != Point::Closed,
            "without it nothing can be read"
        );
        assert!(
            store.record(&path("/2")).is_ok_and(|it| it.is_some()),
            "what is kept can"
        );
    }
    works_again();
    recover(&mut store);
    assert_whole(&store, 2);
    commit(&mut store, "/3");
    assert_whole(&store, 3);
}

#[test]
fn memory_is_bounded_and_what_finds_no_room_is_refused_whole() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    fail_at(Point::BeforeBatch, ENOSPC);
    let large = record(Content::Unread("x".repeat(1 << 20)));
    let mut kept = 0;
    while store.has_room() {
        let put = vec![(path(&format!("/{kept}")), large.clone())];
        let commit = Commit {
            put,
            ..Commit::default()
        };
        store.commit(commit).unwrap();
        kept += 1;
    }
    assert!(kept > 4 && store.kept_bytes() < KEPT_BYTES_MAX + (2 << 20));
    let refused = Commit {
        events: vec![notice("too much")],
        ..Commit::default()
    };
    let error = store.commit(refused.clone()).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    works_again();
    assert_eq!(recover(&mut store).records, kept);
    assert_eq!(store.commit(refused).unwrap()[0].sequence, 1);
    assert_eq!(names(&store).len(), kept);
}

#[test]
fn little_is_in_memory_when_all_is_well() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    let large = record(Content::Unread("x".repeat(1 << 20)));
    for n in 0..20 {
        let commit = Commit {
            put: vec![(path(&format!("/{n}")), large.clone())],
            ..Commit::default()
        };
        store.commit(commit).unwrap();
        assert!(store.kept_bytes() < 5 << 20);
    }
    store.sync().unwrap();
    assert_eq!(store.kept_bytes(), 0);
}

#[test]
fn numbers_that_were_told_and_not_stored_are_never_used_again() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, "/1");
    store.sync().unwrap();
    fail_at(Point::BeforeBatch, ENOSPC);
    commit(&mut store, "/2");
    let told = store.next_sequence() - 1;
    // As kill -9 leaves it.
    drop(store);
    works_again();
    for _ in 0..2 {
        let (store, opened) = Store::open(dir.path()).unwrap();
        let unstored = opened.unstored.clone();
        assert!(unstored.is_some_and(|it| *it.start() == 2 && it.contains(&told)));
        assert!(store.next_sequence() > told && opened.lost.is_none());
        assert_eq!(sequences(&store, 0), [1]);
    }
    let mut store = open(dir.path());
    add_events(&mut store, 1);
    store.sync().unwrap();
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().1.unstored, None);
}

#[test]
fn a_database_swapped_while_it_is_open_is_noticed_and_the_other_left_alone() {
    let dir = tempdir().unwrap();
    let (here, aside, other) = (
        dir.path().join("rocksdb"),
        dir.path().join("aside"),
        tempdir().unwrap(),
    );
    add_events(&mut open(other.path()), 3);
    let mut store = open(dir.path());
    commit(&mut store, "/1");
    fs::rename(&here, &aside).unwrap();
    store.sync().unwrap();
    let swapped =
        |store: &Store| matches!(store.trouble().unwrap().error, StoreError::Swapped { .. });
    assert!(swapped(&store), "it is gone");
    fs::rename(other.path().join("rocksdb"), &here).unwrap();
    commit(&mut store, "/2");
    assert!(store.recover().unwrap().is_none());
    assert!(swapped(&store), "it is another");
    assert_eq!(names(&store), ["/1", "/2"]);
    fs::rename(&here, other.path().join("rocksdb")).unwrap();
    fs::create_dir(&here).unwrap();
    assert!(store.recover().unwrap().is_none());
    assert_eq!(fs::read_dir(&here).unwrap().count(), 0, "none is made");
    fs::remove_dir(&here).unwrap();
    fs::rename(&aside, &here).unwrap();
    recover(&mut store);
    assert_whole(&store, 2);
    assert_eq!(sequences(&open(other.path()), 0), [1, 2, 3]);
}

#[test]
fn an_older_copy_in_the_place_of_the_files_is_not_taken_for_the_database() {
    let dir = tempdir().unwrap();
    let here = dir.path().join("rocksdb");
    add_events(&mut open(dir.path()), 2);
    let copy = tempdir().unwrap();
    for file in files(dir.path(), "") {
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    let mut store = open(dir.path());
    commit(&mut store, "/3");
    store.sync().unwrap();
    fail_at(Point::BeforeBatch, ENOSPC);
    commit(&mut store, "/4");
    works_again();
    // In the same directory, under RocksDB's feet.
    for file in files(dir.path(), "") {
        fs::remove_file(file).unwrap();
    }
    for file in fs::read_dir(copy.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), here.join(file.file_name())).unwrap();
    }
    match store.recover() {
        // Files that RocksDB still had open, or removed, may not fit the copy.
        Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
        Ok(recovered) => {
            assert_eq!(recovered, None);
            let error = &store.trouble().unwrap().error;
            assert!(matches!(error, StoreError::Swapped { .. }), "{error}");
        }
    }
}

#[test]
fn a_lock_that_somebody_removed_is_noticed_and_taken_anew() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, "/1");
    fs::remove_file(dir.path().join("rocksdb/LOCK")).unwrap();
    store.sync().unwrap();
    assert!(matches!(
        store.trouble().unwrap().error,
        StoreError::Swapped { .. }
    ));
    recover(&mut store);
    assert_whole(&store, 1);
    let second = Store::open(dir.path()).unwrap_err();
    assert!(matches!(second, StoreError::Locked { .. }), "{second}");
}

#[test]
fn somebody_who_took_the_database_meanwhile_is_not_disturbed() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, "/1");
    fail_at(Point::Closed, EIO);
    store.sync().unwrap();
    fail_at(Point::BeforeBatch, EIO);
    commit(&mut store, "/2");
    fail_at(Point::Closed, EIO);
    assert!(store.recover().unwrap().is_none() && !store.has_room());
    works_again();
    let other = open(dir.path());
    let error = store.recover().unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(other);
}
