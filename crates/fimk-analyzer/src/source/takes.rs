//! Which dirty entries are to be taken, each once at a time, and no more than the loader has room for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    attempts,
    identity::{ActorKey, Object},
};

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
    queued: BTreeSet<Key>,
    asked: BTreeMap<Key, u32>,
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

    /// Whether an answer is to come about this object and a process that is none of these.
    pub fn awaits_another(&self, object: Object, known: &[Option<ActorKey>]) -> bool {
        let queued = self.queued.range(from(object));
        let asked = self.asked.range(from(object)).map(|(key, _)| key);
        has_another(queued, object, known) || has_another(asked, object, known)
    }

    /// Whether answers are out.
    pub fn in_flight(&self) -> bool {
        self.in_flight > 0
    }
}

/// The keys of an object and those behind it, in their order.
pub fn from(object: Object) -> std::ops::RangeFrom<Key> {
    let first = ActorKey {
        pid: 0,
        image: 0,
        start_ns: 0,
    };
    (object, first)..
}

/// Whether among these keys, which begin with those of the object, is one of a process that changed it and is none of
/// those known.
pub fn has_another<'a>(
    keys: impl Iterator<Item = &'a Key>,
    object: Object,
    known: &[Option<ActorKey>],
) -> bool {
    keys.take_while(|(it, _)| *it == object)
        .filter(|(_, actor)| attempts::kind_of(actor.wire()).is_none())
        .any(|(_, actor)| !known.contains(&ActorKey::of(actor.wire())))
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
    fn another_process_is_awaited_until_its_entry_is_here_and_one_that_is_known_is_not() {
        let mut takes = Takes::default();
        let (object, first) = key(2);
        let second = ActorKey { pid: 8, ..first };
        takes.want((object, first));
        assert!(!takes.awaits_another(object, &[Some(first)]));
        takes.want((object, second));
        takes.want((key(3).0, ActorKey { pid: 9, ..first }));
        assert!(takes.awaits_another(object, &[Some(first)]));
        assert!(!takes.awaits_another(object, &[Some(second), Some(first)]));
        while takes.next(0).is_some() {}
        assert!(takes.awaits_another(object, &[Some(first)]));
        assert!(takes.answered((object, second)));
        assert!(!takes.awaits_another(object, &[Some(first)]));
        assert!(takes.awaits_another(key(3).0, &[Some(first)]));
        assert!(!takes.awaits_another(key(1).0, &[]));
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
