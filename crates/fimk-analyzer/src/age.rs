//! The time against which the ages of events are held: a clock that is set forward must not make them all old.

use fimk_core::time::Timestamp;

/// How much faster than time it goes until it has caught up with the clock: a host that runs an hour a day keeps up,
/// and a clock that is a year ahead makes nothing older than it is by more than a day in an hour.
const CATCH_UP: u64 = 24;

/// Never ahead of the wall clock, and never jumping forward with it.
pub struct Age {
    at: Timestamp,
    /// On the boot clock, in nanoseconds.
    measured: u64,
}

impl Age {
    /// Goes on where it stood at the end of the last run, if there was one.
    pub fn new(kept: Option<Timestamp>, wall: Timestamp, boot_ns: u64) -> Self {
        Self {
            at: kept.map_or(wall, |kept| kept.min(wall)),
            measured: boot_ns,
        }
    }

    /// What it shows now; to be kept for the next run.
    pub fn now(&mut self, wall: Timestamp, boot_ns: u64) -> Timestamp {
        let passed = boot_ns.saturating_sub(self.measured);
        let most = i64::try_from(passed.saturating_mul(CATCH_UP)).unwrap_or(i64::MAX);
        self.at = Timestamp(self.at.0.saturating_add(most)).min(wall);
        self.measured = boot_ns;
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn hours(hours: i64) -> Timestamp {
        Timestamp(hours * HOUR)
    }

    fn passed(hours: i64) -> u64 {
        u64::try_from(hours * HOUR).unwrap_or(0)
    }

    #[test]
    fn it_goes_with_a_clock_that_nobody_sets() {
        let mut age = Age::new(None, hours(100), passed(5));
        assert_eq!(age.now(hours(100), passed(5)), hours(100));
        assert_eq!(age.now(hours(101), passed(6)), hours(101));
    }

    #[test]
    fn a_clock_set_forward_by_years_makes_nothing_old_at_once_and_set_back_it_is_followed() {
        let mut age = Age::new(None, hours(0), 0);
        assert_eq!(age.now(hours(100_001), passed(1)), hours(24));
        assert_eq!(age.now(hours(2), passed(2)), hours(2));
    }

    #[test]
    fn a_start_with_a_wrong_clock_makes_nothing_old() {
        let mut age = Age::new(Some(hours(50)), hours(100_000), passed(7));
        assert_eq!(age.now(hours(100_000), passed(7)), hours(50));
        let mut age = Age::new(Some(hours(100_000)), hours(50), passed(7));
        assert_eq!(age.now(hours(50), passed(7)), hours(50));
    }

    #[test]
    fn a_host_that_was_off_for_a_day_catches_up_in_an_hour() {
        let mut age = Age::new(Some(hours(50)), hours(74), 0);
        assert_eq!(age.now(hours(75), passed(1)), hours(74));
        assert_eq!(age.now(hours(76), passed(2)), hours(76));
    }

    #[test]
    fn no_clock_makes_it_overflow() {
        let mut age = Age::new(Some(Timestamp(i64::MAX)), Timestamp(i64::MAX), 0);
        assert_eq!(age.now(Timestamp(i64::MAX), u64::MAX), Timestamp(i64::MAX));
        assert_eq!(age.now(Timestamp(i64::MIN), 0), Timestamp(i64::MIN));
    }
}
