//! Files that somebody has mapped writable: their content changes without any further record.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use crate::{identity::ActorKey, tree::rebased};

/// Between two readings of a file that is held.
const EVERY: Duration = Duration::from_secs(2);

/// Files held at a time. Each costs a reading every two seconds; what is beyond is read when it is released.
pub const HELD_MAX: usize = 1_024;

/// Who holds what.
#[derive(Default)]
pub struct Held {
    files: HashMap<(BytePath, Option<ActorKey>), Instant>,
}

impl Held {
    /// Somebody has it mapped now.
    pub fn add(&mut self, path: &BytePath, actor: Option<ActorKey>) {
        if self.files.len() < HELD_MAX {
            self.files
                .insert((path.clone(), actor), Instant::now() + EVERY);
        }
    }

    /// It is released: by one who is known to hold it, or by one who held it before we looked.
    pub fn remove(&mut self, path: &BytePath, actor: Option<ActorKey>) {
        if self.files.remove(&(path.clone(), actor)).is_none() {
            self.files.remove(&(path.clone(), None));
        }
    }

    /// It has another name now, and what is below it; or none that is watched.
    pub fn moved(&mut self, old: &BytePath, new: Option<&BytePath>) {
        let moved: Vec<_> = self
            .files
            .extract_if(|(path, _), _| path.is_in(old))
            .collect();
        let Some(new) = new else { return };
        for ((path, actor), when) in moved {
            self.files.insert((rebased(&path, old, new), actor), when);
        }
    }

    /// Whether anybody has it mapped.
    pub fn holds(&self, path: &BytePath) -> bool {
        self.files.keys().any(|(held, _)| held == path)
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Those whose time has come; each is due again later.
    pub fn due(&mut self) -> Vec<(BytePath, Option<ActorKey>)> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (key, when) in self.files.iter_mut().filter(|(_, when)| **when <= now) {
            *when = now + EVERY;
            due.push(key.clone());
        }
        due
    }

    /// When the next is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.files.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    #[test]
    fn what_is_held_below_a_directory_moves_with_it_and_goes_with_it() {
        let mut held = Held::default();
        held.add(&path("/a/f"), None);
        held.add(&path("/ab"), None);
        held.moved(&path("/a"), Some(&path("/z")));
        assert!(held.holds(&path("/z/f")) && held.holds(&path("/ab")));
        held.moved(&path("/z"), None);
        assert!(!held.holds(&path("/z/f")) && held.holds(&path("/ab")));
    }
}
