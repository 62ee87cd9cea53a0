//! What fimk remembers: records, events and cursors, in RocksDB. The only crate that names RocksDB and bincode.
//!
//! A state directory holds `rocksdb/`, the database, and `synced`, the sequence of the last event known to
//! be on disk. The database has five column families:
//!
//! | family | key | value |
//! |---|---|---|
//! | `records` | bytes of the path | [`Record`](fimk_core::record::Record) |
//! | `events` | sequence, 8 bytes, big endian | hash of the chain, [`Event`](fimk_core::event::Event) |
//! | `cursors` | name of the output | sequence last delivered |
//! | `kinds` | severity, owner and rule of an event, its sequence | when it was made, its size |
//! | `meta` | `schema`, `head`, `anchor`, `removed`, totals under `kind/`, and the caller's under `user/` | small values |
//!
//! Every value begins with the version of its schema: values of older ones are read as they are, and become
//! those of today when they are written anew. One [`Store::commit`] is one atomic batch: records, events
//! and the chain's head appear together or not at all. It is in the kernel's hands when `commit` returns, so
//! that `kill -9` loses nothing; it is on disk when [`Store::sync`] returns. What power failure takes between
//! the two is found at the next [`Store::open`] and named in [`Opened::lost`].
//!
//! Where the disk takes nothing, what is committed is kept in memory ([`Store::trouble`]) until it does
//! ([`Store::recover`]).
//!
//! A sequence is used once, with one exception: an event delivered before it was synced, and then lost to
//! power failure, may share its sequence with a later one. A caller that minds delivers up to
//! [`Store::synced_sequence`] only.

#![allow(clippy::doc_markdown, reason = "RocksDB is a name and no code")]

mod batch;
mod chain;
mod codec;
mod error;
mod fail;
mod kept;
mod kinds;
mod measure;
mod open;
mod place;
mod records;
mod retention;
mod size;
mod store;
mod synced;
// As all tests say it.
#[cfg(test)]
#[path = "../../../tests/src/not_run.rs"]
mod not_run;
#[cfg(test)]
mod tests;
mod trouble;
mod v1;

pub use error::StoreError;
pub use kinds::{CLASSES, Class};
pub use open::{Lost, Opened};
pub use retention::{Removed, Retention};
pub use store::{Commit, Store};
pub use trouble::{KEPT_BYTES_MAX, Recovered, Trouble};
