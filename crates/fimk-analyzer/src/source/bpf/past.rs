//! Records from before our own walk, which an earlier analyzer left in the ring. They name what stood where at the time:
//! what became of it the walk has found, and no record of them changes that.

use fimk_core::path::BytePath;
use fimk_wire::raw;

use super::{Bpf, former::Former, record::NameRecord};
use crate::{
    identity::Object,
    mounts::Table,
    signal::{Fact, Signal},
    tree::Tree,
    walk::Walker,
};

impl Bpf {
    /// The walk begins: what was recorded before is about names of then.
    pub fn begins_to_walk(&mut self) {
        self.walked_from_ns = crate::clock::since_boot_ns();
    }

    pub(super) fn is_past(&self, record: &NameRecord) -> bool {
        record.time_ns < self.walked_from_ns
    }

    /// As `changed`, under the names of then, and without a change of what is known to stand.
    pub(super) fn changed_before(
        &mut self,
        tree: &Tree,
        walker: &Walker,
        table: &Table,
        record: &NameRecord,
    ) -> Vec<Signal> {
        let reached = |path: &BytePath| walker.reaches(path, record.is_directory).is_some();
        let of_now = || record.new_names(tree).into_iter().find(reached);
        let new = record.place_then(table).filter(reached).or_else(of_now);
        let of_now = || record.old_name(tree).filter(reached);
        let old = record.old_place_then(table).filter(reached).or_else(of_now);
        let touched = |path: BytePath, fact: Fact| Signal::Touched(path, record.touch(Some(fact)));
        match record.operation {
            raw::FIMK_OP_CREATE | raw::FIMK_OP_LINK => {
                self.forget(tree, record.object);
                let fact = if record.is_link() {
                    Fact::Linked(None)
                } else {
                    Fact::Created
                };
                new.map(|path| touched(path, fact)).into_iter().collect()
            }
            raw::FIMK_OP_UNLINK => {
                self.went_before(tree, record, record.object, new.as_ref());
                let gone = new.map(|path| touched(path, Fact::Deleted));
                gone.into_iter().collect()
            }
            raw::FIMK_OP_EXCHANGE => {
                let sides = [(&old, &new), (&new, &old)].into_iter();
                let each = sides.filter_map(|(path, other)| Some((path.clone()?, other.clone())));
                each.map(|(path, other)| touched(path, Fact::Replaced(other)))
                    .collect()
            }
            raw::FIMK_OP_MOUNT => vec![Signal::Mount(record.mount_hint(tree, false))],
            raw::FIMK_OP_UNMOUNT => vec![Signal::Mount(record.mount_hint(tree, true))],
            _ => self.moved_before(tree, table, record, old, new),
        }
    }

    fn moved_before(
        &mut self,
        tree: &Tree,
        table: &Table,
        record: &NameRecord,
        old: Option<BytePath>,
        new: Option<BytePath>,
    ) -> Vec<Signal> {
        if let Some(replaced) = record.replaced {
            self.went_before(tree, record, replaced, new.as_ref());
        }
        if new.is_none() {
            self.went_before(tree, record, record.object, old.as_ref());
        }
        if old.is_none() && new.is_none() {
            return Vec::new();
        }
        vec![Signal::Moved {
            old: old.or_else(|| record.old_path_elsewhere(table)),
            new: new.or_else(|| record.path_elsewhere(table)),
            replaced: record.replaced.is_some(),
            directory: record.is_directory,
            before: true,
            touch: record.touch(None),
        }]
    }

    /// An object lost a name; if the walk found none either, that was its last.
    fn went_before(
        &mut self,
        tree: &Tree,
        record: &NameRecord,
        object: Object,
        path: Option<&BytePath>,
    ) {
        if self.forget(tree, object)
            && let Some(path) = path
        {
            let former = Former {
                path: path.clone(),
                directory: record.is_directory,
                went_ns: record.time_ns,
            };
            self.forgotten.had_name(object, former);
        }
    }
}
