//! One output and how far it is: events that its thread has no room for are fetched from the database later.
//!
//! **Architecture Invariant:** nothing here waits for a receiver.

use std::time::{Duration, Instant};

use fimk_core::{event::Event, request::Refused};
use fimk_store::Store;

use super::missed::{Lost, Missed, sentence_of_another};
use crate::{
    exit::{Failure, log},
    output::{Blocked, Due, Output},
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

/// Fetches in one turn: some ten milliseconds, where a filter passes few of what is fetched.
const FETCHES_A_TURN: usize = 8;

/// At the end, who takes nothing for so long is not waited for.
const END_SILENCE: Duration = Duration::from_secs(2);

/// An output, and how far it is.
pub struct Lane {
    pub(super) output: Output,
    /// The newest event that was offered in its turn.
    offered: u64,
    /// The cursor as it is in the store.
    cursor: u64,
    /// There are newer ones in the store.
    behind: bool,
    /// From when on others of those can be fetched, where one turn was not enough.
    next_turn: Option<Instant>,
    /// Was offered before its turn.
    early: Option<u64>,
    /// What keeps it from being written was said.
    said: bool,
    /// Removed before it was offered.
    lost: Missed,
    /// Refused by the receiver for good, and what it said last.
    refused: (Missed, String),
    /// It is configured, and its cursor is kept.
    configured: bool,
    /// The last event that it gets, and how long it has for that.
    leaving: Option<(u64, Instant)>,
}

impl Lane {
    /// That goes on at its cursor, or, for one that has none, with what is stored from now on.
    pub fn new(output: Output, store: &mut Store) -> Result<Self, Failure> {
        let cursors = store.cursors()?;
        let known = cursors.iter().find(|(name, _)| *name == output.name);
        let cursor = if let Some((_, cursor)) = known {
            *cursor
        } else {
            let now = store.next_sequence().saturating_sub(1);
            store.set_cursor(&output.name, now)?;
            now
        };
        Ok(Self::at(cursor, output))
    }

    fn at(cursor: u64, output: Output) -> Self {
        Self {
            output,
            offered: cursor,
            cursor,
            behind: true,
            next_turn: None,
            early: None,
            said: false,
            lost: Missed::default(),
            refused: Default::default(),
            configured: true,
            leaving: None,
        }
    }

    /// Another output, that goes on where this one is: what it was given and has not written is fetched again.
    pub(super) fn followed_by(&self, output: Output) -> Self {
        Self::at(self.cursor.max(self.output.written()), output)
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        self.output.name.clone()
    }

    /// How far it is need not be known any more.
    pub(super) fn forgotten(mut self) -> Self {
        self.configured = false;
        self
    }

    /// It gets no event after this one, and that only until then.
    pub(super) fn leave(&mut self, last: u64, until: Instant) {
        self.leaving.get_or_insert((last, until));
        self.behind = true;
    }

    /// Whether it got the last that it is to get; none while it is getting it.
    pub(super) fn has_left(&self) -> Option<bool> {
        let (_, until) = self.leaving?;
        if self.is_done() {
            return Some(true);
        }
        (Instant::now() >= until).then_some(false)
    }

    /// Numbers behind the first, up to the second, were offered, and may have to be fetched again.
    pub(super) fn on_its_way(&self) -> (u64, u64) {
        (self.cursor, self.offered)
    }

    /// The event was removed from the store.
    pub(super) fn lose(&mut self, event: &Event) {
        let sequence = event.sequence;
        if sequence <= self.offered || !self.output.wants(event) {
            return;
        }
        self.lost.note(sequence);
    }

    /// The receiver has all up to this ticket, but for what it refused.
    pub(super) fn acknowledge(&mut self, upto: u64, refused: Option<Refused>) {
        let refused = refused.unwrap_or_default();
        let events = self.output.acknowledge(upto, &refused.tickets);
        if !events.is_empty() {
            self.refused.1 = sentence_of_another(&refused.why);
        }
        for event in events {
            self.refused.0.note(event);
        }
    }

    /// Events that it never got, for they were removed, and those that its receiver refused.
    pub(super) fn missed(&self) -> (u64, u64) {
        (self.lost.total(), self.refused.0.total())
    }

    /// What was removed and not said; it is said now. Not `at_last`: only if that was not done a short while ago.
    pub(super) fn take_lost(&mut self, at_last: bool) -> Option<Lost> {
        self.lost.take(at_last)
    }

    /// The same of what was refused, with what the receiver said.
    pub(super) fn take_refused(&mut self, at_last: bool) -> Option<(Lost, String)> {
        let refused = self.refused.0.take(at_last)?;
        Some((refused, self.refused.1.clone()))
    }

    /// The newest event that was written, as far as is known.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Begins to write: this event first, then all that were stored and never written.
    pub(super) fn begin(&mut self, first: &Event) {
        let offered = self.output.offer_before_its_turn(first);
        self.early = offered.then_some(first.sequence);
    }

    /// There may be newer ones in the store.
    pub(super) fn is_behind(&mut self) {
        self.behind = true;
    }

    /// Writes one event that was stored just now, or leaves it for later.
    pub(super) fn write(&mut self, event: &Event) {
        if self.leaving.is_some() {
            return;
        }
        if !self.behind {
            self.behind = !self.output.offer(event);
        }
        if !self.behind {
            self.offered = event.sequence;
        }
    }

    /// Goes on with what waits, as far as there is room, and remembers what was written.
    pub(super) fn deliver(&mut self, store: &mut Store) -> Result<(), Failure> {
        let written = self.output.written();
        if written > self.cursor {
            self.cursor = written;
            if self.configured {
                store.set_cursor(&self.output.name, written)?;
            }
        }
        self.deliver_kept(store, false)?;
        self.next_turn = self.catch_up(store)?.then(Instant::now);
        if self.leaving.is_some() && !self.behind {
            self.deliver_kept(store, true)?;
        }
        Ok(())
    }

    /// Fetches what is behind for one turn; whether that was not enough.
    fn catch_up(&mut self, store: &Store) -> Result<bool, Failure> {
        for _ in 0..FETCHES_A_TURN {
            if !self.behind || !self.fetch(store)? {
                return Ok(false);
            }
        }
        Ok(self.behind)
    }

    /// Writes what the output kept back for long enough, or `all` of it, as far as there is room.
    pub(super) fn deliver_kept(&mut self, store: &Store, all: bool) -> Result<(), Failure> {
        while let Some(due) = self.output.kept(all) {
            match due {
                Due::Summary(event) => drop(self.output.give(&event)),
                Due::Stored(sequence) => {
                    let before = sequence.saturating_sub(1);
                    let stored = store.events_after(before, 1)?;
                    for event in stored.iter().filter(|event| event.sequence == sequence) {
                        self.output.give(event);
                    }
                }
            }
        }
        Ok(())
    }

    /// Offers stored events; whether there is more to be done at once.
    fn fetch(&mut self, store: &Store) -> Result<bool, Failure> {
        if !self.output.has_room() {
            return Ok(false);
        }
        let mut events = store.events_after(self.offered, FETCHED_AT_ONCE)?;
        if let Some((last, _)) = self.leaving {
            events.retain(|event| event.sequence <= last);
        }
        self.behind = !events.is_empty();
        for event in &events {
            let taken = if self.early == Some(event.sequence) {
                self.output.pass_over(event.sequence)
            } else {
                self.output.offer(event)
            };
            if !taken {
                return Ok(false);
            }
            self.offered = event.sequence;
        }
        Ok(self.behind)
    }

    /// What is to be said, once for each time that nothing is taken: that, in a sentence. That it is taken again is logged.
    pub(super) fn news(&mut self) -> Option<String> {
        match (self.blocked(), self.said) {
            (Some(sentence), false) => {
                self.said = true;
                log(&sentence);
                Some(sentence)
            }
            (None, true) if !self.behind && self.output.is_idle() => {
                self.said = false;
                log(format!(
                    "{} is read again: all events were written",
                    self.output.place
                ));
                None
            }
            _ => None,
        }
    }

    /// What keeps events from being written, if it has for long.
    pub(super) fn blocked(&self) -> Option<String> {
        let long = |blocked: &Blocked| blocked.since >= SAID_AFTER;
        let blocked = self.output.blocked().filter(long)?;
        Some(sentence(&self.output.place, &blocked))
    }

    /// When [`Self::deliver`] has something to do.
    pub(super) fn next_due(&self, started: bool) -> Option<Instant> {
        if started && self.next_turn.is_some() {
            return self.next_turn;
        }
        let waits = started && (self.behind || self.output.written() > self.cursor)
            || !self.output.is_idle();
        // Who fetches makes us look by asking.
        let slow = |blocked: Blocked| blocked.since >= SLOW_AFTER;
        let every = if self.output.is_fetched() || self.output.blocked().is_some_and(slow) {
            LOOK_SLOWLY_EVERY
        } else {
            LOOK_EVERY
        };
        let look = waits.then(|| Instant::now() + every);
        look.into_iter().chain(self.output.next_due()).min()
    }

    /// Whether all that is stored was written.
    pub(super) fn is_done(&self) -> bool {
        !self.behind && self.output.is_idle()
    }

    /// Whether nothing is to be expected of the receiver any more, at the end.
    pub(super) fn is_silent(&self) -> bool {
        let blocked = self.output.blocked();
        blocked.is_some_and(|it| it.error.is_some() || it.since >= END_SILENCE)
            || self
                .output
                .unasked()
                .is_some_and(|time| time >= END_SILENCE)
    }
}

/// What to say of it.
fn sentence(place: &str, blocked: &Blocked) -> String {
    let seconds = blocked.since.as_secs();
    match &blocked.error {
        Some(error) => format!(
            "{place} cannot be written ({error}): events are kept in the database and written when it can, or at the next start"
        ),
        None => format!(
            "{place} was not read for {seconds} s: events are kept in the database and written when it is read, or at the next start"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use fimk_core::{
        config,
        event::{Action, Body, Notice},
        render::Host,
        time::Timestamp,
    };
    use fimk_store::Commit;

    use super::*;

    const TURN: usize = FETCHES_A_TURN * FETCHED_AT_ONCE;

    /// An output that takes nothing but heartbeats, of which there are none.
    fn lane(store: &mut Store) -> Lane {
        let text = "[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n[[output]]\ntype = \"udp\"\n\
                    addresses = [\"127.0.0.1:9\"]\nactions = [\"heartbeat\"]\n";
        let config = config::parse(text, "x").expect("valid");
        let host = Host {
            name: "h".to_owned(),
        };
        let output = Output::new(host, &config.outputs[0]).expect("an output");
        Lane::new(output, store).expect("a lane")
    }

    fn gap() -> Event {
        Event {
            sequence: 0,
            created: Timestamp(1),
            boot: String::new(),
            source: None,
            action: Action::Gap,
            severity: 1,
            body: Body::Notice(Notice::default()),
        }
    }

    #[test]
    fn catching_up_with_many_events_that_are_not_for_it_takes_several_turns_without_a_pause() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(directory.path()).expect("it opens");
        let mut lane = lane(&mut store);
        for _ in 0..2 * TURN / FETCHED_AT_ONCE {
            let events = vec![gap(); FETCHED_AT_ONCE];
            let commit = Commit {
                events,
                ..Commit::default()
            };
            store.commit(commit).expect("committed");
        }
        let all = store.next_sequence() - 1;
        lane.deliver(&mut store).expect("delivered");
        assert_eq!(lane.offered, all / 2, "one turn has a limit");
        assert!(lane.next_due(true).is_some_and(|at| at <= Instant::now()));
        lane.deliver(&mut store).expect("delivered");
        lane.deliver(&mut store).expect("delivered");
        assert_eq!(lane.offered, all);
        assert!(lane.is_done());
    }
}
