//! What a status is made of: facts that stand since the start, what happened since, and how to say them.
//!
//! Every field is described in fimk(1). Unknown is absent, never 0.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fimk_core::{
    config::RULES_MAX,
    event::{Action, Body, DetectedBy, Event},
    path::{BytePath, escaped},
    render::severity_word,
    time::Timestamp,
};
use fimk_wire::{COUNT_NAMES, HOOK_NAMES, raw};
use nix::errno::Errno;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{clock, sandbox::Report};

/// Of a path or sentence in a status: a line for a person. The event itself has it whole.
const TEXT_BYTES_MAX: usize = 4_096;

/// What stands since the start.
pub struct About {
    /// The loader's word on what serves.
    pub ready: raw::fimk_ready,
    /// The configuration that was read.
    pub config: PathBuf,
    /// SHA-256 of its text and those of its drop-ins, in hexadecimal digits.
    pub config_digest: String,
    /// What the sandbox came to.
    pub sandbox: Report,
    /// `host.name` of events.
    pub host: String,
    /// When this process started.
    pub since: Timestamp,
    /// The same on the clock that nobody sets.
    pub since_instant: Instant,
}

impl About {
    /// As of now. `config`: its path, which is absolute, and the digest of its text.
    pub fn new(
        ready: raw::fimk_ready,
        config: (&Path, String),
        sandbox: Report,
        host: String,
    ) -> Self {
        let (config, config_digest) = config;
        Self {
            ready,
            config: config.to_owned(),
            config_digest,
            sandbox,
            host,
            since: clock::now(),
            since_instant: Instant::now(),
        }
    }
}

/// SHA-256 of a text, in hexadecimal digits.
pub fn digest(text: &str) -> String {
    hex(Sha256::digest(text))
}

fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl About {
    /// Kernel memory of all maps, where there are any.
    pub fn map_bytes(&self) -> Option<u64> {
        Some(self.ready.map_bytes).filter(|&bytes| bytes > 0)
    }
}

/// What was reported since the start.
#[derive(Debug, Default)]
pub struct Activity {
    by_action: BTreeMap<&'static str, u64>,
    /// Of those about a watched object, by the rule that decided.
    by_rule: BTreeMap<String, u64>,
    by_severity: BTreeMap<&'static str, u64>,
    latency: Latency,
    /// The last sentence that said `degraded`, and when.
    degraded: Option<(Timestamp, String)>,
}

impl Activity {
    /// An event was stored.
    pub fn note(&mut self, event: &Event) {
        *self.by_action.entry(event.action.name()).or_default() += 1;
        *self
            .by_severity
            .entry(severity_word(event.severity))
            .or_default() += 1;
        if let Some(change) = event.body.change() {
            self.note_rule(&change.rule);
            if change.detected_by == DetectedBy::Event {
                self.latency
                    .note(event.created.0.saturating_sub(change.end.0));
            }
        }
        if let (Action::Degraded, Body::Notice(notice)) = (event.action, &event.body) {
            self.degraded = Some((event.created, shown(notice.message.as_bytes())));
        }
    }

    /// Other configurations have other rules; beyond a limit new ones are counted as one.
    fn note_rule(&mut self, rule: &str) {
        let known = self.by_rule.len() < RULES_MAX || self.by_rule.contains_key(rule);
        let rule = if known { rule } else { "(others)" };
        *self.by_rule.entry(rule.to_owned()).or_default() += 1;
    }

    /// Rule → events about what it decides on.
    pub fn by_rule(&self) -> Value {
        json!(self.by_rule)
    }

    /// Severity as a word → events.
    pub fn by_severity(&self) -> Value {
        json!(self.by_severity)
    }

    /// How long it took from the last touch to the event, of those that a source told of.
    pub fn latency(&self) -> Value {
        self.latency.json()
    }

    /// How many events of an action.
    pub fn count(&self, action: Action) -> u64 {
        self.by_action.get(action.name()).copied().unwrap_or(0)
    }

    /// Action → events; those of which there was none are absent.
    pub fn counts(&self) -> Value {
        json!(self.by_action)
    }

    /// See [`Self::degraded`].
    pub fn last_degraded(&self) -> Option<Value> {
        self.degraded
            .as_ref()
            .map(|(when, message)| json!({ "time": when.rfc3339(), "message": message }))
    }
}

/// Upper bounds of its buckets, in microseconds, and as the status names them: in seconds.
const LATENCIES: [(u64, &str); 12] = [
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// How many took how long.
#[derive(Debug, Default)]
struct Latency {
    /// In each bucket, without those in the ones before.
    buckets: [u64; LATENCIES.len()],
    count: u64,
    sum_us: u64,
}

impl Latency {
    /// A clock that was set back makes it negative: that is none.
    fn note(&mut self, nanoseconds: i64) {
        let us = u64::try_from(nanoseconds).unwrap_or(0) / 1_000;
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        let fits = LATENCIES.iter().position(|(bound, _)| us <= *bound);
        if let Some(bucket) = fits.and_then(|at| self.buckets.get_mut(at)) {
            *bucket += 1;
        }
    }

    fn json(&self) -> Value {
        let mut below = 0;
        let buckets = LATENCIES
            .iter()
            .zip(self.buckets)
            .map(|((_, name), count)| {
                below += count;
                ((*name).to_owned(), json!(below))
            });
        let buckets: Map<String, Value> = buckets.collect();
        json!({ "count": self.count, "sum_us": self.sum_us, "le": buckets })
    }
}

/// An object without the members whose value is not known, that is, null.
pub fn known<const N: usize>(members: [(&str, Value); N]) -> Value {
    let known: Map<String, Value> = members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    Value::Object(known)
}

/// How much waits somewhere, and how much may; without a limit, something else bounds it.
pub fn queue(length: usize, limit: Option<usize>) -> Value {
    known([("length", json!(length)), ("limit", json!(limit))])
}

/// An event in short.
pub fn event(event: &Event) -> Value {
    let (path, message) = match &event.body {
        Body::Change(change) => (Some(shown(change.file.path.bytes())), None),
        Body::Attempt(attempt) => (Some(shown(attempt.on.file.path.bytes())), None),
        Body::Burst(burst) => (Some(shown(burst.directory.bytes())), None),
        Body::Notice(notice) => (None, Some(shown(notice.message.as_bytes()))),
        Body::Configured(it) => (None, Some(shown(it.notice.message.as_bytes()))),
        Body::Asked(it) => (None, Some(shown(it.notice.message.as_bytes()))),
    };
    known([
        ("sequence", json!(event.sequence)),
        ("time", json!(event.created.rfc3339())),
        ("action", json!(event.action.name())),
        ("severity", json!(event.severity)),
        ("path", json!(path)),
        ("message", json!(message)),
    ])
}

/// The kernel's counters: hook → cause → number, without those that are 0.
pub fn counters(packet: &raw::fimk_counters_packet) -> Value {
    let hooks: Map<String, Value> = HOOK_NAMES
        .iter()
        .zip(&packet.hooks)
        .filter_map(|(hook, counters)| {
            let causes: Map<String, Value> = COUNT_NAMES
                .iter()
                .zip(&counters.of)
                .filter(|(_, count)| **count > 0)
                .map(|(cause, count)| ((*cause).to_owned(), json!(count)))
                .collect();
            (!causes.is_empty()).then(|| ((*hook).to_owned(), Value::Object(causes)))
        })
        .collect();
    json!({ "skipped": packet.skipped, "hooks": hooks })
}

/// Which source serves, why, and by which hooks.
pub fn source(ready: &raw::fimk_ready, name: &str) -> Value {
    let plan: Map<String, Value> = crate::start::plan(ready)
        .into_iter()
        .map(|(hook, plan)| (hook, Value::from(plan)))
        .collect();
    let error = (ready.error != 0).then(|| Errno::from_raw(ready.error).desc());
    known([
        ("name", json!(name)),
        ("message", json!(crate::source_sentence(ready))),
        ("error", json!(error)),
        ("coverage", json!(crate::coverage_words(ready))),
        ("plan", json!((!plan.is_empty()).then_some(plan))),
    ])
}

/// What the sandbox came to. Its seccomp filter is in force, or nothing would have started.
pub fn sandbox(report: &Report) -> Value {
    known([
        ("landlock_abi", json!(report.landlock_abi)),
        ("landlock_complete", json!(report.landlock_complete)),
        ("seccomp", json!(true)),
        ("reads_everything", json!(report.reads_everything)),
    ])
}

/// Takes from a status what names files: not everybody may list the directories that they are in.
pub fn leave_out_names(status: &mut Value) {
    for (holder, member) in [
        ("/config", "path"),
        ("/events", "last_degraded"),
        ("/events", "by_rule"),
        ("/last_scan", "rule"),
        ("/accepted", "note"),
        ("/metrics", "path"),
        ("/events/last", "path"),
        ("/events/last", "message"),
    ] {
        if let Some(Value::Object(members)) = status.pointer_mut(holder) {
            members.remove(member);
        }
    }
    if let Value::Object(members) = &mut *status {
        members.remove("mounts");
    }
    let outputs = status.get_mut("outputs").and_then(Value::as_array_mut);
    for output in outputs
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        output.remove("place");
        output.remove("problem");
    }
    let problems = status.get_mut("problems").and_then(Value::as_array_mut);
    for problem in problems.into_iter().flatten() {
        if let Some(Value::String(code)) = problem.get("code") {
            problem["message"] = json!(format!(
                "{code}: ask as root, what it is about is not for this user"
            ));
        }
    }
}

/// A path as events have it, cut.
pub fn path(path: &BytePath) -> String {
    shown(path.bytes())
}

fn shown(bytes: &[u8]) -> String {
    escaped(&bytes[..bytes.len().min(TEXT_BYTES_MAX)])
}

/// What may be wrong.
pub struct Signs<'a> {
    /// Whether only comparisons notice anything, and how far apart they are.
    pub periodic: Option<Duration>,
    /// See [`Report::reads_everything`].
    pub reads_everything: bool,
    /// Names watched.
    pub watched: usize,
    /// What the kernel's map takes, where one limits it.
    pub limit: Option<u32>,
    /// Objects for which there was no room.
    pub unwatched: u64,
    /// What was reported since the start.
    pub activity: &'a Activity,
    /// How often records were lost.
    pub lost: u64,
    /// Why everything is about to be compared.
    pub comparing: Option<&'a str>,
    /// Why events are not written.
    pub output: Option<String>,
    /// That the loader does not answer.
    pub alone: Option<String>,
    /// That nothing can be stored, and why.
    pub unstored: Option<String>,
    /// That no metrics can be written.
    pub unmeasured: Option<String>,
}

/// What is wrong, each as a word and a sentence that says what to do; nothing if all is well.
pub fn problems(signs: &Signs<'_>) -> Vec<Value> {
    let mut found = Vec::new();
    let mut say = |code: &str, message: String| {
        found.push(json!({ "code": code, "message": message }));
    };
    if let Some(interval) = signs.periodic {
        say(
            "periodic",
            format!(
                "no source of changes serves: files are compared every {} s, changes in between go unseen and nobody is named; see the source's reason",
                interval.as_secs()
            ),
        );
    }
    if !signs.reads_everything {
        say("unprivileged", "files of other users cannot be read: CAP_DAC_READ_SEARCH is missing; let fimk-loader start the analyzer".to_owned());
    }
    if let Some(sentence) = &signs.unstored {
        say("unstored", sentence.clone());
    }
    let full = |limit: &u32| signs.unwatched > 0 || signs.watched >= *limit as usize;
    if let Some(limit) = signs.limit.filter(full) {
        say(
            "full",
            format!(
                "the kernel has room to watch {limit} objects, and had none for {} others: raise objects_max or narrow the rules",
                signs.unwatched
            ),
        );
    }
    if let Some((when, message)) = &signs.activity.degraded {
        let count = signs.activity.count(Action::Degraded);
        say(
            "degraded",
            format!(
                "something is not watched as it should be ({count} times since the start, last at {}): {message}",
                when.rfc3339()
            ),
        );
    }
    let lost = signs.lost;
    if lost > 0 {
        say(
            "events_lost",
            format!(
                "records were lost {lost} times since the start: what changed was looked for by comparing, but who changed it may not be known; see the events_lost events"
            ),
        );
    }
    if let Some(sentence) = &signs.alone {
        say("loader_silent", sentence.clone());
    }
    if let Some(sentence) = &signs.output {
        say("output_blocked", sentence.clone());
    }
    if let Some(sentence) = &signs.unmeasured {
        say("metrics_unwritten", sentence.clone());
    }
    if let Some(reason) = signs.comparing {
        say(
            "comparing",
            format!("everything is about to be compared, because {reason}: nothing need be done"),
        );
    }
    found
}
