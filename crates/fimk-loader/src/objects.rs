//! The BPF objects: opening and loading them; here the one that sees what happens to files.

mod linger;
mod messages;
mod process;
mod programs;
mod room;
mod skeletons;

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use fimk_wire::raw;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{MapCore, MapHandle, Object, OpenObject, Result};

use crate::adopt;
use crate::packets;
use crate::pins::Pins;
use crate::system;
use crate::table::Table;

pub use linger::Linger;
pub use messages::{errno_of, hook_blamed, is_of_verifier, keep_messages, messages};
pub use process::Process;
pub use programs::{attach, program, program_name, programs};
pub(crate) use skeletons::holding;

use skeletons::file;

/// What happens to files: needs trampolines.
pub struct File {
    skeleton: file::FileSkel<'static>,
    /// What is watched.
    pub watch: Table<raw::fimk_object, raw::fimk_watch>,
    /// What was touched and not taken yet.
    pub dirty: Table<raw::fimk_key, raw::fimk_entry>,
    /// Attempts that were not taken yet: a key says whether it is one of these.
    pub attempts: Table<raw::fimk_key, raw::fimk_entry>,
    /// What the analyzer is at work on.
    pub taken: Table<raw::fimk_key, raw::fimk_entry>,
}

/// Which of the copies of the file object one is, see `bpf/maps.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Copied {
    Only = 0,
    First = 1,
    Second = 2,
}

/// How large the maps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// For this many objects on the watch.
    Objects(u32),
    /// For the few objects of the self-test.
    Trial,
}

/// Entries of each hash of a trial, several times what the self-test makes.
const TRIAL_ENTRIES: u32 = 1024;

/// Maps that are not shared: what a program composes in belongs to it alone.
const OWN_OF_A_COPY: [&str; 3] = ["file_scratch", "actor_scratch", ".rodata"];

/// Objects on the watch for each entry of `dirty`: what changes at once is a small part of a host.
const OBJECTS_A_TOUCH: u32 = 16;
/// Entries of `dirty` at least: some seconds of a busy package manager, however little is watched.
const TOUCHES_MIN: u32 = 8_192;

impl Size {
    fn set(self, maps: &mut file::OpenFileMaps<'_>) -> Result<()> {
        let (watch, dirty) = match self {
            Self::Trial => (TRIAL_ENTRIES, TRIAL_ENTRIES),
            Self::Objects(objects) => (objects, (objects / OBJECTS_A_TOUCH).max(TOUCHES_MIN)),
        };
        maps.watch.set_max_entries(watch)?;
        maps.dirty.set_max_entries(dirty)?;
        if self == Self::Trial {
            maps.attempts.set_max_entries(TRIAL_ENTRIES)?;
            maps.taken.set_max_entries(1)?;
        }
        Ok(())
    }
}

impl File {
    /// Loads the programs of these hooks on maps of their own, but for `actors`, which is `process`'s.
    pub fn load(
        process: &Process,
        wanted: &BTreeSet<u32>,
        size: Size,
        copied: Copied,
    ) -> Result<Self> {
        messages();
        let mut open = Self::open(copied)?;
        size.set(&mut open.maps)?;
        let mut file = Self::finish(open, process, wanted)?;
        file.set_room();
        Ok(file)
    }

    /// Loads the programs of these hooks on the maps that `pins` adopts.
    pub fn load_on(
        process: &Process,
        wanted: &BTreeSet<u32>,
        size: Size,
        copied: Copied,
        pins: &mut Pins,
    ) -> Result<Self> {
        messages();
        let mut open = Self::open(copied)?;
        size.set(&mut open.maps)?;
        let shares = adopt::reuse(open.open_object_mut(), pins)?;
        let mut file = Self::finish(open, process, wanted)?;
        let maps = &mut file.skeleton.maps;
        if shares && let Some(variables) = maps.bss_data.as_mut() {
            system::share(*variables, maps.bss.as_fd()).map_err(std::io::Error::from)?;
        }
        file.set_room();
        Ok(file)
    }

    /// Loads the second copy of the programs of these hooks, on the maps of the first.
    pub fn load_again(&self, process: &Process, wanted: &BTreeSet<u32>) -> Result<Self> {
        messages();
        let mut open = Self::open(Copied::Second)?;
        for mut map in open.open_object_mut().maps_mut() {
            let name = map.name().to_owned();
            let own = OWN_OF_A_COPY
                .iter()
                .any(|own| name.to_string_lossy().ends_with(own));
            if let Some(first) = self.object().maps().find(|first| first.name() == name)
                && !own
            {
                map.reuse_fd(first.as_fd())?;
            }
        }
        Self::finish(open, process, wanted)
    }

    fn open(copied: Copied) -> Result<file::OpenFileSkel<'static>> {
        let mut open = file::FileSkelBuilder::default().open(storage())?;
        if let Some(constants) = open.maps.rodata_data.as_mut() {
            constants.copy = copied as u8;
        }
        Ok(open)
    }

    fn finish(
        mut open: file::OpenFileSkel<'static>,
        process: &Process,
        wanted: &BTreeSet<u32>,
    ) -> Result<Self> {
        open.maps
            .actors
            .reuse_fd(process.skeleton.maps.actors.as_fd())?;
        for mut program in open.open_object_mut().progs_mut() {
            let hook =
                (0..raw::FIMK_HOOKS).find(|&hook| program.name() == program_name(hook).as_str());
            program.set_autoload(hook.is_some_and(|hook| wanted.contains(&hook)));
        }
        // Each program has a slot in these, on each CPU: none for programs that are not loaded.
        let slots = wanted.last().map_or(1, |hook| hook + 1);
        open.maps.file_scratch.set_max_entries(slots)?;
        open.maps.actor_scratch.set_max_entries(slots)?;
        let skeleton = open.load()?;
        Ok(Self {
            watch: Table::new(MapHandle::try_from(&skeleton.maps.watch)?),
            dirty: Table::new(MapHandle::try_from(&skeleton.maps.dirty)?),
            attempts: Table::new(MapHandle::try_from(&skeleton.maps.attempts)?),
            taken: Table::new(MapHandle::try_from(&skeleton.maps.taken)?),
            skeleton,
        })
    }

    /// Nothing is watched or dirty after this, and no record is left. For an object that serves nobody yet.
    pub fn forget_all(&mut self) -> Result<()> {
        self.watch.clear()?;
        self.dirty.clear()?;
        self.attempts.clear()?;
        Table::<u64, u8>::new(self.flagged()?).clear()?;
        let mut builder = libbpf_rs::RingBufferBuilder::new();
        let ring = self.ring()?;
        builder.add(&ring, |_| 0)?;
        builder.build()?.consume_raw();
        if let Some(variables) = self.skeleton.maps.bss_data.as_mut() {
            variables.filter.fill(0);
            variables.any_flagged = false;
            (variables.ordinary, variables.ordinary_gone) = (0, 0);
            variables.crowd_made.fill(0);
            variables.crowd_gone.fill(0);
            variables.lost_rules.fill(0);
        }
        Ok(())
    }

    /// The rules of which something found no room in `dirty` since this was last asked, a bit each.
    pub fn take_lost_rules(&mut self) -> [u8; packets::RULES_BYTES] {
        let mut bits = [0; packets::RULES_BYTES];
        if let Some(variables) = self.skeleton.maps.bss_data.as_mut() {
            for (at, lost) in variables.lost_rules.iter_mut().enumerate() {
                // Cleared before it is told: what is lost after is told again.
                bits[at / 8] |= u8::from(std::mem::take(lost) != 0) << (at % 8);
            }
        }
        bits
    }

    /// Open files on which an ioctl asked for other flags.
    pub fn flagged(&self) -> Result<MapHandle> {
        MapHandle::try_from(&self.skeleton.maps.flagged)
    }

    /// The ring of the records to forward.
    pub fn ring(&self) -> Result<MapHandle> {
        MapHandle::try_from(&self.skeleton.maps.ring)
    }

    /// Per hook and CPU.
    pub fn counters(&self) -> Result<MapHandle> {
        MapHandle::try_from(&self.skeleton.maps.file_counters)
    }

    /// The filter and the arming variables.
    pub fn variables(&self) -> Result<MapHandle> {
        MapHandle::try_from(&self.skeleton.maps.bss)
    }

    /// The loaded object.
    pub fn object(&self) -> &Object {
        self.skeleton.object()
    }

    /// Visits the entries that wait to be taken: changes first.
    pub fn each_untaken(
        &self,
        mut visit: impl FnMut(raw::fimk_key, raw::fimk_entry),
    ) -> Result<()> {
        self.dirty.each(&mut visit)?;
        self.attempts.each(visit)
    }

    /// Where the entry of a key waits to be taken.
    pub fn waiting(&self, key: &raw::fimk_key) -> &Table<raw::fimk_key, raw::fimk_entry> {
        match fimk_wire::kind_of(key.actor) {
            raw::FIMK_KIND_CHANGE => &self.dirty,
            _ => &self.attempts,
        }
    }

    /// Says which processes are our own: what they open is no attempt. 0: none.
    pub fn set_own(&mut self, loader: u32, analyzer: u32) {
        if let Some(variables) = self.skeleton.maps.bss_data.as_mut() {
            variables.own_loader = loader;
            variables.own_analyzer = analyzer;
        }
    }

    /// Names the thread whose statx calls arm (`pid << 32 | tid`, 0: none), and what they arm.
    pub fn set_arming(&mut self, thread: u64, rule: u32, flags: u32) -> bool {
        let Some(variables) = self.skeleton.maps.bss_data.as_mut() else {
            return false;
        };
        variables.arming_rule = rule;
        variables.arming_flags = flags;
        variables.arming_thread = thread;
        true
    }
}

/// A skeleton borrows its object's place; each is loaded once and lives as long as the process.
pub(crate) fn storage() -> &'static mut MaybeUninit<OpenObject> {
    Box::leak(Box::new(MaybeUninit::uninit()))
}
