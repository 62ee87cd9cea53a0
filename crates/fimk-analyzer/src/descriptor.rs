//! The one place where a bare descriptor number becomes an owned descriptor.
#![allow(
    unsafe_code,
    reason = "a descriptor that arrives as a number has to be adopted once"
)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Owns a descriptor that was inherited from the loader or has just been received from it.
///
/// # Errors
/// When no such descriptor is open.
pub fn adopt(number: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: the number was either handed down by the loader, which closed every other descriptor before
    // exec, or has just been returned by recvmsg; in both cases nobody else in this process owns it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    match fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
        Ok(_) => Ok(descriptor),
        Err(error) => {
            // It is not open: dropping it would close a number that may by then be another's.
            std::mem::forget(descriptor);
            Err(error)
        }
    }
}
