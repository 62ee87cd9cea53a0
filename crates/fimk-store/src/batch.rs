//! One atomic batch: for RocksDB, and for memory until it is known to be on disk.

use rocksdb::{DB, WriteBatch};

use crate::{
    error::StoreError,
    store::{check_size, missing_family},
};

/// Of one commit. Caller, batch, WAL buffer and memtable each hold it, in a process of 64 MiB.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// What a write costs beside its key and value, in memory or in the WAL: about.
pub(crate) const WRITE_BYTES: usize = 64;

/// One change of one key: its new value, or none where it goes.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) family: &'static str,
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Option<Box<[u8]>>,
}

/// Writes in their order, with a limit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) writes: Vec<Write>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn put(
        &mut self,
        family: &'static str,
        key: &[u8],
        value: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.add(family, key, Some(value.into_boxed_slice()))
    }

    pub(crate) fn remove(&mut self, family: &'static str, key: &[u8]) -> Result<(), StoreError> {
        self.add(family, key, None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    fn add(
        &mut self,
        family: &'static str,
        key: &[u8],
        value: Option<Box<[u8]>>,
    ) -> Result<(), StoreError> {
        let more = key.len() + value.as_ref().map_or(0, |value| value.len()) + WRITE_BYTES;
        let bytes = self.bytes + more;
        check_size("the size of one commit", bytes, BATCH_BYTES_MAX)?;
        self.bytes = bytes;
        let key = key.into();
        self.writes.push(Write { family, key, value });
        Ok(())
    }
}

/// As RocksDB takes it.
pub(crate) fn for_rocksdb<'a>(
    db: &DB,
    writes: impl Iterator<Item = (&'static str, &'a [u8], Option<&'a [u8]>)>,
) -> Result<WriteBatch, StoreError> {
    let mut batch = WriteBatch::default();
    for (family, key, value) in writes {
        let handle = db
            .cf_handle(family)
            .ok_or_else(|| missing_family(db.path(), family))?;
        match value {
            Some(value) => batch.put_cf(handle, key, value),
            None => batch.delete_cf(handle, key),
        }
    }
    Ok(batch)
}
