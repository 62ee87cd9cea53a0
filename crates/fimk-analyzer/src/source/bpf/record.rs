//! A record of the kernel about a name.

use fimk_core::{attribution::Attribution, path::BytePath, time::Timestamp};
use fimk_wire::{leaf_first_to_path, raw, spanned};

use super::object_of;
use crate::{
    clock, host,
    identity::{ActorKey, Object},
    mounts::{Hint, Table},
    signal::{Fact, Operations, Touch},
    tree::Tree,
};

/// A `fimk_name`, its identities and names made ours.
pub(super) struct NameRecord {
    pub(super) actor: Option<ActorKey>,
    pub(super) uid: u32,
    pub(super) time_ns: u64,
    pub(super) operation: u32,
    pub(super) directory: Option<Object>,
    pub(super) old_directory: Option<Object>,
    pub(super) object: Object,
    pub(super) replaced: Option<Object>,
    pub(super) is_directory: bool,
    pub(super) is_symlink: bool,
    pub(super) name: Vec<u8>,
    pub(super) old_name: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) old_path: Vec<u8>,
    path_flags: u32,
    /// Of names that share an identity: only where these directories are do we look for the names.
    pub(super) only: Option<[Vec<BytePath>; 2]>,
}

impl NameRecord {
    pub(super) fn of(wire: &raw::fimk_name) -> Self {
        let bytes = |span| spanned(&wire.tail, span);
        Self {
            actor: ActorKey::of(wire.actor),
            uid: wire.uid,
            time_ns: wire.time_ns,
            operation: wire.operation,
            directory: Object::of(wire.directory),
            old_directory: Object::of(wire.old_directory),
            object: object_of(wire.object),
            replaced: Object::of(wire.replaced),
            is_directory: wire.mode & 0o170_000 == 0o040_000,
            is_symlink: wire.mode & 0o170_000 == 0o120_000,
            name: without_end(bytes(wire.name)).to_vec(),
            old_name: without_end(bytes(wire.old_name)).to_vec(),
            path: bytes(wire.path).to_vec(),
            old_path: bytes(wire.old_path).to_vec(),
            path_flags: wire.path_flags,
            only: None,
        }
    }

    /// The kernel had no room to watch what appeared.
    pub(super) fn is_unwatched(&self) -> bool {
        self.path_flags & raw::FIMK_NAME_UNWATCHED != 0
    }

    /// Whether the watched directory that the record seems to name cannot be the one that is meant, because it is
    /// elsewhere in the file system. Of several names of one identity, those are chosen which can.
    pub(super) fn is_about_a_twin(&mut self, tree: &Tree, table: &Table) -> bool {
        let mounts = Operations::of(&[self.operation]).meets(Operations::MOUNTS);
        if mounts || !table.has_twins(self.object.device) {
            return false;
        }
        let cut = self.path_flags & raw::FIMK_PATH_CUT != 0;
        let sides = [
            (self.directory, &self.path),
            (self.old_directory, &self.old_path),
        ];
        let mut only = [Vec::new(), Vec::new()];
        for ((directory, path), only) in sides.into_iter().zip(&mut only) {
            let names = directory.map_or(&[][..], |it| tree.names_of(it));
            let meant = BytePath::new(&leaf_first_to_path(path));
            *only = names
                .iter()
                .filter(|name| leads_to(table, name, &meant))
                .cloned()
                .collect();
            if !names.is_empty() && (only.is_empty() || cut) {
                return true;
            }
        }
        self.only = Some(only);
        false
    }

    /// A subvolume or a snapshot: btrfs gives the root of each this number, and no other object. It comes with what is
    /// in it.
    pub(super) fn may_be_full(&self) -> bool {
        const SUBVOLUME_ROOT: u64 = 256;
        self.only.is_some() && self.is_directory && self.object.inode == SUBVOLUME_ROOT
    }

    pub(super) fn is_link(&self) -> bool {
        self.operation == raw::FIMK_OP_LINK
    }

    /// The objects whose entries count this record, each once: directories, but for a mount on the root of a
    /// file system, which has none.
    pub(super) fn counted_by(&self) -> impl Iterator<Item = Object> {
        let covered =
            Operations::of(&[self.operation]).meets(Operations::MOUNTS) && self.directory.is_none();
        let root = covered.then_some(self.object);
        let old = self
            .old_directory
            .filter(|old| Some(*old) != self.directory);
        self.directory.into_iter().chain(old).chain(root)
    }

    /// The names that were meant, one for each name of the directory.
    pub(super) fn new_names(&self, tree: &Tree) -> Vec<BytePath> {
        let directories = match (&self.only, self.directory) {
            (Some([only, _]), _) => only.as_slice(),
            (None, Some(directory)) => tree.names_of(directory),
            (None, None) => &[],
        };
        let names = directories.iter();
        names.map(|above| above.join(&self.name)).collect()
    }

    pub(super) fn old_name(&self, tree: &Tree) -> Option<BytePath> {
        let directory = match &self.only {
            Some([_, only]) => only.first(),
            None => tree.name_of(self.old_directory?),
        };
        Some(directory?.join(&self.old_name))
    }

    /// The name that it had when this was made, where somebody sees that place.
    pub(super) fn place_then(&self, table: &Table) -> Option<BytePath> {
        self.seen_then(&self.path, &self.name, table)
    }

    pub(super) fn old_place_then(&self, table: &Table) -> Option<BytePath> {
        self.old_directory?;
        self.seen_then(&self.old_path, &self.old_name, table)
    }

    fn seen_then(&self, directory: &[u8], name: &[u8], table: &Table) -> Option<BytePath> {
        let cut = self.path_flags & raw::FIMK_PATH_CUT != 0;
        if cut || name.is_empty() {
            return None;
        }
        let inside = BytePath::new(&leaf_first_to_path(directory)).join(name);
        table.path_of(self.object.device, &inside)
    }

    /// The name in a directory we do not know.
    pub(super) fn path_elsewhere(&self, table: &Table) -> Option<BytePath> {
        self.elsewhere(&self.path, &self.name, table)
    }

    pub(super) fn old_path_elsewhere(&self, table: &Table) -> Option<BytePath> {
        self.elsewhere(&self.old_path, &self.old_name, table)
    }

    /// The kernel's own path is one of the file system, and stays so where that is not seen.
    fn elsewhere(&self, directory: &[u8], name: &[u8], table: &Table) -> Option<BytePath> {
        if name.is_empty() {
            return None;
        }
        let inside = BytePath::new(&leaf_first_to_path(directory)).join(name);
        let cut = self.path_flags & raw::FIMK_PATH_CUT != 0;
        let path = table.path_of(self.object.device, &inside);
        path.filter(|_| !cut).or(Some(inside))
    }

    /// Of the covered object and of the place in its directory, whichever is known.
    pub(super) fn mount_hint(&self, tree: &Tree, unmount: bool) -> Hint {
        let mut points = self.new_names(tree);
        points.extend_from_slice(tree.names_of(self.object));
        Hint {
            points,
            covered: self.object,
            unmount,
            touch: self.touch(None),
        }
    }

    /// When it was made.
    pub(super) fn time(&self) -> Timestamp {
        clock::from_boot(self.time_ns)
    }

    pub(super) fn touch(&self, fact: Option<Fact>) -> Touch {
        let time = self.time();
        Touch {
            actor: self.actor,
            uid: Some(self.uid),
            by: Attribution::PROGRAM,
            operations: Operations::of(&[self.operation]),
            first: time,
            last: time,
            count: 1,
            bytes: 0,
            accessed: None,
            fact,
        }
    }
}

/// Whether a name leads to this place of its file system, if need be through links.
fn leads_to(table: &Table, name: &BytePath, meant: &BytePath) -> bool {
    let is = |name: &BytePath| {
        let place = table.place_of(name);
        place.is_some_and(|(_, inside)| inside == *meant)
    };
    is(name) || host::real(name).is_some_and(|real| is(&real))
}

/// The kernel ends every name by NUL.
pub(super) fn without_end(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"\0").unwrap_or(name)
}
