//! Walks the trees of the rules: which names are there, and which of them are to be watched.
//!
//! Links are never followed, with one exception: a link that is part of a rule's own literal path, because
//! whoever wrote the rule meant what lies behind it.

use std::{collections::BTreeSet, fs, os::unix::ffi::OsStrExt, sync::Arc};

use fimk_core::{path::BytePath, rules::RuleSet};

/// Directories deeper than this are not entered: the kernel's own limit on a path is 4,096 bytes,
/// two for each name at least.
const DEPTH_MAX: usize = 2_048;

/// A name that a rule reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: BytePath,
    /// A directory, or a link in a rule's literal path that leads to one.
    pub directory: bool,
    /// Whether a rule covers it; else it is only on the way to something that may be covered.
    pub covered: bool,
}

/// Names longer than this are not watched: the store takes keys of 64 KiB, and such trees are built only to hide in
/// or to break what looks at them. The directory in which they begin is watched and says who built them.
pub const PATH_BYTES_MAX: usize = 32 << 10;

/// What makes a walk: the rules and the links that they spell out. Made once for a set of rules, cheap to clone.
#[derive(Clone)]
pub struct Walker {
    rules: Arc<RuleSet>,
    literal: Arc<BTreeSet<BytePath>>,
}

impl Walker {
    /// For these rules.
    pub fn new(rules: &Arc<RuleSet>) -> Self {
        let mut literal = BTreeSet::new();
        for root in rules.roots() {
            let mut above = Some(root.path.clone());
            while let Some(path) = above {
                above = path.parent();
                literal.insert(path);
            }
        }
        Self {
            rules: Arc::clone(rules),
            literal: Arc::new(literal),
        }
    }

    /// Whether a rule's own path passes or is this name: a link there is followed.
    pub fn spells_out(&self, path: &BytePath) -> bool {
        self.literal.contains(path)
    }

    /// Whether this name is of interest at all.
    pub fn reaches(&self, path: &BytePath, directory: bool) -> Option<Found> {
        if path.bytes().len() > PATH_BYTES_MAX {
            return None;
        }
        let covered = self.rules.covers(path).is_some();
        let on_the_way = directory && (self.literal.contains(path) || self.rules.may_contain(path));
        (covered || on_the_way).then(|| Found {
            path: path.clone(),
            directory,
            covered,
        })
    }

    /// One name on disk: what it is, if it is of interest.
    pub fn look(&self, path: &BytePath) -> Option<Found> {
        let kind = fs::symlink_metadata(path.as_path()).ok()?.file_type();
        self.judge(path, kind)
    }

    /// The names in a directory that are of interest. A directory that cannot be read has none: the caller
    /// has its attributes, and says so.
    pub fn entries(&self, directory: &BytePath) -> Vec<Found> {
        let Ok(entries) = fs::read_dir(directory.as_path()) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| {
                let path = directory.join(entry.file_name().as_bytes());
                let kind = entry.file_type().ok()?;
                self.judge(&path, kind)
            })
            .collect()
    }

    fn judge(&self, path: &BytePath, kind: fs::FileType) -> Option<Found> {
        let leads_to_directory = || {
            kind.is_symlink()
                && self.literal.contains(path)
                && fs::metadata(path.as_path()).is_ok_and(|behind| behind.is_dir())
        };
        self.reaches(path, kind.is_dir() || leads_to_directory())
    }

    /// Whether a directory of this depth may be entered.
    pub fn may_enter(path: &BytePath) -> bool {
        path.as_path().components().count() <= DEPTH_MAX
    }
}

/// The targets of those literal rule paths that are links themselves: they are watched under their own
/// names as well. With the rule's number.
pub fn link_targets(rules: &RuleSet) -> Vec<(BytePath, u32)> {
    rules
        .roots()
        .iter()
        .filter(|root| {
            root.literal
                && fs::symlink_metadata(root.path.as_path()).is_ok_and(|meta| meta.is_symlink())
        })
        .filter_map(|root| {
            let target = fs::canonicalize(root.path.as_path()).ok()?;
            Some((BytePath::new(target.as_os_str().as_bytes()), root.rule))
        })
        .collect()
}
