//! Objects that have no watched name any more: what was done to them while they had one is still to be told.

use std::collections::{HashMap, VecDeque};

use fimk_core::path::BytePath;
use fimk_wire::raw;

use crate::{
    identity::Object,
    signal::{Fact, Operations, Signal, Touch},
};

/// Objects remembered, so that one of the same identity that appears after is watched anew, and an entry that is taken
/// late finds its name. More than there are records in a full ring.
const FORGOTTEN_MAX: usize = 32_768;

/// What their names may take together: whoever may write somewhere chooses how long they are.
const BYTES_MAX: usize = 4 << 20;

/// The last name of an object.
pub(super) struct Former {
    pub path: BytePath,
    pub directory: bool,
    /// When it went, by the boot clock as entries have it; what was done to the object after is not ours to tell.
    pub went_ns: u64,
}

/// The objects that the kernel was told to forget.
#[derive(Default)]
pub(super) struct Forgotten {
    objects: HashMap<Object, Option<Former>>,
    order: VecDeque<Object>,
    bytes: usize,
}

impl Forgotten {
    /// One more; the oldest goes when there are too many.
    pub(super) fn add(&mut self, object: Object) {
        if self.objects.contains_key(&object) {
            return;
        }
        self.objects.insert(object, None);
        self.order.push_back(object);
        self.keep_within_limits();
    }

    /// The oldest go when there are too many, or their names are too long.
    fn keep_within_limits(&mut self) {
        while self.order.len() > FORGOTTEN_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.remove(oldest);
        }
    }

    /// The name that it had.
    pub(super) fn had_name(&mut self, object: Object, former: Former) {
        if let Some(known) = self.objects.get_mut(&object) {
            self.bytes += former.path.bytes().len();
            if let Some(before) = known.replace(former) {
                self.bytes -= before.path.bytes().len();
            }
        }
        self.keep_within_limits();
    }

    pub(super) fn has(&self, object: Object) -> bool {
        self.objects.contains_key(&object)
    }

    /// It is back, or another is in its place. Whether it was here.
    pub(super) fn remove(&mut self, object: Object) -> bool {
        let known = self.objects.remove(&object);
        let former = known.as_ref().and_then(Option::as_ref);
        self.bytes -= former.map_or(0, |it| it.path.bytes().len());
        known.is_some()
    }

    /// What was done to an object before it lost its last name; `first_ns`: when that began, by the boot clock.
    pub(super) fn touched(&self, object: Object, touch: &Touch, first_ns: u64) -> Option<Signal> {
        let former = self.objects.get(&object)?.as_ref()?;
        let mut operations = touch.operations.without(Operations::MOUNTS);
        if former.directory {
            operations = operations.without(Operations::NAMES);
        }
        let close = Operations::of(&[raw::FIMK_OP_CLOSE]);
        if first_ns > former.went_ns || operations.without(close).is_empty() {
            return None;
        }
        let touch = Touch {
            operations,
            fact: Some(Fact::Former(object.inode)),
            ..touch.clone()
        };
        Some(Signal::Touched(former.path.clone(), touch))
    }
}
