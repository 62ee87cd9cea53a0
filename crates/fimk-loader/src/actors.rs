//! Forgets processes that ended, the oldest first, once nothing names them.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fimk_wire::raw;
use libbpf_rs::{MapHandle, Result, RingBuffer, RingBufferBuilder};
use zerocopy::{FromBytes, IntoBytes};

use crate::counts::Sums;
use crate::table::Table;

/// Between two readings of the whole table, of 23 MB.
const RECOVER_EVERY: Duration = Duration::from_secs(5);

/// A key as a set can hold it.
type Bytes = [u8; size_of::<raw::fimk_actor_key>()];
type Keys = VecDeque<raw::fimk_actor_key>;

/// The keys of images that ended, in the order in which they did.
pub struct Ends {
    ring: RingBuffer<'static>,
    map: MapHandle,
    ended: Rc<RefCell<Keys>>,
    /// [`lost`] when the table was last read, and when that was.
    lost: Cell<u64>,
    recovered: Cell<Option<Instant>>,
    /// The table was full: somebody is forgotten, however few have ended.
    full: Cell<bool>,
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
        Ok(Self {
            ring,
            map,
            ended,
            lost: Cell::default(),
            recovered: Cell::default(),
            full: Cell::default(),
        })
    }

    /// Finds in the table whose end the ring had no room for, and makes room where somebody found none, if `sums` say
    /// that either happened since the last time.
    pub fn recover(
        &self,
        actors: &Table<raw::fimk_actor_key, raw::fimk_actor>,
        sums: &Sums,
        now: Instant,
    ) -> Result<()> {
        let lost = lost(sums);
        let rests = |last| now.duration_since(last) < RECOVER_EVERY;
        if lost == self.lost.get() || self.recovered.get().is_some_and(rests) {
            return Ok(());
        }
        // What is in the ring now is in the table as well.
        self.ring.consume_raw();
        *self.ended.borrow_mut() = ended(actors)?;
        self.lost.set(lost);
        self.recovered.set(Some(now));
        self.full.set(true);
        Ok(())
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
        if !self.full.take() && ended.len() <= actors.capacity() as usize / 2 {
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

/// Ends that the ring had no room for, and processes that the table had none for.
fn lost(sums: &Sums) -> u64 {
    let ends = [raw::FIMK_HOOK_EXEC, raw::FIMK_HOOK_EXIT];
    let ends = ends.map(|hook| sums[hook as usize].of[raw::FIMK_COUNT_RING_FULL as usize]);
    let full = sums.map(|counters| counters.of[raw::FIMK_COUNT_ACTORS_FULL as usize]);
    ends.iter()
        .chain(&full)
        .fold(0, |sum, &count| sum.saturating_add(count))
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
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;
    use crate::not_run::not_run;
    use libbpf_rs::MapType;
    use zerocopy::FromZeros;

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

    /// `None`, with a word, where the test cannot run.
    fn map(kind: MapType, key: usize, value: usize, entries: u32) -> Option<MapHandle> {
        let [key, value] = [key, value].map(|size| u32::try_from(size).expect("small"));
        let options = crate::system::map_options();
        MapHandle::create(kind, Some("fimk_test"), key, value, entries, &options)
            .inspect_err(|cause| {
                let why = format!("no BPF map can be made: {cause}");
                not_run("the table of actors", &why);
            })
            .ok()
    }

    #[test]
    fn those_whose_end_was_lost_are_found_and_forgotten_when_the_table_is_full() {
        let sizes = (size_of::<Bytes>(), size_of::<raw::fimk_actor>());
        let Some(ring) = map(MapType::RingBuf, 0, 0, 4096) else {
            return;
        };
        let Some(actors) = map(MapType::Hash, sizes.0, sizes.1, 16) else {
            return;
        };
        let actors = Table::new(actors);
        let ends = Ends::new(ring, &actors).expect("an empty table");
        let mut actor = raw::fimk_actor::new_zeroed();
        for pid in 0..16 {
            actor.exit_ns = if pid < 12 { 0 } else { u64::from(100 - pid) };
            actors.put(&key(pid), &actor).expect("there is room");
        }
        let mut sums: Sums = FromZeros::new_zeroed();
        let now = Instant::now();
        let tick = || {
            ends.tick(&actors, || Ok(HashSet::new()))
                .expect("it can be read");
            actors.len().expect("it can be read")
        };
        ends.recover(&actors, &sums, now).expect("it can be read");
        assert_eq!(tick(), 16);
        sums[raw::FIMK_HOOK_FORK as usize].of[raw::FIMK_COUNT_ACTORS_FULL as usize] = 1;
        ends.recover(&actors, &sums, now).expect("it can be read");
        assert_eq!(tick(), 14);
        assert!(actors.get(&key(15)).expect("it can be read").is_none());
        assert!(actors.get(&key(0)).expect("it can be read").is_some());
        sums[raw::FIMK_HOOK_EXIT as usize].of[raw::FIMK_COUNT_RING_FULL as usize] = 1;
        ends.recover(&actors, &sums, now).expect("it can be read");
        assert_eq!(tick(), 14, "not again so soon");
        ends.recover(&actors, &sums, now + RECOVER_EVERY)
            .expect("it can be read");
        assert_eq!(tick(), 12);
    }
}
