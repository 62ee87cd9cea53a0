//! Whether what the events tell of directories agrees with itself, and with what is there.
//!
//! Of two events that are alike and wait at the same time the kernel makes one, in the place of the first. So of a directory
//! that goes there, back and there again before anybody reads, the second move there is never heard of, and what is told
//! of it from then on has a name that it does not have. Nothing says so. But some later event does not fit, or a walk finds
//! the directory elsewhere than all events together have led it. And where a walk is ahead of the events, a directory that by these
//! only passes where another stands by now shares its names.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use super::paths::{Handle, Known, Paths};

/// Directories in doubt. More are not told apart: the events do not agree then.
const DOUBTS_MAX: usize = 10_000;

/// Places that are named of those that do not agree.
const PLACES_MAX: usize = 1_000;

/// A walk sees a new name a moment before its event is in the queue.
const MOMENT: Duration = Duration::from_millis(100);

/// A directory that is not where the events have led it so far: they are not all heard, or one never will be.
#[derive(Debug)]
struct Doubt {
    /// Where the events have led it.
    place: BytePath,
    /// By the events another directory has taken its place, which only one that is no more allows.
    displaced: bool,
    since: Instant,
}

/// All that are in doubt.
#[derive(Debug, Default)]
pub(super) struct Order {
    doubts: HashMap<Handle, Doubt>,
    /// Where events do not agree.
    broken: BTreeSet<BytePath>,
}

/// What an event says of a directory of which the object is told.
pub(super) struct Move<'a> {
    /// The directory.
    pub object: &'a [u8],
    /// The one that it was in.
    pub above: Option<&'a [u8]>,
    pub old: &'a BytePath,
    /// None: out of sight, or it is no more.
    pub new: Option<&'a BytePath>,
}

impl Order {
    /// Whether there is any doubt.
    pub fn is_certain(&self) -> bool {
        self.doubts.is_empty() && self.broken.is_empty()
    }

    /// A walk found a directory that the table has elsewhere.
    pub fn found_elsewhere(&mut self, handle: &[u8], known: &BytePath) {
        if !self.doubts.contains_key(handle) {
            self.doubt(handle, known, false);
        }
    }

    /// Another directory came to where this one is in the table.
    pub fn displaced(&mut self, handle: &[u8], place: &BytePath) {
        match self.doubts.get_mut(handle) {
            Some(known) if known.place == *place => known.displaced = true,
            // It is only found there to be later, and what waits of both has the same names.
            Some(_) => self.breaks(place),
            None => self.doubt(handle, place, true),
        }
    }

    fn doubt(&mut self, handle: &[u8], place: &BytePath, displaced: bool) {
        if self.doubts.len() >= DOUBTS_MAX {
            self.doubts.clear();
            self.breaks(place);
        }
        let doubt = Doubt {
            place: place.clone(),
            displaced,
            since: Instant::now(),
        };
        self.doubts.insert(handle.into(), doubt);
    }

    fn breaks(&mut self, place: &BytePath) {
        if self.broken.len() < PLACES_MAX {
            self.broken.insert(place.clone());
        }
    }

    /// An event tells of a move. `known`: the directory's place in the table.
    pub fn moved(&mut self, it: &Move<'_>, known: Option<&BytePath>) {
        let doubt = self.doubts.get(it.object);
        let place = doubt.map(|doubt| &doubt.place).or(known);
        let agrees = place.is_none_or(|place| place == it.old);
        // The event's own path follows from the table's of the directory above.
        let is_comparable = it
            .above
            .is_none_or(|above| !self.doubts.contains_key(above));
        if !agrees && is_comparable {
            self.breaks(it.old);
            self.doubts.remove(it.object);
        } else if let Some(doubt) = self.doubts.get_mut(it.object) {
            doubt.displaced = false;
            match it.new {
                Some(new) => doubt.place.clone_from(new),
                None => drop(self.doubts.remove(it.object)),
            }
        }
        self.follow(it);
    }

    /// What is below it goes with it.
    fn follow(&mut self, it: &Move<'_>) {
        let Some(new) = it.new else { return };
        for doubt in self.doubts.values_mut() {
            if doubt.place.is_in(it.old) && doubt.place != *it.old {
                doubt.place = crate::tree::rebased(&doubt.place, it.old, new);
            }
        }
    }

    /// Nothing waits any more, and all that was heard of was looked at: where there was no agreement. Doubts of this moment
    /// are left, unless it is `now` or never.
    pub fn judge(&mut self, paths: &Paths, now: bool) -> BTreeSet<BytePath> {
        let of_this_moment = |doubt: &Doubt| !now && doubt.since.elapsed() < MOMENT;
        let mut wrong = Vec::new();
        self.doubts.retain(|handle, doubt| {
            let known = match paths.get(handle) {
                Known::Path(known) if !paths.is_dying(handle) => known,
                // Whatever became of it, it is no more.
                _ => return false,
            };
            if doubt.place == *known && !doubt.displaced {
                return false;
            }
            if of_this_moment(doubt) {
                return true;
            }
            wrong.extend([doubt.place.clone(), known.clone()]);
            false
        });
        for place in &wrong {
            self.breaks(place);
        }
        std::mem::take(&mut self.broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    /// A table with these, and what was heard; each directory has the name it had first for a handle.
    struct World {
        paths: Paths,
        order: Order,
    }

    impl World {
        fn new(all: &[&str]) -> Self {
            let mut paths = Paths::new(100);
            for text in all {
                paths.insert(text.as_bytes(), &path(text));
            }
            Self {
                paths,
                order: Order::default(),
            }
        }

        fn hear(&mut self, handle: &str, old: &str, new: Option<&str>) {
            let (old, new) = (path(old), new.map(path));
            let known = match self.paths.get(handle.as_bytes()) {
                Known::Path(known) => Some(known.clone()),
                _ => None,
            };
            let it = Move {
                object: handle.as_bytes(),
                above: None,
                old: &old,
                new: new.as_ref(),
            };
            self.order.moved(&it, known.as_ref());
            // As the source does, which leaves to a walk what it found before.
            if self.paths.has_moved_on(handle.as_bytes(), &old) {
                self.paths.follow(handle.as_bytes(), new.as_ref());
            } else if let Some(new) = &new {
                if let Some(there) = self.paths.at(new).cloned() {
                    self.order.displaced(&there, new);
                }
                self.paths.moved(&old, new);
            }
        }

        fn find(&mut self, handle: &str, at: &str) {
            if let Known::Path(known) = self.paths.get(handle.as_bytes())
                && *known != path(at)
            {
                let known = known.clone();
                self.order.found_elsewhere(handle.as_bytes(), &known);
            }
            self.paths.insert(handle.as_bytes(), &path(at));
        }

        fn broken(&mut self) -> Vec<String> {
            let broken = self.order.judge(&self.paths, true);
            assert!(self.order.is_certain());
            broken.iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn what_is_heard_of_wholly_is_certain() {
        let mut world = World::new(&["/a", "/a/b", "/x"]);
        for (old, new) in [("/a", "/c"), ("/c", "/a"), ("/a", "/c")] {
            world.hear("/a", old, Some(new));
        }
        world.hear("/a/b", "/c/b", Some("/d"));
        world.find("/a/b", "/d");
        world.hear("/x", "/x", None);
        assert!(world.broken().is_empty());
    }

    #[test]
    fn a_second_move_there_that_is_never_heard_of_shows_by_a_walk() {
        let mut world = World::new(&["/a"]);
        world.hear("/a", "/a", Some("/b"));
        world.hear("/a", "/b", Some("/a"));
        world.find("/a", "/b");
        assert_eq!(world.broken(), ["/a", "/b"]);
    }

    #[test]
    fn a_second_move_there_that_is_never_heard_of_shows_by_the_next() {
        let mut world = World::new(&["/a"]);
        world.hear("/a", "/a", Some("/b"));
        world.hear("/a", "/b", Some("/a"));
        world.hear("/a", "/b", Some("/c"));
        assert_eq!(world.broken(), ["/b"]);
    }

    #[test]
    fn a_walk_that_is_ahead_of_the_events_is_no_contradiction_once_they_came() {
        let mut world = World::new(&["/a", "/a/b"]);
        world.find("/a", "/d");
        world.find("/a/b", "/d/b");
        assert!(!world.order.is_certain());
        for (old, new) in [("/a", "/b"), ("/b", "/c"), ("/c", "/d")] {
            world.hear("/a", old, Some(new));
        }
        assert!(world.broken().is_empty());
    }

    #[test]
    fn a_doubt_of_this_moment_is_left() {
        let mut world = World::new(&["/a"]);
        world.find("/a", "/b");
        assert!(world.order.judge(&world.paths, false).is_empty());
        assert!(!world.order.is_certain());
        world.hear("/a", "/a", Some("/b"));
        assert!(world.broken().is_empty());
    }

    #[test]
    fn only_a_directory_that_is_no_more_gives_way_to_another() {
        for dies in [true, false] {
            let mut world = World::new(&["/a", "/b"]);
            world.hear("/a", "/a", Some("/b"));
            if dies {
                world.paths.died(b"/b");
            }
            assert_eq!(world.broken().is_empty(), dies);
        }
    }

    #[test]
    fn what_passes_where_another_was_found_to_be_later_shares_its_names() {
        let mut world = World::new(&["/a", "/b"]);
        world.find("/a", "/d");
        world.hear("/b", "/b", Some("/d"));
        world.hear("/b", "/d", Some("/c"));
        world.hear("/a", "/a", Some("/d"));
        assert_eq!(world.broken(), ["/d"]);
    }

    #[test]
    fn two_that_change_places_are_certain() {
        let mut world = World::new(&["/a", "/b"]);
        world.hear("/a", "/a", Some("/b"));
        world.hear("/b", "/b", Some("/a"));
        assert!(world.broken().is_empty());
    }

    #[test]
    fn no_more_doubts_are_kept_than_there_is_room_for() {
        let mut world = World::new(&[]);
        for number in 0..=DOUBTS_MAX {
            world
                .order
                .found_elsewhere(number.to_string().as_bytes(), &path("/a"));
        }
        assert_eq!(world.order.doubts.len(), 1);
        assert_eq!(world.broken(), ["/a"]);
    }
}
