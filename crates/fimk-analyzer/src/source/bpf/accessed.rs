//! By which name a process reached what it touched.

use fimk_core::path::BytePath;
use fimk_wire::{leaf_first_to_path, raw, spanned};

use crate::{identity::Object, mounts::Table, signal::Operations, tree::Tree};

/// As the record of the touch has it.
pub(super) enum Accessed {
    /// The path that the process used.
    Whole(BytePath),
    /// A place in the file system: the kernel did not know by which mount.
    Inside(BytePath),
}

impl Accessed {
    /// None where the record does not say. The name that came or went has a record of its own, and was used by nobody.
    pub(super) fn of(touch: &raw::fimk_touch) -> Option<Self> {
        let named = touch.operation < raw::FIMK_OPERATIONS
            && Operations::of(&[touch.operation]).meets(Operations::NAMES);
        if touch.path.length == 0 || touch.path_flags & raw::FIMK_PATH_CUT != 0 || named {
            return None;
        }
        let path = BytePath::new(&leaf_first_to_path(spanned(&touch.tail, touch.path)));
        match touch.path_flags {
            flags if flags & raw::FIMK_PATH_WHOLE != 0 => Some(Self::Whole(path)),
            flags if flags & raw::FIMK_PATH_INSIDE != 0 => Some(Self::Inside(path)),
            _ => None,
        }
    }

    /// The path to be told of the object. A place is none of interest where one of the watched names is; nor below an
    /// overlay, by whose name it was reached.
    pub(super) fn path(self, object: Object, tree: &Tree, table: &Table) -> Option<BytePath> {
        let inside = match self {
            Self::Whole(path) => return Some(path),
            Self::Inside(inside) => inside,
        };
        let names = tree.names_of(object);
        let is_there = |name: &BytePath| table.place_of(name).is_some_and(|(_, at)| at == inside);
        if names.is_empty() || names.iter().any(is_there) {
            return None;
        }
        table.path_of(object.device, &inside)
    }
}
