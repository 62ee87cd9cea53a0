//! Events by kind, so that old ones can go kind by kind: how severe they are, who caused them, under which rule.
//!
//! The family `kinds` has a key for each stored event: its kind, then its sequence; the value says when the event
//! was made and how large it is. How many events of a kind there are is kept in `meta`, in the same batch.

use std::{collections::BTreeMap, path::Path};

use fimk_core::{event::Event, time::Timestamp};
use rocksdb::{DB, IteratorMode};
use serde::{Deserialize, Serialize};

use crate::{
    batch::{Batch, for_rocksdb},
    chain,
    codec::{self, Fault},
    error::StoreError,
    open::{EVENTS, KINDS, META},
    size::Sizes,
    store::{Store, write_batch},
};

/// In `meta`, before a kind: a [`Total`].
pub(crate) const TOTAL_PREFIX: &[u8] = b"kind/";

/// Events sorted at once when an old database is converted.
const SORTED_AT_ONCE: usize = 1000;

/// How severe: the quarters of fimk.toml(5). Stored as its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Below 47.
    Low,
    /// Below 73.
    Medium,
    /// Below 99.
    High,
    /// 99 and 100.
    Critical,
}

/// All, in order.
pub const CLASSES: [Class; 4] = [Class::Low, Class::Medium, Class::High, Class::Critical];

impl Class {
    /// Of a severity.
    pub fn of(severity: u8) -> Self {
        match severity {
            0..47 => Self::Low,
            47..73 => Self::Medium,
            73..99 => Self::High,
            _ => Self::Critical,
        }
    }

    /// As the configuration calls it.
    pub fn name(self) -> &'static str {
        ["low", "medium", "high", "critical"][self as usize]
    }

    /// Its part of the room, relative to the others.
    pub(crate) fn weight(self) -> u64 {
        [1, 2, 4, 8][self as usize]
    }
}

/// The beginning of the keys of one kind: class, owner, rule, and a zero byte, which no rule's name has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind(Vec<u8>);

impl Kind {
    /// Owners are root, all others, and who is not known or fimk itself: what any user can make noise with pushes
    /// out nothing that root did.
    pub(crate) fn of(event: &Event) -> Self {
        let change = event.body.change();
        let uid = change.and_then(|change| change.actor.as_ref()?.uid);
        let owner = match uid {
            Some(0) => 0,
            Some(_) => 1,
            None => 2,
        };
        let rule = change.map_or("", |change| change.rule.as_str());
        let class = Class::of(event.severity) as u8;
        Self([&[class, owner], rule.as_bytes(), &[0]].concat())
    }

    pub(crate) fn class(&self) -> Class {
        let number = usize::from(self.0.first().copied().unwrap_or(0));
        CLASSES.get(number).copied().unwrap_or(Class::Critical)
    }

    pub(crate) fn rule(&self) -> &[u8] {
        self.0
            .get(2..self.0.len().saturating_sub(1))
            .unwrap_or_default()
    }

    pub(crate) fn key(&self, sequence: u64) -> Vec<u8> {
        [&self.0[..], &sequence.to_be_bytes()].concat()
    }

    /// Where its keys begin and end.
    pub(crate) fn bounds(&self) -> (&[u8], Vec<u8>) {
        let mut end = self.0.clone();
        if let Some(last) = end.last_mut() {
            *last = 1;
        }
        (&self.0, end)
    }

    fn total_key(&self) -> Vec<u8> {
        [TOTAL_PREFIX, &self.0].concat()
    }
}

/// About one event, beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sorted {
    pub(crate) created: Timestamp,
    /// As stored, uncompressed.
    pub(crate) bytes: u64,
}

/// Of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl codec::Stored for Sorted {}
impl codec::Stored for Total {}

/// All totals that are not zero.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals(pub(crate) BTreeMap<Kind, Total>);

/// Changes of totals, to be written with what caused them.
#[derive(Debug, Default)]
pub(crate) struct Changed(BTreeMap<Kind, Total>);

impl Totals {
    /// Puts an event into its kind.
    pub(crate) fn add(
        &self,
        changed: &mut Changed,
        event: &Event,
        bytes: usize,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let kind = Kind::of(event);
        let sorted = Sorted {
            created: event.created,
            bytes: bytes as u64,
        };
        batch.put(KINDS, &kind.key(event.sequence), encoded(&sorted))?;
        let total = self.changing(changed, kind);
        total.events += 1;
        total.bytes += sorted.bytes;
        Ok(())
    }

    /// Takes one out.
    pub(crate) fn take(
        &self,
        changed: &mut Changed,
        kind: &Kind,
        sequence: u64,
        bytes: u64,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        batch.remove(KINDS, &kind.key(sequence))?;
        let total = self.changing(changed, kind.clone());
        total.events = total.events.saturating_sub(1);
        total.bytes = total.bytes.saturating_sub(bytes);
        Ok(())
    }

    fn changing<'a>(&self, changed: &'a mut Changed, kind: Kind) -> &'a mut Total {
        let known = self.0.get(&kind).copied().unwrap_or_default();
        changed.0.entry(kind).or_insert(known)
    }

    /// With what changed.
    pub(crate) fn with<'a>(&'a self, changed: &'a Changed, kind: &Kind) -> Total {
        let total = changed.0.get(kind).or_else(|| self.0.get(kind));
        total.copied().unwrap_or_default()
    }

    pub(crate) fn apply(&mut self, changed: Changed) {
        self.0.extend(changed.0);
        self.0.retain(|_, total| total.events > 0);
    }

    pub(crate) fn sum(&self) -> Total {
        let mut sum = Total::default();
        for total in self.0.values() {
            sum.events += total.events;
            sum.bytes += total.bytes;
        }
        sum
    }
}

impl Changed {
    pub(crate) fn write(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for (kind, total) in &self.0 {
            if total.events == 0 {
                batch.remove(META, &kind.total_key())?;
            } else {
                batch.put(META, &kind.total_key(), encoded(total))?;
            }
        }
        Ok(())
    }
}

/// Two numbers, which cannot fail to become bytes.
fn encoded(value: &impl Serialize) -> Vec<u8> {
    codec::encode(value).unwrap_or_default()
}

impl Store {
    /// Reads all totals: as many as there are kinds, some dozens.
    pub(crate) fn read_totals(&self) -> Result<Totals, StoreError> {
        let mut end = TOTAL_PREFIX.to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let mut totals = Totals::default();
        for item in self.scan(META, TOTAL_PREFIX, Some(&end)) {
            let (key, value) = item?;
            let total = codec::decode(&value).map_err(|fault| self.fault(fault))?;
            let kind = key.get(TOTAL_PREFIX.len()..).unwrap_or_default();
            totals.0.insert(Kind(kind.to_vec()), total);
        }
        Ok(totals)
    }
}

/// Sorts the events of a database of schema 1. May be cut short, and is then done anew.
pub(crate) fn sort_old(db: &mut DB, path: &Path, sizes: &Sizes) -> Result<(), StoreError> {
    let failed = |error: rocksdb::Error| StoreError::rocksdb(path, &error);
    if db.cf_handle(KINDS).is_none() {
        db.create_cf(KINDS, &sizes.family()).map_err(failed)?;
    }
    let Some(events) = db.cf_handle(EVENTS) else {
        return Err(StoreError::damaged(path, "its events are missing"));
    };
    let (totals, mut changed) = (Totals::default(), Changed::default());
    let mut batch = Batch::default();
    for item in db.iterator_cf(events, IteratorMode::Start) {
        let (key, value) = item.map_err(failed)?;
        let (_, event) = chain::unseal(&key, &value).map_err(|fault: Fault| fault.at(path))?;
        totals.add(&mut changed, &event, value.len(), &mut batch)?;
        if batch.writes.len() >= SORTED_AT_ONCE {
            write_to(db, path, &std::mem::take(&mut batch))?;
        }
    }
    changed.write(&mut batch)?;
    write_to(db, path, &batch)
}

fn write_to(db: &DB, path: &Path, batch: &Batch) -> Result<(), StoreError> {
    let writes = for_rocksdb(db, write_batch(batch))?;
    db.write(writes)
        .map_err(|error| StoreError::rocksdb(path, &error))
}
