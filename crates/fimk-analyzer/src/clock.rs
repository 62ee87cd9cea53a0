//! Wall clock and boot clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fimk_core::time::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The clock by which file systems stamp what is changed now: it stands still between two ticks, and for longer where the CPU that
/// keeps it does not run.
pub fn of_files() -> Timestamp {
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or_else(
        |_| now(),
        |time| Timestamp(time.tv_sec() * 1_000_000_000 + time.tv_nsec()),
    )
}

/// Nanoseconds since boot, suspends included: the clock of every time in a packet.
pub fn since_boot_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

/// What this process has used of the CPUs so far: what something cost, however busy the host is with other things.
pub fn cpu_used() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The wall-clock time of a point on the boot clock, by the offset of this moment: a clock that was set
/// since shifts it.
pub fn from_boot(ns: u64) -> Timestamp {
    let ago = i64::try_from(since_boot_ns().saturating_sub(ns)).unwrap_or(0);
    Timestamp(now().0.saturating_sub(ago))
}
