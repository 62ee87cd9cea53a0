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

/// Closes every descriptor but the standard ones and these two. Only for a child that is to use no other of its parent's.
pub fn close_all_but(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> nix::Result<()> {
    let number = |descriptor: BorrowedFd<'_>| descriptor.as_raw_fd().cast_unsigned();
    let (first, second) = (
        number(one).min(number(other)),
        number(one).max(number(other)),
    );
    for (from, behind) in [
        (3, first),
        (first + 1, second),
        (second + 1, libc::c_uint::MAX),
    ] {
        if from < behind {
            // SAFETY: takes three numbers. Called in a child that ends without running the destructors of whatever owned
            // these in its parent.
            let result = unsafe { libc::syscall(libc::SYS_close_range, from, behind - 1, 0) };
            nix::errno::Errno::result(result)?;
        }
    }
    Ok(())
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

/// Bytes that can be read (FIONREAD); 0 if that cannot be told.
pub fn readable(descriptor: BorrowedFd<'_>) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: writes one int, which outlives the call.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    nix::errno::Errno::result(result).map_or(0, |_| u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// Gives this thread the lowest priority that there is (`SCHED_IDLE`); where that is refused it keeps its own.
pub fn yield_to_all() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads `parameters`, which outlives the call; 0 is the calling thread.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
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

/// What one batch of [`lookup_batch`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// So many entries; there may be more.
    Some(usize),
    /// So many entries, the last.
    Last(usize),
    /// The next bucket has more entries than the buffers have room for.
    TooSmall,
}

/// Copies entries of a hash from place `from` (`None`: the first) into `keys` and `values`, as many whole buckets as
/// fit, and their end into `next`. That fewer came than fit does not say that they were the last.
pub fn lookup_batch(
    map: &libbpf_rs::MapHandle,
    from: Option<u32>,
    next: &mut u32,
    keys: &mut [u8],
    values: &mut [u8],
) -> std::io::Result<Batch> {
    use libbpf_rs::MapCore;
    let room = |bytes: &[u8], each: u32| bytes.len() / each.max(1) as usize;
    let fitting = room(keys, map.key_size()).min(room(values, map.value_size()));
    let mut count = u32::try_from(fitting).unwrap_or(u32::MAX);
    let mut from = from;
    let from = from
        .as_mut()
        .map_or(std::ptr::null_mut(), std::ptr::from_mut);
    // SAFETY: both buffers have room for `count` entries of this map; a place in a hash is a number of 32 bits.
    let result = unsafe {
        libbpf_sys::bpf_map_lookup_batch(
            map.as_fd().as_raw_fd(),
            from.cast(),
            std::ptr::from_mut(next).cast(),
            keys.as_mut_ptr().cast(),
            values.as_mut_ptr().cast(),
            &raw mut count,
            std::ptr::null(),
        )
    };
    match -result {
        0 => Ok(Batch::Some(count as usize)),
        libc::ENOENT => Ok(Batch::Last(count as usize)),
        libc::ENOSPC => Ok(Batch::TooSmall),
        errno => Err(std::io::Error::from_raw_os_error(errno)),
    }
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
/// What the self-test does that `nix` does not wrap.
pub mod trial {
    use std::fs::File;
    use std::io::{Error, Result};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::ptr::{null, null_mut};

    use nix::libc;

    /// -1 is the error in errno.
    fn checked(result: i64) -> Result<i64> {
        if result < 0 {
            Err(Error::last_os_error())
        } else {
            Ok(result)
        }
    }

    /// A part of a file, mapped shared; it is unmapped when dropped.
    pub struct Mapping {
        address: *mut libc::c_void,
        length: usize,
    }

    impl Mapping {
        /// `length` bytes from `offset`, anywhere.
        pub fn new(
            file: &impl AsRawFd,
            protection: i32,
            length: usize,
            offset: i64,
        ) -> Result<Self> {
            let flags = libc::MAP_SHARED;
            // SAFETY: the kernel chooses the place, so no memory of ours is replaced.
            let address = unsafe {
                libc::mmap(
                    null_mut(),
                    length,
                    protection,
                    flags,
                    file.as_raw_fd(),
                    offset,
                )
            };
            if address == libc::MAP_FAILED {
                return Err(Error::last_os_error());
            }
            Ok(Self { address, length })
        }

        /// Makes it writable.
        pub fn make_writable(&self) -> Result<()> {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: exactly what `new` mapped.
            checked(i64::from(unsafe {
                libc::mprotect(self.address, self.length, protection)
            }))
            .map(drop)
        }

        /// Stores a number `at` bytes from the start.
        pub fn store<T>(&mut self, at: usize, number: T) {
            assert!(at.is_multiple_of(align_of::<T>()) && at + size_of::<T>() <= self.length);
            // SAFETY: inside the mapping and aligned, and no Rust object lies there.
            unsafe { self.address.byte_add(at).cast::<T>().write_volatile(number) };
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: exactly what `new` mapped, and nothing refers to it any more.
            let _ = unsafe { libc::munmap(self.address, self.length) };
        }
    }

    /// Moves bytes from a pipe to a file.
    pub fn splice(pipe: &OwnedFd, file: &File, length: usize) -> Result<()> {
        // SAFETY: descriptors and numbers; no offsets are pointed to.
        checked(unsafe {
            libc::splice(
                pipe.as_raw_fd(),
                null_mut(),
                file.as_raw_fd(),
                null_mut(),
                length,
                0,
            )
        } as i64)
        .map(drop)
    }

    /// Shares the blocks of one file with another.
    pub fn clone(from: &File, to: &File) -> Result<()> {
        // SAFETY: this request takes a descriptor.
        checked(i64::from(unsafe {
            libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd())
        }))
        .map(drop)
    }

    /// Writes through Linux's own asynchronous I/O and waits for the end.
    pub fn aio_write(file: &File, bytes: &[u8]) -> Result<()> {
        const IOCB_CMD_PWRITE: u16 = 1;
        // SAFETY: iocb is plain numbers, for which zero is a value.
        let mut request: libc::iocb = unsafe { std::mem::zeroed() };
        request.aio_lio_opcode = IOCB_CMD_PWRITE;
        request.aio_fildes = file.as_raw_fd().cast_unsigned();
        request.aio_buf = bytes.as_ptr() as u64;
        request.aio_nbytes = bytes.len() as u64;
        let mut context: libc::c_ulong = 0;
        let mut requests = [&raw mut request];
        let mut events = [0u64; 4];
        // SAFETY: all that is pointed to outlives the request, which is awaited; context is 0 as is asked for.
        unsafe {
            checked(libc::syscall(libc::SYS_io_setup, 1, &raw mut context))?;
            let submitted = checked(libc::syscall(
                libc::SYS_io_submit,
                context,
                1,
                requests.as_mut_ptr(),
            ));
            let done = submitted.and_then(|_| {
                checked(libc::syscall(
                    libc::SYS_io_getevents,
                    context,
                    1,
                    1,
                    events.as_mut_ptr(),
                    null::<libc::timespec>(),
                ))
            });
            libc::syscall(libc::SYS_io_destroy, context);
            done.map(drop)
        }
    }

    /// Writes through an `io_uring` of one entry and waits for the end. The numbers are those of
    /// `linux/io_uring.h`: 30 words of parameters, of which word 11 is the place of the queue's tail and word
    /// 16 that of its array; entries of 8 double words.
    pub fn uring_write(file: &File, bytes: &[u8]) -> Result<()> {
        const TAIL: usize = 11;
        const ARRAY: usize = 16;
        const ENTRIES_OFFSET: i64 = 0x1000_0000;
        const WRITE: u64 = 23;
        const GETEVENTS: u32 = 1;
        let mut parameters = [0u32; 30];
        // SAFETY: the kernel reads and writes the 120 bytes of the parameters.
        let ring = checked(unsafe {
            libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr())
        })?;
        let number = i32::try_from(ring).map_err(Error::other)?;
        // SAFETY: the kernel just made it for us.
        let ring = unsafe { OwnedFd::from_raw_fd(number) };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let array = parameters[ARRAY] as usize;
        let mut queue = Mapping::new(&ring, protection, array + 4, 0)?;
        let mut entry = Mapping::new(&ring, protection, 64, ENTRIES_OFFSET)?;
        let descriptor = u64::from(file.as_raw_fd().cast_unsigned());
        entry.store(0, WRITE | descriptor << 32);
        entry.store(16, bytes.as_ptr() as u64);
        entry.store(24, bytes.len() as u64);
        queue.store(array, 0u32);
        queue.store(parameters[TAIL] as usize, 1u32);
        // SAFETY: the bytes outlive the request, which is awaited; no signal mask is pointed to.
        checked(unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                number,
                1,
                1,
                GETEVENTS,
                null::<u8>(),
                0,
            )
        })
        .map(drop)
    }

    /// Sets an extended attribute.
    pub fn set_attribute(file: &File, name: &std::ffi::CStr, value: &[u8]) -> Result<()> {
        // SAFETY: name and value are read only, within their lengths.
        checked(i64::from(unsafe {
            libc::fsetxattr(
                file.as_raw_fd(),
                name.as_ptr(),
                value.as_ptr().cast(),
                value.len(),
                0,
            )
        }))
        .map(drop)
    }

    /// Removes an extended attribute.
    pub fn remove_attribute(file: &File, name: &std::ffi::CStr) -> Result<()> {
        // SAFETY: the name is read only.
        checked(i64::from(unsafe {
            libc::fremovexattr(file.as_raw_fd(), name.as_ptr())
        }))
        .map(drop)
    }

    /// Sets the flags that chattr(1) sets.
    pub fn set_flags(file: &File, flags: libc::c_int) -> Result<()> {
        // SAFETY: this request reads one int.
        checked(i64::from(unsafe {
            libc::ioctl(file.as_raw_fd(), libc::FS_IOC_SETFLAGS, &raw const flags)
        }))
        .map(drop)
    }

    /// Mounts a copy of what `from` shows on `to`, by the calls of Linux 5.2.
    pub fn move_copy(from: &std::ffi::CStr, to: &std::ffi::CStr) -> Result<()> {
        const OPEN_TREE_CLONE: u32 = 1;
        const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
        // SAFETY: the paths are read only.
        let tree = checked(unsafe {
            libc::syscall(
                libc::SYS_open_tree,
                libc::AT_FDCWD,
                from.as_ptr(),
                OPEN_TREE_CLONE,
            )
        })?;
        // SAFETY: as above; the descriptor is the one just made.
        checked(unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                tree,
                c"".as_ptr(),
                libc::AT_FDCWD,
                to.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        })
        .map(drop)
    }
}
