//! A real file system that is full. Needs root, to mount it.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::{StoreError, not_run::not_run};

/// A small file system, mounted; none where that cannot be.
struct Small {
    kind: &'static str,
    point: TempDir,
    _image: TempDir,
}

impl Small {
    /// One of each kind.
    fn ones() -> Vec<Self> {
        Self::of(&["tmpfs", "ext4"])
    }

    /// Of those kinds that can be had; one line for all that cannot.
    fn of(kinds: &[&'static str]) -> Vec<Self> {
        let (mut ones, mut lacking) = (Vec::new(), Vec::new());
        for kind in kinds {
            match Self::new(kind) {
                Some(small) => ones.push(small),
                None => lacking.push(*kind),
            }
        }
        if !lacking.is_empty() {
            let why = format!("{} cannot be mounted here", lacking.join(", "));
            not_run("a full file system", &why);
        }
        ones
    }

    fn new(kind: &'static str) -> Option<Self> {
        let (point, image) = (tempdir().unwrap(), tempdir().unwrap());
        let file = image.path().join("image");
        let mounted = if kind == "tmpfs" {
            mount(&["-t", "tmpfs", "-o", "size=24m", "none"], point.path())
        } else {
            let name = file.to_str().unwrap();
            fs::File::create(&file).unwrap().set_len(32 << 20).unwrap();
            ran(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", name]))
                && mount(&["-o", "loop", name], point.path())
        };
        let small = Self {
            kind,
            point,
            _image: image,
        };
        mounted.then_some(small)
    }

    /// Writes a file until nothing more goes in.
    fn fill(&self) {
        let mut filler = fs::File::create(self.filler()).unwrap();
        for size in [64 << 10, 1 << 10, 1] {
            while filler.write_all(&vec![1; size]).is_ok() && filler.sync_data().is_ok() {}
        }
    }

    fn filler(&self) -> PathBuf {
        self.point.path().join("filler")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.point.path())
            .status();
    }
}

fn mount(words: &[&str], point: &Path) -> bool {
    ran(Command::new("mount").args(words).arg(point))
}

fn ran(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn commit(store: &mut Store, number: u64) {
    let large = record(Content::Unread(format!("{number:0>30000}")));
    let commit = Commit {
        put: vec![(path(&format!("/{number}")), large)],
        remove: vec![],
        events: vec![change()],
    };
    store.commit(commit).unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_is_written_again_when_it_has_space() {
    for small in Small::ones() {
        let kind = small.kind;
        let dir = small.point.path().join("state");
        fs::create_dir(&dir).unwrap();
        let mut store = open(&dir);
        let mut number = 0;
        for round in 0..3 {
            small.fill();
            let before = number;
            while store.trouble().is_none() {
                number += 1;
                commit(&mut store, number);
                store.sync().unwrap();
                assert!(number - before < 1000, "{kind} takes it all");
            }
            assert!(
                matches!(store.trouble().unwrap().error, StoreError::Full { .. }),
                "{kind}: {:?}",
                store.trouble()
            );
            for _ in 0..10 {
                number += 1;
                commit(&mut store, number);
                assert!(store.recover().unwrap().is_none(), "{kind} is still full");
                assert!(store.record(&path("/1")).unwrap().is_some());
            }
            fs::remove_file(small.filler()).unwrap();
            let recovered = store.recover().unwrap();
            assert!(
                recovered.is_some(),
                "{kind}, {round}: {:?}",
                store.trouble()
            );
            assert!(store.is_on_disk());
        }
        drop(store);
        let (store, opened) = Store::open(&dir).unwrap();
        assert_eq!((opened.lost, opened.unstored), (None, None));
        assert_eq!(sequences(&store, 0), (1..=number).collect::<Vec<_>>());
        assert_eq!(store.records(None).count() as u64, number);
        store.verify_chain(0).unwrap();
    }
}

#[test]
fn numbers_told_on_a_full_disk_are_not_used_again_after_a_kill() {
    for small in Small::ones() {
        let kind = small.kind;
        let dir = small.point.path().join("state");
        fs::create_dir(&dir).unwrap();
        let mut store = open(&dir);
        commit(&mut store, 1);
        store.sync().unwrap();
        small.fill();
        for number in 2..300 {
            commit(&mut store, number);
            store.sync().unwrap();
        }
        assert!(store.trouble().is_some(), "{kind} takes it all");
        let told = store.next_sequence();
        drop(store);
        fs::remove_file(small.filler()).unwrap();
        let (store, opened) = Store::open(&dir).unwrap();
        let unstored = opened.unstored.is_some_and(|it| it.contains(&(told - 1)));
        assert!(unstored, "{kind}");
        assert!(store.next_sequence() >= told, "{kind}");
        store.verify_chain(0).unwrap();
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_or_read_only_is_a_sentence() {
    let Some(small) = Small::of(&["tmpfs"]).pop() else {
        return;
    };
    let dir = small.point.path().join("state");
    fs::create_dir(&dir).unwrap();
    add_events(&mut open(&dir), 3);
    small.fill();
    let error = Store::open(&dir).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(mount(&["-o", "remount,ro"], small.point.path()));
    let error = Store::open(&dir).unwrap_err();
    assert!(matches!(error, StoreError::Permission { .. }), "{error}");
    assert!(mount(&["-o", "remount,rw"], small.point.path()));
    fs::remove_file(small.filler()).unwrap();
    let store = open(&dir);
    assert_eq!(sequences(&store, 0), [1, 2, 3]);
}
