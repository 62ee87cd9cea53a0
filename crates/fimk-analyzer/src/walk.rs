//! Walks the trees of the rules: which names are there, and which of them are to be watched.
//!
//! Links are never followed, with one exception: a link that is part of a rule's own literal path, because
//! whoever wrote the rule meant what lies behind it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    sync::Arc,
};

use fimk_core::{config::Report, path::BytePath, rules::RuleSet};
use fimk_wire::raw;

use crate::{
    homes::{PASSWD, Table},
    host,
    own::Directories,
};

/// Directories deeper than this are not entered: the kernel's own limit on a path is 4,096 bytes,
/// two for each name at least.
const DEPTH_MAX: usize = 2_048;

/// What a rename with `RENAME_WHITEOUT` leaves, without a word of its own: a character device 0:0.
pub fn is_whiteout(path: &BytePath) -> bool {
    host::look(path).is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

/// A name that a rule reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: BytePath,
    /// A directory, or a link in a rule's literal path that leads to one.
    pub directory: bool,
    /// Whether a rule covers it; else it is only on the way to something that may be covered.
    pub covered: bool,
    /// Whether a rule's own path is or passes it: room is kept for such in the kernel.
    pub named: bool,
}

/// Names longer than this are not watched: the store takes keys of 64 KiB, and such trees are built only to hide in
/// or to break what looks at them. The directory in which they begin is watched and says who built them.
pub const PATH_BYTES_MAX: usize = 32 << 10;

/// What makes a walk: the rules and the links that they spell out. Made once for a set of rules, cheap to clone.
#[derive(Clone)]
pub struct Walker {
    rules: Arc<RuleSet>,
    literal: Arc<BTreeSet<BytePath>>,
    /// Of those, the ones that are not to be followed if they are links.
    unfollowed: Arc<BTreeSet<BytePath>>,
    homes: Arc<Table>,
    own: Directories,
}

impl Walker {
    /// For these rules, and the list of users: who comes with a home is to be known at once.
    pub fn new(rules: &Arc<RuleSet>, homes: &Arc<Table>) -> Self {
        let mut literal = BTreeSet::new();
        let passwd = BytePath::new(PASSWD.as_bytes());
        let roots = rules.roots().iter().map(|root| &root.path);
        for path in roots.chain([&passwd]) {
            let mut above = Some(path.clone());
            while let Some(path) = above {
                above = path.parent();
                literal.insert(path);
            }
        }
        Self {
            rules: Arc::clone(rules),
            literal: Arc::new(literal),
            unfollowed: Arc::new(unfollowed(rules)),
            homes: Arc::clone(homes),
            own: Directories::default(),
        }
    }

    /// The same without our own directories, whatever their names are.
    #[must_use]
    pub fn sparing(self, own: Directories) -> Self {
        Self { own, ..self }
    }

    /// Whether it is one of those.
    pub fn spares(&self, found: &Found) -> bool {
        found.directory && self.own.is(&found.path)
    }

    /// Whether a rule's own path passes or is this name: a link there is followed.
    pub fn spells_out(&self, path: &BytePath) -> bool {
        self.literal.contains(path)
    }

    /// The number under which the rule of this name is armed; see `FIMK_RULES_MAX` in `bpf/fimk.h`.
    pub fn rule(&self, path: &BytePath) -> u32 {
        let number = self.rules.covers(path).map(|found| found.number + 1);
        number.filter(|&it| it < raw::FIMK_RULES_MAX).unwrap_or(0)
    }

    /// What the rule of this name asks for beside changes.
    pub fn report(&self, path: &BytePath) -> Report {
        self.rules.report(path)
    }

    /// What may be asked for of something new in this directory.
    pub fn report_within(&self, directory: &BytePath) -> Report {
        self.rules.report_within(directory)
    }

    /// Whether what is done to the files in this directory is of interest: otherwise it only leads to some.
    pub fn may_cover_in(&self, directory: &BytePath) -> bool {
        let passwd = BytePath::new(PASSWD.as_bytes());
        self.rules.may_cover_in(directory) || passwd.parent().as_ref() == Some(directory)
    }

    /// Whether this name is of interest at all.
    pub fn reaches(&self, path: &BytePath, directory: bool) -> Option<Found> {
        if path.bytes().len() > PATH_BYTES_MAX {
            return None;
        }
        let covered = self.rules.covers(path).is_some();
        let named = self.spells_out(path);
        let on_the_way = directory && (named || self.rules.may_contain(path));
        let is_passwd = path.bytes() == PASSWD.as_bytes();
        (covered || on_the_way || is_passwd).then(|| Found {
            path: path.clone(),
            directory,
            covered,
            named,
        })
    }

    /// One name on disk: what it is, if it is of interest.
    pub fn look(&self, path: &BytePath) -> Option<Found> {
        let kind = host::look(path).ok()?.file_type();
        self.judge(path, kind)
    }

    /// The names in a directory that are of interest. A directory that cannot be read has none: the caller
    /// has its attributes, and says so.
    pub fn entries(&self, directory: &BytePath) -> Vec<Found> {
        let Ok(entries) = host::entries(directory) else {
            return Vec::new();
        };
        // Behind a link of a user only names that a rule spells out: the others are nobody's to print.
        let spelled_out = |path: &BytePath| self.literal.contains(path);
        let foreign = spelled_out(directory) && led_out_of_home(directory, &self.homes).is_some();
        entries
            .flatten()
            .filter_map(|entry| {
                let path = directory.join(entry.file_name().as_bytes());
                let kind = entry.file_type().ok()?;
                if foreign && !spelled_out(&path) {
                    return None;
                }
                self.judge(&path, kind)
            })
            .collect()
    }

    fn judge(&self, path: &BytePath, kind: fs::FileType) -> Option<Found> {
        let leads_to_directory = || {
            kind.is_symlink()
                && self.literal.contains(path)
                && !self.unfollowed.contains(path)
                && host::look_behind(path).is_ok_and(|behind| behind.is_dir())
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
///
/// A link of a user says what the user wants to be watched, and what is watched may be printed: it adds what lies
/// in the same home, or belongs to that user.
pub fn link_targets(rules: &RuleSet, homes: &Table) -> Vec<(BytePath, u32)> {
    let literal = rules
        .roots()
        .iter()
        .filter(|root| root.literal && root.follow);
    literal
        .filter_map(|root| {
            let target = match homes.above(&root.path) {
                Some(home) => target_in_home(&root.path, &home),
                None => target_of(&root.path),
            };
            Some((target?, root.rule))
        })
        .collect()
}

/// Paths of rules that do not follow links, and of no rule that does, or has a path below.
fn unfollowed(rules: &RuleSet) -> BTreeSet<BytePath> {
    let roots = rules.roots().iter();
    if roots.clone().all(|root| root.follow) {
        return BTreeSet::new();
    }
    let mut unfollowed: BTreeSet<BytePath> = roots
        .clone()
        .filter(|root| !root.follow)
        .map(|root| root.path.clone())
        .collect();
    for root in roots {
        let mut above = if root.follow {
            Some(root.path.clone())
        } else {
            root.path.parent()
        };
        while let Some(path) = above {
            unfollowed.remove(&path);
            above = path.parent();
        }
    }
    unfollowed
}

/// Without links; none where there is nothing.
fn real(path: &BytePath) -> Option<BytePath> {
    host::real(path)
}

/// Of a link that is root's, or leads to what belongs to the owner of the link.
fn target_of(path: &BytePath) -> Option<BytePath> {
    let link = host::look(path).ok()?;
    if !link.is_symlink() {
        return None;
    }
    let above = host::look_behind(&path.parent()?).ok()?;
    let user = if link.uid() == 0 {
        above.uid()
    } else {
        link.uid()
    };
    let target = real(path)?;
    let owner = host::look(&target).ok()?.uid();
    (user == 0 || user == owner).then_some(target)
}

/// Of a path with a link below the home, which leads to something in that home.
fn target_in_home(path: &BytePath, home: &BytePath) -> Option<BytePath> {
    let (target, real_home) = (real(path)?, real(home)?);
    let below = &path.bytes()[home.bytes().len()..];
    let straight = [real_home.bytes(), below].concat();
    (target.bytes() != straight && target.is_in(&real_home)).then_some(target)
}

/// Where a path below a home leads, if that is outside of it.
fn led_out_of_home(path: &BytePath, homes: &Table) -> Option<BytePath> {
    let home = homes.above(path)?;
    let (target, real_home) = (real(path)?, real(&home)?);
    (!target.is_in(&real_home)).then_some(target)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
mod tests {
    use std::os::unix::fs::symlink;

    use fimk_core::config;

    use super::*;
    use crate::homes::Homes;

    /// A directory with a home in it and something of root's beside it, and the rules with these `paths`.
    fn scene(paths: &str) -> (tempfile::TempDir, Arc<RuleSet>, Arc<Table>) {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().join("eve");
        fs::create_dir(&home).expect("made");
        fs::create_dir(directory.path().join("root")).expect("made");
        for name in ["eve/real", "root/keys", "root/private"] {
            fs::write(directory.path().join(name), "").expect("written");
        }
        let passwd = directory.path().join("passwd");
        let line = format!("eve:x:7:7::{}:\n", home.display());
        fs::write(&passwd, line).expect("written");
        let homes = Homes::at(&passwd).now();
        let text = format!("[[rule]]\nname = \"r\"\npaths = [{paths}]\n");
        let config = config::parse(&text, "test").expect("valid");
        let config = config.with_homes(homes.for_rules(1).0);
        let rules = Arc::new(RuleSet::new(&config).expect("simple"));
        (directory, rules, homes)
    }

    fn path(directory: &tempfile::TempDir, name: &str) -> BytePath {
        BytePath::new(directory.path().join(name).as_os_str().as_bytes())
    }

    #[test]
    fn behind_a_link_out_of_a_home_only_what_a_rule_spells_out_is_named() {
        for (paths, names) in [
            ("\"~/.ssh\"", vec![]),
            ("\"~/.ssh\", \"~/.ssh/keys\"", vec!["eve/.ssh/keys"]),
        ] {
            let (directory, rules, homes) = scene(paths);
            symlink("../root", directory.path().join("eve/.ssh")).expect("linked");
            let walker = Walker::new(&rules, &homes);
            let found = walker.entries(&path(&directory, "eve/.ssh"));
            let found: Vec<BytePath> = found.into_iter().map(|it| it.path).collect();
            let names: Vec<BytePath> = names.iter().map(|name| path(&directory, name)).collect();
            assert_eq!(found, names);
        }
    }

    #[test]
    fn a_link_in_a_home_adds_its_target_only_in_that_home() {
        let (directory, rules, homes) = scene("\"~/.ssh/keys\"");
        fs::create_dir(directory.path().join("eve/.ssh")).expect("made");
        let link = directory.path().join("eve/.ssh/keys");
        for (target, added) in [
            ("../real", Some("eve/real")),
            ("../../root/keys", None),
            ("../nothing", None),
        ] {
            symlink(target, &link).expect("linked");
            let targets = link_targets(&rules, &homes).into_iter();
            let targets: Vec<BytePath> = targets.map(|(path, _)| path).collect();
            let added: Vec<BytePath> = added.iter().map(|name| path(&directory, name)).collect();
            assert_eq!(targets, added, "{target}");
            fs::remove_file(&link).expect("removed");
        }
        fs::write(&link, "").expect("written");
        assert!(link_targets(&rules, &homes).is_empty());
    }
}
