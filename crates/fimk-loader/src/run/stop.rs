//! Signals, and the end: of an analyzer, and of this process.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::{Peer, Run};
use crate::analyzers::End;
use crate::error::{Error, Result};
use crate::exit::{self, Status};
use crate::log;
use crate::serve::Server;

/// For the analyzer to take, read and report what was seen before a stop.
const SETTLE: Duration = Duration::from_secs(2);
/// For the analyzer to end once the channel has.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Asked to stop; what was seen is still served until then.
    Settling(Instant),
    /// The channel is half closed; the analyzer is ended then.
    Ending(Instant),
    Killed,
}

impl Run<'_> {
    /// Whether that was the end we waited for.
    pub(super) fn analyzer_ended(&mut self, end: End) -> Result<bool> {
        self.channel.borrow_mut().close();
        if let Some(server) = &mut self.server {
            server.end_arming();
            server.set_own(0);
        }
        self.vacant.get_or_insert_with(Instant::now);
        let peer = self.peer.take();
        if let End::Exited(status) = end
            && let Some(status) = exit::is_final(status)
        {
            return Err(Error::passed_on(status));
        }
        match (self.phase, end) {
            (Phase::Serving, end) => {
                if let Some(peer) = peer.filter(|peer| !peer.dropped) {
                    log::line(format_args!("the analyzer (pid {}) {end}", peer.pid));
                }
                Ok(false)
            }
            (Phase::Killed, End::Left) => {
                log::line(format_args!(
                    "the analyzer did not end within {} s: what it has not done is told to the next",
                    PATIENCE.as_secs()
                ));
                Ok(true)
            }
            (Phase::Killed, _) => Err(Error::new(
                Status::Internal,
                format!(
                    "the analyzer did not end within {} s and was killed: what it held is found as a gap at the next start",
                    PATIENCE.as_secs()
                ),
            )),
            (_, End::Exited(0) | End::Left) => Ok(true),
            (_, end) => Err(Error::new(
                Status::Internal,
                format!("while stopping, the analyzer {end}"),
            )),
        }
    }

    pub(super) fn answer_signals(&mut self) -> Result<()> {
        loop {
            match self.signals.read_signal() {
                Ok(Some(signal)) if signal.ssi_signo == Signal::SIGHUP as u32 => self.reload = true,
                Ok(Some(_)) if self.phase == Phase::Serving => {
                    self.notify.stopping();
                    self.phase = Phase::Settling(Instant::now() + SETTLE);
                }
                Ok(Some(_)) | Err(Errno::EINTR) => {}
                Ok(None) => return self.pass_on_reload(),
                Err(cause) => return Err(Error::internal("signals cannot be read", cause)),
            }
        }
    }

    /// Asked for before the analyzer has said HELLO, it is passed on when the loop comes round after that.
    fn pass_on_reload(&mut self) -> Result<()> {
        let hears = |peer: &Peer| peer.greeted && !peer.dropped;
        if self.reload && self.phase == Phase::Serving && self.peer.as_ref().is_some_and(hears) {
            self.reload = false;
            self.analyzers.reload()?;
        }
        Ok(())
    }

    pub(super) fn advance_stop(&mut self) -> Result<()> {
        let now = Instant::now();
        match self.phase {
            Phase::Settling(until) => {
                let serves = |peer: &Peer| peer.greeted && !peer.dropped;
                let quiet = !self.peer.as_ref().is_some_and(serves)
                    || self.server.as_ref().is_none_or(Server::is_quiet);
                if quiet || now >= until {
                    self.channel.borrow_mut().finish();
                    self.phase = Phase::Ending(now + PATIENCE);
                }
                Ok(())
            }
            Phase::Ending(until) if now >= until => {
                self.phase = Phase::Killed;
                self.analyzers.end()
            }
            _ => Ok(()),
        }
    }
}
