//! Old events go.
//!
//! Limits: it knows only number and age, neither rules nor severities. It never removes what an output has
//! still to get, so an output that is stuck lets the database grow until the disk is full. Space comes back
//! when RocksDB next compacts.

use fimk_core::{event::Event, time::Timestamp};
use rocksdb::ReadOptions;

use crate::{
    chain::{self, Link},
    error::StoreError,
    open::{EVENTS, META},
    store::{Batch, Store},
};

/// In `meta`: the [`Link`] of the newest event removed, which the oldest one left follows.
pub(crate) const ANCHOR_KEY: &[u8] = b"anchor";

/// Events looked at in one call: some milliseconds, so that nothing waits long.
const STEP: usize = 1000;

/// Which events to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most as many; the newest event is always kept.
    pub newest: u64,
    /// And none made before this. Where the clock was set back, up to the first that is younger.
    pub since: Option<Timestamp>,
}

impl Default for Retention {
    /// A million events of any age: at about 1 KiB each, 1 GiB before compression.
    fn default() -> Self {
        Self {
            newest: 1_000_000,
            since: None,
        }
    }
}

impl Retention {
    fn drops(&self, event: &Event, head: u64) -> bool {
        let surplus = event.sequence <= head.saturating_sub(self.newest.max(1));
        let expired = self.since.is_some_and(|since| event.created < since);
        event.sequence < head && (surplus || expired)
    }
}

impl Store {
    /// Removes the oldest events that need not be kept and that every output with a cursor has passed, at most
    /// 1000 of them; returns how many. Call it again until it returns 0.
    pub fn retain(&mut self, keep: &Retention) -> Result<usize, StoreError> {
        let delivered = self
            .cursors()?
            .into_iter()
            .map(|(_, sequence)| sequence)
            .min()
            .unwrap_or(u64::MAX);
        let anchor = self.anchor()?;
        let (removed, last) = self.removable(keep, anchor, delivered)?;
        if removed > 0 {
            let mut batch = Batch::default();
            let key = |sequence: u64| sequence.saturating_add(1).to_be_bytes();
            batch.0.delete_range_cf(
                self.family(EVENTS)?,
                key(anchor.sequence),
                key(last.sequence),
            );
            batch.put(self.family(META)?, ANCHOR_KEY, &self.encode(&last)?)?;
            self.write(batch)?;
        }
        Ok(removed)
    }

    /// How many, and the last of them.
    fn removable(
        &self,
        keep: &Retention,
        anchor: Link,
        delivered: u64,
    ) -> Result<(usize, Link), StoreError> {
        let (mut removed, mut last) = (0, anchor);
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let start = anchor.sequence.saturating_add(1).to_be_bytes();
        for item in self.scan(EVENTS, &start, options).take(STEP) {
            let (key, value) = item?;
            let (link, event) = chain::unseal(&key, &value).map_err(|fault| self.fault(fault))?;
            if event.sequence > delivered || !keep.drops(&event, self.head().sequence) {
                break;
            }
            (removed, last) = (removed + 1, link);
        }
        Ok((removed, last))
    }
}
