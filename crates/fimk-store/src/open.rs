//! Opening: which database it is, whether this program may use it, and whether it ends where it should.

use std::{
    fmt, fs,
    io::ErrorKind,
    ops::RangeInclusive,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rocksdb::{DB, IteratorMode, Options, WriteOptions};

use crate::{
    chain::{self, Link},
    codec::{self, Fault, OLDEST, SCHEMA},
    error::StoreError,
    kinds,
    place::Place,
    size::Sizes,
    synced::{Said, Synced},
};

pub(crate) const RECORDS: &str = "records";
pub(crate) const EVENTS: &str = "events";
pub(crate) const CURSORS: &str = "cursors";
pub(crate) const META: &str = "meta";
/// Since schema [`WITH_KINDS`].
pub(crate) const KINDS: &str = "kinds";
const WITH_KINDS: u8 = 2;
const FAMILIES: [&str; 5] = [RECORDS, EVENTS, CURSORS, META, KINDS];

/// In `meta`: one byte, see [`SCHEMA`]; written last when a database is made.
pub(crate) const SCHEMA_KEY: &[u8] = b"schema";
/// In `meta`: the newest [`Link`].
pub(crate) const HEAD_KEY: &[u8] = b"head";

/// What was found when the store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// There was no database: it was made, and is empty.
    pub created: bool,
    /// Events that had been on disk are gone. Repeated at every opening until an event is committed and synced.
    pub lost: Option<Lost>,
    /// The last fimk was killed while it could not store what it told: outputs may have events with these numbers that
    /// are not in the database. No later one has any of them. Repeated like `lost`.
    pub unstored: Option<RangeInclusive<u64>>,
}

/// The database ends before the last event known to have been on disk; records may be as old.
/// Displays as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The last event that was synced; absent when the file that tells is gone or unreadable.
    pub synced: Option<u64>,
    /// The last event there is; 0 for none.
    pub found: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found;
        match self.synced {
            Some(synced) => write!(
                f,
                "the database ends at event {found} and event {synced} had been on disk: what happened between them is lost"
            ),
            None => write!(
                f,
                "the database ends at event {found} and the file that tells whether this is the last one is \
                 missing or damaged: events may be lost"
            ),
        }
    }
}

/// An open database, checked.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) db: DB,
    pub(crate) path: PathBuf,
    pub(crate) synced: Synced,
    pub(crate) head: Link,
    /// Above everything that was ever on disk, or told.
    pub(crate) next_sequence: u64,
    /// RocksDB gives each database its own.
    pub(crate) identity: Vec<u8>,
    pub(crate) place: Place,
}

impl Database {
    pub(crate) fn open(dir: &Path) -> Result<(Self, Opened), StoreError> {
        let path = dir.join("rocksdb");
        make_directory(&path)?;
        Self::open_at(dir, path)
    }

    /// One that was there a moment ago; none is made.
    pub(crate) fn open_again(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("rocksdb");
        if path.join("CURRENT").exists() {
            Self::open_at(dir, path).map(|(database, _)| database)
        } else {
            Err(StoreError::swapped(&path, "it was emptied"))
        }
    }

    fn open_at(dir: &Path, path: PathBuf) -> Result<(Self, Opened), StoreError> {
        let families = families(&path)?;
        let sizes = Sizes::new();
        let mut db = open_rocksdb(&path, families.as_deref(), &sizes)?;
        // After RocksDB has its lock: nobody else writes the file now.
        let (mut synced, said) = Synced::open(dir)?;
        let found = schema(&db, &path)?;
        let created = found.is_none();
        if created {
            // A list of files that was cut may be a whole one of an empty database.
            if families.is_some() && matches!(said, Said::Sequence(1..)) {
                return Err(StoreError::damaged(&path, "it is empty and was not"));
            }
            create(&mut db, &path, &sizes)?;
            if said == Said::Nothing {
                synced.write(0)?;
            }
            write_schema(&db, &path)?;
        } else {
            require_families(&db, &path, found)?;
        }
        let head = head(&db, &path)?;
        if found.is_some_and(|found| found < SCHEMA) {
            if found < Some(WITH_KINDS) {
                kinds::sort_old(&mut db, &path, &sizes)?;
            }
            // From now on values of this schema are added: a fimk that does not know it must not read them.
            write_schema(&db, &path)?;
        }
        let lost = lost(created, head.sequence, said);
        let unstored = head.sequence.saturating_add(1)..=synced.told();
        let used = [head.sequence, synced.sequence(), synced.told()];
        let next_sequence = used.into_iter().max().and_then(|last| last.checked_add(1));
        let next_sequence =
            next_sequence.ok_or_else(|| StoreError::damaged(&path, "no sequence is left"))?;
        let identity = db
            .get_db_identity()
            .map_err(|error| StoreError::rocksdb(&path, &error))?;
        Ok((
            Self {
                place: Place::of(&path)?,
                db,
                path,
                synced,
                head,
                next_sequence,
                identity,
            },
            Opened {
                created,
                lost,
                unstored: Some(unstored).filter(|it| !it.is_empty()),
            },
        ))
    }
}

fn lost(created: bool, found: u64, said: Said) -> Option<Lost> {
    match said {
        Said::Sequence(synced) => (synced > found).then_some(Lost {
            synced: Some(synced),
            found,
        }),
        Said::Nothing if created => None,
        Said::Nothing | Said::Nonsense => Some(Lost {
            synced: None,
            found,
        }),
    }
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(StoreError::io(path, &error)),
        _ => Ok(()),
    }
}

/// The column families there are; none when there is no database.
fn families(path: &Path) -> Result<Option<Vec<String>>, StoreError> {
    let current = path.join("CURRENT");
    if current
        .try_exists()
        .map_err(|error| StoreError::io(&current, &error))?
    {
        return DB::list_cf(&Options::default(), path)
            .map(Some)
            .map_err(|error| StoreError::rocksdb(path, &error));
    }
    refuse_remains(path)?;
    Ok(None)
}

/// RocksDB would make a new database over the files of one that lost its CURRENT.
fn refuse_remains(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).map_err(|error| StoreError::io(path, &error))? {
        let name = entry
            .map_err(|error| StoreError::io(path, &error))?
            .file_name();
        let extension = Path::new(&name).extension();
        if extension.is_some_and(|extension| extension == "sst" || extension == "log") {
            return Err(StoreError::damaged(path, "its file CURRENT is missing"));
        }
    }
    Ok(())
}

fn open_rocksdb(path: &Path, families: Option<&[String]>, sizes: &Sizes) -> Result<DB, StoreError> {
    let mut options = sizes.database();
    options.create_if_missing(families.is_none());
    // A newer schema may have families unknown here. All are opened, or RocksDB refuses before its schema can be read.
    let names = families.map_or_else(
        || vec!["default"],
        |names| names.iter().map(String::as_str).collect(),
    );
    let families = names.into_iter().map(|name| (name, sizes.family()));
    DB::open_cf_with_opts(&options, path, families)
        .map_err(|error| StoreError::rocksdb(path, &error))
}

/// Of the values written last; none when the making of the database was never finished.
fn schema(db: &DB, path: &Path) -> Result<Option<u8>, StoreError> {
    let Some(meta) = db.cf_handle(META) else {
        return Ok(None);
    };
    let value = db
        .get_cf(meta, SCHEMA_KEY)
        .map_err(|error| StoreError::rocksdb(path, &error))?;
    match value.as_deref().map(<[u8]>::split_first) {
        None => Ok(None),
        Some(Some((&found @ OLDEST..=SCHEMA, []))) => Ok(Some(found)),
        Some(Some((&found, _))) if found > SCHEMA => Err(StoreError::Newer {
            found,
            supported: SCHEMA,
            path: path.into(),
        }),
        Some(_) => Err(StoreError::damaged(path, "it has a schema that never was")),
    }
}

fn require_families(db: &DB, path: &Path, schema: Option<u8>) -> Result<(), StoreError> {
    // One of an older schema is still to get the last.
    let needed = FAMILIES
        .into_iter()
        .filter(|name| *name != KINDS || schema >= Some(WITH_KINDS));
    match needed.into_iter().find(|name| db.cf_handle(name).is_none()) {
        Some(name) => Err(StoreError::damaged(path, format!("its {name} are missing"))),
        None => Ok(()),
    }
}

/// Makes the families; goes on with it when it was cut short.
fn create(db: &mut DB, path: &Path, sizes: &Sizes) -> Result<(), StoreError> {
    let failed = |error: rocksdb::Error| StoreError::rocksdb(path, &error);
    for name in FAMILIES {
        match db.cf_handle(name) {
            Some(family) => {
                if let Some(first) = db.iterator_cf(family, IteratorMode::Start).next() {
                    first.map_err(failed)?;
                    return Err(StoreError::damaged(
                        path,
                        format!("it has {name} and no schema"),
                    ));
                }
            }
            None => db.create_cf(name, &sizes.family()).map_err(failed)?,
        }
    }
    Ok(())
}

fn write_schema(db: &DB, path: &Path) -> Result<(), StoreError> {
    let meta = db
        .cf_handle(META)
        .ok_or_else(|| StoreError::damaged(path, "its meta is missing"))?;
    let mut durable = WriteOptions::default();
    durable.set_sync(true);
    db.put_cf_opt(meta, SCHEMA_KEY, [SCHEMA], &durable)
        .map_err(|error| StoreError::rocksdb(path, &error))
}

/// The head of the chain, which must be the newest event.
fn head(db: &DB, path: &Path) -> Result<Link, StoreError> {
    let failed = |error: rocksdb::Error| StoreError::rocksdb(path, &error);
    let (Some(meta), Some(events)) = (db.cf_handle(META), db.cf_handle(EVENTS)) else {
        return Err(StoreError::damaged(path, "its events are missing"));
    };
    let head = db.get_cf(meta, HEAD_KEY).map_err(failed)?;
    let head = head
        .map(|value| codec::decode::<Link>(&value))
        .transpose()
        .map_err(|fault| fault.at(path))?;
    let newest = db
        .iterator_cf(events, IteratorMode::End)
        .next()
        .transpose()
        .map_err(failed)?;
    let newest = newest
        .map(|(key, value)| chain::link_of(&key, &value))
        .transpose();
    if newest.map_err(|fault| fault.at(path))? == head {
        Ok(head.unwrap_or_default())
    } else {
        Err(StoreError::damaged(
            path,
            "its newest event is not the one last committed",
        ))
    }
}

impl Fault {
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Newer(found) => StoreError::Newer {
                found,
                supported: SCHEMA,
                path: path.into(),
            },
            Self::Damaged(what) => StoreError::damaged(path, what),
            Self::TooLarge(size) => StoreError::damaged(path, format!("a value of {size} bytes")),
        }
    }
}
