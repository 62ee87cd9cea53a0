//! The configuration: TOML text → [`Config`], or one sentence that says where it is wrong.
//!
//! A page of the manual, fimk.toml(5), describes every key; a test holds it to [`KEYS`].

mod error;
mod homes;
mod report;
mod section;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, path::PathBuf};

use fimk_wire::raw;
use toml::de::DeTable;

pub use self::{
    error::ConfigError,
    homes::home,
    report::{KINDS, Kind, Report},
};
use self::{
    error::{Source, shown},
    section::{Section, Text},
};
use crate::{
    path::BytePath,
    pattern::{HomePath, NameGlob, Pattern},
    rules::RuleSet,
};

/// Of the file: hundreds of times what people write, and little enough to parse at once.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
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
/// Of a rule: see [`NAME_CHARACTERS_MAX`].
pub const TAGS_MAX: usize = 32;

const TOP: &str = "the main section";
const RULE: &str = "[[rule]]";
const OUTPUT: &str = "[[output]]";
const STORE: &str = "[store]";

/// Every key, by section.
pub const KEYS: [(&str, &[&str]); 4] = [
    (
        TOP,
        &[
            "source",
            "coverage",
            "state_dir",
            "run_dir",
            "settle_ms",
            "settle_max_ms",
            "settle_new_ms",
            "scan_interval_s",
            "compare_interval_s",
            "cpu_quota",
            "scan_bytes_per_s",
            "hash",
            "heartbeat_interval_s",
            "read_bytes_max",
            "objects_max",
            "rule",
            "output",
            "store",
        ],
    ),
    (
        RULE,
        &[
            "name",
            "paths",
            "recursive",
            "exclude",
            "content",
            "report",
            "severity",
            "tags",
            "keep_days",
        ],
    ),
    (
        OUTPUT,
        &["type", "severity", "burst", "burst_events", "burst_ms"],
    ),
    (
        STORE,
        &[
            "keep_bytes",
            "keep_days",
            "keep_days_low",
            "keep_days_medium",
            "keep_days_high",
            "keep_days_critical",
        ],
    ),
];

/// Kernel interfaces, not files: they change by themselves, and reading some of them acts.
const PSEUDO_FILE_SYSTEMS: [&[u8]; 3] = [b"/proc", b"/sys", b"/dev"];

/// Everything that can be configured, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where changes are to be learnt from.
    pub source: SourceWanted,
    /// How the BPF programs are to be attached.
    pub coverage: Coverage,
    /// Where the database is.
    pub state_dir: PathBuf,
    /// Where sockets are.
    pub run_dir: PathBuf,
    /// How long further changes of an object are waited for, in milliseconds.
    pub settle_ms: u64,
    /// The same at most, for an object that never rests, in milliseconds.
    pub settle_max_ms: u64,
    /// How long a new name waits for its first content, in milliseconds.
    pub settle_new_ms: u64,
    /// Between two scans of the periodic source, in seconds.
    pub scan_interval_s: u64,
    /// Between two comparisons of all content, whatever serves, in seconds.
    pub compare_interval_s: u64,
    /// What comparisons of everything may take of the CPU on average, in percent of one core; none: all there is.
    pub cpu_quota: Option<u32>,
    /// How many bytes of content they may read in a second on average; none: as many as come.
    pub scan_bytes_per_s: Option<u64>,
    /// What contents are recorded by.
    pub hash: Hash,
    /// Between two events that only say that fimk lives, in seconds; 0: there are none.
    pub heartbeat_interval_s: u64,
    /// Content longer than this is not read.
    pub read_bytes_max: u64,
    /// Objects that the kernel has room to watch.
    pub objects_max: u32,
    /// At least one.
    pub rules: Vec<Rule>,
    /// At least one.
    pub outputs: Vec<Output>,
    /// How much of events is kept.
    pub store: Store,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Of all stored events together, uncompressed.
    pub keep_bytes: u64,
    /// How long events are kept: low, medium, high, critical; none for ever.
    pub keep_days: [Option<u32>; 4],
}

/// `source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SourceWanted {
    Auto,
    Bpf,
    Fanotify,
    Periodic,
}

/// `coverage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// `Strict` where the kernel may skip a program, else `Normal`.
    Auto,
    /// Each program once: what it was skipped for is looked for.
    Normal,
    /// Each program twice: what one is skipped for the other sees.
    Strict,
}

/// `hash`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Hash {
    #[default]
    Sha256,
    Blake3,
}

/// One `[[rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// What it covers; with `home_paths` at least one.
    pub paths: Vec<Pattern>,
    /// What it covers below each home: `~/` and these names. Somebody who knows the homes makes `paths` of them.
    pub home_paths: Vec<HomePath>,
    /// Whether it covers what is below directories among them, at any depth.
    pub recursive: bool,
    /// What it leaves out all the same: paths with everything below them.
    pub exclude: Vec<Pattern>,
    /// What it leaves out all the same: names, with everything below.
    pub exclude_names: Vec<NameGlob>,
    /// What is kept of contents.
    pub content: ContentMode,
    /// What is told beside changes.
    pub report: Report,
    /// Of its events, 0 to 100.
    pub severity: u8,
    /// Copied to its events.
    pub tags: Vec<String>,
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

/// One `[[output]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where to.
    pub kind: OutputKind,
    /// Events below are not written to it.
    pub severity: u8,
    /// When many changes of one process tree are told as one; none: never.
    pub burst: Option<Burst>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            kind: OutputKind::Stdout,
            severity: OUTPUT_SEVERITY_DEFAULT,
            burst: None,
        }
    }
}

/// `burst = "summary"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// So many events of one tree,
    pub events: usize,
    /// that come within so many milliseconds of each other. So long an event is held back at most.
    pub within_ms: u64,
}

/// `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// JSON lines on standard output.
    Stdout,
}

const SOURCES: [(&str, SourceWanted); 4] = [
    ("auto", SourceWanted::Auto),
    ("bpf", SourceWanted::Bpf),
    ("fanotify", SourceWanted::Fanotify),
    ("periodic", SourceWanted::Periodic),
];
const COVERAGES: [(&str, Coverage); 3] = [
    ("auto", Coverage::Auto),
    ("normal", Coverage::Normal),
    ("strict", Coverage::Strict),
];
const HASHES: [(&str, Hash); 2] = [("sha256", Hash::Sha256), ("blake3", Hash::Blake3)];
const CONTENTS: [(&str, ContentMode); 4] = [
    ("auto", ContentMode::Auto),
    ("diff", ContentMode::Diff),
    ("hash", ContentMode::Hash),
    ("none", ContentMode::None),
];
/// The middles of the four quarters that SIEMs commonly divide 1 to 99 into.
const SEVERITIES: [(&str, u8); 4] = [("low", 21), ("medium", 47), ("high", 73), ("critical", 99)];
const SEVERITY_DEFAULT: u8 = 47;
const OUTPUT_SEVERITY_DEFAULT: u8 = 1;
/// From here on an event is never folded into a summary: `high`.
pub const UNFOLDED: u8 = 73;
const BURSTS: [(&str, bool); 2] = [("events", false), ("summary", true)];
/// Far more than a person changes at once, far less than a package.
const BURST_EVENTS_DEFAULT: u64 = 50;
/// Each may be held back until it is known to be one of so many.
pub const BURST_EVENTS_MAX: u64 = 1_000;
/// A package manager on a slow disk pauses for as long.
const BURST_MS_DEFAULT: u64 = 2_000;
const OUTPUTS: [(&str, OutputKind); 1] = [("stdout", OutputKind::Stdout)];

/// Reads a configuration. `file_name` is only for the messages.
pub fn parse(text: &str, file_name: &str) -> Result<Config, ConfigError> {
    let source = Source {
        file: file_name,
        text,
    };
    if text.len() > CONFIG_BYTES_MAX {
        let message =
            format!("the configuration is larger than {CONFIG_BYTES_MAX} bytes; make it shorter");
        return Err(source.error_without_place(message));
    }
    let document = DeTable::parse(text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        source.error(
            error.span().map_or(0, |span| span.start),
            format!("this is not TOML: {}", shown(&message)),
        )
    })?;
    let top = Section::new(&source, TOP, document.get_ref(), 0)?;
    let rules = rules(&top)?;
    let config = Config {
        source: top.word("source", &SOURCES)?.unwrap_or(SourceWanted::Auto),
        coverage: top.word("coverage", &COVERAGES)?.unwrap_or(Coverage::Auto),
        state_dir: directory(&top, "state_dir", "/var/lib/fimk")?,
        run_dir: directory(&top, "run_dir", "/run/fimk")?,
        settle_ms: top.integer("settle_ms", 1..=10_000)?.unwrap_or(50),
        // Somebody waits for the event; and a large file that is written all the time is to be read in between.
        settle_max_ms: top.integer("settle_max_ms", 1..=60_000)?.unwrap_or(2_000),
        // Who makes a file mostly writes it at once. Longer, and the report of a new file is late for nothing.
        settle_new_ms: top.integer("settle_new_ms", 0..=1_000)?.unwrap_or(20),
        // A week: the longest that PCI DSS 11.5.2 allows between two comparisons.
        scan_interval_s: top.integer("scan_interval_s", 1..=604_800)?.unwrap_or(300),
        compare_interval_s: top
            .integer("compare_interval_s", 1..=604_800)?
            .unwrap_or(86_400),
        cpu_quota: cpu_quota(&top)?,
        // Slower, and a reader that keeps to it could not be told from one that hangs.
        scan_bytes_per_s: top.integer("scan_bytes_per_s", 1 << 20..=1 << 40)?,
        hash: top.word("hash", &HASHES)?.unwrap_or_default(),
        // Often enough to notice within a shift that it was silenced, and no burden: 24 lines a day.
        heartbeat_interval_s: top
            .integer("heartbeat_interval_s", 0..=604_800)?
            .unwrap_or(3_600),
        read_bytes_max: top
            .integer("read_bytes_max", 4096..=1 << 40)?
            .unwrap_or(64 << 20),
        objects_max: objects_max(&top)?,
        rules,
        outputs: outputs(&top)?,
        store: store(&top)?,
    };
    check_exclusions(&top, &config)?;
    Ok(config)
}

fn directory(top: &Section<'_>, key: &str, default: &str) -> Result<PathBuf, ConfigError> {
    let Some(text) = top.string(key)? else {
        return Ok(default.into());
    };
    let wrong = |why: &str| top.error_at(text, format!("`{key}` \"{}\" {why}", shown(text.text)));
    if text.text.contains(['*', '?', '[', '{']) {
        return Err(wrong("has wildcards; name one directory"));
    }
    match Pattern::parse(text.text) {
        Ok(pattern) => Ok(pattern.base().as_path().to_owned()),
        Err(why) => Err(wrong(&why)),
    }
}

/// Up to a thousand cores.
fn cpu_quota(top: &Section<'_>) -> Result<Option<u32>, ConfigError> {
    let percent = top.integer("cpu_quota", 1..=100_000)?;
    Ok(percent.and_then(|percent| u32::try_from(percent).ok()))
}

fn objects_max(top: &Section<'_>) -> Result<u32, ConfigError> {
    let range = u64::from(raw::FIMK_OBJECTS_MIN)..=u64::from(raw::FIMK_OBJECTS_MAX);
    let objects = top.integer("objects_max", range)?;
    let objects = objects.and_then(|objects| u32::try_from(objects).ok());
    Ok(objects.unwrap_or(raw::FIMK_OBJECTS_DEFAULT))
}

fn rules(top: &Section<'_>) -> Result<Vec<Rule>, ConfigError> {
    let sections = top.tables("rule", RULE)?;
    if sections.is_empty() {
        return Err(top.error(
            "there is no [[rule]], so nothing would be watched; add one with `name` and `paths`",
        ));
    }
    let mut names = HashSet::new();
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
        if !names.insert(rule.name.clone()) {
            let message = format!(
                "there is another rule \"{}\"; give each a name of its own",
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
    Ok(Rule {
        name: name.text.to_owned(),
        paths,
        home_paths,
        recursive: section.boolean("recursive")?.unwrap_or(true),
        exclude,
        exclude_names,
        content: section
            .word("content", &CONTENTS)?
            .unwrap_or(ContentMode::Auto),
        report: report(section)?,
        severity: severity(section)?.unwrap_or(SEVERITY_DEFAULT),
        tags: tags(section)?,
        keep_days: days(section, "keep_days")?,
    })
}

/// A gibibyte: about a million events.
const KEEP_BYTES_DEFAULT: u64 = 1 << 30;

fn store(top: &Section<'_>) -> Result<Store, ConfigError> {
    let Some(section) = top.table("store", STORE)? else {
        return Ok(Store {
            keep_bytes: KEEP_BYTES_DEFAULT,
            keep_days: [None; 4],
        });
    };
    let all = days(&section, "keep_days")?;
    let mut keep_days = [all; 4];
    let keys = [
        "keep_days_low",
        "keep_days_medium",
        "keep_days_high",
        "keep_days_critical",
    ];
    for (kept, key) in keep_days.iter_mut().zip(keys) {
        *kept = days(&section, key)?.or(*kept);
    }
    Ok(Store {
        keep_bytes: section
            .integer("keep_bytes", 1 << 20..=1 << 40)?
            .unwrap_or(KEEP_BYTES_DEFAULT),
        keep_days,
    })
}

/// At most a century.
fn days(section: &Section<'_>, key: &'static str) -> Result<Option<u32>, ConfigError> {
    let days = section.integer(key, 1..=36_525)?;
    Ok(days.and_then(|days| u32::try_from(days).ok()))
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

fn severity(section: &Section<'_>) -> Result<Option<u8>, ConfigError> {
    if section.string("severity").is_ok() {
        return section.word("severity", &SEVERITIES);
    }
    let number = section.integer("severity", 0..=100)?;
    Ok(number.and_then(|number| u8::try_from(number).ok()))
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

fn outputs(top: &Section<'_>) -> Result<Vec<Output>, ConfigError> {
    let mut outputs: Vec<Output> = Vec::new();
    for section in top.tables("output", OUTPUT)? {
        let Some(kind) = section.word("type", &OUTPUTS)? else {
            return Err(section.error("this [[output]] has no `type`; write type = \"stdout\""));
        };
        if outputs.iter().any(|output| output.kind == kind) {
            return Err(section.error(
                "there are two [[output]] of this type, so each line would come twice; remove one",
            ));
        }
        outputs.push(Output {
            kind,
            severity: severity(&section)?.unwrap_or(OUTPUT_SEVERITY_DEFAULT),
            burst: burst(&section)?,
        });
    }
    if outputs.is_empty() {
        outputs.push(Output::default());
    }
    Ok(outputs)
}

fn burst(section: &Section<'_>) -> Result<Option<Burst>, ConfigError> {
    let events = section.integer("burst_events", 2..=BURST_EVENTS_MAX)?;
    let within_ms = section.integer("burst_ms", 100..=60_000)?;
    if section.word("burst", &BURSTS)? != Some(true) {
        if events.is_some() || within_ms.is_some() {
            return Err(section.error(
                "`burst_events` and `burst_ms` are for burst = \"summary\" only; write that too, or remove them",
            ));
        }
        return Ok(None);
    }
    let events = events.unwrap_or(BURST_EVENTS_DEFAULT);
    Ok(Some(Burst {
        events: usize::try_from(events).unwrap_or(usize::MAX),
        within_ms: within_ms.unwrap_or(BURST_MS_DEFAULT),
    }))
}

/// A path that its own rule excludes would silently be left out.
fn check_exclusions(top: &Section<'_>, config: &Config) -> Result<(), ConfigError> {
    let set = RuleSet::new(config).map_err(|error| top.error(error.to_string()))?;
    for (section, (number, rule)) in top
        .tables("rule", RULE)?
        .iter()
        .zip((0..).zip(&config.rules))
    {
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

/// Whether it lies where nothing is ever watched: /proc, /sys, /dev.
pub fn is_pseudo(path: &BytePath) -> bool {
    PSEUDO_FILE_SYSTEMS.iter().any(|root| {
        path.bytes()
            .strip_prefix(*root)
            .is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
    })
}
