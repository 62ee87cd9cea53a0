//! The fanotify source: events of a group → signals.
//!
//! Who did it comes from the process probe, and in one order only: the events are read, then the loader is
//! asked who has these pids, and what it answers is used. A process that the probe saw exec before it
//! wrote is then always known by what it ran when it wrote.

mod attempts;

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
};

use fimk_core::path::BytePath;
use fimk_wire::raw;

use self::attempts::{attempt, is_attempt_only, marks};
use crate::{
    actors::Actors,
    channel::{Channel, ChannelError, no_actor},
    clock,
    fanotify::{FanotifyEvent, Group, MarkError, MaskFlags, PidState},
    identity::{ActorKey, Object, device_of},
    signal::{ATTRIBUTE, Fact, Operations, Signal, Touch},
    tree::{Entry, Tree},
    walk::{Found, Walker, is_whiteout},
};

/// Events read before anything else gets its turn.
const EVENTS_AT_ONCE: usize = 4_096;

/// Readings whose actors are still asked for. Beyond, events wait in the kernel's queue, which says when it overflows.
const BATCHES_MAX: usize = 16;

/// Events in the kernel's queue, at about 200 bytes each: 50 MiB. Beyond they are read away, and everything is compared;
/// the loader drops us at twice as many.
pub const QUEUE_MAX: u64 = 262_144;

/// While fewer objects than this are marked, files are marked by themselves beside their directories, so that a hard
/// link made later cannot hide a write. Each pins about 1.3 kB in the kernel: 26 MB at most. Beyond, only files that
/// have several names already are marked, and a write through a link made later is found when the directory of the
/// watched name is next touched.
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
    batches: VecDeque<Batch>,
    /// The kernel's queue was empty at the last reading.
    read_all: bool,
    /// How many events of which pid are in `batches`, by each path that they are about.
    awaited: HashMap<BytePath, HashMap<u32, usize>>,
    /// The first ACTOR since the last SYNCED: the process itself, its ancestors follow.
    answer: Answer,
    /// Moves of watched names that were signals so far: the paths of events that were read before are of another time.
    moves: u64,
    /// New directories: to be walked.
    pub to_walk: Vec<(BytePath, Touch)>,
}

impl Fanotify {
    /// Over a group that the loader made.
    pub fn new(group: Group) -> Self {
        Self {
            group,
            batches: VecDeque::new(),
            read_all: false,
            awaited: HashMap::new(),
            answer: Answer::None,
            moves: 0,
            to_walk: Vec::new(),
        }
    }

    /// Marks names and enters them into the tree; gives a sentence for each that cannot be watched.
    pub fn watch(&mut self, tree: &mut Tree, walker: &Walker, found: &[Found]) -> Vec<String> {
        let mut refused = Vec::new();
        for it in found {
            tree.insert(it.path.clone(), entry(&it.path, it.directory));
            match self.mark(it, walker) {
                // It went while we walked: its directory is marked and says so.
                Ok(()) | Err(MarkError::Gone | MarkError::NotDirectory) => {}
                Err(error) => refused.push(format!("{} is not watched: {error}", it.path)),
            }
        }
        refused
    }

    fn mark(&mut self, found: &Found, walker: &Walker) -> Result<(), MarkError> {
        let Ok(meta) = fs::symlink_metadata(found.path.as_path()) else {
            return Err(MarkError::Gone);
        };
        if meta.is_dir() {
            let attempts = marks(walker.report_within(&found.path));
            return self.group.mark_directory(&found.path, attempts);
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
        let Ok(target) = fs::canonicalize(link.as_path()) else {
            return Err(MarkError::Gone);
        };
        let target = BytePath::new(target.as_os_str().as_bytes());
        let attempts = marks(walker.report_within(link));
        self.group.mark_directory(&target, attempts)?;
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

    /// Reads what is there and asks the loader whose it is; without one, [`Self::unanswered`] goes on with it. An inner
    /// error means that the group is of no more use.
    pub fn read(&mut self, channel: Option<&mut Channel>) -> Result<io::Result<()>, ChannelError> {
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
        while self.may_read() && events.len() < EVENTS_AT_ONCE && !self.read_all {
            match self.group.read(&mut events) {
                Ok(more) => self.read_all = !more,
                Err(error) => return Ok(Err(error)),
            }
        }
        let ours = std::process::id();
        events.retain(|event| event.pid != ours || !is_attempt_only(event));
        if events.is_empty() {
            return Ok(Ok(()));
        }
        let read_ns = clock::since_boot_ns();
        let mut asked: Vec<(u64, u32)> = Vec::new();
        let mut pids: Vec<u32> = events
            .iter()
            .map(|event| event.pid)
            .filter(|&pid| pid != 0)
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
        });
        Ok(Ok(()))
    }

    /// The signals of all readings, without waiting for the loader's answers.
    pub fn unanswered(&mut self, tree: &mut Tree, walker: &Walker, actors: &Actors) -> Vec<Signal> {
        let mut signals = Vec::new();
        while let Some(batch) = self.batches.pop_front() {
            signals.extend(self.signals_of(batch, tree, walker, actors));
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
        self.signals_of(batch, tree, walker, actors)
    }

    fn signals_of(
        &mut self,
        mut batch: Batch,
        tree: &mut Tree,
        walker: &Walker,
        actors: &Actors,
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
                let touch = touch(culprit(&event, &batch, actors));
                signals.extend(self.exchanged(&event, tree, walker, &touch));
                continue;
            }
            if self.moves != batch.moves {
                self.group.refresh(&mut event);
            }
            signals.extend(self.signals(&event, &batch, tree, walker, actors));
        }
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

    fn signals(
        &mut self,
        event: &FanotifyEvent,
        batch: &Batch,
        tree: &mut Tree,
        walker: &Walker,
        actors: &Actors,
    ) -> Vec<Signal> {
        if event.overflow {
            return vec![Signal::Overflowed];
        }
        let touch = touch(culprit(event, batch, actors));
        let mask = MaskFlags::from_bits_retain(event.mask);
        if mask.intersects(MaskFlags::FAN_RENAME) {
            return self.renamed(event, tree, walker, touch);
        }
        let Some(path) = path_of(event) else {
            let lost = event
                .unknown
                .then(|| Signal::Lost("an event named an unknown directory".to_owned()));
            return lost.into_iter().collect();
        };
        let mut signals = Vec::new();
        let is_directory = mask.intersects(MaskFlags::FAN_ONDIR);
        for fact in facts(mask, &path) {
            // Of the time before a walk that found another directory there.
            let is_over = is_directory && fact == Fact::Deleted && self.group.is_over(event, &path);
            if !is_over {
                self.keep_tree(&path, &fact, mask, tree, walker, &touch);
            }
            let operations = Operations::of(&[operation(&fact)]);
            signals.push(Signal::Touched(
                path.clone(),
                Touch {
                    operations,
                    fact: Some(fact),
                    ..touch.clone()
                },
            ));
        }
        let known = event.object.as_ref();
        signals.extend(attempt(
            mask,
            event.pid,
            known.unwrap_or(&path),
            &touch,
            actors,
        ));
        let operations = operations(mask);
        if operations.is_empty() {
            return signals;
        }
        let touch = Touch {
            operations,
            ..touch
        };
        // Another name was used than those the object is known by: all are touched.
        let others = event.object.iter().chain(&event.aliases);
        for watched in others.filter(|watched| **watched != path) {
            let accessed = event.directory.is_some().then(|| path.clone());
            signals.push(Signal::Touched(
                watched.clone(),
                Touch {
                    accessed,
                    ..touch.clone()
                },
            ));
        }
        signals.push(Signal::Touched(path, touch));
        signals
    }

    fn keep_tree(
        &mut self,
        path: &BytePath,
        fact: &Fact,
        mask: MaskFlags,
        tree: &mut Tree,
        walker: &Walker,
        touch: &Touch,
    ) {
        let directory = mask.intersects(MaskFlags::FAN_ONDIR);
        if matches!(fact, Fact::Deleted | Fact::MovedOut(_)) {
            tree.remove_below(path);
            if directory {
                self.group.forget(path);
            } else {
                self.group.lost_name(path);
            }
        } else if let Some(found) = walker.reaches(path, directory) {
            tree.insert(path.clone(), entry(path, directory));
            if directory || matches!(fact, Fact::Linked(_)) {
                // Whoever made a directory need not have made what was in it before it could be marked.
                let made = *fact == Fact::Created;
                let touch = if made { nobodys(touch) } else { touch.clone() };
                self.to_walk.push((found.path, touch));
            } else {
                // If it cannot be marked, its directory is, and that sees all but writes through other names.
                let _ = self.mark(&found, walker);
            }
        }
    }

    fn renamed(
        &mut self,
        event: &FanotifyEvent,
        tree: &mut Tree,
        walker: &Walker,
        touch: Touch,
    ) -> Vec<Signal> {
        let directory = MaskFlags::from_bits_retain(event.mask).intersects(MaskFlags::FAN_ONDIR);
        let (old, new) = sides(event);
        if let Some(old) = &old
            && directory
            && self.group.is_over(event, old)
        {
            let new_reached = new
                .as_ref()
                .filter(|path| walker.reaches(path, true).is_some());
            self.moves += u64::from(self.group.follow(event, new_reached));
            return self.moved_before(old, new.as_ref(), tree, walker, &touch);
        }
        let reaches = |path: &BytePath| walker.reaches(path, directory).is_some();
        let new_reached = new.clone().filter(&reaches);
        let replaced = new_reached
            .as_ref()
            .is_some_and(|path| tree.get(path).is_some());
        let known = old.as_ref().is_some_and(|path| tree.get(path).is_some());
        if let Some(path) = &new_reached {
            tree.remove_below(path);
        }
        match (&old, &new_reached) {
            (Some(old), Some(new)) if known => {
                tree.rename(old, new);
                self.group.moved(old, new);
                self.moves += 1;
            }
            (Some(old), None) => {
                tree.remove_below(old);
                self.group.forget(old);
            }
            _ => {}
        }
        if directory {
            self.moves += u64::from(self.group.follow(event, new_reached.as_ref()));
        }
        if let Some(path) = &new_reached {
            tree.insert(path.clone(), entry(path, directory));
            if directory {
                self.to_walk.push((path.clone(), touch.clone()));
            } else if let Some(found) = walker.reaches(path, directory) {
                // Where it was made it may have been gone before it could be marked.
                let _ = self.mark(&found, walker);
            }
        }
        let touch = Touch {
            operations: Operations::of(&[raw::FIMK_OP_RENAME]),
            ..touch
        };
        let left = old
            .clone()
            .filter(is_whiteout)
            .and_then(|old| walker.reaches(&old, false));
        let mut signals = vec![Signal::Moved {
            old,
            new,
            replaced,
            directory,
            touch: touch.clone(),
        }];
        signals.extend(left.map(|left| self.came(tree, left.path, false, touch, Fact::Created)));
        signals
    }

    /// A directory moved before it was found elsewhere by a walk, or another where it was: what stands at both names now
    /// stays, and is compared; what came to the new one may not be watched there yet.
    fn moved_before(
        &mut self,
        old: &BytePath,
        new: Option<&BytePath>,
        tree: &Tree,
        walker: &Walker,
        touch: &Touch,
    ) -> Vec<Signal> {
        let touch = Touch {
            operations: Operations::of(&[raw::FIMK_OP_RENAME]),
            ..touch.clone()
        };
        let mut signals = Vec::new();
        for path in [Some(old), new].into_iter().flatten() {
            if walker.reaches(path, true).is_none() {
                continue;
            }
            let came = Some(path) == new;
            if came || tree.get(path).is_some() {
                self.to_walk.push((path.clone(), nobodys(&touch)));
            }
            let fact = came.then(|| Fact::Renamed(Some(old.clone())));
            let touch = Touch {
                fact,
                ..touch.clone()
            };
            signals.push(Signal::Touched(path.clone(), touch));
        }
        signals
    }

    /// Two names changed places: for each, another object stands there now.
    fn exchanged(
        &mut self,
        event: &FanotifyEvent,
        tree: &mut Tree,
        walker: &Walker,
        touch: &Touch,
    ) -> Vec<Signal> {
        let (old, new) = sides(event);
        let mut signals = Vec::new();
        for (path, other) in [(&old, &new), (&new, &old)] {
            let Some(found) = path.as_ref().and_then(|path| walker.reaches(path, true)) else {
                continue;
            };
            let touch = Touch {
                operations: Operations::of(&[raw::FIMK_OP_EXCHANGE]),
                ..touch.clone()
            };
            let directory = found.path.as_path().is_dir();
            tree.remove_below(&found.path);
            self.group.forget(&found.path);
            let fact = Fact::Replaced(other.clone());
            signals.push(self.came(tree, found.path, directory, touch, fact));
        }
        signals
    }

    /// Something stands under this name now. It is watched, and what is below it looked at.
    fn came(
        &mut self,
        tree: &mut Tree,
        path: BytePath,
        directory: bool,
        touch: Touch,
        fact: Fact,
    ) -> Signal {
        let entry = Entry {
            object: None,
            directory,
        };
        tree.insert(path.clone(), entry);
        self.to_walk.push((path.clone(), touch.clone()));
        let fact = Some(fact);
        Signal::Touched(path, Touch { fact, ..touch })
    }
}

impl AsFd for Fanotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

/// What stands under a name at this moment. Of regular files the object is kept, to know them among those that
/// somebody holds.
fn entry(path: &BytePath, directory: bool) -> Entry {
    let meta = fs::symlink_metadata(path.as_path()).ok();
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

fn path_of(event: &FanotifyEvent) -> Option<BytePath> {
    match &event.directory {
        Some(directory) if event.name.is_empty() => Some(directory.clone()),
        Some(directory) => Some(directory.join(&event.name)),
        None => event.object.clone(),
    }
}

/// The names of a rename, before and after, where they lie in marked directories. (The object's own is the one before.)
fn sides(event: &FanotifyEvent) -> (Option<BytePath>, Option<BytePath>) {
    let old = event.old.as_ref().map(|(above, name)| above.join(name));
    let new = event.directory.as_ref().map(|it| it.join(&event.name));
    (old, new)
}

/// Whether two renames, one right after the other, are one exchange: the kernel tells of each direction. What came and
/// went again by two calls looks the same where the kernel does not tell the object, but leaves nothing.
fn changed_places(one: &FanotifyEvent, two: &FanotifyEvent) -> bool {
    let is_rename =
        |it: &FanotifyEvent| MaskFlags::from_bits_retain(it.mask).intersects(MaskFlags::FAN_RENAME);
    let ((from, to), (back_from, back_to)) = (sides(one), sides(two));
    let stands = |path: &Option<BytePath>| {
        path.as_ref()
            .is_none_or(|path| fs::symlink_metadata(path.as_path()).is_ok())
    };
    is_rename(one)
        && is_rename(two)
        && one.pid == two.pid
        && !one.is_of_the_object_of(two)
        && (from.is_some() || to.is_some())
        && (&from, &to) == (&back_to, &back_from)
        && stands(&from)
        && stands(&to)
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

/// Who had the pid when the event was queued, if that is certain: a process that began after the reading, or
/// one that lives although the culprit was already reaped, has only its number.
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
    let impostor =
        key.start_ns > batch.read_ns || (event.pidfd == Some(PidState::Reaped) && !ended);
    if impostor { pid_only } else { Some(key) }
}

/// What became of the name. A merged event does not say in which order: what is there now decides.
fn facts(mask: MaskFlags, path: &BytePath) -> Vec<Fact> {
    let came = mask.intersects(MaskFlags::FAN_CREATE | MaskFlags::FAN_MOVED_TO);
    let went = mask.intersects(MaskFlags::FAN_DELETE | MaskFlags::FAN_MOVED_FROM);
    let meta = if came {
        fs::symlink_metadata(path.as_path()).ok()
    } else {
        None
    };
    let linked = meta
        .as_ref()
        .is_some_and(|meta| meta.is_file() && meta.nlink() > 1);
    let arrival = if linked {
        Fact::Linked(None)
    } else if mask.intersects(MaskFlags::FAN_MOVED_TO) {
        Fact::Renamed(None)
    } else {
        Fact::Created
    };
    let departure = if mask.intersects(MaskFlags::FAN_MOVED_FROM) {
        Fact::MovedOut(None)
    } else {
        Fact::Deleted
    };
    match (came, went) {
        (true, true) if meta.is_some() => vec![departure, arrival],
        (true, true) => vec![arrival, departure],
        (true, false) => vec![arrival],
        (false, true) => vec![departure],
        (false, false) => Vec::new(),
    }
}

fn operation(fact: &Fact) -> u32 {
    match fact {
        Fact::Created => raw::FIMK_OP_CREATE,
        Fact::Linked(_) => raw::FIMK_OP_LINK,
        Fact::Deleted => raw::FIMK_OP_UNLINK,
        Fact::Attributes(_) => raw::FIMK_OP_SETTRUSTED,
        Fact::Renamed(_) | Fact::Replaced(_) | Fact::MovedOut(_) | Fact::Beneath => {
            raw::FIMK_OP_RENAME
        }
    }
}

fn operations(mask: MaskFlags) -> Operations {
    let table = [
        (MaskFlags::FAN_MODIFY, raw::FIMK_OP_WRITE),
        (MaskFlags::FAN_CLOSE_WRITE, raw::FIMK_OP_CLOSE),
        (MaskFlags::FAN_ATTRIB, ATTRIBUTE),
    ];
    let set: Vec<u32> = table
        .iter()
        .filter(|(bit, _)| mask.intersects(*bit))
        .map(|(_, operation)| *operation)
        .collect();
    Operations::of(&set)
}

fn nobodys(touch: &Touch) -> Touch {
    Touch {
        actor: None,
        uid: None,
        ..touch.clone()
    }
}

fn touch(actor: Option<ActorKey>) -> Touch {
    let now = clock::now();
    Touch {
        actor,
        uid: None,
        operations: Operations::default(),
        first: now,
        last: now,
        count: 1,
        bytes: 0,
        accessed: None,
        fact: None,
    }
}
