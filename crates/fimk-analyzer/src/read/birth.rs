//! Which object something is, beyond its number: file systems give the number of what is gone to what is new.

use std::os::fd::OwnedFd;

use fimk_core::time::Timestamp;
use rustix::fs::{AtFlags, StatxFlags, statx};

/// When an open object was made; none where its file system does not keep that (overlayfs tells the layer's, NFS before
/// version 4 and vfat have none).
pub(super) fn of(object: &OwnedFd) -> Option<Timestamp> {
    let stat = statx(object, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    let known = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    known.then(|| Timestamp::from_parts(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
}
