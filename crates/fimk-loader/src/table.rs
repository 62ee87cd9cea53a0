//! A hash map of the kernel with typed keys and values.

use std::marker::PhantomData;

use libbpf_rs::{ErrorKind, MapCore, MapFlags, MapHandle, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries fetched with one call while walking; larger than any hash bucket of ours can grow.
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
    pub fn len(&self) -> u64 {
        self.entries()
            .map_or(0, Iterator::count)
            .try_into()
            .unwrap_or(u64::MAX)
    }

    /// Walks all entries. One inserted or removed meanwhile may or may not be met.
    pub fn entries(&self) -> Result<impl Iterator<Item = (K, V)>> {
        let entries =
            self.map
                .lookup_batch(BATCH.min(self.capacity()), MapFlags::ANY, MapFlags::ANY)?;
        Ok(entries.filter_map(|(key, value)| {
            Some((
                K::read_from_bytes(&key).ok()?,
                V::read_from_bytes(&value).ok()?,
            ))
        }))
    }
}
