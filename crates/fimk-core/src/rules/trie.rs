//! A tree of names: one step per component, whatever the number of paths in it.

use std::collections::BTreeMap;

use crate::path::BytePath;

/// Values at absolute paths.
#[derive(Debug, Clone)]
pub(super) struct Trie<T> {
    children: BTreeMap<Box<[u8]>, Trie<T>>,
    values: Vec<T>,
}

/// One component of a path: the bytes `start..end` of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The components of an absolute path; none for `/`.
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = Component> + '_ {
    let mut start = 0;
    path.split(|&byte| byte == b'/').filter_map(move |name| {
        let component = Component {
            start,
            end: start + name.len(),
        };
        start = component.end + 1;
        (!name.is_empty()).then_some(component)
    })
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self {
            children: BTreeMap::new(),
            values: Vec::new(),
        }
    }
}

impl<T> Trie<T> {
    pub(super) fn insert(&mut self, path: &BytePath, value: T) {
        let mut node = self;
        for component in components(path.bytes()) {
            let name = &path.bytes()[component.start..component.end];
            node = node.children.entry(name.into()).or_default();
        }
        node.values.push(value);
    }

    /// Each value at `path` or above it, with the number of components between.
    pub(super) fn visit<'t>(&'t self, path: &BytePath, mut visit: impl FnMut(&'t T, usize)) {
        let depth = components(path.bytes()).count();
        let mut node = self;
        node.values.iter().for_each(|value| visit(value, depth));
        for (level, component) in components(path.bytes()).enumerate() {
            match node
                .children
                .get(&path.bytes()[component.start..component.end])
            {
                Some(child) => node = child,
                None => return,
            }
            node.values
                .iter()
                .for_each(|value| visit(value, depth - level - 1));
        }
    }

    /// Whether there is a value below `path`.
    pub(super) fn has_below(&self, path: &BytePath) -> bool {
        self.at(path).is_some_and(|node| !node.children.is_empty())
    }

    /// Whether there is a value one name below `path`.
    pub(super) fn has_in(&self, path: &BytePath) -> bool {
        let mut nodes = self
            .at(path)
            .into_iter()
            .flat_map(|node| node.children.values());
        nodes.any(|node| !node.values.is_empty())
    }

    fn at(&self, path: &BytePath) -> Option<&Self> {
        components(path.bytes()).try_fold(self, |node, component| {
            node.children
                .get(&path.bytes()[component.start..component.end])
        })
    }
}
