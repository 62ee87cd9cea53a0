//! Events that an output never gets, and that they are said: each time the sum.

use std::time::{Duration, Instant};

use fimk_core::render::harmless;

/// Between two events that tell of one output: each takes room that others lose, and may be refused itself.
const TOLD_EVERY: Duration = Duration::from_secs(3_600);

/// Of what another process says: a sentence for a person.
const SENTENCE_CHARACTERS_MAX: usize = 500;

/// Events that an output has still to get and never will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// The smallest number among them,
    pub first: u64,
    /// and the largest.
    pub last: u64,
}

/// See the module.
#[derive(Default)]
pub struct Missed {
    total: u64,
    untold: Option<Lost>,
    told: Option<Instant>,
}

impl Missed {
    /// One more, of this number.
    pub fn note(&mut self, sequence: u64) {
        self.total += 1;
        let lost = self.untold.get_or_insert(Lost {
            count: 0,
            first: sequence,
            last: sequence,
        });
        lost.count += 1;
        lost.first = lost.first.min(sequence);
        lost.last = lost.last.max(sequence);
    }

    /// How many since the start.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What was not said; it is said now. Not `at_last`: only if that was not done a short while ago.
    pub fn take(&mut self, at_last: bool) -> Option<Lost> {
        let lately = |at: Instant| at.elapsed() < TOLD_EVERY;
        if !at_last && self.told.is_some_and(lately) {
            return None;
        }
        let lost = self.untold.take()?;
        self.told = Some(Instant::now());
        Some(lost)
    }
}

/// What another process says, as it may be shown.
pub fn sentence_of_another(text: &str) -> String {
    let beginning: String = text.chars().take(SENTENCE_CHARACTERS_MAX).collect();
    harmless(&beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_told_at_once_and_what_comes_soon_after_in_the_end() {
        let mut missed = Missed::default();
        assert_eq!(missed.take(true), None);
        for sequence in [7, 3, 5] {
            missed.note(sequence);
        }
        let lost = |count, first, last| Some(Lost { count, first, last });
        assert_eq!(missed.take(false), lost(3, 3, 7));
        missed.note(9);
        assert_eq!(missed.take(false), None);
        assert_eq!((missed.take(true), missed.total()), (lost(1, 9, 9), 4));
    }
}
