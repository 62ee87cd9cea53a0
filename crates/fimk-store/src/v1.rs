//! Schema 1, that of fimk 0.1: how its values become those of today.
//!
//! Only types that have changed since are repeated here, as they were; whoever changes another one repeats it
//! first. The bytes in `tests/schema_1.txt`, written by fimk 0.1, hold this module to the truth.

use fimk_consumers::{Difference, Token};
use fimk_core::{
    attribution::Attribution,
    event::{self, ContentVerdict, DetectedBy, File, Gap, Source},
    path::BytePath,
    record::{self, Attributes, Content},
    time::Timestamp,
};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Record {
    snapshot: Snapshot,
    seen: Timestamp,
    key_id: Token,
}

#[derive(Deserialize)]
struct Snapshot {
    attributes: Attributes,
    content: Content,
}

#[derive(Deserialize)]
pub(crate) struct Event {
    sequence: u64,
    created: Timestamp,
    boot: String,
    source: Option<Source>,
    action: Action,
    severity: u8,
    body: Body,
}

#[derive(Deserialize)]
enum Action {
    Created,
    Deleted,
    Renamed,
    Modified,
    AttributesModified,
    Linked,
    MonitorStarted,
    MonitorStopped,
    BaselineCreated,
    Gap,
    EventsLost,
    Degraded,
}

#[derive(Deserialize)]
enum Body {
    Change(Box<Change>),
    Notice(Notice),
}

#[derive(Deserialize)]
struct Notice {
    message: String,
    plan: Vec<(String, String)>,
    counts: Vec<(String, u64)>,
    gap: Option<Gap>,
}

#[derive(Deserialize)]
struct Process {
    pid: u32,
    executable: Option<BytePath>,
    name: Option<String>,
    args: Vec<String>,
    start: Option<Timestamp>,
    executable_gone: bool,
    kernel: bool,
}

#[derive(Deserialize)]
struct Actor {
    process: Process,
    ancestors: Vec<Process>,
    uid: Option<u32>,
    user: Option<String>,
    login_uid: Option<u32>,
    session: Option<u32>,
}

#[derive(Deserialize)]
struct Change {
    file: File,
    actor: Option<Actor>,
    actors: Vec<Actor>,
    operations: Vec<String>,
    start: Timestamp,
    end: Timestamp,
    count: u64,
    bytes: Option<u64>,
    rule: String,
    rules: Vec<String>,
    tags: Vec<String>,
    detected_by: DetectedBy,
    gap: Option<Gap>,
    changes: Vec<Difference>,
    diff: Option<String>,
    truncated: Vec<String>,
    observed: bool,
    content: Option<ContentVerdict>,
    previous_path: Option<BytePath>,
    new_path: Option<BytePath>,
    accessed_path: Option<BytePath>,
    replaced: bool,
}

impl From<Record> for record::Record {
    fn from(old: Record) -> Self {
        Self {
            snapshot: record::Snapshot {
                attributes: old.snapshot.attributes,
                content: old.snapshot.content,
                // Not looked at then; what is not known does not differ.
                extended: None,
            },
            seen: old.seen,
            key_id: old.key_id,
        }
    }
}

impl From<Event> for event::Event {
    fn from(old: Event) -> Self {
        Self {
            sequence: old.sequence,
            created: old.created,
            boot: old.boot,
            source: old.source,
            action: old.action.into(),
            severity: old.severity,
            body: old.body.into(),
        }
    }
}

impl From<Action> for event::Action {
    fn from(old: Action) -> Self {
        match old {
            Action::Created => Self::Created,
            Action::Deleted => Self::Deleted,
            Action::Renamed => Self::Renamed,
            Action::Modified => Self::Modified,
            Action::AttributesModified => Self::AttributesModified,
            Action::Linked => Self::Linked,
            Action::MonitorStarted => Self::MonitorStarted,
            Action::MonitorStopped => Self::MonitorStopped,
            Action::BaselineCreated => Self::BaselineCreated,
            Action::Gap => Self::Gap,
            Action::EventsLost => Self::EventsLost,
            Action::Degraded => Self::Degraded,
        }
    }
}

impl From<Body> for event::Body {
    fn from(old: Body) -> Self {
        match old {
            Body::Change(change) => Self::Change(Box::new((*change).into())),
            Body::Notice(notice) => Self::Notice(notice.into()),
        }
    }
}

impl From<Notice> for event::Notice {
    fn from(old: Notice) -> Self {
        Self {
            message: old.message,
            plan: old.plan,
            counts: old.counts,
            lost: Vec::new(),
            gap: old.gap,
            config_digest: None,
        }
    }
}

impl From<Process> for event::Process {
    fn from(old: Process) -> Self {
        Self {
            pid: old.pid,
            executable: old.executable,
            name: old.name,
            args: old.args,
            start: old.start,
            executable_gone: old.executable_gone,
            executable_in_memory: false,
            kernel: old.kernel,
        }
    }
}

impl From<Actor> for event::Actor {
    fn from(old: Actor) -> Self {
        Self {
            process: old.process.into(),
            ancestors: old.ancestors.into_iter().map(Into::into).collect(),
            uid: old.uid,
            user: old.user,
            login_uid: old.login_uid,
            session: old.session,
            container: None,
            cgroup: None,
            pid_in_namespace: None,
            attribution: Attribution::default(),
        }
    }
}

impl From<Change> for event::Change {
    fn from(old: Change) -> Self {
        Self {
            file: old.file,
            actor: old.actor.map(Into::into),
            actors: old.actors.into_iter().map(Into::into).collect(),
            operations: old.operations,
            start: old.start,
            end: old.end,
            count: old.count,
            bytes: old.bytes,
            rule: old.rule,
            rules: old.rules,
            tags: old.tags,
            detected_by: old.detected_by,
            gap: old.gap,
            changes: old.changes,
            findings: Vec::new(),
            diff: old.diff,
            truncated: old.truncated,
            observed: old.observed,
            content: old.content,
            unread: None,
            previous_path: old.previous_path,
            new_path: old.new_path,
            accessed_path: old.accessed_path,
            replaced: old.replaced,
        }
    }
}
