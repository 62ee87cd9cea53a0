//! What the kernel says of an open object: all of it in one call.

use std::os::fd::OwnedFd;

use fimk_core::{
    record::{Attributes, Extended, FileFlag, FileKind},
    time::Timestamp,
};
use nix::errno::Errno;
use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp, statx};

/// Flags of statx(2), each with its word.
const FLAGS: [(StatxAttributes, FileFlag); 6] = [
    (StatxAttributes::IMMUTABLE, FileFlag::Immutable),
    (StatxAttributes::APPEND, FileFlag::AppendOnly),
    (StatxAttributes::NODUMP, FileFlag::NoDump),
    (StatxAttributes::COMPRESSED, FileFlag::Compressed),
    (StatxAttributes::ENCRYPTED, FileFlag::Encrypted),
    (StatxAttributes::VERITY, FileFlag::Verity),
];

/// One look at an object.
pub(super) struct Look {
    pub attributes: Attributes,
    /// Those that its file system tells of.
    pub flags: Vec<FileFlag>,
    /// When it was made, which tells it from what had its number before; none where its file system does not keep that
    /// (overlayfs tells the layer's, NFS before version 4 and vfat have none).
    pub birth: Option<Timestamp>,
}

impl Look {
    /// What else there is of it, with its flags.
    pub fn flag(&self, extended: Option<Extended>) -> Option<Extended> {
        let flags = self.flags.clone();
        extended.map(|it| Extended { flags, ..it })
    }
}

/// At an open object, also at one opened as a mere place.
pub(super) fn look(object: &OwnedFd) -> nix::Result<Look> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let stat = statx(object, c"", AtFlags::EMPTY_PATH, wanted)
        .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    let set = stat.stx_attributes & stat.stx_attributes_mask;
    let flags = FLAGS.iter().filter(|(bit, _)| set.contains(*bit));
    let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(Look {
        attributes: attributes(&stat),
        flags: flags.map(|&(_, flag)| flag).collect(),
        birth: has_birth.then(|| time(&stat.stx_btime)),
    })
}

/// As [`look`], where no more is asked for.
pub(super) fn of(object: &OwnedFd) -> nix::Result<Attributes> {
    look(object).map(|look| look.attributes)
}

fn attributes(stat: &Statx) -> Attributes {
    let mode = u32::from(stat.stx_mode);
    Attributes {
        kind: FileKind::from_mode(mode),
        mode: mode & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        links: stat.stx_nlink,
        inode: stat.stx_ino,
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        mtime: time(&stat.stx_mtime),
        ctime: time(&stat.stx_ctime),
    }
}

fn time(time: &StatxTimestamp) -> Timestamp {
    Timestamp::from_parts(time.tv_sec, time.tv_nsec)
}

/// Whether two looks were at the same object and nothing of it changed between them: cheap, and as good as the
/// clock of the file system (the mode and the owner cannot change without the ctime).
pub fn unchanged(before: &Attributes, after: &Attributes) -> bool {
    let what = |a: &Attributes| (a.inode, a.device, a.size, a.mtime, a.ctime);
    what(before) == what(after)
}
