//! Who else did it: nothing is put on one process while the record of another is on its way.
//!
//! An entry is taken before the object is read, so that nothing it counts is missed; but each process has an entry of its
//! own, and what another did between the taking and the reading shows in the reading as well. Its announcement was made by
//! then, so whoever asks the loader after the reading has it before the answer.

use std::time::{Duration, Instant};

use fimk_core::{path::BytePath, record::Snapshot, time::Timestamp};
use fimk_wire::Packet;

use crate::{
    clock,
    engine::{Engine, Eyes, Trouble},
    examine::Examined,
    pending::Pending,
    signal::{Operations, Touch},
    source::fanotify::Fanotify,
};

/// How far the times of an entry and of an object may lie behind the change: both are read once a tick, of which there are
/// a hundred a second at least.
const TICK_NS: i64 = 20_000_000;

/// The loader answers a SYNC within a fraction of a millisecond. One that does not is not waited for: it has the channel's
/// own time to answer, and meanwhile nothing is put on anybody.
const HEARD_WITHIN: Duration = Duration::from_millis(100);

/// How often one path waits for a record that the kernel has still to make: it does so right after the change, but whoever
/// makes the change may lose the CPU just then.
const MADE_WAITS_MAX: u8 = 10;

/// How often one path waits for others: a stream of ever new processes must not keep it from being told.
const WAITS_MAX: u8 = 40;

/// What the loader has said.
#[derive(Default)]
pub(crate) struct Others {
    /// All that was recorded before this moment has come.
    heard: Option<Timestamp>,
    /// A SYNC that was not answered in time.
    unanswered: Option<u64>,
}

impl Others {
    /// A SYNCED came.
    pub(crate) fn answered(&mut self, cookie: u64) {
        self.unanswered.take_if(|asked| *asked <= cookie);
    }
}

/// Whether a touch explains nothing of what shows now: all of it was there at the reading that is on record, or it was done
/// to what stood here before.
pub(crate) fn is_past(touch: &Touch, read: Option<Timestamp>) -> bool {
    let maps = Operations::of(&[fimk_wire::raw::FIMK_OP_MAP]);
    let before = read.is_some_and(|read| touch.last.0.saturating_add(TICK_NS) < read.0);
    touch.is_of_former() || touch.fact.is_none() && !touch.operations.meets(maps) && before
}

/// Whether it changed after everything that waits: somebody's record of that is still to be made.
pub(crate) fn changed_since(pending: &Pending, after: &Snapshot) -> bool {
    let touched = pending.touches.iter().map(|touch| touch.last.0).max();
    touched.is_some_and(|last| after.attributes.ctime.0 > last.saturating_add(TICK_NS))
}

impl Engine {
    /// Whether records of other processes than those that wait are on their way about what was just read, and may be
    /// older than the reading: what differs may be their work, and is to wait.
    pub(crate) fn others_are_on_the_way(
        &mut self,
        path: &BytePath,
        pending: &Pending,
        after: Option<&Snapshot>,
    ) -> Result<Option<Examined>, Trouble> {
        if pending.unexplained || pending.found.is_none() && pending.touches.is_empty() {
            return Ok(None);
        }
        Ok(match &self.eyes {
            Eyes::Bpf(_) => self
                .others_are_announced(path, pending, after)
                .then_some(Examined::OthersToCome),
            Eyes::Fanotify(_) => self
                .others_are_queued(path, pending)?
                .then_some(Examined::Unexplained),
            Eyes::Periodic => None,
        })
    }

    /// Whether what says why a name is gone may still come: of a removal, or of a directory above that moved.
    pub(crate) fn why_it_is_gone_is_on_its_way(
        &mut self,
        path: &BytePath,
        pending: &Pending,
    ) -> Result<bool, Trouble> {
        // By all that was heard so far something has this name still.
        let is_unheard_of = self.tree.get(path).is_some();
        if pending.unexplained || pending.put_off >= WAITS_MAX || !is_unheard_of {
            return Ok(false);
        }
        Ok(match &self.eyes {
            Eyes::Bpf(_) => !self.alone && !self.has_heard_all(),
            Eyes::Fanotify(_) => self.read_queue()?.is_some_and(|it| !it.has_told_all()),
            Eyes::Periodic => false,
        })
    }

    /// Whether all that was recorded by now has come, and was looked at.
    fn has_heard_all(&mut self) -> bool {
        self.others.unanswered.is_none() && self.hears_all() && self.stash.is_empty()
    }

    /// Reads what waits in the queue of fanotify, if that is what serves.
    pub(crate) fn read_queue(&mut self) -> Result<Option<&Fanotify>, Trouble> {
        let Eyes::Fanotify(fanotify) = &mut self.eyes else {
            return Ok(None);
        };
        // A group that fails says so again at the next turn, which ends us.
        let _ = fanotify.read((!self.alone).then_some(&mut self.channel), &self.walker)?;
        Ok(Some(fanotify))
    }

    fn others_are_queued(&mut self, path: &BytePath, pending: &Pending) -> Result<bool, Trouble> {
        let Some(fanotify) = self.read_queue()? else {
            return Ok(false);
        };
        // Who was merely near when it was found is not known to have done anything.
        let touches = pending.touches.iter();
        let actors = touches
            .filter(|_| pending.found.is_none())
            .filter_map(|touch| touch.actor);
        let known: Vec<u32> = actors.map(|actor| actor.pid).collect();
        Ok(fanotify.awaits_another(path, &known))
    }

    fn others_are_announced(
        &mut self,
        path: &BytePath,
        pending: &Pending,
        after: Option<&Snapshot>,
    ) -> bool {
        let Some(after) = after else {
            return false;
        };
        if self.alone || pending.found.is_some() {
            return false;
        }
        if self.others.unanswered.is_some() || !self.has_heard_of(after) {
            return true;
        }
        self.awaits_others(path, pending)
            || pending.put_off < MADE_WAITS_MAX && changed_since(pending, after)
    }

    /// Whether an entry of another process was announced and is not here yet. Without asking anybody.
    fn awaits_others(&self, path: &BytePath, pending: &Pending) -> bool {
        let Eyes::Bpf(bpf) = &self.eyes else {
            return false;
        };
        if self.alone || pending.touches.is_empty() || pending.put_off >= WAITS_MAX {
            return false;
        }
        let known: Vec<_> = pending.touches.iter().map(|it| it.actor).collect();
        let own = self.tree.get(path).and_then(|entry| entry.object);
        let mut objects = own.iter().chain(self.tree.layers_of(path));
        objects
            .any(|it| bpf.awaits_another(*it, &known) || self.stash.tells_of_another(*it, &known))
    }

    /// The same before it is read, which would be for nothing.
    pub(crate) fn is_to_wait_for_others(&self, path: &BytePath, pending: &Pending) -> bool {
        let by_event = pending.found.is_none() && !pending.touches.is_empty();
        let silent = self.others.unanswered.is_some() && !self.alone;
        by_event && (silent && !pending.unexplained || self.awaits_others(path, pending))
    }

    /// Makes sure that everything has come that was recorded until it was read; false if the loader does not answer. What
    /// changed long enough ago is known to have come, so that a flood costs few questions.
    fn has_heard_of(&mut self, after: &Snapshot) -> bool {
        let latest = after.attributes.ctime.0.saturating_add(TICK_NS);
        // An answer of a time that is still to come is of a clock that was set back since: it says nothing.
        let heard = self
            .others
            .heard
            .filter(|heard| *heard <= clock::of_files());
        heard.is_some_and(|heard| latest < heard.0) || self.hears_all()
    }

    /// Has the loader say that all has come that was recorded until now; false if it does not answer.
    fn hears_all(&mut self) -> bool {
        let (asked, deadline) = (clock::of_files(), Instant::now() + HEARD_WITHIN);
        // A channel that ended or failed is met again by whoever reads it next: what is examined here is not lost for it.
        let Ok(cookie) = self.channel.sync() else {
            self.others.unanswered = Some(0);
            return false;
        };
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.channel.wait(left) {
                Ok((Packet::Synced(synced), _)) if synced.cookie == cookie => {
                    self.others.heard = Some(asked);
                    return true;
                }
                Ok(other) => self.stash.push(other),
                Err(_) => break,
            }
        }
        self.others.unanswered = Some(cookie);
        false
    }

    /// What was announced of others is waited for, as long as the loader may still say it.
    pub(crate) fn wait_for_others(&mut self, path: BytePath, mut pending: Pending, by: Duration) {
        pending.waits_for_others = true;
        if self.others.unanswered.is_none() {
            pending.put_off = pending.put_off.saturating_add(1);
        }
        self.settle.defer(path, pending, by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{pending, snapshot, touch};
    use fimk_wire::raw;

    /// A write at the first moment, and a reading of a file that changed so much later.
    fn later(by_ns: i64) -> bool {
        let mut after = snapshot(2, 0o644);
        after.attributes.ctime = Timestamp(1 + by_ns);
        changed_since(&pending(vec![touch(7, raw::FIMK_OP_WRITE, None)]), &after)
    }

    #[test]
    fn what_changed_after_all_that_waits_is_somebodys_whose_record_is_still_to_be_made() {
        assert!(!later(0), "it is what was written");
        assert!(!later(TICK_NS), "both times are read once a tick");
        assert!(later(TICK_NS + 1));
        let nobody = Pending::default();
        assert!(
            !changed_since(&nobody, &snapshot(2, 0o644)),
            "a comparison found it"
        );
    }

    #[test]
    fn what_was_done_before_the_reading_on_record_explains_nothing_but_a_mapping_does() {
        let write = touch(7, raw::FIMK_OP_WRITE, None);
        assert!(is_past(&write, Some(Timestamp(TICK_NS + 2))));
        assert!(
            !is_past(&write, Some(Timestamp(TICK_NS + 1))),
            "within a tick"
        );
        assert!(!is_past(&write, None), "nothing was read yet");
        let map = touch(7, raw::FIMK_OP_MAP, None);
        assert!(!is_past(&map, Some(Timestamp(TICK_NS + 2))), "it goes on");
    }
}
