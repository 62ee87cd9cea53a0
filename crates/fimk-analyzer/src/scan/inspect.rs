//! What the threads of a comparison do: an object is looked at or read, and held against its record.

use fimk_core::{
    path::BytePath,
    record::{Content, Record, Snapshot},
    rules::RuleSet,
    time::Timestamp,
};

use crate::{
    clock,
    examine::{Manner, is_leased, read_under},
    read::{Known, Reader},
    start::TEXT_BYTES_MAX,
};

/// What a thread found.
pub(super) enum Inspected {
    /// Nothing differs.
    AsRecorded,
    /// There was no record; what is there now, and when reading it began.
    New(Option<Box<Snapshot>>, Timestamp),
    /// Something differs, or may.
    Differs,
}

/// Looks at an object, or reads it, in a thread of the pool.
pub(super) fn inspect(
    reader: &Reader,
    path: &BytePath,
    rules: &RuleSet,
    record: Option<Record>,
    only_looks: bool,
) -> Inspected {
    let Some(matched) = rules.covers(path) else {
        return Inspected::Differs;
    };
    let manner = Manner::of(matched.rule);
    let as_recorded = match record {
        None => {
            let begun = clock::now();
            let read = read_under(reader, path, manner, None);
            return Inspected::New(read.map(|it| Box::new(it.snapshot)), begun);
        }
        Some(record) if only_looks => reader.looks_like(path, &record.snapshot),
        Some(record) => read_under(reader, path, manner, Known::of(&record))
            .is_some_and(|it| it.snapshot == record.snapshot && !is_leased(&it.snapshot)),
    };
    if as_recorded {
        Inspected::AsRecorded
    } else {
        Inspected::Differs
    }
}

/// What a snapshot keeps of its content, about.
pub(crate) fn text_bytes(snapshot: &Snapshot) -> usize {
    match &snapshot.content {
        Content::Read { state: Some(_), .. } => {
            let kept = snapshot.attributes.size.min(TEXT_BYTES_MAX);
            usize::try_from(kept).unwrap_or(usize::MAX)
        }
        _ => 0,
    }
}
