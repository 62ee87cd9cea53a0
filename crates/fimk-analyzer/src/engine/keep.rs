//! What is kept: commits, their way to the disk and to the outputs, and the loader's word that they are done.

use std::time::{Duration, Instant};

use fimk_core::{
    event::{Body, Event},
    record::Content,
    time::Timestamp,
};
use fimk_store::{Commit, StoreError};
use fimk_wire::raw;

use super::{Engine, Eyes, Lane, Trouble};
use crate::{clock, exit::Failure, retention::retention};

/// How long a commit may wait for the disk; DONE is said only after. Not sooner either: the next change would have to
/// wait until the disk is done with this one.
pub(super) const SYNC_WITHIN: Duration = Duration::from_millis(100);

/// Differences told of an event that would be too large with all of them.
const CHANGES_MAX: usize = 100;

/// How often it is written down at rest until when everything is told: the lower bound of a gap.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// How long old events are removed at a time, so that nothing waits long.
const FORGET_AT_ONCE: Duration = Duration::from_millis(100);
/// And how soon it is gone on with: a tenth of the time, for some thousand events a second.
const FORGET_AGAIN: Duration = Duration::from_secs(1);

/// How often the removal of old events begins.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// The meta key under which the last time of watching is kept: nanoseconds since 1970, 8 bytes.
pub const ALIVE: &str = "alive";

/// The same of the time against which ages are held, see [`crate::age`].
pub const AGE: &str = "age";

impl Engine {
    /// Commits, and writes what may be written.
    pub(crate) fn commit(&mut self, commit: Commit) -> Result<(), Trouble> {
        self.await_room()?;
        let spare = (!commit.put.is_empty() || !commit.events.is_empty()).then(|| commit.clone());
        let events = match (self.store.commit(commit), spare) {
            // Whoever writes the file chooses its size: that must not be the end of us.
            (Err(StoreError::TooLarge { .. }), Some(spare)) => self.store.commit(lighter(spare)),
            (committed, _) => committed,
        };
        let events = events.map_err(Failure::from)?;
        self.commits += 1;
        self.unsynced_since.get_or_insert_with(Instant::now);
        for event in &events {
            self.activity.note(event);
            self.repairs.note(event);
        }
        if self.started {
            for event in &events {
                self.write(event);
            }
        }
        self.heed_store()
    }

    /// Brings commits to the disk and tells the loader what is done.
    pub(crate) fn sync_if_due(&mut self, now: bool) -> Result<(), Trouble> {
        let waited = |since: Instant| since.elapsed() >= SYNC_WITHIN;
        if self.tidied_at.elapsed() >= TIDY_EVERY {
            self.tidied_at = Instant::now();
            crate::same::remember(&self.store, &self.config.state_dir, &self.config.run_dir);
            self.forget_old_events()?;
        }
        if self.forget_at.is_some_and(|when| when <= Instant::now()) {
            self.forget_old_events()?;
        }
        if self
            .unsynced_since
            .is_some_and(|since| now || waited(since))
        {
            self.store.sync().map_err(Failure::from)?;
            if self.store.is_on_disk() {
                self.unsynced_since = None;
            }
            self.heed_store()?;
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

    /// Until when nothing can have changed untold: with comparisons only, until the last one.
    fn watched_until(&self) -> Timestamp {
        match self.eyes {
            Eyes::Periodic => self.compared,
            Eyes::Bpf(_) | Eyes::Fanotify(_) => self.checkpoint.reached(),
        }
    }

    /// Writes down until when everything is told.
    pub(crate) fn say_alive(&mut self) -> Result<(), Trouble> {
        self.alive_at = Instant::now();
        self.store
            .set_meta(ALIVE, &self.watched_until().0.to_be_bytes())
            .map_err(Failure::from)?;
        self.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// The database must not fill the disk: what an output has still to get goes as well, and is said.
    fn forget_old_events(&mut self) -> Result<(), Trouble> {
        let now = self.age.now(clock::now(), clock::since_boot_ns());
        self.store
            .set_meta(AGE, &now.0.to_be_bytes())
            .map_err(Failure::from)?;
        let keep = retention(&self.config, now);
        let begun = Instant::now();
        self.forget_at = None;
        let ways: Vec<(u64, u64)> = self.lanes.iter().map(Lane::on_its_way).collect();
        let lanes = &mut self.lanes;
        let mut lost = |event: &Event| lanes.iter_mut().for_each(|lane| lane.lose(event));
        let store = &mut self.store;
        while store
            .retain_beyond(&keep, &ways, &mut lost)
            .map_err(Failure::from)?
            > 0
        {
            if begun.elapsed() >= FORGET_AT_ONCE {
                self.forget_at = Some(begun + FORGET_AGAIN);
                break;
            }
        }
        if self.forget_at.is_none() {
            self.say_lost(false)?;
        }
        self.say_removed()
    }
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
