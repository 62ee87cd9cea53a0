//! How large the store is, for a status.

use std::{fs, os::unix::fs::MetadataExt as _};

use crate::{error::StoreError, open::RECORDS, store::Store};

impl Store {
    /// Bytes that the database takes on the disk, as the file system counts its blocks.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        let path = self.path();
        let failed = |error| StoreError::io(path, &error);
        let mut blocks: u64 = 0;
        // One directory without others in it, of some dozens of files.
        for entry in fs::read_dir(path).map_err(failed)? {
            // RocksDB removes files in threads of its own: one that is gone takes nothing.
            if let Ok(meta) = entry.map_err(failed)?.metadata() {
                blocks = blocks.saturating_add(meta.blocks());
            }
        }
        // st_blocks counts 512 bytes each on every Linux file system, stat(2).
        Ok(blocks.saturating_mul(512))
    }

    /// About how many records there are. To know it exactly all of them would have to be read: what was
    /// overwritten or removed since RocksDB last compacted is counted wrongly. None if RocksDB does not say.
    pub fn records_about(&self) -> Result<Option<u64>, StoreError> {
        self.estimate(RECORDS, "rocksdb.estimate-num-keys")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test may end in a panic")]
    use super::*;

    #[test]
    fn an_empty_store_has_no_records_and_takes_some_room() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = Store::open(directory.path()).expect("it opens");
        assert_eq!(store.records_about().expect("readable"), Some(0));
        assert!(store.disk_bytes().expect("readable") > 0);
    }
}
