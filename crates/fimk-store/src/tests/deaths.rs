//! A process that dies at each step of a commit, a sync, a removal and a recovery.

use std::{
    collections::BTreeSet,
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use tempfile::tempdir;

use super::*;
use crate::{
    Retention,
    fail::{DIE, FAILING, Point},
};

const DIR: &str = "FIMK_STORE_TEST_DEATH";
/// The first commit of which the disk takes nothing for a while, and how many follow before it does.
const REFUSED: u64 = 40;
const WHILE: u64 = 5;

/// What the child process does: as the analyzer, commit, tell, remember what was told, sync, say done, remove.
#[test]
fn child_process_that_works_until_it_dies() {
    let Some(dir) = env::var_os(DIR) else { return };
    let mut store = open(Path::new(&dir));
    let told = |words: String| {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{words}").unwrap();
        stdout.flush().unwrap();
    };
    let keep = Retention {
        bytes: 4 << 10,
        ..Retention::default()
    };
    for number in 1..200 {
        if number == REFUSED {
            FAILING.set(Some((Point::BeforeBatch, 28)));
        }
        let commit = Commit {
            put: vec![(path(&format!("/{number:04}")), records().remove(1))],
            remove: vec![],
            events: vec![change()],
        };
        let sequence = store.commit(commit).unwrap()[0].sequence;
        told(format!("told {sequence}"));
        store.set_cursor("stdout", sequence).unwrap();
        if number == REFUSED + WHILE {
            FAILING.set(None);
            store.recover().unwrap().unwrap();
        }
        store.sync().unwrap();
        if store.is_on_disk() {
            told(format!("done {sequence}"));
        }
        store.retain(&keep).unwrap();
    }
}

/// What the child said before it died, by its words.
fn said(dir: &Path, point: Point, passes: u32) -> (BTreeSet<u64>, u64) {
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "tests::deaths::child_process_that_works_until_it_dies",
            "--nocapture",
        ])
        .env(DIR, dir)
        .env(DIE, format!("{point:?} {passes}"))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(
        !output.status.success(),
        "it was to die at {point:?} {passes}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers = |word: &str| -> BTreeSet<u64> {
        let lines = text.lines().filter_map(|line| line.split_once(word));
        lines
            .filter_map(|(_, number)| number.trim().parse().ok())
            .collect()
    };
    (
        numbers("told "),
        numbers("done ").last().copied().unwrap_or(0),
    )
}

fn assert_nothing_lost(point: Point, passes: u32) {
    let dir = tempdir().unwrap();
    let (told, done) = said(dir.path(), point, passes);
    let (mut store, opened) = Store::open(dir.path()).unwrap();
    let what = format!("{point:?} {passes}");
    let head = store.event_range().unwrap().map_or(0, |(_, last)| last);
    assert_eq!(opened.lost, None, "{what}");
    assert!(head >= done, "{what}: done means on disk");
    store.verify_chain(0).unwrap();
    // Record and event are of one batch.
    assert_eq!(store.records(None).count() as u64, head, "{what}");
    // Whoever reads what was told, and what is told now, has every event.
    let left: BTreeSet<u64> = sequences(&store, store.cursor("stdout").unwrap())
        .into_iter()
        .collect();
    let reached: BTreeSet<u64> = told.union(&left).copied().collect();
    assert!(
        (1..=head).all(|number| reached.contains(&number)),
        "{what}: {reached:?}"
    );
    // No number is used for two events.
    let last = told.last().copied().unwrap_or(0);
    assert!(store.next_sequence() > last.max(head), "{what}");
    assert!(opened.unstored.is_some() || last <= head, "{what}");
    let kept = sequences(&store, 0).len() as u64;
    assert_eq!(store.stored_events().0, kept, "{what}");
    add_events(&mut store, 1);
    store.verify_chain(0).unwrap();
}

#[test]
fn nothing_is_lost_at_any_step_of_a_commit() {
    for passes in [1, 2, 7, 30] {
        assert_nothing_lost(Point::BeforeBatch, passes);
        assert_nothing_lost(Point::AfterBatch, passes);
    }
}

#[test]
fn nothing_is_lost_at_any_step_of_a_sync() {
    for passes in [1, 2, 30] {
        assert_nothing_lost(Point::BetweenSyncs, passes);
        assert_nothing_lost(Point::AfterSync, passes);
    }
}

#[test]
fn nothing_is_lost_while_old_events_are_removed() {
    for passes in [1, 2, 20] {
        assert_nothing_lost(Point::BeforeRemoval, passes);
        assert_nothing_lost(Point::AfterRemoval, passes);
    }
}

#[test]
fn what_is_lost_when_it_dies_in_a_recovery_is_said_and_its_numbers_are_not_used() {
    for point in [Point::Closed, Point::Reopened] {
        assert_nothing_lost(point, 1);
    }
    // The syncs of the recovery itself.
    for point in [Point::BetweenSyncs, Point::AfterSync] {
        assert_nothing_lost(point, u32::try_from(REFUSED).unwrap());
    }
}
