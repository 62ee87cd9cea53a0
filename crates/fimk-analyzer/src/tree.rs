//! Which object stands under which name, as far as rules reach: our own picture of the watched trees.
//!
//! Records of the kernel name objects; people and rules name paths. This table joins the two and is kept
//! right by the records of names themselves. One object may have several names (hard links).

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use fimk_core::path::BytePath;
use smallvec::SmallVec;

use crate::identity::Object;

/// Nearly every object has one name, which needs no allocation of its own.
type Names = SmallVec<[BytePath; 1]>;

/// What is known of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// As the kernel names it; none with sources that do not say.
    pub object: Option<Object>,
    /// A directory.
    pub directory: bool,
}

/// Names and objects.
#[derive(Default)]
pub struct Tree {
    names: BTreeMap<BytePath, Entry>,
    /// Ordered, because a hash table that grows needs thrice its room for a moment, and half of it is empty then.
    objects: BTreeMap<Object, Names>,
    /// What the layers of an overlay have below a name, and the other way round.
    layers: HashMap<BytePath, Vec<Object>>,
    merged: HashMap<Object, Vec<BytePath>>,
    /// How many names may be known; none: any number.
    limit: Option<usize>,
    refused: Refused,
}

/// Names for which there was no room.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many times; directories are counted by the walk that follows them.
    pub count: u64,
    /// The first of them.
    pub first: Option<BytePath>,
}

impl Tree {
    /// How many names are known.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// All names in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&BytePath, &Entry)> {
        self.names.iter()
    }

    /// The entry of a name.
    pub fn get(&self, path: &BytePath) -> Option<Entry> {
        self.names.get(path).copied()
    }

    /// All names of an object.
    pub fn names_of(&self, object: Object) -> &[BytePath] {
        self.objects.get(&object).map_or(&[], SmallVec::as_slice)
    }

    /// The first name of an object.
    pub fn name_of(&self, object: Object) -> Option<&BytePath> {
        self.names_of(object).first()
    }

    /// No more names than this are taken from now on; those that are known stay.
    pub fn limit(&mut self, names_max: usize) {
        self.limit = Some(names_max);
    }

    /// What found no room since this was last asked.
    pub fn take_refused(&mut self) -> Refused {
        std::mem::take(&mut self.refused)
    }

    fn has_room_for(&mut self, path: &BytePath, entry: Entry) -> bool {
        let full = self.limit.is_some_and(|limit| self.names.len() >= limit);
        let refuses = full && !self.names.contains_key(path);
        if refuses && !entry.directory {
            self.refused.count += 1;
            self.refused.first.get_or_insert_with(|| path.clone());
        }
        !refuses
    }

    /// A name now stands for this, if there is room for it.
    pub fn insert(&mut self, path: BytePath, entry: Entry) {
        if !self.has_room_for(&path, entry) {
            return;
        }
        if let Some(old) = self.names.insert(path.clone(), entry) {
            self.unlink(old, &path);
        }
        if let Some(object) = entry.object {
            let names = self.objects.entry(object).or_default();
            if !names.contains(&path) {
                names.push(path);
            }
        }
    }

    /// A directory is reached by this name as well, through a link that a rule spells out.
    pub fn alias(&mut self, object: Object, path: BytePath) {
        let names = self.objects.entry(object).or_default();
        if !names.contains(&path) {
            names.push(path);
        }
    }

    /// In a layer of an overlay this object lies below a name. It follows the name.
    pub fn lay(&mut self, object: Object, path: BytePath) {
        let names = self.merged.entry(object).or_default();
        if !names.contains(&path) {
            names.push(path.clone());
        }
        let layers = self.layers.entry(path).or_default();
        if !layers.contains(&object) {
            layers.push(object);
        }
    }

    /// The names on overlays below which an object lies.
    pub fn merged_names_of(&self, object: Object) -> &[BytePath] {
        self.merged.get(&object).map_or(&[], Vec::as_slice)
    }

    /// What lies below a name in the layers of an overlay.
    pub fn layers_of(&self, path: &BytePath) -> &[Object] {
        self.layers.get(path).map_or(&[], Vec::as_slice)
    }

    /// Nothing lies below a name any more; what did.
    pub fn lift(&mut self, path: &BytePath) -> Vec<Object> {
        let layers = self.layers.remove(path).unwrap_or_default();
        for object in &layers {
            if let Some(names) = self.merged.get_mut(object) {
                names.retain(|name| name != path);
                if names.is_empty() {
                    self.merged.remove(object);
                }
            }
        }
        layers
    }

    /// Whether nothing that is watched has to do with an object.
    pub fn is_strange(&self, object: Object) -> bool {
        self.names_of(object).is_empty() && self.merged_names_of(object).is_empty()
    }

    /// A name is gone; what it stood for.
    pub fn remove(&mut self, path: &BytePath) -> Option<Entry> {
        let entry = self.names.remove(path)?;
        self.unlink(entry, path);
        Some(entry)
    }

    /// A name and all below it are gone; what they stood for, the name itself first.
    pub fn remove_below(&mut self, path: &BytePath) -> Vec<(BytePath, Entry)> {
        let gone = self.below(path);
        for (name, _) in &gone {
            self.remove(name);
            self.lift(name);
        }
        gone
    }

    /// A name and all below it now begin with another.
    pub fn rename(&mut self, old: &BytePath, new: &BytePath) {
        for (name, entry) in self.below(old) {
            let layers = self.lift(&name);
            self.remove(&name);
            let name = rebased(&name, old, new);
            for object in layers {
                self.lay(object, name.clone());
            }
            self.insert(name, entry);
        }
    }

    /// A name and all below it, in order.
    pub fn below(&self, path: &BytePath) -> Vec<(BytePath, Entry)> {
        // `/etc-old` sorts between `/etc` and `/etc/passwd`: the names below are a range of their own.
        let above = path.join(b"");
        let below = self
            .names
            .range((Bound::Excluded(above.clone()), Bound::Unbounded))
            .take_while(|(name, _)| name.bytes().starts_with(above.bytes()));
        let itself = self.names.get_key_value(path);
        itself
            .into_iter()
            .chain(below)
            .map(|(name, entry)| (name.clone(), *entry))
            .collect()
    }

    /// The names in a directory itself, in time proportional to their number and not to what lies below them.
    pub fn children(&self, directory: &BytePath) -> Vec<(BytePath, Entry)> {
        let above = directory.join(b"");
        let mut children = Vec::new();
        let mut from = Bound::Excluded(above.clone());
        while let Some((name, entry)) = self.names.range((from, Bound::Unbounded)).next() {
            let Some(rest) = name.bytes().strip_prefix(above.bytes()) else {
                break;
            };
            from = if let Some(slash) = rest.iter().position(|&byte| byte == b'/') {
                // Past all below this child: the byte after the slash.
                let end = above.bytes().len() + slash;
                Bound::Included(BytePath::new(&[&name.bytes()[..end], b"0"].concat()))
            } else {
                children.push((name.clone(), *entry));
                Bound::Excluded(name.clone())
            };
        }
        children
    }

    fn unlink(&mut self, entry: Entry, path: &BytePath) {
        let Some(object) = entry.object else { return };
        if let Some(names) = self.objects.get_mut(&object) {
            names.retain(|name| name != path);
            if names.is_empty() {
                self.objects.remove(&object);
            }
        }
    }
}

/// `name`, which lies in `old`, moved along to `new`.
pub fn rebased(name: &BytePath, old: &BytePath, new: &BytePath) -> BytePath {
    let rest = &name.bytes()[old.bytes().len()..];
    if rest.is_empty() {
        return new.clone();
    }
    new.join(rest.strip_prefix(b"/").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(inode: u64) -> Object {
        Object {
            inode,
            device: 1,
            generation: 0,
        }
    }

    fn tree(names: &[(&str, u64)]) -> Tree {
        let mut tree = Tree::default();
        for &(name, inode) in names {
            let entry = Entry {
                object: Some(object(inode)),
                directory: false,
            };
            tree.insert(BytePath::new(name.as_bytes()), entry);
        }
        tree
    }

    #[test]
    fn a_renamed_directory_takes_its_children_along_and_leaves_its_namesakes() {
        let mut tree = tree(&[("/a", 1), ("/a/f", 2), ("/a-b", 3), ("/ab", 4)]);
        tree.rename(&BytePath::new(b"/a"), &BytePath::new(b"/z"));
        assert_eq!(tree.name_of(object(2)), Some(&BytePath::new(b"/z/f")));
        assert_eq!(tree.name_of(object(3)), Some(&BytePath::new(b"/a-b")));
        assert_eq!(tree.name_of(object(4)), Some(&BytePath::new(b"/ab")));
        assert_eq!(tree.len(), 4);
    }

    #[test]
    fn the_children_of_a_directory_are_found_past_what_lies_below_them() {
        let tree = tree(&[
            ("/", 1),
            ("/a", 2),
            ("/a/b", 3),
            ("/a/b-c", 4),
            ("/a/b/d", 5),
            ("/a/b/e/f", 6),
            ("/a/g", 7),
            ("/ab", 8),
        ]);
        let children = |of: &str| -> Vec<String> {
            let found = tree.children(&BytePath::new(of.as_bytes()));
            found.iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(children("/a"), ["/a/b", "/a/b-c", "/a/g"]);
        assert_eq!(children("/"), ["/a", "/ab"]);
        assert!(children("/a/g").is_empty());
    }

    #[test]
    fn a_hard_link_has_two_names_until_one_goes() {
        let mut tree = tree(&[("/a", 1), ("/b", 1)]);
        assert_eq!(tree.names_of(object(1)).len(), 2);
        tree.remove(&BytePath::new(b"/a"));
        assert_eq!(tree.names_of(object(1)), [BytePath::new(b"/b")]);
    }

    #[test]
    fn a_name_that_stands_for_another_object_now_no_longer_stands_for_the_first() {
        let mut tree = tree(&[("/a", 1)]);
        tree.insert(
            BytePath::new(b"/a"),
            Entry {
                object: Some(object(2)),
                directory: false,
            },
        );
        assert!(tree.names_of(object(1)).is_empty());
        assert_eq!(tree.name_of(object(2)), Some(&BytePath::new(b"/a")));
    }

    #[test]
    fn what_comes_when_all_room_is_taken_is_refused_and_counted_and_what_is_known_stays() {
        let path = |text: &str| BytePath::new(text.as_bytes());
        let entry = |directory| Entry {
            object: Some(object(3)),
            directory,
        };
        let mut tree = tree(&[("/a", 1), ("/b", 2)]);
        tree.limit(2);
        for (name, directory) in [("/c", false), ("/d", true), ("/e", false), ("/a", false)] {
            tree.insert(path(name), entry(directory));
        }
        let first = Some(path("/c"));
        assert_eq!(tree.take_refused(), Refused { count: 2, first });
        assert_eq!(tree.names_of(object(3)), [path("/a")]);
        tree.remove(&path("/b"));
        tree.insert(path("/c"), entry(false));
        assert_eq!((tree.take_refused(), tree.len()), (Refused::default(), 2));
    }
}
