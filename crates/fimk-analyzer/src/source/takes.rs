//! Which dirty entries are to be taken, each once at a time, and no more than the loader has room for.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::identity::{ActorKey, Object};

/// A dirty entry.
pub type Key = (Object, ActorKey);

/// Entries asked for or taken and not yet done: half of the kernel's `taken` map. The loader drops a peer that
/// takes more than the map holds, and the next analyzer finds there what this one left.
pub const TAKEN_MAX: usize = 8_192;

/// What is to be taken and what was asked for. No longer than the kernel's `dirty` map, but for directories
/// that are not watched themselves: those are answered with nothing, and go.
#[derive(Default)]
pub struct Takes {
    queue: VecDeque<Key>,
    queued: HashSet<Key>,
    asked: HashMap<Key, u32>,
    in_flight: usize,
}

impl Takes {
    /// An entry became dirty. One that is already asked for is asked for again: it may have been made after.
    pub fn want(&mut self, key: Key) {
        if self.queued.insert(key) {
            self.queue.push_back(key);
        }
    }

    /// The next to ask for, if there is room beside those that are taken and not done.
    pub fn next(&mut self, undone: usize) -> Option<Key> {
        if undone.saturating_add(self.in_flight) >= TAKEN_MAX {
            return None;
        }
        let key = self.queue.pop_front()?;
        self.queued.remove(&key);
        *self.asked.entry(key).or_default() += 1;
        self.in_flight += 1;
        Some(key)
    }

    /// An answer came; false when nobody asked for it.
    pub fn answered(&mut self, key: Key) -> bool {
        let Some(times) = self.asked.get_mut(&key) else {
            return false;
        };
        *times -= 1;
        if *times == 0 {
            self.asked.remove(&key);
        }
        self.in_flight -= 1;
        true
    }

    /// Whether another answer about this entry is to come.
    pub fn awaits(&self, key: Key) -> bool {
        self.queued.contains(&key) || self.asked.contains_key(&key)
    }

    /// Whether answers are out.
    pub fn in_flight(&self) -> bool {
        self.in_flight > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inode: u64) -> Key {
        let object = Object {
            inode,
            device: 1,
            generation: 0,
        };
        let actor = ActorKey {
            pid: 7,
            image: 1,
            start_ns: 9,
        };
        (object, actor)
    }

    #[test]
    fn an_entry_that_became_dirty_many_times_is_asked_for_once() {
        let mut takes = Takes::default();
        (0..100).for_each(|_| takes.want(key(1)));
        assert_eq!(takes.next(0), Some(key(1)));
        assert_eq!(takes.next(0), None);
        assert!(takes.awaits(key(1)));
        assert!(takes.answered(key(1)));
        assert!(!takes.awaits(key(1)) && !takes.in_flight());
    }

    #[test]
    fn no_more_is_asked_for_than_the_loader_has_room_for() {
        let mut takes = Takes::default();
        (0..20_000).for_each(|inode| takes.want(key(inode)));
        let asked = std::iter::from_fn(|| takes.next(100)).count();
        assert_eq!(asked, TAKEN_MAX - 100);
        assert!(takes.answered(key(0)));
        assert!(takes.next(100).is_some());
        assert_eq!(takes.next(TAKEN_MAX), None);
    }

    #[test]
    fn an_answer_that_nobody_asked_for_takes_nothing_from_others() {
        let mut takes = Takes::default();
        takes.want(key(1));
        assert!(takes.next(0).is_some());
        assert!(!takes.answered(key(2)));
        assert!(takes.in_flight());
    }
}
