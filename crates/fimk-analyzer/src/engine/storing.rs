//! What happens while the disk takes nothing: it is said at once, what changes is kept in memory, and when that is full
//! the analyzer takes no more, so that the kernel keeps it.

use std::{
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use fimk_core::event::{Action, Notice};
use fimk_store::{Commit, KEPT_BYTES_MAX, Recovered};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Engine, Trouble};
use crate::{
    exit::{Failure, log},
    severity,
};

/// Until the disk is tried again; twice as long each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// But no longer than this.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How the store is.
#[derive(Default)]
pub(crate) struct Storing {
    /// It was said that nothing can be stored.
    told: bool,
    retry: Option<(Instant, Duration)>,
    /// How often nothing could be stored for a while.
    pub(crate) failed: u64,
    /// How often what was kept was stored in the end.
    pub(crate) recovered: u64,
    /// How often the analyzer stood still, because no more could be kept.
    pub(crate) full: u64,
}

impl Storing {
    /// When the disk is to be tried again.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.retry.map(|(when, _)| when)
    }

    fn put_off(&mut self) {
        let pause = self.retry.map_or(RETRY_FIRST, |(_, pause)| pause * 2);
        let pause = pause.min(RETRY_MAX);
        self.retry = Some((Instant::now() + pause, pause));
    }
}

impl Engine {
    /// Says it if nothing can be stored since a moment ago: at once, to whoever listens.
    pub(crate) fn heed_store(&mut self) -> Result<(), Trouble> {
        let Some(trouble) = self.store.trouble() else {
            return Ok(());
        };
        if self.storing.told {
            return Ok(());
        }
        self.storing.told = true;
        self.storing.failed += 1;
        self.storing.put_off();
        let sentence = format!(
            "nothing can be stored, {}; fimk goes on watching and keeps up to {} MiB of what happens in memory, which it loses if it is killed",
            trouble.error,
            KEPT_BYTES_MAX >> 20
        );
        log(&sentence);
        self.notify.status(&sentence);
        self.degraded(&sentence)
    }

    /// Tries the disk again when it is time to.
    pub(crate) fn recover_if_due(&mut self) -> Result<(), Trouble> {
        self.heed_store()?;
        if self
            .storing
            .next_due()
            .is_some_and(|when| when <= Instant::now())
        {
            self.try_disk()?;
        }
        self.await_room()
    }

    fn try_disk(&mut self) -> Result<(), Trouble> {
        let recovered = self.store.recover().map_err(Failure::from)?;
        if self.store.trouble().is_some() {
            self.storing.put_off();
            return Ok(());
        }
        self.storing.retry = None;
        self.storing.told = false;
        match recovered {
            Some(recovered) => self.say_recovered(recovered),
            None => Ok(()),
        }
    }

    fn say_recovered(&mut self, recovered: Recovered) -> Result<(), Trouble> {
        self.storing.recovered += 1;
        let Recovered {
            after,
            records,
            events,
        } = recovered;
        let sentence = format!(
            "the database takes what happens again after {} s; {records} records and {events} events that were kept in memory are stored, nothing is lost",
            after.as_secs()
        );
        log(&sentence);
        self.notify
            .status(&crate::source_sentence(&self.about.ready));
        let counts = [("records", records as u64), ("events", events as u64)];
        let notice = Notice {
            message: sentence,
            counts: counts.map(|(name, count)| (name.to_owned(), count)).into(),
            ..Notice::default()
        };
        let event = self.notice(Action::Recovered, severity::NOTICE, notice);
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })
    }

    /// Stands still as long as no more can be kept: no entry is taken, so it waits in the kernel. Questions are answered,
    /// signs of life given, and what the loader says put by, in the stash and within its limit.
    pub(crate) fn await_room(&mut self) -> Result<(), Trouble> {
        if self.store.has_room() {
            return Ok(());
        }
        self.storing.full += 1;
        log(format!(
            "no more than {} MiB can be kept in memory: until the database can be written, changes wait in the kernel",
            KEPT_BYTES_MAX >> 20
        ));
        while !self.store.has_room() {
            let stopped = self.wait_for_disk()?;
            let due = self.storing.next_due();
            if stopped || due.is_none_or(|when| when <= Instant::now()) {
                self.try_disk()?;
            }
            if stopped && !self.store.has_room() {
                return Err(self.unstored().into());
            }
            self.serve_control();
            self.breathe();
        }
        Ok(())
    }

    /// Sleeps for a while; whether somebody wants us to end.
    fn wait_for_disk(&self) -> Result<bool, Trouble> {
        let due = [
            self.storing.next_due(),
            self.control.next_due(),
            self.notify.next_due(),
        ];
        let due = due.into_iter().flatten().min();
        let pause = due.map_or(RETRY_FIRST, |when| {
            when.saturating_duration_since(Instant::now())
        });
        // The loader waits for an answer too.
        let pause = pause.min(RETRY_FIRST);
        let timeout = PollTimeout::try_from(pause + Duration::from_millis(1));
        let mut wanted = vec![
            // That the loader hung up comes unasked.
            PollFd::new(self.channel.as_fd(), PollFlags::empty()),
            PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
        ];
        wanted.extend(self.control.interest());
        match poll(&mut wanted, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(crate::channel::ChannelError::System(error).into()),
        }
        Ok(wanted[..2].iter().any(|it| it.any().unwrap_or(false)))
    }

    /// At the end: all that was kept is stored, or it is said that it is not.
    pub(crate) fn store_the_rest(&mut self) -> Result<(), Failure> {
        self.store.sync()?;
        if self.store.trouble().is_some() {
            self.store.recover()?;
        }
        if self.store.is_on_disk() {
            Ok(())
        } else {
            Err(self.unstored())
        }
    }

    fn unstored(&self) -> Failure {
        let why = self.store.trouble().map(|trouble| trouble.error.clone());
        let mut failure = match why {
            Some(error) => Failure::from(error),
            None => Failure::new(crate::exit::Status::Io, "the database cannot be written"),
        };
        failure.sentence +=
            "; what was kept in memory is lost, and what changed is found again at the next start";
        failure
    }

    /// For a status: why nothing is stored, and how much is kept.
    pub(crate) fn storing_problem(&self) -> Option<String> {
        let trouble = self.store.trouble()?;
        Some(format!(
            "nothing is stored since {} s: {}; {} of {KEPT_BYTES_MAX} bytes are kept in memory",
            trouble.since.elapsed().as_secs(),
            trouble.error,
            self.store.kept_bytes()
        ))
    }
}
