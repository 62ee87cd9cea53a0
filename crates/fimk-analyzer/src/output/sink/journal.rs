//! Entries of the systemd journal, by its native protocol: one datagram each, or, where that is too small, one that
//! carries a sealed file in memory.

use std::{
    ffi::c_int,
    fs::File,
    io::{self, IoSlice, Write as _},
    os::fd::AsRawFd as _,
    path::PathBuf,
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg},
    },
};

use super::{
    Sink,
    datagram::{Datagrams, is_too_large},
};

/// The flags with which the sandbox permits such files to be made.
pub const MEMORY_FILE: MFdFlags = MFdFlags::MFD_CLOEXEC.union(MFdFlags::MFD_ALLOW_SEALING);

/// Entries to journald.
pub struct Journal(Datagrams);

impl Journal {
    pub fn new(path: PathBuf) -> Self {
        Self(Datagrams::new(path))
    }

    /// journald reads such a file only when nobody can change it any more.
    fn hand_over(&mut self, entry: &[u8]) -> io::Result<()> {
        let mut file = File::from(memfd_create(c"fimk-journal-entry", MEMORY_FILE)?);
        file.write_all(entry)?;
        let seals = SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let (socket, path) = self.0.socket()?;
        let address = UnixAddr::new(path)?;
        let files: [c_int; 1] = [file.as_raw_fd()];
        sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(&[])],
            &[ControlMessage::ScmRights(&files)],
            MsgFlags::empty(),
            Some(&address),
        )?;
        Ok(())
    }
}

impl Sink for Journal {
    fn take(&mut self, records: &[&[u8]], _: &mut dyn FnMut()) -> io::Result<usize> {
        let Some(entry) = records.first() else {
            return Ok(0);
        };
        match self.0.send(entry) {
            Err(error) if is_too_large(&error) => self.hand_over(entry)?,
            sent => sent?,
        }
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{
        io::{IoSliceMut, Read as _, Seek as _},
        os::unix::net::UnixDatagram,
    };

    use nix::sys::socket::{ControlMessageOwned, recvmsg, setsockopt, sockopt::SndBuf};

    use super::*;

    #[test]
    fn an_entry_that_no_datagram_holds_is_handed_over_in_a_file_that_nobody_can_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let receiver = UnixDatagram::bind(&path).expect("bound");
        let mut journal = Journal::new(path);
        let (socket, _) = journal.0.socket().expect("a socket");
        setsockopt(socket, SndBuf, &4_608).expect("it is ours");
        let entry = [b"MESSAGE=".as_slice(), &b"x".repeat(50_000), b"\n"].concat();
        assert_eq!(journal.take(&[&entry], &mut || {}).expect("taken"), 1);

        let mut space = nix::cmsg_space!([c_int; 1]);
        let mut bytes = [0; 16];
        let mut into = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::empty();
        let datagram =
            recvmsg::<UnixAddr>(receiver.as_raw_fd(), &mut into, Some(&mut space), flags)
                .expect("a datagram");
        assert_eq!(datagram.bytes, 0);
        let Some(ControlMessageOwned::ScmRights(files)) =
            datagram.cmsgs().expect("messages").next()
        else {
            panic!("no file came");
        };
        let mut file = File::from(crate::descriptor::adopt(files[0]).expect("it is open"));
        let mut text = Vec::new();
        file.rewind().expect("a file");
        file.read_to_end(&mut text).expect("a file");
        assert!(text == entry);
        assert!(file.write_all(b"x").is_err() && file.set_len(0).is_err());
    }
}
