//! The object that knows who runs.

use fimk_wire::raw;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Iter, MapHandle, Object, Result};

use super::{attach, messages, skeletons::process, storage};
use crate::adopt;
use crate::pins::Pins;
use crate::table::Table;

/// Who runs: loads wherever BPF loads at all.
pub struct Process {
    pub(super) skeleton: process::ProcessSkel<'static>,
    /// Every image known, by its key.
    pub actors: Table<raw::fimk_actor_key, raw::fimk_actor>,
    /// The latest image of a pid.
    pub pids: Table<u32, raw::fimk_actor_key>,
}

impl Process {
    /// Loads the object, on the maps that `pins` adopts; nothing is attached yet.
    pub fn load(pins: Option<&mut Pins>) -> Result<Self> {
        messages();
        let mut open = process::ProcessSkelBuilder::default().open(storage())?;
        if let Some(pins) = pins {
            adopt::reuse(open.open_object_mut(), pins)?;
        }
        let skeleton = open.load()?;
        Ok(Self {
            actors: Table::new(MapHandle::try_from(&skeleton.maps.actors)?),
            pids: Table::new(MapHandle::try_from(&skeleton.maps.pids)?),
            skeleton,
        })
    }

    /// The ring of the keys of images that ended.
    pub fn exits(&self) -> Result<MapHandle> {
        MapHandle::try_from(&self.skeleton.maps.exits)
    }

    /// Per hook and CPU.
    pub fn counters(&self) -> Result<MapHandle> {
        MapHandle::try_from(&self.skeleton.maps.process_counters)
    }

    /// The loaded object.
    pub fn object(&self) -> &Object {
        self.skeleton.object()
    }

    /// Runs the task iterator once, so that processes older than us are known. Attach the tracepoints first.
    pub fn gather_running(&self) -> Result<()> {
        let link = attach(self.object(), raw::FIMK_HOOK_TASKS)?;
        std::io::copy(&mut Iter::new(&link)?, &mut std::io::sink())?;
        Ok(())
    }
}
