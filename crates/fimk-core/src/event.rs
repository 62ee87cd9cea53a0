//! The event model: everything fimk reports, before it is rendered.

mod action;

use fimk_consumers::{Difference, Finding};
use serde::{Deserialize, Serialize};

use crate::{
    attribution::Attribution,
    path::BytePath,
    record::{Attributes, Digest},
    time::Timestamp,
};

pub use action::Action;

/// How a change came to our notice: `fimk.detected_by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum DetectedBy {
    Event,
    Scan,
    Gap,
    Late,
}

/// Which source served: `fimk.source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Source {
    Bpf,
    Fanotify,
    Periodic,
}

/// `fimk.content`: what became of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ContentVerdict {
    Changed,
    Same,
    Unread,
}

/// A process, as far as it is known. Absent is unknown, never guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// In the host's pid namespace.
    pub pid: u32,
    /// Path of the program it runs.
    pub executable: Option<BytePath>,
    /// Its comm, at most 15 bytes.
    pub name: Option<String>,
    /// Arguments as of exec, secrets redacted.
    pub args: Vec<String>,
    /// When it was started.
    pub start: Option<Timestamp>,
    /// Its executable has no name any more: deleted, or never had one (memfd).
    pub executable_gone: bool,
    /// Its executable lies in memory and never had a name (memfd).
    pub executable_in_memory: bool,
    /// A thread of the kernel.
    pub kernel: bool,
}

/// Who did it: the process, whence it came and on whose behalf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The process itself.
    pub process: Process,
    /// Parent first.
    pub ancestors: Vec<Process>,
    /// Real user at the time of the change.
    pub uid: Option<u32>,
    /// Name of `uid` in /etc/passwd.
    pub user: Option<String>,
    /// Who logged in, whatever su and sudo did since.
    pub login_uid: Option<u32>,
    /// Audit session.
    pub session: Option<u32>,
    /// The container it ran in, as its control group names it.
    pub container: Option<String>,
    /// The path of its control group in the unified hierarchy, escaped; none for the root.
    pub cgroup: Option<String>,
    /// Its number where it ran, if that was a pid namespace other than the host's.
    pub pid_in_namespace: Option<u32>,
    /// By what this is known. It is stored behind the event: older ones have none.
    #[serde(skip)]
    pub attribution: Attribution,
}

/// The window in which an unattended change happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Last time it was known to be unchanged.
    pub from: Timestamp,
    /// When it was found.
    pub to: Timestamp,
}

/// The file part of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The watched name.
    pub path: BytePath,
    /// As now; for a deleted object, as last known. Absent when it was gone before it could be read.
    pub attributes: Option<Attributes>,
    /// Attributes as recorded before, when they differ.
    pub before: Option<Attributes>,
    /// Of the content now; for a deleted object, as last known.
    pub digest: Option<Digest>,
    /// Names of `attributes.uid` and `gid`.
    pub owner: Option<String>,
    /// See `owner`.
    pub group: Option<String>,
    /// Where a symbolic link leads.
    pub target: Option<BytePath>,
    /// What else is known of it. Stored behind the event, see `fimk-store`: older ones end without it.
    #[serde(skip)]
    pub further: Further,
}

/// What an object has beside its [`Attributes`], in words. What is not known is empty, as what is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The type of its file system: `ext4`.
    pub file_system: Option<String>,
    /// Flags: `immutable`.
    pub flags: Vec<String>,
    /// Entries of the access control list: `user:alice:rw-`.
    pub acl: Vec<String>,
    /// Of a directory: entries of the list that what is made in it begins with.
    pub default_acl: Vec<String>,
    /// `cap_net_raw+ep`.
    pub capabilities: Option<String>,
    /// The label of `SELinux`.
    pub selinux: Option<String>,
    /// Other extended attributes, names and values.
    pub xattrs: Vec<(String, String)>,
}

/// The [`Words`] of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Further {
    /// As now; for a deleted object, as last known.
    pub now: Words,
    /// Those that were other before.
    pub before: Words,
    /// The owner's name before, if it was another owner.
    pub owner_before: Option<String>,
    /// Likewise the group's.
    pub group_before: Option<String>,
    /// Of the content now, by further hashes: neither recorded nor compared.
    pub digests: Vec<Digest>,
}

/// A change of a watched object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it happened to.
    pub file: File,
    /// Who did it, when exactly one is known.
    pub actor: Option<Actor>,
    /// Several who may have, and `actor` is absent; or beside `actor` the others who wrote between the same two
    /// readings, so that the difference is of all of them.
    pub actors: Vec<Actor>,
    /// All that was done, names of `fimk_wire::OPERATION_NAMES`.
    pub operations: Vec<String>,
    /// First touch.
    pub start: Timestamp,
    /// Last touch.
    pub end: Timestamp,
    /// Operations coalesced.
    pub count: u64,
    /// Bytes they wrote, where the kernel said.
    pub bytes: Option<u64>,
    /// The most specific rule.
    pub rule: String,
    /// All rules that cover the path.
    pub rules: Vec<String>,
    /// Tags of the most specific rule.
    pub tags: Vec<String>,
    /// How it was noticed.
    pub detected_by: DetectedBy,
    /// The window, for gap, scan and late findings.
    pub gap: Option<Gap>,
    /// In words.
    pub changes: Vec<Difference>,
    /// What that means, where it makes the event graver than its rule does.
    pub findings: Vec<Finding>,
    /// Unified difference, secrets redacted; withheld where others may not read the file.
    pub diff: Option<String>,
    /// What was cut from this event: names of fields.
    pub truncated: Vec<String>,
    /// False when the object was gone before it could be read.
    pub observed: bool,
    /// What became of the content.
    pub content: Option<ContentVerdict>,
    /// Why the content was not read: a sentence.
    pub unread: Option<String>,
    /// The old name, for renames.
    pub previous_path: Option<BytePath>,
    /// The new name, when a watched object was moved out of the rules.
    pub new_path: Option<BytePath>,
    /// The name the process used, when it is another than the watched one.
    pub accessed_path: Option<BytePath>,
    /// A rename put another object under the watched name.
    pub replaced: bool,
}

/// What fimk says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// For a person: one sentence.
    pub message: String,
    /// Hook → plan, on `monitor_started`.
    pub plan: Vec<(String, String)>,
    /// Named numbers: objects watched, records lost, …
    pub counts: Vec<(String, u64)>,
    /// Of records lost, how many by hook and cause.
    pub lost: Vec<(String, Vec<(String, u64)>)>,
    /// The window, for `gap`.
    pub gap: Option<Gap>,
    /// SHA-256 of the configuration's text in hexadecimal digits, for `heartbeat`.
    pub config_digest: Option<String>,
}

/// What was done to a watched object without changing it, or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// To what, by whom, how often; nothing of it differs.
    pub on: Change,
    /// The errno with which it was refused.
    pub error: Option<u32>,
}

/// Many changes by one process and those that it started, told as one. An output makes it of stored events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// The process at the top; of one that changed nothing itself, only what its children tell of it.
    pub root: Actor,
    /// How many events it stands for.
    pub events: u64,
    /// The first of their sequence numbers.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// First touch.
    pub start: Timestamp,
    /// Last touch.
    pub end: Timestamp,
    /// Operations coalesced.
    pub count: u64,
    /// Bytes they wrote, as far as the kernel said.
    pub bytes: u64,
    /// How many events of each action.
    pub actions: Vec<(String, u64)>,
    /// The deepest directory below which all of it happened.
    pub directory: BytePath,
    /// The most specific rules of the paths, each once.
    pub rules: Vec<String>,
}

/// Another configuration than before, in force or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// The sentence, what has changed in numbers, and the digest of the configuration that is in force now.
    pub notice: Notice,
    /// Of the one that was in force before, if that was another.
    pub previous_digest: Option<String>,
    /// Keys that were changed and hold only after a start.
    pub not_reloaded: Vec<String>,
    /// Why it was refused: a sentence, with file, line and column where it has a place.
    pub error: Option<String>,
}

/// What somebody asked for over the control socket, and got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The sentence, and what came of it in numbers.
    pub notice: Notice,
    /// Who asked.
    pub by: Asker,
    /// The rule that it was about, if it was about one.
    pub rule: Option<String>,
    /// What was accepted: everything up to this event,
    pub through: Option<u64>,
    /// and only of these paths: a path or a glob.
    pub path: Option<String>,
    /// What they wrote about it.
    pub note: Option<String>,
}

/// Who asked for something over the control socket, as the kernel says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// As of connecting.
    pub uid: u32,
    /// Its name in /etc/passwd.
    pub user: Option<String>,
    /// Who logged in, whatever su and sudo did since.
    pub login_uid: Option<u32>,
}

/// What an event is about. Stored events hold the place in this list: new ones go to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Body {
    Change(Box<Change>),
    Notice(Notice),
    Attempt(Box<Attempt>),
    Burst(Box<Burst>),
    Configured(Box<Configured>),
    Asked(Box<Asked>),
}

impl Body {
    /// What it says of a watched object.
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::Change(change) => Some(change),
            Self::Attempt(attempt) => Some(&attempt.on),
            Self::Notice(_) | Self::Burst(_) | Self::Configured(_) | Self::Asked(_) => None,
        }
    }

    /// The same, to be altered.
    pub fn change_mut(&mut self) -> Option<&mut Change> {
        match self {
            Self::Change(change) => Some(change),
            Self::Attempt(attempt) => Some(&mut attempt.on),
            Self::Notice(_) | Self::Burst(_) | Self::Configured(_) | Self::Asked(_) => None,
        }
    }
}

/// One event, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Given by the store: rises by one with each event, never used twice.
    pub sequence: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The boot it belongs to: `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// Which source served; absent while none does.
    pub source: Option<Source>,
    /// What happened.
    pub action: Action,
    /// 0 (not printed by default) to 100.
    pub severity: u8,
    /// The rest.
    pub body: Body,
}

impl DetectedBy {
    /// As `fimk.detected_by` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Scan => "scan",
            Self::Gap => "gap",
            Self::Late => "late",
        }
    }
}

impl Source {
    /// As `fimk.source` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::Fanotify => "fanotify",
            Self::Periodic => "periodic",
        }
    }
}

impl ContentVerdict {
    /// As `fimk.content` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Unread => "unread",
        }
    }
}
