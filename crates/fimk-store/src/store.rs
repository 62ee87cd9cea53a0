//! The store as its user sees it.

use std::path::Path;

use fimk_core::{
    event::Event,
    path::{BytePath, escaped},
    record::Record,
};
use rocksdb::{ColumnFamily, Direction, IteratorMode, ReadOptions, WriteBatch};
use serde::Serialize;

use crate::{
    chain::{self, Link},
    codec::{self, Fault, Stored},
    error::StoreError,
    open::{CURSORS, Database, EVENTS, HEAD_KEY, META, Opened, RECORDS},
    retention::ANCHOR_KEY,
};

/// Of a path that is a key. The kernel takes paths of 4 KiB; below an open directory they can be longer.
const PATH_BYTES_MAX: usize = 64 << 10;
/// Of a path in a message: a line for a person.
const NAMED_BYTES_MAX: usize = 1024;
/// Of one commit. Caller, batch, WAL buffer and memtable each hold it, in a process of 64 MiB.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Of the events [`Store::events_after`] returns at once, as stored.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Of a name of an output or a key of the caller's: a word, not a text.
const NAME_BYTES_MAX: usize = 128;
/// Of the caller's small values.
const META_BYTES_MAX: usize = 64 << 10;
/// Outputs with a cursor. A configuration has a handful; what is no more configured must be forgotten.
const CURSORS_MAX: usize = 64;
/// Before the caller's keys in `meta`.
const USER_PREFIX: &[u8] = b"user/";

/// A key and its value.
type Entry = (Box<[u8]>, Box<[u8]>);

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
    database: Database,
    /// Something was committed since the last [`Store::sync`].
    unsynced: bool,
}

impl Store {
    /// Opens the state directory `dir`, which must exist (0700, of this user), and makes the database when
    /// there is none. What [`Opened::lost`] says must be reported as a gap.
    ///
    /// # Errors
    /// Any [`StoreError`] but `TooLarge` and `ChainBroken`. Nothing was repaired or reset.
    pub fn open(dir: &Path) -> Result<(Self, Opened), StoreError> {
        let (database, opened) = Database::open(dir)?;
        Ok((
            Self {
                database,
                unsynced: false,
            },
            opened,
        ))
    }

    /// The sequence the next event will get: at least 1, and above every event that was ever on disk.
    pub fn next_sequence(&self) -> u64 {
        self.database.next_sequence
    }

    /// The last event that is on disk for certain; 0 for none.
    pub fn synced_sequence(&self) -> u64 {
        self.database
            .synced
            .sequence()
            .min(self.database.head.sequence)
    }

    /// The record of a path.
    pub fn record(&self, path: &BytePath) -> Result<Option<Record>, StoreError> {
        self.get(RECORDS, path.bytes())
    }

    /// The record that follows this path in the order of their bytes; the first of all for none.
    pub fn record_after(
        &self,
        path: Option<&BytePath>,
    ) -> Result<Option<(BytePath, Record)>, StoreError> {
        // No path lies between one and itself with a zero byte.
        let start = path.map_or_else(Vec::new, |path| [path.bytes(), b"\0"].concat());
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let Some(item) = self.scan(RECORDS, &start, options).next() else {
            return Ok(None);
        };
        let (key, value) = item?;
        Ok(Some((BytePath::new(&key), self.decode(&value)?)))
    }

    /// Records in the order of their paths' bytes: all, or that of `below` and those under it.
    /// A record that cannot be read is an error in its place; the next ones follow.
    pub fn records<'a>(
        &'a self,
        below: Option<&BytePath>,
    ) -> impl Iterator<Item = Result<(BytePath, Record), StoreError>> + use<'a> {
        let below = below.filter(|path| path.bytes() != b"/");
        // `/etc-old` sorts between `/etc` and `/etc/passwd`: two ranges.
        let itself = below.and_then(|path| {
            self.record(path)
                .map(|found| found.map(|it| (path.clone(), it)))
                .transpose()
        });
        let mut options = ReadOptions::default();
        // One pass over everything would push everything else out of the cache.
        options.fill_cache(false);
        let start = below.map_or_else(Vec::new, |path| [path.bytes(), b"/"].concat());
        if let Some(path) = below {
            // The byte after `/`.
            options.set_iterate_upper_bound([path.bytes(), b"0"].concat());
        }
        itself
            .into_iter()
            .chain(self.scan(RECORDS, &start, options).map(|item| {
                let (key, value) = item?;
                Ok((BytePath::new(&key), self.decode(&value)?))
            }))
    }

    /// Events after a sequence, oldest first, at most `limit` of them and about 4 MiB: there are no more only
    /// when none is returned.
    pub fn events_after(&self, sequence: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        let mut bytes = 0;
        let Some(start) = sequence.checked_add(1) else {
            return Ok(events);
        };
        for item in self
            .scan(EVENTS, &start.to_be_bytes(), ReadOptions::default())
            .take(limit)
        {
            let (key, value) = item?;
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
        let Some(item) = self.scan(EVENTS, &start, ReadOptions::default()).next() else {
            return Ok(None);
        };
        let oldest = chain::sequence_of(&item?.0).map_err(|fault| self.fault(fault))?;
        Ok(Some((oldest, self.database.head.sequence)))
    }

    /// Changes all of it at once, or nothing. Returns the events with their sequences.
    /// When it returns, `kill -9` loses nothing of it; power failure may, until [`Store::sync`].
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]: a record or event over 8 MiB, a path over 64 KiB, all over 16 MiB.
    /// After any other error the store must be opened anew: RocksDB takes no more writes.
    pub fn commit(&mut self, commit: Commit) -> Result<Vec<Event>, StoreError> {
        let Commit {
            put,
            remove,
            mut events,
        } = commit;
        let mut batch = Batch::default();
        let records = self.family(RECORDS)?;
        for path in &remove {
            check_path(path)?;
            batch.remove(records, path.bytes())?;
        }
        for (path, record) in &put {
            check_path(path)?;
            let value = codec::encode(record).map_err(|fault| {
                self.refused(fault, || {
                    format!("the size of the record of {}", named(path))
                })
            })?;
            batch.put(records, path.bytes(), &value)?;
        }
        let (head, next_sequence) = self.chain_up(&mut events, &mut batch)?;
        if batch.0.is_empty() {
            return Ok(events);
        }
        self.write(batch)?;
        self.database.head = head;
        self.database.next_sequence = next_sequence;
        Ok(events)
    }

    /// Puts the events into the batch; returns the new head and the next sequence.
    fn chain_up(&self, events: &mut [Event], batch: &mut Batch) -> Result<(Link, u64), StoreError> {
        let (mut head, mut next) = (self.database.head, self.database.next_sequence);
        if events.is_empty() {
            return Ok((head, next));
        }
        let family = self.family(EVENTS)?;
        for event in events {
            event.sequence = next;
            let sealed = head
                .seal(event)
                .map_err(|fault| self.refused(fault, || format!("the size of event {next}")))?;
            head = sealed.0;
            batch.put(family, &next.to_be_bytes(), &sealed.1)?;
            next = next
                .checked_add(1)
                .ok_or_else(|| self.damaged("no sequence is left"))?;
        }
        batch.put(self.family(META)?, HEAD_KEY, &self.encode(&head)?)?;
        Ok((head, next))
    }

    /// Everything committed is on disk when it returns. Costs two writes to the disk when there is something.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced {
            self.database
                .db
                .flush_wal(true)
                .map_err(|error| self.failed(&error))?;
            self.unsynced = false;
        }
        let head = self.database.head.sequence;
        if head > self.database.synced.sequence() {
            self.database.synced.write(head)?;
        }
        Ok(())
    }

    /// The last sequence delivered to an output; 0 for one without a cursor.
    pub fn cursor(&self, output: &str) -> Result<u64, StoreError> {
        Ok(self.get(CURSORS, output.as_bytes())?.unwrap_or(0))
    }

    /// All cursors, by the names of their outputs.
    pub fn cursors(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let items = self.scan(CURSORS, &[], ReadOptions::default()).map(|item| {
            let (key, value) = item?;
            let name = String::from_utf8(key.into_vec())
                .map_err(|_| self.damaged("a cursor without a name"))?;
            Ok((name, self.decode(&value)?))
        });
        items.collect()
    }

    /// Remembers what was delivered. Power failure may take it back to an earlier one: at least once.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]: a name over 128 bytes, or a 65th cursor.
    pub fn set_cursor(&mut self, output: &str, sequence: u64) -> Result<(), StoreError> {
        check_size(
            "the length of the name of an output",
            output.len(),
            NAME_BYTES_MAX,
        )?;
        if self.get::<u64>(CURSORS, output.as_bytes())?.is_none() {
            check_size(
                "the number of outputs with a cursor",
                self.cursors()?.len() + 1,
                CURSORS_MAX,
            )?;
        }
        let mut batch = Batch::default();
        batch.put(
            self.family(CURSORS)?,
            output.as_bytes(),
            &self.encode(&sequence)?,
        )?;
        let unsynced = self.unsynced;
        self.write(batch)?;
        self.unsynced = unsynced;
        Ok(())
    }

    /// Forgets an output that is no longer configured: its cursor would keep [`Store::retain`] back for ever.
    pub fn remove_cursor(&mut self, output: &str) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.remove(self.family(CURSORS)?, output.as_bytes())?;
        self.write(batch)
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
        batch.put(self.family(META)?, &user_key(key), &self.encode(&value)?)?;
        self.write(batch)
    }

    /// The newest event that [`Store::retain`] removed.
    pub(crate) fn anchor(&self) -> Result<Link, StoreError> {
        Ok(self.get(META, ANCHOR_KEY)?.unwrap_or_default())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.database.path
    }

    /// A number that RocksDB keeps about a family.
    pub(crate) fn estimate(&self, family: &str, property: &str) -> Result<Option<u64>, StoreError> {
        self.database
            .db
            .property_int_value_cf(self.family(family)?, property)
            .map_err(|error| self.failed(&error))
    }

    pub(crate) fn head(&self) -> Link {
        self.database.head
    }

    pub(crate) fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        self.database
            .db
            .cf_handle(name)
            .ok_or_else(|| self.damaged(&format!("its {name} are missing")))
    }

    /// Keys and values of a family from `start` on.
    pub(crate) fn scan<'a>(
        &'a self,
        family: &str,
        start: &[u8],
        options: ReadOptions,
    ) -> impl Iterator<Item = Result<Entry, StoreError>> + use<'a> {
        let (items, missing) = match self.family(family) {
            Ok(family) => {
                let mode = IteratorMode::From(start, Direction::Forward);
                (
                    Some(self.database.db.iterator_cf_opt(family, options, mode)),
                    None,
                )
            }
            Err(error) => (None, Some(Err(error))),
        };
        let items = items
            .into_iter()
            .flatten()
            .map(|item| item.map_err(|error| self.failed(&error)));
        missing.into_iter().chain(items)
    }

    pub(crate) fn last_at_or_before(
        &self,
        family: &str,
        key: &[u8],
    ) -> Result<Option<Entry>, StoreError> {
        let mode = IteratorMode::From(key, Direction::Reverse);
        let mut items = self.database.db.iterator_cf(self.family(family)?, mode);
        items
            .next()
            .transpose()
            .map_err(|error| self.failed(&error))
    }

    fn get<T: Stored>(&self, family: &str, key: &[u8]) -> Result<Option<T>, StoreError> {
        let value = self
            .database
            .db
            .get_pinned_cf(self.family(family)?, key)
            .map_err(|error| self.failed(&error))?;
        value.map(|value| self.decode(&value)).transpose()
    }

    pub(crate) fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.database
            .db
            .write(batch.0)
            .map_err(|error| self.failed(&error))?;
        self.unsynced = true;
        Ok(())
    }

    pub(crate) fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        codec::encode(value).map_err(|fault| self.fault(fault))
    }

    fn decode<T: Stored>(&self, value: &[u8]) -> Result<T, StoreError> {
        codec::decode(value).map_err(|fault| self.fault(fault))
    }

    pub(crate) fn fault(&self, fault: Fault) -> StoreError {
        fault.at(&self.database.path)
    }

    fn refused(&self, fault: Fault, what: impl FnOnce() -> String) -> StoreError {
        match fault {
            Fault::TooLarge(size) => too_large(what(), size, codec::VALUE_BYTES_MAX),
            fault => self.fault(fault),
        }
    }

    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        StoreError::rocksdb(&self.database.path, error)
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::damaged(&self.database.path, what)
    }
}

/// A batch with a limit.
#[derive(Default)]
pub(crate) struct Batch(pub(crate) WriteBatch);

impl Batch {
    pub(crate) fn put(
        &mut self,
        family: &ColumnFamily,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreError> {
        self.check(key.len() + value.len())?;
        self.0.put_cf(family, key, value);
        Ok(())
    }

    fn remove(&mut self, family: &ColumnFamily, key: &[u8]) -> Result<(), StoreError> {
        self.check(key.len())?;
        self.0.delete_cf(family, key);
        Ok(())
    }

    fn check(&self, more: usize) -> Result<(), StoreError> {
        check_size(
            "the size of one commit",
            self.0.size_in_bytes() + more,
            BATCH_BYTES_MAX,
        )
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

fn check_size(what: &str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit {
        Err(too_large(what.into(), size, limit))
    } else {
        Ok(())
    }
}

fn too_large(what: String, size: usize, limit: usize) -> StoreError {
    StoreError::TooLarge { what, size, limit }
}
