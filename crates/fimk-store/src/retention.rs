//! Old events go, kind by kind.
//!
//! By age, each kind has its own limit. By size, all share one, and the kind that takes most for its weight loses
//! its oldest first: a flood of one kind pushes out itself. See [`Kind`](crate::kinds::Kind) for what a kind is.
//!
//! What an output has still to get goes like all else, and whoever asks is told of it; but what is on its way stays.
//! Space comes back when RocksDB next compacts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fimk_core::{event::Event, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    batch::Batch,
    chain::{self, Link},
    codec,
    error::StoreError,
    fail::Point,
    kinds::{Changed, Class, Kind, Sorted, Total, Totals},
    open::{EVENTS, KINDS, META},
    store::Store,
};

/// In `meta`: the [`Link`] of the newest event removed from the front, which the oldest one left follows.
pub(crate) const ANCHOR_KEY: &[u8] = b"anchor";
/// In `meta`: [`Removed`] since the database was made.
pub(crate) const REMOVED_KEY: &[u8] = b"removed";

/// Events removed in one call: some milliseconds, so that nothing waits long.
const STEP: usize = 1000;
/// Of one kind, before it is asked again which kind takes most.
const RUN: usize = 64;

/// Which events to keep. The newest is always kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Of all events together, as stored and uncompressed.
    pub bytes: u64,
    /// The time against which ages are held; see that it does not jump.
    pub now: Timestamp,
    /// Seconds that events of each [`Class`] are kept; none for ever.
    pub of_class: [Option<u64>; 4],
    /// The same by rule, which goes before the class.
    pub of_rule: HashMap<String, u64>,
}

impl Default for Retention {
    /// A gibibyte of any age: about a million events.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            now: Timestamp(i64::MIN),
            of_class: [None; 4],
            of_rule: HashMap::new(),
        }
    }
}

impl Retention {
    /// Events of this kind made before may go; none if all stay.
    fn before(&self, kind: &Kind) -> Option<Timestamp> {
        let of_rule = std::str::from_utf8(kind.rule())
            .ok()
            .and_then(|rule| self.of_rule.get(rule).copied());
        let seconds = of_rule.or(self.of_class[kind.class() as usize])?;
        let nanoseconds = i64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?;
        Some(Timestamp(self.now.0.saturating_sub(nanoseconds)))
    }
}

/// How many events were removed, by [`Class`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Because they were older than they had to become.
    pub by_age: [u64; 4],
    /// Because there was no room for all.
    pub by_size: [u64; 4],
}

impl codec::Stored for Removed {}

/// What is to go.
#[derive(Default)]
struct Chosen {
    sequences: BTreeSet<u64>,
    /// Where to go on in a kind.
    next: BTreeMap<Kind, u64>,
    changed: Changed,
    removed: Removed,
    batch: Batch,
    /// Numbers behind the first up to the second of each pair stay.
    spared: Vec<(u64, u64)>,
}

/// One event that could go.
struct Candidate {
    sequence: u64,
    sorted: Sorted,
}

impl Store {
    /// Events that are stored, and their size uncompressed.
    pub fn stored_events(&self) -> (u64, u64) {
        let Total { events, bytes } = self.totals.sum();
        (events, bytes)
    }

    /// What was removed since the database was made.
    pub fn removed(&self) -> Removed {
        self.removed
    }

    /// Removes the oldest events that need not be kept and that every output with a cursor has passed, at most
    /// 1000 of them; returns how many. Call it again until it returns 0. While the disk takes nothing it removes
    /// nothing.
    pub fn retain(&mut self, keep: &Retention) -> Result<usize, StoreError> {
        let cursors = self.cursors()?.into_iter().map(|(_, sequence)| sequence);
        let delivered = cursors.min().unwrap_or(u64::MAX);
        self.forget(keep, &[(delivered, u64::MAX)], &mut |_| ())
    }

    /// The same, whatever outputs have still to get: `lost` is given each event that not all have passed. Those with a
    /// number behind the first, up to the second, of a pair in `on_their_way` stay.
    pub fn retain_beyond(
        &mut self,
        keep: &Retention,
        on_their_way: &[(u64, u64)],
        lost: &mut dyn FnMut(&Event),
    ) -> Result<usize, StoreError> {
        self.forget(keep, on_their_way, lost)
    }

    fn forget(
        &mut self,
        keep: &Retention,
        spared: &[(u64, u64)],
        lost: &mut dyn FnMut(&Event),
    ) -> Result<usize, StoreError> {
        if self.trouble.is_some() {
            return Ok(0);
        }
        // The newest stays: the head of the chain is held against it.
        let newest = (self.head.sequence.saturating_sub(1), u64::MAX);
        let spared: Vec<(u64, u64)> = spared.iter().copied().chain([newest]).collect();
        let mut chosen = Chosen {
            removed: self.removed,
            spared,
            ..Chosen::default()
        };
        self.choose_expired(keep, &mut chosen)?;
        self.choose_surplus(keep, &mut chosen)?;
        let count = chosen.sequences.len();
        if count > 0 {
            let undelivered = self.undelivered(&chosen)?;
            self.at(Point::BeforeRemoval)?;
            self.take_out(chosen)?;
            self.at(Point::AfterRemoval)?;
            undelivered.iter().for_each(lost);
        }
        Ok(count)
    }

    /// Those among the chosen that an output has still to get.
    fn undelivered(&self, chosen: &Chosen) -> Result<Vec<Event>, StoreError> {
        let cursors = self.cursors()?.into_iter().map(|(_, sequence)| sequence);
        let Some(behind) = cursors.min().and_then(|cursor| cursor.checked_add(1)) else {
            return Ok(Vec::new());
        };
        let mut events = Vec::new();
        for &sequence in chosen.sequences.range(behind..) {
            events.extend(self.events_after(sequence.saturating_sub(1), 1)?);
        }
        Ok(events)
    }

    fn choose_expired(&self, keep: &Retention, chosen: &mut Chosen) -> Result<(), StoreError> {
        for kind in self.totals.0.keys() {
            let Some(before) = keep.before(kind) else {
                continue;
            };
            let left = STEP.saturating_sub(chosen.sequences.len());
            // Where the clock was set back, up to the first that is younger.
            let old = |it: &Candidate| it.sorted.created < before;
            for candidate in self.candidates(kind, 0, (left, &chosen.spared), old)? {
                chosen.removed.by_age[kind.class() as usize] += 1;
                chosen.add(&self.totals, kind, &candidate)?;
            }
        }
        Ok(())
    }

    fn choose_surplus(&self, keep: &Retention, chosen: &mut Chosen) -> Result<(), StoreError> {
        let mut sum: u64 = self
            .totals
            .0
            .keys()
            .map(|kind| chosen.left(&self.totals, kind))
            .sum();
        let mut exhausted = BTreeSet::new();
        while sum > keep.bytes && chosen.sequences.len() < STEP {
            let kinds = self
                .totals
                .0
                .keys()
                .filter(|kind| !exhausted.contains(*kind));
            let share = |kind: &Kind| chosen.left(&self.totals, kind) / kind.class().weight();
            let Some(kind) = kinds.max_by_key(|kind| share(kind)) else {
                break;
            };
            let from = chosen.next.get(kind).copied().unwrap_or(0);
            let left = STEP.saturating_sub(chosen.sequences.len()).min(RUN);
            let found = self.candidates(kind, from, (left, &chosen.spared), |_| true)?;
            if found.is_empty() {
                exhausted.insert(kind);
            }
            for candidate in found {
                if sum <= keep.bytes {
                    break;
                }
                sum = sum.saturating_sub(candidate.sorted.bytes);
                chosen.removed.by_size[kind.class() as usize] += 1;
                chosen.add(&self.totals, kind, &candidate)?;
            }
        }
        Ok(())
    }

    /// The oldest of a kind that are not spared, from a sequence on, as long as they are as wanted.
    fn candidates(
        &self,
        kind: &Kind,
        from: u64,
        (limit, spared): (usize, &[(u64, u64)]),
        wanted: impl Fn(&Candidate) -> bool,
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut found = Vec::new();
        let (_, end) = kind.bounds();
        let for_ever = spared.iter().filter(|(_, upto)| *upto == u64::MAX);
        let last = for_ever.map(|(after, _)| *after).min();
        for item in self.scan(KINDS, &kind.key(from), Some(&end)) {
            let (key, value) = item?;
            let sequence = key
                .last_chunk()
                .copied()
                .map_or(u64::MAX, u64::from_be_bytes);
            let sorted = codec::decode(&value).map_err(|fault| self.fault(fault))?;
            let candidate = Candidate { sequence, sorted };
            let beyond = last.is_some_and(|last| sequence > last);
            if found.len() >= limit || beyond || !wanted(&candidate) {
                break;
            }
            let is_spared = |(after, upto): &(u64, u64)| sequence > *after && sequence <= *upto;
            if !spared.iter().any(is_spared) {
                found.push(candidate);
            }
        }
        Ok(found)
    }

    /// Removes the events, and keeps the chain whole over the holes.
    fn take_out(&mut self, chosen: Chosen) -> Result<(), StoreError> {
        let Chosen {
            mut sequences,
            changed,
            removed,
            mut batch,
            ..
        } = chosen;
        self.take_front(&mut sequences, &mut batch)?;
        self.take_middle(&sequences, &mut batch)?;
        changed.write(&mut batch)?;
        batch.put(META, REMOVED_KEY, self.encode(&removed)?)?;
        self.write(batch)?;
        self.totals.apply(changed);
        self.removed = removed;
        Ok(())
    }

    /// Those that nothing stored stands before: the anchor moves behind them.
    fn take_front(
        &self,
        sequences: &mut BTreeSet<u64>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let before = self.anchor()?;
        let mut anchor = before;
        let start = anchor.sequence.saturating_add(1).to_be_bytes();
        for item in self.scan(EVENTS, &start, None) {
            let (key, value) = item?;
            let link = chain::link_of(&key, &value).map_err(|fault| self.fault(fault))?;
            if !sequences.remove(&link.sequence) && !chain::is_trace(&value) {
                break;
            }
            batch.remove(EVENTS, &key)?;
            anchor = link;
        }
        if anchor != before {
            batch.put(META, ANCHOR_KEY, self.encode(&anchor)?)?;
        }
        Ok(())
    }

    /// Of a run of others only the trace of the last stays, which is what the next event follows.
    fn take_middle(&self, sequences: &BTreeSet<u64>, batch: &mut Batch) -> Result<(), StoreError> {
        let Some(&first) = sequences.first() else {
            return Ok(());
        };
        let goes = |link: &Link| sequences.contains(&link.sequence);
        // The entry before the present one, if it does not go.
        let mut before: Option<(Link, bool)> = self.entry_before(first)?;
        let mut items = self.entries(first).peekable();
        for &sequence in sequences {
            let is_next = matches!(items.peek(), Some(Ok((link, _))) if link.sequence == sequence);
            if !is_next {
                items = self.entries(sequence).peekable();
                before = self.entry_before(sequence)?;
            }
            let Some(item) = items.next() else { break };
            let (link, _) = item?;
            if let Some((trace, true)) = before.take() {
                batch.remove(EVENTS, &trace.sequence.to_be_bytes())?;
            }
            let covered = match items.peek() {
                Some(Ok((next, is_trace))) => goes(next) || *is_trace,
                _ => false,
            };
            let key = link.sequence.to_be_bytes();
            if covered {
                batch.remove(EVENTS, &key)?;
            } else {
                batch.put(EVENTS, &key, chain::trace(&link))?;
            }
        }
        Ok(())
    }

    /// Links of what is stored, and whether it is a trace.
    fn entries(&self, from: u64) -> impl Iterator<Item = Result<(Link, bool), StoreError>> {
        self.scan(EVENTS, &from.to_be_bytes(), None).map(|item| {
            let (key, value) = item?;
            let link = chain::link_of(&key, &value).map_err(|fault| self.fault(fault))?;
            Ok((link, chain::is_trace(&value)))
        })
    }

    fn entry_before(&self, sequence: u64) -> Result<Option<(Link, bool)>, StoreError> {
        let Some(before) = sequence.checked_sub(1) else {
            return Ok(None);
        };
        let Some((key, value)) = self.last_at_or_before(EVENTS, &before.to_be_bytes())? else {
            return Ok(None);
        };
        let link = chain::link_of(&key, &value).map_err(|fault| self.fault(fault))?;
        Ok(Some((link, chain::is_trace(&value))))
    }
}

impl Chosen {
    fn add(
        &mut self,
        totals: &Totals,
        kind: &Kind,
        candidate: &Candidate,
    ) -> Result<(), StoreError> {
        let Candidate { sequence, sorted } = candidate;
        let (changed, batch) = (&mut self.changed, &mut self.batch);
        totals.take(changed, kind, *sequence, sorted.bytes, batch)?;
        self.sequences.insert(*sequence);
        self.next.insert(kind.clone(), sequence.saturating_add(1));
        Ok(())
    }

    /// Bytes of a kind that stay.
    fn left(&self, totals: &Totals, kind: &Kind) -> u64 {
        totals.with(&self.changed, kind).bytes
    }
}

impl Removed {
    /// Of one class, for either reason.
    pub fn of(&self, class: Class) -> u64 {
        self.by_age[class as usize] + self.by_size[class as usize]
    }
}
