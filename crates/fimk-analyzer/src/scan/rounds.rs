//! Rounds: all content is read again at `compare_interval_s`, that of the configuration or of a rule, and held against
//! what is recorded. That finds what leaves no trace at all, such as writes to the block device below a file system.
//!
//! The threads of every comparison read it. Nobody waits for them: between all else the loop gives them work and takes
//! in what they found. A round that the end of fimk cuts short is made by the next start, which reads everything, and
//! goes on where it was if it is itself cut short.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use fimk_core::{
    path::BytePath,
    record::Record,
    rules::{Match, RuleSet},
    time::Timestamp,
};

use super::{
    Kind, Pace, Progress,
    inspect::{Inspected, inspect, text_bytes},
    pool::{Next, Pool},
};
use crate::{
    clock,
    engine::{Engine, Eyes, Trouble},
    exit::Failure,
    read::Reader,
};

/// Of a visit of the loop to a round: longer, and events would wait.
const VISIT: Duration = Duration::from_millis(2);
/// From a visit to the next: the threads have enough to do until then.
const PAUSE: Duration = Duration::from_millis(5);
/// The same after a visit that found nothing to do.
const IDLE: Duration = Duration::from_millis(50);

/// The round that is under way, and when others were.
#[derive(Default)]
pub struct Rounds {
    /// When the last of everything began, or the start was over; none before that.
    compared: Option<Instant>,
    /// The same of rules that have an interval of their own.
    of_rules: BTreeMap<String, Instant>,
    /// One of everything is to begin, whatever the intervals are.
    soon: bool,
    round: Option<Round>,
    /// When there is something to do; none: it is not known.
    due: Option<Instant>,
}

/// A round.
struct Round {
    begun: Timestamp,
    share: Share,
    pool: Pool<(BytePath, Inspected)>,
    /// The last path that was passed; none at the beginning.
    after: Option<BytePath>,
    /// Given to the pool, and to be given again.
    again: VecDeque<BytePath>,
    /// All were passed.
    passed_all: bool,
    passed: u64,
    progress: Progress,
}

/// What is read in a round.
#[derive(Debug, Default, PartialEq, Eq)]
struct Share {
    /// All that has no interval of its own.
    common: bool,
    /// Rules that have one.
    rules: BTreeSet<String>,
}

impl Share {
    fn has(&self, found: &Match<'_>) -> bool {
        match found.rule.compare_interval_s {
            Some(_) => self.rules.contains(&found.rule.name),
            None => self.common,
        }
    }

    fn is_empty(&self) -> bool {
        !self.common && self.rules.is_empty()
    }
}

impl Rounds {
    /// One of everything begins at once, in the place of the one that is under way.
    pub fn begin_anew(&mut self) {
        (self.soon, self.round, self.due) = (true, None, None);
    }

    /// Intervals may have changed.
    pub fn reconsider(&mut self) {
        self.due = None;
    }

    /// When there is something to do.
    pub fn next_due(&self) -> Instant {
        self.due.unwrap_or_else(Instant::now)
    }

    /// How far the one has come that is under way.
    pub fn progress(&self) -> Option<&Progress> {
        self.round.as_ref().map(|round| &round.progress)
    }

    /// What is to be read now; what is new is read after its first interval. Otherwise nothing, and when that ends.
    fn take_share(&mut self, rules: &RuleSet, interval: Duration, now: Instant) -> Share {
        let soon = std::mem::take(&mut self.soon);
        let mut next = now + interval;
        let mut is_due = |last: &mut Instant, interval: Duration| {
            let due = soon || *last + interval <= now;
            if due {
                *last = now;
            }
            next = next.min(*last + interval);
            due
        };
        let common = is_due(self.compared.get_or_insert(now), interval);
        let mut share = Share {
            common,
            ..Share::default()
        };
        let mut of_rules = BTreeMap::new();
        for (name, interval) in rules.intervals() {
            let mut last = self.of_rules.get(name).copied().unwrap_or(now);
            if is_due(&mut last, interval) {
                share.rules.insert(name.to_owned());
            }
            of_rules.insert(name.to_owned(), last);
        }
        self.of_rules = of_rules;
        self.due = Some(next);
        share
    }
}

impl Engine {
    /// Begins a round or visits the one that is under way, if it is time.
    pub(crate) fn compare_content(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        if self.rounds.due.is_some_and(|due| now < due) {
            return Ok(());
        }
        let interval = Duration::from_secs(self.config.compare_interval_s);
        if matches!(self.eyes, Eyes::Periodic) {
            // It reads all content each time it compares.
            self.rounds.due = Some(now + interval);
            return Ok(());
        }
        let round = match self.rounds.round.take() {
            Some(round) => Some(round),
            None => self.begin_round(interval, now)?,
        };
        let Some(mut round) = round else {
            return Ok(());
        };
        let busy = self.visit(&mut round, now)?;
        if round.passed_all && round.pool.is_empty() {
            if round.share.common {
                self.compared = round.begun;
            }
            // Another may be due by now.
            self.rounds.reconsider();
            return Ok(());
        }
        let rest = if busy { PAUSE } else { IDLE };
        self.rounds.due = Some(Instant::now() + rest);
        self.rounds.round = Some(round);
        Ok(())
    }

    fn begin_round(&mut self, interval: Duration, now: Instant) -> Result<Option<Round>, Trouble> {
        let rules = Arc::clone(&self.rules);
        let share = self.rounds.take_share(&rules, interval, now);
        if share.is_empty() {
            return Ok(None);
        }
        let pace = Pace::new(self.config.cpu_quota, self.config.scan_bytes_per_s);
        let about = self.store.records_about().map_err(Failure::from)?;
        let about = usize::try_from(about.unwrap_or(0)).unwrap_or(usize::MAX);
        Ok(Some(Round {
            begun: clock::now(),
            share,
            pool: Pool::new(self.patience.reader().clone(), Arc::new(pace)),
            after: None,
            again: VecDeque::new(),
            passed_all: false,
            passed: 0,
            progress: Progress::new(Kind::Comparison, about),
        }))
    }

    /// Takes in what was read, and has more read; whether there was anything to do.
    fn visit(&mut self, round: &mut Round, began: Instant) -> Result<bool, Trouble> {
        let mut busy = false;
        while began.elapsed() < VISIT && self.look.has_room() {
            match round.pool.next(Duration::ZERO, self.patience.silence()) {
                Next::Answer((path, Inspected::Differs)) => self.differs_late(&path)?,
                Next::Answer(_) => {}
                Next::Hangs(path, returned) => {
                    let _ = self.patience.leave_behind(&path, &self.mounts, returned);
                    self.stalled.add(&path);
                    // What lies beside it must not keep the others too.
                    round.again.extend(round.pool.give_up());
                }
                Next::Failed(path) => {
                    self.patience.say_failed(&path);
                    self.stalled.add(&path);
                }
                Next::Wait => break,
            }
            busy = true;
        }
        while began.elapsed() < VISIT && round.pool.has_room() {
            let Some((path, record)) = self.next_of(round)? else {
                break;
            };
            self.have_read(round, path, record);
            busy = true;
        }
        let open = round.pool.len() + round.again.len();
        round.progress.reach(round.passed - open as u64);
        Ok(busy)
    }

    /// The next record, in the order of the paths; those that were given up come first.
    fn next_of(&mut self, round: &mut Round) -> Result<Option<(BytePath, Record)>, Trouble> {
        while let Some(path) = round.again.pop_front() {
            if let Some(record) = self.store.record(&path).map_err(Failure::from)? {
                return Ok(Some((path, record)));
            }
        }
        if round.passed_all {
            return Ok(None);
        }
        let found = self.store.record_after(round.after.as_ref());
        let found = found.map_err(Failure::from)?;
        match &found {
            Some((path, _)) => {
                round.after = Some(path.clone());
                round.passed += 1;
            }
            None => round.passed_all = true,
        }
        Ok(found)
    }

    /// Gives it to a thread, if this round is about it and nothing will be read of it anyway.
    fn have_read(&mut self, round: &mut Round, path: BytePath, record: Record) {
        let rules = Arc::clone(&self.rules);
        let is_asked_for = rules.covers(&path).is_some_and(|it| round.share.has(&it));
        if !is_asked_for || self.settle.waits(&path) {
            return;
        }
        if self.patience.may_ask(&path).is_err() {
            self.stalled.add(&path);
            return;
        }
        let (held, at) = (text_bytes(&record.snapshot), path.clone());
        let job = move |reader: &Reader| {
            let found = inspect(reader, &at, &rules, Some(record), false);
            ((at, found), 0)
        };
        round.pool.ask(path, held, job);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn rules() -> RuleSet {
        let text = "[[rule]]\nname = \"daily\"\npaths = [\"/a\"]\n\
                    [[rule]]\nname = \"hourly\"\npaths = [\"/b\"]\ncompare_interval_s = 3600\n\
                    [[output]]\ntype = \"stdout\"\n";
        let config = fimk_core::config::parse(text, "test").expect("it is one");
        RuleSet::new(&config).expect("they are rules")
    }

    fn of_rules(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_rule_has_its_time_and_what_has_none_that_of_all() {
        let (rules, begun) = (rules(), Instant::now());
        let mut rounds = Rounds::default();
        assert!(rounds.take_share(&rules, DAY, begun).is_empty());
        assert_eq!(rounds.next_due(), begun + HOUR);
        let hourly = rounds.take_share(&rules, DAY, begun + HOUR);
        assert_eq!(
            (hourly.common, &hourly.rules),
            (false, &of_rules(&["hourly"]))
        );
        let daily = rounds.take_share(&rules, DAY, begun + DAY);
        assert!(daily.common && daily.rules == of_rules(&["hourly"]));
        let covers = |path: &[u8]| {
            let path = BytePath::new(path);
            rules.covers(&path).is_some_and(|it| hourly.has(&it))
        };
        assert!(covers(b"/b") && !covers(b"/a"));
    }

    #[test]
    fn one_that_is_wanted_at_once_is_of_everything_and_counts() {
        let (rules, begun) = (rules(), Instant::now());
        let mut rounds = Rounds::default();
        rounds.take_share(&rules, DAY, begun);
        rounds.begin_anew();
        let all = rounds.take_share(&rules, DAY, begun + HOUR / 2);
        assert!(all.common && all.rules == of_rules(&["hourly"]));
        assert!(rounds.take_share(&rules, DAY, begun + HOUR).is_empty());
    }
}
