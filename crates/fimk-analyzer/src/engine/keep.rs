//! What is kept: commits, their way to the disk and to the outputs, and the loader's word that they are done.

use std::time::{Duration, Instant};

use fimk_core::{
    event::{Body, Event},
    record::Content,
    time::Timestamp,
};
use fimk_store::{Commit, Retention, StoreError};
use fimk_wire::raw;

use super::{Engine, Eyes, Trouble};
use crate::{
    clock,
    exit::{Failure, Status},
    output::{Due, STDOUT},
};

/// How long a commit may wait for the disk; DONE is said only after.
pub(super) const SYNC_WITHIN: Duration = Duration::from_millis(100);

/// Differences told of an event that would be too large with all of them.
const CHANGES_MAX: usize = 100;

/// How often it is written down that we were alive: the lower bound of a gap.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Steps of removing old events at a time, of a thousand events each: more than can be written meanwhile.
const RETENTION_STEPS: usize = 50;

/// The meta key under which the last time of watching is kept: nanoseconds since 1970, 8 bytes.
pub const ALIVE: &str = "alive";

impl Engine {
    /// Commits, and writes what may be written.
    pub(crate) fn commit(&mut self, commit: Commit) -> Result<(), Trouble> {
        let spare = (!commit.put.is_empty() || !commit.events.is_empty()).then(|| commit.clone());
        let events = match (self.store.commit(commit), spare) {
            // Whoever writes the file chooses its size: that must not be the end of us.
            (Err(StoreError::TooLarge { .. }), Some(spare)) => self.store.commit(lighter(spare)),
            (committed, _) => committed,
        };
        let events = events.map_err(Failure::from)?;
        self.unsynced_since.get_or_insert_with(Instant::now);
        for event in &events {
            self.activity.note(event);
            self.repairs.note(event);
        }
        if self.started {
            for event in &events {
                self.write(event)?;
            }
        }
        Ok(())
    }

    /// Hands one event to the output and remembers what is written.
    pub(crate) fn write(&mut self, event: &Event) -> Result<(), Trouble> {
        self.output.take(event).map_err(unwritten)?;
        self.keep_cursor()
    }

    /// Writes what the output kept back for long enough, or `all` of it.
    pub(crate) fn write_kept(&mut self, all: bool) -> Result<(), Trouble> {
        let due = self.output.due(all);
        if due.is_empty() {
            return Ok(());
        }
        for it in due {
            match it {
                Due::Summary(event) => self.output.write(&event).map_err(unwritten)?,
                Due::Stored(sequence) => {
                    let before = sequence.saturating_sub(1);
                    let stored = self.store.events_after(before, 1).map_err(Failure::from)?;
                    for event in stored.iter().filter(|event| event.sequence == sequence) {
                        self.output.write(event).map_err(unwritten)?;
                    }
                }
            }
        }
        self.keep_cursor()
    }

    pub(crate) fn keep_cursor(&mut self) -> Result<(), Trouble> {
        if let Some(cursor) = self.output.cursor() {
            self.store
                .set_cursor(STDOUT, cursor)
                .map_err(Failure::from)?;
        }
        Ok(())
    }

    /// Brings commits to the disk and tells the loader what is done.
    pub(crate) fn sync_if_due(&mut self, now: bool) -> Result<(), Trouble> {
        let waited = |since: Instant| since.elapsed() >= SYNC_WITHIN;
        if self.alive_at.elapsed() >= ALIVE_EVERY {
            self.say_alive()?;
        }
        if self
            .unsynced_since
            .is_some_and(|since| now || waited(since) || self.settle.len() == 0)
        {
            self.store.sync().map_err(Failure::from)?;
            self.unsynced_since = None;
        }
        if self.unsynced_since.is_none() {
            self.say_done()?;
        }
        Ok(())
    }

    fn say_done(&mut self) -> Result<(), Trouble> {
        let waiting = [self.settle.oldest_id(), self.attempts.oldest_id()];
        let oldest = waiting.into_iter().flatten().min().unwrap_or(u64::MAX);
        while let Some(&(needs, key, take)) = self.done.front()
            && needs <= oldest
        {
            self.done.pop_front();
            self.channel.ask(raw::FIMK_REQUEST_DONE, 0, key, take)?;
        }
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            bpf.take(&mut self.channel, self.done.len())?;
        }
        Ok(())
    }

    /// Until when nothing can have changed unseen: with comparisons only, until the last one.
    fn watched_until(&self) -> Timestamp {
        match self.eyes {
            Eyes::Periodic => self.compared,
            Eyes::Bpf(_) | Eyes::Fanotify(_) => clock::now(),
        }
    }

    /// Writes down until when everything was watched.
    pub(crate) fn say_alive(&mut self) -> Result<(), Trouble> {
        self.alive_at = Instant::now();
        self.store
            .set_meta(ALIVE, &self.watched_until().0.to_be_bytes())
            .map_err(Failure::from)?;
        self.unsynced_since.get_or_insert_with(Instant::now);
        self.forget_old_events()
    }

    /// The database must not fill the disk. What an output has still to get is never removed.
    fn forget_old_events(&mut self) -> Result<(), Trouble> {
        for _ in 0..RETENTION_STEPS {
            if self
                .store
                .retain(&Retention::default())
                .map_err(Failure::from)?
                == 0
            {
                break;
            }
        }
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "map_err gives it so")]
fn unwritten(error: std::io::Error) -> Failure {
    let sentence = format!(
        "standard output cannot be written ({error}): events are kept and written at the next start"
    );
    Failure::new(Status::Io, sentence)
}

/// The same facts without the texts: the next difference of these files is known by digest only.
fn lighter(mut commit: Commit) -> Commit {
    for (_, record) in &mut commit.put {
        if let Content::Read { state, .. } = &mut record.snapshot.content {
            *state = None;
        }
    }
    for event in &mut commit.events {
        if let Body::Change(change) = &mut event.body {
            change.diff = None;
            change.changes.truncate(CHANGES_MAX);
            change.truncated.push("fimk.diff".to_owned());
        }
    }
    commit
}
