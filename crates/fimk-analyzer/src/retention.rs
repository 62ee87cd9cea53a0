//! How long events are kept, by the configuration; and that what went for want of room is said.

use std::time::{Duration, Instant};

use fimk_core::{
    config::Config,
    event::{Action, Event, Notice},
    time::Timestamp,
};
use fimk_store::{CLASSES, Commit, Removed, Retention};

use crate::{
    engine::{Engine, Lost, Trouble},
    severity,
};

const DAY_S: u64 = 86_400;

/// Between two events that tell what went: each tells the sum.
const TOLD_EVERY: Duration = Duration::from_secs(86_400);

/// As the store wants it.
pub fn retention(config: &Config, now: Timestamp) -> Retention {
    let seconds = |days: u32| u64::from(days) * DAY_S;
    let of_rule = config.rules.iter().filter_map(|rule| {
        let days = rule.keep_days?;
        Some((rule.name.clone(), seconds(days)))
    });
    Retention {
        bytes: config.store.keep_bytes,
        now,
        of_class: config.store.keep_days.map(|days| days.map(seconds)),
        of_rule: of_rule.collect(),
    }
}

/// What was said of it.
#[derive(Default)]
pub struct Told {
    before: Removed,
    at: Option<Instant>,
}

impl Told {
    /// What was removed before this start is not said again.
    pub fn new(before: Removed) -> Self {
        Self { before, at: None }
    }

    /// What went for want of room since the last time, by class; none if there is nothing to say, or not yet.
    fn due(&mut self, removed: Removed) -> Option<[u64; 4]> {
        let waits = self.at.is_some_and(|at| at.elapsed() < TOLD_EVERY);
        if waits || removed.by_size == self.before.by_size {
            return None;
        }
        let mut grown = removed.by_size;
        for (now, then) in grown.iter_mut().zip(self.before.by_size) {
            *now = now.saturating_sub(then);
        }
        self.before = removed;
        self.at = Some(Instant::now());
        Some(grown)
    }
}

impl Engine {
    /// Says that events were removed to make room, the first time at once and then once a day.
    pub(crate) fn say_removed(&mut self) -> Result<(), Trouble> {
        let Some(grown) = self.removed_told.due(self.store.removed()) else {
            return Ok(());
        };
        let counts = CLASSES.iter().zip(grown).filter(|(_, count)| *count > 0);
        let counts = counts.map(|(class, count)| (format!("removed_{}", class.name()), count));
        let notice = Notice {
            message: format!(
                "old events were removed, because all may take {} bytes together: raise keep_bytes, or keep less of what is \
                 noise; each kind lost its own oldest",
                self.config.store.keep_bytes
            ),
            counts: counts.collect(),
            ..Notice::default()
        };
        let event = self.notice(Action::EventsRemoved, severity::NOTICE, notice);
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })
    }
}

impl Engine {
    /// Says what outputs lost because it was removed before they took it: the first time at once, then once an hour, and
    /// `at_last`.
    pub(crate) fn say_lost(&mut self, at_last: bool) -> Result<(), Trouble> {
        let events: Vec<Event> = self
            .take_lost(at_last)
            .into_iter()
            .map(|(output, lost)| self.lost_notice(&output, lost))
            .collect();
        if events.is_empty() {
            return Ok(());
        }
        self.commit(Commit {
            events,
            ..Commit::default()
        })
    }

    fn lost_notice(&self, output: &str, lost: Lost) -> Event {
        let Lost { count, first, last } = lost;
        let notice = Notice {
            message: format!(
                "the output \"{output}\" will never get {count} events with numbers from {first} to {last}: they were removed, \
                 by age or to make room, before it took them; see why it takes nothing, or keep more ([store])"
            ),
            counts: [
                ("undelivered", count),
                ("undelivered_first", first),
                ("undelivered_last", last),
            ]
            .map(|(name, number)| (name.to_owned(), number))
            .into(),
            ..Notice::default()
        };
        self.notice(Action::EventsRemoved, severity::DEGRADED, notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_for_want_of_room_is_told_once_and_the_rest_later() {
        let by_size = |low| Removed {
            by_size: [low, 0, 0, 1],
            ..Removed::default()
        };
        let mut told = Told::new(by_size(3));
        assert_eq!(told.due(by_size(3)), None);
        assert_eq!(told.due(by_size(8)), Some([5, 0, 0, 0]));
        assert_eq!(told.due(by_size(9)), None);
        told.at = None;
        assert_eq!(told.due(by_size(10)), Some([2, 0, 0, 0]));
    }
}
