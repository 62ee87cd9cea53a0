//! The process that starts analyzers.
//!
//! A seccomp filter is inherited by every child, and the loader's permits neither exec nor a change of
//! user. So a small process is forked before anything is loaded. It knows three words, one byte each, and
//! never sees a byte that an analyzer wrote; the process that does see them cannot start anything.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recv, recvmsg, send, sendmsg,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setpgid};

use crate::analyzers::{End, Started};
use crate::capabilities;
use crate::child::Image;
use crate::error::{Error, Result};
use crate::system;

const START: u8 = b's';
const KILL: u8 = b'k';
const RELOAD: u8 = b'r';

/// The loader's side.
pub struct Spawner {
    socket: OwnedFd,
}

impl Spawner {
    /// Forks the spawner. Call it before anything is opened that analyzers must not inherit.
    pub fn fork(image: &Image) -> Result<Self> {
        let internal = |cause| Error::internal("the spawner cannot be started", cause);
        let (ours, theirs) = system::channel().map_err(internal)?;
        let ours_number = ours.as_raw_fd();
        system::fork(|| {
            let _ = nix::unistd::close(ours_number);
            i32::from(attend(&theirs, image).is_err())
        })
        .map_err(internal)?;
        Ok(Self { socket: ours })
    }

    /// Starts an analyzer. Call it only while none runs.
    pub fn start(&self) -> Result<Started> {
        self.say(START)?;
        let (bytes, channel) = receive(self.socket.as_fd(), MsgFlags::empty())
            .map_err(|cause| Error::internal("the spawner does not answer", cause))?;
        let channel = channel
            .ok_or_else(|| Error::internal("the analyzer cannot be started", "no channel"))?;
        Ok(Started {
            channel,
            pid: u32::from_ne_bytes(bytes[..4].try_into().unwrap_or_default()),
        })
    }

    /// Kills the analyzer that runs, if one does.
    pub fn kill(&self) -> Result<()> {
        self.say(KILL)
    }

    /// Has the analyzer that runs, if one does, read its configuration again.
    pub fn reload(&self) -> Result<()> {
        self.say(RELOAD)
    }

    /// The end of the analyzer, if it has ended.
    pub fn ended(&self) -> Result<Option<End>> {
        match receive(self.socket.as_fd(), MsgFlags::MSG_DONTWAIT) {
            Ok((bytes, _)) => Ok(Some(End::from_bytes(bytes))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(cause) => Err(Error::internal("the spawner is gone", cause)),
        }
    }

    fn say(&self, word: u8) -> Result<()> {
        send(self.socket.as_raw_fd(), &[word], MsgFlags::MSG_NOSIGNAL)
            .map(drop)
            .map_err(|cause| Error::internal("the spawner is gone", cause))
    }
}

impl AsFd for Spawner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl End {
    fn from_bytes(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, kind, ..] = bytes;
        let number = i32::from_ne_bytes([a, b, c, d]);
        if kind == 0 {
            Self::Exited(number)
        } else {
            Self::Signalled(number)
        }
    }

    fn to_bytes(self) -> [u8; 8] {
        let (number, kind) = match self {
            Self::Exited(status) => (status, 0),
            Self::Signalled(signal) => (signal, 1),
            // The spawner sees every end.
            Self::Left => (0, 0),
        };
        let [a, b, c, d] = number.to_ne_bytes();
        [a, b, c, d, kind, 0, 0, 0]
    }
}

/// One message of the spawner: eight bytes, and a descriptor if there is one.
fn receive(socket: BorrowedFd<'_>, flags: MsgFlags) -> nix::Result<([u8; 8], Option<OwnedFd>)> {
    let mut bytes = [0; 8];
    let mut space = nix::cmsg_space!(std::os::fd::RawFd);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut descriptor = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            descriptor = numbers.first().map(|&number| system::adopt(number));
        }
    }
    match message.bytes {
        8 => Ok((bytes, descriptor)),
        _ => Err(Errno::EPIPE),
    }
}

/// The spawner's side: until the loader is gone. Signals to the terminal's process group are the loader's
/// to answer, so spawner and analyzer are in another: else a stop would cut the analyzer short.
fn attend(loader: &OwnedFd, image: &Image) -> std::result::Result<(), Box<dyn std::error::Error>> {
    SigSet::all().thread_set_mask()?;
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    capabilities::keep_for_spawning()?;
    let children = SignalFd::with_flags(
        &SigSet::from(Signal::SIGCHLD),
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?;
    let mut running = None;
    loop {
        let mut ready = [
            PollFd::new(loader.as_fd(), PollFlags::POLLIN),
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause.into()),
        }
        while children.read_signal()?.is_some() {}
        if let Some(end) = running.and_then(reap) {
            running = None;
            send(loader.as_raw_fd(), &end.to_bytes(), MsgFlags::MSG_NOSIGNAL)?;
        }
        let mut word = [0];
        match recv(loader.as_raw_fd(), &mut word, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(cause) => return Err(cause.into()),
            Ok(0) => return Ok(()),
            Ok(_) if word[0] == START && running.is_none() => running = Some(start(loader, image)?),
            Ok(_) => {
                let signal = match word[0] {
                    KILL => Some(Signal::SIGKILL),
                    RELOAD => Some(Signal::SIGHUP),
                    _ => None,
                };
                if let (Some(pid), Some(signal)) = (running, signal) {
                    kill(pid, signal)?;
                }
            }
        }
    }
}

fn start(loader: &OwnedFd, image: &Image) -> nix::Result<Pid> {
    let (ours, theirs) = system::channel()?;
    let pid = system::fork(|| image.become_analyzer(theirs.as_fd()))?;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&pid.as_raw().to_ne_bytes());
    let descriptors = [ours.as_raw_fd()];
    sendmsg::<UnixAddr>(
        loader.as_raw_fd(),
        &[IoSlice::new(&bytes)],
        &[ControlMessage::ScmRights(&descriptors)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(pid)
}

fn reap(pid: Pid) -> Option<End> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, status)) => Some(End::Exited(status)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Signalled(signal as i32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_survives_its_bytes() {
        for end in [End::Exited(0), End::Exited(78), End::Signalled(9)] {
            assert_eq!(End::from_bytes(end.to_bytes()), end);
        }
    }
}
