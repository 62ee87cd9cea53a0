//! What came of looking at a path, and how a rule wants it to be read.

use fimk_core::{
    config::{ContentMode, Rule},
    path::BytePath,
    record::{Content, Digest, Record, Snapshot},
};

use crate::{
    patience::Hangs,
    read::{Known, LEASED, Read, ReadError, Reader, Wanted},
};

/// What came of looking at a path.
pub enum Looked {
    /// It is there.
    There(Box<Read>),
    /// Nothing is there.
    Gone,
    /// Nobody knows.
    Silent(Hangs),
}

impl Looked {
    /// Whether it is to be looked at again although nothing tells to: it hangs, or is leased to somebody.
    pub fn is_stalled(&self) -> bool {
        match self {
            Self::There(read) => is_leased(&read.snapshot),
            Self::Gone => false,
            Self::Silent(_) => true,
        }
    }

    /// Whether its content is the one on record by another hash; the record then has the digest of today.
    pub(super) fn is_known_again(&self, record: Option<&mut Record>) -> bool {
        let (Self::There(read), Some(record)) = (self, record) else {
            return false;
        };
        if let (Content::Read { digest: new, .. }, Content::Read { digest, .. }) =
            (&read.snapshot.content, &mut record.snapshot.content)
            && read.rehashed
        {
            *digest = *new;
        }
        read.rehashed
    }

    /// Whether what is on record is still the beginning of it.
    pub(super) fn has_grown(&self) -> bool {
        matches!(self, Self::There(read) if read.grown)
    }

    /// By further hashes.
    pub(super) fn digests(&self) -> Vec<Digest> {
        match self {
            Self::There(read) => read.digests.clone(),
            Self::Gone | Self::Silent(_) => Vec::new(),
        }
    }

    /// What was read.
    pub fn snapshot(self) -> Option<Snapshot> {
        match self {
            Self::There(read) => Some(read.snapshot),
            Self::Gone | Self::Silent(_) => None,
        }
    }
}

/// How a rule wants contents to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    content: ContentMode,
    growing: bool,
}

impl Manner {
    /// This rule.
    pub(crate) fn of(rule: &Rule) -> Self {
        Self {
            content: rule.content,
            growing: rule.growing.is_some(),
        }
    }
}

/// Reads a path under a rule, in a thread that may hang. `known`: its content on record.
pub(crate) fn read_under(
    reader: &Reader,
    path: &BytePath,
    manner: Manner,
    known: Option<Known>,
) -> Option<Read> {
    let wanted = Wanted {
        consumer: Some(reader.consumer(path)),
        content: manner.content,
        growing: manner.growing,
    };
    match reader.snapshot_of(path, &wanted, known) {
        Ok(read) => Some(read),
        Err(ReadError::Gone) => {
            reader.forget_includes(path);
            None
        }
        Err(error) => unreadable(reader, path, &error),
    }
}

/// Whether somebody's lease keeps it from being read.
pub(crate) fn is_leased(snapshot: &Snapshot) -> bool {
    matches!(&snapshot.content, Content::Unread(why) if why == LEASED)
}

/// Its attributes at least, and why its content is not known.
fn unreadable(reader: &Reader, path: &BytePath, error: &ReadError) -> Option<Read> {
    let attributes = reader.attributes(path).ok()?;
    Some(Read {
        snapshot: Snapshot {
            attributes,
            content: Content::Unread(error.to_string()),
            extended: None,
        },
        consistent: true,
        rehashed: false,
        grown: false,
        digests: Vec::new(),
    })
}

/// As it was last seen.
pub(super) fn without_content(known: &Snapshot, Hangs(why): Hangs) -> Snapshot {
    Snapshot {
        content: Content::Unread(why),
        ..known.clone()
    }
}
