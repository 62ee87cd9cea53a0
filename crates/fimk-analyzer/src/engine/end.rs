//! The end: what came is taken in, what waits is told, everything brought to the disk and to whoever reads.

use std::time::Instant;

use fimk_core::{
    event::{Action, Notice},
    path::BytePath,
};
use fimk_store::Commit;

use super::{Engine, Trouble};
use crate::{
    clock,
    exit::{Failure, log},
    pending::Pending,
    source::bpf::NAME_PATIENCE,
};

impl Engine {
    /// The end of a start that somebody cut short: what was recorded so far is kept, and the next start goes on.
    pub fn give_up_start(&mut self) -> Result<(), Failure> {
        log("the start was cut short; the next one goes on where this one ended");
        Ok(self.store.sync()?)
    }

    /// The end: what waits is examined, the last event written, everything brought to the disk.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.notify.stopping();
        let begun = clock::now();
        let done = self.take_in_the_rest().and_then(|all| {
            self.say_uncertain(true)?;
            self.drain()?;
            if all {
                self.checkpoint.reach(begun);
            }
            self.tell_losses(true)?;
            self.deliver_kept(true)?;
            self.say_lost(true)?;
            self.say_refused(true)?;
            let notice = Notice {
                message: "fimk stopped watching".to_owned(),
                ..Notice::default()
            };
            let event = self.notice(Action::MonitorStopped, crate::severity::NOTICE, notice);
            self.commit(Commit {
                events: vec![event],
                ..Commit::default()
            })?;
            self.say_alive()?;
            self.sync_if_due(true)?;
            self.deliver_rest()
        });
        match done {
            // The loader may be gone by now; that it cannot be told DONE costs the next start a comparison.
            Ok(()) | Err(Trouble::Channel(_)) => {
                self.store_the_rest()?;
                crate::same::remember(&self.store, &self.config.state_dir, &self.config.run_dir);
                Ok(())
            }
            Err(Trouble::Failure(failure)) => Err(failure),
        }
    }

    fn drain(&mut self) -> Result<(), Trouble> {
        loop {
            match self.receive() {
                Ok(true) => {}
                Ok(false) | Err(Trouble::Channel(_)) => break,
                Err(trouble) => return Err(trouble),
            }
        }
        self.overdue(Instant::now() + NAME_PATIENCE)?;
        while let Some((path, pending)) = self.settle.pop() {
            self.examine_at_last(&path, pending)?;
        }
        self.report_all_attempts()
    }

    /// What else there is to know of it is not waited for.
    pub(crate) fn examine_at_last(
        &mut self,
        path: &BytePath,
        mut pending: Pending,
    ) -> Result<(), Trouble> {
        (pending.unexplained, pending.asked) = (true, true);
        self.add_holders(path, &mut pending);
        let seen = pending.with_guesses();
        self.examine(path, seen.as_ref().unwrap_or(&pending))?;
        Ok(())
    }
}
