//! Forgets processes that ended, the oldest first, once nothing names them.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use fimk_wire::raw;
use libbpf_rs::{MapHandle, Result, RingBuffer, RingBufferBuilder};
use zerocopy::{FromBytes, IntoBytes};

use crate::table::Table;

/// A key as a set can hold it.
type Bytes = [u8; size_of::<raw::fimk_actor_key>()];
type Keys = VecDeque<raw::fimk_actor_key>;

/// The keys of images that ended, in the order in which they did.
pub struct Ends {
    ring: RingBuffer<'static>,
    map: MapHandle,
    ended: Rc<RefCell<Keys>>,
}

impl Ends {
    /// Reads the ring `map`; keeps at most as many keys as `actors` has room for. Those that ended while a loader
    /// before us read the ring are found in `actors`.
    pub fn new(
        map: MapHandle,
        actors: &Table<raw::fimk_actor_key, raw::fimk_actor>,
    ) -> Result<Self> {
        let capacity = actors.capacity();
        let ended = Rc::new(RefCell::new(ended(actors)?));
        let mut builder = RingBufferBuilder::new();
        let to = Rc::clone(&ended);
        builder.add(&map, move |record| {
            if let Ok(key) = raw::fimk_actor_key::read_from_bytes(record) {
                let mut ended = to.borrow_mut();
                if ended.len() >= capacity as usize {
                    ended.pop_front();
                }
                ended.push_back(key);
            }
            0
        })?;
        let ring = builder.build()?;
        Ok(Self { ring, map, ended })
    }

    /// Reads who ended, and forgets the oldest if they fill more than half of `actors`; the other half
    /// is for those who live. `named` are the keys that must stay. Says whether anybody ended.
    pub fn tick(
        &self,
        actors: &Table<raw::fimk_actor_key, raw::fimk_actor>,
        named: impl FnOnce() -> Result<HashSet<Bytes>>,
    ) -> Result<bool> {
        let any = self.ring.consume_raw() > 0;
        let mut ended = self.ended.borrow_mut();
        if ended.len() <= actors.capacity() as usize / 2 {
            return Ok(any);
        }
        let named = named()?;
        for key in oldest(&mut ended, actors.capacity() as usize / 8, &named) {
            actors.remove(&key)?;
        }
        Ok(any)
    }
}

impl AsFd for Ends {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

/// A key as [`Ends::tick`] wants it named.
pub fn bytes_of(key: &raw::fimk_actor_key) -> Bytes {
    let mut bytes = [0; size_of::<Bytes>()];
    bytes.copy_from_slice(key.as_bytes());
    bytes
}

/// Those in the table that have ended, in the order in which they did.
fn ended(actors: &Table<raw::fimk_actor_key, raw::fimk_actor>) -> Result<Keys> {
    let mut found = Vec::new();
    actors.each(|key, actor| found.push((actor.exit_ns, key)))?;
    Ok(in_order_of_end(found.into_iter()))
}

/// Of those that have ended.
fn in_order_of_end(actors: impl Iterator<Item = (u64, raw::fimk_actor_key)>) -> Keys {
    let mut ended: Vec<_> = actors.filter(|&(exit_ns, _)| exit_ns != 0).collect();
    ended.sort_unstable_by_key(|&(exit_ns, _)| exit_ns);
    ended.into_iter().map(|(_, key)| key).collect()
}

/// Takes the first `count` keys out; those that are named go to the end and wait for another time.
fn oldest(ended: &mut Keys, count: usize, named: &HashSet<Bytes>) -> Vec<raw::fimk_actor_key> {
    let first: Vec<_> = ended.drain(..count.min(ended.len())).collect();
    let (kept, forgotten): (Vec<_>, Vec<_>) = first
        .into_iter()
        .partition(|key| named.contains(&bytes_of(key)));
    ended.extend(kept);
    forgotten
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pid: u32) -> raw::fimk_actor_key {
        raw::fimk_actor_key {
            pid,
            image: 0,
            start_ns: 0,
        }
    }

    #[test]
    fn those_that_ended_under_another_loader_are_known_in_their_order() {
        let found = [(30, key(3)), (0, key(1)), (20, key(2))];
        let pids: Vec<u32> = in_order_of_end(found.into_iter())
            .iter()
            .map(|key| key.pid)
            .collect();
        assert_eq!(pids, [2, 3]);
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_named_stay() {
        let mut ended: Keys = (1..=6).map(key).collect();
        let named = HashSet::from([bytes_of(&key(2))]);
        let forgotten: Vec<u32> = oldest(&mut ended, 3, &named)
            .iter()
            .map(|key| key.pid)
            .collect();
        assert_eq!(forgotten, [1, 3]);
        assert_eq!(
            ended.iter().map(|key| key.pid).collect::<Vec<_>>(),
            [4, 5, 6, 2]
        );
    }
}
