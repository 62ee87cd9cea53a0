//! Carries over what another build, or one with other room, left pinned: on what it watched the new programs look from
//! their first moment, and who made the changes that nobody was told of stays known.
//!
//! Both builds' programs are attached while this runs, so the order matters: what is watched goes first, and then what
//! was changed. A change made before is in the old maps by then, one made after is in the new ones, and one made
//! meanwhile may be in both: it is told twice, by the same process, and read as it is.

use std::collections::HashSet;

use fimk_wire::{actor_of_attempt, raw};
use libbpf_rs::{ErrorKind, MapHandle, Result};

use crate::actors::bytes_of;
use crate::life;
use crate::log;
use crate::objects::{File, Process};
use crate::pins::Pins;
use crate::table::{Plain, Table};
use crate::take::merge;

/// Ancestors of a process that are carried with it: as many as are told.
const ANCESTORS_MAX: u32 = crate::serve::ANCESTORS_MAX;

/// The maps of the build before.
pub struct Former {
    watch: Table<raw::fimk_object, raw::fimk_watch>,
    /// `dirty`, `attempts` and `taken`: all that is not done.
    undone: [Table<raw::fimk_key, raw::fimk_entry>; 3],
    actors: Table<raw::fimk_actor_key, raw::fimk_actor>,
}

/// How much there was, and what found no room.
#[derive(Default)]
struct Carried {
    watched: u64,
    changes: u64,
    lost: u64,
}

impl Former {
    /// Opens them, while they are still pinned. None where one is gone or looks otherwise than ours.
    pub fn open(pins: &Pins) -> Option<Self> {
        Some(Self {
            watch: table(pins, "watch")?,
            undone: [
                table(pins, "dirty")?,
                table(pins, "attempts")?,
                table(pins, "taken")?,
            ],
            actors: table(pins, "actors")?,
        })
    }

    /// Puts it all into ours, whose programs are attached.
    pub fn carry(&self, process: &Process, file: &mut File) -> Result<()> {
        let mut carried = Carried::default();
        // Twice: what the old programs put on the watch behind the first walk, the new ones may not have seen either.
        for _ in 0..2 {
            self.carry_watched(file, &mut carried)?;
        }
        self.carry_changes(process, file, &mut carried)?;
        let Carried {
            watched,
            changes,
            lost,
        } = carried;
        log::line(format_args!(
            "{watched} watched objects and {changes} changes that are not done go on under the new programs"
        ));
        if lost > 0 {
            log::line(format_args!(
                "{lost} more changes found no room and are found by comparing, without who made them"
            ));
        }
        Ok(())
    }

    /// First what rules name, for which there is room in any case.
    fn carry_watched(&self, file: &mut File, carried: &mut Carried) -> Result<()> {
        for wanted in [raw::FIMK_WATCH_NAMED, 0] {
            let mut result = Ok(());
            self.watch.each(|object, watched| {
                life::sign();
                if watched.flags & raw::FIMK_WATCH_NAMED == wanted && result.is_ok() {
                    result = file.go_on_watching(&object, watched).map(|new| {
                        carried.watched += u64::from(new);
                    });
                }
            })?;
            result?;
        }
        Ok(())
    }

    /// To `taken`, which no program writes to: the next analyzer is told all of it first.
    fn carry_changes(&self, process: &Process, file: &File, carried: &mut Carried) -> Result<()> {
        let mut known = HashSet::new();
        for table in &self.undone {
            let mut result = Ok(());
            table.each(|key, entry| {
                life::sign();
                if result.is_err() {
                    return;
                }
                result = self
                    .carry_actor(process, actor_of_attempt(key.actor), &mut known)
                    .and_then(|()| carry_change(file, &key, entry))
                    .map(|has_room| {
                        carried.changes += u64::from(has_room);
                        carried.lost += u64::from(!has_room);
                    });
            })?;
            result?;
        }
        Ok(())
    }

    /// And those above, as far as ours does not know them by itself. A full table has no room for more.
    fn carry_actor(
        &self,
        process: &Process,
        mut key: raw::fimk_actor_key,
        known: &mut HashSet<[u8; size_of::<raw::fimk_actor_key>()]>,
    ) -> Result<()> {
        for _ in 0..ANCESTORS_MAX {
            if !known.insert(bytes_of(&key)) {
                return Ok(());
            }
            let Some(actor) = self.actors.get(&key)? else {
                return Ok(());
            };
            match process.actors.add(&key, &actor) {
                Err(cause) if cause.kind() == ErrorKind::TooBig => return Ok(()),
                added => added?,
            };
            key = actor.parent;
        }
        Ok(())
    }
}

/// False if there is no room.
fn carry_change(file: &File, key: &raw::fimk_key, entry: raw::fimk_entry) -> Result<bool> {
    // The number of a take that no analyzer knows; `counted` is of a count that begins anew.
    let entry = raw::fimk_entry {
        take: 0,
        counted: 0,
        ..entry
    };
    let before = file.taken.get(key)?;
    let whole = before.map_or(entry, |before| merge(before, entry));
    match file.taken.put(key, &whole) {
        Err(cause) if cause.kind() == ErrorKind::TooBig => Ok(false),
        put => put.map(|()| true),
    }
}

fn table<K: Plain, V: Plain>(pins: &Pins, name: &str) -> Option<Table<K, V>> {
    use libbpf_rs::MapCore;
    let map: MapHandle = pins.found_map(name)?;
    let fits = |size: u32, wanted: usize| usize::try_from(size).is_ok_and(|size| size == wanted);
    (fits(map.key_size(), size_of::<K>()) && fits(map.value_size(), size_of::<V>()))
        .then(|| Table::new(map))
}
