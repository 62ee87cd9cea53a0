//! What is on record: of one path, or of many in the order of their bytes.

use fimk_core::{path::BytePath, record::Record};

use crate::{Store, StoreError, open::RECORDS};

/// A record and its path, or why it cannot be read.
type Item = Result<(BytePath, Record), StoreError>;

impl Store {
    /// The record of a path.
    pub fn record(&self, path: &BytePath) -> Result<Option<Record>, StoreError> {
        self.get(RECORDS, path.bytes())
    }

    /// The record that follows this path in the order of their bytes; the first of all for none.
    pub fn record_after(
        &self,
        path: Option<&BytePath>,
    ) -> Result<Option<(BytePath, Record)>, StoreError> {
        self.records_after(None, path).next().transpose()
    }

    /// Records in the order of their paths' bytes: all, or that of `below` and those under it.
    /// A record that cannot be read is an error in its place; the next ones follow.
    pub fn records<'a>(&'a self, below: Option<&BytePath>) -> impl Iterator<Item = Item> + use<'a> {
        self.records_after(below, None)
    }

    /// Those of [`Self::records`] that follow `after`, which is one of their paths.
    pub fn records_after<'a>(
        &'a self,
        below: Option<&BytePath>,
        after: Option<&BytePath>,
    ) -> impl Iterator<Item = Item> + use<'a> {
        let below = below.filter(|path| path.bytes() != b"/");
        // `/etc-old` sorts between `/etc` and `/etc/passwd`: two ranges.
        let itself = below.filter(|_| after.is_none()).and_then(|path| {
            self.record(path)
                .map(|found| found.map(|it| (path.clone(), it)))
                .transpose()
        });
        let first = below.map_or_else(Vec::new, |path| [path.bytes(), b"/"].concat());
        // No path lies between one and itself with a zero byte.
        let next = after.map_or_else(Vec::new, |path| [path.bytes(), b"\0"].concat());
        // The byte after `/`.
        let end = below.map(|path| [path.bytes(), b"0"].concat());
        let under = self.scan(RECORDS, &first.max(next), end.as_deref());
        let under = under.map(|item| {
            let (key, value) = item?;
            Ok((BytePath::new(&key), self.decode(&value)?))
        });
        itself.into_iter().chain(under)
    }
}
