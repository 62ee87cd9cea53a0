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

/// Both ends of a channel to an analyzer.
pub fn channel() -> nix::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)
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

/// Takes ownership of a descriptor that the kernel just made for us in recvmsg or accept4.
pub fn adopt(number: RawFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: both make a new descriptor for each call; nobody else knows the number.
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

/// What a loaded program is, and the ids of the maps it works on.
pub struct ProgramIdentity {
    /// The kernel's hash of its instructions.
    pub tag: [u8; 8],
    /// In no order.
    pub maps: Vec<u32>,
}

/// Maps a program of ours may use; the largest uses nine.
const PROGRAM_MAPS_MAX: usize = 64;

/// `None` where the kernel does not say.
pub fn program_identity(program: BorrowedFd<'_>) -> Option<ProgramIdentity> {
    let mut maps = [0u32; PROGRAM_MAPS_MAX];
    let mut info = libbpf_sys::bpf_prog_info {
        nr_map_ids: u32::try_from(maps.len()).ok()?,
        map_ids: maps.as_mut_ptr() as u64,
        ..Default::default()
    };
    let mut length = size_of::<libbpf_sys::bpf_prog_info>().try_into().ok()?;
    // SAFETY: `info` is writable for `length` bytes; the only count in it that is not 0 is that of `maps`, which
    // outlives the call.
    let result = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut length)
    };
    let used = usize::try_from(info.nr_map_ids).ok()?;
    (result == 0).then(|| ProgramIdentity {
        tag: info.tag,
        maps: maps.into_iter().take(used).collect(),
    })
}

/// Options for a map without any.
pub fn map_options() -> libbpf_sys::bpf_map_create_opts {
    libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    }
}

/// Puts the memory of `map` in the place of a skeleton's `variables`, as libbpf does for a map that it made itself.
pub fn share<T: Copy>(variables: &mut T, map: BorrowedFd<'_>) -> nix::Result<()> {
    let place = std::ptr::from_mut(variables).cast();
    // SAFETY: libbpf reserved whole pages for the variables at this place, and unmaps them itself. They are plain
    // numbers, of which any bytes of the map are a value; the map has their size.
    let shared = unsafe {
        libc::mmap(
            place,
            size_of::<T>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_FIXED,
            map.as_raw_fd(),
            0,
        )
    };
    if shared == libc::MAP_FAILED {
        return Err(nix::errno::Errno::last());
    }
    Ok(())
}
