//! The fanotify group that the analyzer reads.
//!
//! Its queue has no limit in the kernel: the usual one, 16384 events, is overflowed by anybody who makes as many files,
//! and with them goes who did what at the same time. So the analyzer and we look how much is in it. Where the analyzer
//! lives it reads a queue of 262144 events away, and compares; where it does not, we drop it at twice as many, and take the
//! marks off. Those of whole file systems the marker takes off.

use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};

/// What the analyzer cannot do without: names in directories, by handle.
const NEEDED: u32 = libc::FAN_CLASS_NOTIF
    | libc::FAN_CLOEXEC
    | libc::FAN_NONBLOCK
    | libc::FAN_REPORT_FID
    | libc::FAN_REPORT_DFID_NAME
    | libc::FAN_UNLIMITED_QUEUE
    | libc::FAN_UNLIMITED_MARKS;

/// Events in the queue, at about 200 bytes of kernel memory each: 100 MiB.
pub const QUEUE_MAX: u64 = 524_288;

/// The same, though it was emptied of marks and nobody reads it: the marker hangs, at a file system that does not answer. Only
/// the end of all who have the group frees what it holds.
pub const QUEUE_BURSTS: u64 = 2 * QUEUE_MAX;

/// How often is looked; who writes as fast as can be makes half a million events meanwhile.
pub const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// What FIONREAD counts for each event: the size of its head (`FAN_EVENT_METADATA_LEN`).
const HEAD_BYTES: u64 = 24;

/// Newer than the oldest kernel we serve; the first is given up first.
const WELCOME: [u32; 2] = [libc::FAN_REPORT_TARGET_FID, libc::FAN_REPORT_PIDFD];

/// Opens a group with as much as this kernel gives, and says which flags it has.
pub fn open() -> nix::Result<(Fanotify, u32)> {
    let mut refused = nix::errno::Errno::EINVAL;
    for flags in attempts() {
        let events = EventFFlags::from_bits_retain(
            (libc::O_RDONLY | libc::O_LARGEFILE | libc::O_CLOEXEC).cast_unsigned(),
        );
        match Fanotify::init(InitFlags::from_bits_retain(flags), events) {
            Ok(group) => return Ok((group, flags)),
            Err(cause) => refused = cause,
        }
    }
    Err(refused)
}

/// How many events wait to be read; 0 if the kernel does not say.
pub fn queued(group: &Fanotify) -> u64 {
    crate::system::readable(std::os::fd::AsFd::as_fd(group)) / HEAD_BYTES
}

/// Takes all marks off the group: nothing is put into its queue any more.
pub fn remove_marks(group: &Fanotify) {
    // It cannot fail for anything that could be mended here.
    let _ = group.mark(
        MarkFlags::FAN_MARK_FLUSH,
        MaskFlags::empty(),
        AT_FDCWD,
        None::<&std::path::Path>,
    );
}

fn attempts() -> [u32; 4] {
    let [target, process] = WELCOME;
    [
        NEEDED | target | process,
        NEEDED | process,
        NEEDED | target,
        NEEDED,
    ]
}
