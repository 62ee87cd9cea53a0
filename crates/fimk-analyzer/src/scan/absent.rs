//! What is on record and was not found by the walk.
//!
//! A million records take seconds: they are passed a slice at a time, and everything else has its turn between two slices.

use std::collections::VecDeque;

use fimk_core::{event::Gap, path::BytePath};
use fimk_store::{Commit, Store, StoreError};

use super::{MEANWHILE_EVERY, Tally, moves::Recorded};
use crate::{
    engine::{Engine, Trouble},
    exit::Failure,
    start::BASELINE_BATCH,
};

/// Records that are passed in one go: as many as there are paths compared before others get their turn.
#[allow(
    clippy::cast_possible_truncation,
    reason = "it is a small number on every machine"
)]
const SLICE: usize = MEANWHILE_EVERY as usize;

/// The way through what is on record: all, or what is below some names.
pub(super) struct Records<'a> {
    tops: VecDeque<Option<&'a BytePath>>,
    /// The last one that was passed below the first of them.
    after: Option<BytePath>,
}

impl<'a> Records<'a> {
    pub(super) fn below(tops: Option<&'a [BytePath]>) -> Self {
        let everything = || VecDeque::from([None]);
        Self {
            tops: tops.map_or_else(everything, |tops| tops.iter().map(Some).collect()),
            after: None,
        }
    }

    /// Passes a slice; what of it is not among these, which are sorted. None: all were passed.
    pub(super) fn absent(
        &mut self,
        store: &Store,
        present: &[&BytePath],
    ) -> Result<Option<Vec<(BytePath, Recorded)>>, StoreError> {
        let Some(top) = self.tops.front().copied() else {
            return Ok(None);
        };
        let (mut absent, mut passed, mut last) = (Vec::new(), 0, None);
        for item in store.records_after(top, self.after.as_ref()).take(SLICE) {
            let (path, record) = item?;
            passed += 1;
            if present.binary_search(&&path).is_err() {
                absent.push((path.clone(), Recorded::of(&record)));
            }
            last = Some(path);
        }
        if passed == SLICE {
            self.after = last;
        } else {
            self.tops.pop_front();
            self.after = None;
        }
        Ok(Some(absent))
    }
}

impl Engine {
    /// Records of what is no longer there, below these if they are given; those that no rule covers any more are dropped
    /// without a word, and counted. `present` is sorted.
    pub(super) fn compare_absent(
        &mut self,
        present: &[&BytePath],
        gap: Option<Gap>,
        below: Option<&[BytePath]>,
        tally: &mut Tally,
    ) -> Result<(), Trouble> {
        let mut absent = Vec::new();
        let mut records = Records::below(below);
        while let Some(slice) = records
            .absent(&self.store, present)
            .map_err(Failure::from)?
        {
            absent.extend(slice.into_iter().map(|(path, _)| path));
            self.between_slices()?;
        }
        if !absent.is_empty() {
            self.catch_up()?;
        }
        let mut uncovered = Vec::new();
        for (compared, path) in (1u64..).zip(absent) {
            if compared.is_multiple_of(MEANWHILE_EVERY) {
                self.between_slices()?;
            }
            if self.settle.waits(&path) {
                if gap.is_some() {
                    self.settle.found_by_comparing(&path);
                }
                continue;
            }
            if self.goes_untold(&path) {
                self.leave(&path);
            }
            if self.rules.covers(&path).is_some() {
                self.examine_found(&path, gap, tally)?;
            } else {
                uncovered.push(path);
            }
        }
        for some in uncovered.chunks(BASELINE_BATCH) {
            self.commit(Commit {
                remove: some.to_vec(),
                ..Commit::default()
            })?;
        }
        tally.dropped = uncovered.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use fimk_consumers::Token;
    use fimk_core::{
        record::{Attributes, Content, FileKind, Record, Snapshot},
        time::Timestamp,
    };

    use super::*;

    fn path(number: usize) -> BytePath {
        BytePath::new(format!("/watched/{number:05}").as_bytes())
    }

    fn record(inode: u64) -> Record {
        let attributes = Attributes {
            kind: FileKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            links: 1,
            inode,
            device: (8, 1),
            mtime: Timestamp(0),
            ctime: Timestamp(0),
        };
        Record {
            snapshot: Snapshot {
                attributes,
                content: Content::Unread(String::new()),
                extended: None,
            },
            seen: Timestamp(0),
            key_id: Token([0; 16]),
        }
    }

    fn put(store: &mut Store, numbers: impl Iterator<Item = usize>) {
        let put = numbers.map(|number| (path(number), record(number as u64)));
        let commit = Commit {
            put: put.collect(),
            ..Commit::default()
        };
        store.commit(commit).expect("it is writable");
    }

    #[test]
    fn others_have_their_turn_after_each_slice_and_what_they_write_takes_nothing_from_the_rest() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(directory.path()).expect("it opens");
        let all = 10 * SLICE;
        put(&mut store, 0..all);
        // Of every two names the walk found one.
        let found: Vec<BytePath> = (0..all).step_by(2).map(path).collect();
        let present: Vec<&BytePath> = found.iter().collect();
        let below = [BytePath::new(b"/watched")];
        for tops in [None, Some(&below[..])] {
            let (mut records, mut turns, mut absent) = (Records::below(tops), 0, Vec::new());
            while let Some(slice) = records.absent(&store, &present).expect("readable") {
                assert!(slice.len() <= SLICE, "a turn is waited for no longer");
                absent.extend(slice.into_iter().map(|(path, _)| path));
                turns += 1;
                // The turn of others: they record anew what was passed.
                put(&mut store, 0..1);
            }
            assert_eq!(turns, 11, "ten full slices, and the end");
            let expected: Vec<BytePath> = (1..all).step_by(2).map(path).collect();
            assert_eq!(absent, expected);
        }
    }
}
