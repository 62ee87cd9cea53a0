//! A reader of much steps back behind others: lower CPU and I/O priority, of its thread alone.
//!
//! Not idle: on a host that is never idle it would not come to its end, and a start waits for it.
#![allow(
    unsafe_code,
    reason = "no crate here wraps ioprio_set; the call takes three numbers"
)]

/// Nice value. With four busy processes on the only core it still has a thirteenth of it.
const NICE: i32 = 5;

/// `IOPRIO_CLASS_BE` and its last level, as `IOPRIO_PRIO_VALUE` of `linux/ioprio.h` joins them.
const BEST_EFFORT_LAST: libc::c_long = (2 << 13) | 7;

/// `IOPRIO_WHO_PROCESS`; of it, 0 is the calling thread.
const WHO_PROCESS: libc::c_long = 1;

/// For the calling thread. Where it is refused, it reads as everybody does: that is no reason not to.
pub(super) fn step_back() {
    let _ = rustix::process::setpriority_process(None, NICE);
    // SAFETY: the kernel takes three numbers; no memory of ours is read or written.
    let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT_LAST) };
}

/// The I/O priority of the calling thread.
#[cfg(test)]
pub(crate) fn io_priority() -> libc::c_long {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_steps_back_does_so_alone() {
        let before = io_priority();
        let inside = std::thread::spawn(|| {
            step_back();
            (io_priority(), rustix::process::getpriority_process(None))
        });
        assert_eq!(inside.join().ok(), Some((BEST_EFFORT_LAST, Ok(NICE))));
        assert_eq!(io_priority(), before);
    }
}
