//! What was seen and what an analyzer made of it, in the loader's own words.

use std::fmt;

/// Since the loader started; `announced` and `lost` since the maps were made.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Announcements that the programs made.
    pub announced: u64,
    /// Announcements that the ring had no room for.
    pub lost: u64,
    /// Records that went to an analyzer.
    pub delivered: u64,
    /// Entries that it took.
    pub taken: u64,
    /// Entries that it said DONE to.
    pub done: u64,
    /// Objects on the watch now.
    pub watched: u64,
    /// Objects that it took off the watch.
    pub unwatched: u64,
    /// Times that its requests had to wait, because there were too many.
    pub put_off: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            announced,
            lost,
            delivered,
            taken,
            done,
            watched,
            unwatched,
            put_off,
        } = self;
        write!(
            f,
            "changes announced {announced}, announcements lost {lost}, records delivered {delivered}, \
             entries taken {taken}, done {done}, objects watched {watched}, taken off the watch {unwatched}, \
             requests put off {put_off}"
        )
    }
}
