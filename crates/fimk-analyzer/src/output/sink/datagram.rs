//! Datagrams to a local socket. The sandbox permits no `connect`, and none is needed: each names where it goes, so a
//! receiver that was started anew is reached by the next.

use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use fimk_core::render::SYSLOG_BYTES_MAX;

use super::Sink;

/// A socket that belongs to nobody, and where to send.
pub(super) struct Datagrams {
    pub(super) path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Datagrams {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    pub(super) fn socket(&mut self) -> io::Result<(&UnixDatagram, &Path)> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => UnixDatagram::unbound()?,
        };
        Ok((self.socket.insert(socket), &self.path))
    }

    /// Waits while the receiver's queue is full; whoever is to be woken by others' doing holds up this thread only.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (socket, path) = self.socket()?;
        loop {
            match socket.send_to(bytes, path) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether it was more than a datagram of this system holds (`net.core.wmem_default`).
pub(super) fn is_too_large(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS))
}

/// Messages to a syslog daemon.
pub struct Syslog(Datagrams);

impl Syslog {
    pub fn new(path: PathBuf) -> Self {
        Self(Datagrams::new(path))
    }
}

impl Sink for Syslog {
    fn take(&mut self, records: &[&[u8]], _: &mut dyn FnMut()) -> io::Result<usize> {
        let Some(record) = records.first() else {
            return Ok(0);
        };
        match self.0.send(record) {
            // It never will be taken whole, and those behind it must not wait for that.
            Err(error) if is_too_large(&error) && record.len() > SYSLOG_BYTES_MAX => {
                self.0.send(head(record))?;
            }
            // To connect is what the sandbox does not permit.
            Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
                return Err(io::Error::other(
                    "it takes connections, not datagrams: write transport = \"stream\", and fimk-forwarder sends",
                ));
            }
            sent => sent?,
        }
        Ok(1)
    }
}

/// What every daemon takes, ending between two characters.
fn head(record: &[u8]) -> &[u8] {
    let is_start = |byte: &u8| *byte & 0xc0 != 0x80;
    let end = (0..=SYSLOG_BYTES_MAX)
        .rev()
        .find(|&at| record.get(at).is_none_or(is_start));
    &record[..end.unwrap_or(0).min(record.len())]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn a_receiver_that_comes_later_or_again_gets_each_message_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let mut syslog = Syslog::new(path.clone());
        let mut take = |record: &[u8]| syslog.take(&[record], &mut || {});
        let absent = take(b"one").expect_err("nobody is there");
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        for _ in 0..2 {
            let receiver = UnixDatagram::bind(&path).expect("bound");
            assert_eq!(take(b"one\ntwo").expect("taken"), 1);
            let mut bytes = [0; 64];
            let length = receiver.recv(&mut bytes).expect("a message");
            assert_eq!(&bytes[..length], b"one\ntwo");
            drop(receiver);
            let refused = take(b"one").expect_err("nobody listens");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            std::fs::remove_file(&path).expect("it is ours");
        }
    }

    #[test]
    fn a_daemon_that_takes_connections_is_told_of_with_what_to_write() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let error = Syslog::new(path).take(&[b"one"], &mut || {});
        let error = error.expect_err("it is no datagram socket").to_string();
        assert!(error.contains("transport = \"stream\""), "{error}");
    }

    #[test]
    fn a_message_that_no_datagram_holds_is_cut_between_characters() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let receiver = UnixDatagram::bind(&path).expect("bound");
        let mut syslog = Syslog::new(path);
        // More than the largest buffer that a socket may have by default.
        let long = "é".repeat(4 << 20);
        let taken = syslog.take(&[long.as_bytes()], &mut || {});
        assert_eq!(taken.expect("taken"), 1);
        let mut bytes = vec![0; 2 * SYSLOG_BYTES_MAX];
        let length = receiver.recv(&mut bytes).expect("a message");
        assert_eq!(length, SYSLOG_BYTES_MAX);
        assert!(std::str::from_utf8(&bytes[..length]).is_ok());
        assert_eq!(head("aé".repeat(4_000).as_bytes()).len(), 8_191);
    }
}
