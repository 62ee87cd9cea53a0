//! One event of the group → signals, and what it does to the tree of names.

use std::os::unix::fs::MetadataExt as _;

use fimk_core::{attribution::Attribution, path::BytePath};
use fimk_wire::raw;

use super::{Batch, Fanotify, attempts::attempt, culprit, entry, look};
use crate::{
    actors::Actors,
    clock,
    fanotify::{FanotifyEvent, MaskFlags, PidState},
    host,
    identity::ActorKey,
    signal::{ATTRIBUTE, Fact, Operations, Signal, Touch},
    tree::{Entry, Tree},
    walk::{Walker, is_whiteout},
};

impl Fanotify {
    pub(super) fn signals(
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
        if let Some(error) = &event.error {
            return vec![Signal::Ails(error.clone(), event.object.clone())];
        }
        let touch = touch(event, culprit(event, batch, actors));
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
            if is_directory && fact == Fact::Deleted {
                self.group.heard(event, Some(&path), None);
                self.group.moved_newborn(event, false);
            }
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
        // Of what came and went under one name it is not known which was the last.
        let came = MaskFlags::FAN_CREATE | MaskFlags::FAN_MOVED_TO;
        let went = MaskFlags::FAN_DELETE | MaskFlags::FAN_MOVED_FROM;
        if !directory && mask.intersects(came) && !mask.intersects(went) {
            self.brought.came(path);
        } else {
            self.brought.went(path, directory);
        }
        if matches!(fact, Fact::Deleted | Fact::MovedOut(_)) {
            tree.remove_below(path);
            if directory {
                self.group.forget(path);
            } else {
                self.group.lost_name(path);
            }
        } else if let Some(found) = walker.reaches(path, directory) {
            let meta = look(path);
            tree.insert(path.clone(), entry(meta.as_ref(), directory));
            if directory || matches!(fact, Fact::Linked(_)) {
                // Whoever made a directory need not have made what was in it before it could be marked.
                let made = *fact == Fact::Created;
                let touch = if made { nobodys(touch) } else { touch.clone() };
                self.to_walk.push((found.path, touch));
            } else {
                // If it cannot be marked, its directory is, and that sees all but writes through other names.
                let _ = self.mark(&found, meta.as_ref(), walker);
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
        let reaches = |path: &BytePath| walker.reaches(path, directory).is_some();
        let new_reached = new.clone().filter(&reaches);
        if directory {
            let new_reached = new_reached.as_ref();
            self.group.heard(event, old.as_ref(), new_reached);
            self.group.moved_newborn(event, new_reached.is_some());
            if let Some(old) = &old
                && self.group.is_over(event, old)
            {
                self.moves += u64::from(self.group.follow(event, new_reached));
                return self.moved_before(old, new.as_ref(), tree, walker, &touch);
            }
            if let Some(path) = new_reached
                && tree.get(path).is_some_and(|entry| entry.directory)
            {
                self.group.displaces(event, path);
            }
        }
        let meta = new_reached.as_ref().and_then(look);
        // A walk may have found what moved where it is by now: then nothing stood there before.
        let standing = entry(meta.as_ref(), directory).object;
        let stood = new_reached.as_ref().and_then(|path| tree.get(path));
        let replaced = stood.is_some_and(|it| it.object.is_none() || it.object != standing)
            || new_reached
                .as_ref()
                .is_some_and(|path| self.brought.has(path));
        if let Some(old) = &old {
            self.brought.went(old, directory);
        }
        if let Some(path) = &new_reached {
            self.brought.went(path, directory);
            if !directory {
                self.brought.came(path);
            }
        }
        let known = old.as_ref().is_some_and(|path| tree.get(path).is_some());
        if let Some(path) = &new_reached {
            tree.remove_below(path);
        }
        match (&old, &new_reached) {
            // What a look found gone from there may still be known under that name to what was recorded before.
            (Some(old), Some(new)) if known || directory => {
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
            tree.insert(path.clone(), entry(meta.as_ref(), directory));
            if directory {
                self.to_walk.push((path.clone(), touch.clone()));
            } else if let Some(found) = walker.reaches(path, directory) {
                // Where it was made it may have been gone before it could be marked.
                let _ = self.mark(&found, meta.as_ref(), walker);
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
            before: false,
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
    pub(super) fn exchanged(
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
            let directory = host::look_behind(&found.path).is_ok_and(|it| it.is_dir());
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

pub(super) fn path_of(event: &FanotifyEvent) -> Option<BytePath> {
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
pub(super) fn changed_places(one: &FanotifyEvent, two: &FanotifyEvent) -> bool {
    let is_rename =
        |it: &FanotifyEvent| MaskFlags::from_bits_retain(it.mask).intersects(MaskFlags::FAN_RENAME);
    let ((from, to), (back_from, back_to)) = (sides(one), sides(two));
    let stands =
        |path: &Option<BytePath>| path.as_ref().is_none_or(|path| host::look(path).is_ok());
    is_rename(one)
        && is_rename(two)
        && one.pid == two.pid
        && !one.is_of_the_object_of(two)
        && (from.is_some() || to.is_some())
        && (&from, &to) == (&back_to, &back_from)
        && stands(&from)
        && stands(&to)
}

/// What became of the name. A merged event does not say in which order: what is there now decides.
fn facts(mask: MaskFlags, path: &BytePath) -> Vec<Fact> {
    let came = mask.intersects(MaskFlags::FAN_CREATE | MaskFlags::FAN_MOVED_TO);
    let went = mask.intersects(MaskFlags::FAN_DELETE | MaskFlags::FAN_MOVED_FROM);
    let meta = if came { host::look(path).ok() } else { None };
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
        Fact::Renamed(_)
        | Fact::Replaced(_)
        | Fact::MovedOut(_)
        | Fact::Beneath
        | Fact::Former(_) => raw::FIMK_OP_RENAME,
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
        by: Attribution::default(),
        ..touch.clone()
    }
}

pub(super) fn touch(event: &FanotifyEvent, actor: Option<ActorKey>) -> Touch {
    let now = clock::now();
    let by = match event.pidfd {
        Some(PidState::AliveOrZombie) => Attribution::FANOTIFY.with(Attribution::PIDFD),
        Some(PidState::Reaped) | None => Attribution::FANOTIFY,
    };
    Touch {
        actor,
        uid: None,
        by,
        operations: Operations::default(),
        first: now,
        last: now,
        count: 1,
        bytes: 0,
        accessed: None,
        fact: None,
    }
}
