//! How much of what was written the other side's system does not have yet.

#![allow(unsafe_code, reason = "one ioctl that no library we have wraps")]

use std::{io, os::fd::AsRawFd};

nix::ioctl_read_bad!(
    /// `SIOCOUTQ` of tcp(7) and unix(7), which has the number of `TIOCOUTQ`.
    outq,
    libc::TIOCOUTQ,
    libc::c_int
);

/// What was written and the other system has not acknowledged, in bytes; on this host, what its program has not read.
///
/// # Errors
/// What the system says.
pub fn unsent(stream: &impl AsRawFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while `stream` lives, and the kernel writes one int to where we say.
    unsafe { outq(stream.as_raw_fd(), &raw mut bytes) }?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}
