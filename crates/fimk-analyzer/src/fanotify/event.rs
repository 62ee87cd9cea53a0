//! One event, in paths.

use fimk_core::path::BytePath;

use super::{MaskFlags, wholes::FileSystem};

/// What one operation on a watched object looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FanotifyEvent {
    /// `FAN_*`, several if the kernel merged events of one process on one name. See [`MaskFlags`].
    pub mask: u64,
    /// Who did it: the process (thread group); 0 if not known.
    pub pid: u32,
    /// Absent if the group does not report it, or no descriptor was left.
    pub pidfd: Option<PidState>,
    /// The directory of `name`: for a rename the new one, if that is marked. Absent for the part of a rename that left.
    pub directory: Option<BytePath>,
    /// The entry in `directory`; empty for the directory itself.
    pub name: Vec<u8>,
    /// The former directory and name of what was moved, if that directory is marked.
    pub old: Option<(BytePath, Vec<u8>)>,
    /// The object itself, where the group reports it and it is marked itself.
    pub object: Option<BytePath>,
    /// Its other names, as far as they are known.
    pub aliases: Vec<BytePath>,
    /// The queue was full: events were lost.
    pub overflow: bool,
    /// A directory is named that is not in the table: its path is absent here. What happened is known only by a scan.
    pub unknown: bool,
    /// A file system reports that it is not well.
    pub error: Option<Reported>,
    /// What these paths were made of.
    pub(super) handles: Handles,
}

impl FanotifyEvent {
    /// What the kernel says when its queue is full.
    pub fn overflow() -> Self {
        Self {
            mask: MaskFlags::FAN_Q_OVERFLOW.bits(),
            overflow: true,
            ..Self::default()
        }
    }

    /// Whether both are known to be about one object.
    pub fn is_of_the_object_of(&self, other: &Self) -> bool {
        self.handles.object.is_some() && self.handles.object == other.handles.object
    }
}

/// What a file system says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    pub file_system: FileSystem,
    /// The first error since it was last told, as a number of `errno(3)`.
    pub error: i32,
    /// How many there were.
    pub count: u64,
}

/// The handles of an event: of the directories of its sides, and of the object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Handles {
    pub old: Option<Box<[u8]>>,
    pub new: Option<Box<[u8]>>,
    pub object: Option<Box<[u8]>>,
}

/// Whether the process still had its number when the event was read. (From Linux 7.1 on a reaped process
/// has a pidfd too.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidState {
    /// The number was still its own.
    AliveOrZombie,
    /// The number may belong to another process by now.
    Reaped,
}
