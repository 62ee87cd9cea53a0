//! Events on their way to standard output: those that its thread has no room for are fetched from the database later.
//!
//! **Architecture Invariant:** nothing here waits for a reader, but for a moment at the very end.

use std::{
    thread,
    time::{Duration, Instant},
};

use fimk_core::event::Event;

use super::{Engine, Trouble};
use crate::{
    exit::{Failure, log},
    output::{Blocked, Due, STDOUT},
};

/// Events fetched at once.
const FETCHED_AT_ONCE: usize = 256;

/// How often is looked whether there is room again, or something was written.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same, when nothing was written for [`SLOW_AFTER`].
const LOOK_SLOWLY_EVERY: Duration = Duration::from_millis(500);
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// When nothing was written for so long, it is said.
const SAID_AFTER: Duration = Duration::from_secs(5);

/// At the end, what waits is written for so long; and for so long without anything being written. The loader kills
/// us after 10 seconds, of which other things take some.
const END_WITHIN: Duration = Duration::from_secs(5);
const END_SILENCE: Duration = Duration::from_secs(2);

/// How far standard output is.
#[derive(Default)]
pub struct Delivery {
    /// The newest event that was offered in its turn.
    offered: u64,
    /// The cursor as it is in the store.
    cursor: u64,
    /// There are newer ones in the store.
    behind: bool,
    /// Was offered before its turn.
    early: Option<u64>,
    /// What keeps it from being written was said.
    said: bool,
}

impl Delivery {
    /// The newest event that was written, as far as is known.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }
}

impl Engine {
    /// Begins to write: this event first, then all that were stored and never written.
    pub(crate) fn begin_to_write(&mut self, first: &Event) -> Result<(), Trouble> {
        let cursor = self.store.cursor(STDOUT).map_err(Failure::from)?;
        let offered = self.output.offer_before_its_turn(first);
        self.delivery = Delivery {
            offered: cursor,
            cursor,
            behind: true,
            early: offered.then_some(first.sequence),
            said: false,
        };
        self.deliver()
    }

    /// Writes what was stored while nothing was to be written.
    pub(crate) fn go_on_writing(&mut self) -> Result<(), Trouble> {
        self.delivery.behind = true;
        self.deliver()
    }

    /// Writes one event that was stored just now, or leaves it for later.
    pub(super) fn write(&mut self, event: &Event) {
        let delivery = &mut self.delivery;
        if !delivery.behind {
            delivery.behind = !self.output.offer(event);
        }
        if !delivery.behind {
            delivery.offered = event.sequence;
        }
    }

    /// Goes on with what waits, as far as there is room, and remembers what was written.
    pub(crate) fn deliver(&mut self) -> Result<(), Trouble> {
        if !self.started {
            return Ok(());
        }
        let written = self.output.written();
        if written > self.delivery.cursor {
            self.delivery.cursor = written;
            self.store
                .set_cursor(STDOUT, written)
                .map_err(Failure::from)?;
        }
        self.deliver_kept(false)?;
        while self.delivery.behind && self.fetch()? {}
        self.say_blocked()
    }

    /// Writes what the output kept back for long enough, or `all` of it, as far as there is room.
    pub(super) fn deliver_kept(&mut self, all: bool) -> Result<(), Trouble> {
        while let Some(due) = self.output.kept(all) {
            match due {
                Due::Summary(event) => drop(self.output.give(&event)),
                Due::Stored(sequence) => {
                    let before = sequence.saturating_sub(1);
                    let stored = self.store.events_after(before, 1).map_err(Failure::from)?;
                    for event in stored.iter().filter(|event| event.sequence == sequence) {
                        self.output.give(event);
                    }
                }
            }
        }
        Ok(())
    }

    /// Offers stored events; whether there is more to be done at once.
    fn fetch(&mut self) -> Result<bool, Trouble> {
        if !self.output.has_room() {
            return Ok(false);
        }
        let delivery = &mut self.delivery;
        let events = self
            .store
            .events_after(delivery.offered, FETCHED_AT_ONCE)
            .map_err(Failure::from)?;
        delivery.behind = !events.is_empty();
        for event in &events {
            let taken = if delivery.early == Some(event.sequence) {
                self.output.pass_over(event.sequence)
            } else {
                self.output.offer(event)
            };
            if !taken {
                return Ok(false);
            }
            delivery.offered = event.sequence;
        }
        Ok(delivery.behind)
    }

    /// Once for each time that nobody reads.
    fn say_blocked(&mut self) -> Result<(), Trouble> {
        let blocked = self.output_blocked();
        match (blocked, self.delivery.said) {
            (Some(blocked), false) => {
                self.delivery.said = true;
                let sentence = sentence(&blocked);
                log(&sentence);
                self.degraded(&sentence)
            }
            (None, true) if !self.delivery.behind && self.output.is_idle() => {
                self.delivery.said = false;
                log("standard output is read again: all events were written");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What keeps events from being written, if it has for long.
    pub(super) fn output_blocked(&self) -> Option<Blocked> {
        let long = |blocked: &Blocked| blocked.since >= SAID_AFTER;
        self.output.blocked().filter(long)
    }

    /// When [`Self::deliver`] has something to do.
    pub(super) fn deliver_due(&self) -> Option<Instant> {
        let waits = self.started
            && (self.delivery.behind || self.output.written() > self.delivery.cursor)
            || !self.output.is_idle();
        let slow = |blocked: Blocked| blocked.since >= SLOW_AFTER;
        let every = if self.output.blocked().is_some_and(slow) {
            LOOK_SLOWLY_EVERY
        } else {
            LOOK_EVERY
        };
        waits.then(|| Instant::now() + every)
    }

    /// At the end: what is left, as long as somebody reads.
    pub(super) fn deliver_rest(&mut self) -> Result<(), Trouble> {
        let end = Instant::now() + END_WITHIN;
        let mut silent = false;
        while Instant::now() < end && !silent {
            self.deliver()?;
            self.deliver_kept(true)?;
            if !self.delivery.behind && self.output.is_idle() {
                return self.deliver();
            }
            thread::sleep(Duration::from_millis(1));
            let blocked = self.output.blocked();
            silent = blocked.is_some_and(|it| it.error.is_some() || it.since >= END_SILENCE);
        }
        log(
            "standard output is not read: what was not written is kept, and written at the next start",
        );
        Ok(())
    }
}

/// What to say of it.
pub(super) fn sentence(blocked: &Blocked) -> String {
    let seconds = blocked.since.as_secs();
    match &blocked.error {
        Some(error) => format!(
            "standard output cannot be written ({error}): events are kept in the database and written when it can, or at the next start"
        ),
        None => format!(
            "standard output was not read for {seconds} s: events are kept in the database and written when it is read, or at the next start"
        ),
    }
}
