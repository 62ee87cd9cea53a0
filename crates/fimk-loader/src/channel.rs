//! Our end of the socket pair: whole packets out, whole requests in, never blocking.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use fimk_wire::{PACKET_MAX, raw};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, MsgFlags, Shutdown, UnixAddr, recv, send, sendmsg, shutdown,
};

/// A channel to an analyzer, or none.
///
/// It keeps at most one packet that the socket had no room for. Whoever makes packets asks
/// [`Channel::is_free`] first, so nothing is made that cannot be kept.
#[derive(Default)]
pub struct Channel {
    socket: Option<OwnedFd>,
    held: Vec<u8>,
    closing: bool,
    ended: bool,
}

/// What there was to read.
pub enum Received {
    /// Bytes of one packet.
    Bytes(usize),
    /// Nothing now, or nobody to read from any more.
    Nothing,
}

impl Channel {
    /// Takes a new analyzer's channel; what was held for the one before is not for this one.
    pub fn open(&mut self, socket: OwnedFd) {
        *self = Self {
            socket: Some(socket),
            held: Vec::with_capacity(PACKET_MAX),
            ..Self::default()
        };
    }

    /// Drops the analyzer's channel.
    pub fn close(&mut self) {
        *self = Self::default();
    }

    /// Says that nothing more will come; requests are read until the other end closes.
    pub fn finish(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Write);
        }
        self.held.clear();
        self.closing = true;
    }

    /// Whether a packet may be made: somebody listens, and none is held.
    pub fn is_free(&self) -> bool {
        self.socket.is_some() && !self.closing && self.held.is_empty()
    }

    /// Whether a packet waits for room.
    pub fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether the other end was closed. Its process may live on.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the other end is closed, though what it sent may not be read to its end.
    pub fn is_hung_up(&self) -> bool {
        let Some(socket) = self.descriptor() else {
            return false;
        };
        let mut ends = [PollFd::new(socket, PollFlags::empty())];
        poll(&mut ends, PollTimeout::ZERO).is_ok()
            && ends[0]
                .revents()
                .is_some_and(|event| event.contains(PollFlags::POLLHUP))
    }

    /// To wait on.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Sends one packet, or holds it. With nobody there it is dropped: a new analyzer is told all anew.
    pub fn send(&mut self, packet: &[u8]) {
        debug_assert!(packet.len() <= PACKET_MAX);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if let Some(socket) = self.socket.as_ref().filter(|_| !self.closing)
            && let Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) =
                send(socket.as_raw_fd(), packet, flags)
        {
            self.held.extend_from_slice(packet);
        }
    }

    /// Sends one packet with descriptors. Only for the first packet of a channel, which has room.
    pub fn send_with(&mut self, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> nix::Result<()> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &[IoSlice::new(packet)],
            &[ControlMessage::ScmRights(&numbers)],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .map(drop)
    }

    /// Sends what is held, if there is room now.
    pub fn flush(&mut self) {
        if self.is_held() {
            let packet = std::mem::replace(&mut self.held, Vec::with_capacity(PACKET_MAX));
            self.send(&packet);
        }
    }

    /// Reads one packet. The buffer is one byte longer than a request, so that a longer one shows.
    pub fn receive(&mut self, buffer: &mut [u8; size_of::<raw::fimk_request>() + 1]) -> Received {
        let Some(socket) = &self.socket else {
            return Received::Nothing;
        };
        match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length @ 1..) => Received::Bytes(length),
            Err(Errno::EAGAIN | Errno::EINTR) => Received::Nothing,
            Ok(0) | Err(_) => {
                *self = Self {
                    ended: true,
                    ..Self::default()
                };
                Received::Nothing
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    #[test]
    fn a_full_socket_holds_one_packet_and_loses_none() {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .expect("two sockets");
        let mut channel = Channel::default();
        channel.open(ours);
        let mut sent = 0u32;
        while channel.is_free() {
            channel.send(&sent.to_ne_bytes());
            sent += 1;
        }
        let mut buffer = [0; 8];
        for expected in 0..sent {
            channel.flush();
            let length =
                recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).expect("a packet");
            assert_eq!(&buffer[..length], expected.to_ne_bytes());
        }
        assert!(channel.is_free());
    }
}
