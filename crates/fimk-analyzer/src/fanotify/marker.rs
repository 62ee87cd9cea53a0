//! Asks the loader's marker for marks on whole file systems, which need more privilege than ours.

use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use fimk_wire::raw;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{ControlMessage, MsgFlags, UnixAddr, recv, sendmsg},
};
use zerocopy::{FromBytes, IntoBytes};

/// A mark is made in microseconds; on a host that is starved, in seconds. Nothing else is done meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be put into the group of the events of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// Everything that changes, too.
    Changes,
    /// The errors that it reports, too.
    Errors,
    /// No longer what changes.
    NoChanges,
}

/// Our end of its socket.
#[derive(Debug)]
pub struct Marker {
    socket: OwnedFd,
    /// Of the last question: others before us may not have waited for their answers.
    cookie: u64,
}

impl Marker {
    /// Over the socket that came with READY.
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            cookie: u64::from(std::process::id()) << 32,
        }
    }

    /// Has the file system marked on which this directory is.
    ///
    /// # Errors
    /// What the kernel says of it; [`Errno::ETIMEDOUT`] or [`Errno::EPIPE`] where nobody answers, who need not be asked again.
    pub fn mark(&mut self, whole: Whole, directory: BorrowedFd<'_>) -> nix::Result<()> {
        let kind = match whole {
            Whole::Changes => raw::FIMK_MARK_CHANGES,
            Whole::Errors => raw::FIMK_MARK_ERRORS,
            Whole::NoChanges => raw::FIMK_MARK_NO_CHANGES,
        };
        self.ask(kind, Some(directory))
    }

    /// Has the marks of all file systems taken off.
    ///
    /// # Errors
    /// As [`Self::mark`].
    pub fn nothing(&mut self) -> nix::Result<()> {
        self.ask(raw::FIMK_MARK_NOTHING, None)
    }

    fn ask(&mut self, kind: u32, directory: Option<BorrowedFd<'_>>) -> nix::Result<()> {
        self.cookie += 1;
        let request = raw::fimk_mark {
            version: u16::try_from(raw::FIMK_WIRE_VERSION).unwrap_or(0),
            kind: u16::try_from(kind).unwrap_or(0),
            error: 0,
            cookie: self.cookie,
        };
        let numbers: Vec<_> = directory.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        sendmsg::<UnixAddr>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(request.as_bytes())],
            if numbers.is_empty() { &[] } else { &rights },
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        match self.answer()?.error {
            0 => Ok(()),
            error => Err(Errno::from_raw(error)),
        }
    }

    fn answer(&self) -> nix::Result<raw::fimk_mark> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut wanted = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut wanted, timeout) {
                Ok(0) => return Err(Errno::ETIMEDOUT),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            let mut bytes = [0; size_of::<raw::fimk_mark>()];
            match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Err(Errno::EPIPE),
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            match raw::fimk_mark::read_from_bytes(&bytes) {
                Ok(answer) if answer.cookie == self.cookie => return Ok(answer),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn answer(cookie: u64, error: i32) -> raw::fimk_mark {
        raw::fimk_mark {
            version: 0,
            kind: 0,
            error,
            cookie,
        }
    }

    #[test]
    fn what_was_answered_to_another_is_passed_over() {
        let (ours, theirs) = UnixDatagram::pair().expect("two sockets");
        let mut marker = Marker::new(ours.into());
        let next = marker.cookie + 1;
        for it in [answer(7, 0), answer(next, Errno::EXDEV as i32)] {
            theirs.send(it.as_bytes()).expect("sent");
        }
        assert_eq!(marker.nothing(), Err(Errno::EXDEV));
    }

    #[test]
    fn a_marker_that_is_gone_is_an_error() {
        let (ours, theirs) = UnixDatagram::pair().expect("two sockets");
        let mut marker = Marker::new(ours.into());
        drop(theirs);
        assert!(marker.nothing().is_err());
    }
}
