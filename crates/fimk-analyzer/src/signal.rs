//! What a source says, in words that are the same for all sources.

use fimk_core::{attribution::Attribution, config::Kind, path::BytePath, time::Timestamp};
use fimk_wire::{OPERATION_NAMES, raw};

use crate::{fanotify::Reported, identity::ActorKey, mounts::Hint};

/// A change of attributes of which the source does not say which: fanotify. Behind the numbers of the wire.
pub const ATTRIBUTE: u32 = 31;

/// An open of which the source does not say for what: fanotify.
pub const OPEN: u32 = 30;

/// A set of `enum fimk_operation`, [`OPEN`] and [`ATTRIBUTE`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Operations(u32);

impl Operations {
    /// Those that may change content.
    pub const CONTENT: Self = Self::of(&[
        raw::FIMK_OP_WRITE,
        raw::FIMK_OP_TRUNCATE,
        raw::FIMK_OP_ALLOCATE,
        raw::FIMK_OP_CLONE,
        raw::FIMK_OP_MAP,
        raw::FIMK_OP_CLOSE,
    ]);
    /// Those that write content for certain, while MAP and CLOSE only may.
    pub const WRITES: Self = Self::of(&[
        raw::FIMK_OP_WRITE,
        raw::FIMK_OP_TRUNCATE,
        raw::FIMK_OP_ALLOCATE,
        raw::FIMK_OP_CLONE,
    ]);
    /// Those that change attributes.
    pub const ATTRIBUTES: Self = Self::of(&[
        raw::FIMK_OP_CHMOD,
        raw::FIMK_OP_CHOWN,
        raw::FIMK_OP_UTIMES,
        raw::FIMK_OP_SETXATTR,
        raw::FIMK_OP_SETFLAGS,
        raw::FIMK_OP_SETACL,
        raw::FIMK_OP_SETTRUSTED,
        ATTRIBUTE,
    ]);
    /// Those of names: on a directory, they are about what is in it.
    pub const NAMES: Self = Self::of(&[
        raw::FIMK_OP_CREATE,
        raw::FIMK_OP_LINK,
        raw::FIMK_OP_UNLINK,
        raw::FIMK_OP_RENAME,
        raw::FIMK_OP_EXCHANGE,
        raw::FIMK_OP_MOUNT,
        raw::FIMK_OP_UNMOUNT,
    ]);

    /// Those of what is mounted on an object: nothing is done to the object itself.
    pub const MOUNTS: Self = Self::of(&[raw::FIMK_OP_MOUNT, raw::FIMK_OP_UNMOUNT]);

    /// Of these numbers; one that no operation can have is none.
    pub const fn of(operations: &[u32]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < operations.len() {
            if operations[at] < u32::BITS {
                set |= 1 << operations[at];
            }
            at += 1;
        }
        Self(set)
    }

    /// From the flags of a `fimk_entry`.
    pub fn from_flags(flags: &[u8]) -> Self {
        Self(
            flags
                .iter()
                .zip(0u32..32)
                .filter(|&(&flag, _)| flag != 0)
                .fold(0, |set, (_, bit)| set | 1 << bit),
        )
    }

    /// Whether both have one in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// All of both.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of this that are not of the other.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// None at all.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names.
    pub fn names(self) -> Vec<String> {
        let known = OPERATION_NAMES.iter().copied().zip(0u32..);
        known
            .chain([("open", OPEN), ("attributes", ATTRIBUTE)])
            .filter(|&(_, bit)| self.0 & 1 << bit != 0)
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

/// A touch by one actor, or several of the same actor made one.
#[derive(Debug, Clone)]
pub struct Touch {
    /// None: unknown.
    pub actor: Option<ActorKey>,
    /// The real user at that time, where the source says.
    pub uid: Option<u32>,
    /// What told of the actor.
    pub by: Attribution,
    /// What was done.
    pub operations: Operations,
    /// First of them.
    pub first: Timestamp,
    /// Last of them.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
    /// Bytes written, where the source says.
    pub bytes: u64,
    /// The name the actor used.
    pub accessed: Option<BytePath>,
    /// What became of the name, if this touch is about it.
    pub fact: Option<Fact>,
}

impl Touch {
    /// Nobody was seen to do anything; what became of the name shows by itself.
    pub fn by_nobody(at: Timestamp, fact: Option<Fact>) -> Self {
        Self {
            actor: None,
            uid: None,
            by: Attribution::default(),
            operations: Operations::default(),
            first: at,
            last: at,
            count: 0,
            bytes: 0,
            accessed: None,
            fact,
        }
    }
}

/// A fact of the kernel's record: about a name, but for the last two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// It is new.
    Created,
    /// It is another name of an object that already had one. With the other name, when it is not this one.
    Linked(Option<BytePath>),
    /// It is gone.
    Deleted,
    /// What stands here came from another name, that had nothing to do with what stood here before.
    Renamed(Option<BytePath>),
    /// What stood here was replaced by what had another name.
    Replaced(Option<BytePath>),
    /// What stood here has a name outside the rules now.
    MovedOut(Option<BytePath>),
    /// In a layer of an overlay another object may lie below this name now, or none: what became of the name
    /// itself only a look tells.
    Beneath,
    /// Extended attributes that cannot be read were set or removed. Those of which the names are known.
    Attributes(Vec<String>),
    /// It was done to an object that stood here before, with this inode number: it explains nothing of what stands here now.
    Former(u64),
}

impl Fact {
    /// Whether it says for itself what became of the name.
    pub fn tells_of_name(&self) -> bool {
        !matches!(self, Self::Beneath | Self::Attributes(_) | Self::Former(_))
    }
}

/// What a source says.
#[derive(Debug, Clone)]
pub enum Signal {
    /// Something happened to what stands under this name.
    Touched(BytePath, Touch),
    /// An object moved from one name to another.
    Moved {
        /// Its old name, when it was watched or could be told.
        old: Option<BytePath>,
        /// Its new name, likewise.
        new: Option<BytePath>,
        /// Something else had the new name.
        replaced: bool,
        /// A directory.
        directory: bool,
        /// It was before what a walk found: what waits under these names may be of what came there since.
        before: bool,
        /// By whom.
        touch: Touch,
    },
    /// Something was done to what stands under this name that does not change it, or was refused.
    Attempted(BytePath, Attempted),
    /// Records about the names in this directory were lost: compare it. With those whose records they were.
    Compare(BytePath, Vec<Touch>),
    /// Something happened to what had this name before another mount covered it.
    Covered(BytePath, Touch),
    /// Somebody mounts or unmounts something. The mount table tells what came of it.
    Mount(Hint),
    /// A file system reports errors; with the path of what they are of, if that is known.
    Ails(Reported, Option<BytePath>),
    /// The queue of fanotify was full: compare everything.
    Overflowed,
    /// The source lost something it cannot name: compare everything. With the reason, for a person.
    Lost(String),
}

/// An attempt by one actor, or several alike of the same actor.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// What kind of attempt.
    pub kind: Kind,
    /// The errno with which it was refused.
    pub error: Option<u32>,
    /// By whom, how often, when.
    pub touch: Touch,
    /// Who it was if nobody comes to be known by the key in `touch`: the image that executed, if that failed.
    pub or_else: Option<ActorKey>,
}

impl Touch {
    /// Whether it was done to an object that stands here no more.
    pub fn is_of_former(&self) -> bool {
        matches!(self.fact, Some(Fact::Former(_)))
    }

    /// Takes in a later touch of the same actor.
    pub fn absorb(&mut self, later: Self) {
        self.operations = self.operations.with(later.operations);
        self.first = self.first.min(later.first);
        self.last = self.last.max(later.last);
        self.count = self.count.saturating_add(later.count);
        self.bytes = self.bytes.saturating_add(later.bytes);
        self.by = self.by.with(later.by);
        self.accessed = self.accessed.take().or(later.accessed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_names() {
        let mut flags = [0u8; raw::FIMK_OPERATIONS_MAX as usize];
        flags[raw::FIMK_OP_WRITE as usize] = 1;
        flags[raw::FIMK_OP_CLOSE as usize] = 7;
        let set = Operations::from_flags(&flags);
        assert_eq!(set.names(), ["write", "close"]);
        assert!(set.meets(Operations::WRITES) && !set.meets(Operations::ATTRIBUTES));
    }
}
