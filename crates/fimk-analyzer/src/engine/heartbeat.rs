//! Events that say nothing but that fimk lives: one that does not come shows that it was silenced.

use std::time::{Duration, Instant};

use fimk_core::event::{Action, Notice};
use fimk_store::Commit;
use fimk_wire::{COUNT_NAMES, raw};

use super::{Engine, Trouble};
use crate::{exit::Failure, severity};

impl Engine {
    /// Says that we live, if it is time to.
    pub(super) fn heartbeat(&mut self) -> Result<(), Trouble> {
        if self.heartbeat_due().is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        self.heartbeat_at = Instant::now();
        let notice = Notice {
            message: format!("fimk watches {} objects", self.tree.len()),
            counts: self.heartbeat_counts()?,
            config_digest: Some(self.about.config_digest.clone()),
            ..Notice::default()
        };
        let event = self.notice(Action::Heartbeat, severity::NOTICE, notice);
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })
    }

    /// When the next is due; never where none is wanted.
    pub(super) fn heartbeat_due(&self) -> Option<Instant> {
        let interval = Duration::from_secs(self.config.heartbeat_interval_s);
        (self.started && !interval.is_zero()).then(|| self.heartbeat_at + interval)
    }

    fn heartbeat_counts(&self) -> Result<Vec<(String, u64)>, Failure> {
        let length = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let newest = self.store.event_range()?.map_or(0, |(_, last)| last);
        let mut counts = vec![
            ("objects_watched".to_owned(), length(self.tree.len())),
            (
                "uptime_seconds".to_owned(),
                self.about.since_instant.elapsed().as_secs(),
            ),
            ("events_stored".to_owned(), newest),
            ("events_unwritten".to_owned(), self.unwritten(newest)),
        ];
        if let Some(packet) = self.losses.last() {
            counts.push(("skipped".to_owned(), packet.skipped));
            counts.extend(of_the_kernel(packet));
        }
        Ok(counts)
    }
}

/// The kernel's counters by cause, over all hooks.
fn of_the_kernel(packet: &raw::fimk_counters_packet) -> impl Iterator<Item = (String, u64)> {
    let sum = |cause: usize| {
        packet
            .hooks
            .iter()
            .filter_map(|hook| hook.of.get(cause))
            .fold(0, |sum: u64, count| sum.saturating_add(*count))
    };
    COUNT_NAMES
        .iter()
        .enumerate()
        .map(move |(cause, name)| ((*name).to_owned(), sum(cause)))
}
