//! What records of names say: what appears, goes and moves in the watched directories.

use fimk_core::path::BytePath;
use fimk_wire::raw;

use super::{Bpf, actor_of, record::NameRecord};
use crate::{
    mounts::Table,
    signal::{Fact, Signal},
    tree::{Entry, Tree, rebased},
    walk::{Walker, is_whiteout},
};

impl Bpf {
    /// A name appeared, went or moved.
    pub fn name(
        &mut self,
        tree: &mut Tree,
        walker: &Walker,
        table: &Table,
        name: &raw::fimk_name,
    ) -> Vec<Signal> {
        if name.operation == raw::FIMK_OP_SETTRUSTED {
            self.unreadable.hear(name);
            return Vec::new();
        }
        let mut record = NameRecord::of(name);
        let who = actor_of(name.actor);
        for object in record.counted_by() {
            self.see_name((object, who));
        }
        if record.is_about_a_twin(tree, table) {
            self.compare_instead(tree, &record, who);
            return Vec::new();
        }
        if name.path_flags & raw::FIMK_NAME_MAPPED != 0 {
            self.mapped.extend(record.new_names(tree));
        }
        let mut signals = self.changed_covered(&record);
        signals.extend(self.changed_beneath(tree, walker, &record));
        signals.extend(
            if self.is_past(&record) || is_overtaken(tree, walker, &record) {
                self.changed_before(tree, walker, table, &record)
            } else {
                self.changed(tree, walker, table, &record)
            },
        );
        signals
    }

    fn changed(
        &mut self,
        tree: &mut Tree,
        walker: &Walker,
        table: &Table,
        record: &NameRecord,
    ) -> Vec<Signal> {
        match record.operation {
            raw::FIMK_OP_CREATE | raw::FIMK_OP_LINK => self.appeared(tree, walker, table, record),
            raw::FIMK_OP_UNLINK => self.vanished(tree, record),
            raw::FIMK_OP_EXCHANGE => self.exchanged(tree, walker, table, record),
            raw::FIMK_OP_MOUNT => vec![Signal::Mount(record.mount_hint(tree, false))],
            raw::FIMK_OP_UNMOUNT => vec![Signal::Mount(record.mount_hint(tree, true))],
            _ => self.moved(tree, walker, table, record),
        }
    }

    fn appeared(
        &mut self,
        tree: &mut Tree,
        walker: &Walker,
        table: &Table,
        record: &NameRecord,
    ) -> Vec<Signal> {
        let others: Vec<BytePath> = tree.names_of(record.object).to_vec();
        let mut signals = Vec::new();
        for path in record.new_names(tree) {
            let Some(found) = walker.reaches(&path, record.is_directory) else {
                if record.is_symlink && walker.spells_out(&path) {
                    self.to_walk.push((path, record.touch(None)));
                }
                continue;
            };
            self.watch_again(&path, found.named, record);
            if record.may_be_full() {
                self.to_walk.push((path.clone(), record.touch(None)));
            }
            tree.insert(
                path.clone(),
                Entry {
                    object: Some(record.object),
                    directory: record.is_directory,
                },
            );
            if found.covered {
                let fact = if record.is_link() {
                    Fact::Linked(others.first().cloned())
                } else {
                    Fact::Created
                };
                signals.push(Signal::Touched(path, record.touch(Some(fact))));
            }
        }
        self.forget(tree, record.object);
        if record.is_link() && signals.is_empty() {
            let elsewhere = record.path_elsewhere(table);
            let fact = Fact::Linked(elsewhere);
            signals.extend(
                others
                    .into_iter()
                    .map(|path| Signal::Touched(path, record.touch(Some(fact.clone())))),
            );
        }
        signals
    }

    fn vanished(&mut self, tree: &mut Tree, record: &NameRecord) -> Vec<Signal> {
        let mut signals = Vec::new();
        for path in record.new_names(tree) {
            // Only if it is still ours: the name may have been given to another object since.
            let gone = tree
                .get(&path)
                .is_some_and(|entry| entry.object.is_none_or(|it| it == record.object));
            if gone {
                self.drop_names(tree, &path, record.time_ns);
            }
            signals.push(Signal::Touched(path, record.touch(Some(Fact::Deleted))));
        }
        if !self.forgotten.has(record.object) {
            self.forget(tree, record.object);
        }
        signals
    }

    fn moved(
        &mut self,
        tree: &mut Tree,
        walker: &Walker,
        table: &Table,
        record: &NameRecord,
    ) -> Vec<Signal> {
        let reaches = |path: &BytePath| walker.reaches(path, record.is_directory).is_some();
        let old = record.old_name(tree);
        let new = record.new_names(tree).into_iter().next();
        let (old_reached, new_reached) =
            (old.clone().filter(&reaches), new.clone().filter(&reaches));
        // Another may have come to the old name since, and a walk may have found this one under the new name already.
        let known = old_reached
            .as_ref()
            .and_then(|path| tree.get(path))
            .is_some_and(|entry| entry.object.is_none_or(|it| it == record.object));
        let stood = new_reached.as_ref().and_then(|path| tree.get(path));
        let arrived = stood.is_some_and(|entry| entry.object == Some(record.object));
        let replaced = stood.is_some() && !arrived;
        if let Some(path) = new_reached.as_ref().filter(|_| !arrived) {
            self.drop_names(tree, path, record.time_ns);
        }
        match (&old_reached, &new_reached) {
            (Some(old), Some(new)) if known && !arrived => tree.rename(old, new),
            (Some(old), _) if known => self.drop_names(tree, old, record.time_ns),
            _ => {}
        }
        if let Some(path) = &new_reached {
            tree.insert(
                path.clone(),
                Entry {
                    object: Some(record.object),
                    directory: record.is_directory,
                },
            );
            let led_to = record.is_symlink && walker.spells_out(path);
            if let Some(old) = old_reached.as_ref().filter(|_| record.is_directory) {
                self.walk_elsewhere(old, path);
            }
            let unwalked = self.unwalked.remove(&record.object);
            if record.is_directory && !known || led_to || unwalked {
                self.to_walk.push((path.clone(), record.touch(None)));
            } else {
                self.watch_again(path, walker.spells_out(path), record);
            }
        } else {
            self.forget(tree, record.object);
        }
        if old_reached.is_none() && new_reached.is_none() {
            return Vec::new();
        }
        let left = old_reached.filter(is_whiteout);
        let mut signals = vec![Signal::Moved {
            old: old.or_else(|| record.old_path_elsewhere(table)),
            new: new.or_else(|| record.path_elsewhere(table)),
            replaced,
            directory: record.is_directory,
            before: false,
            touch: record.touch(None),
        }];
        if let Some(left) = left {
            let entry = Entry {
                object: None,
                directory: false,
            };
            tree.insert(left.clone(), entry);
            self.to_walk.push((left.clone(), record.touch(None)));
            signals.push(Signal::Touched(left, record.touch(Some(Fact::Created))));
        }
        signals
    }

    /// Two names changed places: for each, another object stands there now.
    fn exchanged(
        &mut self,
        tree: &mut Tree,
        walker: &Walker,
        table: &Table,
        record: &NameRecord,
    ) -> Vec<Signal> {
        let old = record
            .old_name(tree)
            .filter(|path| walker.reaches(path, true).is_some());
        let new = record
            .new_names(tree)
            .into_iter()
            .find(|path| walker.reaches(path, true).is_some());
        let mut signals = Vec::new();
        for (path, other, elsewhere, object) in [
            (&old, &new, record.path_elsewhere(table), record.replaced),
            (
                &new,
                &old,
                record.old_path_elsewhere(table),
                Some(record.object),
            ),
        ] {
            let Some(path) = path else { continue };
            tree.remove_below(path);
            tree.insert(
                path.clone(),
                Entry {
                    object,
                    directory: record.is_directory,
                },
            );
            self.to_walk.push((path.clone(), record.touch(None)));
            signals.push(Signal::Touched(
                path.clone(),
                record.touch(Some(Fact::Replaced(other.clone().or(elsewhere)))),
            ));
        }
        signals
    }

    /// An inode number used again where there are no generations: the kernel may have forgotten the new
    /// object in the place of the old. Or it had no room left but that for named objects.
    fn watch_again(&mut self, path: &BytePath, named: bool, record: &NameRecord) {
        // Of what is not named, and has no room, the counters tell.
        let kept_out = record.is_unwatched() && named;
        if self.forgotten.remove(record.object) || kept_out {
            self.to_walk.push((path.clone(), record.touch(None)));
        }
    }

    /// What is still to be walked moved. There is no more of it than packets that are handled at once.
    fn walk_elsewhere(&mut self, old: &BytePath, new: &BytePath) {
        for (path, _) in &mut self.to_walk {
            if path.is_in(old) {
                *path = rebased(path, old, new);
            }
        }
    }
}

/// Whether a walk was faster than this record of a directory that moved: it found it elsewhere by then, and what has the old name
/// now came after. What moves has gone from there only if it stood there.
fn is_overtaken(tree: &Tree, walker: &Walker, record: &NameRecord) -> bool {
    let moves = record.operation == raw::FIMK_OP_RENAME && record.is_directory;
    let reached = |path: &BytePath| walker.reaches(path, true).is_some();
    let stands = |path: &BytePath| tree.names_of(record.object).contains(path);
    moves
        && !tree.names_of(record.object).is_empty()
        && record
            .old_name(tree)
            .filter(reached)
            .is_some_and(|old| !stands(&old))
}
