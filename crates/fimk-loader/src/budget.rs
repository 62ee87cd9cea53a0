//! How many requests are served: an analyzer that was taken over must not keep a root process busy for nothing.

use std::time::Instant;

/// Requests a second, in the long run. The fastest analyzer that was measured needs a quarter: two for each change.
const A_SECOND: u64 = 100_000;
/// Requests at once after a rest: to take all objects that can be watched off the watch, and all that a walk over
/// as many asks besides.
const AT_ONCE: u64 = 2 * fimk_wire::raw::FIMK_OBJECTS_MAX as u64;

/// A bucket of tokens, one for each request. What it has none for waits in the socket, and with it who asks.
pub struct Budget {
    tokens: u64,
    filled: Instant,
    /// How often a request had to wait.
    put_off: u64,
}

impl Budget {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self {
            tokens: AT_ONCE,
            filled: now,
            put_off: 0,
        }
    }

    /// Whether another request may be served now; it is counted as served then.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.tokens == 0 {
            self.fill(now);
        }
        let may = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        self.put_off += u64::from(!may);
        may
    }

    /// How often it said no.
    pub fn put_off(&self) -> u64 {
        self.put_off
    }

    /// To be called now and then: what is not used is kept, up to a limit.
    pub fn fill(&mut self, now: Instant) {
        let waited = now.saturating_duration_since(self.filled);
        let tokens = u64::try_from(waited.as_micros())
            .unwrap_or(u64::MAX)
            .saturating_mul(A_SECOND)
            / 1_000_000;
        if tokens > 0 {
            self.tokens = self.tokens.saturating_add(tokens).min(AT_ONCE);
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_walk_over_all_objects_fits_and_an_endless_stream_is_slowed_down() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let served = (0..3 * AT_ONCE).filter(|_| budget.take(start)).count();
        assert_eq!(u64::try_from(served), Ok(AT_ONCE));
        assert_eq!(budget.put_off(), 2 * AT_ONCE);
        let later = start + Duration::from_millis(10);
        let more = (0..A_SECOND).filter(|_| budget.take(later)).count();
        assert_eq!(u64::try_from(more), Ok(A_SECOND / 100));
    }

    #[test]
    fn what_is_saved_has_a_limit() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        budget.fill(start + Duration::from_secs(1 << 40));
        assert_eq!(budget.tokens, AT_ONCE);
    }
}
