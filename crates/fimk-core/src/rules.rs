//! Which rules cover a path. Compiled once; each question takes time linear in the path.

mod globs;
#[cfg(test)]
mod tests;
mod trie;

use std::{cmp::Reverse, collections::HashMap, fmt, time::Duration};

use self::{
    globs::Globs,
    trie::{Trie, components},
};
use crate::{
    config::{Config, DEPTH_MAX, KINDS, Report, Rule, is_pseudo},
    path::BytePath,
    pattern::Pattern,
};

/// All rules of a configuration, ready to be asked.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Vec<Rule>,
    roots: Vec<Root>,
    literals: Trie<Entry>,
    globs: Globs<GlobEntry>,
    /// Those that reach to a depth: each matches what a path of its rule is, and what is below is counted.
    limited: Globs<Entry>,
    /// Where globs begin: directories to walk through.
    bases: Trie<Entry>,
    approaches: Globs<GlobEntry>,
    excluded: Trie<u32>,
    excluded_globs: Globs<u32>,
    excluded_names: Globs<u32>,
    /// Whether a rule leaves out names that begin with a dot.
    hides: bool,
    /// For each kind of attempts, where the paths begin whose rule asks for it.
    reporting: [Trie<()>; KINDS.len()],
    reports: Report,
}

/// Where the walk for an entry of a rule begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The entry's path, or the directory in which its wildcards begin.
    pub path: BytePath,
    /// Index of the rule in the configuration.
    pub rule: u32,
    /// Whether the entry names this path itself, not only paths below it.
    pub literal: bool,
    /// Whether a link in this place is followed.
    pub follow: bool,
}

/// The rules that cover a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<'r> {
    /// The most specific: that with the most bytes before its first wildcard; of equals, that which
    /// names the path itself; of equals, the first of the configuration.
    pub rule: &'r Rule,
    /// Its index in the configuration.
    pub number: u32,
    /// Names of all, in the order of the configuration.
    pub rules: Vec<&'r str>,
}

/// The globs of a configuration are too much for one automaton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooComplex(String);

impl fmt::Display for TooComplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the wildcards of all rules together are too complex ({}); use fewer or shorter ones",
            self.0
        )
    }
}

impl std::error::Error for TooComplex {}

#[derive(Debug, Clone, Copy)]
struct Entry {
    rule: u32,
    /// How many names below its path it covers.
    reach: usize,
    rank: usize,
    /// From which byte of the path on names may be excluded: a rule's own directories are not.
    names_from: usize,
    /// The same of names that begin with a dot.
    hidden_from: usize,
}

#[derive(Debug, Clone, Copy)]
struct GlobEntry {
    entry: Entry,
    exact: bool,
}

/// Of those that cover a path, the greatest is the most specific.
type Rank = (usize, bool, Reverse<u32>);

impl RuleSet {
    /// Compiles the rules.
    ///
    /// # Errors
    /// [`TooComplex`]; not for a configuration that came from [`crate::config::parse`], which tries it.
    pub fn new(config: &Config) -> Result<Self, TooComplex> {
        let mut builder = Builder::default();
        for (number, rule) in (0..).zip(&config.rules) {
            builder.add(number, rule);
        }
        Ok(Self {
            rules: config.rules.clone(),
            roots: builder.roots,
            literals: builder.literals,
            globs: Globs::new(builder.globs)?,
            limited: Globs::new(builder.limited)?,
            bases: builder.bases,
            approaches: Globs::new(builder.approaches)?,
            excluded: builder.excluded,
            excluded_globs: Globs::new(builder.excluded_globs)?,
            excluded_names: Globs::new(builder.excluded_names)?,
            hides: config.rules.iter().any(|rule| !rule.hidden),
            reporting: builder.reporting,
            reports: config
                .rules
                .iter()
                .fold(Report::default(), |all, rule| all.and(rule.report)),
        })
    }

    /// The rule of that index.
    pub fn rule(&self, number: u32) -> Option<&Rule> {
        self.rules.get(usize::try_from(number).ok()?)
    }

    /// Rules with an interval of their own between two comparisons of their content, by name.
    pub fn intervals(&self) -> impl Iterator<Item = (&str, Duration)> {
        let interval = |rule: &Rule| rule.compare_interval_s.map(Duration::from_secs);
        let rules = self.rules.iter();
        rules.filter_map(move |rule| Some((rule.name.as_str(), interval(rule)?)))
    }

    /// Where to walk, in the order of the configuration.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The rules that cover an absolute, normalised path.
    pub fn covers(&self, path: &BytePath) -> Option<Match<'_>> {
        let mut found: Vec<(Rank, u32)> = Vec::new();
        if is_pseudo(path) {
            return None;
        }
        let exclusions = self.exclusions(path);
        let mut add = |entry: Entry, exact: bool| {
            if !exclusions.cover(entry) {
                found.push(((entry.rank, exact, Reverse(entry.rule)), entry.rule));
            }
        };
        self.literals.visit(path, |entry, below| {
            if below <= entry.reach {
                add(*entry, below == 0);
            }
        });
        self.globs
            .visit(path.bytes(), |glob| add(glob.entry, glob.exact));
        self.visit_limited(path, |entry, below| {
            if below <= entry.reach {
                add(entry, below == 0);
            }
        });

        let number = found.iter().max()?.1;
        let mut numbers: Vec<u32> = found.iter().map(|&(_, rule)| rule).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let rules = numbers
            .iter()
            .filter_map(|&number| self.rule(number))
            .map(|rule| rule.name.as_str());
        Some(Match {
            rule: self.rule(number)?,
            number,
            rules: rules.collect(),
        })
    }

    /// Whether anything below a directory could be covered. A walker need not enter where it is not.
    pub fn may_contain(&self, directory: &BytePath) -> bool {
        !is_pseudo(directory)
            && (self.literals.has_below(directory)
                || self.bases.has_below(directory)
                || self.reaches_into(directory))
    }

    /// Whether anything that lies in a directory itself could be covered. Where it is not, the directory only leads to what is.
    pub fn may_cover_in(&self, directory: &BytePath) -> bool {
        !is_pseudo(directory) && (self.literals.has_in(directory) || self.reaches_into(directory))
    }

    /// Whether a rule of this directory, or of one above, reaches what is in it.
    fn reaches_into(&self, directory: &BytePath) -> bool {
        let exclusions = self.exclusions(directory);
        let mut may = false;
        self.literals.visit(directory, |entry, below| {
            may |= below < entry.reach && !exclusions.cover(*entry);
        });
        self.bases.visit(directory, |entry, below| {
            may |= below == 0 && !exclusions.cover(*entry);
        });
        self.approaches.visit(directory.bytes(), |glob| {
            may |= !exclusions.cover(glob.entry);
        });
        self.globs.visit(directory.bytes(), |glob| {
            may |= glob.entry.reach > 0 && !exclusions.cover(glob.entry);
        });
        self.visit_limited(directory, |entry, below| {
            may |= below < entry.reach && !exclusions.cover(entry);
        });
        may
    }

    /// Whether a rule covers a directory and everything below it, but for what it leaves out by name.
    pub fn covers_all_below(&self, directory: &BytePath) -> bool {
        if is_pseudo(directory) {
            return false;
        }
        let exclusions = self.exclusions(directory);
        let mut covers = false;
        let mut add =
            |entry: Entry| covers |= entry.reach == usize::MAX && !exclusions.cover(entry);
        self.literals.visit(directory, |entry, _| add(*entry));
        self.globs.visit(directory.bytes(), |glob| add(glob.entry));
        covers
    }

    /// What matches a path, or one above it, with the number of names between.
    fn visit_limited(&self, path: &BytePath, mut visit: impl FnMut(Entry, usize)) {
        if self.limited.is_empty() {
            return;
        }
        let mut above = Some(path.clone());
        for below in 0..=DEPTH_MAX as usize {
            let Some(path) = above else { return };
            self.limited
                .visit(path.bytes(), |entry| visit(*entry, below));
            above = path.parent();
        }
    }

    /// What the rule of a path asks for beside changes: of those that cover it, the most specific.
    pub fn report(&self, path: &BytePath) -> Report {
        if self.reports.is_empty() {
            return Report::default();
        }
        self.covers(path)
            .map_or_else(Report::default, |found| found.rule.report)
    }

    /// All that any rule asks for beside changes.
    pub fn reports(&self) -> Report {
        self.reports
    }

    /// What may be asked for of something new in a directory, now or below it: never too little, perhaps too much.
    pub fn report_within(&self, directory: &BytePath) -> Report {
        let mut report = Report::default();
        for (kind, reporting) in KINDS.into_iter().zip(&self.reporting) {
            let mut asked = reporting.has_below(directory);
            reporting.visit(directory, |(), _| asked = true);
            if asked {
                report = report.with(kind);
            }
        }
        report
    }

    /// Whether a rule leaves out one of its own `paths`.
    pub(crate) fn excludes_root(&self, rule: u32, pattern: &Pattern) -> bool {
        let exclusions = self.exclusions(pattern.base());
        self.rule(rule)
            .is_some_and(|it| exclusions.cover(Entry::new(rule, it, pattern)))
    }

    fn exclusions(&self, path: &BytePath) -> Exclusions {
        let mut exclusions = Exclusions::default();
        self.excluded
            .visit(path, |&rule, _| exclusions.add(rule, usize::MAX));
        self.excluded_globs
            .visit(path.bytes(), |&rule| exclusions.add(rule, usize::MAX));
        if self.hides {
            let names = components(path.bytes());
            let hidden = names.filter(|it| path.bytes()[it.start] == b'.');
            exclusions.hidden = hidden.last().map(|it| it.start);
        }
        if !self.excluded_names.is_empty() {
            for component in components(path.bytes()) {
                let name = &path.bytes()[component.start..component.end];
                self.excluded_names
                    .visit(name, |&rule| exclusions.add(rule, component.start));
            }
        }
        exclusions
    }
}

/// Rules that leave out a path, each with the byte at which the last excluded name begins.
#[derive(Debug, Default)]
struct Exclusions {
    of_rules: HashMap<u32, usize>,
    /// Where the last name that begins with a dot begins.
    hidden: Option<usize>,
}

impl Exclusions {
    fn add(&mut self, rule: u32, at: usize) {
        let last = self.of_rules.entry(rule).or_default();
        *last = at.max(*last);
    }

    fn cover(&self, entry: Entry) -> bool {
        let named = self.of_rules.get(&entry.rule);
        named.is_some_and(|&at| at >= entry.names_from)
            || self.hidden.is_some_and(|at| at >= entry.hidden_from)
    }
}

impl Entry {
    fn new(number: u32, rule: &Rule, pattern: &Pattern) -> Self {
        let base = pattern.base().bytes();
        let rank = match pattern {
            Pattern::Path(_) => base.len(),
            Pattern::Glob(glob) => glob.literal_bytes(),
        };
        let names_from = base.len() - pattern.base().name().len();
        Self {
            rule: number,
            reach: reach(rule, pattern),
            rank,
            names_from,
            hidden_from: if rule.hidden { usize::MAX } else { base.len() },
        }
    }
}

/// A rule that is not recursive covers what is directly in its directories; of a glob, the matches only.
fn reach(rule: &Rule, pattern: &Pattern) -> usize {
    match (rule.recursive, rule.depth, pattern) {
        (true, Some(depth), _) => depth as usize,
        (true, None, _) => usize::MAX,
        (false, _, Pattern::Path(_)) => 1,
        (false, _, Pattern::Glob(_)) => 0,
    }
}

#[derive(Default)]
struct Builder {
    roots: Vec<Root>,
    literals: Trie<Entry>,
    globs: Vec<(globset::Glob, GlobEntry)>,
    limited: Vec<(globset::Glob, Entry)>,
    bases: Trie<Entry>,
    approaches: Vec<(globset::Glob, GlobEntry)>,
    excluded: Trie<u32>,
    excluded_globs: Vec<(globset::Glob, u32)>,
    excluded_names: Vec<(globset::Glob, u32)>,
    reporting: [Trie<()>; KINDS.len()],
}

impl Builder {
    fn add(&mut self, number: u32, rule: &Rule) {
        for pattern in &rule.paths {
            let entry = Entry::new(number, rule, pattern);
            self.add_path(entry, rule, pattern);
            for (kind, reporting) in KINDS.into_iter().zip(&mut self.reporting) {
                if rule.report.has(kind) {
                    reporting.insert(pattern.base(), ());
                }
            }
        }
        for pattern in &rule.exclude {
            match pattern {
                Pattern::Path(path) => self.excluded.insert(path, number),
                Pattern::Glob(glob) => {
                    self.excluded_globs
                        .extend([glob.glob(), glob.below()].map(|glob| (glob.clone(), number)));
                }
            }
        }
        self.excluded_names.extend(
            rule.exclude_names
                .iter()
                .map(|name| (name.glob().clone(), number)),
        );
    }

    fn add_path(&mut self, entry: Entry, rule: &Rule, pattern: &Pattern) {
        let literal = matches!(pattern, Pattern::Path(_));
        self.roots.push(Root {
            path: pattern.base().clone(),
            rule: entry.rule,
            literal,
            follow: rule.follow_symlinks,
        });
        match pattern {
            Pattern::Path(path) => self.literals.insert(path, entry),
            Pattern::Glob(glob) => {
                self.bases.insert(pattern.base(), entry);
                if rule.depth.is_some() {
                    self.limited.push((glob.glob().clone(), entry));
                } else {
                    self.globs
                        .push((glob.glob().clone(), GlobEntry { entry, exact: true }));
                }
                if rule.recursive && rule.depth.is_none() {
                    self.globs.push((
                        glob.below().clone(),
                        GlobEntry {
                            entry,
                            exact: false,
                        },
                    ));
                }
                let approaches = glob.approaches().iter().cloned();
                self.approaches.extend(approaches.map(|glob| {
                    (
                        glob,
                        GlobEntry {
                            entry,
                            exact: false,
                        },
                    )
                }));
            }
        }
    }
}
