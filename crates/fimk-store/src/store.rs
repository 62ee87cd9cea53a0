//! The store as its user sees it.

mod cursors;

use std::path::{Path, PathBuf};

use fimk_core::{
    event::Event,
    path::{BytePath, escaped},
    record::Record,
};
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, ReadOptions};
use serde::Serialize;

use crate::{
    batch::{Batch, for_rocksdb},
    chain::{self, Link},
    codec::{self, Fault, Stored},
    error::StoreError,
    fail::Point,
    kept::{Entry, Kept},
    kinds::{Changed, Totals},
    open::{Database, EVENTS, HEAD_KEY, META, Opened, RECORDS},
    place::Place,
    retention::{ANCHOR_KEY, REMOVED_KEY, Removed},
    trouble::Trouble,
};

/// Of a path that is a key. The kernel takes paths of 4 KiB; below an open directory they can be longer.
const PATH_BYTES_MAX: usize = 64 << 10;
/// Of a path in a message: a line for a person.
const NAMED_BYTES_MAX: usize = 1024;
/// What is written between two syncs, at most: it is in memory until then.
const UNSYNCED_BYTES_MAX: usize = 4 << 20;
/// Of the events [`Store::events_after`] returns at once, as stored.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Of a name of an output or a key of the caller's: a word, not a text.
const NAME_BYTES_MAX: usize = 128;
/// Of the caller's small values.
const META_BYTES_MAX: usize = 64 << 10;
/// Before the caller's keys in `meta`.
const USER_PREFIX: &[u8] = b"user/";

/// What is to be changed together. Removals come first: a path in both `remove` and `put` is there afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Records to write or replace.
    pub put: Vec<(BytePath, Record)>,
    /// Paths whose records go; those without one are no error.
    pub remove: Vec<BytePath>,
    /// Events in their order; whatever sequence they have is replaced.
    pub events: Vec<Event>,
}

/// An open state directory; one process at a time. Dropping it closes it, without [`Store::sync`].
#[derive(Debug)]
pub struct Store {
    pub(crate) dir: PathBuf,
    /// Of the database.
    pub(crate) path: PathBuf,
    /// None while it cannot be opened again, see [`Store::recover`].
    pub(crate) database: Option<Database>,
    pub(crate) identity: Vec<u8>,
    pub(crate) place: Place,
    pub(crate) head: Link,
    pub(crate) next_sequence: u64,
    /// The head that is on disk for certain.
    pub(crate) safe: Link,
    /// What is not on disk for certain.
    pub(crate) kept: Kept,
    /// Something of it is worth a sync.
    pub(crate) unsynced: bool,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) totals: Totals,
    pub(crate) removed: Removed,
}

impl Store {
    /// Opens the state directory `dir`, which must exist (0700, of this user), and makes the database when
    /// there is none. What [`Opened::lost`] and [`Opened::unstored`] say must be reported.
    ///
    /// # Errors
    /// Any [`StoreError`] but `TooLarge` and `ChainBroken`. Nothing was repaired or reset.
    pub fn open(dir: &Path) -> Result<(Self, Opened), StoreError> {
        let (database, opened) = Database::open(dir)?;
        let head = database.head;
        let mut store = Self {
            dir: dir.into(),
            path: database.path.clone(),
            identity: database.identity.clone(),
            place: database.place.clone(),
            head,
            next_sequence: database.next_sequence,
            // What was recovered from the WAL was written into tables on the way.
            safe: head,
            kept: Kept::default(),
            unsynced: false,
            trouble: None,
            totals: Totals::default(),
            removed: Removed::default(),
            database: Some(database),
        };
        store.totals = store.read_totals()?;
        store.removed = store.get(META, REMOVED_KEY)?.unwrap_or_default();
        Ok((store, opened))
    }

    /// What tells this database from every other: printable, the same as long as it lives.
    pub fn identity(&self) -> String {
        escaped(&self.identity)
    }

    /// The sequence the next event will get: at least 1, above every event that was ever on disk, and above every one that
    /// was told.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The last event that is on disk for certain; 0 for none.
    pub fn synced_sequence(&self) -> u64 {
        let said = self.database.as_ref().map(|it| it.synced.sequence());
        said.unwrap_or(u64::MAX).min(self.safe.sequence)
    }

    /// Events after a sequence, oldest first, at most `limit` of them and about 4 MiB: there are no more only
    /// when none is returned.
    pub fn events_after(&self, sequence: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        let mut bytes = 0;
        let Some(start) = sequence.checked_add(1) else {
            return Ok(events);
        };
        for item in self.scan(EVENTS, &start.to_be_bytes(), None) {
            let (key, value) = item?;
            if chain::is_trace(&value) {
                continue;
            }
            if events.len() >= limit {
                break;
            }
            let (_, event) = chain::unseal(&key, &value).map_err(|fault| self.fault(fault))?;
            events.push(event);
            bytes += value.len();
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        Ok(events)
    }

    /// The oldest and the newest event there are. Sequences between them may be missing where events were lost.
    pub fn event_range(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let start = self.anchor()?.sequence.saturating_add(1).to_be_bytes();
        let Some(item) = self.scan(EVENTS, &start, None).next() else {
            return Ok(None);
        };
        let oldest = chain::sequence_of(&item?.0).map_err(|fault| self.fault(fault))?;
        Ok(Some((oldest, self.head.sequence)))
    }

    /// Changes all of it at once, or nothing. Returns the events with their sequences.
    /// When it returns, `kill -9` loses nothing of it; power failure may, until [`Store::sync`].
    /// If the disk refuses, it is kept in memory instead and [`Store::trouble`] says so; then `kill -9` does lose it.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]: a record or event over 8 MiB, a path over 64 KiB, all over 16 MiB.
    /// The reason of the trouble, when there is no [room](Store::has_room) to keep more.
    pub fn commit(&mut self, commit: Commit) -> Result<Vec<Event>, StoreError> {
        if let Some(trouble) = self.trouble.as_ref().filter(|_| !self.has_room()) {
            return Err(trouble.error.clone());
        }
        let Commit {
            put,
            remove,
            mut events,
        } = commit;
        let mut batch = Batch::default();
        for path in &remove {
            check_path(path)?;
            batch.remove(RECORDS, path.bytes())?;
        }
        for (path, record) in &put {
            check_path(path)?;
            let value = codec::encode(record).map_err(|fault| {
                self.refused(fault, || {
                    format!("the size of the record of {}", named(path))
                })
            })?;
            batch.put(RECORDS, path.bytes(), value)?;
        }
        let mut changed = Changed::default();
        let (head, next_sequence) = self.chain_up(&mut events, &mut changed, &mut batch)?;
        if batch.is_empty() {
            return Ok(events);
        }
        self.write(batch)?;
        self.head = head;
        self.next_sequence = next_sequence;
        self.totals.apply(changed);
        self.remember_told();
        if self.kept.bytes() >= UNSYNCED_BYTES_MAX {
            self.sync()?;
        }
        Ok(events)
    }

    /// Puts the events into the batch; returns the new head and the next sequence.
    fn chain_up(
        &self,
        events: &mut [Event],
        changed: &mut Changed,
        batch: &mut Batch,
    ) -> Result<(Link, u64), StoreError> {
        let (mut head, mut next) = (self.head, self.next_sequence);
        if events.is_empty() {
            return Ok((head, next));
        }
        for event in events {
            event.sequence = next;
            let (link, value) = head
                .seal(event)
                .map_err(|fault| self.refused(fault, || format!("the size of event {next}")))?;
            head = link;
            self.totals.add(changed, event, value.len(), batch)?;
            batch.put(EVENTS, &next.to_be_bytes(), value)?;
            next = next
                .checked_add(1)
                .ok_or_else(|| self.damaged("no sequence is left"))?;
        }
        changed.write(batch)?;
        batch.put(META, HEAD_KEY, self.encode(&head)?)?;
        Ok((head, next))
    }

    /// Brings everything committed to the disk; [`Store::is_on_disk`] says whether it is. Costs two writes to the disk
    /// when there is something.
    ///
    /// # Errors
    /// Damage. If the disk refuses, [`Store::trouble`] says so.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if self.trouble.is_some() {
            return Ok(());
        }
        match self.place.check().and_then(|()| self.flush()) {
            Ok(()) => {
                self.on_disk();
                Ok(())
            }
            Err(error) if error.may_pass() => {
                self.enter_trouble(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether power failure loses nothing that was committed.
    pub fn is_on_disk(&self) -> bool {
        self.trouble.is_none() && !self.unsynced
    }

    /// As [`Store::sync`], when nothing is known to be wrong.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        if self.unsynced {
            let flushed = self.db()?.flush_wal(true);
            flushed.map_err(|error| self.failed(&error))?;
        }
        self.at(Point::BetweenSyncs)?;
        let head = self.head.sequence;
        if let Some(database) = &mut self.database
            && head > database.synced.sequence()
        {
            database.synced.write(head)?;
        }
        self.at(Point::AfterSync)
    }

    /// Everything is on disk.
    pub(crate) fn on_disk(&mut self) {
        self.unsynced = false;
        self.safe = self.head;
        self.kept.clear();
    }

    /// A small value of the caller's.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(META, &user_key(key))
    }

    /// Keeps a small value, as a [`Store::commit`] of its own.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]: a key over 128 bytes, a value over 64 KiB.
    pub fn set_meta(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        check_size("the length of a name in meta", key.len(), NAME_BYTES_MAX)?;
        check_size(
            &format!("the size of {key} in meta"),
            value.len(),
            META_BYTES_MAX,
        )?;
        let mut batch = Batch::default();
        batch.put(META, &user_key(key), self.encode(&value)?)?;
        self.write(batch)
    }

    /// The newest event that [`Store::retain`] removed.
    pub(crate) fn anchor(&self) -> Result<Link, StoreError> {
        Ok(self.get(META, ANCHOR_KEY)?.unwrap_or_default())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A number that RocksDB keeps about a family.
    pub(crate) fn estimate(
        &self,
        family: &'static str,
        property: &str,
    ) -> Result<Option<u64>, StoreError> {
        self.db()?
            .property_int_value_cf(self.family(family)?, property)
            .map_err(|error| self.failed(&error))
    }

    pub(crate) fn head(&self) -> Link {
        self.head
    }

    pub(crate) fn db(&self) -> Result<&DB, StoreError> {
        let closed = || match &self.trouble {
            Some(trouble) => trouble.error.clone(),
            None => StoreError::swapped(&self.path, "it is closed"),
        };
        self.database
            .as_ref()
            .map(|database| &database.db)
            .ok_or_else(closed)
    }

    fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        self.db()?
            .cf_handle(name)
            .ok_or_else(|| missing_family(&self.path, name))
    }

    /// Keys and values of a family from one on, to another that is no more of it.
    pub(crate) fn scan<'a>(
        &'a self,
        family: &'static str,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<Entry, StoreError>> + use<'a> {
        let mut options = ReadOptions::default();
        // One pass over everything would push everything else out of the cache.
        options.fill_cache(false);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        let items = self.db().and_then(|db| {
            let mode = IteratorMode::From(from, Direction::Forward);
            Ok(db.iterator_cf_opt(self.family(family)?, options, mode))
        });
        let (items, missing) = match items {
            Ok(items) => (Some(items), None),
            Err(error) => (None, Some(Err(error))),
        };
        let stored = items
            .into_iter()
            .flatten()
            .map(|item| item.map_err(|error| self.failed(&error)));
        let stored = missing.into_iter().chain(stored);
        self.kept.over(family, from, to, stored)
    }

    pub(crate) fn last_at_or_before(
        &self,
        family: &'static str,
        key: &[u8],
    ) -> Result<Option<Entry>, StoreError> {
        let mode = IteratorMode::From(key, Direction::Reverse);
        let mut items = self.db()?.iterator_cf(self.family(family)?, mode);
        items
            .next()
            .transpose()
            .map_err(|error| self.failed(&error))
    }

    pub(crate) fn get<T: Stored>(
        &self,
        family: &'static str,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        if self.trouble.is_some()
            && let Some(kept) = self.kept.get(family, key)
        {
            return kept.as_deref().map(|value| self.decode(value)).transpose();
        }
        let value = self
            .db()?
            .get_pinned_cf(self.family(family)?, key)
            .map_err(|error| self.failed(&error))?;
        value.map(|value| self.decode(&value)).transpose()
    }

    /// To the WAL, and to memory until that is on disk; to memory alone while the disk takes nothing.
    pub(crate) fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        if self.trouble.is_none() {
            match self.write_batch(&batch) {
                Ok(()) => {}
                Err(error) if error.may_pass() => self.enter_trouble(error),
                Err(error) => return Err(error),
            }
        }
        self.kept.absorb(batch);
        self.unsynced = true;
        Ok(())
    }

    fn write_batch(&self, batch: &Batch) -> Result<(), StoreError> {
        self.at(Point::BeforeBatch)?;
        let db = self.db()?;
        db.write(for_rocksdb(db, write_batch(batch))?)
            .map_err(|error| self.failed(&error))?;
        self.at(Point::AfterBatch)
    }

    /// All of it as one batch.
    pub(crate) fn write_kept(&mut self) -> Result<(), StoreError> {
        let db = self.db()?;
        db.write(for_rocksdb(db, self.kept.writes())?)
            .map_err(|error| self.failed(&error))?;
        self.unsynced = true;
        Ok(())
    }

    pub(crate) fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        codec::encode(value).map_err(|fault| self.fault(fault))
    }

    pub(crate) fn decode<T: Stored>(&self, value: &[u8]) -> Result<T, StoreError> {
        codec::decode(value).map_err(|fault| self.fault(fault))
    }

    pub(crate) fn fault(&self, fault: Fault) -> StoreError {
        fault.at(&self.path)
    }

    fn refused(&self, fault: Fault, what: impl FnOnce() -> String) -> StoreError {
        match fault {
            Fault::TooLarge(size) => too_large(what(), size, codec::VALUE_BYTES_MAX),
            fault => self.fault(fault),
        }
    }

    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        StoreError::rocksdb(&self.path, error)
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::damaged(&self.path, what)
    }
}

fn user_key(key: &str) -> Vec<u8> {
    [USER_PREFIX, key.as_bytes()].concat()
}

fn check_path(path: &BytePath) -> Result<(), StoreError> {
    check_size("the length of a path", path.bytes().len(), PATH_BYTES_MAX)
}

/// For a message: its beginning.
fn named(path: &BytePath) -> String {
    let bytes = path.bytes();
    escaped(&bytes[..bytes.len().min(NAMED_BYTES_MAX)])
}

pub(crate) fn check_size(what: &str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit {
        Err(too_large(what.into(), size, limit))
    } else {
        Ok(())
    }
}

fn too_large(what: String, size: usize, limit: usize) -> StoreError {
    StoreError::TooLarge { what, size, limit }
}

pub(crate) fn missing_family(path: &Path, name: &str) -> StoreError {
    StoreError::damaged(path, format!("its {name} are missing"))
}

/// The writes of a batch, as they are made.
pub(crate) fn write_batch(
    batch: &Batch,
) -> impl Iterator<Item = (&'static str, &[u8], Option<&[u8]>)> {
    batch
        .writes
        .iter()
        .map(|write| (write.family, &*write.key, write.value.as_deref()))
}
