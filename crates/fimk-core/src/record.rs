//! What is known of an object: one reading of it ([`Snapshot`]), and the accepted one ([`Record`]).

use fimk_consumers::{State, Token};
use serde::{Deserialize, Serialize};

use crate::{path::BytePath, time::Timestamp};

/// The type of a file, in ECS words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharacterDevice,
    BlockDevice,
    Unknown,
}

impl FileKind {
    /// From the type bits of `st_mode`.
    pub fn from_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            0o020_000 => Self::CharacterDevice,
            0o060_000 => Self::BlockDevice,
            _ => Self::Unknown,
        }
    }

    /// As `file.type` has it.
    pub fn ecs(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "dir",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharacterDevice => "char",
            Self::BlockDevice => "block",
            Self::Unknown => "unknown",
        }
    }
}

/// What statx says of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// File, directory, …
    pub kind: FileKind,
    /// Permission bits, set-id and sticky: `st_mode & 07777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// In bytes.
    pub size: u64,
    /// Hard links.
    pub links: u32,
    /// `st_ino`.
    pub inode: u64,
    /// `st_dev`: major, minor.
    pub device: (u32, u32),
    /// Content changed.
    pub mtime: Timestamp,
    /// Anything changed.
    pub ctime: Timestamp,
}

/// What an object has besides [`Attributes`]: flags, access lists, extended attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    /// Those of statx(2) that are set, in the order of their declaration.
    pub flags: Vec<FileFlag>,
    /// The access control list; empty without one, for then the mode says all.
    pub acl: Vec<AclEntry>,
    /// Of a directory: the list that what is made in it begins with.
    pub default_acl: Vec<AclEntry>,
    /// `security.capability` in the words of `cap_text_formats`(7).
    pub capabilities: Option<String>,
    /// All others, by name, those of the system first; see `more`.
    pub xattrs: Vec<Xattr>,
    /// How many there are beyond the limit, which were not looked at.
    pub more: u32,
}

/// A flag of a file: statx(2), `stx_attributes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FileFlag {
    Immutable,
    AppendOnly,
    NoDump,
    Compressed,
    Encrypted,
    Verity,
}

impl FileFlag {
    /// For a person.
    pub fn word(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::AppendOnly => "append-only",
            Self::NoDump => "nodump",
            Self::Compressed => "compressed",
            Self::Encrypted => "encrypted",
            Self::Verity => "verity",
        }
    }
}

/// One entry of an access control list: acl(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AclEntry {
    /// Whom it is for.
    pub who: AclWho,
    /// Read, write, execute: 4, 2, 1.
    pub permissions: u8,
}

/// Whom an entry is for. Numbers, not names: a user who gets another name changes no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum AclWho {
    Owner,
    User(u32),
    OwningGroup,
    Group(u32),
    Mask,
    Other,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattr {
    /// With its namespace, escaped: `user.note`.
    pub name: String,
    /// None where it could not be read.
    pub value: Option<XattrValue>,
}

/// The value of an extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct XattrValue {
    /// Its length in bytes.
    pub bytes: u32,
    /// Keyed: a short value could be guessed at.
    pub digest: [u8; 32],
    /// A short text as it is, secrets replaced.
    pub text: Option<String>,
}

/// The digest of a content. Content in which a secret was found has no plain digest: it could be guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Digest {
    /// SHA-256.
    Plain([u8; 32]),
    /// HMAC-SHA-256 with the host's digest key.
    Keyed([u8; 32]),
    /// BLAKE3, where the configuration asks for it.
    Blake3([u8; 32]),
    /// SHA-512, likewise, in two halves.
    Sha512([[u8; 32]; 2]),
    /// SHA-1, likewise.
    Sha1([u8; 20]),
    /// MD5, likewise.
    Md5([u8; 16]),
}

/// What is known of an object's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Not a regular file, or not readable, or larger than may be read, or the rule says `none`.
    Unread(String),
    /// Read to its end.
    Read {
        /// Of all its bytes.
        digest: Digest,
        /// What its consumer understood, secrets replaced; none where only the digest is kept.
        state: Option<State>,
    },
    /// Of a symbolic link.
    Link(BytePath),
}

/// One consistent reading of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What statx said before and after the reading of the content.
    pub attributes: Attributes,
    /// What was read.
    pub content: Content,
    /// None where it is not known, which differs from nothing.
    pub extended: Option<Extended>,
}

/// The accepted state of a path: the last [`Snapshot`] that was reported, or the baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The reading.
    pub snapshot: Snapshot,
    /// When it was taken.
    pub seen: Timestamp,
    /// Which digest key made its tokens: a token of another key cannot be compared.
    pub key_id: Token,
}
