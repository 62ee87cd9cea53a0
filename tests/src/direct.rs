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

use io_uring::{IoUring, opcode, types};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The start of a file, mapped writable and shared; the descriptor is closed at once.
pub struct Mapping {
    address: NonNull<std::ffi::c_void>,
    length: NonZeroUsize,
}

impl Mapping {
    /// Maps `length` bytes of a file that has at least as many.
    pub fn new(path: &Path, length: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        assert!(
            file.metadata()?.len() >= length as u64,
            "a store behind the end of a file is a SIGBUS"
        );
        let length = NonZeroUsize::new(length).expect("tests map something");
        // SAFETY: the kernel chooses the place, so no other memory is replaced.
        let address = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                &file,
                0,
            )?
        };
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

/// Writes bytes at the start of a file through `io_uring`. An error if this kernel refuses rings.
pub fn uring_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut ring = IoUring::new(2)?;
    let file: File = OpenOptions::new().write(true).open(path)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let entry = opcode::Write::new(types::Fd(file.as_raw_fd()), bytes.as_ptr(), length).build();
    // SAFETY: descriptor and bytes outlive the request: it is awaited below.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let result = ring
        .completion()
        .next()
        .ok_or_else(|| io::Error::other("the ring completed nothing"))?
        .result();
    assert_eq!(
        usize::try_from(result).ok(),
        Some(bytes.len()),
        "io_uring wrote less than asked, or failed"
    );
    Ok(())
}
