//! Asks a loader in service mode for a channel.

use std::{
    io::IoSliceMut,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use fimk_wire::{BUSY, HANDED};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, connect,
        recvmsg, socket,
    },
};

use crate::{
    descriptor,
    exit::{Failure, Status},
};

/// How long a loader is waited for that is not there yet: both may be started in any order.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// What an attempt came to.
enum Answer {
    Channel(OwnedFd),
    /// Nobody listens, or too many wait.
    NotYet(Errno),
    /// Another analyzer is served.
    Busy,
    /// Hung up on without a word: we are not whom it serves.
    Refused,
}

/// The channel of the loader that listens at `path`.
///
/// # Errors
/// With a sentence, when it refuses, or when none listens in time.
pub fn channel(path: &Path) -> Result<OwnedFd, Failure> {
    let until = Instant::now() + PATIENCE;
    let name = path.display();
    loop {
        match ask(path, until) {
            Ok(Answer::Channel(channel)) => return Ok(channel),
            Ok(Answer::NotYet(_)) if Instant::now() < until => thread::sleep(PAUSE),
            Ok(Answer::NotYet(error)) => {
                let sentence = format!("no loader answers at {name} ({error}): start fimk-loader");
                return Err(Failure::new(Status::Unavailable, sentence));
            }
            Ok(Answer::Busy) => {
                let sentence =
                    format!("the loader at {name} serves another analyzer: stop that one first");
                return Err(Failure::new(Status::Second, sentence));
            }
            Ok(Answer::Refused) => {
                let sentence = format!(
                    "the loader at {name} does not serve this user: start fimk-analyzer as the user of its --user"
                );
                return Err(Failure::new(Status::Permission, sentence));
            }
            // A loader's directory and socket have their names only once they are given to our group.
            Err(error @ (Errno::EACCES | Errno::EPERM)) => {
                let sentence = format!(
                    "{name} may not be connected to ({error}): start fimk-analyzer as the user of the loader's --user"
                );
                return Err(Failure::new(Status::Permission, sentence));
            }
            Err(error) => {
                let sentence = format!("{name} cannot be connected to: {error}");
                return Err(Failure::new(Status::Unavailable, sentence));
            }
        }
    }
}

fn ask(path: &Path, until: Instant) -> nix::Result<Answer> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) => {}
        Err(error @ (Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN | Errno::EINTR)) => {
            return Ok(Answer::NotYet(error));
        }
        Err(error) => return Err(error),
    }
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
        timeout,
    ) {
        Ok(0) => Ok(Answer::NotYet(Errno::ETIMEDOUT)),
        Err(error @ Errno::EINTR) => Ok(Answer::NotYet(error)),
        Err(error) => Err(error),
        Ok(_) => receive(&socket),
    }
}

fn receive(socket: &OwnedFd) -> nix::Result<Answer> {
    let mut bytes = [0; 2];
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
        Ok(message) => message,
        // It ended, or turned us away, before it had read our name.
        Err(error @ (Errno::ECONNRESET | Errno::EAGAIN | Errno::EINTR)) => {
            return Ok(Answer::NotYet(error));
        }
        Err(error) => return Err(error),
    };
    let number = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::ScmRights(numbers) => numbers.first().copied(),
        _ => None,
    });
    let length = message.bytes;
    let channel = number.map(descriptor::adopt).transpose()?;
    match (&bytes[..length.min(bytes.len())], channel) {
        (&[HANDED], Some(channel)) => Ok(Answer::Channel(channel)),
        (&[BUSY], None) => Ok(Answer::Busy),
        _ => Ok(Answer::Refused),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::io::IoSlice;

    use nix::sys::socket::{Backlog, ControlMessage, accept, bind, listen, sendmsg, socketpair};

    use super::*;

    /// A loader that answers one caller with these bytes, and a descriptor if it is told to.
    fn answered(bytes: &'static [u8], with_channel: bool) -> nix::Result<Answer> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let listener = socket(family, kind, SockFlag::empty(), None).expect("a socket");
        let address = UnixAddr::new(&path).expect("it is short");
        bind(listener.as_raw_fd(), &address).expect("the directory is ours");
        listen(&listener, Backlog::MAXCONN).expect("it is bound");
        let loader = thread::spawn(move || {
            let caller = accept(listener.as_raw_fd()).expect("it listens");
            let (_ours, theirs) =
                socketpair(family, kind, None, SockFlag::empty()).expect("two sockets");
            let descriptors = [theirs.as_raw_fd()];
            let channel = [ControlMessage::ScmRights(&descriptors)];
            let control: &[_] = if with_channel { &channel } else { &[] };
            if !bytes.is_empty() {
                sendmsg::<()>(
                    caller,
                    &[IoSlice::new(bytes)],
                    control,
                    MsgFlags::empty(),
                    None,
                )
                .expect("somebody listens");
            }
            nix::unistd::close(caller).expect("it is open");
        });
        let answer = ask(&path, Instant::now() + PATIENCE);
        loader.join().expect("it answered");
        answer
    }

    #[test]
    fn only_the_right_byte_with_a_descriptor_is_a_channel() {
        assert!(matches!(answered(&[HANDED], true), Ok(Answer::Channel(_))));
        assert!(matches!(answered(&[BUSY], false), Ok(Answer::Busy)));
        for (bytes, with_channel) in [
            (&b""[..], false),
            (&[HANDED], false),
            (&[BUSY], true),
            (&b"cc"[..], true),
            (&b"cccccccc"[..], true),
        ] {
            assert!(
                matches!(answered(bytes, with_channel), Ok(Answer::Refused)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_loader_that_is_not_there_yet_is_asked_again() {
        let nowhere = Path::new("/nonexistent/handover.sock");
        assert!(matches!(
            ask(nowhere, Instant::now()),
            Ok(Answer::NotYet(Errno::ENOENT))
        ));
    }
}
