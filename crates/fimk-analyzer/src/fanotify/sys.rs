//! The calls that have no safe wrapper. Nothing else in this crate is `unsafe`.
#![allow(unsafe_code, reason = "see each SAFETY comment")]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::{errno::Errno, sys::fanotify::Fanotify};

/// `MAX_HANDLE_SZ`.
const HANDLE_BYTES_MAX: u32 = 128;

/// A `struct file_handle` with room for the largest handle.
#[repr(C)]
struct Handle {
    head: libc::file_handle,
    bytes: [u8; HANDLE_BYTES_MAX as usize],
}

/// Length, type and bytes of the handle of an open object.
pub(super) fn name_to_handle(object: &OwnedFd, flags: libc::c_int) -> nix::Result<Vec<u8>> {
    let head = libc::file_handle {
        handle_bytes: HANDLE_BYTES_MAX,
        handle_type: 0,
        f_handle: [],
    };
    let mut handle = Handle {
        head,
        bytes: [0; HANDLE_BYTES_MAX as usize],
    };
    let mut mount = 0;
    // SAFETY: the path is a C string, and `handle` and `mount` are alive and writable during the call. The kernel writes
    // at most `handle_bytes` bytes behind the head, which is where `bytes` lies (`repr(C)`, and the head's size is a multiple
    // of its alignment); the pointer is made from all of `handle`, so that it may reach there.
    let result = unsafe {
        let pointer = (&raw mut handle).cast::<libc::file_handle>();
        libc::name_to_handle_at(
            object.as_raw_fd(),
            c"".as_ptr(),
            pointer,
            &raw mut mount,
            flags | libc::AT_EMPTY_PATH,
        )
    };
    Errno::result(result)?;
    let length = handle.head.handle_bytes.min(HANDLE_BYTES_MAX) as usize;
    let head = [
        handle.head.handle_bytes.to_ne_bytes(),
        handle.head.handle_type.to_ne_bytes(),
    ]
    .concat();
    Ok([&head, &handle.bytes[..length]].concat())
}

/// Bytes that can be read (FIONREAD); 0 if that cannot be told.
pub(super) fn readable(group: &Fanotify) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: writes one int, which outlives the call.
    let result = unsafe { libc::ioctl(group.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    Errno::result(result).map_or(0, |_| u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// A group from its descriptor.
pub(super) fn group(fd: OwnedFd) -> Fanotify {
    // SAFETY: the only demand is that the descriptor be a fanotify group's. Were it another's, each call on it would fail
    // with EINVAL or read other bytes, which our decoder takes as the hostile input that it expects; no memory is at stake.
    unsafe { Fanotify::from_owned_fd(fd) }
}
