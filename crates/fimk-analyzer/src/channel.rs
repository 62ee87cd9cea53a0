//! Our end of the socketpair: packets come in, requests go out, and neither ever blocks.

use std::{
    collections::VecDeque,
    io::IoSliceMut,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use fimk_wire::{DecodeError, PACKET_MAX, Packet, raw, request};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send},
};
use zerocopy::IntoBytes;

use crate::descriptor;

/// Requests kept while the loader is busy. It answers each within a tick, and a packet causes at most three:
/// more than this means that it has stopped answering.
pub const OUTBOX_MAX: usize = 65_536;

/// The loader answers an ARM by a SYNCED with the thread's id: ours begin above all of those.
const FIRST_COOKIE: u64 = 1 << 32;

/// The loader hears of us so often, and we of it.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// Why the channel is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The loader is gone or has asked us to end.
    #[error("the loader closed the channel")]
    Closed,
    /// The loader is of another build or is not the loader.
    #[error("the loader sent what cannot be read: {0}")]
    Nonsense(#[from] DecodeError),
    /// The loader does not answer.
    #[error("the loader has not answered for too long")]
    Stuck,
    /// The system refused.
    #[error("the channel to the loader failed: {0}")]
    System(#[from] Errno),
}

/// The channel to the loader.
pub struct Channel {
    socket: OwnedFd,
    buffer: Box<[u8; PACKET_MAX]>,
    outbox: VecDeque<raw::fimk_request>,
    cookie: u64,
    /// When the next beat is due.
    beat_at: Instant,
    /// The beat that was not answered yet: its cookie, and since when nothing was heard.
    beat: Option<(u64, Instant)>,
}

/// A packet, and the descriptors that came with it.
pub type Received = (Packet, Vec<OwnedFd>);

impl Channel {
    /// Over the inherited socket.
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            buffer: Box::new([0; PACKET_MAX]),
            outbox: VecDeque::new(),
            cookie: FIRST_COOKIE,
            beat_at: Instant::now() + BEAT_EVERY,
            beat: None,
        }
    }

    /// Whether requests wait for the socket to be writable.
    pub fn wants_to_send(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Sends a request as soon as the socket takes it.
    pub fn ask(
        &mut self,
        kind: u32,
        number: u32,
        key: raw::fimk_key,
        cookie: u64,
    ) -> Result<(), ChannelError> {
        self.outbox.push_back(request(kind, number, key, cookie));
        self.flush()
    }

    /// Asks for a SYNCED behind everything recorded so far; gives the cookie it will carry.
    pub fn sync(&mut self) -> Result<u64, ChannelError> {
        self.cookie += 1;
        self.ask(raw::FIMK_REQUEST_SYNC, 0, no_key(), self.cookie)?;
        Ok(self.cookie)
    }

    /// Asks for a SYNCED that only shows that both live, if it is time for that.
    pub fn beat(&mut self) -> Result<(), ChannelError> {
        let now = Instant::now();
        if self.beat.is_none() && now >= self.beat_at {
            let cookie = self.sync()?;
            (self.beat, self.beat_at) = (Some((cookie, now)), now + BEAT_EVERY);
        }
        Ok(())
    }

    /// When [`Self::beat`] or [`Self::unanswered_for`] may have something new.
    pub fn beat_due(&self) -> Instant {
        let now = Instant::now();
        self.beat.map_or(self.beat_at, |_| now + BEAT_EVERY / 5)
    }

    /// How long nothing has been heard of a loader that was asked for a sign of life; none if it gave it.
    pub fn unanswered_for(&self) -> Option<Duration> {
        self.beat.map(|(_, since)| since.elapsed())
    }

    /// Something was heard. Whether it was only the answer to a beat.
    fn heard(&mut self, packet: &Packet) -> bool {
        let Some((cookie, since)) = &mut self.beat else {
            return false;
        };
        *since = Instant::now();
        let answer = matches!(packet, Packet::Synced(synced) if synced.cookie == *cookie);
        if answer {
            self.beat = None;
        }
        answer
    }

    /// Asks who an actor is; gives the cookie of the SYNCED behind the answer.
    pub fn who(&mut self, actor: raw::fimk_actor_key) -> Result<u64, ChannelError> {
        self.cookie += 1;
        self.ask(
            raw::FIMK_REQUEST_WHO,
            0,
            raw::fimk_key { actor, ..no_key() },
            self.cookie,
        )?;
        Ok(self.cookie)
    }

    /// Asks who holds what; gives the cookie of the SYNCED behind the answer.
    pub fn holders(&mut self) -> Result<u64, ChannelError> {
        self.cookie += 1;
        self.ask(raw::FIMK_REQUEST_HOLDERS, 0, no_key(), self.cookie)?;
        Ok(self.cookie)
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some(request) = self.outbox.front() {
            match send(
                self.socket.as_raw_fd(),
                request.as_bytes(),
                MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            ) {
                Ok(_) => drop(self.outbox.pop_front()),
                Err(Errno::EAGAIN) if self.outbox.len() > OUTBOX_MAX => {
                    return Err(ChannelError::Stuck);
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(ChannelError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next packet, if one is there.
    pub fn receive(&mut self) -> Result<Option<Received>, ChannelError> {
        while let Some(received) = self.receive_any()? {
            if !self.heard(&received.0) {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    fn receive_any(&mut self) -> Result<Option<Received>, ChannelError> {
        let mut control = nix::cmsg_space!([std::os::fd::RawFd; 2]);
        let mut parts = [IoSliceMut::new(&mut self.buffer[..])];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let (length, numbers) = loop {
            match recvmsg::<()>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                flags,
            ) {
                Ok(message) => {
                    let numbers = message.cmsgs()?.filter_map(|part| match part {
                        ControlMessageOwned::ScmRights(numbers) => Some(numbers),
                        _ => None,
                    });
                    break (message.bytes, numbers.flatten().collect::<Vec<_>>());
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::ECONNRESET) => return Err(ChannelError::Closed),
                Err(error) => return Err(error.into()),
            }
        };
        if length == 0 {
            return Err(ChannelError::Closed);
        }
        let descriptors = numbers.into_iter().map(descriptor::adopt);
        let descriptors = descriptors.collect::<nix::Result<Vec<_>>>()?;
        Ok(Some((Packet::decode(&self.buffer[..length])?, descriptors)))
    }

    /// Waits for the next packet, sending meanwhile.
    pub fn wait(&mut self, patience: Duration) -> Result<Received, ChannelError> {
        let deadline = Instant::now() + patience;
        loop {
            self.flush()?;
            if let Some(received) = self.receive()? {
                return Ok(received);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ChannelError::Stuck);
            }
            let mut interest = PollFlags::POLLIN;
            interest.set(PollFlags::POLLOUT, self.wants_to_send());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), interest)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A key that names nothing.
pub fn no_key() -> raw::fimk_key {
    raw::fimk_key {
        object: no_object(),
        actor: no_actor(),
    }
}

/// An object that is none.
pub fn no_object() -> raw::fimk_object {
    raw::fimk_object {
        inode: 0,
        device: 0,
        generation: 0,
    }
}

/// An actor that is none.
pub fn no_actor() -> raw::fimk_actor_key {
    raw::fimk_actor_key {
        pid: 0,
        image: 0,
        start_ns: 0,
    }
}
