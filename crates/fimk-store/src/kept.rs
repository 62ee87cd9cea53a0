//! What was written since the last sync, in memory: to be written again if the disk failed meanwhile.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map},
    iter::Peekable,
    ops::Bound,
};

use crate::{
    batch::{Batch, WRITE_BYTES},
    error::StoreError,
};

/// A new value, or none where it was removed.
type Value = Option<Box<[u8]>>;
/// A key and its value.
pub(crate) type Entry = (Box<[u8]>, Box<[u8]>);

/// The last write of each key.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    families: BTreeMap<&'static str, BTreeMap<Box<[u8]>, Value>>,
    bytes: usize,
}

impl Kept {
    pub(crate) fn absorb(&mut self, batch: Batch) {
        for write in batch.writes {
            let family = self.families.entry(write.family).or_default();
            let size = |key: usize, value: &Value| {
                key + value.as_ref().map_or(0, |value| value.len()) + WRITE_BYTES
            };
            let length = write.key.len();
            self.bytes += size(length, &write.value);
            if let Some(before) = family.insert(write.key, write.value) {
                self.bytes -= size(length, &before);
            }
        }
    }

    /// In memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys of a family.
    pub(crate) fn count(&self, family: &str) -> usize {
        self.families.get(family).map_or(0, BTreeMap::len)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The last write of a key.
    pub(crate) fn get(&self, family: &str, key: &[u8]) -> Option<&Value> {
        self.families.get(family)?.get(key)
    }

    /// Everything.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&'static str, &[u8], Option<&[u8]>)> {
        self.families.iter().flat_map(|(family, writes)| {
            let writes = writes.iter();
            writes.map(|(key, value)| (*family, &**key, value.as_deref()))
        })
    }

    /// Of a family, from a key on, to another that is no more of it.
    fn range(
        &self,
        family: &str,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Option<btree_map::Range<'_, Box<[u8]>, Value>> {
        let to = to.map_or(Bound::Unbounded, Bound::Excluded);
        let family = self.families.get(family)?;
        Some(family.range::<[u8], _>((Bound::Included(from), to)))
    }

    /// What is stored, as these writes would make it; both in the order of their keys.
    pub(crate) fn over<'a, S>(
        &'a self,
        family: &str,
        from: &[u8],
        to: Option<&[u8]>,
        stored: S,
    ) -> impl Iterator<Item = Result<Entry, StoreError>> + use<'a, S>
    where
        S: Iterator<Item = Result<Entry, StoreError>>,
    {
        Over {
            kept: self
                .range(family, from, to)
                .into_iter()
                .flatten()
                .peekable(),
            stored: stored.peekable(),
        }
    }
}

struct Over<'a, K: Iterator<Item = (&'a Box<[u8]>, &'a Value)>, S: Iterator> {
    kept: Peekable<K>,
    stored: Peekable<S>,
}

impl<'a, K, S> Iterator for Over<'a, K, S>
where
    K: Iterator<Item = (&'a Box<[u8]>, &'a Value)>,
    S: Iterator<Item = Result<Entry, StoreError>>,
{
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.kept.peek(), self.stored.peek()) {
                (None, _) | (_, Some(Err(_))) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some((key, _)), Some(Ok((other, _)))) => (**key).cmp(other),
            };
            match order {
                Ordering::Greater => return self.stored.next(),
                Ordering::Equal => drop(self.stored.next()),
                Ordering::Less => {}
            }
            if let Some((key, Some(value))) = self.kept.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}
