//! What a configuration would watch now: counted, or listed, by a walk like the analyzer's.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, chroot},
    },
    path::Path,
};

use fimk_core::{
    config::{Config, home},
    path::BytePath,
    pattern::Pattern,
    rules::RuleSet,
};

/// Of users with their homes.
const PASSWD: &str = "/etc/passwd";

/// Directories deeper than this are not entered; the analyzer's walk has the same limit.
const DEPTH_MAX: usize = 2_048;

/// What was counted.
pub struct Found {
    /// Objects, and bytes of content, of each rule: that which decides on an object counts it.
    pub of_rules: Vec<(u64, u64)>,
    /// Each object with the number of its rule, sorted, if that was asked for.
    pub objects: Option<Vec<(BytePath, usize)>>,
    /// Directories that could not be read.
    pub unreadable: u64,
}

impl Found {
    /// Of all rules together.
    pub fn sum(&self) -> (u64, u64) {
        let rules = self.of_rules.iter();
        rules.fold((0, 0), |all, it| (all.0 + it.0, all.1 + it.1))
    }
}

/// Counts, and lists if `lists`. What this process still has to read it must have read: where the host is seen in another directory, that is its root
/// from then on.
///
/// # Errors
/// When the wildcards are too complex with the homes of this host, or it may not go where that is.
pub fn dry_run(config: &Config, lists: bool) -> Result<Found, String> {
    let host_root = config.host_root.as_deref();
    host_root.map_or(Ok(()), enter)?;
    let mut config = config.clone().with_homes(&homes());
    // Of the container, which the host has under other names, or not at all.
    let own = [&config.state_dir, &config.run_dir].into_iter();
    for own in own.filter(|_| host_root.is_none()) {
        let own = Pattern::Path(BytePath::new(own.as_os_str().as_bytes()));
        for rule in &mut config.rules {
            rule.exclude.push(own.clone());
        }
    }
    let rules = RuleSet::new(&config).map_err(|error| error.to_string())?;
    for (target, rule) in targets(&rules) {
        if let Some(rule) = config.rules.get_mut(rule) {
            rule.paths.push(Pattern::Path(target));
        }
    }
    let rules = RuleSet::new(&config).map_err(|error| error.to_string())?;
    let mut walk = Walk {
        named: named(&rules),
        rules: &rules,
        found: Found {
            of_rules: vec![(0, 0); config.rules.len()],
            objects: lists.then(Vec::new),
            unreadable: 0,
        },
    };
    walk.everything();
    let mut found = walk.found;
    found.objects.iter_mut().for_each(|objects| objects.sort());
    Ok(found)
}

fn enter(root: &Path) -> Result<(), String> {
    let entered = chroot(root).and_then(|()| std::env::set_current_dir("/"));
    entered.map_err(|error| {
        let root = BytePath::new(root.as_os_str().as_bytes()).escaped();
        format!("host_root: {root} cannot be entered ({error}); root can, where it is a directory")
    })
}

fn homes() -> Vec<BytePath> {
    let passwd = fs::read(PASSWD).unwrap_or_default();
    let homes: BTreeSet<BytePath> = passwd
        .split(|&byte| byte == b'\n')
        .filter(|line| !matches!(line.first(), None | Some(b'+' | b'-' | b'#')))
        .filter_map(|line| home(line.split(|&byte| byte == b':').nth(5)?))
        .collect();
    homes.into_iter().collect()
}

/// What links among the rules' own paths lead to is watched as well.
fn targets(rules: &RuleSet) -> Vec<(BytePath, usize)> {
    let literal = rules
        .roots()
        .iter()
        .filter(|root| root.literal && root.follow);
    literal
        .filter_map(|root| {
            let path = root.path.as_path();
            let link = fs::symlink_metadata(path).ok()?.is_symlink();
            let target = link.then(|| fs::canonicalize(path).ok()).flatten()?;
            let target = BytePath::new(target.as_os_str().as_bytes());
            Some((target, usize::try_from(root.rule).ok()?))
        })
        .collect()
}

/// Paths that rules spell out, and those above them.
fn named(rules: &RuleSet) -> BTreeSet<BytePath> {
    let mut named = BTreeSet::new();
    for root in rules.roots() {
        let mut above = Some(root.path.clone());
        while let Some(path) = above {
            above = path.parent();
            named.insert(path);
        }
    }
    named
}

struct Walk<'r> {
    rules: &'r RuleSet,
    named: BTreeSet<BytePath>,
    found: Found,
}

impl Walk<'_> {
    fn everything(&mut self) {
        let mut directories = vec![BytePath::new(b"/")];
        self.count(&directories[0]);
        while let Some(directory) = directories.pop() {
            let Ok(entries) = fs::read_dir(directory.as_path()) else {
                self.found.unreadable += 1;
                continue;
            };
            for entry in entries.flatten() {
                let path = directory.join(entry.file_name().as_bytes());
                self.count(&path);
                if self.enters(&path, &entry) {
                    directories.push(path);
                }
            }
        }
    }

    fn count(&mut self, path: &BytePath) {
        let Some(matched) = self.rules.covers(path) else {
            return;
        };
        let Ok(meta) = fs::symlink_metadata(path.as_path()) else {
            return;
        };
        let Ok(rule) = usize::try_from(matched.number) else {
            return;
        };
        if let Some(counted) = self.found.of_rules.get_mut(rule) {
            counted.0 += 1;
            counted.1 += if meta.is_file() { meta.size() } else { 0 };
        }
        if let Some(objects) = &mut self.found.objects {
            objects.push((path.clone(), rule));
        }
    }

    /// Directories in which something may be covered; links to them only where a rule's own path says so.
    fn enters(&self, path: &BytePath, entry: &fs::DirEntry) -> bool {
        let named = self.named.contains(path);
        let directory = entry.file_type().is_ok_and(|kind| {
            kind.is_dir()
                || kind.is_symlink()
                    && named
                    && fs::metadata(path.as_path()).is_ok_and(|behind| behind.is_dir())
        });
        directory
            && (named || self.rules.may_contain(path))
            && path.as_path().components().count() <= DEPTH_MAX
    }
}
