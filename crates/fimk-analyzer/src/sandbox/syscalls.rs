//! The system calls that the analyzer may make beside the usual ones. A call that is in neither list fails with `EPERM`;
//! connections to anybody are among those: what is to be connected is so by now.

use libc::c_long;

/// Calls that are permitted whatever their arguments are.
pub(super) const OWN: &[c_long] = &[
    // The fanotify source: marks on the group that the loader made, handles.
    libc::SYS_fanotify_mark,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // The database and the control socket; landlock says where.
    libc::SYS_fallocate,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_mkdirat,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sync_file_range,
    libc::SYS_unlinkat,
    // The channel to the loader and the control socket.
    libc::SYS_accept4,
    libc::SYS_listen,
    // Older forms of the above that the C library still uses where they exist.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

#[allow(
    clippy::unnecessary_cast,
    reason = "another width with another C library"
)]
/// Descriptor flags, and questions about terminals, flags and generations of files.
pub(super) const IOCTL: [u64; 6] = [
    libc::FIOCLEX as u64,
    libc::FIONBIO as u64,
    libc::FIONREAD as u64,
    libc::TCGETS as u64,
    FS_IOC_GETFLAGS,
    FS_IOC_GETVERSION,
];

/// `_IOR('f', 1, long)` and `_IOR('v', 1, long)`: the same on every architecture with 64 bits.
const FS_IOC_GETFLAGS: u64 = 0x8008_6601;
const FS_IOC_GETVERSION: u64 = 0x8008_7601;
