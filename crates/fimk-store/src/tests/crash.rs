//! Killed processes, torn files, second instances.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::{Lost, StoreError};

const DIR: &str = "FIMK_STORE_TEST_DIR";

/// What the child process of the tests below runs: commits for ever, and says each sequence when it is committed.
#[test]
fn child_process_that_commits_until_it_is_killed() {
    let Some(dir) = env::var_os(DIR) else { return };
    let mut store = open(Path::new(&dir));
    loop {
        let sequence = store.next_sequence();
        let put = vec![(path(&format!("/{sequence:08}")), records().remove(1))];
        store
            .commit(Commit {
                put,
                remove: vec![],
                events: vec![change()],
            })
            .unwrap();
        if sequence.is_multiple_of(64) {
            store.sync().unwrap();
        }
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "committed {sequence}").unwrap();
        stdout.flush().unwrap();
    }
}

fn start_child(dir: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "tests::crash::child_process_that_commits_until_it_is_killed",
            "--nocapture",
        ])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

fn last_committed(stdout: impl BufRead, at_most: usize) -> Option<u64> {
    let committed = stdout.lines().map_while(Result::ok).filter_map(|line| {
        let (_, number) = line.split_once("committed ")?;
        number.parse().ok()
    });
    committed.take(at_most).last()
}

#[test]
fn nothing_committed_is_lost_when_the_process_is_killed() {
    let dir = tempdir().unwrap();
    let mut last = 0;
    for commits in [1, 300, 100] {
        let (mut child, mut stdout) = start_child(dir.path());
        let early = last_committed(&mut stdout, commits).expect("it committed something");
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died.
        last = last_committed(stdout, usize::MAX).unwrap_or(early);
        let (store, opened) = Store::open(dir.path()).unwrap();
        assert_eq!(opened.lost, None);
        assert!(store.next_sequence() > last);
        let count = store.next_sequence() - 1;
        assert_eq!(store.event_range().unwrap(), Some((1, count)));
        assert_eq!(
            store.records(None).map(Result::unwrap).count() as u64,
            count,
            "records and events are of one batch"
        );
        store.verify_chain(0).unwrap();
    }
    assert!(last >= 401);
}

#[test]
fn a_second_process_is_told_that_the_first_has_it() {
    let dir = tempdir().unwrap();
    let (mut child, mut stdout) = start_child(dir.path());
    last_committed(&mut stdout, 1).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use by another fimk"));
}

#[test]
fn a_second_opening_in_one_process_is_refused_too() {
    let dir = tempdir().unwrap();
    let first = open(dir.path());
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(first);
    open(dir.path());
}

/// Ten events, the first six of them synced, and the only WAL.
fn ten_events() -> (TempDir, PathBuf, u64) {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    add_events(&mut store, 6);
    store.sync().unwrap();
    assert_eq!(store.synced_sequence(), 6);
    let wal = files(dir.path(), ".log").pop().unwrap();
    let synced_length = fs::metadata(&wal).unwrap().len();
    add_events(&mut store, 4);
    (dir, wal, synced_length)
}

fn cut(file: &Path, length: u64) {
    OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(length)
        .unwrap();
}

#[test]
fn a_torn_tail_that_was_never_synced_is_tolerated() {
    let (dir, wal, synced_length) = ten_events();
    let length = fs::metadata(&wal).unwrap().len();
    cut(&wal, length - 3);
    let (store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(opened.lost, None);
    assert_eq!(store.next_sequence(), 10);
    drop(store);

    let (dir, wal, _) = ten_events();
    cut(&wal, synced_length);
    let (store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!((opened.lost, store.next_sequence()), (None, 7));
}

#[test]
fn a_torn_tail_that_was_synced_is_reported_until_an_event_is_on_disk() {
    let (dir, wal, synced_length) = ten_events();
    cut(&wal, synced_length - 3);
    let lost = Lost {
        synced: Some(6),
        found: 5,
    };
    for _ in 0..2 {
        let (store, opened) = Store::open(dir.path()).unwrap();
        assert_eq!(opened.lost, Some(lost));
        assert_eq!(
            store.next_sequence(),
            7,
            "a sequence that was on disk is not used again"
        );
        assert_eq!(store.synced_sequence(), 5);
    }
    assert!(
        lost.to_string()
            .contains("ends at event 5 and event 6 had been on disk")
    );
    let mut store = open(dir.path());
    add_events(&mut store, 1);
    assert_eq!(sequences(&store, 4), [5, 7]);
    store
        .verify_chain(0)
        .expect("the chain goes on over the gap");
    store.sync().unwrap();
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().1.lost, None);
}

#[test]
fn a_wal_cut_anywhere_opens_with_whole_commits_only() {
    let (dir, wal, _) = ten_events();
    let whole = fs::read(&wal).unwrap();
    let name = wal.file_name().unwrap();
    drop(dir);
    for length in (0..whole.len()).step_by(whole.len() / 23) {
        // The database as it was before RocksDB recovered it.
        let (dir, wal, _) = ten_events();
        assert_eq!(wal.file_name().unwrap(), name);
        cut(&wal, length as u64);
        let (store, opened) = match Store::open(dir.path()) {
            Ok(opened) => opened,
            // Not even its schema is left, which had been on disk.
            Err(StoreError::Damaged { what, .. }) => {
                assert!(what.contains("was not") && length < whole.len() / 10);
                continue;
            }
            Err(error) => panic!("cut to {length} bytes: {error}"),
        };
        let found = sequences(&store, 0).len() as u64;
        let lost = (found < 6).then_some(Lost {
            synced: Some(6),
            found,
        });
        assert_eq!(opened.lost, lost, "cut to {length} bytes");
        store.verify_chain(0).unwrap();
    }
}

#[test]
fn a_flipped_byte_of_the_wal_is_damage_or_a_loss_that_is_said() {
    let (dir, wal, synced_length) = ten_events();
    let length = fs::read(&wal).unwrap().len();
    drop(dir);
    let mut damaged = 0;
    for at in (0..length).step_by(length.div_ceil(60)) {
        let (dir, wal, _) = ten_events();
        let mut bytes = fs::read(&wal).unwrap();
        bytes[at] ^= 0x10;
        fs::write(&wal, bytes).unwrap();
        match Store::open(dir.path()) {
            Err(StoreError::Damaged { .. }) => damaged += 1,
            Err(error) => panic!("byte {at}: {error}"),
            Ok((store, opened)) => {
                let found = sequences(&store, 0).len();
                assert!(opened.lost.is_some() == (found < 6), "byte {at}: {found}");
                assert!(
                    (at as u64) < synced_length || found >= 6,
                    "byte {at}: {found}"
                );
            }
        }
    }
    assert!(damaged >= 20, "only {damaged} were noticed");
}

#[test]
fn a_missing_or_torn_synced_file_is_said() {
    let (dir, ..) = ten_events();
    let synced = dir.path().join("synced");
    let whole = fs::read(&synced).unwrap();

    let mut torn = whole.clone();
    torn[3] ^= 1;
    torn[4096 + 12] ^= 1;
    for bytes in [None, Some(torn), Some(vec![]), Some(whole[..15].to_vec())] {
        match bytes {
            None => fs::remove_file(&synced).unwrap(),
            Some(bytes) => fs::write(&synced, bytes).unwrap(),
        }
        let (mut store, opened) = Store::open(dir.path()).unwrap();
        let found = store.next_sequence() - 1;
        assert_eq!(
            opened.lost,
            Some(Lost {
                synced: None,
                found
            })
        );
        add_events(&mut store, 1);
        store.sync().unwrap();
        drop(store);
        assert_eq!(Store::open(dir.path()).unwrap().1.lost, None);
    }
}

#[test]
fn one_torn_slot_of_the_synced_file_leaves_the_other() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    for _ in 0..4 {
        add_events(&mut store, 1);
        store.sync().unwrap();
    }
    drop(store);
    let synced = dir.path().join("synced");
    let whole = fs::read(&synced).unwrap();
    for at in [0, 15, 4096, 4111] {
        let mut torn = whole.clone();
        torn[at] ^= 0x80;
        fs::write(&synced, torn).unwrap();
        let (store, opened) = Store::open(dir.path()).unwrap();
        assert_eq!(opened.lost, None);
        let expected = if usize::from_be_bytes(whole[..8].try_into().unwrap()) == 4 {
            [3, 3, 4, 4]
        } else {
            [4, 4, 3, 3]
        };
        let index = [0, 15, 4096, 4111]
            .iter()
            .position(|&other| other == at)
            .unwrap();
        assert_eq!(store.synced_sequence(), expected[index], "byte {at}");
    }
}
