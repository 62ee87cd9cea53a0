//! Ways to change a file that no command offers.
#![allow(unsafe_code, reason = "mappings and io_uring are what is tested")]

use std::{
    fs::{File, OpenOptions},
    io,
    num::NonZeroUsize,
    os::fd::AsRawFd,
    path::Path,
    ptr::NonNull,
};

use io_uring::{IoUring, opcode, squeue, types};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mprotect, munmap};

/// The start of a file, mapped writable and shared; the descriptor is closed at once.
pub struct Mapping {
    address: NonNull<std::ffi::c_void>,
    length: NonZeroUsize,
}

impl Mapping {
    /// Maps `length` bytes of a file that has at least as many.
    pub fn new(path: &Path, length: usize) -> io::Result<Self> {
        Self::with(path, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    /// As [`Self::new`], but it can only be read until [`Self::allow_stores`].
    pub fn read_only(path: &Path, length: usize) -> io::Result<Self> {
        Self::with(path, length, ProtFlags::PROT_READ)
    }

    /// From here on it may be stored to.
    pub fn allow_stores(&mut self) -> io::Result<()> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: exactly what `new` mapped; access is only added.
        Ok(unsafe { mprotect(self.address, self.length.get(), protection) }?)
    }

    fn with(path: &Path, length: usize, protection: ProtFlags) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        assert!(
            file.metadata()?.len() >= length as u64,
            "a store behind the end of a file is a SIGBUS"
        );
        let length = NonZeroUsize::new(length).expect("tests map something");
        // SAFETY: the kernel chooses the place, so no other memory is replaced.
        let address = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &file, 0)? };
        Ok(Self { address, length })
    }

    /// Stores bytes at the start of the mapping.
    pub fn store(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length.get());
        // SAFETY: the range is mapped writable until drop, and is not part of any Rust object.
        unsafe {
            self.address
                .cast::<u8>()
                .as_ptr()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and nothing refers to it any more.
        let _ = unsafe { munmap(self.address, self.length.get()) };
    }
}

/// Who carries out a request of `io_uring`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UringThread {
    /// The thread that submits it.
    Submitter,
    /// A worker (`IOSQE_ASYNC`).
    Worker,
    /// The thread that polls the queue (`IORING_SETUP_SQPOLL`).
    Poller,
}

/// Writes bytes at the start of a file through `io_uring`. An error if this kernel refuses rings.
pub fn uring_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    uring_write_by(UringThread::Submitter, path, bytes)
}

/// As [`uring_write`], by this thread. The ring, and with it the thread, ends before this returns.
pub fn uring_write_by(thread: UringThread, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut builder = IoUring::<squeue::Entry>::builder();
    if thread == UringThread::Poller {
        builder.setup_sqpoll(1_000);
    }
    let mut ring = builder.build(2)?;
    let file: File = OpenOptions::new().write(true).open(path)?;
    // Before Linux 5.11 a poller takes only descriptors that were registered.
    ring.submitter().register_files(&[file.as_raw_fd()])?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut entry = opcode::Write::new(types::Fixed(0), bytes.as_ptr(), length).build();
    if thread == UringThread::Worker {
        entry = entry.flags(squeue::Flags::ASYNC);
    }
    // SAFETY: descriptor and bytes outlive the request: it is awaited below.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let result = ring
        .completion()
        .next()
        .ok_or_else(|| io::Error::other("the ring completed nothing"))?
        .result();
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    assert_eq!(
        usize::try_from(result).ok(),
        Some(bytes.len()),
        "io_uring wrote less than asked"
    );
    Ok(())
}
