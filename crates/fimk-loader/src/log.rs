//! Lines on standard error.

use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

/// Between two lines about the same trouble.
const QUIET: Duration = Duration::from_secs(10);

/// Writes one line. That standard error is gone is no reason to stop watching: unlike `eprintln!`,
/// this never panics.
pub fn line(text: impl fmt::Display) {
    let line = format!("fimk-loader: {text}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Lines about one trouble: others can provoke it again and again.
#[derive(Default)]
pub struct Quietly {
    spoke: Option<Instant>,
    silent: u64,
}

impl Quietly {
    /// How many lines were held back since the last, if one may be written now.
    pub fn may_speak(&mut self, now: Instant) -> Option<u64> {
        if self
            .spoke
            .is_some_and(|spoke| now.duration_since(spoke) < QUIET)
        {
            self.silent += 1;
            return None;
        }
        self.spoke = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_held_back_are_counted() {
        let now = Instant::now();
        let mut quietly = Quietly::default();
        assert_eq!(quietly.may_speak(now), Some(0));
        for _ in 0..5 {
            assert_eq!(quietly.may_speak(now), None);
        }
        assert_eq!(quietly.may_speak(now + QUIET), Some(5));
    }
}
