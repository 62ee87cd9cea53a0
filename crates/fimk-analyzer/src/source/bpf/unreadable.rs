//! Extended attributes that only `CAP_SYS_ADMIN` may read: what was set or removed, the kernel's record alone tells.

use std::collections::HashMap;

use fimk_core::path::escaped;
use fimk_wire::{raw, spanned};

use super::{actor_of, object_of, record::without_end};
use crate::{
    signal::{Fact, Operations, Touch},
    source::takes::Key,
};

/// Entries of which names are kept from their records to TAKEN. Only root sets such attributes; beyond, events merely
/// lack the names. (Those whose entry was lost, or is one of many processes, are forgotten then.)
const ENTRIES_MAX: usize = 1_024;

/// Names kept for one entry.
const NAMES_MAX: usize = 16;

/// What an overlay keeps in its layers about itself.
const OF_OVERLAYS: &str = "trusted.overlay.";

/// The names, by the dirty entry that counts what was done.
#[derive(Default)]
pub(super) struct Unreadable(HashMap<Key, Vec<String>>);

impl Unreadable {
    /// A record came; that it was done the entry says, which is taken after.
    pub(super) fn hear(&mut self, record: &raw::fimk_name) {
        let key = (object_of(record.object), actor_of(record.actor));
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let name = escaped(without_end(spanned(&record.tail, record.name)));
        let names = self.0.entry(key).or_default();
        if names.len() < NAMES_MAX && !names.contains(&name) {
            names.push(name);
        }
    }

    /// What an entry with these operations tells of such attributes.
    pub(super) fn fact(&mut self, key: Key, operations: Operations) -> Option<Fact> {
        operations
            .meets(SET)
            .then(|| Fact::Attributes(self.0.remove(&key).unwrap_or_default()))
    }
}

const SET: Operations = Operations::of(&[raw::FIMK_OP_SETTRUSTED]);

/// The same touch as one of an overlay below which the object lies, without what the overlay keeps there.
pub(super) fn seen_above(touch: &Touch) -> Touch {
    let mut touch = touch.clone();
    if let Some(Fact::Attributes(names)) = &mut touch.fact {
        names.retain(|name| !name.starts_with(OF_OVERLAYS));
        if names.is_empty() {
            touch.operations = touch.operations.without(SET);
            touch.fact = None;
        }
    }
    touch
}
