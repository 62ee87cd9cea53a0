//! Moves an entry from `dirty` or `attempts` to `taken`, so that it is in one of them whoever dies when.

use fimk_wire::raw;
use libbpf_rs::{ErrorKind, Result};

use crate::objects::File;

/// What a TAKE came to.
pub enum Taken {
    /// What is new to the analyzer; `count` 0: it was not dirty.
    Entry(Box<raw::fimk_entry>),
    /// `taken` has no room.
    Full,
}

/// Takes `key` under the number `take`. What an earlier take of the same key left in `taken` is merged there, for an
/// analyzer that comes after: its DONE names another number and no longer counts. The analyzer that has it is given
/// only what came since, or it would count it twice.
pub fn take(file: &mut File, key: &raw::fimk_key, take: u64) -> Result<Taken> {
    let Some(seen) = file.waiting(key).get(key)? else {
        return Ok(Taken::Entry(Box::new(zerocopy::FromZeros::new_zeroed())));
    };
    let before = file.taken.get(key)?;
    let whole = |new| raw::fimk_entry {
        take,
        ..before.map_or(new, |before| merge(before, new))
    };
    let mut new = seen;
    match file.taken.put(key, &whole(new)) {
        Err(cause) if cause.kind() == ErrorKind::TooBig => return Ok(Taken::Full),
        put => put?,
    }
    file.leave_crowd(key, &seen);
    // What came between the lookup and the removal is in what the removal returns.
    if let Some(last) = file.waiting(key).take(key)? {
        new = last;
        file.taken.put(key, &whole(new))?;
    }
    new.take = take;
    Ok(Taken::Entry(Box::new(new)))
}

/// Forgets a taken entry, if the number is still its own. Says whether it was.
pub fn done(file: &File, key: &raw::fimk_key, take: u64) -> Result<bool> {
    match file.taken.get(key)? {
        Some(entry) if entry.take == take => file.taken.remove(key).map(|()| true),
        _ => Ok(false),
    }
}

/// The highest number among the taken entries: those of a loader before us keep theirs.
pub fn last(file: &File) -> Result<u64> {
    let mut last = 0;
    file.taken.each(|_, entry| last = entry.take.max(last))?;
    Ok(last)
}

/// One entry for two spans of time.
pub fn merge(earlier: raw::fimk_entry, later: raw::fimk_entry) -> raw::fimk_entry {
    let mut merged = later;
    merged.first_ns = earlier.first_ns.min(later.first_ns);
    merged.last_ns = earlier.last_ns.max(later.last_ns);
    merged.again = earlier.again;
    merged.count = earlier
        .count
        .saturating_add(later.count - u64::from(later.again != 0));
    merged.bytes = earlier.bytes.saturating_add(later.bytes);
    merged.uid = earlier.uid;
    for (operation, done) in merged.operations.iter_mut().zip(earlier.operations) {
        *operation |= done;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn two_entries_of_one_key_become_one_that_covers_both() {
        let mut earlier = raw::fimk_entry::new_zeroed();
        (
            earlier.first_ns,
            earlier.last_ns,
            earlier.count,
            earlier.uid,
        ) = (10, 20, 2, 1000);
        earlier.operations[0] = 1;
        let mut later = raw::fimk_entry::new_zeroed();
        (later.first_ns, later.last_ns, later.count, later.bytes) = (30, 40, u64::MAX, 5);
        later.operations[6] = 1;
        let merged = merge(earlier, later);
        assert_eq!(
            (merged.first_ns, merged.last_ns, merged.bytes, merged.uid),
            (10, 40, 5, 1000)
        );
        assert_eq!(merged.count, u64::MAX);
        (later.count, later.again) = (3, 1);
        let merged = merge(earlier, later);
        assert_eq!((merged.count, merged.again), (2 + 2, 0));
        assert_eq!((merged.operations[0], merged.operations[6]), (1, 1));
    }
}
