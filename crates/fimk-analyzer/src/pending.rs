//! Settling: hints about a path wait here until it is time to read it.
//!
//! The first hint on a quiet path is due at once; later ones within the window are coalesced and end in one
//! trailing reading. A new name waits for a moment, because who makes a file mostly writes it too.

mod busy;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    time::{Duration, Instant},
};

use fimk_core::{config::Config, path::BytePath, record::Record};
use fimk_wire::raw;

use crate::signal::{Fact, Operations, Touch};

use busy::Busy;

/// Touches kept of one path before those of the same actor must be made one.
const TOUCHES_MAX: usize = 64;

/// Processes told of that touched one path between two readings, as many as the kernel tells apart: each is an event.
/// What more of them do is counted as that of the others, without a process.
const PROCESSES_MAX: usize = raw::FIMK_PROCESSES_MAX as usize;

/// Touches kept of one path in all. Beyond the limit above these are facts about the name, which are told whoever made
/// them, up to this.
const PATH_TOUCHES_MAX: usize = 512;

/// What is known about a path since it was last read.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each says of itself what has happened; they go together in every way"
)]
#[derive(Debug, Default)]
pub struct Pending {
    /// Rises with every path that begins to wait.
    pub id: u64,
    /// In order of arrival.
    pub touches: Vec<Touch>,
    /// What the last fact said about the name: it stands (true), it is gone (false).
    pub present: Option<bool>,
    /// What stands there by now, if anything, is not what waits: that is gone.
    pub over: bool,
    /// The last fact about the name is of events that the kernel made one: it may be of any time since the first of them.
    pub timeless: bool,
    /// The record to compare with, when it is not the one stored under this path.
    pub base: Option<Record>,
    /// Paths whose records go when this is committed: what stands here now stood there.
    pub former: Vec<BytePath>,
    /// How it was found, when not by an event.
    pub found: Option<Found>,
    /// It was found by looking, and no record of the kernel has said since who did it.
    pub sighted: bool,
    /// What those did who were near when it was found by looking; nobody knows that it was them.
    pub guesses: Vec<Touch>,
    /// A mapping of it ended: what was stored last may show in no time, so the content is read.
    pub unmapped: bool,
    /// What differs was put off once, because nothing that waited here could have caused it.
    pub unexplained: bool,
    /// It differs and was found late: who holds it has been asked.
    pub asked: bool,
    /// How often it was put off since, because records of others are on their way.
    pub put_off: u8,
    /// It is put off for what others did, and examined as soon as that comes.
    pub waits_for_others: bool,
}

/// How something was found that no event named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// By comparing, because the source lost something.
    Scan,
    /// By the slow re-read of what somebody holds.
    Late,
}

impl Pending {
    /// Takes out what was done to something that had this name and has lost it: that is told under this name, wherever what
    /// stands here now goes.
    pub fn split_former(&mut self) -> Option<Self> {
        let touches: Vec<Touch> = self
            .touches
            .extract_if(.., |it| it.is_of_former())
            .collect();
        (!touches.is_empty()).then(|| Self {
            id: self.id,
            touches,
            present: Some(false),
            ..Self::default()
        })
    }

    /// What was done to the object itself: that goes along when it is given another name.
    pub fn of_object(&self) -> impl Iterator<Item = Touch> {
        let answerable = Operations::CONTENT.with(Operations::ATTRIBUTES);
        let done = self.touches.iter();
        done.filter(move |it| it.operations.meets(answerable) && !it.is_of_former())
            .map(|it| Touch {
                operations: it.operations.without(Operations::NAMES),
                fact: None,
                ..it.clone()
            })
    }

    /// Whether something is to be told of this name, whatever stands there now.
    pub fn tells_of_name(&self) -> bool {
        let tells =
            |it: &Touch| it.is_of_former() || it.fact.as_ref().is_some_and(Fact::tells_of_name);
        self.touches.iter().any(tells)
    }

    /// Whether there is no reason to examine anything.
    pub fn is_nothing(&self) -> bool {
        self.touches.is_empty()
            && self.guesses.is_empty()
            && self.former.is_empty()
            && self.found.is_none()
            && self.base.is_none()
            && !self.unmapped
    }

    /// Takes in a touch; touches of the same actor that say nothing about the name become one.
    pub fn add(&mut self, mut touch: Touch) {
        if self.is_crowded(&touch) {
            (touch.actor, touch.uid, touch.accessed) = (None, None, None);
        }
        if let Some(fact) = touch.fact.as_ref().filter(|it| it.tells_of_name()) {
            self.present = Some(!matches!(fact, Fact::Deleted | Fact::MovedOut(_)));
            self.timeless = self.is_of_one_event(&touch);
        }
        let mergeable = touch.fact.is_none() || self.touches.len() >= TOUCHES_MAX;
        match self.touches.iter_mut().rfind(|it| {
            it.actor == touch.actor
                && it.uid == touch.uid
                && it.is_of_former() == touch.is_of_former()
        }) {
            Some(known) if mergeable => {
                let fact = touch.fact.clone().filter(|_| known.fact.is_none());
                known.absorb(touch);
                known.fact = known.fact.take().or(fact);
            }
            _ => self.touches.push(touch),
        }
    }

    /// Whether it tells of a name as the touch before does, of which the source made two.
    fn is_of_one_event(&self, touch: &Touch) -> bool {
        let before = self.touches.last();
        before.is_some_and(|it| {
            let tells = it.fact.as_ref().is_some_and(Fact::tells_of_name);
            tells && (it.last, it.actor) == (touch.last, touch.actor)
        })
    }

    /// Whether there is no room for one more process.
    fn is_crowded(&self, touch: &Touch) -> bool {
        if touch.actor.is_none() || self.touches.iter().any(|it| it.actor == touch.actor) {
            return false;
        }
        let merely_touched = |it: &&Touch| it.fact.is_none() && it.actor.is_some();
        self.touches.len() >= PATH_TOUCHES_MAX
            || touch.fact.is_none()
                && self.touches.iter().filter(merely_touched).count() >= PROCESSES_MAX
    }

    /// A record of the kernel says who did what was found by looking: it was on its way.
    pub fn explain(&mut self) {
        if self.sighted {
            self.sighted = false;
            self.found = None;
            self.guesses.clear();
        }
    }

    /// The same with those who were near among those who did it, as long as nothing says who it was.
    pub fn with_guesses(&self) -> Option<Self> {
        if self.guesses.is_empty() {
            return None;
        }
        let mut seen = Self {
            touches: Vec::new(),
            guesses: Vec::new(),
            base: self.base.clone(),
            former: self.former.clone(),
            ..*self
        };
        let all = self.guesses.iter().chain(&self.touches);
        all.for_each(|it| seen.add(it.clone()));
        seen.present = self.present;
        Some(seen)
    }

    /// Operations that were counted.
    pub fn count(&self) -> u64 {
        let counts = self.touches.iter().map(|touch| touch.count);
        counts.fold(0, u64::saturating_add)
    }

    /// One story of what waited and of what came while it was looked at.
    fn followed_by(mut self, later: Self) -> Self {
        let Self {
            id,
            touches,
            present,
            over: _,
            timeless,
            base,
            former,
            found,
            sighted,
            guesses,
            unmapped,
            unexplained: _,
            asked,
            put_off: _,
            waits_for_others: _,
        } = later;
        self.id = self.id.min(id);
        // Who was near when it was found later had no part in what is known of somebody.
        if self.touches.is_empty() {
            self.sighted |= sighted;
            self.guesses.extend(guesses);
        }
        for touch in touches {
            self.add(touch);
        }
        if present.is_some() {
            (self.present, self.timeless) = (present, timeless);
        }
        self.base = self.base.or(base);
        self.former.extend(former);
        self.found = self.found.or(found);
        self.unmapped |= unmapped;
        self.asked |= asked;
        self
    }
}

/// How long is waited for what.
#[derive(Clone, Copy)]
pub struct Times {
    /// Between two readings of a busy path.
    pub window: Duration,
    /// The same at most, of a path that stays hot.
    pub longest: Duration,
    /// For the first content of a new name.
    pub newborn: Duration,
}

impl Times {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self {
            window: Duration::from_millis(config.settle_ms),
            longest: Duration::from_millis(config.settle_max_ms),
            newborn: Duration::from_millis(config.settle_new_ms),
        }
    }
}

/// All paths that wait, in the orders in which they are looked for: by path, by time, by number.
pub struct Settle {
    times: Times,
    waiting: BTreeMap<BytePath, (Instant, Pending)>,
    by_time: BTreeSet<(Instant, BytePath)>,
    by_id: BTreeSet<(u64, BytePath)>,
    /// Where what stood under a name waits: of thousands that moved, each is looked for. Only [`Self::put`] and its like bring any.
    left: BTreeMap<BytePath, BTreeSet<BytePath>>,
    busy: Busy,
    next_id: u64,
}

impl Settle {
    /// Empty.
    pub fn new(times: Times) -> Self {
        Self {
            times,
            waiting: BTreeMap::new(),
            by_time: BTreeSet::new(),
            by_id: BTreeSet::new(),
            left: BTreeMap::new(),
            busy: Busy::default(),
            next_id: 1,
        }
    }

    /// What comes from now on waits for so long.
    pub fn wait_for(&mut self, times: Times) {
        self.times = times;
    }

    /// Those that wait.
    pub fn paths(&self) -> Vec<BytePath> {
        self.waiting.keys().cloned().collect()
    }

    /// The pending of a path, made if there is none. Its number stays as it is.
    pub fn entry(&mut self, path: &BytePath, newborn: bool) -> &mut Pending {
        let now = Instant::now();
        let quiet_from = self.busy.until(path).unwrap_or(now);
        let due = quiet_from.max(if newborn {
            now + self.times.newborn
        } else {
            now
        });
        let Self {
            waiting,
            by_time,
            by_id,
            next_id,
            ..
        } = self;
        let (_, pending) = waiting.entry(path.clone()).or_insert_with(|| {
            let pending = Pending {
                id: *next_id,
                ..Pending::default()
            };
            by_time.insert((due, path.clone()));
            by_id.insert((*next_id, path.clone()));
            *next_id += 1;
            (due, pending)
        });
        pending
    }

    /// Takes a path out of waiting, due or not.
    pub fn take(&mut self, path: &BytePath) -> Option<Pending> {
        let (when, pending) = self.waiting.remove(path)?;
        self.by_time.remove(&(when, path.clone()));
        self.by_id.remove(&(pending.id, path.clone()));
        for former in &pending.former {
            if let Some(places) = self.left.get_mut(former) {
                places.remove(path);
                if places.is_empty() {
                    self.left.remove(former);
                }
            }
        }
        Some(pending)
    }

    /// Puts a path (back) into waiting, due at once.
    pub fn put(&mut self, path: BytePath, pending: Pending) {
        self.insert(path, pending, Instant::now());
    }

    /// Puts a path back, to be asked for again after a while.
    pub fn defer(&mut self, path: BytePath, pending: Pending, by: Duration) {
        self.insert(path, pending, Instant::now() + by);
    }

    fn insert(&mut self, path: BytePath, pending: Pending, when: Instant) {
        let pending = match self.take(&path) {
            Some(later) => pending.followed_by(later),
            None => pending,
        };
        self.by_time.insert((when, path.clone()));
        self.by_id.insert((pending.id, path.clone()));
        for former in &pending.former {
            let places = self.left.entry(former.clone()).or_default();
            places.insert(path.clone());
        }
        self.waiting.insert(path, (when, pending));
    }

    /// What waits about this path is the rest of a story of which the beginning, a name that came or went, may
    /// have been told to an analyzer that is gone: what a comparison shows is then to be said.
    pub fn found_by_comparing(&mut self, path: &BytePath) {
        if let Some((_, pending)) = self.waiting.get_mut(path)
            && pending.touches.iter().all(|touch| touch.fact.is_none())
        {
            pending.found.get_or_insert(Found::Scan);
        }
    }

    /// Something stands there, although the last that waits says that it went: it is read, and not taken for gone.
    pub fn seen(&mut self, path: &BytePath) {
        if let Some((_, pending)) = self.waiting.get_mut(path) {
            pending.present.take_if(|present| !*present);
        }
    }

    /// Whether anything waits about a path.
    pub fn waits(&self, path: &BytePath) -> bool {
        self.waiting.contains_key(path)
    }

    /// Where what stood under this path waits, and what was on record of it as far as that is known.
    pub fn all_that_left(
        &self,
        path: &BytePath,
    ) -> impl Iterator<Item = (&BytePath, Option<&Record>)> {
        let places = self.left.get(path).into_iter().flatten();
        let waiting = places.filter_map(|at| self.waiting.get_key_value(at));
        waiting.map(|(at, (_, pending))| (at, pending.base.as_ref()))
    }

    /// Those names below this one of which the records wait under other names.
    pub fn left_below(&self, path: &BytePath) -> HashSet<BytePath> {
        let from = path.join(b"");
        let below = self
            .left
            .range((Bound::Excluded(&from), Bound::Unbounded))
            .map(|(former, _)| former);
        let below = below.take_while(|it| it.bytes().starts_with(from.bytes()));
        below.cloned().collect()
    }

    /// Whether the last that waits about a path says that nothing stands there.
    pub fn is_gone(&self, path: &BytePath) -> bool {
        let waiting = self.waiting.get(path);
        waiting.is_some_and(|(_, pending)| pending.present == Some(false))
    }

    /// The same, and it was so by then.
    pub fn is_long_gone(&self, path: &BytePath) -> bool {
        let waiting = self.waiting.get(path);
        self.is_gone(path) && waiting.is_some_and(|(_, pending)| !pending.timeless)
    }

    /// The paths below this one that wait.
    pub fn below(&self, path: &BytePath) -> Vec<BytePath> {
        let from = path.join(b"");
        self.waiting
            .range((Bound::Excluded(&from), Bound::Unbounded))
            .map(|(path, _)| path)
            .take_while(|path| path.bytes().starts_with(from.bytes()))
            .cloned()
            .collect()
    }

    /// What a path waited for has come.
    pub fn hasten(&mut self, path: &BytePath) {
        if let Some((when, _)) = self.waiting.get_mut(path) {
            let before = std::mem::replace(when, Instant::now());
            let now = *when;
            self.by_time.remove(&(before, path.clone()));
            self.by_time.insert((now, path.clone()));
        }
    }

    /// A number for a pending that is made outside.
    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// The next that is due by then.
    pub fn pop_due(&mut self, by: Instant) -> Option<(BytePath, Pending)> {
        self.next_due().filter(|when| *when <= by)?;
        self.pop()
    }

    /// The next, due or not.
    pub fn pop(&mut self) -> Option<(BytePath, Pending)> {
        let (_, path) = self.by_time.first()?;
        let path = path.clone();
        self.take(&path).map(|pending| (path, pending))
    }

    /// A path was read just now, for so many operations.
    pub fn mark_read(&mut self, path: &BytePath, count: u64) {
        self.busy.mark_read(path, count, self.times, Instant::now());
    }

    /// A path that was just marked as read is not to be read again for so long at least.
    pub fn rest(&mut self, path: &BytePath, rest: Duration) {
        self.busy.rest(path, rest);
    }

    /// When the next path is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.by_time.first().map(|(when, _)| *when)
    }

    /// The smallest number of those that wait.
    pub fn oldest_id(&self) -> Option<u64> {
        self.by_id.first().map(|(id, _)| *id)
    }

    /// The number the next path to wait will have.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests;
