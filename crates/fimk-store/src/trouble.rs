//! While the disk takes nothing: what is written is kept in memory, and goes to the database when it can.
//!
//! RocksDB takes no more writes after one that failed, but can still be read; what was kept lies over what it has.
//! It cannot be told to go on, only be closed and opened anew. What it does not have then is what was written since
//! the last sync, and after that: all of it is in [`Kept`](crate::kept::Kept) and is written as one batch.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::statvfs::statvfs;

use crate::{
    chain::Link,
    error::StoreError,
    fail::{Point, point},
    open::{Database, EVENTS, RECORDS},
    store::Store,
};

/// Kept in memory before the store wants no more: some thousand changes, an eighth of what the process may have.
/// One commit, of 16 MiB at most, may come on top.
pub const KEPT_BYTES_MAX: usize = 8 << 20;

/// Sequences that are reserved at once for events that are told and cannot be stored.
const TOLD_AHEAD: u64 = 1_000;

/// What RocksDB needs to open beside what it has to write: its list of files, its log, a new WAL.
const OPENING_BYTES: u64 = 512 << 10;

/// Why nothing is stored at the moment, and since when.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The last reason.
    pub error: StoreError,
    /// When it began.
    pub since: Instant,
}

/// What was kept in memory and is stored now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// How long nothing was stored.
    pub after: Duration,
    /// Records that were written, changed or removed meanwhile.
    pub records: usize,
    /// Events that were made meanwhile.
    pub events: usize,
}

impl Store {
    /// Why nothing is stored; none when all is well.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Bytes that are in memory and not on disk, about. See [`KEPT_BYTES_MAX`].
    pub fn kept_bytes(&self) -> usize {
        self.kept.bytes()
    }

    /// Whether another [`Store::commit`] is taken, and records can be read. If not, [`Store::recover`] is to be called
    /// until it is.
    pub fn has_room(&self) -> bool {
        self.trouble.is_none() || self.database.is_some() && self.kept.bytes() < KEPT_BYTES_MAX
    }

    pub(crate) fn enter_trouble(&mut self, error: StoreError) {
        let since = self.trouble.as_ref().map(|trouble| trouble.since);
        let since = since.unwrap_or_else(Instant::now);
        self.trouble = Some(Trouble { error, since });
        self.unsynced = true;
    }

    /// Numbers of events that go out while they cannot be stored are never used again.
    pub(crate) fn remember_told(&mut self) {
        if let Some(database) = &mut self.database
            && self.trouble.is_some()
            && self.next_sequence > database.synced.told()
        {
            let ahead = self.next_sequence.saturating_add(TOLD_AHEAD);
            database.synced.write_told(ahead);
        }
    }

    /// Tries whether the disk takes again what is kept in memory, if it did not; says what was stored. Costs little as long
    /// as the disk refuses.
    ///
    /// # Errors
    /// What does not pass by itself: the database is damaged, or somebody else has it now.
    pub fn recover(&mut self) -> Result<Option<Recovered>, StoreError> {
        let Some(trouble) = &self.trouble else {
            return Ok(None);
        };
        let since = trouble.since;
        match self.try_recover() {
            Ok(()) => {}
            Err(error) if error.may_pass() => {
                self.enter_trouble(error);
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let recovered = Recovered {
            after: since.elapsed(),
            records: self.kept.count(RECORDS),
            events: self.kept.count(EVENTS),
        };
        self.trouble = None;
        self.on_disk();
        Ok(Some(recovered))
    }

    fn try_recover(&mut self) -> Result<(), StoreError> {
        self.place.check_directory()?;
        let bytes = self.kept.bytes() as u64 + wal_bytes(&self.path)? + OPENING_BYTES;
        prove_room(&self.dir, bytes)?;
        self.database = None;
        self.at(Point::Closed)?;
        let database = Database::open_again(&self.dir)?;
        self.check_same(&database)?;
        self.place = database.place.clone();
        self.database = Some(database);
        self.at(Point::Reopened)?;
        self.write_kept()?;
        self.flush()?;
        if let Some(database) = &mut self.database
            && database.synced.told() != 0
        {
            database.synced.write_told(0);
        }
        Ok(())
    }

    /// It ends where it was last synced, or with an event that was written since.
    fn check_same(&self, database: &Database) -> Result<(), StoreError> {
        let head = database.head;
        let is_ours = head == self.safe || head == self.head || self.was_written_since(&head);
        if database.identity == self.identity && is_ours {
            Ok(())
        } else {
            let what = "it does not end where this one did";
            Err(StoreError::swapped(&self.path, what))
        }
    }

    fn was_written_since(&self, link: &Link) -> bool {
        let key = link.sequence.to_be_bytes();
        let value = self.kept.get(EVENTS, &key).and_then(Option::as_deref);
        value.is_some_and(|value| crate::chain::link_of(&key, value).as_ref() == Ok(link))
    }

    pub(crate) fn at(&self, here: Point) -> Result<(), StoreError> {
        point(here).map_err(|error| StoreError::io(&self.path, &error))
    }
}

/// Of the files that RocksDB reads, and writes again, when it opens.
fn wal_bytes(path: &Path) -> Result<u64, StoreError> {
    let failed = |error: io::Error| StoreError::io(path, &error);
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().extension().is_some_and(|it| it == "log") {
            // One that is gone takes nothing.
            bytes += entry.metadata().map_or(0, |meta| meta.len());
        }
    }
    Ok(bytes)
}

/// Whether there is room for so much, and a file can be written: closing the database costs being able to read it until
/// it opens again.
fn prove_room(dir: &Path, bytes: u64) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io(dir, &error);
    let room = statvfs(dir).map_err(|errno| failed(errno.into()))?;
    let free = room.blocks_available().saturating_mul(room.fragment_size());
    if free < bytes {
        return Err(failed(io::ErrorKind::StorageFull.into()));
    }
    let path = dir.join("probe");
    let proved = try_file(&path);
    let removed = fs::remove_file(&path);
    proved.and(removed).map_err(failed)
}

fn try_file(path: &Path) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // Not zeros, which a file system may not store.
    file.write_all(&[0x66; 4096])?;
    file.sync_all()
}
