//! Objects and actors as keys of our tables; the wire's own structs carry no behaviour.

use fimk_wire::raw;

/// `fimk_object`: (`s_dev`, inode, generation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    /// `i_ino`.
    pub inode: u64,
    /// `s_dev`.
    pub device: u32,
    /// `i_generation`.
    pub generation: u32,
}

impl Object {
    /// None for the all-zero object, which means "nothing" on the wire.
    pub fn of(wire: raw::fimk_object) -> Option<Self> {
        let raw::fimk_object {
            inode,
            device,
            generation,
        } = wire;
        (inode != 0 || device != 0).then_some(Self {
            inode,
            device,
            generation,
        })
    }

    /// For sources that do not know it.
    pub fn without_generation(self) -> Self {
        Self {
            generation: 0,
            ..self
        }
    }

    /// As the wire has it.
    pub fn wire(self) -> raw::fimk_object {
        raw::fimk_object {
            inode: self.inode,
            device: self.device,
            generation: self.generation,
        }
    }
}

/// A device as the kernel has it inside, from `st_dev`: 12 bits of major and 20 of minor (`kdev_t.h`). On btrfs, and
/// overlayfs in part, `st_dev` is a number that no `s_dev` has.
pub fn device_of(st_dev: u64) -> u32 {
    libc::major(st_dev) << 20 | libc::minor(st_dev) & 0xf_ffff
}

/// `fimk_actor_key`: a program image run by a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorKey {
    /// In the host's pid namespace.
    pub pid: u32,
    /// Which of the images it ran.
    pub image: u32,
    /// Start in nanoseconds since boot.
    pub start_ns: u64,
}

impl ActorKey {
    /// None for the all-zero key.
    pub fn of(wire: raw::fimk_actor_key) -> Option<Self> {
        let raw::fimk_actor_key {
            pid,
            image,
            start_ns,
        } = wire;
        (pid != 0).then_some(Self {
            pid,
            image,
            start_ns,
        })
    }

    /// As the wire has it.
    pub fn wire(self) -> raw::fimk_actor_key {
        raw::fimk_actor_key {
            pid: self.pid,
            image: self.image,
            start_ns: self.start_ns,
        }
    }
}
