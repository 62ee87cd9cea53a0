//! Objects that the kernel has no room to watch: said once, and compared at the interval of the periodic source.

use crate::engine::{Engine, Trouble};

/// How many there are.
#[derive(Default)]
pub struct Unwatched {
    count: u64,
    told: bool,
}

impl Unwatched {
    /// So many more were refused.
    pub fn add(&mut self, refused: u64) {
        self.count = self.count.saturating_add(refused);
    }

    /// Everything is about to be walked anew.
    pub fn count_anew(&mut self) {
        self.count = 0;
    }

    /// As of the last walk of everything, and what was met since.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether it is to be told: once, until all had room again.
    fn news(&mut self) -> bool {
        let any = self.count > 0;
        any && !std::mem::replace(&mut self.told, any)
    }

    /// A walk of everything has ended.
    pub fn settle(&mut self) {
        self.told &= self.count > 0;
    }
}

impl Engine {
    /// Says that the watch map is full, if nobody was told.
    pub(crate) fn say_unwatched(&mut self) -> Result<(), Trouble> {
        if !self.unwatched.news() {
            return Ok(());
        }
        let sentence = format!(
            "the watch map is full: {} objects are not watched and only compared every {} s; raise objects_max or \
             watch fewer",
            self.unwatched.count(),
            self.config.scan_interval_s
        );
        self.degraded(&sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_map_is_told_once_until_there_was_room_for_all() {
        let mut unwatched = Unwatched::default();
        assert!(!unwatched.news());
        unwatched.add(3);
        assert!(unwatched.news());
        unwatched.count_anew();
        unwatched.add(2);
        unwatched.settle();
        assert!(!unwatched.news());
        unwatched.count_anew();
        unwatched.settle();
        unwatched.add(1);
        assert!(unwatched.news());
        assert_eq!(unwatched.count(), 1);
    }
}
