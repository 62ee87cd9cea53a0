//! The handle of an open object, in the form in which events have it.

use std::os::fd::OwnedFd;

use nix::{errno::Errno, sys::statvfs::fstatvfs};

use super::{sys, wholes::FileSystem};

/// File system, length, type and bytes: what follows the header of a record of an event.
pub(super) fn of(object: &OwnedFd) -> nix::Result<Box<[u8]>> {
    // `AT_HANDLE_FID` (Linux 6.5) asks for a handle that only identifies: overlayfs has no other.
    let handle = match sys::name_to_handle(object, libc::AT_HANDLE_FID) {
        Err(Errno::EINVAL) => sys::name_to_handle(object, 0),
        other => other,
    }?;
    Ok([&file_system(object)?[..], &handle].concat().into())
}

/// The two numbers of `f_fsid`, which glibc puts into one, the first in the lower half.
pub(super) fn file_system(object: &OwnedFd) -> nix::Result<FileSystem> {
    let id = fstatvfs(object)?.filesystem_id();
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&low(id).to_ne_bytes());
    bytes[4..].copy_from_slice(&low(id >> 32).to_ne_bytes());
    Ok(bytes)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is wanted"
)]
fn low(id: u64) -> u32 {
    id as u32
}
