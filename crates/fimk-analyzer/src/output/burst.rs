//! Bursts: what one process, and those that it started, change in great number becomes one line of an output.
//!
//! An event that may be one of many is held back until so many have come under one process, the nearest above all of
//! them, or until its time is over; then it is written as it is. A burst ends when nothing of it came for as long. All
//! events are in the store, whatever becomes of them here.
//!
//! What is held or told of only by a summary still to be written holds the cursor back: whoever dies here, the next
//! process is given it again. Then others that were written meanwhile come twice, and readers know them by their numbers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use fimk_core::{
    config::{self, UNFOLDED},
    event::{Action, Actor, Body, Burst, Change, Event, Process, Source},
    path::BytePath,
    time::Timestamp,
};

/// Events held back, each of a few KiB; when they are as many, others are written at once.
const HELD_MAX: usize = 1_024;
const _: () = assert!(HELD_MAX as u64 > config::BURST_EVENTS_MAX);

/// Bursts at once; there are as many trees as somebody likes to start. What is beyond is written as it is.
const RUNNING_MAX: usize = 64;

/// A burst that goes on is told of as often: the cursor waits for it.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The start of a process is calculated from the clocks each time it is asked for; in this time no pid comes round.
const SAME_START_NS: u64 = 1_000_000_000;

/// Everything, above which nothing is: what different services do is not one burst.
const INIT: u32 = 1;

/// What has become due.
#[derive(Debug, PartialEq)]
pub enum Due {
    /// The stored event of this number is written as it is.
    Stored(u64),
    /// This is written in the place of many.
    Summary(Box<Event>),
}

/// The stage before an output.
pub struct Bursts {
    events: usize,
    within: Duration,
    /// In the order in which they came, which is that of their numbers.
    held: VecDeque<(Instant, Part)>,
    /// How many of `held` are of a process or of those that it started.
    under: HashMap<u32, usize>,
    running: HashMap<u32, Running>,
}

/// What a summary needs of an event.
struct Part {
    sequence: u64,
    severity: u8,
    action: Action,
    source: Option<Source>,
    boot: String,
    actor: Actor,
    change: Told,
}

struct Told {
    path: BytePath,
    rule: String,
    start: Timestamp,
    end: Timestamp,
    count: u64,
    bytes: u64,
}

/// A burst that has not ended.
struct Running {
    began: Instant,
    last: Instant,
    burst: Burst,
    severity: u8,
    source: Option<Source>,
    boot: String,
    actions: BTreeMap<&'static str, u64>,
    rules: BTreeSet<String>,
}

impl Bursts {
    /// As configured.
    pub fn new(config: config::Burst) -> Self {
        Self {
            events: config.events,
            within: Duration::from_millis(config.within_ms),
            held: VecDeque::new(),
            under: HashMap::new(),
            running: HashMap::new(),
        }
    }

    /// Keeps an event back, for a summary or until [`Self::due`] gives it; false if it is to be written now.
    pub fn keeps(&mut self, event: &Event, now: Instant) -> bool {
        let Some(part) = Part::of(event) else {
            return false;
        };
        let running = part.chain().find_map(|it| self.running_of(it));
        if let Some(pid) = running {
            if let Some(running) = self.running.get_mut(&pid) {
                running.fold(part, now);
            }
            return true;
        }
        if self.held.len() >= HELD_MAX {
            return false;
        }
        for process in part.chain() {
            *self.under.entry(process.pid).or_default() += 1;
        }
        let many = |it: &Process| self.under.get(&it.pid) >= Some(&self.events);
        let root = part.chain().position(many);
        let root = root.filter(|_| self.running.len() < RUNNING_MAX);
        let root = root.map(|at| part.actor_at(at));
        self.held.push_back((now + self.within, part));
        if let Some(root) = root {
            self.begin(&root, now);
        }
        true
    }

    /// What is to be written by now; all that is kept, at the end.
    pub fn due(&mut self, now: Instant, all: bool) -> Vec<Due> {
        let mut due = Vec::new();
        let ripe = self.held.partition_point(|(when, _)| all || *when <= now);
        for (_, part) in self.held.drain(..ripe).collect::<Vec<_>>() {
            self.forget(&part);
            due.push(Due::Stored(part.sequence));
        }
        let within = self.within;
        let ended = self
            .running
            .extract_if(|_, it| all || it.due(within) <= now);
        let mut ended: Vec<Running> = ended.map(|(_, running)| running).collect();
        ended.sort_by_key(|running| running.burst.last);
        due.extend(
            ended
                .into_iter()
                .map(|it| Due::Summary(Box::new(it.told()))),
        );
        due
    }

    /// When [`Self::due`] has something to give.
    pub fn next_due(&self) -> Option<Instant> {
        let held = self.held.front().map(|(when, _)| *when);
        let running = self.running.values().map(|it| it.due(self.within));
        held.into_iter().chain(running).min()
    }

    /// The smallest number that was not written, nor a summary with it.
    pub fn oldest(&self) -> Option<u64> {
        let held = self.held.front().map(|(_, part)| part.sequence);
        let running = self.running.values().map(|running| running.burst.first);
        held.into_iter().chain(running).min()
    }

    fn running_of(&self, process: &Process) -> Option<u32> {
        let running = self.running.get(&process.pid)?;
        is_same(&running.burst.root.process, process).then_some(process.pid)
    }

    /// All of what is held that is this process's, or of those that it started.
    fn begin(&mut self, root: &Actor, now: Instant) {
        let process = &root.process;
        let (of_it, others) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(_, part)| part.chain().any(|it| is_same(it, process)));
        self.held = others;
        let of_it: VecDeque<(Instant, Part)> = of_it;
        let mut running: Option<Running> = None;
        for (_, part) in of_it {
            self.forget(&part);
            match &mut running {
                Some(running) => running.fold(part, now),
                None => running = Some(Running::new(root.clone(), part, now)),
            }
        }
        self.running.extend(running.map(|it| (process.pid, it)));
    }

    fn forget(&mut self, part: &Part) {
        for process in part.chain() {
            if let Some(count) = self.under.get_mut(&process.pid) {
                *count -= 1;
                if *count == 0 {
                    self.under.remove(&process.pid);
                }
            }
        }
    }
}

impl Part {
    /// Of a change by somebody known, that may be folded.
    fn of(event: &Event) -> Option<Self> {
        let Body::Change(change) = &event.body else {
            return None;
        };
        let actor = change.actor.clone()?;
        let part = Self {
            sequence: event.sequence,
            severity: event.severity,
            action: event.action,
            source: event.source,
            boot: event.boot.clone(),
            actor,
            change: Told::of(change),
        };
        let foldable = event.severity < UNFOLDED && part.chain().next().is_some();
        foldable.then_some(part)
    }

    /// The process and those above it, as far as they can be the top of a burst.
    fn chain(&self) -> impl Iterator<Item = &Process> {
        std::iter::once(&self.actor.process)
            .chain(&self.actor.ancestors)
            .take_while(|process| process.pid > INIT && !process.kernel)
    }

    /// One of the chain; of those above only what is known of them themselves.
    fn actor_at(&self, at: usize) -> Actor {
        let Some(above) = at.checked_sub(1) else {
            return self.actor.clone();
        };
        let mut ancestors = self.actor.ancestors.iter().skip(above).cloned();
        Actor {
            process: ancestors.next().unwrap_or_default(),
            ancestors: ancestors.collect(),
            ..Actor::default()
        }
    }
}

impl Told {
    fn of(change: &Change) -> Self {
        Self {
            path: change.file.path.clone(),
            rule: change.rule.clone(),
            start: change.start,
            end: change.end,
            count: change.count,
            bytes: change.bytes.unwrap_or(0),
        }
    }
}

impl Running {
    fn new(root: Actor, first: Part, now: Instant) -> Self {
        let told = &first.change;
        let mut running = Self {
            began: now,
            last: now,
            burst: Burst {
                root,
                events: 0,
                first: first.sequence,
                last: first.sequence,
                start: told.start,
                end: told.end,
                count: 0,
                bytes: 0,
                actions: Vec::new(),
                directory: told.path.parent().unwrap_or_else(|| told.path.clone()),
                rules: Vec::new(),
            },
            severity: 0,
            source: None,
            boot: String::new(),
            actions: BTreeMap::new(),
            rules: BTreeSet::new(),
        };
        running.fold(first, now);
        running
    }

    fn fold(&mut self, part: Part, now: Instant) {
        let (burst, told) = (&mut self.burst, part.change);
        self.last = now;
        self.severity = self.severity.max(part.severity);
        (self.source, self.boot) = (part.source, part.boot);
        *self.actions.entry(part.action.name()).or_default() += 1;
        if !self.rules.contains(&told.rule) {
            self.rules.insert(told.rule);
        }
        if burst.root.uid.is_none() && is_same(&burst.root.process, &part.actor.process) {
            burst.root = part.actor;
        }
        burst.events += 1;
        burst.last = burst.last.max(part.sequence);
        burst.start = burst.start.min(told.start);
        burst.end = burst.end.max(told.end);
        burst.count = burst.count.saturating_add(told.count);
        burst.bytes = burst.bytes.saturating_add(told.bytes);
        while !told.path.is_in(&burst.directory)
            && let Some(above) = burst.directory.parent()
        {
            burst.directory = above;
        }
    }

    fn due(&self, within: Duration) -> Instant {
        (self.last + within).min(self.began + TOLD_EVERY)
    }

    fn told(self) -> Event {
        let mut burst = self.burst;
        let actions = self.actions.into_iter();
        burst.actions = actions.map(|(name, it)| (name.to_owned(), it)).collect();
        burst.rules = self.rules.into_iter().collect();
        Event {
            // The last that it stands for: no other line of this output has that number.
            sequence: burst.last,
            created: crate::clock::now(),
            boot: self.boot,
            source: self.source,
            action: Action::Burst,
            severity: self.severity,
            body: Body::Burst(Box::new(burst)),
        }
    }
}

fn is_same(one: &Process, other: &Process) -> bool {
    let apart = |(one, other): (Timestamp, Timestamp)| one.0.abs_diff(other.0);
    one.pid == other.pid
        && one
            .start
            .zip(other.start)
            .is_none_or(|starts| apart(starts) < SAME_START_NS)
}

#[cfg(test)]
mod tests;
