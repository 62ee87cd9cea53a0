//! Objects that something was mounted over: nobody reaches them by their names, and who has them open, or sees them at
//! another place, can change them still. They stay watched, and what happens to them is told under the names they had.

use std::collections::HashMap;

use fimk_core::path::BytePath;

use crate::identity::Object;

/// Covered names kept, of all mount points together: a quarter of the watch map. What is beyond is not watched while
/// it is covered, and compared when it is uncovered.
const COVERED_MAX: usize = 65_536;

/// The covered objects.
#[derive(Default)]
pub struct Covered {
    names: HashMap<Object, Vec<BytePath>>,
    /// What each mount at a place covers, the latest last.
    under: HashMap<BytePath, Vec<Vec<(Object, BytePath)>>>,
    count: usize,
}

impl Covered {
    /// A mount at `point` covers these; how many there was no room for.
    pub fn cover(&mut self, point: &BytePath, objects: Vec<(Object, BytePath)>) -> usize {
        let all = objects.len();
        let room = COVERED_MAX.saturating_sub(self.count);
        let kept: Vec<_> = objects.into_iter().take(room).collect();
        self.count += kept.len();
        for (object, name) in &kept {
            let names = self.names.entry(*object).or_default();
            names.push(name.clone());
        }
        let refused = all - kept.len();
        self.under.entry(point.clone()).or_default().push(kept);
        refused
    }

    /// The mount that came last at `point` is gone, and all below it; what they covered.
    pub fn uncover(&mut self, point: &BytePath) -> Vec<Object> {
        let mut free = Vec::new();
        if let Some(stack) = self.under.get_mut(point) {
            free.extend(stack.pop());
            if stack.is_empty() {
                self.under.remove(point);
            }
        }
        let below = |(at, _): &(&BytePath, &mut Vec<_>)| *at != point && at.is_in(point);
        let gone: Vec<BytePath> = self
            .under
            .iter_mut()
            .filter(below)
            .map(|(at, _)| at.clone())
            .collect();
        for at in gone {
            free.extend(self.under.remove(&at).into_iter().flatten());
        }
        let free: Vec<(Object, BytePath)> = free.into_iter().flatten().collect();
        self.count -= free.len();
        for (object, name) in &free {
            if let Some(names) = self.names.get_mut(object) {
                if let Some(at) = names.iter().position(|it| it == name) {
                    names.swap_remove(at);
                }
                if names.is_empty() {
                    self.names.remove(object);
                }
            }
        }
        free.into_iter().map(|(object, _)| object).collect()
    }

    /// The names that an object had.
    pub fn names_of(&self, object: Object) -> &[BytePath] {
        self.names.get(&object).map_or(&[], Vec::as_slice)
    }
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

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    #[test]
    fn the_mounts_of_one_place_uncover_what_each_of_them_covered() {
        let mut covered = Covered::default();
        covered.cover(&path("/a"), vec![(object(1), path("/a/f"))]);
        covered.cover(&path("/a"), vec![(object(2), path("/a/f"))]);
        covered.cover(&path("/a/b"), vec![(object(3), path("/a/b/f"))]);
        covered.cover(&path("/ab"), vec![(object(4), path("/ab/f"))]);
        assert_eq!(covered.names_of(object(1)), [path("/a/f")]);
        let mut first = covered.uncover(&path("/a"));
        first.sort();
        assert_eq!(first, [object(2), object(3)]);
        assert_eq!(covered.uncover(&path("/a")), [object(1)]);
        assert!(covered.names_of(object(1)).is_empty() && covered.uncover(&path("/a")).is_empty());
        assert_eq!((covered.names_of(object(4)).len(), covered.count), (1, 1));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut covered = Covered::default();
        let many = (0..70_000).map(|inode| (object(inode), path("/a/f")));
        assert_eq!(
            covered.cover(&path("/a"), many.collect()),
            70_000 - COVERED_MAX
        );
    }
}
