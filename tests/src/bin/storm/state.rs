//! Whether the database holds what is on the disk.

use std::{
    fs,
    ops::RangeInclusive,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use fimk_core::record::{Content, Digest, FileKind, Record};
use fimk_store::Store;
use fimk_tests::{Event, run, text};
use sha2::{Digest as _, Sha256};

/// The database of a fimk that has stopped, read from a copy: opening it writes.
pub struct Kept {
    pub records: Vec<(PathBuf, Record)>,
    pub next_sequence: u64,
}

impl Kept {
    /// Copies and opens it.
    pub fn read(state: &Path, copy: &Path) -> Result<Self, String> {
        let _ = fs::remove_dir_all(copy);
        run("cp", &["-a", text(state), text(copy)]);
        let (store, _) = Store::open(copy).map_err(|error| error.to_string())?;
        let records = store
            .records(None)
            .map(|item| item.map(|(path, record)| (path.as_path().to_owned(), record)))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            records,
            next_sequence: store.next_sequence(),
        })
    }
}

/// Sentences on all that differs between the records below a directory and the disk.
pub fn compare(kept: &Kept, below: &Path) -> Vec<(PathBuf, String)> {
    let mut wrong = Vec::new();
    let mut there = Vec::new();
    list(below, &mut there);
    let known: Vec<_> = kept
        .records
        .iter()
        .filter(|(path, _)| path.starts_with(below))
        .collect();
    for (path, record) in &known {
        match path.symlink_metadata() {
            Err(_) => wrong.push(((*path).clone(), "is recorded and not there".to_owned())),
            Ok(found) => {
                if let Some(how) = differs(path, record, &found) {
                    wrong.push(((*path).clone(), how));
                }
            }
        }
    }
    for path in there {
        if !known.iter().any(|(known, _)| *known == path) {
            wrong.push((path, "is there and not recorded".to_owned()));
        }
    }
    wrong
}

fn list(directory: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("it is ours").flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&path, all);
        }
        all.push(path);
    }
}

fn differs(path: &Path, record: &Record, found: &fs::Metadata) -> Option<String> {
    let known = &record.snapshot.attributes;
    let same = |name: &str, known: u64, found: u64| {
        (known != found).then(|| format!("{name} is recorded as {known}, and is {found}"))
    };
    let kind = FileKind::from_mode(found.mode());
    if known.kind != kind {
        return Some(format!("recorded as {:?}, and is {kind:?}", known.kind));
    }
    same("inode", known.inode, found.ino())
        .or_else(|| same("mode", known.mode.into(), u64::from(found.mode() & 0o7777)))
        .or_else(|| same("uid", known.uid.into(), found.uid().into()))
        .or_else(|| {
            // What is made in a directory changes it, and is told for itself.
            if kind == FileKind::Directory {
                return None;
            }
            let mtime = found.mtime() * 1_000_000_000 + found.mtime_nsec();
            same("size", known.size, found.len())
                .or_else(|| same("links", known.links.into(), found.nlink()))
                .or_else(|| {
                    (known.mtime.0 != mtime)
                        .then(|| format!("mtime is recorded as {}, and is {mtime}", known.mtime.0))
                })
        })
        .or_else(|| content_differs(path, &record.snapshot.content, kind))
}

fn content_differs(path: &Path, content: &Content, kind: FileKind) -> Option<String> {
    match content {
        Content::Read {
            digest: Digest::Plain(known),
            ..
        } => {
            let found: [u8; 32] = Sha256::digest(fs::read(path).ok()?).into();
            (*known != found).then(|| "another content is recorded".to_owned())
        }
        Content::Link(target) => {
            let found = fs::read_link(path).ok()?;
            (target.as_path() != found).then(|| "another target is recorded".to_owned())
        }
        Content::Unread(why) if kind == FileKind::File => {
            Some(format!("its content is unread: {why}"))
        }
        _ => None,
    }
}

/// The numbers that those may have used who were killed on a full disk: which of what they kept in memory was printed nobody
/// knows, and what it told is told again under others.
fn given_up(event: &Event) -> Option<RangeInclusive<u64>> {
    let said = event
        .text("message")
        .filter(|_| event.action() == "events_lost")?;
    let (_, rest) = said.split_once("outputs may have events from ")?;
    let (first, rest) = rest.split_once(" to ")?;
    let (last, _) = rest.split_once(' ')?;
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// Sequence numbers without a hole, and what was printed twice the same both times.
pub fn sequences(events: &[Event], next: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut numbered: Vec<(u64, &Event)> = events
        .iter()
        .filter_map(|event| Some((event.number("event.sequence")?, event)))
        .collect();
    if numbered.len() < events.len() {
        wrong.push(format!(
            "{} events have no number",
            events.len() - numbered.len()
        ));
    }
    numbered.sort_by_key(|(number, _)| *number);
    for pair in numbered.windows(2) {
        if pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1 {
            wrong.push(format!(
                "two events with one number: {:?} and {:?}",
                pair[0].1, pair[1].1
            ));
        }
    }
    numbered.dedup_by_key(|(number, _)| *number);
    let given_up: Vec<RangeInclusive<u64>> = events.iter().filter_map(given_up).collect();
    let mut expected = 1;
    for (number, _) in &numbered {
        let is_given_up =
            |it: &RangeInclusive<u64>| it.contains(&expected) && it.contains(&(number - 1));
        if *number != expected && !given_up.iter().any(is_given_up) {
            wrong.push(format!(
                "numbers {expected} to {} were never printed",
                number - 1
            ));
        }
        expected = number + 1;
    }
    if expected != next {
        wrong.push(format!(
            "the database goes to {}, and was printed to {}",
            next - 1,
            expected - 1
        ));
    }
    wrong
}
