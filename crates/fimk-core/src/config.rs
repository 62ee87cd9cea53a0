//! The configuration: TOML text → [`Config`], or one sentence that says where it is wrong.
//!
//! A page of the manual, fimk.toml(5), describes every key; a test holds it to [`KEYS`].

mod cares;
mod error;
mod growing;
mod homes;
mod metrics;
mod output;
mod redact;
mod report;
mod rule;
mod section;
mod severity;
mod store;
mod switches;
#[cfg(test)]
mod tests;
mod texts;

use std::{ops::RangeInclusive, path::PathBuf};

pub use self::{
    cares::{Attribute, Cares},
    error::ConfigError,
    growing::Growing,
    homes::home,
    metrics::Metrics,
    output::{
        Address, BURST_EVENTS_MAX, Burst, FACILITIES, FORMATS, Filter, Format, Graphite, Http,
        HttpBody, OUTPUTS_MAX, Output, OutputKind, Remote, Syslog, Tls, Transport, UNFOLDED, Udp,
        Way, numbered,
    },
    report::{KINDS, Kind, Report},
    rule::{
        ContentMode, DEPTH_MAX, GLOBS_MAX, HOME_PATHS_MAX, NAME_CHARACTERS_MAX, PATHS_MAX,
        RULES_MAX, Rule, TAGS_MAX,
    },
    store::Store,
    switches::Switches,
    texts::{DROP_IN_DIRECTORY, DROP_IN_ENDING, DROP_INS_MAX, Texts},
};
use self::{error::shown, section::Section};
use crate::{path::BytePath, pattern::Pattern};
use fimk_wire::raw;

/// Of the file and its drop-ins together: hundreds of times what people write, and little enough to parse at once.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;

const TOP: &str = "the main section";

const DROP_IN: &str = "a drop-in";

const RULE: &str = "[[rule]]";

const OUTPUT: &str = "[[output]]";

const STORE: &str = "[store]";

const METRICS: &str = "[metrics]";

/// Every key, by section.
pub const KEYS: [(&str, &[&str]); 6] = [
    (
        TOP,
        &[
            "source",
            "coverage",
            "fanotify_marks",
            "state_dir",
            "run_dir",
            "host_root",
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
            "redact",
            "objects_max",
            "names_max",
            "rule",
            "output",
            "store",
            "metrics",
        ],
    ),
    (DROP_IN, &["rule"]),
    (
        RULE,
        &[
            "name",
            "paths",
            "recursive",
            "depth",
            "hidden",
            "follow_symlinks",
            "exclude",
            "content",
            "attributes",
            "growing",
            "rotators",
            "events",
            "report",
            "severity",
            "tags",
            "compare_interval_s",
            "keep_days",
        ],
    ),
    (
        OUTPUT,
        &[
            "type",
            "severity",
            "burst",
            "burst_events",
            "burst_ms",
            "name",
            "format",
            "rules",
            "actions",
            "socket",
            "facility",
            "path",
            "rotate_bytes",
            "rotate_keep",
            "address",
            "transport",
            "addresses",
            "datagram_bytes",
            "url",
            "headers",
            "token_file",
            "token_scheme",
            "body",
            "gzip",
            "batch_events",
            "batch_ms",
            "tls_ca",
            "tls_certificate",
            "tls_key",
            "tls_name",
            "timeout_ms",
            "prefix",
            "role",
            "interval_s",
        ],
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
    (METRICS, &["path", "interval_s"]),
];

/// Up to a week: the longest that PCI DSS 11.5.2 allows between two comparisons.
const COMPARE_INTERVAL_S: RangeInclusive<u64> = 1..=604_800;

/// Kernel interfaces, not files: they change by themselves, and reading some of them acts.
const PSEUDO_FILE_SYSTEMS: [&[u8]; 3] = [b"/proc", b"/sys", b"/dev"];

/// Everything that can be configured, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where changes are to be learnt from.
    pub source: SourceWanted,
    /// How the BPF programs are to be attached.
    pub coverage: Coverage,
    /// Whether fanotify is to tell of whole file systems.
    pub fanotify_marks: Marks,
    /// Where the database is.
    pub state_dir: PathBuf,
    /// Where sockets are.
    pub run_dir: PathBuf,
    /// Where the host's root is seen, if fimk runs in a container: the names of rules and events are the host's.
    pub host_root: Option<PathBuf>,
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
    /// What else is made of a content that is told of, and neither recorded nor compared; each once.
    pub also_hash: Vec<Hash>,
    /// Between two events that only say that fimk lives, in seconds; 0: there are none.
    pub heartbeat_interval_s: u64,
    /// Content longer than this is not read.
    pub read_bytes_max: u64,
    /// Regular expressions of further secrets, which are replaced like those that are known: see [`fimk_consumers::redact`].
    pub redact: Vec<String>,
    /// Objects that the kernel has room to watch.
    pub objects_max: u32,
    /// Names that are walked and remembered.
    pub names_max: usize,
    /// At least one.
    pub rules: Vec<Rule>,
    /// At least one.
    pub outputs: Vec<Output>,
    /// How much of events is kept.
    pub store: Store,
    /// Where metrics are written, if they are.
    pub metrics: Option<Metrics>,
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

/// `fanotify_marks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// `FileSystem` where that costs less, else `Objects`.
    Auto,
    /// One for each file system: everything that happens on it is told, and what is not watched is passed over.
    FileSystem,
    /// One for each directory, and for files with several names.
    Objects,
}

/// `hash`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Hash {
    #[default]
    Sha256,
    Blake3,
    Sha512,
    Sha1,
    Md5,
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

const MARKS: [(&str, Marks); 3] = [
    ("auto", Marks::Auto),
    ("filesystem", Marks::FileSystem),
    ("objects", Marks::Objects),
];

const HASHES: [(&str, Hash); 5] = [
    ("sha256", Hash::Sha256),
    ("blake3", Hash::Blake3),
    ("sha512", Hash::Sha512),
    ("sha1", Hash::Sha1),
    ("md5", Hash::Md5),
];

/// Reads a configuration without drop-ins. `file_name` is only for the messages.
pub fn parse(text: &str, file_name: &str) -> Result<Config, ConfigError> {
    Texts::new(file_name, text).parse()
}

/// The first section is that of the file itself, the others are those of drop-ins.
fn build(sections: &[Section<'_>]) -> Result<Config, ConfigError> {
    let top = &sections[0];
    let rules = rule::rules(sections)?;
    let (hash, also_hash) = hashes(top)?;
    let config = Config {
        source: top.word("source", &SOURCES)?.unwrap_or(SourceWanted::Auto),
        coverage: top.word("coverage", &COVERAGES)?.unwrap_or(Coverage::Auto),
        fanotify_marks: top.word("fanotify_marks", &MARKS)?.unwrap_or(Marks::Auto),
        state_dir: directory(top, "state_dir")?.unwrap_or_else(|| "/var/lib/fimk".into()),
        run_dir: directory(top, "run_dir")?.unwrap_or_else(|| "/run/fimk".into()),
        host_root: directory(top, "host_root")?,
        settle_ms: top.integer("settle_ms", 1..=10_000)?.unwrap_or(50),
        // Somebody waits for the event; and a large file that is written all the time is to be read in between.
        settle_max_ms: top.integer("settle_max_ms", 1..=60_000)?.unwrap_or(2_000),
        // Who makes a file mostly writes it at once. Longer, and the report of a new file is late for nothing.
        settle_new_ms: top.integer("settle_new_ms", 0..=1_000)?.unwrap_or(20),
        // A week: the longest that PCI DSS 11.5.2 allows between two comparisons.
        scan_interval_s: top.integer("scan_interval_s", 1..=604_800)?.unwrap_or(300),
        compare_interval_s: top
            .integer("compare_interval_s", COMPARE_INTERVAL_S)?
            .unwrap_or(86_400),
        cpu_quota: cpu_quota(top)?,
        // Slower, and a reader that keeps to it could not be told from one that hangs.
        scan_bytes_per_s: top.integer("scan_bytes_per_s", 1 << 20..=1 << 40)?,
        hash,
        also_hash,
        // Often enough to notice within a shift that it was silenced, and no burden: 24 lines a day.
        heartbeat_interval_s: top
            .integer("heartbeat_interval_s", 0..=604_800)?
            .unwrap_or(3_600),
        read_bytes_max: top
            .integer("read_bytes_max", 4096..=1 << 40)?
            .unwrap_or(64 << 20),
        redact: redact::redact(top)?,
        objects_max: objects_max(top)?,
        names_max: names_max(top)?,
        outputs: output::outputs(top, &rules)?,
        rules,
        store: store::store(top)?,
        metrics: metrics::metrics(top)?,
    };
    rule::check_exclusions(sections, &config)?;
    Ok(config)
}

/// The first is what is compared.
fn hashes(top: &Section<'_>) -> Result<(Hash, Vec<Hash>), ConfigError> {
    let all = top.word_or_words("hash", &HASHES)?;
    let mut all = all.into_iter();
    let first = all.next().unwrap_or_default();
    let mut others: Vec<Hash> = all.filter(|it| *it != first).collect();
    others.sort_unstable();
    others.dedup();
    Ok((first, others))
}

fn directory(top: &Section<'_>, key: &str) -> Result<Option<PathBuf>, ConfigError> {
    let Some(text) = top.string(key)? else {
        return Ok(None);
    };
    let wrong = |why: &str| top.error_at(text, format!("`{key}` \"{}\" {why}", shown(text.text)));
    if text.text.contains(['*', '?', '[', '{']) {
        return Err(wrong("has wildcards; name one directory"));
    }
    match Pattern::parse(text.text) {
        Ok(pattern) => Ok(Some(pattern.base().as_path().to_owned())),
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

/// Each costs some 250 bytes of memory; the default is as many as the kernel ever watches.
fn names_max(top: &Section<'_>) -> Result<usize, ConfigError> {
    let names = top.integer("names_max", 1_000..=1 << 26)?;
    let names = names.and_then(|names| usize::try_from(names).ok());
    Ok(names.unwrap_or(1 << 20))
}

/// Whether it lies where nothing is ever watched: /proc, /sys, /dev.
pub fn is_pseudo(path: &BytePath) -> bool {
    PSEUDO_FILE_SYSTEMS.iter().any(|root| {
        path.bytes()
            .strip_prefix(*root)
            .is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
    })
}
