//! Reading an object of the file system as hostile territory: whoever owns the path may change it meanwhile, make it
//! a pipe that never ends, a link, a device, or endless.
//!
//! An object is first opened as a mere place (`O_PATH`: no driver, pipe or lease notices) and looked at; only what is
//! a regular file is then opened for reading, through that place, so that both are the same object. Where the
//! place was reached by a name that a user may bend to lead elsewhere, nothing is read: see `place`.

mod acl;
mod attributes;
mod capabilities;
mod content;
mod extended;
mod hash;
mod open;
mod place;

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fimk_consumers::{Consumer, State, read_beginning, understood};
use fimk_core::{
    config::{Config, ContentMode, Hash},
    path::BytePath,
    record::{Attributes, Content, Digest, Extended, FileKind, Record, Snapshot},
    time::Timestamp,
};
use nix::{errno::Errno, fcntl::OFlag};
use thiserror::Error;

use self::{
    content::Stream,
    hash::{Digests, Hashing},
    place::Refusal,
};
use crate::{
    homes::{Homes, Table},
    included::Included,
    key::DigestKey,
    patience::Progress,
    scan::Pace,
    users::Users,
};

pub use self::{
    attributes::unchanged,
    content::{LEASED, is_too_large},
    open::open_path,
};

/// How old the table of homes may be where very much is read: each file after the first of so short a time was read
/// without a look at passwd, which costs a tenth of reading a small file.
const HOMES_AGE_MAX: Duration = Duration::from_millis(10);

/// An object that changes while it is read is read again this often before the reading is called inconsistent.
/// Whoever writes without a pause must not hold a reader for ever; the end of the writing is another hint.
const ATTEMPTS: u32 = 3;

/// What a reading is for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who understands the content; without one there is no state, and nobody who could find a secret in it.
    pub consumer: Option<Consumer>,
    /// How much of it.
    pub content: ContentMode,
    /// Whether it is only ever added to: then no more is kept than a keyed digest, and what is known is looked for at its
    /// beginning.
    pub growing: bool,
}

/// The content on record.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    digest: Digest,
    bytes: u64,
}

impl Known {
    /// None where it was not read.
    pub fn of(record: &Record) -> Option<Self> {
        match &record.snapshot.content {
            Content::Read { digest, .. } => Some(Self {
                digest: *digest,
                bytes: record.snapshot.attributes.size,
            }),
            Content::Unread(_) | Content::Link(_) => None,
        }
    }
}

/// One reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What was read.
    pub snapshot: Snapshot,
    /// Whether the object stayed the same meanwhile. If not, digest and state may mix two contents: read it again later.
    pub consistent: bool,
    /// Its content is the one on record, which has another kind of digest.
    pub rehashed: bool,
    /// It is a growing file that begins with the content on record.
    pub grown: bool,
    /// Digests of it by the further hashes that are configured; none of what holds secrets.
    pub digests: Vec<Digest>,
}

/// Why there is no reading at all. (An object that shows its attributes but not its content is [`Content::Unread`].)
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nothing has this path now.
    #[error("nothing is there any more")]
    Gone,
    /// A directory above could not be passed.
    #[error("it may not be looked at ({0})")]
    Denied(String),
    /// Anything else, in the kernel's words.
    #[error("it could not be looked at ({0})")]
    Other(String),
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE => Self::Gone,
            Errno::EACCES | Errno::EPERM => Self::Denied(errno.to_string()),
            _ => Self::Other(errno.to_string()),
        }
    }
}

/// Reads objects. Shared by threads; each reading uses a buffer of 128 KiB and at most 1 MiB for text.
#[derive(Debug, Clone)]
pub struct Reader {
    key: Arc<DigestKey>,
    read_bytes_max: u64,
    homes: Arc<Mutex<Homes>>,
    homes_age: Duration,
    included: Arc<Mutex<Included>>,
    /// The first is that of records.
    hashes: Vec<Hash>,
    progress: Progress,
}

impl Reader {
    /// `read_bytes_max`: a content larger than this is not read, however it grows meanwhile. `homes`: where
    /// nothing is read through a link.
    pub fn new(key: Arc<DigestKey>, read_bytes_max: u64, homes: Homes) -> Self {
        Self {
            key,
            read_bytes_max,
            homes: Arc::new(Mutex::new(homes)),
            homes_age: Duration::ZERO,
            included: Arc::default(),
            hashes: vec![Hash::default()],
            progress: Progress::default(),
        }
    }

    /// As configured.
    #[must_use]
    pub fn heeding(self, config: &Config) -> Self {
        Self {
            read_bytes_max: config.read_bytes_max,
            hashes: std::iter::once(config.hash)
                .chain(config.also_hash.iter().copied())
                .collect(),
            ..self
        }
    }

    /// Of what is read by any clone of this reader.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    fn hash(&self) -> Hash {
        self.hashes.first().copied().unwrap_or_default()
    }

    /// The same for a thread of its own, which keeps to this pace. What it reads is not told.
    pub fn paced(&self, pace: &Arc<Pace>) -> Self {
        Self {
            hashes: vec![self.hash()],
            progress: Progress::paced(Arc::clone(pace)),
            ..self.for_many()
        }
    }

    /// The same for who looks at one object after the other.
    #[must_use]
    pub fn for_many(&self) -> Self {
        Self {
            homes_age: HOMES_AGE_MAX,
            ..self.clone()
        }
    }

    #[cfg(test)]
    pub(crate) fn read_some(&self, bytes: usize) {
        self.progress.add(bytes);
    }

    /// The homes there are now: passwd is read again when it changed, which costs one look at it.
    pub fn homes(&self) -> Arc<Table> {
        let homes = self.homes.lock();
        homes
            .unwrap_or_else(PoisonError::into_inner)
            .within(self.homes_age)
    }

    fn included(&self) -> MutexGuard<'_, Included> {
        self.included.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who understands what has this path, by the path or by what was read of others.
    pub fn consumer(&self, path: &BytePath) -> Consumer {
        self.included().consumer(path)
    }

    /// Whether this file may say what others are.
    pub fn may_include(&self, path: &BytePath) -> bool {
        includes(self.consumer(path))
    }

    /// What was recorded as any text, as its consumer of today understands it; nothing, if secrets were cut out of it.
    pub fn understood(&self, path: &BytePath, text: &State) -> Option<State> {
        understood(self.consumer(path), text, &*self.key)
    }

    /// What is gone includes nothing.
    pub fn forget_includes(&self, path: &BytePath) {
        self.included().learn(path, None);
    }

    /// The attributes of an object; a link's own, not its target's.
    ///
    /// # Errors
    /// When there is no such object, or a directory above it cannot be passed.
    #[allow(
        clippy::unused_self,
        reason = "one reader for all looks at the file system"
    )]
    pub fn attributes(&self, path: &BytePath) -> Result<Attributes, ReadError> {
        Ok(attributes::of(&open_path(
            path,
            OFlag::O_PATH | OFlag::O_NOFOLLOW,
        )?)?)
    }

    /// The same, and when the object was made, where its file system keeps that.
    ///
    /// # Errors
    /// As [`Self::attributes`].
    #[allow(clippy::unused_self, reason = "as above")]
    pub fn birth(&self, path: &BytePath) -> Result<(Attributes, Option<Timestamp>), ReadError> {
        let object = open_path(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        let look = attributes::look(&object)?;
        Ok((look.attributes, look.birth))
    }

    /// Whether an object looks as when it was read last: nothing of it can have changed without the time of
    /// change, but for extended attributes on some file systems (tmpfs before Linux 6.2).
    pub fn looks_like(&self, path: &BytePath, snapshot: &Snapshot) -> bool {
        let look = || -> Result<bool, ReadError> {
            let place = place::find(path, &self.homes())?;
            let known = snapshot.extended.as_ref();
            let look = attributes::look(&place.object)?;
            Ok(unchanged(&snapshot.attributes, &look.attributes)
                && (known.is_none() || look.flag(self.extended(&place, None)).as_ref() == known))
        };
        look().unwrap_or(false)
    }

    /// All but the flags, which a look at the attributes tells.
    fn extended(&self, place: &place::Place, content: Option<&OwnedFd>) -> Option<Extended> {
        if place.refusal.is_some() {
            return None;
        }
        extended::of(&place.object, content, &self.key)
    }

    /// As [`Self::snapshot_of`], of what is not on record.
    #[cfg(test)]
    pub fn snapshot(&self, path: &BytePath, wanted: &Wanted) -> Result<Read, ReadError> {
        self.snapshot_of(path, wanted, None)
    }

    /// A reading of an object; a link's own, not its target's. May block as long as the file system does. `known`: the
    /// digest of its content that is on record, by which it is known again if it was made by another hash.
    ///
    /// # Errors
    /// When there is no such object, or a directory above it cannot be passed.
    pub fn snapshot_of(
        &self,
        path: &BytePath,
        wanted: &Wanted,
        known: Option<Known>,
    ) -> Result<Read, ReadError> {
        let mut attempt = 1;
        loop {
            let read = self.once(path, wanted, known)?;
            if read.consistent || attempt == ATTEMPTS {
                return Ok(read);
            }
            attempt += 1;
        }
    }

    fn once(
        &self,
        path: &BytePath,
        wanted: &Wanted,
        known: Option<Known>,
    ) -> Result<Read, ReadError> {
        let (mut rehashed, mut opened, mut digests) = (false, None, Vec::new());
        let place = place::find(path, &self.homes())?;
        let object = &place.object;
        let before = attributes::of(object)?;
        if wanted.growing && before.kind == FileKind::File && place.refusal.is_none() {
            return self.growing(&place, &before, known);
        }
        let known = known.map(|known| known.digest);
        let content = match (&place.refusal, before.kind) {
            (Some(refusal), _) => Content::Unread(refused(refusal)),
            (None, FileKind::Symlink) => Content::Link(content::link(object)?),
            (None, FileKind::File) if wanted.content == ContentMode::None => {
                Content::Unread("the rule wants no content".to_owned())
            }
            (None, FileKind::File) => {
                // If only in part, it is told apart by a keyed digest.
                let may_be_keyed = wanted.consumer.is_some_and(Consumer::understands);
                let stream = content::file(
                    object,
                    &before,
                    self.read_bytes_max,
                    wanted.consumer.is_some(),
                    Hashing::new(&self.hashes, known, may_be_keyed),
                    &self.progress,
                );
                let (content, known_again) = self.file(path, &stream, wanted, known);
                rehashed = known_again;
                digests = self.further(&stream, &content);
                opened = stream.content();
                content
            }
            (None, other) => Content::Unread(not_read(other).to_owned()),
        };
        let extended = self.extended(&place, opened.as_ref());
        let after = attributes::look(object)?;
        Ok(Read {
            consistent: unchanged(&before, &after.attributes),
            rehashed,
            grown: false,
            digests,
            snapshot: Snapshot {
                extended: after.flag(extended),
                attributes: after.attributes,
                content,
            },
        })
    }

    /// Whether the content is the one on record, which has another kind of digest: by another hash, or because what is taken
    /// for a secret is no longer the same.
    fn is_known(
        &self,
        digests: &Digests,
        text: Option<&[u8]>,
        known: Option<Digest>,
        secrets: bool,
    ) -> bool {
        match known {
            Some(Digest::Keyed(known)) if !secrets => {
                self.key.keyed_digest(&digests.input_of_keyed(text)) == known
            }
            Some(known) if secrets => digests.has(known),
            known => digests.is_known_as(known, self.hash()),
        }
    }

    /// As many bytes as there were when it was looked at, for somebody adds to it meanwhile, and no more than may be read.
    fn growing(
        &self,
        place: &place::Place,
        before: &Attributes,
        known: Option<Known>,
    ) -> Result<Read, ReadError> {
        let known = known.filter(|known| known.bytes <= before.size);
        let mark = known.map(|known| known.bytes.min(self.read_bytes_max));
        let digest = known.map(|known| known.digest);
        let most = before.size.min(self.read_bytes_max);
        let hashing = Hashing::new(&[Hash::Sha256], digest, true);
        let (content, grown, whole) = match content::beginning(
            &place.object,
            before,
            (mark, most),
            hashing,
            &self.progress,
        ) {
            Err(why) => (Content::Unread(why), false, true),
            Ok(part) => {
                let of_all = part.digests.input_of_keyed(None);
                let digest = Digest::Keyed(self.key.keyed_digest(&of_all));
                let grown = known
                    .zip(part.at_mark)
                    .is_some_and(|(known, there)| self.is_beginning(known.digest, &there));
                (
                    Content::Read {
                        digest,
                        state: None,
                    },
                    grown,
                    part.whole,
                )
            }
        };
        let extended = self.extended(place, None);
        let look = attributes::look(&place.object)?;
        let extended = look.flag(extended);
        let after = look.attributes;
        let same = before.inode == after.inode && before.device == after.device;
        Ok(Read {
            consistent: whole && same && after.size >= before.size,
            rehashed: false,
            grown,
            digests: Vec::new(),
            snapshot: Snapshot {
                attributes: Attributes {
                    size: before.size,
                    ..after
                },
                content,
                extended,
            },
        })
    }

    fn is_beginning(&self, known: Digest, there: &Digests) -> bool {
        match known {
            Digest::Keyed(known) => self.key.keyed_digest(&there.input_of_keyed(None)) == known,
            known => there.has(known),
        }
    }

    /// What else was made of it.
    fn further(&self, stream: &Stream, content: &Content) -> Vec<Digest> {
        let further = self.hashes.get(1..).unwrap_or_default();
        match (stream, content) {
            (
                _,
                Content::Read {
                    digest: Digest::Keyed(_),
                    ..
                },
            )
            | (Stream::Unread(_), _) => Vec::new(),
            (Stream::Read { digests, .. }, _) => digests.by_each(further),
        }
    }

    /// The consumer reads also where only the digest is wanted: a digest of a content with a secret must be keyed.
    /// Beside the content: whether it is the one that is `known` by another hash.
    fn file(
        &self,
        path: &BytePath,
        stream: &Stream,
        wanted: &Wanted,
        known: Option<Digest>,
    ) -> (Content, bool) {
        let (digests, text, cut) = match stream {
            Stream::Unread(why) => return (Content::Unread(why.clone()), false),
            Stream::Read {
                digests, text, cut, ..
            } => (digests, text, *cut),
        };
        // Of a part nothing follows about the whole.
        let whole = text.as_deref().filter(|_| !cut);
        let reading = wanted
            .consumer
            .zip(text.as_deref())
            .map(|(consumer, text)| {
                if cut {
                    let digest = digests.input_of_keyed(None);
                    return read_beginning(consumer, text, &digest, &*self.key);
                }
                fimk_consumers::read(consumer, text, &*self.key)
            });
        if wanted.consumer.is_some_and(includes) {
            let state = reading.as_ref().map(|reading| &reading.state);
            self.included().learn(path, state);
        }
        let secrets = reading.as_ref().is_some_and(|it| it.secrets);
        let digest = if secrets {
            let digest = digests.input_of_keyed(whole);
            Digest::Keyed(self.key.keyed_digest(&digest))
        } else {
            digests.by(self.hash())
        };
        let state = reading
            .filter(|_| wanted.content != ContentMode::Hash)
            .map(|reading| reading.state);
        let rehashed = self.is_known(digests, whole, known, secrets);
        (Content::Read { digest, state }, rehashed)
    }
}

fn refused(refusal: &Refusal) -> String {
    let mut users = Users::default();
    refusal.sentence(|uid| users.user(uid).map(|name| name.to_string()))
}

/// Of what these understand it may be said that other files are of a kind too.
fn includes(consumer: Consumer) -> bool {
    matches!(
        consumer,
        Consumer::Sudoers | Consumer::Sshd | Consumer::LibraryPath
    )
}

fn not_read(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Directory => "a directory is not read",
        FileKind::Fifo => "a fifo is not read",
        FileKind::Socket => "a socket is not read",
        FileKind::CharacterDevice | FileKind::BlockDevice => "a device is not read",
        FileKind::File | FileKind::Symlink | FileKind::Unknown => {
            "an object of an unknown kind is not read"
        }
    }
}

#[cfg(test)]
mod tests;
