//! Whether the database is still where it was opened.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::error::StoreError;

/// Device and inode.
type Identity = (u64, u64);

/// The database's directory and its lock, as they were when it was opened. RocksDB opens its files by name: where
/// another directory stands under the name, it would write to that one too. And a lock that was removed keeps nobody
/// out.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    directory: PathBuf,
    identity: Identity,
    lock: Identity,
}

impl Place {
    pub(crate) fn of(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            directory: directory.into(),
            identity: identity(directory)?,
            lock: identity(&directory.join("LOCK"))?,
        })
    }

    /// The directory and the lock are those.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.check_directory()?;
        if identity(&self.directory.join("LOCK"))? == self.lock {
            Ok(())
        } else {
            Err(self.swapped("another LOCK is in it"))
        }
    }

    /// The directory is that one, whatever became of the lock.
    pub(crate) fn check_directory(&self) -> Result<(), StoreError> {
        if identity(&self.directory)? == self.identity {
            Ok(())
        } else {
            Err(self.swapped("another directory stands in its place"))
        }
    }

    fn swapped(&self, what: &str) -> StoreError {
        StoreError::swapped(&self.directory, what)
    }
}

fn identity(path: &Path) -> Result<Identity, StoreError> {
    match fs::metadata(path) {
        Ok(meta) => Ok((meta.dev(), meta.ino())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(StoreError::swapped(path, "it was removed"))
        }
        Err(error) => Err(StoreError::io(path, &error)),
    }
}
