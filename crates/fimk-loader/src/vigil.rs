//! Whether the analyzer is heard of. It asks for something every few seconds, if only for a SYNCED.

use std::time::{Duration, Instant};

/// How long an analyzer may be silent before it is dropped, where nothing else is asked for: a host that is starved
/// of memory or CPU, or an administrator who stops a process for a minute, must not look like a fault.
pub const STUCK_AFTER: Duration = Duration::from_secs(120);
/// What may be asked for: at least some signs of life.
pub const STUCK_AFTER_SECONDS: std::ops::RangeInclusive<u64> = 20..=86_400;
/// After this part of it, it is said.
const SAID_AT: u32 = 2;

/// What is new about it.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing has been heard for so long.
    Silent(Duration),
    /// It is heard again, after so long.
    Back(Duration),
    /// It has been silent for too long.
    Stuck(Duration),
}

/// When the analyzer was last heard.
pub struct Vigil {
    stuck_after: Duration,
    heard: Instant,
    requests: u64,
    said: bool,
}

impl Vigil {
    /// Begins with an analyzer that was heard just now, when so many requests had been served.
    pub fn new(stuck_after: Duration, requests: u64, now: Instant) -> Self {
        Self {
            stuck_after,
            heard: now,
            requests,
            said: false,
        }
    }

    /// Looks whether more requests were served.
    pub fn look(&mut self, requests: u64, now: Instant) -> Option<News> {
        let silent = now.saturating_duration_since(self.heard);
        if requests != self.requests {
            (self.heard, self.requests) = (now, requests);
            return std::mem::take(&mut self.said).then_some(News::Back(silent));
        }
        if silent >= self.stuck_after {
            return Some(News::Stuck(silent));
        }
        let say = !self.said && silent >= self.stuck_after / SAID_AT;
        self.said |= say;
        say.then_some(News::Silent(silent))
    }

    /// When to look, if nothing comes.
    pub fn next_due(&self) -> Instant {
        let patience = if self.said {
            self.stuck_after
        } else {
            self.stuck_after / SAID_AT
        };
        self.heard + patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_said_once_and_ends_with_a_request_or_as_stuck() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let seconds = Duration::from_secs;
        let mut vigil = Vigil::new(seconds(120), 7, start);
        assert_eq!(vigil.look(7, at(59)), None);
        assert_eq!(vigil.next_due(), at(60));
        assert_eq!(vigil.look(7, at(60)), Some(News::Silent(seconds(60))));
        assert_eq!((vigil.look(7, at(61)), vigil.next_due()), (None, at(120)));
        assert_eq!(vigil.look(8, at(90)), Some(News::Back(seconds(90))));
        assert_eq!(vigil.look(9, at(91)), None);
        assert_eq!(vigil.look(9, at(151)), Some(News::Silent(seconds(60))));
        assert_eq!(vigil.look(9, at(211)), Some(News::Stuck(seconds(120))));
    }
}
