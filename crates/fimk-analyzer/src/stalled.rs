//! Paths that cannot be read for now, because their file system does not answer or somebody holds a lease: told once,
//! and tried again until they can.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use crate::{engine::Engine, pending::Found, signal::Touch};

/// Between two attempts: a lease ends within 45 seconds by default.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Paths tried again by themselves. What is beyond is found by comparing at intervals.
pub const STALLED_MAX: usize = 1_024;

/// Touches kept of paths that have no record yet, some 150 bytes each. What is beyond shows as a new name that was found.
const TOUCHES_MAX: usize = 4_096;

/// Which, and when each is to be tried again.
#[derive(Default)]
pub struct Stalled {
    paths: HashMap<BytePath, Instant>,
    /// Directories that could not be listed: what is below is walked when they can.
    unlisted: HashSet<BytePath>,
    /// Those that would have had their first record, without an event.
    unrecorded: HashSet<BytePath>,
    /// What was done to those that have none: to be told when they can be read.
    touches: HashMap<BytePath, Vec<Touch>>,
    touches_kept: usize,
    overflowed: bool,
    /// Paths for which there was no room; one that comes again counts again.
    pub left_out: u64,
    /// Touches for which there was no room.
    pub touches_lost: u64,
}

impl Stalled {
    /// It could not be read. Whether that is news.
    pub fn add(&mut self, path: &BytePath) -> bool {
        if self.paths.len() >= STALLED_MAX && !self.paths.contains_key(path) {
            self.left_out += 1;
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

    /// Something was done to one that has no record, so that its first one would say nothing of it.
    pub fn keep(&mut self, path: &BytePath, touches: &[Touch]) {
        if touches.is_empty() || !self.paths.contains_key(path) {
            return;
        }
        self.unrecorded.remove(path);
        let room = TOUCHES_MAX - self.touches_kept;
        let (fitting, lost) = touches.split_at(room.min(touches.len()));
        self.touches_lost += lost.len() as u64;
        if !fitting.is_empty() {
            self.touches_kept += fitting.len();
            let kept = self.touches.entry(path.clone()).or_default();
            kept.extend_from_slice(fitting);
        }
    }

    /// What was done to it meanwhile.
    fn take_touches(&mut self, path: &BytePath) -> Vec<Touch> {
        let touches = self.touches.remove(path).unwrap_or_default();
        self.touches_kept -= touches.len();
        touches
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
            if !self.tell_what_was_kept(&path) {
                let pending = self.settle.entry(&path, false);
                pending.found.get_or_insert(Found::Late);
            }
        }
    }

    /// What was done to a path while it could not be read waits to be told, if anything was.
    pub(crate) fn tell_what_was_kept(&mut self, path: &BytePath) -> bool {
        let touches = self.stalled.take_touches(path);
        let any = !touches.is_empty();
        for touch in touches {
            self.settle.entry(path, false).add(touch);
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use fimk_core::time::Timestamp;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_news_once_and_no_more_are_kept_than_are_tried() {
        let mut stalled = Stalled::default();
        let path = |number: usize| BytePath::new(format!("/{number}").as_bytes());
        assert!(stalled.add(&path(0)) && !stalled.add(&path(0)));
        assert!((1..STALLED_MAX).all(|number| stalled.add(&path(number))));
        assert!(stalled.add(&path(STALLED_MAX)) && stalled.overflowed());
        assert!(!stalled.add(&path(STALLED_MAX + 1)));
        assert_eq!((stalled.len(), stalled.left_out), (STALLED_MAX, 2));
        assert!((0..STALLED_MAX).all(|number| !stalled.remove(&path(number))));
        assert!(!stalled.overflowed() && stalled.next_due().is_none());
    }

    #[test]
    fn what_is_done_to_what_was_never_read_is_kept_within_a_limit_and_makes_its_first_record_an_event()
     {
        let mut stalled = Stalled::default();
        let path = BytePath::new(b"/stuck");
        let touch = || Touch::by_nobody(Timestamp(0), None);
        stalled.keep(&path, &[touch()]);
        assert!(stalled.take_touches(&path).is_empty(), "it is not stalled");
        stalled.add_unrecorded(&path);
        stalled.keep(&path, &[touch(), touch()]);
        assert_eq!(stalled.take_touches(&path).len(), 2);
        assert!(!stalled.remove(&path), "it is recorded with an event");
        stalled.add(&path);
        stalled.keep(&path, &[touch()]);
        for _ in 0..TOUCHES_MAX {
            stalled.keep(&path, &[touch(), touch()]);
        }
        assert_eq!(stalled.touches_lost, TOUCHES_MAX as u64 + 1);
        assert_eq!(stalled.take_touches(&path).len(), TOUCHES_MAX);
        assert_eq!(stalled.touches_kept, 0);
    }
}
