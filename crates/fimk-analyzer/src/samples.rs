//! What unit tests begin with.

use fimk_core::{
    attribution::Attribution,
    record::{Attributes, Content, Digest, FileKind, Snapshot},
    time::Timestamp,
};

use crate::{
    identity::ActorKey,
    pending::Pending,
    signal::{Fact, Operations, Touch},
};

/// A file of four bytes that was read.
pub fn snapshot(digest: u8, mode: u32) -> Snapshot {
    Snapshot {
        attributes: Attributes {
            kind: FileKind::File,
            mode,
            uid: 0,
            gid: 0,
            size: 4,
            links: 1,
            inode: 7,
            device: (8, 1),
            mtime: Timestamp(i64::from(digest)),
            ctime: Timestamp(1),
        },
        content: Content::Read {
            digest: Digest::Plain([digest; 32]),
            state: None,
        },
        extended: None,
    }
}

/// One operation of a process, at the first moment of all.
pub fn touch(pid: u32, operation: u32, fact: Option<Fact>) -> Touch {
    Touch {
        actor: Some(ActorKey {
            pid,
            image: 0,
            start_ns: 1,
        }),
        uid: None,
        by: Attribution::PROGRAM,
        operations: Operations::of(&[operation]),
        first: Timestamp(1),
        last: Timestamp(1),
        count: 1,
        bytes: 0,
        accessed: None,
        fact,
    }
}

/// What waits with these touches.
pub fn pending(touches: Vec<Touch>) -> Pending {
    let mut pending = Pending::default();
    for touch in touches {
        pending.add(touch);
    }
    pending
}
