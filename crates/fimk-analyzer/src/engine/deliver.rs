//! Events on their way to the outputs, each of which goes at its own pace.
//!
//! **Architecture Invariant:** nothing here waits for a receiver, but for a moment at the very end.

use std::{
    thread,
    time::{Duration, Instant},
};

use fimk_core::event::Event;

use super::{Engine, Lane, Lost, Trouble};
use crate::exit::log;

/// At the end, what waits is written for so long. The loader kills us after 10 seconds, of which other things take some.
const END_WITHIN: Duration = Duration::from_secs(5);

impl Engine {
    /// Begins to write: this event first, then all that were stored and never written.
    pub(crate) fn begin_to_write(&mut self, first: &Event) -> Result<(), Trouble> {
        self.lanes.iter_mut().for_each(|lane| lane.begin(first));
        self.deliver()
    }

    /// Writes what was stored while nothing was to be written.
    pub(crate) fn go_on_writing(&mut self) -> Result<(), Trouble> {
        self.lanes.iter_mut().for_each(Lane::is_behind);
        self.deliver()
    }

    /// Writes one event that was stored just now, or leaves it for later.
    pub(super) fn write(&mut self, event: &Event) {
        let lanes = self.lanes.iter_mut().chain(&mut self.leaving);
        lanes.for_each(|lane| lane.write(event));
    }

    /// Goes on with what waits, as far as there is room, and remembers what was written.
    pub(crate) fn deliver(&mut self) -> Result<(), Trouble> {
        if !self.started {
            return Ok(());
        }
        for lane in self.lanes.iter_mut().chain(&mut self.leaving) {
            lane.deliver(&mut self.store)?;
        }
        self.see_off();
        let news: Vec<String> = self.lanes.iter_mut().filter_map(Lane::news).collect();
        news.iter()
            .try_for_each(|sentence| self.degraded(sentence))?;
        self.say_refused(false)
    }

    /// Writes what the outputs kept back for long enough, or `all` of it, as far as there is room.
    pub(super) fn deliver_kept(&mut self, all: bool) -> Result<(), Trouble> {
        for lane in &mut self.lanes {
            lane.deliver_kept(&self.store, all)?;
        }
        Ok(())
    }

    /// What keeps events from being written, if it has for long.
    pub(super) fn outputs_blocked(&self) -> Option<String> {
        let sentences: Vec<String> = self.lanes.iter().filter_map(Lane::blocked).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }

    /// When [`Self::deliver`] has something to do.
    pub(super) fn deliver_due(&self) -> Option<Instant> {
        let due = |lane: &Lane| lane.next_due(self.started);
        let lanes = self.lanes.iter().chain(&self.leaving);
        lanes.filter_map(due).min()
    }

    /// Stored events that some output has still to get.
    pub(super) fn unwritten(&self, newest: u64) -> u64 {
        let slowest = self.lanes.iter().map(Lane::cursor).min();
        newest.saturating_sub(slowest.unwrap_or(newest))
    }

    /// What outputs lost and was not said, each with its name.
    pub(crate) fn take_lost(&mut self, at_last: bool) -> Vec<(String, Lost)> {
        let lanes = self.lanes.iter_mut();
        let lost =
            lanes.filter_map(|lane| Some((lane.output.name.clone(), lane.take_lost(at_last)?)));
        lost.collect()
    }

    /// At the end: what is left, as long as somebody takes it.
    pub(super) fn deliver_rest(&mut self) -> Result<(), Trouble> {
        let end = Instant::now() + END_WITHIN;
        let left = |lane: &Lane| !lane.is_done() && !lane.is_silent();
        loop {
            self.deliver()?;
            self.deliver_kept(true)?;
            // Who sends over the network fetches the rest.
            self.serve_control();
            if Instant::now() >= end || !self.lanes.iter().chain(&self.leaving).any(left) {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.serve_control();
        self.deliver()?;
        for lane in self.lanes.iter().filter(|lane| !lane.is_done()) {
            log(format!(
                "{} is not read: what was not written is kept, and written at the next start",
                lane.output.place
            ));
        }
        Ok(())
    }
}
