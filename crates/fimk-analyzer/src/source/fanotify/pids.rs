//! Whether a process number can have gone round while an event waited.
//!
//! An event has no time of its own, only a number. The kernel gives numbers in turn, so the next who has it comes after as many
//! forks as there are numbers; `/proc/stat` counts forks.

use std::fs;

/// Nobody forks so often in this time that a number goes round.
const TOO_SHORT_NS: u64 = 100_000_000;

/// The default of Linux without systemd; the least there is.
const PID_MAX: u64 = 32_768;

/// How often numbers were given since the queue was empty.
#[derive(Debug)]
pub(super) struct Numbers {
    max: u64,
    /// When the queue was empty, by the boot clock, and forks until then; none if they cannot be read.
    rest: (u64, Option<u64>),
}

impl Numbers {
    /// From now on.
    pub fn new(now_ns: u64) -> Self {
        let max = fs::read_to_string("/proc/sys/kernel/pid_max");
        Self {
            max: max
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(PID_MAX),
            rest: (now_ns, forks()),
        }
    }

    /// Nothing waited at this moment.
    pub fn at_rest(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.rest.0) > TOO_SHORT_NS {
            self.rest = (now_ns, forks());
        }
    }

    /// Nothing that waits is older.
    pub fn since(&self) -> u64 {
        self.rest.0
    }

    /// Whether a number may have had two owners since then. As others than we take numbers, half a round is too much.
    pub fn may_repeat(&self, now_ns: u64) -> bool {
        let (since, before) = self.rest;
        now_ns.saturating_sub(since) > TOO_SHORT_NS && self.is_half_round(before, forks())
    }

    fn is_half_round(&self, before: Option<u64>, now: Option<u64>) -> bool {
        let made = before
            .zip(now)
            .map(|(before, now)| now.saturating_sub(before));
        made.is_none_or(|made| made >= self.max / 2)
    }
}

/// Forks since the boot, threads included.
fn forks() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("processes "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_repeats_after_as_many_forks_as_there_are_numbers_and_not_before() {
        let numbers = Numbers {
            max: 32_768,
            rest: (0, Some(1_000)),
        };
        let repeats = |now| numbers.is_half_round(Some(1_000), now);
        assert!(!repeats(Some(1_000)) && !repeats(Some(17_383)));
        assert!(repeats(Some(17_384)) && repeats(None));
        assert!(numbers.is_half_round(None, Some(1)), "nobody knows");
        assert!(
            !numbers.may_repeat(TOO_SHORT_NS),
            "there was no time for it"
        );
    }

    #[test]
    fn forks_are_counted_by_this_kernel() {
        assert!(forks().is_some_and(|count| count > 0));
    }
}
