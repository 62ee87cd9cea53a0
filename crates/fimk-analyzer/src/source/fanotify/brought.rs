//! Names of files that an event brought, so that the next one that brings something there is known to replace it: what stands
//! there when the first is read may be what the second tells of.

use std::collections::HashSet;

use fimk_core::path::BytePath;

/// Names kept. Past this all are let go: a replacement told by an event that was already on its way is then told as a rename.
const BROUGHT_MAX: usize = 4_096;

#[derive(Default)]
pub(super) struct Brought(HashSet<BytePath>);

impl Brought {
    /// Something stands there now, by what the events tell in their order.
    pub(super) fn came(&mut self, path: &BytePath) {
        if self.0.len() >= BROUGHT_MAX {
            self.0.clear();
        }
        self.0.insert(path.clone());
    }

    /// It does not, or that is not known; nor of what is below a directory.
    pub(super) fn went(&mut self, path: &BytePath, directory: bool) {
        if directory {
            self.0.retain(|it| !it.is_in(path));
        } else {
            self.0.remove(path);
        }
    }

    pub(super) fn has(&self, path: &BytePath) -> bool {
        self.0.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    #[test]
    fn what_came_stands_until_it_or_a_directory_above_goes() {
        let mut brought = Brought::default();
        for name in ["/a", "/d/b", "/d/e/c", "/dd"] {
            brought.came(&path(name));
        }
        brought.went(&path("/a"), false);
        brought.went(&path("/d"), true);
        assert!(
            ["/a", "/d/b", "/d/e/c"]
                .iter()
                .all(|it| !brought.has(&path(it)))
        );
        assert!(brought.has(&path("/dd")));
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let mut brought = Brought::default();
        for number in 0..=BROUGHT_MAX {
            brought.came(&path(&format!("/{number}")));
        }
        assert!(brought.0.len() <= BROUGHT_MAX && brought.has(&path(&format!("/{BROUGHT_MAX}"))));
    }
}
