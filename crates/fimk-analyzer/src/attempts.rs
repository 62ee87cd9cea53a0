//! Attempts: what was denied, opened or executed. They wait here for the end of their window, so that one process is
//! one event, and are reported as they are: nothing is read or compared for them.

mod report;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use fimk_core::{
    config::{KINDS, Kind, Report},
    path::BytePath,
};
use fimk_wire::raw;

use crate::{identity::ActorKey, signal::Attempted};

/// Attempts that wait; beyond, the window ends for all. As many as may be taken and not done.
const WAITING_MAX: usize = 8_192;

/// Between two looks whether the loader has said who it was.
const ANSWERED_WITHIN: Duration = Duration::from_millis(10);

/// What makes one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    path: BytePath,
    kind: Kind,
    error: Option<u32>,
    actor: Option<ActorKey>,
}

/// All that wait: by what they are, and by their numbers, which rise with time.
pub struct Attempts {
    window: Duration,
    numbers: HashMap<Key, u64>,
    waiting: BTreeMap<u64, (Instant, BytePath, Attempted)>,
}

impl Attempts {
    /// With this window.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            numbers: HashMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// What comes from now on is gathered for so long.
    pub fn gather_for(&mut self, window: Duration) {
        self.window = window;
    }

    /// Takes in an attempt; `new_id` numbers those that are not of one that waits.
    pub fn add(&mut self, path: BytePath, attempted: Attempted, new_id: impl FnOnce() -> u64) {
        let key = key(&path, &attempted);
        if let Some((_, _, known)) = self
            .numbers
            .get(&key)
            .and_then(|id| self.waiting.get_mut(id))
        {
            known.touch.absorb(attempted.touch);
            return;
        }
        let id = new_id();
        self.numbers.insert(key, id);
        self.waiting
            .insert(id, (Instant::now() + self.window, path, attempted));
    }

    /// The oldest, if its window has ended.
    fn next(&mut self, all: bool) -> Option<(u64, BytePath, Attempted)> {
        let full = self.waiting.len() > WAITING_MAX;
        let oldest = self.waiting.first_entry()?;
        if !all && !full && oldest.get().0 > Instant::now() {
            return None;
        }
        let (id, (_, path, attempted)) = oldest.remove_entry();
        self.numbers.remove(&key(&path, &attempted));
        Some((id, path, attempted))
    }

    /// Puts one back whose actor is not known yet.
    fn put_back(&mut self, id: u64, path: BytePath, attempted: Attempted) {
        self.numbers.insert(key(&path, &attempted), id);
        let when = Instant::now() + ANSWERED_WITHIN;
        self.waiting.insert(id, (when, path, attempted));
    }

    /// The number of the oldest.
    pub fn oldest_id(&self) -> Option<u64> {
        self.waiting.keys().next().copied()
    }

    /// When the oldest is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.values().next().map(|(when, _, _)| *when)
    }
}

fn key(path: &BytePath, attempted: &Attempted) -> Key {
    Key {
        path: path.clone(),
        kind: attempted.kind,
        error: attempted.error,
        actor: attempted.touch.actor,
    }
}

const FLAGS: [u32; KINDS.len()] = [
    raw::FIMK_WATCH_DENIED,
    raw::FIMK_WATCH_OPENED,
    raw::FIMK_WATCH_EXECUTED,
];

/// As the wire has them: `FIMK_WATCH_*`.
pub fn flags(report: Report) -> u32 {
    let asked = KINDS.into_iter().zip(FLAGS);
    asked
        .filter(|&(kind, _)| report.has(kind))
        .fold(0, |flags, (_, flag)| flags | flag)
}

/// What kind of attempt an entry with this key is; none: a change.
pub fn kind_of(actor: raw::fimk_actor_key) -> Option<Kind> {
    match fimk_wire::kind_of(actor) {
        raw::FIMK_KIND_DENIED => Some(Kind::Denied),
        raw::FIMK_KIND_OPENED => Some(Kind::Opened),
        raw::FIMK_KIND_EXECUTED => Some(Kind::Executed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{Operations, Touch};
    use fimk_core::{attribution::Attribution, time::Timestamp};

    fn attempted(pid: u32, kind: Kind, error: Option<u32>) -> Attempted {
        let actor = Some(ActorKey {
            pid,
            image: 0,
            start_ns: 1,
        });
        Attempted {
            kind,
            error,
            or_else: None,
            touch: Touch {
                actor,
                uid: Some(0),
                by: Attribution::PROGRAM,
                operations: Operations::of(&[raw::FIMK_OP_OPEN_READ]),
                first: Timestamp(1),
                last: Timestamp(1),
                count: 1,
                bytes: 0,
                accessed: None,
                fact: None,
            },
        }
    }

    #[test]
    fn one_process_is_one_event_and_each_errno_and_kind_another() {
        let mut attempts = Attempts::new(Duration::ZERO);
        let mut id = 0;
        let path = BytePath::new(b"/f");
        for one in [
            attempted(1, Kind::Opened, None),
            attempted(1, Kind::Opened, None),
            attempted(2, Kind::Opened, None),
            attempted(1, Kind::Denied, Some(13)),
            attempted(1, Kind::Denied, Some(30)),
            attempted(1, Kind::Denied, Some(13)),
        ] {
            attempts.add(path.clone(), one, || {
                id += 1;
                id
            });
        }
        let mut told = Vec::new();
        assert_eq!(attempts.oldest_id(), Some(1));
        while let Some((id, _, one)) = attempts.next(true) {
            told.push((id, one.touch.count));
        }
        assert_eq!(told, [(1, 2), (2, 1), (3, 2), (4, 1)]);
        assert_eq!((attempts.oldest_id(), attempts.next_due()), (None, None));
    }

    #[test]
    fn nothing_is_told_before_its_window_ends_unless_too_much_waits() {
        let mut attempts = Attempts::new(Duration::from_secs(60));
        for id in 0..=WAITING_MAX as u64 {
            let pid = u32::try_from(id).unwrap_or(0) + 1;
            attempts.add(
                BytePath::new(b"/f"),
                attempted(pid, Kind::Opened, None),
                || id,
            );
        }
        assert!(attempts.next(false).is_some());
        assert!(attempts.next(false).is_none());
    }

    #[test]
    fn the_words_of_the_configuration_are_the_bits_of_the_wire() {
        for (kind, number) in KINDS.into_iter().zip([
            raw::FIMK_KIND_DENIED,
            raw::FIMK_KIND_OPENED,
            raw::FIMK_KIND_EXECUTED,
        ]) {
            let flag = raw::FIMK_WATCH_DENIED << (number - raw::FIMK_KIND_DENIED);
            assert_eq!(flags(Report::default().with(kind)), flag);
            let actor = raw::fimk_actor_key {
                pid: 7 | number << raw::FIMK_KIND_SHIFT,
                image: 0,
                start_ns: 0,
            };
            assert_eq!(kind_of(actor), Some(kind));
        }
        assert_eq!(flags(Report::default()), 0);
    }
}
