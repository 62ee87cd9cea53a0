//! How far a comparison of everything has come: for status, and as one line on a terminal.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use fimk_core::time::Timestamp;
use serde_json::{Value, json};

use crate::clock;

/// Between two lines on a terminal.
const REDRAW: Duration = Duration::from_millis(200);

/// Whether the line is on the terminal now.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// What is done with everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing is recorded yet.
    Baseline,
    /// It is held against what is recorded.
    Comparison,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Comparison => "comparison",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Baseline => "recording",
            Self::Comparison => "comparing",
        }
    }
}

/// How far it has come.
#[derive(Debug)]
pub struct Progress {
    kind: Kind,
    done: u64,
    of: u64,
    since: Timestamp,
    /// None where there is no terminal.
    redraw: Option<Instant>,
}

impl Progress {
    /// Of so many objects.
    pub fn new(kind: Kind, of: usize) -> Self {
        Self {
            kind,
            done: 0,
            of: of as u64,
            since: clock::now(),
            redraw: stderr().is_terminal().then(|| Instant::now() + REDRAW),
        }
    }

    /// So many are done; there may be more than was thought.
    pub fn reach(&mut self, done: u64) {
        self.done = done;
        self.of = self.of.max(done);
        if let Some(redraw) = &mut self.redraw
            && Instant::now() >= *redraw
        {
            *redraw = Instant::now() + REDRAW;
            let line = self.line();
            SHOWN.store(true, Ordering::Relaxed);
            // Whoever closed the terminal does not look.
            let _ = write!(stderr(), "\r\x1b[K{line}");
        }
    }

    fn line(&self) -> String {
        let percent = self.done.saturating_mul(100) / self.of.max(1);
        let Self { kind, done, of, .. } = self;
        format!("fimk: {} {done} of {of} objects ({percent} %)", kind.verb())
    }

    /// For status.
    pub fn value(&self) -> Value {
        json!({
            "kind": self.kind.name(),
            "done": self.done,
            "of": self.of,
            "since": self.since.rfc3339(),
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        clear_line();
    }
}

/// Takes the line off the terminal, if it is there: something else is to be written.
pub fn clear_line() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        let _ = write!(stderr(), "\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_numbers_and_words() {
        let mut progress = Progress::new(Kind::Baseline, 400);
        progress.reach(100);
        assert_eq!(progress.line(), "fimk: recording 100 of 400 objects (25 %)");
        let value = progress.value();
        assert_eq!((&value["done"], &value["of"]), (&json!(100), &json!(400)));
        let nothing = Progress::new(Kind::Comparison, 0).line();
        assert_eq!(nothing, "fimk: comparing 0 of 0 objects (0 %)");
    }
}
