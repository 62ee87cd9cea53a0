//! The system calls that no crate wraps safely: one function each.
#![allow(
    unsafe_code,
    reason = "fork, and calls of libc and libbpf that have no safe wrapper"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use libbpf_rs::libbpf_sys;
use nix::libc;
use nix::unistd::{ForkResult, Pid};

/// Closes every descriptor from `first` on: whoever started us may have left some open. Only for the very
/// start, while nothing of ours is open.
pub fn close_from(first: u32) -> nix::Result<()> {
    // SAFETY: takes three numbers; no owner of a descriptor that it closes exists yet.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    nix::errno::Errno::result(result).map(drop)
}

/// Makes `number` a second name of `descriptor` that stays open at exec.
pub fn inherit_as(descriptor: BorrowedFd<'_>, number: RawFd) -> nix::Result<()> {
    if descriptor.as_raw_fd() == number {
        // SAFETY: clears the close-on-exec flag of an open descriptor.
        let result = unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
        return nix::errno::Errno::result(result).map(drop);
    }
    // SAFETY: called in a child between fork and exec only: whatever owned `number` there is never used again.
    let result = unsafe { libc::dup2(descriptor.as_raw_fd(), number) };
    nix::errno::Errno::result(result).map(drop)
}

/// Runs `child` in a new process and returns its pid. The process ends with what `child` returns.
pub fn fork(child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: this program has one thread in every process that forks, so the child finds no lock held.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = child();
            // SAFETY: ends the process without running the destructors that belong to the parent.
            unsafe { libc::_exit(status) }
        }
    }
}

/// How often the kernel skipped this program because it ran already on that CPU; 0 before Linux 5.12.
pub fn recursion_misses(program: &OwnedFd) -> u64 {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut length = size_of::<libbpf_sys::bpf_prog_info>()
        .try_into()
        .unwrap_or(0);
    // SAFETY: `info` is writable for `length` bytes, and all counts in it are 0: nothing else is written.
    let result = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(
            program.as_fd().as_raw_fd(),
            &raw mut info,
            &raw mut length,
        )
    };
    if result == 0 {
        info.recursion_misses
    } else {
        0
    }
}

/// Takes ownership of a descriptor that the kernel just made for us in recvmsg.
pub fn adopt(number: RawFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: SCM_RIGHTS makes a new descriptor for each receiver; nobody else knows the number.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// How many bytes programs have put into the one ring of `rings`, and how many of them were consumed.
pub fn ring_positions(rings: &libbpf_rs::RingBuffer<'_>) -> (u64, u64) {
    use libbpf_rs::AsRawLibbpf;
    // SAFETY: `rings` owns the manager; a ring that it returns lives as long as it does.
    unsafe {
        let ring = libbpf_sys::ring_buffer__ring(rings.as_libbpf_object().as_ptr(), 0);
        if ring.is_null() {
            return (0, 0);
        }
        (
            libbpf_sys::ring__producer_pos(ring),
            libbpf_sys::ring__consumer_pos(ring),
        )
    }
}
