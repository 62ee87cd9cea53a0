//! What can go wrong, each as one sentence that says the way out.

use std::{
    io,
    path::{Path, PathBuf},
};

use fimk_core::{
    exit::{Failure, Status},
    path::escaped,
};

/// Why the store cannot do what it was asked for. Nothing was changed, unless it says so.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another version of fimk wrote it.
    #[error(
        "the database {path:?} has schema {found} and this fimk knows none above {supported}: \
         start the newer fimk, or move the database aside to begin with a new baseline"
    )]
    Newer {
        /// Schema of the database.
        found: u8,
        /// The highest this program reads.
        supported: u8,
        /// The database.
        path: PathBuf,
    },
    /// Its bytes are not what was written.
    #[error(
        "the database {path:?} is damaged ({what}): restore it from a backup, or move it aside \
         to begin with a new baseline and a gap"
    )]
    Damaged {
        /// The database or the file in question.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Another process has it open.
    #[error(
        "the database {path:?} is in use by another fimk: stop that one, or give this one a state_dir of its own"
    )]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// No space, or no quota, is left.
    #[error("no space is left for {path:?} ({what}): free some on that file system")]
    Full {
        /// The database or the file in question.
        path: PathBuf,
        /// What was attempted.
        what: String,
    },
    /// The file system says no.
    #[error(
        "{path:?} may not be read and written ({what}): give the state directory and all in it to fimk's user"
    )]
    Permission {
        /// The state directory, the database or the file in question.
        path: PathBuf,
        /// What was attempted.
        what: String,
    },
    /// Something else stands where the database was opened, or nothing.
    #[error(
        "the database {path:?} is not the one that fimk opened ({what}): put that one back, or start fimk again to go on with what is there"
    )]
    Swapped {
        /// The database or the file in question.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Any other failure of a file.
    #[error("{path:?} cannot be used ({what}): see to that file system")]
    Io {
        /// The state directory, the database or the file in question.
        path: PathBuf,
        /// What failed.
        what: String,
    },
    /// A value over its limit; the whole commit was refused.
    #[error(
        "{what} is {size} and may be at most {limit}: make it smaller; for a file, exclude it or set content = \"hash\" in its rule"
    )]
    TooLarge {
        /// Which size, in bytes, or number.
        what: String,
        /// What it is.
        size: usize,
        /// What it may be.
        limit: usize,
    },
    /// The events are not the ones that were stored.
    #[error(
        "the chain of events breaks at event {sequence} ({what}): somebody altered the database; \
         keep a copy of it as evidence and compare it with what the outputs received"
    )]
    ChainBroken {
        /// The first event that does not follow from the one before.
        sequence: u64,
        /// What was found.
        what: String,
    },
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let status = if matches!(error, StoreError::Locked { .. }) {
            Status::Second
        } else {
            Status::Io
        };
        Self::new(status, error.to_string())
    }
}

impl StoreError {
    /// Whether it may go away by itself or be put right while fimk runs. The store then keeps what it is given in
    /// memory, see [`Store::recover`](crate::Store::recover).
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::Permission { .. } | Self::Io { .. } | Self::Swapped { .. }
        )
    }

    pub(crate) fn swapped(path: &Path, what: impl Into<String>) -> Self {
        Self::Swapped {
            path: path.into(),
            what: what.into(),
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.into(),
            what: what.into(),
        }
    }

    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let (path, what) = (path.into(), error.to_string());
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission { path, what }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, what },
            _ => Self::Io { path, what },
        }
    }

    /// RocksDB tells its errors apart by their text only.
    pub(crate) fn rocksdb(path: &Path, error: &rocksdb::Error) -> Self {
        // File names and keys may be in it.
        let what = escaped(error.as_ref().as_bytes());
        let path = path.into();
        let says = |words: &[&str]| words.iter().any(|word| what.contains(word));
        if error.kind() != rocksdb::ErrorKind::IOError {
            return Self::Damaged { path, what };
        }
        if says(&["lock hold by current process", "While lock file"]) {
            if says(&["Permission denied"]) {
                return Self::Permission { path, what };
            }
            return Self::Locked { path };
        }
        if says(&["No space left", "Disk quota exceeded"]) {
            return Self::Full { path, what };
        }
        if says(&[
            "Permission denied",
            "Operation not permitted",
            "Read-only file system",
        ]) {
            return Self::Permission { path, what };
        }
        // The list of files names one that is not there.
        if says(&["No such file or directory"]) {
            return Self::Damaged { path, what };
        }
        Self::Io { path, what }
    }
}
