//! Analyzers that we start: again when one ends, but not for ever.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::analyzers::{Analyzers, End, Started};
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::log;
use crate::spawner::Spawner;

/// For an analyzer to end once the channel has.
const PATIENCE: Duration = Duration::from_secs(10);
/// Starts allowed within [`STARTS_WITHIN`], the first and five more; after that something is broken that a
/// start does not mend.
const STARTS_MAX: usize = 6;
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// The spawner, and how often it was asked.
pub struct Foreground {
    spawner: Spawner,
    starts: VecDeque<Instant>,
    /// One was started before, however long ago.
    again: bool,
    /// When an analyzer that closed its channel and does not end is killed.
    gone: Option<Instant>,
}

impl Foreground {
    /// Nothing is started yet.
    pub fn new(spawner: Spawner) -> Self {
        Self {
            spawner,
            starts: VecDeque::with_capacity(STARTS_MAX),
            again: false,
            gone: None,
        }
    }

    fn may_start(&mut self, now: Instant) -> Result<()> {
        let is_old = |start: &Instant| now.duration_since(*start) > STARTS_WITHIN;
        while self.starts.front().is_some_and(is_old) {
            self.starts.pop_front();
        }
        if self.starts.len() < STARTS_MAX {
            return Ok(());
        }
        let sentence = format!(
            "the analyzer ended {STARTS_MAX} times within a minute: its messages above say why"
        );
        Err(Error::new(Status::Internal, sentence))
    }
}

impl Analyzers for Foreground {
    fn descriptor(&self, _: Instant) -> Option<BorrowedFd<'_>> {
        Some(self.spawner.as_fd())
    }

    fn wakes(&self) -> Option<Instant> {
        self.gone
    }

    fn next(&mut self, vacant: bool) -> Result<Option<Started>> {
        if !vacant {
            return Ok(None);
        }
        let now = Instant::now();
        self.may_start(now)?;
        if std::mem::replace(&mut self.again, true) {
            log::line(format_args!("the analyzer is started again"));
        }
        self.starts.push_back(now);
        self.gone = None;
        self.spawner.start().map(Some)
    }

    /// One without a channel is of no use: what it still writes down, it has [`PATIENCE`] for.
    fn ended(&mut self, left: bool) -> Result<Option<End>> {
        let end = self.spawner.ended()?;
        let now = Instant::now();
        match self.gone {
            None if left => self.gone = Some(now + PATIENCE),
            Some(until) if now >= until && end.is_none() => {
                self.gone = Some(now + PATIENCE);
                self.spawner.kill()?;
            }
            _ => {}
        }
        Ok(end)
    }

    fn end(&mut self) -> Result<()> {
        self.spawner.kill()
    }

    fn reload(&mut self) -> Result<()> {
        self.spawner.reload()
    }

    fn keeps_pins(&self) -> bool {
        false
    }
}
