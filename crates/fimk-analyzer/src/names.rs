//! Signals → what waits to be examined; mostly about names that come, go and move.

mod moved;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::unix::fs::MetadataExt,
};

use fimk_core::path::BytePath;
use fimk_wire::raw;

use crate::{
    engine::{Engine, Eyes, Trouble},
    exit::Failure,
    fanotify::MarkError,
    held::How,
    host,
    pending::Found,
    read::Reader,
    signal::{Fact, Operations, Signal, Touch},
    source::arm,
    tree::Entry,
    walk::{Found as FoundName, PATH_BYTES_MAX},
};

use moved::Move;

/// Names watched before a sign of life is given.
const WATCHED_AT_ONCE: usize = 16_384;

impl Engine {
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Trouble> {
        match signal {
            Signal::Touched(path, touch) => self.touched(&path, touch),
            Signal::Moved {
                old,
                new,
                replaced,
                directory,
                before,
                touch,
            } => {
                let how = Move {
                    replaced,
                    directory,
                    before,
                };
                self.moved(old.as_ref(), new.as_ref(), how, &touch)?;
            }
            Signal::Attempted(path, attempted) => self.attempted(path, attempted),
            Signal::Compare(directory, touches) => self.compare_directory(&directory, &touches)?,
            Signal::Covered(path, touch) => self.mounts.covered(path, touch),
            Signal::Mount(hint) => self.mounts.hint(hint),
            Signal::Ails(reported, path) => self.ails(&reported, path),
            Signal::Overflowed => self.overflowed(),
            Signal::Lost(reason) => self.scan_wanted = Some(reason),
        }
        Ok(())
    }

    fn covered(&self, path: &BytePath) -> bool {
        path.bytes().len() <= PATH_BYTES_MAX && self.rules.covers(path).is_some()
    }

    fn touched(&mut self, path: &BytePath, touch: Touch) {
        let former = touch.is_of_former();
        if !self.covered(path) || (former || touch.fact.is_none()) && self.own.did(touch.actor) {
            return;
        }
        if former {
            self.settle.entry(path, false).add(touch);
            return;
        }
        if matches!(
            touch.fact,
            Some(Fact::Deleted | Fact::MovedOut(_) | Fact::Replaced(_))
        ) {
            // Its release will be told of an object without a name.
            self.held.moved(path, None);
        }
        let was_mapped = self.held.holds(path);
        if touch.operations.meets(Operations::of(&[raw::FIMK_OP_MAP])) {
            self.held.add(path, touch.actor, How::Mapped);
        } else if touch
            .operations
            .meets(Operations::of(&[raw::FIMK_OP_CLOSE]))
            && self.held.is_held(path)
        {
            self.released(path, touch.actor);
        }
        // Who changes a layer through the overlay changes the merged name in the same call: both are one story, of which
        // the end says by which name it was done.
        let newborn = matches!(touch.fact, Some(Fact::Created | Fact::Beneath))
            || !self.tree.layers_of(path).is_empty();
        let deeds = Operations::WRITES.with(Operations::ATTRIBUTES);
        let pending = self.settle.entry(path, newborn);
        pending.unmapped |= was_mapped;
        // Of what is new, a record of the name says who made it; one of a write says only who wrote.
        let explained = pending.sighted
            && (touch.fact.is_some()
                || touch.operations.meets(deeds)
                    && self.store.record(path).is_ok_and(|it| it.is_some()));
        if explained {
            pending.explain();
        }
        pending.add(touch);
        if std::mem::take(&mut pending.waits_for_others) {
            self.settle.hasten(path);
        }
    }

    pub(crate) fn recorded_below(&self, path: &BytePath) -> Result<Vec<BytePath>, Trouble> {
        let mut below = Vec::new();
        for item in self.store.records(Some(path)) {
            let (recorded, _) = item.map_err(Failure::from)?;
            if recorded != *path {
                below.push(recorded);
            }
        }
        Ok(below)
    }

    /// Directories that came with content of their own, and who brought them.
    pub(crate) fn walk_new(&mut self, tops: Vec<(BytePath, Touch)>) -> Result<(), Trouble> {
        let tops = tops.into_iter().map(|(path, touch)| (path, vec![touch]));
        self.walk_all(&tops.collect::<Vec<_>>())
    }

    /// Watches what is below these, then examines what is in them, and what is recorded there and is not in them.
    fn walk_all(&mut self, tops: &[(BytePath, Vec<Touch>)]) -> Result<(), Trouble> {
        let found = self.watch_trees(tops.iter().map(|(path, _)| path))?;
        for ((path, touches), found) in tops.iter().zip(found) {
            if found.is_empty()
                && let Eyes::Bpf(bpf) = &mut self.eyes
            {
                bpf.missed(&self.tree, path);
            }
            self.examine_walked(path, touches, found)?;
        }
        Ok(())
    }

    fn examine_walked(
        &mut self,
        path: &BytePath,
        touches: &[Touch],
        found: Vec<FoundName>,
    ) -> Result<(), Trouble> {
        let mut present = HashSet::new();
        for it in found {
            if it.covered {
                self.settle.seen(&it.path);
            }
            if it.covered && it.path != *path && !self.is_as_recorded(&it.path)? {
                self.found(&it.path, touches);
            }
            present.insert(it.path);
        }
        for recorded in self.recorded_below(path)? {
            if !present.contains(&recorded) {
                self.found(&recorded, touches);
            }
        }
        Ok(())
    }

    /// Whether it looks as when it was read last: nothing of it can have changed without the time of change.
    pub(crate) fn is_as_recorded(&mut self, path: &BytePath) -> Result<bool, Trouble> {
        let record = self.store.record(path).map_err(Failure::from)?;
        let Some(record) = record else {
            return Ok(false);
        };
        let at = path.clone();
        let looks = self.ask(path, move |reader| reader.looks_like(&at, &record.snapshot));
        if looks.is_err() {
            self.stalled.add(path);
        }
        // What does not answer is compared when it does.
        Ok(looks.unwrap_or(true))
    }

    /// Found by looking. What waits already has a record of the kernel that says who did it.
    pub(crate) fn found(&mut self, path: &BytePath, touches: &[Touch]) {
        if self.settle.waits(path) {
            return;
        }
        let pending = self.settle.entry(path, false);
        pending.found.get_or_insert(Found::Scan);
        pending.sighted = true;
        let nearby = touches.iter().map(|touch| Touch {
            fact: None,
            ..touch.clone()
        });
        pending.guesses.extend(nearby);
    }

    /// Holds what is in a directory against what is known of it. It was one of these who changed it.
    pub(crate) fn compare_directory(
        &mut self,
        directory: &BytePath,
        touches: &[Touch],
    ) -> Result<(), Trouble> {
        let (walker, at) = (self.walker.clone(), directory.clone());
        let job = move |_: &Reader| {
            let entries = walker.entries(&at);
            let inodes: HashMap<BytePath, u64> = entries
                .iter()
                .filter_map(|it| Some((it.path.clone(), host::look(&it.path).ok()?.ino())))
                .collect();
            (entries, inodes)
        };
        let Ok((entries, inodes)) = self.ask(directory, job) else {
            self.stalled.add_directory(directory);
            return Ok(());
        };
        let there: HashSet<&BytePath> = entries.iter().map(|it| &it.path).collect();
        for (path, _) in self.tree.children(directory) {
            if there.contains(&path) {
                continue;
            }
            for (gone, _) in self.leave(&path) {
                if self.covered(&gone) {
                    self.found(&gone, touches);
                }
            }
        }
        let new: Vec<FoundName> = entries
            .iter()
            .filter(|it| !self.is_known(&it.path, &inodes))
            .cloned()
            .collect();
        for it in &new {
            self.leave(&it.path);
        }
        let again = self.changed(&entries, &inodes)?;
        let before: Vec<_> = again.iter().map(|it| self.tree.get(&it.path)).collect();
        // All at once: each arming waits for the kernel to attach a program.
        self.watch(&[new.as_slice(), &again].concat())?;
        for it in new.iter().filter(|it| it.covered) {
            self.found(&it.path, touches);
        }
        // Under the number of one that is gone: only the kernel tells the two apart.
        for (it, before) in again.iter().zip(before) {
            if self.tree.get(&it.path) != before {
                self.found(&it.path, touches);
            }
        }
        let directories = new.into_iter().filter(|it| it.directory);
        let tops = directories.map(|it| (it.path, touches.to_vec()));
        self.walk_all(&tops.collect::<Vec<_>>())
    }

    /// Takes a name and all below it out of the tree, and off the watch.
    pub(crate) fn leave(&mut self, path: &BytePath) -> Vec<(BytePath, Entry)> {
        let gone = self.tree.below(path);
        match &mut self.eyes {
            Eyes::Bpf(bpf) => bpf.drop_names(&mut self.tree, path, crate::clock::since_boot_ns()),
            Eyes::Fanotify(_) | Eyes::Periodic => drop(self.tree.remove_below(path)),
        }
        gone
    }

    /// Those known names that do not look as recorded.
    fn changed(
        &mut self,
        entries: &[FoundName],
        inodes: &HashMap<BytePath, u64>,
    ) -> Result<Vec<FoundName>, Trouble> {
        let mut changed = Vec::new();
        for it in entries.iter().filter(|it| it.covered && !it.directory) {
            if self.is_known(&it.path, inodes) && !self.is_as_recorded(&it.path)? {
                changed.push(it.clone());
            }
        }
        Ok(changed)
    }

    /// Whether the tree has this name, and for the object that stands under it.
    fn is_known(&self, path: &BytePath, inodes: &HashMap<BytePath, u64>) -> bool {
        self.tree.get(path).is_some_and(|entry| {
            let stands = |inode| inodes.get(path) == Some(&inode);
            entry.object.is_none_or(|object| stands(object.inode))
        })
    }

    /// Watches a name and all below it that rules reach, each directory before it is listed; gives what it found.
    pub(crate) fn watch_below(&mut self, top: &BytePath) -> Result<Vec<FoundName>, Trouble> {
        let mut found = self.watch_trees(std::iter::once(top))?;
        Ok(found.pop().unwrap_or_default())
    }

    /// As [`Self::watch_below`] for each of these, with no more armings than the deepest of them needs.
    pub(crate) fn watch_trees<'a>(
        &mut self,
        tops: impl Iterator<Item = &'a BytePath>,
    ) -> Result<Vec<Vec<FoundName>>, Trouble> {
        let walker = self.walker.clone();
        let mut all: Vec<Vec<FoundName>> = Vec::new();
        let mut unwatched: VecDeque<(usize, FoundName)> = VecDeque::new();
        for (at, top) in tops.enumerate() {
            all.push(Vec::new());
            unwatched.extend(walker.look(top).map(|it| (at, it)));
        }
        // Watched, and not listed yet.
        let mut unlisted: VecDeque<(usize, FoundName)> = VecDeque::new();
        while !unwatched.is_empty() {
            let room = unwatched.len().min(WATCHED_AT_ONCE);
            let part = unwatched.drain(..room).filter(|(_, it)| !walker.spares(it));
            let mut part: Vec<(usize, FoundName)> = part.collect();
            self.beyond
                .cut(&mut part, &self.tree, self.config.names_max);
            let (of, part): (Vec<usize>, Vec<FoundName>) = part.into_iter().unzip();
            self.watch(&part)?;
            self.breathe();
            for (at, it) in of.into_iter().zip(part) {
                if it.directory && self.beyond.may_enter(&it.path) {
                    unlisted.push_back((at, it.clone()));
                }
                all[at].push(it);
            }
            // Not more than is watched next: of a million names few are held here.
            while unwatched.len() < WATCHED_AT_ONCE
                && let Some((at, directory)) = unlisted.pop_front()
            {
                self.breathe();
                unwatched.extend(self.entries(&directory.path).map(|it| (at, it)));
            }
        }
        Ok(all)
    }

    /// What is in a directory; nothing if it does not answer, which is noted.
    fn entries(&mut self, directory: &BytePath) -> std::vec::IntoIter<FoundName> {
        let (walker, at) = (self.walker.clone(), directory.clone());
        let entries = self.ask(directory, move |_| walker.entries(&at));
        if entries.is_err() {
            self.stalled.add_directory(directory);
        }
        entries.unwrap_or_default().into_iter()
    }

    fn watch(&mut self, found: &[FoundName]) -> Result<(), Trouble> {
        match &mut self.eyes {
            Eyes::Bpf(_) => {
                let (tree, table) = (&mut self.tree, self.mounts.table());
                let (channel, walker) = (&mut self.channel, &self.walker);
                let armed = arm::arm(channel, tree, table, walker, found, &mut self.stash)?;
                for path in &armed.mapped {
                    self.held.add(path, None, How::Mapped);
                }
                for path in &armed.open {
                    self.held.add(path, None, How::Open);
                }
                if !armed.mapped.is_empty() || !armed.open.is_empty() {
                    self.looks.want();
                }
                if armed.unanswered > 0 {
                    self.degraded(&format!(
                        "{} objects could not be watched, because the kernel's ring stayed full: they are compared later",
                        armed.unanswered
                    ))?;
                    self.scan_wanted = Some("objects could not be watched".to_owned());
                }
                self.unwatched.add(armed.refused);
            }
            Eyes::Fanotify(fanotify) => {
                let refused = fanotify.watch(&mut self.tree, &self.walker, found);
                for (path, error) in refused {
                    match error {
                        MarkError::Unsupported(_) | MarkError::Full => {
                            self.set_apart(&path, &error.to_string())?;
                        }
                        _ => self.degraded(&format!("{path} is not watched: {error}"))?,
                    }
                }
            }
            Eyes::Periodic => {
                for it in found {
                    let entry = Entry {
                        object: None,
                        directory: it.directory,
                    };
                    self.tree.insert(it.path.clone(), entry);
                }
            }
        }
        Ok(())
    }
}
