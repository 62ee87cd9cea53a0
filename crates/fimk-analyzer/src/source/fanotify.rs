//! The fanotify source: events of a group → signals.
//!
//! Who did it comes from the process probe, and in one order only: the events are read, then the loader is
//! asked who has these pids, and what it answers is used. A process that the probe saw exec before it
//! wrote is then always known by what it ran when it wrote.

mod attempts;
mod brought;
mod events;
mod inside;
mod pids;
mod whole;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
};

use fimk_core::{path::BytePath, time::Timestamp};
use fimk_wire::raw;

use self::brought::Brought;
use self::{
    attempts::{is_attempt_only, marks},
    events::{changed_places, path_of, touch},
    inside::{Here, Views},
    pids::{Numbers, are_the_hosts},
};
use crate::{
    actors::Actors,
    channel::{Channel, ChannelError, no_actor},
    clock,
    fanotify::{FanotifyEvent, Group, MarkError, Marker, MaskFlags, PidState, Within},
    host,
    identity::{ActorKey, Object, device_of},
    mounts::Table,
    signal::{Signal, Touch},
    tree::{Entry, Tree},
    walk::{Found, Walker},
};

/// Events read before anything else gets its turn.
const EVENTS_AT_ONCE: usize = 4_096;

/// Readings whose actors are still asked for. Beyond, events wait in the kernel's queue, which says when it overflows.
const BATCHES_MAX: usize = 16;

/// Events in the kernel's queue, at about 200 bytes each: 50 MiB. Beyond they are read away, and everything is compared;
/// the loader drops us at twice as many.
pub const QUEUE_MAX: u64 = 262_144;

/// Readings of the queue before anything else gets its turn, however much of it is none of ours.
const READINGS_AT_ONCE: usize = 64;

/// While fewer objects than this are marked, files are marked by themselves beside their directories, so that a hard
/// link made later cannot hide a write. Each pins about 1.3 kB in the kernel: 26 MB at most. Beyond, only files that
/// have several names already are marked, and a write through a link made later is found when the directory of the
/// watched name is next touched. (`FAN_MARK_EVICTABLE` pins nothing; but such a mark goes when the kernel lets the inode go, and
/// what is done then is missed, while our own table has to have it all the same.)
const MARKS_FOR_FILES_MAX: usize = 20_000;

/// Events of one reading, until it is known whose they are.
struct Batch {
    events: Vec<FanotifyEvent>,
    /// Boot clock, just after the reading.
    read_ns: u64,
    /// Cookies of the questions that are still out.
    asked: Vec<(u64, u32)>,
    answers: HashMap<u32, Option<ActorKey>>,
    /// [`Fanotify::moves`] when it was read.
    moves: u64,
    /// None of them is older, by the boot clock.
    since_ns: u64,
    /// Since then a number may have had two owners.
    numbers_repeat: bool,
}

/// What came since the last SYNCED.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    None,
    Nobody,
    Is(ActorKey),
}

/// The group, and the questions that are out.
pub struct Fanotify {
    group: Group,
    /// Who marks file systems; none where there is none, or it does not answer.
    marker: Option<Marker>,
    batches: VecDeque<Batch>,
    /// The kernel's queue was empty at the last reading.
    read_all: bool,
    /// How many events of which pid are in `batches`, by each path that they are about.
    awaited: HashMap<BytePath, HashMap<u32, usize>>,
    /// The first ACTOR since the last SYNCED: the process itself, its ancestors follow.
    answer: Answer,
    /// Moves of watched names that were signals so far: the paths of events that were read before are of another time.
    moves: u64,
    numbers: Numbers,
    /// Whether whose number it is can be asked at all.
    in_hosts_numbers: bool,
    /// Until then everything was read and told, and what events say of directories agreed.
    certain_until: Timestamp,
    brought: Brought,
    /// New directories: to be walked.
    pub to_walk: Vec<(BytePath, Touch)>,
}

impl Fanotify {
    /// Over a group that the loader made, and with who marks file systems for it.
    pub fn new(group: Group, marker: Option<Marker>) -> Self {
        Self {
            group,
            marker,
            batches: VecDeque::new(),
            read_all: false,
            awaited: HashMap::new(),
            answer: Answer::None,
            moves: 0,
            numbers: Numbers::new(clock::since_boot_ns()),
            in_hosts_numbers: are_the_hosts(),
            certain_until: clock::now(),
            brought: Brought::default(),
            to_walk: Vec::new(),
        }
    }

    /// Whether nothing is under way of what could tell that events about directories do not agree.
    pub fn is_certain(&self) -> bool {
        self.group.is_certain()
    }

    /// Since when it is not certain where directories were, and which, if that shows: the kernel made one event of several
    /// that were alike. Only once everything was read and told, or `now`.
    pub fn uncertain(&mut self, now: bool) -> Option<(Timestamp, BTreeSet<BytePath>)> {
        let at_rest = self.read_all && self.batches.is_empty() && self.to_walk.is_empty();
        if !at_rest && !now {
            return None;
        }
        let places = self.group.at_rest(now);
        let since = self.certain_until;
        if self.group.is_certain() {
            self.certain_until = clock::now();
        }
        (!places.is_empty()).then_some((since, places))
    }

    /// Marks names and enters them into the tree; gives those that cannot be watched.
    pub fn watch(
        &mut self,
        tree: &mut Tree,
        walker: &Walker,
        found: &[Found],
    ) -> Vec<(BytePath, MarkError)> {
        let mut refused = Vec::new();
        for it in found {
            let meta = look(&it.path);
            // The event that brought it may still come.
            self.brought.went(&it.path, it.directory);
            tree.insert(it.path.clone(), entry(meta.as_ref(), it.directory));
            match self.mark(it, meta.as_ref(), walker) {
                // It went while we walked: its directory is marked and says so.
                Ok(()) | Err(MarkError::Gone | MarkError::NotDirectory) => {}
                Err(error) => refused.push((it.path.clone(), error)),
            }
        }
        refused
    }

    fn mark(
        &mut self,
        found: &Found,
        meta: Option<&fs::Metadata>,
        walker: &Walker,
    ) -> Result<(), MarkError> {
        let meta = meta.ok_or(MarkError::Gone)?;
        if meta.is_dir() {
            let attempts = marks(walker.report_within(&found.path));
            let within = within(found.covered || walker.may_cover_in(&found.path));
            return self.group.mark_directory(&found.path, within, attempts);
        }
        if found.directory {
            return self.mark_behind_link(&found.path, walker);
        }
        // A file can be changed by another name of it, that lies in no marked directory or is yet to be made.
        let wanted = found.covered && meta.is_file();
        if wanted && (meta.nlink() > 1 || self.group.marked() < MARKS_FOR_FILES_MAX) {
            let attempts = marks(walker.report(&found.path));
            self.group.mark_file(&found.path, attempts)?;
        }
        Ok(())
    }

    /// A link that a rule spells out: the directory behind it is watched under the link's name.
    fn mark_behind_link(&mut self, link: &BytePath, walker: &Walker) -> Result<(), MarkError> {
        let target = host::real(link).ok_or(MarkError::Gone)?;
        let attempts = marks(walker.report_within(link));
        let within = within(walker.may_cover_in(link));
        self.group.mark_directory(&target, within, attempts)?;
        self.group.moved(&target, link);
        Ok(())
    }

    /// A name and all below it stand for other objects now.
    pub fn forget(&mut self, tree: &mut Tree, path: &BytePath) {
        tree.remove_below(path);
        self.group.forget(path);
    }

    /// Events in the kernel's queue.
    pub fn queued(&self) -> u64 {
        self.group.queued()
    }

    /// Whether another reading may be made while the loader has not answered for those before.
    pub fn may_read(&self) -> bool {
        self.batches.len() < BATCHES_MAX
    }

    /// Whether the last reading took all that was there.
    pub fn has_read_all(&self) -> bool {
        self.read_all
    }

    /// Whether nothing waits in the queue, and all that was read is signals.
    pub fn has_told_all(&self) -> bool {
        self.read_all && self.batches.is_empty()
    }

    /// Reads what is there and asks the loader whose it is; without one, [`Self::unanswered`] goes on with it. An inner
    /// error means that the group is of no more use.
    pub fn read(
        &mut self,
        channel: Option<&mut Channel>,
        walker: &Walker,
    ) -> Result<io::Result<()>, ChannelError> {
        self.read_all = false;
        let mut events = Vec::new();
        if self.group.queued() > QUEUE_MAX {
            if let Err(error) = self.group.discard_queue() {
                return Ok(Err(error));
            }
            events.push(FanotifyEvent::overflow());
        } else if !self.may_read() {
            return Ok(Ok(()));
        }
        let reaches = |path: &BytePath| walker.reaches(path, true).is_some();
        for _ in 0..READINGS_AT_ONCE {
            if !self.may_read() || events.len() >= EVENTS_AT_ONCE || self.read_all {
                break;
            }
            match self.group.read(&reaches, &mut events) {
                Ok(more) => self.read_all = !more,
                Err(error) => return Ok(Err(error)),
            }
        }
        let ours = std::process::id();
        events.retain(|event| event.pid != ours || !is_attempt_only(event));
        let read_ns = clock::since_boot_ns();
        if events.is_empty() {
            if self.read_all {
                self.numbers.at_rest(read_ns);
            }
            return Ok(Ok(()));
        }
        let since_ns = self.numbers.since();
        let numbers_repeat = self.numbers.may_repeat(read_ns);
        let mut asked: Vec<(u64, u32)> = Vec::new();
        let mut pids: Vec<u32> = events
            .iter()
            .map(|event| event.pid)
            .filter(|&pid| pid != 0 && self.in_hosts_numbers)
            .collect();
        pids.sort_unstable();
        pids.dedup();
        if let Some(channel) = channel {
            for pid in pids {
                let cookie = channel.who(raw::fimk_actor_key { pid, ..no_actor() })?;
                asked.push((cookie, pid));
            }
            if asked.is_empty() {
                asked.push((channel.sync()?, 0));
            }
        }
        for event in &events {
            for path in subjects(event) {
                let pids = self.awaited.entry(path).or_default();
                *pids.entry(event.pid).or_default() += 1;
            }
        }
        self.batches.push_back(Batch {
            events,
            read_ns,
            asked,
            answers: HashMap::new(),
            moves: self.moves,
            since_ns,
            numbers_repeat,
        });
        if self.read_all {
            self.numbers.at_rest(read_ns);
        }
        Ok(Ok(()))
    }

    /// The signals of all readings, without waiting for the loader's answers.
    pub fn unanswered(
        &mut self,
        tree: &mut Tree,
        walker: &Walker,
        actors: &Actors,
        table: &Table,
    ) -> Vec<Signal> {
        let mut signals = Vec::new();
        while let Some(batch) = self.batches.pop_front() {
            signals.extend(self.signals_of(batch, tree, walker, actors, table));
        }
        signals
    }

    /// An ACTOR came: of a chain, the first is the one asked for.
    pub fn answer(&mut self, key: Option<ActorKey>) {
        if self.answer == Answer::None {
            self.answer = key.map_or(Answer::Nobody, Answer::Is);
        }
    }

    /// A question was answered; gives the signals of the readings that are complete.
    pub fn synced(
        &mut self,
        cookie: u64,
        tree: &mut Tree,
        walker: &Walker,
        actors: &Actors,
        table: &Table,
    ) -> Vec<Signal> {
        let answer = match std::mem::replace(&mut self.answer, Answer::None) {
            Answer::Is(key) => Some(key),
            Answer::None | Answer::Nobody => None,
        };
        let Some(batch) = self.batches.front_mut() else {
            return Vec::new();
        };
        let Some(at) = batch.asked.iter().position(|(asked, _)| *asked == cookie) else {
            return Vec::new();
        };
        let (_, pid) = batch.asked.remove(at);
        batch.answers.insert(pid, answer);
        if !batch.asked.is_empty() {
            return Vec::new();
        }
        let Some(batch) = self.batches.pop_front() else {
            return Vec::new();
        };
        self.signals_of(batch, tree, walker, actors, table)
    }

    fn signals_of(
        &mut self,
        mut batch: Batch,
        tree: &mut Tree,
        walker: &Walker,
        actors: &Actors,
        table: &Table,
    ) -> Vec<Signal> {
        let events = std::mem::take(&mut batch.events);
        self.no_longer_awaited(&events);
        let mut signals = Vec::new();
        let moved_itself = MaskFlags::FAN_MOVE_SELF | MaskFlags::FAN_ONDIR;
        let mut events = events
            .into_iter()
            .filter(|event| event.mask & !moved_itself.bits() != 0)
            .peekable();
        while let Some(mut event) = events.next() {
            if events
                .next_if(|next| changed_places(&event, next))
                .is_some()
            {
                let touch = touch(&event, culprit(&event, &batch, actors));
                signals.extend(self.exchanged(&event, tree, walker, &touch));
                continue;
            }
            if self.moves != batch.moves {
                self.group.refresh(&mut event);
            }
            signals.extend(self.signals(&event, &batch, tree, walker, actors));
        }
        let here = Here {
            tree,
            walker,
            actors,
            table,
        };
        Views::default().name(&mut signals, &here);
        signals
    }

    fn no_longer_awaited(&mut self, events: &[FanotifyEvent]) {
        for event in events {
            for path in subjects(event) {
                let Some(pids) = self.awaited.get_mut(&path) else {
                    continue;
                };
                match pids.get_mut(&event.pid) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => drop(pids.remove(&event.pid)),
                }
                if pids.is_empty() {
                    self.awaited.remove(&path);
                }
            }
        }
    }

    /// Whether events about a path were read that are of another process than these, and are not signals yet.
    pub fn awaits_another(&self, path: &BytePath, known: &[u32]) -> bool {
        let by_an_old_name = self.batches.iter().any(|batch| batch.moves != self.moves);
        by_an_old_name
            || self
                .awaited
                .get(path)
                .is_some_and(|pids| pids.keys().any(|pid| !known.contains(pid)))
    }
}

impl AsFd for Fanotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

fn within(of_interest: bool) -> Within {
    if of_interest {
        Within::Everything
    } else {
        Within::Names
    }
}

/// What stands under a name at this moment.
fn look(path: &BytePath) -> Option<fs::Metadata> {
    host::look(path).ok()
}

/// What is entered of it. Of regular files the object is kept, to know them among those that
/// somebody holds.
fn entry(meta: Option<&fs::Metadata>, directory: bool) -> Entry {
    let file = meta.filter(|meta| !directory && meta.is_file());
    Entry {
        object: file.map(|meta| Object {
            inode: meta.ino(),
            device: device_of(meta.dev()),
            generation: 0,
        }),
        directory,
    }
}

/// The paths that an event is about: the name used, and the object's own if that is another.
///
/// None of an attempt: it can have changed nothing.
fn subjects(event: &FanotifyEvent) -> impl Iterator<Item = BytePath> + use<> {
    let path = path_of(event).filter(|_| !is_attempt_only(event));
    let object = event
        .object
        .clone()
        .filter(|it| path.is_some() && Some(it) != path.as_ref());
    path.into_iter().chain(object)
}

/// Who had the pid when the event was queued, if that is certain; else there is only the number.
fn culprit(event: &FanotifyEvent, batch: &Batch, actors: &Actors) -> Option<ActorKey> {
    let pid_only = (event.pid != 0).then_some(ActorKey {
        pid: event.pid,
        image: 0,
        start_ns: 0,
    });
    let Some(key) = batch.answers.get(&event.pid).copied().flatten() else {
        return pid_only;
    };
    let ended = actors.get(key).is_some_and(|known| known.exit_ns.is_some());
    if is_certain(key.start_ns, ended, event.pidfd, batch) {
        Some(key)
    } else {
        pid_only
    }
}

/// Whether no other can have had the number: not one before this process, that began after the reading, or while numbers went
/// round; and not one that was reaped, while this one lives.
fn is_certain(start_ns: u64, ended: bool, state: Option<PidState>, batch: &Batch) -> bool {
    let had_it_all_the_time =
        start_ns <= batch.since_ns || state == Some(PidState::AliveOrZombie) && !ended;
    start_ns <= batch.read_ns
        && (state != Some(PidState::Reaped) || ended)
        && (had_it_all_the_time || !batch.numbers_repeat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_must_have_had_the_number_is_named() {
        let batch = |numbers_repeat| Batch {
            events: Vec::new(),
            read_ns: 200,
            asked: Vec::new(),
            answers: HashMap::new(),
            moves: 0,
            since_ns: 100,
            numbers_repeat,
        };
        let (alive, reaped) = (Some(PidState::AliveOrZombie), Some(PidState::Reaped));
        let cases = [
            // It began before the first of these events, whatever happened since.
            (50, true, reaped, true, true),
            (50, false, None, true, true),
            // It began after the reading.
            (201, false, None, false, false),
            // The number's owner was reaped, and this one lives.
            (50, false, reaped, false, false),
            // It began meanwhile and has ended, as many do: that is certain unless numbers went round.
            (150, true, reaped, false, true),
            (150, true, reaped, true, false),
            (150, true, None, true, false),
            (150, false, alive, true, true),
        ];
        for (at, (start_ns, ended, state, repeat, certain)) in cases.into_iter().enumerate() {
            let batch = batch(repeat);
            assert_eq!(is_certain(start_ns, ended, state, &batch), certain, "{at}");
        }
    }
}
