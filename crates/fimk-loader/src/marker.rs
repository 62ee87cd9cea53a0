//! The process that marks whole file systems.
//!
//! Such a mark needs `CAP_SYS_ADMIN` at the moment of marking, and which file systems are worth one only the analyzer
//! knows: mounts come and go. So a small process is forked that keeps this capability and can do nothing with it but
//! mark, with masks of its own, what a descriptor stands for that the analyzer sends over a socket of their own. It reads
//! nothing of it. A file system that does not answer holds up this process alone: the loader never asks it anything.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use fimk_wire::raw;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::fanotify::{Fanotify, MarkFlags, MaskFlags};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, RecvMsg, UnixAddr, recvmsg, send};
use nix::sys::time::TimeSpec;
use nix::unistd::{Pid, getpid, getppid, setpgid};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::capabilities;
use crate::sandbox;
use crate::system;

/// The socket at which marks are asked for.
pub struct Marker {
    socket: OwnedFd,
}

impl Marker {
    /// Forks the marker of this group. It ends with us.
    pub fn fork(group: &Fanotify) -> nix::Result<Self> {
        let (ours, theirs) = system::channel()?;
        let parent = getpid();
        system::fork(|| i32::from(attend(group, &theirs, parent).is_err()))?;
        Ok(Self { socket: ours })
    }

    /// Takes all marks of file systems off the group. It is not waited for.
    pub fn mark_nothing(&self) {
        let mut request = raw::fimk_mark::new_zeroed();
        request.version = version();
        request.kind = kind(raw::FIMK_MARK_NOTHING);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        // Where it hangs or is gone, the queue says so.
        let _ = send(self.socket.as_raw_fd(), request.as_bytes(), flags);
    }

    /// Whether its process has ended.
    pub fn has_ended(&self) -> bool {
        has_ended(self.socket.as_fd()).unwrap_or(false)
    }
}

impl AsFd for Marker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of fimk.h are small, bindgen makes them u32"
)]
fn version() -> u16 {
    raw::FIMK_WIRE_VERSION as u16
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of fimk.h are small, bindgen makes them u32"
)]
fn kind(kind: u32) -> u16 {
    kind as u16
}

/// The marker's side, until the loader is gone. Signals to the terminal's process group are the loader's to answer.
fn attend(
    group: &Fanotify,
    socket: &OwnedFd,
    parent: Pid,
) -> Result<(), Box<dyn std::error::Error>> {
    SigSet::all().thread_set_mask()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Ok(());
    }
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    system::close_all_but(group.as_fd(), socket.as_fd())?;
    prctl::set_no_new_privs()?;
    capabilities::keep_for_marking()?;
    sandbox::enter_to_mark(group.as_fd().as_raw_fd())?;
    serve(socket, |kind, directory| mark(group, kind, directory))?;
    Ok(())
}

/// Answers requests until nobody can ask any more.
fn serve(
    socket: &OwnedFd,
    mark: impl Fn(u32, Option<&OwnedFd>) -> nix::Result<()>,
) -> nix::Result<()> {
    while let Some((request, directory)) = receive(socket)? {
        let done = mark(u32::from(request.kind), directory.as_ref());
        let answer = raw::fimk_mark {
            error: done.err().map_or(0, |errno| errno as i32),
            ..request
        };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        // Who does not read its answers does without.
        let _ = send(socket.as_raw_fd(), answer.as_bytes(), flags);
    }
    Ok(())
}

/// Descriptors that the kernel passes with one message at most (`SCM_MAX_FD`): with room for all of them, all that came are
/// known and closed.
const DESCRIPTORS_MAX: usize = 253;

/// The next request and its descriptor; none at the end. What is no request is passed over: it must not end who marks.
fn receive(socket: &OwnedFd) -> nix::Result<Option<(raw::fimk_mark, Option<OwnedFd>)>> {
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    loop {
        // One byte longer than a request, so that a longer one shows.
        let mut bytes = [0; size_of::<raw::fimk_mark>() + 1];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message =
            match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags) {
                Ok(message) => message,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
        let length = message.bytes;
        let mut descriptors = adopted(&message);
        if length == 0 && has_ended(socket.as_fd())? {
            return Ok(None);
        }
        if let Some(request) = parse(&bytes[..length])
            && descriptors.len() <= 1
        {
            return Ok(Some((request, descriptors.pop())));
        }
    }
}

/// All descriptors that came with a message.
fn adopted(message: &RecvMsg<'_, '_, UnixAddr>) -> Vec<OwnedFd> {
    // An error says that some found no place among ours, which has room for many times those of one message.
    let controls = message.cmsgs().into_iter().flatten();
    let numbers = controls.filter_map(|control| match control {
        ControlMessageOwned::ScmRights(numbers) => Some(numbers),
        _ => None,
    });
    numbers.flatten().map(system::adopt).collect()
}

/// Whether nobody has the other end any more: an empty packet looks the same to who reads.
fn has_ended(socket: BorrowedFd<'_>) -> nix::Result<bool> {
    let half_closed = PollFlags::from_bits_retain(libc::POLLRDHUP);
    let mut asked = [PollFd::new(socket, half_closed)];
    ppoll(&mut asked, Some(TimeSpec::new(0, 0)), None)?;
    // `nix` has no name for that flag, and says of what has one that it does not know it.
    let found = asked[0].revents();
    Ok(found.is_none_or(|it| it.intersects(PollFlags::POLLHUP)))
}

/// Exactly one request of this build's version.
fn parse(bytes: &[u8]) -> Option<raw::fimk_mark> {
    let request = raw::fimk_mark::read_from_bytes(bytes).ok()?;
    (request.version == version()).then_some(request)
}

fn mark(group: &Fanotify, kind: u32, directory: Option<&OwnedFd>) -> nix::Result<()> {
    let whole = |action: MarkFlags| action | MarkFlags::FAN_MARK_FILESYSTEM;
    let nothing = MaskFlags::empty();
    let (action, mask) = match kind {
        raw::FIMK_MARK_CHANGES => (MarkFlags::FAN_MARK_ADD, changes()),
        raw::FIMK_MARK_ERRORS => (MarkFlags::FAN_MARK_ADD, errors()),
        raw::FIMK_MARK_NO_CHANGES => (MarkFlags::FAN_MARK_REMOVE, changes()),
        raw::FIMK_MARK_NOTHING => {
            let flush = whole(MarkFlags::FAN_MARK_FLUSH);
            return group.mark(flush, nothing, nix::fcntl::AT_FDCWD, None::<&str>);
        }
        _ => return Err(Errno::EINVAL),
    };
    let directory = directory.ok_or(Errno::EBADF)?;
    group.mark(whole(action), mask, directory, None::<&str>)
}

/// What the analyzer asks for where it marks directories itself.
fn changes() -> MaskFlags {
    MaskFlags::FAN_MODIFY
        | MaskFlags::FAN_ATTRIB
        | MaskFlags::FAN_CLOSE_WRITE
        | MaskFlags::FAN_DELETE_SELF
        | MaskFlags::FAN_MOVE_SELF
        | MaskFlags::FAN_CREATE
        | MaskFlags::FAN_DELETE
        | MaskFlags::FAN_RENAME
        | MaskFlags::FAN_ONDIR
}

fn errors() -> MaskFlags {
    MaskFlags::from_bits_retain(libc::FAN_FS_ERROR)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use std::io::IoSlice;

    use nix::fcntl::OFlag;
    use nix::sys::socket::{ControlMessage, Shutdown, recv, sendmsg, shutdown};

    use super::*;

    #[test]
    fn only_a_whole_request_of_this_version_is_one() {
        let mut request = raw::fimk_mark::new_zeroed();
        request.version = version();
        let bytes = request.as_bytes();
        assert!(parse(bytes).is_some());
        assert!(parse(&bytes[1..]).is_none() && parse(&[]).is_none());
        assert!(parse(&[bytes, &[0]].concat()).is_none());
        request.version += 1;
        assert!(parse(request.as_bytes()).is_none());
    }

    #[test]
    fn random_bytes_are_a_request_or_nothing() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let mut bytes = [state.to_ne_bytes(), state.rotate_left(9).to_ne_bytes()].concat();
            if state.is_multiple_of(2) {
                bytes[..2].copy_from_slice(&version().to_ne_bytes());
            }
            bytes.truncate(usize::try_from(state % 18).expect("it is small"));
            if let Some(request) = parse(&bytes) {
                assert_eq!(request.version, version());
            }
        }
    }

    /// A request of nothing, with this cookie.
    fn request(cookie: u64) -> raw::fimk_mark {
        let mut request = raw::fimk_mark::new_zeroed();
        request.version = version();
        request.kind = kind(raw::FIMK_MARK_NOTHING);
        request.cookie = cookie;
        request
    }

    fn give(socket: &OwnedFd, bytes: &[u8], descriptors: &[RawFd]) {
        let rights = [ControlMessage::ScmRights(descriptors)];
        let with = if descriptors.is_empty() {
            &[]
        } else {
            &rights[..]
        };
        let slices = [IoSlice::new(bytes)];
        let flags = MsgFlags::empty();
        sendmsg::<UnixAddr>(socket.as_raw_fd(), &slices, with, flags, None).expect("it listens");
    }

    fn answer(socket: &OwnedFd) -> raw::fimk_mark {
        let mut bytes = [0; size_of::<raw::fimk_mark>()];
        let length = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty()).expect("an answer");
        parse(&bytes[..length]).expect("of its version")
    }

    #[test]
    fn whatever_it_is_sent_it_answers_the_next_request_and_keeps_no_descriptor() {
        let (ours, theirs) = system::channel().expect("two ends");
        let marker = std::thread::spawn(move || {
            serve(&theirs, |_, directory| {
                directory.map_or(Err(Errno::EBADF), |_| Ok(()))
            })
        });
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let one = request(1);
        let (whole, number) = (one.as_bytes(), write.as_raw_fd());
        for many in [0, 1, 2, 3, DESCRIPTORS_MAX] {
            give(&ours, &[], &vec![number; many]);
            give(&ours, &whole[1..], &vec![number; many]);
            if many > 1 {
                give(&ours, whole, &vec![number; many]);
            }
        }
        give(&ours, request(7).as_bytes(), &[]);
        let said = answer(&ours);
        assert_eq!((said.cookie, said.error), (7, Errno::EBADF as i32));
        give(&ours, request(8).as_bytes(), &[number]);
        let said = answer(&ours);
        assert_eq!((said.cookie, said.error), (8, 0));
        // The answer is sent before its descriptor is closed: another one is behind that.
        give(&ours, request(9).as_bytes(), &[]);
        answer(&ours);
        drop(write);
        let left = nix::unistd::read(&read, &mut [0]);
        assert_eq!(left, Ok(0), "nobody has the other end of the pipe");
        assert_eq!(has_ended(ours.as_fd()), Ok(false));
        drop(ours);
        assert_eq!(marker.join().expect("it did not panic"), Ok(()));
    }

    #[test]
    fn that_it_has_ended_is_seen() {
        let (ours, theirs) = system::channel().expect("two ends");
        let marker = Marker { socket: ours };
        assert!(!marker.has_ended());
        drop(theirs);
        assert!(marker.has_ended());
    }

    #[test]
    fn it_ends_when_nobody_can_ask_any_more() {
        let (ours, theirs) = system::channel().expect("two ends");
        shutdown(ours.as_raw_fd(), Shutdown::Write).expect("it is open");
        assert_eq!(serve(&theirs, |_, _| Ok(())), Ok(()));
    }
}
