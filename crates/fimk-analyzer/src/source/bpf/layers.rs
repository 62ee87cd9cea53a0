//! Names that are not the plain ones of an object: those on an overlay whose layers it lies in, those that a mount
//! covers, and those of another object with the same identity.

use std::time::Instant;

use fimk_core::path::BytePath;
use fimk_wire::raw;

use super::{Bpf, NAME_PATIENCE, Short, record::NameRecord};
use crate::{
    host,
    identity::{ActorKey, Object},
    signal::{Fact, Operations, Signal},
    tree::Tree,
    walk::Walker,
};

impl Bpf {
    /// A mount covers a name and all below it: they are no names of ours now, and what they stood for stays watched. How
    /// many there was no room for.
    pub fn cover(&mut self, tree: &mut Tree, point: &BytePath) -> usize {
        let mut objects = Vec::new();
        for (name, entry) in tree.below(point) {
            let layers = tree.layers_of(&name).iter().copied();
            let all = entry.object.into_iter().chain(layers);
            objects.extend(all.map(|object| (object, name.clone())));
        }
        let refused = self.covered.cover(point, objects);
        self.drop_names(tree, point, crate::clock::since_boot_ns());
        refused
    }

    /// What lay below a name in layers has nothing to do with it any more.
    pub(super) fn lift(&mut self, tree: &mut Tree, name: &BytePath) {
        for object in tree.lift(name) {
            self.forget(tree, object);
        }
    }

    /// The record names a directory that shares its identity with a watched one. Whether it was that one after all, by
    /// a name that we do not know, only a look tells.
    pub(super) fn compare_instead(&mut self, tree: &Tree, record: &NameRecord, who: ActorKey) {
        for directory in record.directory.into_iter().chain(record.old_directory) {
            let whole = Short {
                until: Instant::now() + NAME_PATIENCE,
                missing: u64::MAX,
                touch: record.touch(None),
            };
            self.short.insert((directory, who), whole);
        }
        self.forget(tree, record.object);
    }

    /// Names in a directory that something is mounted over.
    pub(super) fn changed_covered(&self, record: &NameRecord) -> Vec<Signal> {
        let names = |directory: Option<Object>, name: &[u8]| -> Vec<BytePath> {
            let directories = directory.map_or(&[][..], |it| self.covered.names_of(it));
            directories.iter().map(|above| above.join(name)).collect()
        };
        let new = names(record.directory, &record.name);
        let old = names(record.old_directory, &record.old_name);
        let all = new.into_iter().chain(old);
        all.map(|path| Signal::Covered(path, record.touch(None)))
            .collect()
    }

    /// Who changes the names in a layer changes those of the overlay, in the same call or behind its back.
    pub(super) fn changed_beneath(
        &mut self,
        tree: &mut Tree,
        walker: &Walker,
        record: &NameRecord,
    ) -> Vec<Signal> {
        if Operations::of(&[record.operation]).meets(Operations::MOUNTS) {
            return Vec::new();
        }
        let names = |directory: Option<Object>, name: &[u8]| -> Vec<BytePath> {
            let directories = directory.map_or(&[][..], |it| tree.merged_names_of(it));
            directories.iter().map(|above| above.join(name)).collect()
        };
        let new = names(record.directory, &record.name);
        let old = names(record.old_directory, &record.old_name);
        let stands = record.operation != raw::FIMK_OP_UNLINK;
        let mut signals = Vec::new();
        let both = new.into_iter().map(|path| (path, stands));
        for (path, stands) in both.chain(old.into_iter().map(|path| (path, false))) {
            let Some(found) = walker.reaches(&path, record.is_directory) else {
                continue;
            };
            if stands {
                tree.lay(record.object, path.clone());
            }
            self.beneath.push((path.clone(), record.touch(None)));
            if found.covered {
                let touch = record.touch(Some(Fact::Beneath));
                signals.push(Signal::Touched(path, touch));
            }
        }
        signals
    }

    /// Whether names on overlays stand for what appeared in a layer, and nothing is known of them. To be asked when all
    /// that is here was handled. The call that made them may have been under way until we looked: its own record, which
    /// is there by now, goes before [`Self::walk_beneath`]. What was laid below a name that does not exist goes.
    pub fn look_beneath(&mut self, tree: &mut Tree) -> bool {
        for (path, touch) in std::mem::take(&mut self.beneath) {
            if tree.get(&path).is_some() {
                continue;
            }
            if host::look(&path).is_ok() {
                self.standing.push((path, touch));
            } else {
                self.lift(tree, &path);
            }
        }
        !self.standing.is_empty()
    }

    /// Those that appeared in a layer and not by way of the overlay: they are not watched themselves yet.
    pub fn walk_beneath(&mut self, tree: &Tree) {
        let standing = std::mem::take(&mut self.standing).into_iter();
        let unheard = standing.filter(|(path, _)| tree.get(path).is_none());
        self.to_walk.extend(unheard);
    }
}
