//! File systems that are marked as a whole: everything that happens on one is told, also of what no rule reaches.
//!
//! So of an event that names nothing known nothing is missed, and a directory is known by the event that tells of its
//! birth, before anybody walks it: what is done in it at once is told with who did it.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use super::paths::{Handle, Known, Paths};

/// What the handles of a file system begin with: its `f_fsid`.
pub type FileSystem = [u8; 8];

/// Directories that came and were not walked yet. Past this they are all let go: what is in them is found by the walk.
const NEWBORN_MAX: usize = 50_000;

/// Directories that only lead to what is watched. Past this they are all let go: what is done beside that costs time then.
const LEADING_MAX: usize = 50_000;

/// Of which events may come that nobody asks for any more. Past this they are all let go, and a name that comes to one costs a
/// scan.
const STRAYS_MAX: usize = 1_024;

/// Of names between a directory that was walked and one that was not: more than a path can have.
const DEPTH_MAX: usize = 2_048;

/// For how long what is none of ours is counted.
const SPAN: Duration = Duration::from_secs(60);

/// Events of a span that are none of ours, at the least, before they cost too much: a thousand in a second. Each costs 5 µs
/// here and 2 µs whoever causes it, measured natively on 6.18: together less than a hundredth of one CPU.
const STRANGE_MAX: u64 = 60_000;

/// The same for each object that would need a mark of its own, which costs 12 µs once, and 1.3 kB for as long as it stands.
const STRANGE_FOR_EACH: u64 = 2;

/// Which they are.
#[derive(Debug, Default)]
pub(super) struct Wholes {
    all: HashMap<FileSystem, Whole>,
    newborn: HashMap<Handle, Entry>,
    /// Directories on them in which nothing is watched but names.
    leading: HashSet<Handle>,
}

#[derive(Debug)]
struct Whole {
    stage: Stage,
    /// Events that were of nothing known, and since when.
    strange: u64,
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No object on it needs a mark of its own.
    Serves,
    /// Objects are marked one by one, and it is still marked.
    Leaves,
    /// It is not marked any more, and what was put into the queue before may wait there.
    Left,
    /// It may be marked, and nothing relies on that: it is not mounted here any more, though maybe elsewhere, or nobody
    /// answered whether the mark was made.
    Stray,
}

/// Where a directory is that was not walked yet.
#[derive(Debug, Clone)]
struct Entry {
    above: Handle,
    name: Box<[u8]>,
}

impl Wholes {
    fn of(&self, handle: &[u8]) -> Option<&Whole> {
        self.all.get(handle.first_chunk()?)
    }

    /// Whether what this handle is of may be on one.
    pub fn has(&self, handle: &[u8]) -> bool {
        self.of(handle).is_some()
    }

    /// Whether what this handle is of needs no mark of its own.
    pub fn serve(&self, handle: &[u8]) -> bool {
        self.of(handle)
            .is_some_and(|whole| whole.stage == Stage::Serves)
    }

    /// One is marked.
    pub fn begin(&mut self, id: FileSystem) {
        let whole = Whole {
            stage: Stage::Serves,
            strange: 0,
            since: Instant::now(),
        };
        self.all.insert(id, whole);
    }

    /// Objects on it are to be marked one by one.
    pub fn leave(&mut self, id: FileSystem) {
        if let Some(whole) = self.all.get_mut(&id) {
            whole.stage = Stage::Leaves;
        }
        self.leading
            .retain(|handle| handle.first_chunk() != Some(&id));
    }

    /// Its mark is gone.
    pub fn end(&mut self, id: FileSystem) {
        if let Some(whole) = self.all.get_mut(&id) {
            whole.stage = Stage::Left;
        }
    }

    /// Its mark may stand, and nobody can take it off.
    pub fn stray(&mut self, id: FileSystem) {
        let strays = self
            .all
            .values()
            .filter(|whole| whole.stage == Stage::Stray);
        if strays.count() >= STRAYS_MAX {
            self.all.retain(|_, whole| whole.stage != Stage::Stray);
        }
        self.begin(id);
        self.leave(id);
        if let Some(whole) = self.all.get_mut(&id) {
            whole.stage = Stage::Stray;
        }
    }

    /// Nothing waits in the queue, and whatever came was walked.
    pub fn at_rest(&mut self) {
        self.newborn.clear();
        self.all.retain(|_, whole| whole.stage != Stage::Left);
    }

    /// Whether a directory only leads to what is watched.
    pub fn leads(&mut self, handle: &[u8], leads: bool) {
        if !leads {
            self.leading.remove(handle);
        } else if self.serve(handle) {
            if self.leading.len() >= LEADING_MAX {
                self.leading.clear();
            }
            self.leading.insert(handle.into());
        }
    }

    /// Whether what is done in this directory to what it has is of no interest.
    pub fn only_lead(&self, handle: &[u8]) -> bool {
        self.leading.contains(handle)
    }

    /// An event was of nothing known.
    pub fn strange(&mut self, handle: &[u8]) {
        let id = handle.first_chunk::<8>();
        if let Some(whole) = id.and_then(|id| self.all.get_mut(id)) {
            if whole.since.elapsed() >= SPAN {
                (whole.strange, whole.since) = (0, Instant::now());
            }
            whole.strange += 1;
        }
    }

    /// Those of which the strange events cost more than so many marks of objects, and how many came in how long.
    pub fn costly(&self, spared: usize) -> Vec<(FileSystem, u64, Duration)> {
        let price = (spared as u64).saturating_mul(STRANGE_FOR_EACH);
        let most = STRANGE_MAX.max(price);
        let costly = self
            .all
            .iter()
            .filter(|(_, whole)| whole.stage == Stage::Serves && whole.strange > most);
        costly
            .map(|(id, whole)| (*id, whole.strange, whole.since.elapsed()))
            .collect()
    }

    /// A directory came to this name in another.
    pub fn born(&mut self, handle: &[u8], above: &[u8], name: &[u8]) {
        if self.newborn.len() >= NEWBORN_MAX {
            self.newborn.clear();
        }
        let entry = Entry {
            above: above.into(),
            name: name.into(),
        };
        self.newborn.insert(handle.into(), entry);
    }

    /// It has another name now, if it was not walked yet; none: it is gone, or out of sight.
    pub fn moved(&mut self, handle: &[u8], to: Option<(&[u8], &[u8])>) {
        if !self.newborn.contains_key(handle) {
            return;
        }
        match to {
            Some((above, name)) => self.born(handle, above, name),
            None => drop(self.newborn.remove(handle)),
        }
    }

    /// The path of a directory that was not walked yet, from those above it.
    pub fn path(&self, handle: &[u8], paths: &Paths) -> Option<BytePath> {
        let mut names = Vec::new();
        let mut entry = self.newborn.get(handle)?;
        while names.len() < DEPTH_MAX {
            names.push(&*entry.name);
            match (paths.get(&entry.above), self.newborn.get(&entry.above)) {
                (Known::Path(path), _) => {
                    let names = names.iter().rev();
                    return Some(names.fold(path.clone(), |path, name| path.join(name)));
                }
                (Known::No, Some(above)) => entry = above,
                _ => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    fn handle(name: &str) -> Vec<u8> {
        format!("12345678{name}").into_bytes()
    }

    fn world() -> (Wholes, Paths) {
        let (mut wholes, mut paths) = (Wholes::default(), Paths::new(100));
        wholes.begin(*b"12345678");
        paths.insert(handle("top"), &path("/top"));
        (wholes, paths)
    }

    #[test]
    fn what_was_not_walked_has_the_path_that_those_above_give_it() {
        let (mut wholes, mut paths) = world();
        wholes.born(&handle("a"), &handle("top"), b"a");
        wholes.born(&handle("b"), &handle("a"), b"b");
        let of = |wholes: &Wholes, paths: &Paths, name| wholes.path(&handle(name), paths);
        assert_eq!(of(&wholes, &paths, "b"), Some(path("/top/a/b")));
        paths.moved(&path("/top"), &path("/new"));
        wholes.moved(&handle("a"), Some((&handle("top"), b"c")));
        assert_eq!(of(&wholes, &paths, "b"), Some(path("/new/c/b")));
        // It was walked, and what is below it not yet.
        paths.insert(handle("a"), &path("/walked"));
        assert_eq!(of(&wholes, &paths, "b"), Some(path("/walked/b")));
        wholes.moved(&handle("b"), None);
        assert_eq!(of(&wholes, &paths, "b"), None);
        wholes.moved(&handle("never"), Some((&handle("top"), b"never")));
        assert_eq!(of(&wholes, &paths, "never"), None);
    }

    #[test]
    fn directories_in_a_circle_have_no_path() {
        let (mut wholes, paths) = world();
        wholes.born(&handle("a"), &handle("b"), b"a");
        wholes.born(&handle("b"), &handle("a"), b"b");
        assert_eq!(wholes.path(&handle("a"), &paths), None);
        wholes.born(&handle("c"), &handle("nowhere"), b"c");
        assert_eq!(wholes.path(&handle("c"), &paths), None);
    }

    #[test]
    fn a_directory_leads_only_as_long_as_nothing_in_it_is_of_interest() {
        let (mut wholes, _) = world();
        for (leads, of_another) in [(true, false), (false, true)] {
            wholes.leads(&handle("a"), leads);
            wholes.leads(b"of another", of_another);
            assert_eq!(wholes.only_lead(&handle("a")), leads);
            assert!(!wholes.only_lead(b"of another"));
        }
        wholes.leads(&handle("a"), true);
        wholes.leave(*b"12345678");
        assert!(!wholes.only_lead(&handle("a")));
    }

    #[test]
    fn one_that_is_left_is_known_until_its_last_events_were_read() {
        let (mut wholes, _) = world();
        assert!(wholes.serve(&handle("x")) && !wholes.has(b"87654321"));
        wholes.leave(*b"12345678");
        assert!(!wholes.serve(&handle("x")));
        wholes.at_rest();
        assert!(wholes.has(&handle("x")));
        wholes.end(*b"12345678");
        assert!(wholes.has(&handle("x")));
        wholes.at_rest();
        assert!(!wholes.has(&handle("x")));
    }

    #[test]
    fn a_mark_that_nobody_can_take_off_is_remembered_until_there_are_too_many() {
        let (mut wholes, _) = world();
        wholes.stray(*b"12345678");
        wholes.at_rest();
        assert!(wholes.has(&handle("x")) && !wholes.serve(&handle("x")));
        wholes.begin(*b"12345678");
        assert!(wholes.serve(&handle("x")), "it is mounted again");
        wholes.stray(*b"12345678");
        for number in 0..STRAYS_MAX {
            wholes.stray(number.to_ne_bytes());
        }
        assert!(!wholes.has(&handle("x")) && wholes.all.len() <= STRAYS_MAX);
    }

    #[test]
    fn too_much_is_more_than_the_marks_that_are_spared_would_cost() {
        let (mut wholes, _) = world();
        for _ in 0..STRANGE_MAX {
            wholes.strange(&handle("x"));
        }
        assert!(wholes.costly(0).is_empty());
        wholes.strange(&handle("x"));
        assert_eq!(wholes.costly(0).len(), 1);
        let spared = usize::try_from(STRANGE_MAX).unwrap_or(0);
        assert!(wholes.costly(spared).is_empty());
        wholes.leave(*b"12345678");
        assert!(wholes.costly(0).is_empty(), "it is left already");
    }

    #[test]
    fn no_more_newborn_are_kept_than_there_is_room_for() {
        let (mut wholes, _) = world();
        for number in 0..=NEWBORN_MAX {
            wholes.born(&handle(&number.to_string()), &handle("top"), b"x");
        }
        assert!(wholes.newborn.len() <= NEWBORN_MAX);
    }
}
