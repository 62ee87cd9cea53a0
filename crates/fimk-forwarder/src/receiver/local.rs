//! A syslog daemon on this host whose socket takes connections: messages with a line end behind each, which none has inside.
//! Here one learns what TCP does not tell: whether the program itself has read everything.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use nix::sys::{
    socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt},
    time::TimeVal,
};

use super::{Receiver, Taken};
use crate::unsent::unsent;

/// How often is looked whether it has read everything.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// See the module.
pub struct Local {
    path: PathBuf,
    timeout: Duration,
    stream: Option<UnixStream>,
}

impl Local {
    /// That listens there.
    pub fn new(path: PathBuf, timeout: Duration) -> Self {
        Self {
            path,
            timeout,
            stream: None,
        }
    }

    fn open(&self) -> io::Result<UnixStream> {
        let stream = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        // Of connecting as well, where too many wait already.
        let milliseconds = i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX);
        let limit = TimeVal::new(milliseconds / 1_000, milliseconds % 1_000 * 1_000);
        setsockopt(&stream, sockopt::SendTimeout, &limit)?;
        connect(stream.as_raw_fd(), &UnixAddr::new(&self.path)?)?;
        Ok(stream.into())
    }

    fn give(&self, stream: &mut UnixStream, records: &[String]) -> io::Result<()> {
        for record in records {
            stream.write_all(record.as_bytes())?;
            stream.write_all(b"\n")?;
        }
        let end = Instant::now() + self.timeout;
        while unsent(stream)? > 0 {
            if Instant::now() >= end {
                return Err(ErrorKind::TimedOut.into());
            }
            thread::sleep(LOOK_EVERY);
        }
        // Who closes before it has read everything resets the connection, and that is gone.
        is_open(stream).map(drop)
    }
}

impl Receiver for Local {
    fn send(&mut self, records: &[String]) -> Result<Taken, String> {
        let mut stream = match self.stream.take().filter(|it| is_open(it).unwrap_or(false)) {
            Some(stream) => stream,
            None => self.open().map_err(|error| why(&error))?,
        };
        self.give(&mut stream, records)
            .map_err(|error| why(&error))?;
        self.stream = Some(stream);
        Ok(Taken::all(records.len()))
    }
}

/// Whether it is still there, or has ended; an error if it ended before it had read everything.
fn is_open(mut stream: &UnixStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let read = stream.read(&mut [0; 512]);
    stream.set_nonblocking(false)?;
    match read {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        read => Ok(read? > 0),
    }
}

fn why(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (_, Some(libc::EPROTOTYPE)) => {
            "it takes datagrams, not connections: remove transport = \"stream\"".to_owned()
        }
        (ErrorKind::WouldBlock | ErrorKind::TimedOut, _) => "it does not read in time".to_owned(),
        (ErrorKind::BrokenPipe | ErrorKind::ConnectionReset, _) => {
            "it closed the connection".to_owned()
        }
        (ErrorKind::NotFound | ErrorKind::ConnectionRefused, _) => {
            "nobody listens there".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::net::{UnixDatagram, UnixListener},
    };

    use super::*;

    fn local(directory: &tempfile::TempDir, timeout_ms: u64) -> Local {
        let path = directory.path().join("log");
        Local::new(path, Duration::from_millis(timeout_ms))
    }

    fn records() -> Vec<String> {
        ["one", "two"].map(str::to_owned).into()
    }

    #[test]
    fn each_message_is_a_line_and_counts_when_the_daemon_has_read_it_also_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut local = local(&directory, 20_000);
        let none = local.send(&records()).expect_err("nobody is there");
        assert!(none.contains("nobody listens"), "{none}");
        for _ in 0..2 {
            let listener = UnixListener::bind(directory.path().join("log")).expect("bound");
            let daemon = thread::spawn(move || {
                let (stream, _) = listener.accept().expect("somebody comes");
                let lines = BufReader::new(stream).lines();
                lines.take(4).map_while(Result::ok).collect::<Vec<_>>()
            });
            for _ in 0..2 {
                assert_eq!(local.send(&records()), Ok(Taken::all(2)));
            }
            let read = daemon.join().expect("it ended");
            assert_eq!(read, ["one", "two", "one", "two"]);
            std::fs::remove_file(directory.path().join("log")).expect("it is ours");
        }
    }

    #[test]
    fn who_does_not_read_closes_or_takes_datagrams_has_not_taken_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let listener = UnixListener::bind(&path).expect("bound");
        let mut silent = local(&directory, 100);
        let unread = silent.send(&records()).expect_err("it is not read");
        assert!(unread.contains("does not read in time"), "{unread}");
        let endless = vec!["x".repeat(64 << 10); 64];
        let unread = silent.send(&endless).expect_err("it is not read");
        assert!(unread.contains("does not read in time"), "{unread}");
        let closing = thread::spawn(move || {
            // Those of before, and one more.
            for _ in 0..3 {
                drop(listener.accept());
            }
        });
        let closed = local(&directory, 20_000).send(&records());
        assert!(closed.expect_err("it closed").contains("closed"));
        closing.join().expect("it ended");
        std::fs::remove_file(&path).expect("it is ours");
        let _datagrams = UnixDatagram::bind(&path).expect("bound");
        let other = local(&directory, 100)
            .send(&records())
            .expect_err("another kind");
        assert!(other.contains("remove transport"), "{other}");
    }
}
