//! How fast a comparison of very much may be: a share of the CPU, and bytes a second, on average since its beginning.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::clock::cpu_used;

/// Slept at a time: in between it is looked whether that is still needed.
const NAP: Duration = Duration::from_millis(250);

/// Slept at most for one piece of a content: longer, and a reader seems to hang.
const NAP_IN_PIECE: Duration = Duration::from_secs(1);

/// What has been used, and what may be.
#[derive(Debug)]
pub struct Pace {
    /// Percent of one core, of all threads of this process together.
    cpu_percent: Option<u32>,
    bytes_per_s: Option<u64>,
    since: Instant,
    cpu_before: Duration,
    bytes: AtomicU64,
}

impl Pace {
    /// From now on.
    pub fn new(cpu_percent: Option<u32>, bytes_per_s: Option<u64>) -> Self {
        Self {
            cpu_percent,
            bytes_per_s,
            since: Instant::now(),
            cpu_before: cpu_used(),
            bytes: AtomicU64::new(0),
        }
    }

    /// As fast as it goes.
    #[cfg(test)]
    pub fn unlimited() -> Self {
        Self::new(None, None)
    }

    /// Sleeps until more may be used.
    pub fn wait(&self) {
        loop {
            let early = self.early();
            if early.is_zero() {
                return;
            }
            thread::sleep(early.min(NAP));
        }
    }

    /// So many bytes were read; sleeps if that is too fast. How long it slept.
    pub fn take(&self, bytes: usize) -> Duration {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let early = self.early().min(NAP_IN_PIECE);
        if !early.is_zero() {
            thread::sleep(early);
        }
        early
    }

    /// How much earlier this is than what was used permits.
    fn early(&self) -> Duration {
        let by_cpu = self.cpu_percent.map(|percent| {
            let used = cpu_used().saturating_sub(self.cpu_before);
            used.saturating_mul(100) / percent.max(1)
        });
        let by_bytes = self.bytes_per_s.map(|rate| {
            let micros = u128::from(self.bytes.load(Ordering::Relaxed)) * 1_000_000;
            let micros = micros / u128::from(rate.max(1));
            Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
        });
        let due = by_cpu.max(by_bytes).unwrap_or_default();
        due.saturating_sub(self.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_nobody_waits() {
        let pace = Pace::unlimited();
        assert_eq!(pace.take(usize::MAX), Duration::ZERO);
        pace.wait();
    }

    #[test]
    fn bytes_take_their_time() {
        let pace = Pace::new(None, Some(1 << 20));
        let slept = pace.take(1 << 18);
        assert!(slept <= NAP_IN_PIECE && pace.since.elapsed() >= Duration::from_millis(249));
    }

    #[test]
    fn a_share_of_the_cpu_is_an_average() {
        let pace = Pace::new(Some(50), None);
        let work = Instant::now();
        while work.elapsed() < Duration::from_millis(40) {
            std::hint::black_box(cpu_used());
        }
        let used = cpu_used().saturating_sub(pace.cpu_before);
        pace.wait();
        assert!(pace.since.elapsed() >= used * 2);
    }
}
