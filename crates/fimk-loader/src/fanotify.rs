//! The fanotify group that the analyzer reads.

use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};

/// What the analyzer cannot do without: names in directories, by handle. The limits are lifted because
/// what overflows them would be lost; the analyzer's queue is bounded by its own speed and said in its status.
const NEEDED: u32 = libc::FAN_CLASS_NOTIF
    | libc::FAN_CLOEXEC
    | libc::FAN_NONBLOCK
    | libc::FAN_REPORT_FID
    | libc::FAN_REPORT_DFID_NAME
    | libc::FAN_UNLIMITED_QUEUE
    | libc::FAN_UNLIMITED_MARKS;

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
