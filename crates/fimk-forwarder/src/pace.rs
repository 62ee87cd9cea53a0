//! When to try again, and when to say that it failed again.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::{Duration, Instant},
};

use crate::exit::log;

/// After the first failure, and each time twice as long up to the other.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);

/// The same trouble is said again after so long.
const SAID_AGAIN: Duration = Duration::from_secs(300);

/// How long to wait after failures.
#[derive(Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure: between a half and the whole of what its number says, by chance, so that the
    /// hosts that a receiver lost together do not all come back together.
    pub fn next(&mut self) -> Duration {
        let whole = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = whole / 2;
        let chance = RandomState::new().build_hasher().finish() % 1_024;
        half + half.mul_f64(f64::from(u32::try_from(chance).unwrap_or(0)) / 1_024.0)
    }

    /// It went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// What is said of one receiver: the first time, when it changes, and now and then.
pub struct News {
    who: String,
    said: Option<(String, Instant)>,
    unsaid: u64,
}

impl News {
    /// Of this one.
    pub fn of(who: String) -> Self {
        Self {
            who,
            said: None,
            unsaid: 0,
        }
    }

    /// Something failed.
    pub fn bad(&mut self, why: &str) {
        let fresh = |(said, at): &(String, Instant)| said == why && at.elapsed() < SAID_AGAIN;
        if self.said.as_ref().is_some_and(fresh) {
            self.unsaid += 1;
            return;
        }
        let more = match std::mem::take(&mut self.unsaid) {
            0 => String::new(),
            count => format!(" (and {count} failures before, that were not said)"),
        };
        log(format!("{}: {why}{more}", self.who));
        self.said = Some((why.to_owned(), Instant::now()));
    }

    /// It went well.
    pub fn good(&mut self) {
        if self.said.take().is_some() {
            log(format!("{}: takes events again", self.who));
            self.unsaid = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_never_quite_the_same() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        let late = &pauses[20..];
        assert!(late.iter().all(|pause| *pause >= LONGEST / 2));
        assert!(late.iter().any(|pause| *pause != late[0]));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
