//! `[[rule]]`: what is watched, and how.

use std::collections::HashMap;

use super::{
    COMPARE_INTERVAL_S, Cares, Config, ConfigError, Growing, RULE, Switches,
    cares::cares,
    error::shown,
    growing::growing,
    is_pseudo,
    report::{KINDS, Kind, Report},
    section::{Section, Text},
    severity::severity,
    store::days,
    switches::switches,
};
use crate::{
    pattern::{HomePath, NameGlob, Pattern},
    rules::RuleSet,
};

/// Each rule may cover any path, so a path is compared with all that do.
pub const RULES_MAX: usize = 1_000;

/// Entries of `paths` in all rules, and again of `exclude`: each is a root to walk or a lookup to make.
pub const PATHS_MAX: usize = 10_000;

/// Entries with wildcards among them: all are one automaton, which grows with each.
pub const GLOBS_MAX: usize = 1_000;

/// Entries that begin with `~/` among them: each is a path for each home.
pub const HOME_PATHS_MAX: usize = 64;

/// Of a rule's name and of a tag, in characters: they are repeated on each line of output.
pub const NAME_CHARACTERS_MAX: usize = 64;

/// Of `depth`: a limit that is deeper limits nothing that people make.
pub const DEPTH_MAX: u32 = 64;

/// Of a rule: see [`NAME_CHARACTERS_MAX`].
pub const TAGS_MAX: usize = 32;

/// One `[[rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// What it covers; with `home_paths` at least one.
    pub paths: Vec<Pattern>,
    /// What it covers below each home: `~/` and these names. Somebody who knows the homes makes `paths` of them.
    pub home_paths: Vec<HomePath>,
    /// Whether it covers what is below directories among them.
    pub recursive: bool,
    /// How deep it does, counted from its paths: 1 is what is directly in them; none: at any depth.
    pub depth: Option<u32>,
    /// Whether it covers names that begin with a dot, and what is below them; its own paths it always does.
    pub hidden: bool,
    /// Whether what a link among them leads to is covered as well.
    pub follow_symlinks: bool,
    /// What it leaves out all the same: paths with everything below them.
    pub exclude: Vec<Pattern>,
    /// What it leaves out all the same: names, with everything below.
    pub exclude_names: Vec<NameGlob>,
    /// What is kept of contents.
    pub content: ContentMode,
    /// What differences count.
    pub cares: Cares,
    /// Whether it is only ever added to its files, and adding is no change.
    pub growing: Option<Growing>,
    /// Which changes are told.
    pub events: Switches,
    /// What is told beside changes.
    pub report: Report,
    /// Of its events, 0 to 100.
    pub severity: u8,
    /// Copied to its events.
    pub tags: Vec<String>,
    /// Between two comparisons of all its content, in seconds, if another time than that of other rules.
    pub compare_interval_s: Option<u64>,
    /// How long its events are kept, if another time than those of other rules.
    pub keep_days: Option<u32>,
}

/// `content`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentMode {
    /// In the words of the file where they are known, else a text difference, else a digest.
    Auto,
    /// As `Auto`; the text difference is shown even where not everybody may read the file.
    Diff,
    /// A digest only.
    Hash,
    /// Contents are not read.
    None,
}

const CONTENTS: [(&str, ContentMode); 4] = [
    ("auto", ContentMode::Auto),
    ("diff", ContentMode::Diff),
    ("hash", ContentMode::Hash),
    ("none", ContentMode::None),
];

const SEVERITY_DEFAULT: u8 = 47;

/// The `[[rule]]` sections of all files, in their order.
fn sections<'t>(tops: &[Section<'t>]) -> Result<Vec<Section<'t>>, ConfigError> {
    let mut sections = Vec::new();
    for top in tops {
        sections.extend(top.tables("rule", RULE)?);
    }
    Ok(sections)
}

/// Those of the file itself come first; there is one.
pub(super) fn rules(tops: &[Section<'_>]) -> Result<Vec<Rule>, ConfigError> {
    let sections = sections(tops)?;
    if sections.is_empty() {
        return Err(tops[0].error(
            "there is no [[rule]], so nothing would be watched; add one with `name` and `paths`",
        ));
    }
    let mut names = HashMap::new();
    let mut budget = Budget {
        paths: PATHS_MAX,
        excludes: PATHS_MAX,
        globs: GLOBS_MAX,
        home_paths: HOME_PATHS_MAX,
    };
    let mut rules = Vec::new();
    for section in &sections {
        if rules.len() == RULES_MAX {
            return Err(section.error(format!(
                "there are more than {RULES_MAX} rules; put paths of one kind into one rule"
            )));
        }
        let rule = rule(section, &mut budget)?;
        if let Some(file) = names.insert(rule.name.clone(), section.file()) {
            let elsewhere = if file == section.file() {
                String::new()
            } else {
                format!(", in {}", shown(file))
            };
            let message = format!(
                "there is another rule \"{}\"{elsewhere}; give each a name of its own",
                shown(&rule.name)
            );
            return Err(section.error(message));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// How many entries may still come.
struct Budget {
    paths: usize,
    excludes: usize,
    globs: usize,
    home_paths: usize,
}

fn rule(section: &Section<'_>, budget: &mut Budget) -> Result<Rule, ConfigError> {
    let Some(name) = section.string("name")? else {
        return Err(
            section.error("this [[rule]] has no `name`; give it one, such as name = \"identity\"")
        );
    };
    check_label(section, "name", name)?;
    let (exclude, exclude_names) = excludes(section, name.text, budget)?;
    let (paths, home_paths) = paths(section, name.text, budget)?;
    let content = section
        .word("content", &CONTENTS)?
        .unwrap_or(ContentMode::Auto);
    let recursive = section.boolean("recursive")?.unwrap_or(true);
    Ok(Rule {
        name: name.text.to_owned(),
        paths,
        home_paths,
        recursive,
        depth: depth(section, recursive)?,
        hidden: section.boolean("hidden")?.unwrap_or(true),
        follow_symlinks: section.boolean("follow_symlinks")?.unwrap_or(true),
        exclude,
        exclude_names,
        content,
        cares: cares(section)?,
        growing: growing(section, content)?,
        events: switches(section)?,
        report: report(section)?,
        severity: severity(section)?.unwrap_or(SEVERITY_DEFAULT),
        tags: tags(section)?,
        compare_interval_s: section.integer("compare_interval_s", COMPARE_INTERVAL_S)?,
        keep_days: days(section, "keep_days")?,
    })
}

fn depth(section: &Section<'_>, recursive: bool) -> Result<Option<u32>, ConfigError> {
    let depth = section.integer("depth", 0..=u64::from(DEPTH_MAX))?;
    if depth.is_some() && !recursive {
        return Err(section.error(
            "`depth` says how deep a rule goes, and recursive = false that it does not; remove one of them",
        ));
    }
    Ok(depth.and_then(|depth| u32::try_from(depth).ok()))
}

/// Names and tags are for people and for searching: short, on one line.
fn check_label(section: &Section<'_>, key: &str, label: Text<'_>) -> Result<(), ConfigError> {
    let length = label.text.chars().count();
    if length == 0 || length > NAME_CHARACTERS_MAX || label.text.chars().any(char::is_control) {
        let message = format!(
            "`{key}` must be 1 to {NAME_CHARACTERS_MAX} characters, none of them a control character"
        );
        return Err(section.error_at(label, message));
    }
    Ok(())
}

fn tags(section: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let tags = section.strings("tags")?;
    for (number, tag) in tags.iter().enumerate() {
        check_label(section, "tags", *tag)?;
        if number == TAGS_MAX {
            return Err(section.error_at(
                *tag,
                format!("a rule has at most {TAGS_MAX} `tags`; remove some"),
            ));
        }
    }
    Ok(tags.iter().map(|tag| tag.text.to_owned()).collect())
}

fn report(section: &Section<'_>) -> Result<Report, ConfigError> {
    let mut report = Report::default();
    for word in section.strings("report")? {
        let Some(kind) = Kind::named(word.text) else {
            let known = KINDS.map(|kind| format!("\"{}\"", kind.name())).join(", ");
            let message = format!(
                "`report` in {RULE} may hold {known}, not \"{}\"",
                shown(word.text)
            );
            return Err(section.error_at(word, message));
        };
        report = report.with(kind);
    }
    Ok(report)
}

fn paths(
    section: &Section<'_>,
    rule: &str,
    budget: &mut Budget,
) -> Result<(Vec<Pattern>, Vec<HomePath>), ConfigError> {
    let entries = section.strings("paths")?;
    if entries.is_empty() {
        return Err(section.error(format!(
            "rule \"{}\" has no `paths`; name at least one",
            shown(rule)
        )));
    }
    let mut patterns = Vec::with_capacity(entries.len());
    let mut home_paths = Vec::new();
    for entry in entries {
        spend(
            section,
            entry,
            &mut budget.paths,
            PATHS_MAX,
            "`paths` in all",
        )?;
        if is_of_homes(entry.text) {
            spend(
                section,
                entry,
                &mut budget.home_paths,
                HOME_PATHS_MAX,
                "paths that begin with ~/",
            )?;
            let path =
                HomePath::parse(entry.text).map_err(|why| refused(section, rule, entry, &why))?;
            home_paths.push(path);
            continue;
        }
        let pattern = pattern(section, rule, entry, budget)?;
        if is_pseudo(pattern.base()) {
            let message = format!(
                "rule \"{}\": path \"{}\" is on a pseudo file system, whose files change by themselves; remove it",
                shown(rule),
                shown(entry.text)
            );
            return Err(section.error_at(entry, message));
        }
        patterns.push(pattern);
    }
    Ok((patterns, home_paths))
}

/// Whether an entry of `paths` is one of [`HomePath`].
fn is_of_homes(entry: &str) -> bool {
    entry.starts_with('~')
}

fn pattern(
    section: &Section<'_>,
    rule: &str,
    entry: Text<'_>,
    budget: &mut Budget,
) -> Result<Pattern, ConfigError> {
    let pattern = Pattern::parse(entry.text).map_err(|why| refused(section, rule, entry, &why))?;
    if matches!(pattern, Pattern::Glob(_)) {
        spend(
            section,
            entry,
            &mut budget.globs,
            GLOBS_MAX,
            "paths with wildcards",
        )?;
    }
    Ok(pattern)
}

fn refused(section: &Section<'_>, rule: &str, entry: Text<'_>, why: &str) -> ConfigError {
    section.error_at(
        entry,
        format!(
            "rule \"{}\": path \"{}\" {why}",
            shown(rule),
            shown(entry.text)
        ),
    )
}

fn spend(
    section: &Section<'_>,
    entry: Text<'_>,
    left: &mut usize,
    max: usize,
    what: &str,
) -> Result<(), ConfigError> {
    match left.checked_sub(1) {
        Some(rest) => *left = rest,
        None => {
            return Err(section.error_at(
                entry,
                format!("there are more than {max} {what}; name directories instead"),
            ));
        }
    }
    Ok(())
}

type Excludes = (Vec<Pattern>, Vec<NameGlob>);

fn excludes(
    section: &Section<'_>,
    rule: &str,
    budget: &mut Budget,
) -> Result<Excludes, ConfigError> {
    let (mut anchored, mut names) = (Vec::new(), Vec::new());
    for entry in section.strings("exclude")? {
        spend(
            section,
            entry,
            &mut budget.excludes,
            PATHS_MAX,
            "`exclude` entries in all",
        )?;
        if entry.text.starts_with('/') {
            anchored.push(pattern(section, rule, entry, budget)?);
        } else {
            spend(
                section,
                entry,
                &mut budget.globs,
                GLOBS_MAX,
                "paths with wildcards",
            )?;
            names.push(
                NameGlob::parse(entry.text).map_err(|why| refused(section, rule, entry, &why))?,
            );
        }
    }
    Ok((anchored, names))
}

/// A path that its own rule excludes would silently be left out.
pub(super) fn check_exclusions(tops: &[Section<'_>], config: &Config) -> Result<(), ConfigError> {
    let set = RuleSet::new(config).map_err(|error| tops[0].error(error.to_string()))?;
    for (section, (number, rule)) in sections(tops)?.iter().zip((0..).zip(&config.rules)) {
        let entries = section.strings("paths")?.into_iter();
        let anchored = entries.filter(|entry| !is_of_homes(entry.text));
        for (entry, pattern) in anchored.zip(&rule.paths) {
            if set.excludes_root(number, pattern) {
                return Err(refused(
                    section,
                    &rule.name,
                    entry,
                    "is also left out by `exclude`; remove one of them",
                ));
            }
        }
    }
    Ok(())
}
