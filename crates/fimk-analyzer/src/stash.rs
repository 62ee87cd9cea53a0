//! What arrives while an answer is waited for: kept in order, and within a limit.
//!
//! Beyond the limit a record is reduced to the dirty entry that it announces. The kernel holds that entry until it
//! is taken: nothing is lost, only the names in the record have to be found by comparing the directory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fimk_wire::{Packet, raw};

use crate::{
    channel::Received,
    identity::{ActorKey, Object},
    source::{
        bpf,
        takes::{self, Key},
    },
};

/// Whole records kept: at no more than 2.7 KiB each, 44 MiB.
pub const PACKETS_MAX: usize = 16_384;

/// Packets, and what became of those that were too many.
#[derive(Default)]
pub struct Stash {
    packets: VecDeque<Received>,
    /// No more than the kernel's dirty map holds.
    announced: BTreeSet<Key>,
    /// How many of the records kept announce which dirty entry.
    kept: BTreeMap<Key, u32>,
}

impl Stash {
    /// Keeps one. Answers are always kept whole: there are no more of them than questions.
    pub fn push(&mut self, received: Received) {
        let full = self.packets.len() >= PACKETS_MAX;
        match &received.0 {
            Packet::Touch(touch) if full => {
                self.announced.insert(bpf::key_of(touch.key));
            }
            Packet::Name(name) if full => self.announced.extend(bpf::keys_of(name)),
            _ => {
                if let Packet::Touch(touch) = &received.0 {
                    *self.kept.entry(bpf::key_of(touch.key)).or_default() += 1;
                }
                self.packets.push_back(received);
            }
        }
    }

    /// The oldest.
    pub fn pop(&mut self) -> Option<Received> {
        let received = self.packets.pop_front()?;
        if let Packet::Touch(touch) = &received.0 {
            let key = bpf::key_of(touch.key);
            match self.kept.get_mut(&key) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.kept.remove(&key)),
            }
        }
        Some(received)
    }

    /// Processes that are told of in what is kept.
    pub fn actors(&self) -> impl Iterator<Item = &raw::fimk_actor> {
        self.packets.iter().filter_map(|(packet, _)| match packet {
            Packet::Actor(actor) => Some(&**actor),
            _ => None,
        })
    }

    /// Whether what is kept announces an entry of this object and of a process that is none of these.
    pub fn tells_of_another(&self, object: Object, known: &[Option<ActorKey>]) -> bool {
        let kept = self.kept.range(takes::from(object)).map(|(key, _)| key);
        let announced = self.announced.range(takes::from(object));
        takes::has_another(kept, object, known) || takes::has_another(announced, object, known)
    }

    /// The dirty entries whose records were not kept.
    pub fn take_announced(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.announced)
    }

    /// How many whole records are kept.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.announced.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn touch(inode: u64) -> Received {
        let mut touch = Box::new(raw::fimk_touch::new_zeroed());
        touch.key.object.inode = inode;
        (Packet::Touch(touch), Vec::new())
    }

    #[test]
    fn what_is_too_much_is_still_asked_for_and_answers_are_kept() {
        let mut stash = Stash::default();
        (0..20_000).for_each(|inode| stash.push(touch(inode)));
        stash.push((Packet::Synced(raw::fimk_synced::new_zeroed()), Vec::new()));
        let mut kept = 0;
        let mut synced = 0;
        while let Some((packet, _)) = stash.pop() {
            kept += 1;
            synced += usize::from(matches!(packet, Packet::Synced(_)));
        }
        assert_eq!((kept, synced), (PACKETS_MAX + 1, 1));
        assert!(!stash.is_empty());
        assert_eq!(stash.take_announced().len(), 20_000 - PACKETS_MAX);
        assert!(stash.is_empty());
    }

    #[test]
    fn a_record_that_is_kept_tells_of_its_process_until_it_is_handled() {
        let (inode, mut stash) = (5, Stash::default());
        stash.push(touch(inode));
        stash.push(touch(inode));
        let (object, actor) = bpf::key_of(match touch(inode).0 {
            Packet::Touch(touch) => touch.key,
            _ => raw::fimk_key::new_zeroed(),
        });
        let known = [ActorKey::of(actor.wire())];
        assert!(stash.tells_of_another(object, &[]));
        assert!(!stash.tells_of_another(object, &known));
        assert!(stash.pop().is_some());
        assert!(stash.tells_of_another(object, &[]));
        assert!(stash.pop().is_some() && stash.pop().is_none());
        assert!(!stash.tells_of_another(object, &[]));
        (0..20_000).for_each(|inode| stash.push(touch(inode)));
        let last = Object {
            inode: 19_999,
            ..object
        };
        assert!(stash.tells_of_another(last, &[]));
    }

    #[test]
    fn a_record_of_names_stands_for_both_its_directories() {
        let mut stash = Stash::default();
        (0..16_384).for_each(|inode| stash.push(touch(inode)));
        let mut name = Box::new(raw::fimk_name::new_zeroed());
        (name.directory.inode, name.old_directory.inode) = (1, 2);
        (name.directory.device, name.old_directory.device) = (7, 7);
        stash.push((Packet::Name(name), Vec::new()));
        assert_eq!(stash.take_announced().len(), 2);
    }
}
