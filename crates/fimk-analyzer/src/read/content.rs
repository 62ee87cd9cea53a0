//! The content of one open object, in a stream.

use std::{
    cell::RefCell,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::OnceLock,
};

use fimk_consumers::MAX_BYTES;
use fimk_core::{path::BytePath, record::Attributes};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat, readlinkat},
    sys::stat::Mode,
    unistd::{geteuid, read},
};

use super::hash::{Digests, Hashing};
use crate::patience::Progress;

/// One read; larger ones gain nothing beside the hashing.
const PIECE_BYTES: usize = 128 << 10;

/// Why a leased content is not read; it is when the lease ends.
pub const LEASED: &str = "it is leased to another process, which must give it up first";

/// How it begins what is said of a content that is larger than may be read.
const TOO_LARGE: &str = "larger than";

/// What became of a content.
pub(super) enum Stream {
    /// A sentence that says why it was not read.
    Unread(String),
    /// Read to its end.
    Read {
        /// The content, open.
        content: OwnedFd,
        digests: Digests,
        /// If it was to be kept: its beginning, as much as a consumer takes.
        text: Option<Vec<u8>>,
        /// More follows it.
        cut: bool,
    },
}

impl Stream {
    /// The descriptor that it was read by.
    pub(super) fn content(self) -> Option<OwnedFd> {
        match self {
            Self::Unread(_) => None,
            Self::Read { content, .. } => Some(content),
        }
    }
}

/// Where a link leads, from the link itself.
pub(super) fn link(place: &OwnedFd) -> nix::Result<BytePath> {
    readlinkat(place, "").map(|target| BytePath::new(target.as_bytes()))
}

/// The content of a regular file that was opened as a place.
pub(super) fn file(
    place: &OwnedFd,
    attributes: &Attributes,
    bytes_max: u64,
    keep: bool,
    hashing: Hashing,
    progress: &Progress,
) -> Stream {
    if attributes.size > bytes_max {
        return too_large(bytes_max);
    }
    match open_content(place, attributes.uid)
        .and_then(|content| stream(content, bytes_max, keep, hashing, progress))
    {
        Ok(stream) => stream,
        Err(Errno::EAGAIN) => Stream::Unread(LEASED.to_owned()),
        Err(errno) => Stream::Unread(format!("it cannot be read ({errno})")),
    }
}

/// What was read of a growing file.
pub(super) struct Part {
    /// Of all that was read.
    pub digests: Digests,
    /// Of what is before the mark; none without one.
    pub at_mark: Option<Digests>,
    /// Whether there was as much as was to be read.
    pub whole: bool,
}

/// The first bytes of a regular file that was opened as a place: up to `most`, and besides up to a mark before that.
///
/// # Errors
/// A sentence that says why it was not read.
pub(super) fn beginning(
    place: &OwnedFd,
    attributes: &Attributes,
    (mark, most): (Option<u64>, u64),
    hashing: Hashing,
    progress: &Progress,
) -> Result<Part, String> {
    let read = |content: OwnedFd| {
        PIECE.with_borrow_mut(|piece| part_by(piece, &content, (mark, most), hashing, progress))
    };
    open_content(place, attributes.uid)
        .and_then(read)
        .map_err(|errno| match errno {
            Errno::EAGAIN => LEASED.to_owned(),
            errno => format!("it cannot be read ({errno})"),
        })
}

fn part_by(
    piece: &mut [u8],
    content: &OwnedFd,
    (mark, most): (Option<u64>, u64),
    mut hashing: Hashing,
    progress: &Progress,
) -> nix::Result<Part> {
    let mut at = 0;
    let mut at_mark = (mark == Some(0)).then(|| hashing.clone().digests());
    while at < most {
        let until = mark.filter(|&mark| mark > at).unwrap_or(most).min(most);
        let wanted = usize::try_from(until - at).unwrap_or(usize::MAX);
        let room = piece.len().min(wanted);
        let count = match read(content, &mut piece[..room]) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        if count == 0 {
            break;
        }
        progress.add(count);
        hashing.update(&piece[..count]);
        at += count as u64;
        if mark == Some(at) {
            at_mark = Some(hashing.clone().digests());
        }
    }
    Ok(Part {
        digests: hashing.digests(),
        at_mark,
        whole: at == most,
    })
}

/// Without a change of the access time where that is permitted, that is, for the file's owner: to try it for others
/// would cost an open for each.
fn open_content(place: &OwnedFd, owner: u32) -> nix::Result<OwnedFd> {
    let (directory, name) = (descriptors()?, place.as_raw_fd().to_string());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    if geteuid().as_raw() == owner {
        match openat(
            directory,
            name.as_str(),
            flags | OFlag::O_NOATIME,
            Mode::empty(),
        ) {
            Err(Errno::EPERM) => {}
            other => return other,
        }
    }
    openat(directory, name.as_str(), flags, Mode::empty())
}

/// The directory of our own descriptors, opened once: to find it anew for each file costs as much as to open one.
fn descriptors() -> nix::Result<&'static OwnedFd> {
    static DIRECTORY: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(directory) = DIRECTORY.get() {
        return Ok(directory);
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open("/proc/self/fd", flags, Mode::empty())?;
    Ok(DIRECTORY.get_or_init(|| directory))
}

thread_local! {
    /// Of one reading at a time. Made anew for each file it would cost more than to read a small one.
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE_BYTES]);
}

fn stream(
    content: OwnedFd,
    bytes_max: u64,
    keep: bool,
    hashing: Hashing,
    progress: &Progress,
) -> nix::Result<Stream> {
    PIECE.with_borrow_mut(|piece| stream_by(piece, content, bytes_max, keep, hashing, progress))
}

fn stream_by(
    piece: &mut [u8],
    content: OwnedFd,
    bytes_max: u64,
    keep: bool,
    mut hashing: Hashing,
    progress: &Progress,
) -> nix::Result<Stream> {
    let mut text = keep.then(Vec::new);
    let mut cut = false;
    let mut left = bytes_max;
    loop {
        let count = match read(&content, piece) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        progress.add(count);
        if count == 0 {
            return Ok(Stream::Read {
                content,
                digests: hashing.digests(),
                text,
                cut,
            });
        }
        left = match left.checked_sub(count as u64) {
            Some(left) => left,
            None => return Ok(too_large(bytes_max)),
        };
        hashing.update(&piece[..count]);
        if let Some(kept) = &mut text {
            let room = MAX_BYTES - kept.len();
            kept.extend_from_slice(&piece[..count.min(room)]);
            cut |= count > room;
        }
    }
}

fn too_large(bytes_max: u64) -> Stream {
    Stream::Unread(format!("{TOO_LARGE} {bytes_max} bytes"))
}

/// Whether a content was not read for its size.
pub fn is_too_large(why: &str) -> bool {
    why.starts_with(TOO_LARGE)
}
