//! Where analyzers come from: they are started by us ([`Foreground`](crate::foreground::Foreground)), or they
//! come to us ([`Handover`](crate::handover::Handover)).

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use crate::error::Result;

/// An analyzer that is there.
pub struct Started {
    /// Our end of its channel.
    pub channel: OwnedFd,
    /// Its process.
    pub pid: u32,
}

/// How an analyzer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It closed its channel; of its process nothing is known.
    Left,
}

/// One analyzer at a time.
pub trait Analyzers {
    /// Readable when [`Analyzers::next`] or [`Analyzers::ended`] may have something new.
    fn descriptor(&self, now: Instant) -> Option<BorrowedFd<'_>>;

    /// When to ask, though [`Analyzers::descriptor`] says nothing.
    fn wakes(&self) -> Option<Instant>;

    /// The next analyzer, if there is one. `vacant`: none is served; otherwise whoever comes is refused.
    fn next(&mut self, vacant: bool) -> Result<Option<Started>>;

    /// How the one that is served ended, if it has. `left`: its end of the channel is closed.
    fn ended(&mut self, left: bool) -> Result<Option<End>>;

    /// Ends the one that is served, as far as that is in our power; [`Analyzers::ended`] will tell.
    fn end(&mut self) -> Result<()>;

    /// Has the one that is served, and has said HELLO, read its configuration again, as far as that is in our power.
    fn reload(&mut self) -> Result<()>;

    /// Whether the pins stay at a stop.
    fn keeps_pins(&self) -> bool;
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "ended with status {status}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::Left => f.write_str("is gone"),
        }
    }
}
