//! Whether a process number can be looked up: it is not that of another namespace, and has not gone round while an event waited.
//!
//! An event has no time of its own, only a number. The kernel gives numbers in turn, so the next who has it comes after as many
//! forks as there are numbers; `/proc/stat` counts forks.

use std::{fs, fs::File, os::unix::fs::FileExt};

use fimk_wire::HOSTS_PIDS;

/// All CPUs together do not fork more often: the numbers and the list of processes are behind one lock each.
const FORK_NS: u64 = 3_000;

/// The default of Linux without systemd; the least there is.
const PID_MAX: u64 = 32_768;

/// More than `/proc/stat` has on hosts of hundreds of CPUs: about 200 bytes for each and a number for each interrupt.
const STAT_BYTES: usize = 256 << 10;

/// Whether events have the numbers that the table of processes has, which are the host's. The kernel gives them as this process
/// would number them.
pub(super) fn are_the_hosts() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace.as_os_str() == HOSTS_PIDS)
}

/// How often numbers were given since the queue was empty.
#[derive(Debug)]
pub(super) struct Numbers {
    max: u64,
    forks: Forks,
    /// When the queue was empty, by the boot clock, and forks until then; none if they cannot be read.
    rest: (u64, Option<u64>),
}

impl Numbers {
    /// From now on.
    pub fn new(now_ns: u64) -> Self {
        let max = fs::read_to_string("/proc/sys/kernel/pid_max");
        let mut forks = Forks::new();
        Self {
            max: max
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(PID_MAX),
            rest: (now_ns, forks.count()),
            forks,
        }
    }

    /// Nothing waited at this moment.
    pub fn at_rest(&mut self, now_ns: u64) {
        if self.is_long_ago(now_ns) {
            self.rest = (now_ns, self.forks.count());
        }
    }

    /// Nothing that waits is older.
    pub fn since(&self) -> u64 {
        self.rest.0
    }

    /// Whether a number may have had two owners since then. As others than we take numbers, half a round is too much.
    pub fn may_repeat(&mut self, now_ns: u64) -> bool {
        let now = self.is_long_ago(now_ns).then(|| self.forks.count());
        now.is_some_and(|now| self.is_half_round(self.rest.1, now))
    }

    /// Whether there was time for all numbers to be given since the queue was empty: else nobody needs to be asked, which
    /// costs more than all else on a host with many CPUs and interrupts.
    fn is_long_ago(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.rest.0) > self.max.saturating_mul(FORK_NS)
    }

    fn is_half_round(&self, before: Option<u64>, now: Option<u64>) -> bool {
        let made = before
            .zip(now)
            .map(|(before, now)| now.saturating_sub(before));
        made.is_none_or(|made| made >= self.max / 2)
    }
}

/// Who counts forks since the boot, threads included: `/proc/stat`, see `proc_stat(5)`. It is kept open, for it is read often.
#[derive(Debug)]
struct Forks {
    stat: Option<File>,
    text: Vec<u8>,
}

impl Forks {
    fn new() -> Self {
        Self {
            stat: File::open("/proc/stat").ok(),
            text: vec![0; 4096],
        }
    }

    fn count(&mut self) -> Option<u64> {
        let stat = self.stat.as_ref()?;
        loop {
            let length = stat.read_at(&mut self.text, 0).ok()?;
            if length < self.text.len() {
                return forks_in(&self.text[..length]);
            }
            if length >= STAT_BYTES {
                return None;
            }
            self.text.resize(length * 2, 0);
        }
    }
}

fn forks_in(stat: &[u8]) -> Option<u64> {
    let line = stat
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"processes "))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;

    #[test]
    fn a_number_repeats_after_as_many_forks_as_there_are_numbers_and_not_before() {
        let mut numbers = Numbers {
            max: 32_768,
            forks: Forks::new(),
            rest: (0, Some(1_000)),
        };
        let repeats = |now| numbers.is_half_round(Some(1_000), now);
        assert!(!repeats(Some(1_000)) && !repeats(Some(17_383)));
        assert!(repeats(Some(17_384)) && repeats(None));
        assert!(numbers.is_half_round(None, Some(1)), "nobody knows");
        assert!(
            !numbers.may_repeat(32_768 * FORK_NS),
            "there was no time for it"
        );
    }

    #[test]
    fn forks_are_counted_by_this_kernel() {
        let mut forks = Forks::new();
        let before = forks.count();
        std::thread::spawn(|| ()).join().expect("it ends");
        assert!(before.is_some() && forks.count() > before);
    }

    #[test]
    fn what_counts_forks_may_be_longer_than_the_first_reading_has_room_for() {
        let mut forks = Forks::new();
        forks.text.truncate(1);
        assert_eq!(forks.count().map(|count| count > 0), Some(true));
    }
}
