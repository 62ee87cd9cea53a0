//! Which path a handle has.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use fimk_core::path::BytePath;

use super::MarkError;

/// Handles whose events are dropped because their path is not watched any more. Past this they are all let go, and
/// their events count as unknown: that costs scans and loses nothing.
const FORGOTTEN_MAX: usize = 50_000;

/// Directories whose path another has in the table. Past this they are all let go, at the same price.
const DISPLACED_MAX: usize = 50_000;

/// Names kept of one file. Past this the oldest is let go: what is done by the others is found there by the slow look.
const NAMES_MAX: usize = 32;

/// Objects that died since the queue was empty. Past this they are let go at once, at the same price.
const DYING_MAX: usize = 50_000;

pub(super) type Handle = Arc<[u8]>;

/// What is known of a handle.
pub(super) enum Known<'a> {
    Path(&'a BytePath),
    Forgotten,
    No,
}

/// Handles and paths: one of a directory, one or more of a file.
#[derive(Debug)]
pub(super) struct Paths {
    /// Never without a path; the latest is the last.
    by_handle: HashMap<Handle, Vec<BytePath>>,
    by_path: BTreeMap<BytePath, Handle>,
    forgotten: HashSet<Handle>,
    /// The paths of what another object has the path of: a walk is ahead of the events, or these are ahead of it. What is
    /// still to be told of a directory is told under the path that it had, until its own move is told or a walk finds it.
    displaced: HashMap<Handle, BytePath>,
    dying: Vec<Handle>,
    max: usize,
}

impl Paths {
    pub fn new(max: usize) -> Self {
        Self {
            by_handle: HashMap::new(),
            by_path: BTreeMap::new(),
            forgotten: HashSet::new(),
            displaced: HashMap::new(),
            dying: Vec::new(),
            max,
        }
    }

    pub fn len(&self) -> usize {
        self.by_handle.len()
    }

    pub fn room_for(&self, handle: &[u8]) -> Result<(), MarkError> {
        let taken = self.len() + self.forgotten.len() + self.displaced.len();
        let room = taken < self.max || self.by_handle.contains_key(handle);
        if room { Ok(()) } else { Err(MarkError::Full) }
    }

    /// Of a directory.
    pub fn get(&self, handle: &[u8]) -> Known<'_> {
        match self.names(handle).last().or(self.displaced.get(handle)) {
            Some(path) => Known::Path(path),
            None if self.forgotten.contains(handle) => Known::Forgotten,
            None => Known::No,
        }
    }

    pub fn path(&self, handle: &[u8]) -> Option<BytePath> {
        self.names(handle).last().cloned()
    }

    pub fn names(&self, handle: &[u8]) -> &[BytePath] {
        self.by_handle.get(handle).map_or(&[], Vec::as_slice)
    }

    /// Of a directory: it has no other path.
    pub fn insert(&mut self, handle: impl Into<Handle>, path: &BytePath) {
        let handle = handle.into();
        for former in self.by_handle.remove(&handle).unwrap_or_default() {
            self.by_path.remove(&former);
        }
        self.insert_name(handle, path);
    }

    /// Of a file, which may have others.
    pub fn insert_name(&mut self, handle: impl Into<Handle>, path: &BytePath) {
        let handle = handle.into();
        self.forgotten.remove(&handle);
        self.displaced.remove(&handle);
        if let Some(former) = self.by_path.insert(path.clone(), Arc::clone(&handle))
            && former != handle
        {
            self.displace(former, path);
        }
        let names = self.by_handle.entry(handle).or_default();
        names.retain(|name| name != path);
        names.push(path.clone());
        if names.len() > NAMES_MAX {
            self.by_path.remove(&names.remove(0));
        }
    }

    /// Whether this path is by now that of another object, or the object has another.
    pub fn has_moved_on(&self, handle: &[u8], path: &BytePath) -> bool {
        let names = self.names(handle);
        let anothers = self.by_path.get(path).is_some_and(|it| **it != *handle);
        anothers || !names.is_empty() && !names.contains(path)
    }

    /// A name of a file is gone. The last one stays: what is done to the file is still told of it.
    pub fn lost_name(&mut self, path: &BytePath) {
        if let Some(handle) = self.by_path.get(path).cloned()
            && self.names(&handle).len() > 1
        {
            self.by_path.remove(path);
            self.unname(handle, path);
        }
    }

    fn unname(&mut self, handle: Handle, path: &BytePath) {
        if self.is_last_name(&handle, path) {
            self.drop_events_of(handle);
        }
    }

    fn displace(&mut self, handle: Handle, path: &BytePath) {
        if !self.is_last_name(&handle, path) {
            return;
        }
        if self.displaced.len() >= DISPLACED_MAX {
            self.displaced.clear();
        }
        self.displaced.insert(handle, path.clone());
    }

    /// Takes a name from an object; whether it has none now.
    fn is_last_name(&mut self, handle: &Handle, path: &BytePath) -> bool {
        let Some(names) = self.by_handle.get_mut(handle) else {
            return false;
        };
        names.retain(|name| name != path);
        let none = names.is_empty();
        if none {
            self.by_handle.remove(handle);
        }
        none
    }

    /// A directory of which another had the path moved, out of sight if there is no new path. Whether it is one.
    pub fn follow(&mut self, handle: &[u8], new: Option<&BytePath>) -> bool {
        let Some((handle, _)) = self.displaced.remove_entry(handle) else {
            return false;
        };
        match new {
            None => self.drop_events_of(handle),
            Some(new) if self.by_path.contains_key(new) => {
                self.displaced.insert(handle, new.clone());
            }
            Some(new) => self.insert(handle, new),
        }
        true
    }

    pub fn moved(&mut self, old: &BytePath, new: &BytePath) {
        if old == new || new.is_in(old) {
            return;
        }
        for (path, handle) in self.take(new) {
            self.displace(handle, &path);
        }
        for (path, handle) in self.take(old) {
            let below = &path.bytes()[old.bytes().len()..];
            let moved = BytePath::new(&[new.bytes(), below].concat());
            let names = self.by_handle.get_mut(&handle).into_iter().flatten();
            for name in names.filter(|name| **name == path) {
                name.clone_from(&moved);
            }
            self.by_path.insert(moved, handle);
        }
    }

    pub fn forget(&mut self, path: &BytePath) {
        for (path, handle) in self.take(path) {
            self.unname(handle, &path);
        }
    }

    /// The object is no more. The kernel says so in the place of the first event of the same process about it that still waits:
    /// those of others may come behind it, so its path is known until the queue was empty once, and all that was read is told.
    pub fn died(&mut self, handle: &[u8]) {
        if self.dying.len() >= DYING_MAX {
            self.bury();
        }
        self.dying.push(handle.into());
    }

    /// Whether it is no more.
    pub fn is_dying(&self, handle: &[u8]) -> bool {
        self.dying.iter().any(|it| **it == *handle)
    }

    /// Which object has this path.
    pub fn at(&self, path: &BytePath) -> Option<&Handle> {
        self.by_path.get(path)
    }

    /// No event about what died can come any more.
    pub fn bury(&mut self) {
        for handle in std::mem::take(&mut self.dying) {
            self.forgotten.remove(&handle);
            self.displaced.remove(&handle);
            for path in self.by_handle.remove(&handle).unwrap_or_default() {
                self.by_path.remove(&path);
            }
        }
    }

    fn drop_events_of(&mut self, handle: Handle) {
        if self.forgotten.len() >= FORGOTTEN_MAX {
            self.forgotten.clear();
        }
        self.forgotten.insert(handle);
    }

    /// Takes a path and all below it out of `by_path`: in time proportional to what is found.
    fn take(&mut self, path: &BytePath) -> Vec<(BytePath, Handle)> {
        let first = path.join(b"");
        // What lies below begins with the path and a slash; the byte after the slash ends the range.
        let mut end = first.bytes().to_vec();
        if let Some(slash) = end.last_mut() {
            *slash += 1;
        }
        let below = (Bound::Excluded(first), Bound::Excluded(BytePath::new(&end)));
        let mut taken: Vec<_> = self
            .by_path
            .range(below)
            .map(|(path, _)| path.clone())
            .collect();
        taken.push(path.clone());
        taken
            .into_iter()
            .filter_map(|path| self.by_path.remove_entry(&path))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    fn paths(all: &[&str]) -> Paths {
        let mut paths = Paths::new(100);
        for text in all {
            paths.insert(text.as_bytes(), &path(text));
        }
        paths
    }

    fn of(paths: &Paths, handle: &str) -> Option<String> {
        paths.path(handle.as_bytes()).map(|path| path.to_string())
    }

    #[test]
    fn a_move_takes_along_what_is_below_and_no_sibling() {
        let mut paths = paths(&["/a", "/a/b", "/a/b/c", "/a-b", "/a0", "/ab", "/x"]);
        paths.moved(&path("/a"), &path("/x"));
        assert_eq!(of(&paths, "/a").as_deref(), Some("/x"));
        assert_eq!(of(&paths, "/a/b/c").as_deref(), Some("/x/b/c"));
        for sibling in ["/a-b", "/a0", "/ab"] {
            assert_eq!(of(&paths, sibling).as_deref(), Some(sibling));
        }
        assert_eq!(of(&paths, "/x"), None, "nothing is at /x but what moved");
        assert_eq!(paths.len(), 6);
    }

    #[test]
    fn a_path_forgotten_and_marked_again_is_known_again() {
        let mut paths = paths(&["/a", "/a/b", "/c"]);
        paths.forget(&path("/a"));
        assert!(matches!(paths.get(b"/a/b"), Known::Forgotten));
        assert!(matches!(paths.get(b"/c"), Known::Path(_)));
        assert!(matches!(paths.get(b"?"), Known::No));
        paths.insert(&b"/a/b"[..], &path("/d"));
        assert_eq!(of(&paths, "/a/b").as_deref(), Some("/d"));
        paths.died(b"/d");
        paths.died(b"/a/b");
        assert_eq!(of(&paths, "/a/b").as_deref(), Some("/d"));
        paths.bury();
        assert!(matches!(paths.get(b"/a/b"), Known::No));
    }

    #[test]
    fn another_directory_under_the_same_path_takes_its_place() {
        let mut paths = paths(&["/a"]);
        paths.insert(&b"new"[..], &path("/a"));
        assert_eq!(of(&paths, "new").as_deref(), Some("/a"));
        assert_eq!(of(&paths, "/a"), None);
        assert_eq!(paths.len(), 1);
    }

    #[test]
    fn what_is_still_to_be_told_of_a_displaced_directory_has_its_path_until_it_moves() {
        let of_events = |paths: &Paths| match paths.get(b"/a") {
            Known::Path(path) => Some(path.to_string()),
            Known::Forgotten | Known::No => None,
        };
        let mut paths = paths(&["/a", "/b"]);
        paths.insert(&b"new"[..], &path("/a"));
        assert_eq!(of_events(&paths).as_deref(), Some("/a"));
        assert!(paths.follow(b"/a", Some(&path("/b"))));
        assert_eq!(of_events(&paths).as_deref(), Some("/b"), "another is there");
        assert_eq!(of(&paths, "/b").as_deref(), Some("/b"));
        paths.follow(b"/a", Some(&path("/c")));
        assert_eq!(of(&paths, "/a").as_deref(), Some("/c"), "nothing else is");
        paths.moved(&path("/b"), &path("/c"));
        assert_eq!(of_events(&paths).as_deref(), Some("/c"));
        paths.follow(b"/a", None);
        assert!(matches!(paths.get(b"/a"), Known::Forgotten));
    }

    #[test]
    fn a_displaced_directory_that_dies_is_let_go() {
        let mut paths = paths(&["/a"]);
        paths.insert(&b"new"[..], &path("/a"));
        paths.died(b"/a");
        assert!(matches!(paths.get(b"/a"), Known::Path(_)));
        paths.bury();
        assert!(matches!(paths.get(b"/a"), Known::No));
    }

    #[test]
    fn a_file_keeps_its_other_names_when_one_goes() {
        let mut paths = paths(&["/d"]);
        for name in ["/d/a", "/d/b", "/d/c"] {
            paths.insert_name(&b"file"[..], &path(name));
        }
        paths.lost_name(&path("/d/c"));
        paths.moved(&path("/d/a"), &path("/d/z"));
        assert_eq!(paths.names(b"file"), [path("/d/z"), path("/d/b")]);
        paths.insert_name(&b"other"[..], &path("/d/b"));
        assert_eq!(of(&paths, "file").as_deref(), Some("/d/z"));
        paths.lost_name(&path("/d/z"));
        assert_eq!(of(&paths, "file").as_deref(), Some("/d/z"), "its last");
        paths.forget(&path("/d"));
        assert!(matches!(paths.get(b"file"), Known::Forgotten));
        assert_eq!((paths.len(), paths.by_path.len()), (0, 0));
    }

    #[test]
    fn no_file_has_more_names_than_are_kept() {
        let mut paths = Paths::new(100);
        for number in 0..100 {
            paths.insert_name(&b"file"[..], &path(&format!("/{number}")));
        }
        assert_eq!(paths.names(b"file").len(), NAMES_MAX);
        assert_eq!(paths.by_path.len(), NAMES_MAX);
    }

    #[test]
    fn what_is_known_elsewhere_or_replaced_has_moved_on() {
        let paths = paths(&["/a", "/b"]);
        assert!(!paths.has_moved_on(b"/a", &path("/a")));
        assert!(paths.has_moved_on(b"/a", &path("/c")), "it is at /a");
        assert!(paths.has_moved_on(b"?", &path("/b")), "another is at /b");
        assert!(!paths.has_moved_on(b"?", &path("/c")), "neither is known");
    }

    #[test]
    fn the_root_itself_can_be_forgotten_with_all_below() {
        let mut paths = paths(&["/", "/a", "/a/b"]);
        paths.forget(&path("/"));
        assert_eq!(paths.len(), 0);
    }

    #[test]
    fn the_limit_holds_for_new_marks_only() {
        let mut paths = Paths::new(1);
        paths.insert(&b"1"[..], &path("/a"));
        assert_eq!(paths.room_for(b"2"), Err(MarkError::Full));
        assert_eq!(paths.room_for(b"1"), Ok(()));
    }
}
