//! What was told, held against what must be.

use std::{
    ffi::OsStr,
    fmt::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    time::Instant,
};

use fimk_tests::Event;
use serde_json::Value;

use crate::case::{Case, Need, Told};

/// What came of a case, best first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing was to be told, and nothing was.
    Silent,
    /// By an event, with the right process.
    Event,
    /// By the slow look or a scan, with the right process.
    Late,
    /// By an event, without a process.
    NoProcess,
    /// By the slow look or a scan, without a process.
    LateNoProcess,
    /// Not told, and the source is not asked to.
    Unseen,
    /// It cannot be done here.
    NotRun(String),
    /// Not told.
    Missed,
    /// With a process that did not do it.
    WrongProcess(String),
    /// Something was told though nothing changed.
    Told(String),
    /// The technique itself failed.
    Broken(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("silent"),
            Self::Event => f.write_str("event"),
            Self::Late => f.write_str("late"),
            Self::NoProcess => f.write_str("no process"),
            Self::LateNoProcess => f.write_str("late, no process"),
            Self::Unseen => f.write_str("unseen"),
            Self::NotRun(why) => write!(f, "not run: {why}"),
            Self::Missed => f.write_str("MISSED"),
            Self::WrongProcess(who) => write!(f, "WRONG PROCESS: {who}"),
            Self::Told(what) => write!(f, "TOLD: {what}"),
            Self::Broken(why) => write!(f, "BROKEN: {why}"),
        }
    }
}

impl Outcome {
    /// Whether nothing can be better.
    pub fn is_best(&self) -> bool {
        matches!(self, Self::Silent | Self::Event | Self::NotRun(_))
    }

    /// Whether a source of which this is needed did well.
    pub fn satisfies(&self, need: Need) -> bool {
        match self {
            Self::Silent | Self::Event | Self::NotRun(_) => true,
            Self::Unseen => matches!(need, Need::Unseen | Need::Never),
            Self::Late => need != Need::Named,
            Self::NoProcess | Self::LateNoProcess => {
                matches!(need, Need::Seen | Need::Unseen | Need::Never)
            }
            Self::Missed | Self::WrongProcess(_) | Self::Told(_) | Self::Broken(_) => false,
        }
    }
}

/// What was done, as the runner knows it.
pub struct Deed<'a> {
    /// The case's directory, watched.
    pub watched: &'a Path,
    /// The case's other directory.
    pub out: &'a Path,
    /// The program that did it.
    pub executable: &'a Path,
    /// The process that did it.
    pub actor: u32,
    /// The process that prepared it.
    pub helper: u32,
    /// Another that may be named as well, because it holds what the actor writes to; 0 for none.
    pub holder: u32,
    /// When it was told to begin.
    pub begun: Instant,
    /// The digests of the files that the case names, as they are now; in the order of `Case::told`.
    pub digests: &'a [Option<String>],
    /// Whether the source serves that knows other names.
    pub bpf: bool,
    /// Whether only comparisons do.
    pub periodic: bool,
}

/// The outcome of a case and the number of the event that shows it latest, among events in the order in which they were read.
pub fn judge(
    case: &Case,
    deed: &Deed<'_>,
    events: &[(Instant, Event)],
) -> (Outcome, Option<Instant>, Vec<String>) {
    let about = about(deed, events);
    if case.told.is_empty() {
        let loud = about
            .iter()
            .find(|(_, event)| event.number("event.severity") != Some(0));
        let outcome = loud.map_or(Outcome::Silent, |(_, event)| Outcome::Told(brief(event)));
        return (outcome, None, Vec::new());
    }
    let mut worst = (Outcome::Silent, None);
    let mut notes = Vec::new();
    for (told, digest) in case.told.iter().zip(deed.digests) {
        let (outcome, at, note) = judge_one(told, deed, digest.as_deref(), &about);
        notes.extend(note);
        if matches!(outcome, Outcome::Missed | Outcome::WrongProcess(_)) {
            notes.push(format!(
                "wanted: {} of {}",
                told.actions.join(" or "),
                shown(told.path)
            ));
        }
        worst = (worst.0.max(outcome), worst.1.max(at));
    }
    if let Some(stranger) = about.iter().find_map(|(_, event)| stranger(event, deed)) {
        worst.0 = worst.0.max(Outcome::WrongProcess(stranger));
    }
    (worst.0, worst.1, notes)
}

fn about<'a>(deed: &Deed<'_>, events: &'a [(Instant, Event)]) -> Vec<&'a (Instant, Event)> {
    events
        .iter()
        .filter(|(at, event)| *at >= deed.begun && lies_below(event, deed.watched))
        .collect()
}

/// All that was told, for whoever asks why a case failed.
pub fn account(deed: &Deed<'_>, events: &[(Instant, Event)]) -> String {
    let told = about(deed, events).into_iter();
    let told: Vec<String> = told
        .map(|(at, event)| {
            let after = at.saturating_duration_since(deed.begun).as_millis();
            format!("{} after {after} ms", brief(event))
        })
        .collect();
    format!(
        "begun at {:?}, actor {}, helper {}, holder {}; told: [{}]",
        deed.begun,
        deed.actor,
        deed.helper,
        deed.holder,
        told.join("; ")
    )
}

fn judge_one(
    told: &Told,
    deed: &Deed<'_>,
    digest: Option<&str>,
    about: &[&(Instant, Event)],
) -> (Outcome, Option<Instant>, Option<String>) {
    let fits: Vec<_> = about
        .iter()
        .filter(|(_, event)| fits(told, deed, digest, event))
        .collect();
    let Some((outcome, at, event)) = fits
        .iter()
        .map(|(at, event)| (rank(event, deed), *at, event))
        .min_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)))
    else {
        return (Outcome::Missed, None, None);
    };
    let accessed = told.accessed.map(|name| deed.out.join(name));
    let note = accessed
        .filter(|_| deed.bpf)
        .filter(|path| !fits.iter().any(|(_, event)| tells_of(event, path)))
        .map(|path| {
            format!(
                "accessed path {:?}, not {}",
                event.text("fimk.accessed_path"),
                path.display()
            )
        });
    (outcome, Some(at), note)
}

fn fits(told: &Told, deed: &Deed<'_>, digest: Option<&str>, event: &Event) -> bool {
    let path = if told.path.is_empty() {
        deed.watched.to_owned()
    } else {
        deed.watched.join(OsStr::from_bytes(told.path))
    };
    let (wanted, named) = (
        escaped(path.as_os_str().as_bytes()),
        event.text("file.path").unwrap_or_default(),
    );
    let right_path = named == wanted || told.beginning && named.starts_with(&wanted);
    let changed = |name: &str| {
        event
            .changes()
            .iter()
            .any(|change| change["field"] == name || change["subject"] == name)
    };
    right_path
        && (told.actions.contains(&event.action())
            || deed.periodic && told.compared_as.contains(&event.action()))
        && told.change.is_none_or(changed)
        && (!told.content || digest.is_some() && event.text("file.hash.sha256") == digest)
}

fn rank(event: &Event, deed: &Deed<'_>) -> Outcome {
    let prompt = event.text("fimk.detected_by") == Some("event");
    match event.number("process.pid") {
        None if prompt => Outcome::NoProcess,
        None => Outcome::LateNoProcess,
        Some(pid)
            if [deed.actor, deed.holder].map(u64::from).contains(&pid)
                && event.text("process.executable").map(Path::new) == Some(deed.executable) =>
        {
            if prompt {
                Outcome::Event
            } else {
                Outcome::Late
            }
        }
        Some(_) if event.text("process.executable").is_none() && kernel_thread(event) => {
            Outcome::NoProcess
        }
        Some(_) => Outcome::WrongProcess(brief(event)),
    }
}

/// A kernel thread has no executable; its parent is kthreadd.
fn kernel_thread(event: &Event) -> bool {
    event.number("process.parent.pid") == Some(2)
}

/// By which other name it was done: that of the access, or the one that was made for it.
fn tells_of(event: &Event, other: &Path) -> bool {
    ["fimk.accessed_path", "fimk.new_path"]
        .iter()
        .any(|name| event.text(name).map(Path::new) == Some(other))
}

/// A process in an event that had no part in the case.
fn stranger(event: &Event, deed: &Deed<'_>) -> Option<String> {
    let pid = event.number("process.pid")?;
    let known = [deed.actor, deed.helper, deed.holder]
        .into_iter()
        .any(|it| u64::from(it) == pid);
    (!known && !kernel_thread(event)).then(|| brief(event))
}

fn lies_below(event: &Event, watched: &Path) -> bool {
    let watched = escaped(watched.as_os_str().as_bytes());
    ["file.path", "fimk.previous_path", "fimk.new_path"]
        .iter()
        .filter_map(|name| event.text(name))
        .any(|path| {
            path.strip_prefix(&watched)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

/// An event in a few words.
fn brief(event: &Event) -> String {
    let name = event
        .text("file.path")
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    let name: String = name.chars().take(40).collect();
    let who = event.number("process.pid").map_or_else(
        || format!("nobody of {}", actors(event)),
        |pid| {
            format!(
                "{pid} {}",
                event
                    .text("process.executable")
                    .unwrap_or("?")
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
            )
        },
    );
    let fields: Vec<_> = event
        .changes()
        .iter()
        .filter_map(|change| change["field"].as_str())
        .collect();
    format!(
        "{} {name} ({}) by {who}, {}",
        event.action(),
        fields.join(" "),
        event.text("fimk.detected_by").unwrap_or_default()
    )
}

/// Those who may have done it, where one could not be named.
fn actors(event: &Event) -> usize {
    event
        .get("fimk.actors")
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
}

fn shown(path: &[u8]) -> String {
    escaped(path)
}

/// As `file.path` shows bytes: see fimk-events(7).
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                let _ = write!(out, "\\x{:02x}", u32::from(character));
            } else {
                out.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}
