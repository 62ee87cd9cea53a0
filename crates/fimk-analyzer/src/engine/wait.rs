//! Where the loop sleeps.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    Engine, Eyes, Trouble,
    keep::{ALIVE_EVERY, SYNC_WITHIN},
};
use crate::{channel::ChannelError, metrics::Metrics, mounts};

impl Engine {
    /// Sleeps until something happens; false when a signal ended us.
    pub(super) fn wait(&mut self) -> Result<bool, Trouble> {
        let timeout = if self.stash.is_empty() {
            self.patience()
        } else {
            Duration::ZERO
        };
        let mut interest = PollFlags::POLLIN;
        interest.set(PollFlags::POLLOUT, self.channel.wants_to_send());
        let stop: BorrowedFd<'_> = self.stop.as_fd();
        let mut wanted = vec![
            PollFd::new(self.channel.as_fd(), interest),
            PollFd::new(stop, PollFlags::POLLIN),
            PollFd::new(self.hangup.as_fd(), PollFlags::POLLIN),
        ];
        if let Eyes::Fanotify(fanotify) = &self.eyes
            && fanotify.may_read()
        {
            wanted.push(PollFd::new(fanotify.as_fd(), PollFlags::POLLIN));
        }
        let table = wanted.len();
        let polled = self.mounts.fd();
        wanted.extend(polled.map(|table| PollFd::new(table, mounts::CHANGED)));
        wanted.extend(self.control.interest());
        // One more millisecond, because poll rounds down and would make us spin.
        let timeout =
            PollTimeout::try_from(timeout + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut wanted, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(ChannelError::System(error).into()),
        }
        let ended = wanted[1].any().unwrap_or(false);
        let changed = polled.and_then(|_| wanted[table].revents());
        if changed.is_some_and(|it| it.intersects(mounts::CHANGED)) {
            self.mounts.notice();
        }
        Ok(!ended)
    }

    /// When a comparison that losses ask for may begin.
    fn scan_due(&self) -> Option<Instant> {
        let wanted = self.scan_wanted.is_some() || !self.repairs.rules().is_empty();
        wanted.then(|| self.last_scan + self.scan_pause)
    }

    /// When a repair is to be told: it waits for the comparison.
    fn repairs_due(&self) -> Option<Instant> {
        self.repairs
            .next_due()
            .filter(|_| self.scan_due().is_none())
    }

    fn patience(&self) -> Duration {
        let now = Instant::now();
        let eyes = match &self.eyes {
            Eyes::Bpf(bpf) => bpf.next_due(),
            Eyes::Fanotify(_) | Eyes::Periodic => None,
        };
        let interval = Duration::from_secs(self.config.scan_interval_s);
        let periodic = self
            .compares_at_intervals()
            .then(|| self.last_scan + interval);
        let sync = self
            .unsynced_since
            .filter(|_| self.store.trouble().is_none())
            .map(|since| since + SYNC_WITHIN);
        let alive = self.checkpoint.next_due(self.alive_at + ALIVE_EVERY);
        [
            self.settle.next_due(),
            self.attempts.next_due(),
            eyes,
            periodic,
            self.losses.next_due(),
            self.repairs_due(),
            self.apart_due(),
            self.wholes.ailing.next_due(),
            sync,
            self.storing.next_due(),
            self.forget_at,
            alive,
            self.held.next_due(),
            self.stalled.next_due(),
            self.looks.next_due(),
            self.look.next_due(),
            Some(self.rounds.next_due()),
            self.homes_due(),
            self.mounts.next_due(),
            self.notify.next_due(),
            self.scan_due(),
            self.orders.next_due(),
            self.metrics.as_ref().map(Metrics::next_due),
            self.control.next_due(),
            self.deliver_due(),
            self.heartbeat_due(),
            Some(self.channel.beat_due()),
        ]
        .into_iter()
        .flatten()
        .min()
        .map_or(ALIVE_EVERY, |when| when.saturating_duration_since(now))
    }
}
