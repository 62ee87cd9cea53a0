//! Paths that cannot be read for now, because their file system does not answer or somebody holds a lease: told once,
//! and tried again until they can.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use crate::{engine::Engine, pending::Found};

/// Between two attempts: a lease ends within 45 seconds by default.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Paths tried again by themselves. What is beyond is found by comparing at intervals.
pub const STALLED_MAX: usize = 1_024;

/// Which, and when each is to be tried again.
#[derive(Default)]
pub struct Stalled {
    paths: HashMap<BytePath, Instant>,
    /// Directories that could not be listed: what is below is walked when they can.
    unlisted: HashSet<BytePath>,
    /// Those that would have had their first record, without an event.
    unrecorded: HashSet<BytePath>,
    overflowed: bool,
}

impl Stalled {
    /// It could not be read. Whether that is news.
    pub fn add(&mut self, path: &BytePath) -> bool {
        if self.paths.len() >= STALLED_MAX && !self.paths.contains_key(path) {
            return !std::mem::replace(&mut self.overflowed, true);
        }
        let next = Instant::now() + RETRY_EVERY;
        self.paths.insert(path.clone(), next).is_none()
    }

    /// It could not be read when it was to be recorded for the first time.
    pub fn add_unrecorded(&mut self, path: &BytePath) {
        self.add(path);
        if self.paths.contains_key(path) {
            self.unrecorded.insert(path.clone());
        }
    }

    /// It could not be listed.
    pub fn add_directory(&mut self, path: &BytePath) {
        self.add(path);
        if self.paths.contains_key(path) {
            self.unlisted.insert(path.clone());
        }
    }

    /// It could. Says whether it is to be recorded for the first time.
    pub fn remove(&mut self, path: &BytePath) -> bool {
        if self.unlisted.contains(path) {
            return false;
        }
        if self.paths.remove(path).is_some() && self.paths.is_empty() {
            self.overflowed = false;
        }
        self.unrecorded.remove(path)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether some are not among them.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// When the next is to be tried.
    pub fn next_due(&self) -> Option<Instant> {
        self.paths.values().min().copied()
    }

    fn due(&mut self) -> Vec<BytePath> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (path, when) in self.paths.iter_mut().filter(|(_, when)| **when <= now) {
            *when = now + RETRY_EVERY;
            due.push(path.clone());
        }
        due
    }
}

impl Engine {
    /// Lets those be examined again whose time has come.
    pub(crate) fn retry_stalled(&mut self) {
        for path in self.stalled.due() {
            if self.stalled.unlisted.contains(&path) {
                let at = path.clone();
                if self
                    .ask(&path, move |reader| reader.attributes(&at).is_ok())
                    .is_ok()
                {
                    self.stalled.unlisted.remove(&path);
                    self.stalled.remove(&path);
                    self.scan_wanted = Some(format!("{path} answers again"));
                }
                continue;
            }
            let pending = self.settle.entry(&path, false);
            pending.found.get_or_insert(Found::Late);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_news_once_and_no_more_are_kept_than_are_tried() {
        let mut stalled = Stalled::default();
        let path = |number: usize| BytePath::new(format!("/{number}").as_bytes());
        assert!(stalled.add(&path(0)) && !stalled.add(&path(0)));
        assert!((1..STALLED_MAX).all(|number| stalled.add(&path(number))));
        assert!(stalled.add(&path(STALLED_MAX)) && stalled.overflowed());
        assert!(!stalled.add(&path(STALLED_MAX + 1)));
        assert_eq!(stalled.len(), STALLED_MAX);
        assert!((0..STALLED_MAX).all(|number| !stalled.remove(&path(number))));
        assert!(!stalled.overflowed() && stalled.next_due().is_none());
    }
}
