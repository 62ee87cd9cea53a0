//! Opening a path of any length.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
};

use fimk_core::path::BytePath;
use nix::{
    errno::Errno,
    fcntl::{OFlag, ResolveFlag, openat},
    sys::stat::Mode,
};

use crate::host;

/// The kernel takes 4096 bytes with the final NUL.
pub(super) const PIECE_MAX: usize = 4095;

/// A path longer than this is not opened. Trees as deep as that are built only to hide in, and every look at one
/// costs time in proportion.
pub(super) const PATH_MAX: usize = 1 << 20;

/// Opens a path, longer than the kernel's `PATH_MAX` if need be: then directory by directory, in as few pieces as
/// it can. `flags` hold for the last piece; close-on-exec is added. Links above the last name are followed.
///
/// # Errors
/// As `openat`; `ENAMETOOLONG` for a name over 255 bytes or a path over a mebibyte.
pub fn open_path(path: &BytePath, flags: OFlag) -> nix::Result<OwnedFd> {
    let mut rest = path.bytes();
    if rest.len() > PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut above = None;
    while rest.len() > PIECE_MAX {
        let piece = &rest[..=PIECE_MAX];
        let slash = piece
            .iter()
            .rposition(|&byte| byte == b'/')
            .filter(|&at| at > 0)
            .ok_or(Errno::ENAMETOOLONG)?;
        above = Some(open_piece(
            above.as_ref(),
            &rest[..slash],
            OFlag::O_PATH | OFlag::O_DIRECTORY,
        )?);
        rest = &rest[slash + 1..];
    }
    open_piece(above.as_ref(), rest, flags)
}

fn open_piece(above: Option<&OwnedFd>, piece: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_CLOEXEC;
    match above {
        Some(directory) => openat(directory, OsStr::from_bytes(piece), flags, Mode::empty()),
        None => host::open(&BytePath::new(piece), flags, ResolveFlag::empty()),
    }
}
