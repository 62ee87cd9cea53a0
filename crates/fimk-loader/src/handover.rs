//! Analyzers that come to us: the socket at which they ask for a channel.
//!
//! Whoever connects says nothing and is told one byte: [`HANDED`], with one end of a socket pair, or [`BUSY`]. Then
//! the connection is closed. Who it is the kernel says (`SO_PEERCRED`).

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fimk_wire::{BUSY, HANDED};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind,
    getsockopt, listen, sendmsg, socket, sockopt,
};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::{Uid, UnlinkatFlags, fchownat, unlinkat};

use crate::analyzers::{Analyzers, End, Started};
use crate::directories;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::log::{self, Quietly};
use crate::system;
use crate::user::Account;

/// Where the socket is if nothing else is said.
pub const DEFAULT: &str = "/run/fimk-loader/handover.sock";
/// Connections that wait: one analyzer, and whoever else tries.
const BACKLOG: i32 = 4;
/// Connections answered before the loop does anything else.
const CALLS_A_ROUND: u32 = 8;
/// Connections answered within [`CALLS_WITHIN`]: a process that connects in a loop costs a millisecond of each
/// second. Others wait in the backlog meanwhile, or are refused by the kernel.
const CALLS_MAX: u32 = 32;
const CALLS_WITHIN: Duration = Duration::from_secs(1);

/// The socket, and who is served.
pub struct Handover {
    listener: OwnedFd,
    /// Held so that no other loader takes the place of our socket.
    _lock: File,
    account: Account,
    serving: bool,
    dropped: bool,
    calls: Calls,
    turned_away: Quietly,
}

impl Handover {
    /// Makes the socket: root's, and the group of `account` may connect.
    pub fn listen(path: &Path, account: Account) -> Result<Self> {
        let (directory, name) = directories::shared_parent(path, account)?;
        let lock = lock(&directory, &name, path)?;
        let failed = |cause: Errno| {
            let path = path.display();
            Error::new(
                Status::Io,
                format!("the socket {path} cannot be made: {cause}"),
            )
        };
        remove_stale(&directory, &name, path)?;
        let listener = socket(
            AddressFamily::Unix,
            SockType::SeqPacket,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )
        .map_err(failed)?;
        // Under another name until it is whole: an analyzer that is refused gives up, and a loader that is killed here would
        // leave it a socket that refuses it.
        let unfinished = PathBuf::from(format!("{}.new", name.display()));
        remove_stale(&directory, &unfinished, path)?;
        // By our own descriptor: no name on the way can be exchanged under us.
        let here = format!(
            "/proc/self/fd/{}/{}",
            directory.as_raw_fd(),
            unfinished.display()
        );
        let address = UnixAddr::new(here.as_str()).map_err(failed)?;
        bind(listener.as_raw_fd(), &address).map_err(failed)?;
        let (owner, flags) = (Some(Uid::from_raw(0)), AtFlags::AT_SYMLINK_NOFOLLOW);
        let mode = Mode::from_bits_truncate(0o660);
        fchownat(
            &directory,
            unfinished.as_path(),
            owner,
            Some(account.gid),
            flags,
        )
        .and_then(|()| {
            let follow = FchmodatFlags::FollowSymlink;
            fchmodat(&directory, unfinished.as_path(), mode, follow)
        })
        .and_then(|()| listen(&listener, Backlog::new(BACKLOG)?))
        .and_then(|()| renameat(&directory, unfinished.as_path(), &directory, name.as_path()))
        .map_err(failed)?;
        Ok(Self {
            listener,
            _lock: lock,
            account,
            serving: false,
            dropped: false,
            calls: Calls::new(Instant::now()),
            turned_away: Quietly::default(),
        })
    }

    /// Answers one caller.
    fn answer(&mut self, caller: &OwnedFd, vacant: bool) -> Option<Started> {
        let peer = getsockopt(caller, sockopt::PeerCredentials).ok()?;
        // A process of another pid namespace has pid 0 here, and the programs could not be told to arm for it.
        let pid = u32::try_from(peer.pid()).ok().filter(|&pid| pid != 0);
        let (Some(pid), true) = (pid, peer.uid() == self.account.uid.as_raw()) else {
            self.turn_away(peer.pid(), peer.uid(), "it is not the analyzer's user");
            return None;
        };
        if !vacant {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let _ = nix::sys::socket::send(caller.as_raw_fd(), &[BUSY], flags);
            self.turn_away(peer.pid(), peer.uid(), "an analyzer is served already");
            return None;
        }
        match hand_over(caller) {
            Ok(channel) => Some(Started { channel, pid }),
            Err(cause) => {
                self.turn_away(peer.pid(), peer.uid(), cause.desc());
                None
            }
        }
    }

    fn turn_away(&mut self, pid: i32, uid: u32, why: &str) {
        if let Some(silent) = self.turned_away.may_speak(Instant::now()) {
            log::line(format_args!(
                "a process (pid {pid}, uid {uid}) that asked for a channel was turned away: {why} \
                 ({silent} more since the last such line)"
            ));
        }
    }
}

impl Analyzers for Handover {
    fn descriptor(&self, now: Instant) -> Option<BorrowedFd<'_>> {
        self.calls
            .rests_until(now)
            .is_none()
            .then(|| self.listener.as_fd())
    }

    fn wakes(&self) -> Option<Instant> {
        self.calls.rests_until(Instant::now())
    }

    fn next(&mut self, vacant: bool) -> Result<Option<Started>> {
        for _ in 0..CALLS_A_ROUND {
            if self.calls.rests_until(Instant::now()).is_some() {
                break;
            }
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let caller = match accept4(self.listener.as_raw_fd(), flags) {
                Ok(number) => system::adopt(number),
                Err(Errno::EAGAIN) => break,
                // The caller went away again; or we have no descriptor left, which passes.
                Err(_) => {
                    self.calls.count(Instant::now());
                    break;
                }
            };
            self.calls.count(Instant::now());
            if let Some(started) = self.answer(&caller, vacant) {
                (self.serving, self.dropped) = (true, false);
                return Ok(Some(started));
            }
        }
        Ok(None)
    }

    fn ended(&mut self, left: bool) -> Result<Option<End>> {
        if !self.serving || !(left || self.dropped) {
            return Ok(None);
        }
        self.serving = false;
        Ok(Some(End::Left))
    }

    fn end(&mut self) -> Result<()> {
        self.dropped = true;
        Ok(())
    }

    /// It is not ours to signal.
    fn reload(&mut self) -> Result<()> {
        log::line("SIGHUP is for the analyzer, which reads the configuration: send it there");
        Ok(())
    }

    fn keeps_pins(&self) -> bool {
        true
    }
}

/// Our end of a new channel; the other goes to the caller.
fn hand_over(caller: &OwnedFd) -> nix::Result<OwnedFd> {
    let (ours, theirs) = system::channel()?;
    sendmsg::<UnixAddr>(
        caller.as_raw_fd(),
        &[IoSlice::new(&[HANDED])],
        &[ControlMessage::ScmRights(&[theirs.as_raw_fd()])],
        MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(ours)
}

/// A file beside the socket, because a lock on the directory could be held by anybody who may open that.
fn lock(directory: &OwnedFd, name: &Path, path: &Path) -> Result<File> {
    let lock = format!("{}.lock", name.display());
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(
        directory,
        lock.as_str(),
        flags,
        Mode::S_IRUSR | Mode::S_IWUSR,
    )
    .map_err(|cause| {
        let path = path.display();
        Error::new(Status::Io, format!("{path}.lock cannot be opened: {cause}"))
    })?;
    let file = File::from(file);
    if file.try_lock().is_err() {
        let sentence = format!(
            "another fimk-loader listens at {}: stop it or name another --handover",
            path.display()
        );
        return Err(Error::new(Status::Second, sentence));
    }
    Ok(file)
}

/// A socket that a loader left is in the way. Anything else is not ours to remove.
fn remove_stale(directory: &OwnedFd, name: &Path, path: &Path) -> Result<()> {
    let refused = |why: &dyn std::fmt::Display| {
        let path = path.display();
        Error::new(
            Status::Io,
            format!("{path} is in the way: {why}; remove it"),
        )
    };
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => Ok(()),
        Err(cause) => Err(refused(&cause)),
        Ok(found) if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFSOCK.bits() => {
            Err(refused(&"it is no socket"))
        }
        Ok(_) => {
            unlinkat(directory, name, UnlinkatFlags::NoRemoveDir).map_err(|cause| refused(&cause))
        }
    }
}

/// How often we were called lately.
struct Calls {
    since: Instant,
    count: u32,
}

impl Calls {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
        }
    }

    fn count(&mut self, now: Instant) {
        if now.duration_since(self.since) >= CALLS_WITHIN {
            *self = Self::new(now);
        }
        self.count += 1;
    }

    /// Until when nobody is answered, after too many calls.
    fn rests_until(&self, now: Instant) -> Option<Instant> {
        let until = self.since + CALLS_WITHIN;
        (self.count >= CALLS_MAX && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_too_many_calls_nobody_is_answered_for_the_rest_of_the_second() {
        let now = Instant::now();
        let mut calls = Calls::new(now);
        for _ in 0..CALLS_MAX {
            assert_eq!(calls.rests_until(now), None);
            calls.count(now);
        }
        assert_eq!(calls.rests_until(now), Some(now + CALLS_WITHIN));
        let later = now + CALLS_WITHIN;
        assert_eq!(calls.rests_until(later), None);
        calls.count(later);
        assert_eq!(calls.count, 1);
    }
}
