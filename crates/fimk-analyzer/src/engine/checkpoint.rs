//! Until when all that changed is told and kept: the lower bound of the gap if we should be killed.
//!
//! It is not the time until which we watched: what was read from the kernel and is not yet committed dies with us, and the
//! kernel forgets what was read. So a checkpoint is a moment of which we then wait until everything from before it is done:
//! the loader has answered a SYNC made after it, and whatever waited to be examined at that answer has been.

use std::time::{Duration, Instant};

use fimk_core::time::Timestamp;

use super::{Engine, Eyes, Trouble};
use crate::{clock, source::bpf::NAME_PATIENCE};

/// How often it is written down while there is much to do; at rest, see `ALIVE_EVERY`.
const BUSY_EVERY: Duration = Duration::from_millis(200);

/// The last one that was reached, and the one that is waited for.
pub(crate) struct Checkpoint {
    reached: Timestamp,
    next: Option<(Timestamp, Stage)>,
}

/// What a checkpoint waits for.
enum Stage {
    /// The answer to a SYNC.
    Asked(u64),
    /// Records of names that wait for their counterparts.
    Names(Instant),
    /// That all paths with smaller numbers are examined.
    Examined(u64),
}

impl Checkpoint {
    pub(super) fn new() -> Self {
        Self {
            reached: clock::now(),
            next: None,
        }
    }

    /// All from before this moment is told and kept.
    pub(crate) fn reach(&mut self, moment: Timestamp) {
        self.reached = moment;
        self.next = None;
    }

    pub(super) fn reached(&self) -> Timestamp {
        self.reached
    }

    /// When to look at it again, if not when something else happens.
    pub(super) fn next_due(&self, at_rest: Instant) -> Option<Instant> {
        match self.next {
            None => Some(at_rest),
            Some((_, Stage::Names(when))) => Some(when),
            Some(_) => None,
        }
    }

    /// A SYNC was answered.
    pub(super) fn answered(&mut self, cookie: u64, patience: Duration) {
        if let Some((_, stage)) = &mut self.next
            && matches!(stage, Stage::Asked(asked) if *asked == cookie)
        {
            *stage = Stage::Names(Instant::now() + patience);
        }
    }
}

impl Engine {
    /// Begins a checkpoint when it is time, or goes on with the one that was begun.
    pub(super) fn checkpoint(&mut self) -> Result<(), Trouble> {
        if self.checkpoint.next.is_none() {
            return self.begin_checkpoint();
        }
        if let Some((_, stage)) = &mut self.checkpoint.next
            && matches!(stage, Stage::Names(when) if *when <= Instant::now())
        {
            *stage = Stage::Examined(self.settle.next_id());
        }
        // What is to be found by comparing everything is from before, too.
        if let Some((moment, Stage::Examined(needs))) = self.checkpoint.next
            && self.settle.oldest_id().is_none_or(|id| id >= needs)
            && self.scan_wanted.is_none()
            && self.mounts.is_told()
        {
            self.checkpoint.reach(moment);
            self.say_alive()?;
        }
        Ok(())
    }

    fn begin_checkpoint(&mut self) -> Result<(), Trouble> {
        let busy = self.unsynced_since.is_some() && self.alive_at.elapsed() >= BUSY_EVERY;
        if !busy && self.alive_at.elapsed() < super::keep::ALIVE_EVERY {
            return Ok(());
        }
        if matches!(self.eyes, Eyes::Periodic) {
            return self.say_alive();
        }
        let moment = clock::now();
        self.look()?;
        if matches!(&self.eyes, Eyes::Fanotify(it) if !it.has_read_all() || !it.is_certain()) {
            return Ok(());
        }
        let cookie = self.channel.sync()?;
        self.checkpoint.next = Some((moment, Stage::Asked(cookie)));
        Ok(())
    }

    /// How long records of names wait for others.
    pub(super) fn name_patience(&self) -> Duration {
        match self.eyes {
            Eyes::Bpf(_) => NAME_PATIENCE,
            Eyes::Fanotify(_) | Eyes::Periodic => Duration::ZERO,
        }
    }

    /// Before an end in order: takes in all that was recorded until now, and says whether it could.
    pub(super) fn take_in_the_rest(&mut self) -> Result<bool, Trouble> {
        match self.catch_up() {
            // A loader that does not answer has records that we have not.
            Ok(()) => Ok(!self.alone),
            // The loader ended in order and sent everything first, or it died and its maps have the rest.
            Err(Trouble::Channel(_)) => {
                Ok(matches!(&self.eyes, Eyes::Bpf(bpf) if !bpf.takes_in_flight()))
            }
            Err(trouble) => Err(trouble),
        }
    }
}
