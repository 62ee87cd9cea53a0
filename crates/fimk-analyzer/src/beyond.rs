//! Names beyond what is walked or has come since: too many, or too deep. They are not watched, which is said once; what is on record stays
//! there and goes on being compared.

use fimk_core::path::BytePath;

use crate::{
    engine::{Engine, Trouble},
    tree::{Refused, Tree},
    walk::{Found, PATH_BYTES_MAX, Walker},
};

/// The longest name, which is the kernel's limit.
const NAME_BYTES_MAX: usize = 255;

/// How many there are, as of the last walk of everything and what was met since.
#[derive(Default)]
pub struct Beyond {
    too_many: u64,
    /// The first of them.
    first: Option<BytePath>,
    /// A directory in which not everything is watched, or nothing.
    deep: Option<BytePath>,
    told: (bool, bool),
}

impl Beyond {
    /// Leaves of these those that are known, and of others as many as there is room for.
    pub fn cut(&mut self, found: &mut Vec<(usize, Found)>, tree: &Tree, names_max: usize) {
        let mut room = names_max.saturating_sub(tree.len());
        found.retain(|(_, it)| {
            if tree.get(&it.path).is_some() {
                return true;
            }
            if room == 0 {
                self.too_many += 1;
                self.first.get_or_insert_with(|| it.path.clone());
                return false;
            }
            room -= 1;
            true
        });
    }

    /// Names that came one by one and found no room.
    fn add(&mut self, refused: Refused) {
        self.too_many = self.too_many.saturating_add(refused.count);
        if let Some(path) = refused.first {
            self.first.get_or_insert(path);
        }
    }

    /// Whether a directory may be entered.
    pub fn may_enter(&mut self, directory: &BytePath) -> bool {
        let enters = Walker::may_enter(directory);
        if !enters || directory.bytes().len() + NAME_BYTES_MAX >= PATH_BYTES_MAX {
            self.deep.get_or_insert_with(|| directory.clone());
        }
        enters
    }

    /// Everything is about to be walked anew.
    pub fn count_anew(&mut self) {
        (self.too_many, self.first, self.deep) = (0, None, None);
    }

    /// Such a walk has ended.
    pub fn settle(&mut self) {
        self.told.0 &= self.too_many > 0;
        self.told.1 &= self.deep.is_some();
    }

    /// Whether anything was left out of the walk.
    pub fn is_any(&self) -> bool {
        self.too_many > 0 || self.deep.is_some()
    }

    /// Names that were met, or came, and are not watched: those below them were not met.
    pub fn count(&self) -> u64 {
        self.too_many
    }

    /// What is to be told: each once, until there was nothing of its kind.
    fn news(&mut self, names_max: usize) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(first) = self.first.as_ref().filter(|_| !self.told.0) {
            self.told.0 = true;
            sentences.push(format!(
                "names_max is reached: at least {} names are not watched beside {names_max} that are, the first of them {}; what is \
                 on record is compared all the same; raise names_max or watch fewer",
                self.too_many,
                first.escaped()
            ));
        }
        if let Some(deep) = self.deep.as_ref().filter(|_| !self.told.1) {
            self.told.1 = true;
            sentences.push(format!(
                "paths are too long, or nested too deep, to be watched in {}: who needs such names? Look at who made them",
                deep.escaped()
            ));
        }
        sentences
    }
}

impl Engine {
    /// Says what is not watched for its number or depth, if nobody was told.
    pub(crate) fn say_beyond(&mut self) -> Result<(), Trouble> {
        self.beyond.add(self.tree.take_refused());
        for sentence in self.beyond.news(self.config.names_max) {
            self.degraded(&sentence)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Entry;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    fn found(names: &[&str]) -> Vec<(usize, Found)> {
        let found = |name: &&str| Found {
            path: path(name),
            directory: false,
            covered: true,
            named: false,
        };
        names.iter().map(|name| (0, found(name))).collect()
    }

    #[test]
    fn what_is_known_stays_watched_and_what_is_beyond_is_told_once_until_there_was_room() {
        let mut tree = Tree::default();
        let entry = Entry {
            object: None,
            directory: false,
        };
        tree.insert(path("/known"), entry);
        let mut beyond = Beyond::default();
        let mut names = found(&["/a", "/b", "/known", "/c"]);
        beyond.cut(&mut names, &tree, 2);
        let left: Vec<_> = names.iter().map(|(_, it)| it.path.escaped()).collect();
        assert_eq!(left, ["/a", "/known"]);
        let told = beyond.news(2);
        assert_eq!((told.len(), beyond.count()), (1, 2));
        assert!(told[0].contains("the first of them /b;"), "{told:?}");
        beyond.settle();
        assert!(beyond.news(2).is_empty());
        beyond.count_anew();
        beyond.settle();
        beyond.cut(&mut found(&["/d"]), &tree, 1);
        assert_eq!(beyond.news(1).len(), 1);
    }

    #[test]
    fn a_directory_in_which_names_grow_too_long_is_told() {
        let mut beyond = Beyond::default();
        let long = |bytes: usize| path(&format!("/{}", "x".repeat(bytes)));
        assert!(beyond.may_enter(&long(1_000)) && beyond.news(1).is_empty());
        assert!(beyond.may_enter(&long(PATH_BYTES_MAX - 1)));
        assert_eq!((beyond.news(1).len(), beyond.news(1).len()), (1, 0));
        assert!(!beyond.may_enter(&path(&"/x".repeat(3_000))));
    }
}
