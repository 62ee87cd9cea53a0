//! The content of one open object, in a stream.

use std::os::{
    fd::{AsRawFd, OwnedFd},
    unix::ffi::OsStrExt,
};

use fimk_consumers::Consumer;
use fimk_core::path::BytePath;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, readlinkat},
    sys::stat::Mode,
    unistd::read,
};
use sha2::{Digest, Sha256};

use crate::patience::Progress;

/// One read; larger ones gain nothing beside the hashing.
const PIECE_BYTES: usize = 128 << 10;

/// A larger content is not given to its consumer: differences of such a file are not read by people, and the
/// state would be stored.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Why a leased content is not read; it is when the lease ends.
pub const LEASED: &str = "it is leased to another process, which must give it up first";

/// What became of a content.
pub(super) enum Stream {
    /// A sentence that says why it was not read.
    Unread(String),
    /// Read to its end.
    Read {
        sha256: [u8; 32],
        /// For a consumer; none if there is none or the content is larger than it takes.
        text: Option<Vec<u8>>,
    },
}

/// Where a link leads, from the link itself.
pub(super) fn link(place: &OwnedFd) -> nix::Result<BytePath> {
    readlinkat(place, "").map(|target| BytePath::new(target.as_bytes()))
}

/// The content of a regular file that was opened as a place.
pub(super) fn file(
    place: &OwnedFd,
    size: u64,
    bytes_max: u64,
    consumer: Option<Consumer>,
    progress: &Progress,
) -> Stream {
    if size > bytes_max {
        return too_large(bytes_max);
    }
    match open_content(place)
        .and_then(|content| stream(&content, bytes_max, consumer.is_some(), progress))
    {
        Ok(stream) => stream,
        Err(Errno::EAGAIN) => Stream::Unread(LEASED.to_owned()),
        Err(errno) => Stream::Unread(format!("it cannot be read ({errno})")),
    }
}

/// Without a change of the access time where that is permitted, that is, for the file's owner.
fn open_content(place: &OwnedFd) -> nix::Result<OwnedFd> {
    let name = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match open(name.as_str(), flags | OFlag::O_NOATIME, Mode::empty()) {
        Err(Errno::EPERM) => open(name.as_str(), flags, Mode::empty()),
        other => other,
    }
}

fn stream(
    content: &OwnedFd,
    bytes_max: u64,
    keep: bool,
    progress: &Progress,
) -> nix::Result<Stream> {
    let mut hasher = Sha256::new();
    let mut text = keep.then(Vec::new);
    let mut buffer = vec![0; PIECE_BYTES];
    let mut left = bytes_max;
    loop {
        let count = match read(content, &mut buffer) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        progress.add(count);
        if count == 0 {
            return Ok(Stream::Read {
                sha256: hasher.finalize().into(),
                text,
            });
        }
        left = match left.checked_sub(count as u64) {
            Some(left) => left,
            None => return Ok(too_large(bytes_max)),
        };
        hasher.update(&buffer[..count]);
        text = text.filter(|text| text.len() + count <= TEXT_BYTES_MAX);
        if let Some(text) = &mut text {
            text.extend_from_slice(&buffer[..count]);
        }
    }
}

fn too_large(bytes_max: u64) -> Stream {
    Stream::Unread(format!("larger than {bytes_max} bytes"))
}
