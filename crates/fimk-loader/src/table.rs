//! A hash map of the kernel with typed keys and values.

use std::marker::PhantomData;

use libbpf_rs::{ErrorKind, MapCore, MapFlags, MapHandle, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::system::{self, Batch};

/// Entries fetched with one call while walking; a fuller bucket doubles it.
const BATCH: u32 = 1024;

/// What may be a key or a value: plain numbers, as in `bpf/fimk.h`.
pub trait Plain: FromBytes + IntoBytes + KnownLayout + Immutable + Copy {}

impl<T: FromBytes + IntoBytes + KnownLayout + Immutable + Copy> Plain for T {}

/// A kernel hash map from `K` to `V`.
pub struct Table<K, V> {
    map: MapHandle,
    of: PhantomData<(K, V)>,
}

impl<K: Plain, V: Plain> Table<K, V> {
    /// `map` must have keys and values of these sizes; otherwise every call is an error.
    pub fn new(map: MapHandle) -> Self {
        Self {
            map,
            of: PhantomData,
        }
    }

    /// A handle of its own, to pin the map by.
    pub fn handle(&self) -> Result<MapHandle> {
        MapHandle::try_from(&self.map)
    }

    /// How many entries it has room for.
    pub fn capacity(&self) -> u32 {
        self.map.max_entries()
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = self
            .map
            .lookup_into(key.as_bytes(), value.as_mut_bytes(), MapFlags::ANY)?;
        Ok(found.then_some(value))
    }

    /// Inserts or replaces.
    pub fn put(&self, key: &K, value: &V) -> Result<()> {
        self.map
            .update(key.as_bytes(), value.as_bytes(), MapFlags::ANY)
    }

    /// Inserts; says whether there was none before.
    pub fn add(&self, key: &K, value: &V) -> Result<bool> {
        let added = self
            .map
            .update(key.as_bytes(), value.as_bytes(), MapFlags::NO_EXIST);
        match added {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            added => added.map(|()| true),
        }
    }

    /// Removes `key` if it is there.
    pub fn remove(&self, key: &K) -> Result<()> {
        match self.map.delete(key.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes `key` and returns what it last was. Before Linux 5.14 these are two steps, and what a
    /// program adds between them is not in the returned value.
    pub fn take(&self, key: &K) -> Result<Option<V>> {
        let mut value = V::new_zeroed();
        if let Ok(found) = self
            .map
            .lookup_into_and_delete(key.as_bytes(), value.as_mut_bytes())
        {
            return Ok(found.then_some(value));
        }
        let value = self.get(key)?;
        self.remove(key)?;
        Ok(value)
    }

    /// Removes every entry.
    pub fn clear(&self) -> Result<()> {
        let keys: Vec<Vec<u8>> = self.map.keys().collect();
        for key in keys {
            match self.map.delete(&key) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.map.keys().next().is_none()
    }

    /// How many entries it has. Walks them all.
    pub fn len(&self) -> Result<u64> {
        let mut count = 0;
        self.each(|_, _| count += 1)?;
        Ok(count)
    }

    /// Visits all entries. One inserted or removed meanwhile may or may not be met.
    pub fn each(&self, mut visit: impl FnMut(K, V)) -> Result<()> {
        let mut room = BATCH.min(self.capacity()) as usize;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let (mut from, mut next) = (None, 0);
        loop {
            keys.resize(room * size_of::<K>(), 0);
            values.resize(room * size_of::<V>(), 0);
            let batch =
                match system::lookup_batch(&self.map, from, &mut next, &mut keys, &mut values) {
                    Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
                    batch => batch?,
                };
            let count = match batch {
                Batch::Some(count) | Batch::Last(count) => count,
                Batch::TooSmall => {
                    room *= 2;
                    continue;
                }
            };
            let entries = keys
                .chunks_exact(size_of::<K>())
                .zip(values.chunks_exact(size_of::<V>()));
            for (key, value) in entries.take(count) {
                if let (Ok(key), Ok(value)) = (K::read_from_bytes(key), V::read_from_bytes(value)) {
                    visit(key, value);
                }
            }
            if batch == Batch::Last(count) {
                return Ok(());
            }
            from = Some(next);
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;
    use crate::not_run::not_run;
    use libbpf_rs::MapType;

    /// `None`, with a word, where the test cannot run.
    fn table(capacity: u32) -> Option<Table<u64, u64>> {
        let options = system::map_options();
        let map = MapHandle::create(MapType::Hash, Some("fimk_test"), 8, 8, capacity, &options);
        map.inspect_err(|cause| {
            let why = format!("no BPF map can be made: {cause}");
            not_run("a walk over a table", &why);
        })
        .ok()
        .map(Table::new)
    }

    #[test]
    fn a_walk_meets_every_entry_once_whatever_fits_a_batch() {
        for (capacity, count) in [(65_536, 40_000), (1, 1), (8, 0), (4_096, 4_096)] {
            let Some(table) = table(capacity) else { return };
            for key in 0..count {
                table.put(&key, &!key).expect("there is room");
            }
            let mut met = vec![0; usize::try_from(count).expect("few")];
            let each = table.each(|key, value| {
                assert_eq!(value, !key);
                met[usize::try_from(key).expect("few")] += 1;
            });
            each.expect("it can be walked");
            assert!(met.iter().all(|&times| times == 1), "{capacity} {count}");
            assert_eq!(table.len().expect("it can be walked"), count);
        }
    }
}
