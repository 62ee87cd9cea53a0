//! Settling: hints about a path wait here until it is time to read it.
//!
//! The first hint on a quiet path is due at once; later ones within the window are coalesced and end in one
//! trailing reading. A new name waits for a moment, because who makes a file mostly writes it too.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use fimk_core::{path::BytePath, record::Record};

use crate::signal::{Fact, Touch};

/// How long a new name waits for its first content.
const NEWBORN: Duration = Duration::from_millis(20);

/// Touches kept of one path before those of the same actor must be made one.
const TOUCHES_MAX: usize = 64;

/// Paths whose last reading is remembered to tell quiet from busy; beyond, all count as quiet.
const RECENT_MAX: usize = 65_536;

/// What is known about a path since it was last read.
#[derive(Debug, Default)]
pub struct Pending {
    /// Rises with every path that begins to wait.
    pub id: u64,
    /// In order of arrival.
    pub touches: Vec<Touch>,
    /// What the last fact said about the name: it stands (true), it is gone (false).
    pub present: Option<bool>,
    /// The record to compare with, when it is not the one stored under this path.
    pub base: Option<Record>,
    /// Paths whose records go when this is committed: what stands here now stood there.
    pub former: Vec<BytePath>,
    /// How it was found, when not by an event.
    pub found: Option<Found>,
}

/// How something was found that no event named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// By comparing, because the source lost something.
    Scan,
    /// By the slow re-read of what is mapped writable.
    Late,
}

impl Pending {
    /// Takes in a touch; touches of the same actor that say nothing about the name become one.
    pub fn add(&mut self, touch: Touch) {
        if let Some(fact) = &touch.fact {
            self.present = Some(!matches!(fact, Fact::Deleted | Fact::MovedOut(_)));
        }
        let mergeable = touch.fact.is_none() || self.touches.len() >= TOUCHES_MAX;
        match self
            .touches
            .iter_mut()
            .rfind(|it| it.actor == touch.actor && it.uid == touch.uid)
        {
            Some(known) if mergeable => known.absorb(touch),
            _ => self.touches.push(touch),
        }
    }
}

/// All paths that wait.
pub struct Settle {
    window: Duration,
    waiting: HashMap<BytePath, (Instant, Pending)>,
    recent: HashMap<BytePath, Instant>,
    order: VecDeque<(Instant, BytePath)>,
    next_id: u64,
}

impl Settle {
    /// With this window between two readings of a busy path.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            waiting: HashMap::new(),
            recent: HashMap::new(),
            order: VecDeque::new(),
            next_id: 1,
        }
    }

    /// The pending of a path, made if there is none.
    pub fn entry(&mut self, path: &BytePath, newborn: bool) -> &mut Pending {
        let now = Instant::now();
        let quiet_from = self
            .recent
            .get(path)
            .map_or(now, |read| *read + self.window);
        let due = quiet_from.max(if newborn { now + NEWBORN } else { now });
        let next_id = &mut self.next_id;
        let (_, pending) = self.waiting.entry(path.clone()).or_insert_with(|| {
            let pending = Pending {
                id: *next_id,
                ..Pending::default()
            };
            *next_id += 1;
            (due, pending)
        });
        pending
    }

    /// Takes a path out of waiting, due or not.
    pub fn take(&mut self, path: &BytePath) -> Option<Pending> {
        self.waiting.remove(path).map(|(_, pending)| pending)
    }

    /// Puts a path (back) into waiting, due at once.
    pub fn put(&mut self, path: BytePath, pending: Pending) {
        self.waiting.insert(path, (Instant::now(), pending));
    }

    /// Whether anything waits about a path.
    pub fn waits(&self, path: &BytePath) -> bool {
        self.waiting.contains_key(path)
    }

    /// What a path waited for has come.
    pub fn hasten(&mut self, path: &BytePath) {
        if let Some((when, _)) = self.waiting.get_mut(path) {
            *when = Instant::now();
        }
    }

    /// Puts a path back, to be asked for again after a while.
    pub fn defer(&mut self, path: BytePath, pending: Pending, by: Duration) {
        self.waiting.insert(path, (Instant::now() + by, pending));
    }

    /// A number for a pending that is made outside.
    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// All that is due, oldest first.
    pub fn due(&mut self) -> Vec<(BytePath, Pending)> {
        let now = Instant::now();
        let mut due: Vec<BytePath> = self
            .waiting
            .iter()
            .filter(|(_, (when, _))| *when <= now)
            .map(|(path, _)| path.clone())
            .collect();
        due.sort_by_key(|path| self.waiting.get(path).map(|(_, pending)| pending.id));
        due.into_iter()
            .filter_map(|path| self.take(&path).map(|pending| (path, pending)))
            .collect()
    }

    /// Everything, due or not: the end has come.
    pub fn drain(&mut self) -> Vec<(BytePath, Pending)> {
        let mut all: Vec<_> = self
            .waiting
            .drain()
            .map(|(path, (_, pending))| (path, pending))
            .collect();
        all.sort_by_key(|(_, pending)| pending.id);
        all
    }

    /// A path was read just now.
    pub fn mark_read(&mut self, path: &BytePath) {
        let now = Instant::now();
        while self
            .order
            .front()
            .is_some_and(|(read, _)| now - *read > self.window)
            || self.order.len() > RECENT_MAX
        {
            let Some((read, path)) = self.order.pop_front() else {
                break;
            };
            if self.recent.get(&path) == Some(&read) {
                self.recent.remove(&path);
            }
        }
        self.recent.insert(path.clone(), now);
        self.order.push_back((now, path.clone()));
    }

    /// When the next path is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.values().map(|(when, _)| *when).min()
    }

    /// The smallest number of those that wait.
    pub fn oldest_id(&self) -> Option<u64> {
        self.waiting.values().map(|(_, pending)| pending.id).min()
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
