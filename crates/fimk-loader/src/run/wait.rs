//! How long the loop sleeps, and what wakes it.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Peer, Phase, Run, TICK};
use crate::error::{Error, Result};
use crate::serve::{Next, Server};

/// While a program holds up the ring: it runs or waits for a CPU, and asking faster only takes it away.
const SOON: Duration = Duration::from_millis(1);
/// For an analyzer that came to us to say HELLO. It opens its database before, which may first have to be recovered;
/// meanwhile no other is served.
const HELLO_PATIENCE: Duration = Duration::from_secs(120);

impl Run<'_> {
    /// Sleeps until something can be done.
    pub(super) fn wait(&mut self, next: Next) -> Result<()> {
        let now = Instant::now();
        let channel = self.channel.borrow();
        let mut ready = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let caller = self.analyzers.descriptor(now).map(|descriptor| {
            ready.push(PollFd::new(descriptor, PollFlags::POLLIN));
            ready.len() - 1
        });
        if let Some(descriptor) = channel.descriptor() {
            // While a packet is held, room is all that helps.
            let event = if channel.is_held() {
                PollFlags::POLLOUT
            } else {
                PollFlags::POLLIN
            };
            if next != Next::Soon {
                ready.push(PollFd::new(descriptor, event));
            }
        }
        let greeted = self.peer.as_ref().is_some_and(|peer| peer.greeted);
        let mut until = self.deadline();
        if let Some((records, ends)) = self.server.as_ref().map(Server::rings) {
            if let Some(records) =
                records.filter(|_| next != Next::Soon && channel.is_free() && greeted)
            {
                ready.push(PollFd::new(records.as_fd(), PollFlags::POLLIN));
            }
            match ends {
                Some(ends) if now >= self.ends_from => {
                    ready.push(PollFd::new(ends.as_fd(), PollFlags::POLLIN));
                }
                Some(_) => until = until.min(self.ends_from),
                None => {}
            }
        }
        until = match next {
            Next::More => now,
            Next::Soon => until.min(now + SOON),
            Next::Wait => until,
        };
        // Rounded up: a timeout that is too short would spin.
        let milliseconds = until
            .saturating_duration_since(now)
            .as_micros()
            .div_ceil(1000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(cause) => return Err(Error::internal("poll", cause)),
        }
        self.called = caller.is_some_and(|at| ready[at].any().unwrap_or(false));
        Ok(())
    }

    pub(super) fn deadline(&self) -> Instant {
        let phase = match self.phase {
            Phase::Serving | Phase::Killed => self.tick,
            // The maps that become empty wake nobody.
            Phase::Settling(until) => self.tick.min(until).min(Instant::now() + TICK),
            Phase::Ending(until) => until,
        };
        let others = [
            self.analyzers.wakes(),
            self.notify.next_due(),
            self.hello_due(),
            self.vigil_due(),
            self.queue_at.filter(|_| self.phase == Phase::Serving),
        ];
        others.into_iter().flatten().fold(phase, Instant::min)
    }

    /// When an analyzer that came to us and says nothing is dropped. One that we started is waited for: who started
    /// us sees that nothing happens.
    pub(super) fn hello_due(&self) -> Option<Instant> {
        let silent = |peer: &&Peer| !peer.greeted && !peer.dropped && self.phase == Phase::Serving;
        let peer = self.peer.as_ref().filter(silent)?;
        self.analyzers
            .keeps_pins()
            .then(|| peer.since + HELLO_PATIENCE)
    }

    pub(super) fn vigil_due(&self) -> Option<Instant> {
        let peer = self.peer.as_ref().filter(|peer| !peer.dropped)?;
        let vigil = peer
            .vigil
            .as_ref()
            .filter(|_| self.phase == Phase::Serving)?;
        Some(vigil.next_due())
    }
}
