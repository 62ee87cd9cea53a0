//! What the kernel says of an open object.

use std::os::fd::OwnedFd;

use fimk_core::{
    record::{Attributes, FileKind},
    time::Timestamp,
};
use nix::sys::stat::{FileStat, fstat, major, minor};

/// Of an open object, also of one opened as a mere place.
pub(super) fn of(object: &OwnedFd) -> nix::Result<Attributes> {
    fstat(object).map(|stat| from_stat(&stat))
}

// The widths of `struct stat` differ between architectures; on none does a value need more than its field here,
// but for a size, which the kernel never has negative.
#[allow(
    clippy::unnecessary_fallible_conversions,
    clippy::useless_conversion,
    reason = "widths differ by architecture"
)]
fn from_stat(stat: &FileStat) -> Attributes {
    let nanoseconds = |value: i64| u32::try_from(value).unwrap_or(0);
    let (major, minor) = (major(stat.st_dev), minor(stat.st_dev));
    Attributes {
        kind: FileKind::from_mode(stat.st_mode),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        inode: stat.st_ino,
        device: (
            u32::try_from(major).unwrap_or(u32::MAX),
            u32::try_from(minor).unwrap_or(u32::MAX),
        ),
        mtime: Timestamp::from_parts(stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
        ctime: Timestamp::from_parts(stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
    }
}

/// Whether two looks were at the same object and nothing of it changed between them: cheap, and as good as the
/// clock of the file system (the mode and the owner cannot change without the ctime).
pub fn unchanged(before: &Attributes, after: &Attributes) -> bool {
    let what = |a: &Attributes| (a.inode, a.device, a.size, a.mtime, a.ctime);
    what(before) == what(after)
}
