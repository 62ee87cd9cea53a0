//! The socket's name in the run directory: made, taken over from one who died, and removed.

use std::{
    fs, io,
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
    unistd::geteuid,
};

use crate::exit::{Failure, Status};

/// In the run directory.
const NAME: &str = "control.sock";

/// Whoever reaches it may ask: the run directory decides who does.
const MODE: u32 = 0o666;

/// For an analyzer whose loader died to write down what it has, and for the kernel to clear a killed one away: a
/// successor that is started at once must not be sent away for it.
const PREDECESSOR: Duration = Duration::from_secs(2);
const PREDECESSOR_ASKED_EVERY: Duration = Duration::from_millis(20);

/// Where our socket is, and which one it is: by device and inode.
pub struct Place {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Place {
    /// Removes the name, unless somebody has put something else there.
    pub fn leave(&mut self) {
        if let Some(identity) = self.identity.take()
            && identity_of(&self.path) == Some(identity)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds the socket.
pub fn bind(run_dir: &Path) -> Result<(UnixListener, Place), Failure> {
    let path = run_dir.join(NAME);
    clear(&path)?;
    let listener = UnixListener::bind(&path).map_err(|error| not_made(&path, &error))?;
    let place = Place {
        identity: identity_of(&path),
        path,
    };
    let path = &place.path;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))
        .and_then(|()| listener.set_nonblocking(true))
        .map_err(|error| not_made(path, &error))?;
    Ok((listener, place))
}

/// Removes the socket of an analyzer that died. Nothing else is ever removed.
fn clear(path: &Path) -> Result<(), Failure> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(not_made(path, &error)),
    };
    if !found.file_type().is_socket() || found.uid() != geteuid().as_raw() {
        return Err(Failure::new(
            Status::Io,
            format!(
                "{} is in the way: it is no socket of this user; remove it, or give another run directory",
                path.display()
            ),
        ));
    }
    match still_answers(path) {
        Ok(false) => match fs::remove_file(path) {
            // Whoever answered until a moment ago has ended in order, and took the name away.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(not_made(path, &error)),
            _ => Ok(()),
        },
        Ok(true) => Err(Failure::new(
            Status::Second,
            format!(
                "another analyzer answers at {}: stop it, or give another run directory",
                path.display()
            ),
        )),
        Err(error) => Err(not_made(path, &error.into())),
    }
}

/// Whether somebody listens there for longer than an end takes.
fn still_answers(path: &Path) -> nix::Result<bool> {
    let until = Instant::now() + PREDECESSOR;
    while answers(path)? {
        if Instant::now() >= until {
            return Ok(true);
        }
        thread::sleep(PREDECESSOR_ASKED_EVERY);
    }
    Ok(false)
}

/// Whether somebody listens there; without waiting, for nobody need accept.
fn answers(path: &Path) -> nix::Result<bool> {
    let probe = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    match connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        // EAGAIN: so many wait there already that one more would have to wait.
        Ok(()) | Err(Errno::EAGAIN) => Ok(true),
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn not_made(path: &Path, error: &io::Error) -> Failure {
    let (status, advice) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            Status::Permission,
            "the run directory must belong to the analyzer's user",
        ),
        io::ErrorKind::NotFound => (Status::Io, "the run directory must exist"),
        // What sun_path of unix(7) takes.
        io::ErrorKind::InvalidInput => (
            Status::Configuration,
            "the path of a socket has at most 107 bytes: give a shorter run directory",
        ),
        _ => (Status::Io, "look at the run directory"),
    };
    Failure::new(
        status,
        format!(
            "the control socket {} cannot be made ({error}): {advice}",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    fn refusal(run_dir: &Path) -> Failure {
        bind(run_dir).err().expect("it is refused")
    }

    #[test]
    fn a_socket_whose_analyzer_died_is_replaced_and_gone_at_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        drop(UnixListener::bind(&path).expect("bound"));
        let (listener, mut place) = bind(directory.path()).expect("replaced");
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(
            fs::metadata(&path).expect("made").permissions().mode() & 0o777,
            MODE
        );
        drop(listener);
        place.leave();
        assert!(!path.exists());
    }

    #[test]
    fn where_another_answers_nothing_is_replaced_even_if_it_has_no_room_for_us() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        let (_first, _place) = bind(directory.path()).expect("bound");
        assert_eq!(refusal(directory.path()).status, Status::Second);
        let mut crowd = Vec::new();
        while answers(&path) == Ok(true) && crowd.len() < 10_000 {
            let one = socket(
                AddressFamily::Unix,
                SockType::Stream,
                SockFlag::SOCK_NONBLOCK,
                None,
            )
            .expect("a socket");
            let full = connect(one.as_raw_fd(), &UnixAddr::new(&path).expect("short")).is_err();
            crowd.push(one);
            if full {
                break;
            }
        }
        assert_eq!(refusal(directory.path()).status, Status::Second);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        fs::write(&path, "precious").expect("written");
        assert!(refusal(directory.path()).sentence.contains("in the way"));
        assert_eq!(fs::read(&path).expect("there"), b"precious");
        fs::remove_file(&path).expect("removed");

        // A link to a socket that nobody serves is no socket.
        let other = directory.path().join("other");
        drop(UnixListener::bind(&other).expect("bound"));
        std::os::unix::fs::symlink(&other, &path).expect("linked");
        assert_eq!(refusal(directory.path()).status, Status::Io);
        fs::remove_file(&path).expect("removed");

        let _datagram = UnixDatagram::bind(&path).expect("bound");
        assert_eq!(refusal(directory.path()).status, Status::Io);
        assert!(path.exists() && other.exists());
    }

    #[test]
    fn a_directory_that_is_missing_or_too_deep_is_said_to_be() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("missing");
        assert!(refusal(&missing).sentence.contains("must exist"));
        let deep = directory.path().join("d".repeat(120));
        fs::create_dir(&deep).expect("made");
        let refused = refusal(&deep);
        assert_eq!(refused.status, Status::Configuration);
        assert!(refused.sentence.contains("shorter"));
    }

    #[test]
    fn the_socket_of_somebody_else_is_not_removed_at_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        let (listener, mut place) = bind(directory.path()).expect("bound");
        fs::remove_file(&path).expect("removed");
        let _other = UnixListener::bind(&path).expect("bound");
        place.leave();
        assert!(path.exists());
        drop(listener);
    }
}
