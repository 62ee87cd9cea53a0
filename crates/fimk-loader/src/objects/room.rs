//! Who may use how much of `watch`, and what is on it: counted where the programs of `bpf/` count too.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use fimk_wire::raw;
use libbpf_rs::{ErrorKind, Result};

use super::File;

impl File {
    /// Who may use how much of `watch`; see `bpf/maps.h`. A sixteenth is kept for what rules name, besides a
    /// quarter in which only root's objects and those are.
    pub(super) fn set_room(&mut self) {
        let objects = self.watch.capacity();
        if let Some(variables) = self.skeleton.maps.bss_data.as_mut() {
            variables.room_for_root = objects - objects / 16;
            variables.room_for_others = objects - objects / 4;
            if variables.crowd_factor == 0 {
                // Odd, or the lower bits of an inode number would be lost.
                variables.crowd_factor = RandomState::new().build_hasher().finish() | 1;
            }
        }
    }

    /// Takes an object off the watch.
    pub fn unwatch(&mut self, object: &raw::fimk_object) -> Result<()> {
        let ordinary = |watched: raw::fimk_watch| watched.flags & raw::FIMK_WATCH_NAMED == 0;
        if self.watch.take(object)?.is_some_and(ordinary)
            && let Some(variables) = self.skeleton.maps.bss_data.as_mut()
        {
            variables.ordinary_gone = variables.ordinary_gone.wrapping_add(1);
        }
        Ok(())
    }

    /// Puts an object on the watch that was on it under programs before ours; says whether it is new there. What finds
    /// no room waits for the analyzer's walk, which tells of it.
    pub fn go_on_watching(
        &mut self,
        object: &raw::fimk_object,
        watched: raw::fimk_watch,
    ) -> Result<bool> {
        let Some(variables) = self.skeleton.maps.bss_data.as_mut() else {
            return Ok(false);
        };
        let ordinary = watched.flags & raw::FIMK_WATCH_NAMED == 0;
        let held = variables.ordinary.wrapping_sub(variables.ordinary_gone);
        if ordinary && held >= u64::from(variables.room_for_others) {
            return Ok(false);
        }
        if let Some(passes) = variables.filter.get_mut(filter_slot(object)) {
            *passes = 1;
        }
        let added = match self.watch.add(object, &watched) {
            Err(cause) if cause.kind() == ErrorKind::TooBig => false,
            added => added?,
        };
        if added && ordinary {
            // Ours to write: the programs write `ordinary`.
            variables.ordinary_gone = variables.ordinary_gone.wrapping_sub(1);
        }
        Ok(added)
    }

    /// Takes an entry of `dirty` from its object's count of processes, which may be too low after this by one if we die
    /// before it is removed: so it is called before.
    pub fn leave_crowd(&mut self, key: &raw::fimk_key, entry: &raw::fimk_entry) {
        if entry.counted == 0 || fimk_wire::kind_of(key.actor) != raw::FIMK_KIND_CHANGE {
            return;
        }
        if let Some(variables) = self.skeleton.maps.bss_data.as_mut() {
            let slot = crowd_slot(&key.object, variables.crowd_factor);
            if let Some(gone) = variables.crowd_gone.get_mut(slot) {
                *gone = gone.wrapping_add(1);
            }
        }
    }
}

/// As `crowd_slot()` in `bpf/maps.h`.
fn crowd_slot(object: &raw::fimk_object, factor: u64) -> usize {
    const CROWD_BITS: u32 = 16;
    let place = object.inode.wrapping_add(u64::from(object.device) << 32);
    usize::try_from(place.wrapping_mul(factor) >> (u64::BITS - CROWD_BITS)).unwrap_or(0)
}

/// As `filter_slot()` in `bpf/maps.h`.
fn filter_slot(object: &raw::fimk_object) -> usize {
    const FILTER_BITS: u32 = 20;
    let place = object.inode.wrapping_add(u64::from(object.device) << 32);
    let spread = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(spread >> (u64::BITS - FILTER_BITS)).unwrap_or(0)
}
