//! Paths that were read a moment ago, and how long each waits for its next reading: the longer it stays busy, the longer.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use super::Times;

/// Operations between two readings that make a path hot: the next reading then comes after twice the time.
pub const HOT: u64 = 64;

/// Readings in a row, however little was done between them, after which a path is hot too: as many as somebody makes
/// who edits a file and tries it. A log gets a line ten times a second, for hours.
pub const QUICK: u32 = 16;

/// Paths whose last reading is remembered to tell quiet from busy; beyond, all count as quiet.
const RECENT_MAX: usize = 65_536;

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    /// How long after it the next one waits.
    window: Duration,
    /// How many there were without a pause.
    in_a_row: u32,
}

/// The last reading of each path that was read lately.
#[derive(Debug, Default)]
pub struct Busy {
    last: HashMap<BytePath, Reading>,
    order: VecDeque<(Instant, BytePath)>,
}

impl Busy {
    /// From when on a path may be read again; none if it is quiet.
    pub fn until(&self, path: &BytePath) -> Option<Instant> {
        self.last.get(path).map(|last| last.at + last.window)
    }

    /// A path is read, for so many operations.
    pub fn mark_read(&mut self, path: &BytePath, count: u64, times: Times, now: Instant) {
        let pause = times.longest.max(times.window);
        self.forget_before(now, 2 * pause);
        let before = self.last.get(path);
        let before = before.filter(|last| now < last.at + last.window + pause);
        let in_a_row = before.map_or(1, |last| last.in_a_row.saturating_add(1));
        let hot = before.filter(|_| count >= HOT || in_a_row > QUICK);
        let window = hot.map_or(times.window, |last| {
            (last.window * 2).min(times.longest).max(times.window)
        });
        let reading = Reading {
            at: now,
            window,
            in_a_row,
        };
        self.last.insert(path.clone(), reading);
        self.order.push_back((now, path.clone()));
    }

    /// A path that was just marked as read is not to be read again for so long at least.
    pub fn rest(&mut self, path: &BytePath, rest: Duration) {
        if let Some(last) = self.last.get_mut(path) {
            last.window = rest.max(last.window);
        }
    }

    fn forget_before(&mut self, now: Instant, age: Duration) {
        let is_old = |(at, _): &(Instant, BytePath)| now.duration_since(*at) > age;
        while self.order.front().is_some_and(is_old) || self.order.len() > RECENT_MAX {
            let Some((at, path)) = self.order.pop_front() else {
                break;
            };
            if self.last.get(&path).is_some_and(|last| last.at == at) {
                self.last.remove(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        window: Duration::from_secs(10),
        longest: Duration::from_secs(40),
        newborn: Duration::ZERO,
    };

    fn path() -> BytePath {
        BytePath::new(b"/a")
    }

    /// The windows after readings at these seconds, each for so many operations.
    fn windows(readings: impl IntoIterator<Item = (u64, u64)>) -> Vec<u64> {
        let (mut busy, begun) = (Busy::default(), Instant::now());
        let window = |(second, count)| {
            let now = begun + Duration::from_secs(second);
            busy.mark_read(&path(), count, TIMES, now);
            busy.last[&path()].window.as_secs()
        };
        readings.into_iter().map(window).collect()
    }

    #[test]
    fn a_file_that_stays_hot_is_read_less_and_less_often_up_to_a_limit() {
        let counts = [1, HOT, HOT, HOT, HOT, 1, HOT];
        assert_eq!(
            windows(counts.map(|count| (0, count))),
            [10, 20, 40, 40, 40, 10, 20]
        );
    }

    #[test]
    fn a_file_that_changes_a_little_all_the_time_becomes_hot_and_a_pause_makes_it_quiet() {
        let quick = u64::from(QUICK);
        let all_the_time = (0..quick + 4).map(|second| (second, 1));
        let windows = windows(all_the_time.chain([(quick + 3 + 79, 1), (quick + 3 + 79 + 81, 1)]));
        let (few, many) = windows.split_at(QUICK as usize);
        assert!(few.iter().all(|&window| window == 10));
        assert_eq!(many, [20, 40, 40, 40, 40, 10]);
    }

    #[test]
    fn what_was_read_long_ago_is_forgotten() {
        let (mut busy, begun) = (Busy::default(), Instant::now());
        busy.mark_read(&path(), 1, TIMES, begun);
        assert_eq!(busy.until(&path()), Some(begun + TIMES.window));
        let other = BytePath::new(b"/b");
        busy.mark_read(&other, 1, TIMES, begun + 3 * TIMES.longest);
        assert_eq!((busy.until(&path()), busy.order.len()), (None, 1));
    }
}
