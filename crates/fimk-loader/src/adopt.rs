//! Takes over what a loader before us left pinned: its maps with all that is in them, and its attached programs.
//!
//! The map `meta` says whose the pins are. Its last field, `complete`, is written when all of them are there and
//! cleared before any is changed: pins of a loader that died in between are of no use and go. A bring-up that fails
//! before has changed none.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fimk_wire::{HOOK_NAMES, raw};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, MapType, OpenMapMut, OpenObject, Program};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::carry::Former;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::log;
use crate::objects::{File, Process};
use crate::pins::{LINK, META, NEW, Pins};
use crate::plan::Plan;
use crate::probe::{FILE_MAPS, PROCESS_MAPS};
use crate::system;

/// "fimk", so that a directory of somebody else's pins is not taken for ours.
const MAGIC: u32 = 0x6669_6d6b;
/// Of [`Meta`] and of the names of the pins.
const LAYOUT: u32 = 2;
/// In letters, so that it can be shown.
static BUILD: [u8; 16] = *include!(concat!(env!("OUT_DIR"), "/build_id.rs"));

/// The one value of `meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Meta {
    magic: u32,
    layout: u32,
    wire: u32,
    /// 1: whole.
    complete: u32,
    /// Hash of both BPF objects and the wire version; see build.rs.
    build: [u8; 16],
    /// How the operations are served, as the self-test of the loader that attached the programs found it.
    plan: Plan,
    /// `FIMK_COVERAGE_*` of the programs that are attached.
    coverage: u32,
}

impl Meta {
    fn ours(complete: bool) -> Self {
        Self {
            magic: MAGIC,
            layout: LAYOUT,
            wire: raw::FIMK_WIRE_VERSION,
            complete: u32::from(complete),
            build: build(),
            plan: [0; _],
            coverage: 0,
        }
    }

    fn is_of_this_build(&self) -> bool {
        self.wire == raw::FIMK_WIRE_VERSION && self.build == build()
    }

    /// Whether what its maps hold means the same to us.
    fn says_as_ours(&self) -> bool {
        self.wire == raw::FIMK_WIRE_VERSION
    }
}

/// What tells this build from others, read where it lies in the program: a test makes another build by changing it there.
fn build() -> [u8; 16] {
    *std::hint::black_box(&BUILD)
}

/// What `--version` prints.
pub fn version() -> String {
    let build = build();
    let build = String::from_utf8_lossy(&build);
    let version = env!("CARGO_PKG_VERSION");
    format!("fimk-loader {version} (programs {build})\n")
}

/// What is to be done with what was found.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing was found.
    Nothing,
    /// It is of this build, and whole.
    Adopt,
    /// It is of another build, or has room for another number of objects, and is whole: it serves until ours does.
    Replace(&'static str),
    /// It is of no use.
    Discard(&'static str),
    /// It is not fimk's.
    Refuse,
}

/// What is to become of the pins.
pub struct Takeover {
    /// The map `meta` of the pins that are being made.
    meta: MapHandle,
    /// That of the pins that are there, which are whole.
    old: Option<(MapHandle, Meta)>,
    /// Of the pins that are adopted: the plan, and the coverage.
    pub found: Option<(Plan, u32)>,
    /// The maps of whole pins that are to be replaced, of which ours can take over what they hold.
    former: Option<Former>,
    /// Whether that was done.
    carried: bool,
}

/// Decides on what a loader before us left. What is whole stays so until [`Takeover::finish`]. `objects`: the room
/// that is wanted.
pub fn begin(pins: &mut Pins, objects: u32) -> Result<Takeover> {
    let (old, found) = find(pins);
    let names: Vec<&str> = pins.names_found().collect();
    let room = pins.found_map("watch").map(|watch| watch.max_entries());
    let verdict = match judge(found.as_ref(), &names) {
        Verdict::Adopt if room.is_some_and(|room| room != objects) => {
            Verdict::Replace("have room for another number of objects")
        }
        verdict => verdict,
    };
    match verdict {
        Verdict::Nothing => {}
        Verdict::Refuse => return Err(not_ours(pins)),
        Verdict::Adopt => {
            pins.discard_unfinished()?;
            let (dirty, taken) = left(pins);
            log::line(format_args!(
                "the pins of a loader that is gone are taken over, with {dirty} changes that nobody was told of \
                 and {taken} that are not done"
            ));
            pins.adopts = true;
            pins.keep(META);
            let (meta, found) = whole(old, found)?;
            return Ok(Takeover {
                meta: copy(&meta)?,
                found: Some((found.plan, found.coverage)),
                old: Some((meta, found)),
                former: None,
                carried: false,
            });
        }
        Verdict::Replace(why) => {
            pins.discard_unfinished()?;
            log::line(format_args!(
                "the pins in {} {why} and are replaced",
                pins.path().display()
            ));
            let (map, meta) = whole(old, found)?;
            let former = Some(()).filter(|()| meta.says_as_ours());
            return Ok(Takeover {
                old: Some((map, meta)),
                former: former.and_then(|()| Former::open(pins)),
                ..make(pins)?
            });
        }
        Verdict::Discard(why) => {
            let removed = pins.discard_found()?;
            log::line(format_args!(
                "{removed} pins of a loader that is gone were removed from {}, because {why}; what they held is \
                 found by comparing, without who did it",
                pins.path().display()
            ));
        }
    }
    make(pins)
}

/// The map `meta` that was found, and its value. A loader that died while it pinned for the first time left its own
/// under the name of what is new, and that is the first thing it pinned.
fn find(pins: &Pins) -> (Option<MapHandle>, Option<Meta>) {
    let old = pins.found_map(META);
    let half = || {
        let meta = read(&pins.found_map(&format!("{NEW}{META}"))?)?;
        Some(Meta {
            complete: 0,
            ..meta
        })
    };
    let found = old.as_ref().map_or_else(half, read);
    (old, found)
}

fn whole(meta: Option<MapHandle>, found: Option<Meta>) -> Result<(MapHandle, Meta)> {
    meta.zip(found)
        .ok_or_else(|| Error::internal("the map meta", "it is gone"))
}

fn copy(map: &MapHandle) -> Result<MapHandle> {
    MapHandle::try_from(map).map_err(|cause| Error::internal("the map meta", cause))
}

/// Whether the pins found are fimk's, so that they may be removed.
pub fn are_ours(pins: &Pins) -> Result<()> {
    let (_, found) = find(pins);
    let names: Vec<&str> = pins.names_found().collect();
    match judge(found.as_ref(), &names) {
        Verdict::Refuse => Err(not_ours(pins)),
        _ => Ok(()),
    }
}

impl Takeover {
    /// Once our programs are attached, and before [`Takeover::finish`]: what those before them watched and saw goes on.
    pub fn carry(&mut self, process: &Process, file: &mut File) -> Result<()> {
        let Some(former) = &self.former else {
            return Ok(());
        };
        former.carry(process, file).map_err(|cause| {
            Error::internal("what the programs before saw cannot be carried over", cause)
        })?;
        self.carried = true;
        Ok(())
    }

    /// Once everything is pinned: ours takes the place of what was found, and is whole.
    pub fn finish(self, pins: &mut Pins, plan: Plan, coverage: u32) -> Result<()> {
        if !self.carried {
            tell_given_up(pins);
        }
        if let Some((map, meta)) = &self.old {
            // The flag alone: whose the pins are stays readable.
            let meta = Meta {
                complete: 0,
                ..*meta
            };
            write(map, meta)?;
        }
        pins.settle()?;
        let whole = Meta {
            plan,
            coverage,
            ..Meta::ours(true)
        };
        write(&self.meta, whole)
    }
}

/// What was to be taken over and could not be: its maps are still among what was found.
fn tell_given_up(pins: &Pins) {
    let (dirty, taken) = left(pins);
    if dirty + taken > 0 {
        log::line(format_args!(
            "{} changes of the loader before are lost with its maps and found by comparing, without who made them",
            dirty + taken
        ));
    }
}

/// Makes an object that is not loaded yet use the maps that were found. Says whether its variables are among them:
/// libbpf does not map those into our memory.
pub fn reuse(object: &mut OpenObject, pins: &mut Pins) -> libbpf_rs::Result<bool> {
    let mut variables = false;
    for mut map in object.maps_mut() {
        let own = map.name().to_string_lossy().into_owned();
        let name = if own.strip_suffix(".bss").is_some() {
            "filter"
        } else {
            &own
        };
        if !pins.adopts {
            return Ok(false);
        }
        let Some(found) = pins.found_map(name) else {
            continue;
        };
        if !has_shape_of(&found, &map) {
            log::line(format_args!(
                "the pinned {name} is not ours: it is made anew"
            ));
            pins.adopts = false;
            return Ok(variables);
        }
        map.reuse_fd(found.as_fd())?;
        pins.adopted_maps.push(found.info()?.info.id);
        pins.keep(name);
        variables |= name == "filter";
    }
    Ok(variables)
}

/// The link that was found under this hook's name, and its program, if that is the same as `ours` and works on
/// the same maps.
pub fn link(pins: &mut Pins, name: &str, ours: BorrowedFd<'_>) -> Option<(Link, OwnedFd)> {
    if !pins.adopts {
        return None;
    }
    let name = format!("{LINK}{name}");
    let link = Link::open(pins.found(&name)?).ok()?;
    let program = Program::fd_from_id(link.info().ok()?.prog_id).ok()?;
    let (ours, theirs) = (
        system::program_identity(ours)?,
        system::program_identity(program.as_fd())?,
    );
    let adopted = |maps: &[u32]| -> Vec<u32> {
        let adopted = pins.adopted_maps.iter().copied();
        adopted.filter(|map| maps.contains(map)).collect()
    };
    if ours.tag != theirs.tag || adopted(&ours.maps) != adopted(&theirs.maps) {
        return None;
    }
    pins.keep(&name);
    Some((link, program))
}

/// The hooks of which a loader before us left a link.
pub fn hooks(pins: &Pins) -> BTreeSet<u32> {
    pins.names_found()
        .filter_map(|name| name.strip_prefix(LINK))
        .filter_map(|name| HOOK_NAMES.iter().position(|hook| *hook == name))
        .filter_map(|hook| u32::try_from(hook).ok())
        .collect()
}

fn judge(found: Option<&Meta>, names: &[&str]) -> Verdict {
    let known = |name: &&str| {
        let name = name.strip_prefix(NEW).unwrap_or(name);
        let is_map = PROCESS_MAPS.contains(&name) || FILE_MAPS.contains(&name);
        name == META || name.starts_with(LINK) || is_map
    };
    match found {
        None if names.is_empty() => Verdict::Nothing,
        None if names.iter().all(known) => Verdict::Discard("they are not whole"),
        None => Verdict::Refuse,
        Some(meta) if meta.magic != MAGIC => Verdict::Refuse,
        Some(meta) if meta.layout != LAYOUT => Verdict::Discard("their layout is another build's"),
        Some(meta) if meta.complete != 1 => Verdict::Discard("they are not whole"),
        Some(meta) if meta.is_of_this_build() => Verdict::Adopt,
        Some(_) => Verdict::Replace("are of another build"),
    }
}

/// How many dirty and taken entries were found.
fn left(pins: &Pins) -> (usize, usize) {
    let count = |name| pins.found_map(name).map_or(0, |map| map.keys().count());
    (count("dirty"), count("taken"))
}

fn has_shape_of(found: &MapHandle, map: &OpenMapMut<'_>) -> bool {
    (
        found.map_type(),
        found.key_size(),
        found.value_size(),
        found.max_entries(),
    ) == (
        map.map_type(),
        map.key_size(),
        map.value_size(),
        map.max_entries(),
    )
}

/// `None`: it is no `meta` of any layout.
fn read(map: &MapHandle) -> Option<Meta> {
    let bytes = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok()??;
    Meta::read_from_prefix(&bytes).ok().map(|(meta, _)| meta)
}

fn write(map: &MapHandle, meta: Meta) -> Result<()> {
    map.update(&0u32.to_ne_bytes(), meta.as_bytes(), MapFlags::ANY)
        .map_err(|cause| Error::internal("the map meta cannot be written", cause))
}

fn make(pins: &mut Pins) -> Result<Takeover> {
    let options = system::map_options();
    let size = u32::try_from(size_of::<Meta>()).unwrap_or(u32::MAX);
    let mut meta = MapHandle::create(MapType::Array, Some("fimk_meta"), 4, size, 1, &options)
        .map_err(|cause| {
            let sentence = format!("this kernel makes no BPF map: {cause}");
            Error::new(Status::Kernel, sentence)
        })?;
    write(&meta, Meta::ours(false))?;
    pins.pin(META, |path| meta.pin(path))?;
    Ok(Takeover {
        meta,
        old: None,
        found: None,
        former: None,
        carried: false,
    })
}

fn not_ours(pins: &Pins) -> Error {
    let path = pins.path().display();
    let sentence = format!("the pins in {path} are not fimk's: name another --pin-dir");
    Error::new(Status::Io, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pins_of_this_very_build_are_adopted() {
        let ours = Meta::ours(true);
        let other = Meta {
            build: [7; 16],
            ..ours
        };
        let names = ["meta", "actors"];
        assert_eq!(judge(Some(&ours), &names), Verdict::Adopt);
        assert!(matches!(judge(Some(&other), &names), Verdict::Replace(_)));
        assert!(matches!(
            judge(Some(&Meta { wire: 1, ..ours }), &names),
            Verdict::Replace(_)
        ));
        for useless in [
            Meta::ours(false),
            Meta { layout: 9, ..ours },
            Meta {
                complete: 7,
                ..other
            },
        ] {
            assert!(matches!(judge(Some(&useless), &names), Verdict::Discard(_)));
        }
    }

    #[test]
    fn pins_without_meta_are_removed_only_if_their_names_are_fimks() {
        assert_eq!(judge(None, &[]), Verdict::Nothing);
        let half = ["new_actors", "link_vfs_write", "new_link_d_move"];
        assert!(matches!(judge(None, &half), Verdict::Discard(_)));
        let new = PROCESS_MAPS.iter().chain(&FILE_MAPS);
        let new: Vec<String> = new.map(|name| format!("{NEW}{name}")).collect();
        let new: Vec<&str> = new.iter().map(String::as_str).collect();
        assert!(matches!(judge(None, &new), Verdict::Discard(_)));
        assert_eq!(judge(None, &["actors", "cilium_calls"]), Verdict::Refuse);
        let foreign = Meta {
            magic: 0,
            ..Meta::ours(true)
        };
        assert_eq!(judge(Some(&foreign), &["meta"]), Verdict::Refuse);
    }
}
