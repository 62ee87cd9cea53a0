//! What watched files say: bytes → [`State`], two states → what differs, in the words of the file.
//!
//! Everything here is pure and total: no I/O, no clock, no panic on any bytes, time linear in the input
//! (but for sorting). Secrets are replaced by keyed [`Token`]s while parsing, so that a [`State`] may be
//! stored and a [`Comparison`] printed: a changed secret shows as changed, and never as itself.
//!
//! | module | knows |
//! |---|---|
//! | [`passwd`], [`shadow`], [`group`], [`gshadow`] | the fields of one line; `table` has what these files share, `password` the password field |
//! | [`sudoers`], [`sshd`], [`crontab`], [`pam`], [`hosts`], [`preload`] | the entries of one line; `entries` has what such files share and how two of them differ |
//! | [`systemd`], [`environment`], [`library_path`], [`nsswitch`], [`modules`], [`sysctl`], [`apt`], [`yum`], [`known_hosts`] | the same |
//! | [`ssh_keys`], [`trusted_keys`] | keys as a file has them, and none of what is secret of one |
//! | [`authorized_keys`], [`access`] | public keys and what they may do; rules of login, of which the order counts |
//! | `consumer`, `paths`, [`includes`] | which of these there are, and which a file is for: by its path, or because another file says so |
//! | [`findings`] | what a change means, and how grave that is |
//! | [`others`] | lines that are no entry of their file |
//! | [`text`] | any other text, as redacted lines; `diff` compares and prints them |
//! | [`redact`] | which parts of a string are secrets |
//! | [`pieces`] | redacted strings, the numbers of tokens in one comparison, escaping |

use std::mem;

use serde::{Deserialize, Serialize};

pub mod access;
pub mod apt;
pub mod authorized_keys;
mod consumer;
pub mod crontab;
mod diff;
pub mod entries;
pub mod environment;
pub mod findings;
pub mod group;
pub mod gshadow;
pub mod hosts;
pub mod includes;
pub mod known_hosts;
pub mod library_path;
mod lines;
pub mod modules;
pub mod nsswitch;
pub mod others;
pub mod pam;
pub mod passwd;
mod password;
mod paths;
pub mod pieces;
pub mod preload;
pub mod redact;
pub mod shadow;
pub mod ssh_keys;
pub mod sshd;
pub mod sudoers;
pub mod sysctl;
pub mod systemd;
pub mod table;
#[cfg(test)]
mod tests;
pub mod text;
pub mod trusted_keys;
pub mod yum;

pub use consumer::Consumer;
pub use findings::Finding;
pub use lines::MAX_BYTES;
pub use password::{Algorithm, Password};

/// A comparison lists at most this many differences: an event is one line of at most 64 KiB, and
/// whoever reads it does not read more.
pub const MAX_CHANGES: usize = 500;

/// Stands for a secret: equal secrets give equal tokens, and without the key a token tells nothing.
/// Compared and stored, never printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token(pub [u8; 16]);

/// Makes tokens; the analyzer's is an HMAC with the host's digest key.
pub trait Tokenize {
    /// The token of these bytes.
    fn token(&self, secret: &[u8]) -> Token;
}

/// One difference in words: `user alice` / `uid` / `1000` → `0`. A side that does not exist is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What differs: `user alice`, `line 7`, `file`.
    pub subject: String,
    /// Which property of it; empty for the thing as a whole (it came or went).
    pub field: String,
    /// Before; absent when there was none.
    pub before: Option<String>,
    /// After; absent when there is none.
    pub after: Option<String>,
}

impl Difference {
    /// Something about the file as a whole, said in the words of `after`.
    pub(crate) fn of_file(field: &str, after: &str) -> Self {
        Self {
            subject: "file".into(),
            field: field.into(),
            before: None,
            after: Some(after.into()),
        }
    }
}

/// What was read from one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// To be stored and compared.
    pub state: State,
    /// Something was redacted: a plain digest of the content would allow guessing, so the caller must
    /// use a keyed one.
    pub secrets: bool,
}

/// What a consumer understood of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The users of a passwd file.
    Passwd(passwd::State),
    /// The users of a shadow file.
    Shadow(shadow::State),
    /// Redacted lines.
    Text(text::State),
    /// Not text: only its digest, which is kept elsewhere, tells whether it changed.
    Binary,
    // Stored states are known by the number of their variant: new ones go here, at the end.
    /// The keys of an `authorized_keys` file.
    AuthorizedKeys(authorized_keys::State),
    /// The rules of an access.conf.
    Access(access::State),
    /// The groups of a group file.
    Group(group::State),
    /// The groups of a gshadow file.
    Gshadow(gshadow::State),
    /// The entries of a sudoers file.
    Sudoers(sudoers::State),
    /// The directives of an `sshd_config`.
    Sshd(sshd::State),
    /// The jobs and settings of a crontab, of either kind.
    Crontab(crontab::State),
    /// The names of a hosts file.
    Hosts(hosts::State),
    /// The libraries of an `ld.so.preload`.
    Preload(preload::State),
    /// The stack of a PAM service.
    Pam(pam::State),
    /// The assignments of a unit of systemd.
    Systemd(systemd::State),
    /// The directories of an ld.so.conf.
    LibraryPath(library_path::State),
    /// The databases of an nsswitch.conf.
    Nsswitch(nsswitch::State),
    /// The variables of an environment.
    Environment(environment::State),
    /// Redacted lines that a shell executes.
    Shell(text::State),
    /// A private key.
    PrivateKey(ssh_keys::State),
    /// Public keys.
    PublicKey(ssh_keys::State),
    /// The hosts of a `known_hosts`.
    KnownHosts(known_hosts::State),
    /// Where apt takes packages from, in either form.
    Apt(apt::State),
    /// Where yum or dnf takes packages from.
    Yum(yum::State),
    /// The keys of a keyring.
    TrustedKeys(trusted_keys::State),
    /// What is done with kernel modules.
    Modprobe(modules::State),
    /// The kernel modules that are loaded at boot.
    ModulesLoad(modules::State),
    /// The variables of a sysctl.conf.
    Sysctl(sysctl::State),
}

impl State {
    /// If it is a sequence of them.
    fn entries(&self) -> Option<&entries::State> {
        match self {
            Self::Sudoers(entries)
            | Self::Sshd(entries)
            | Self::Crontab(entries)
            | Self::Hosts(entries)
            | Self::Preload(entries)
            | Self::Pam(entries)
            | Self::Systemd(entries)
            | Self::LibraryPath(entries)
            | Self::Nsswitch(entries)
            | Self::Environment(entries)
            | Self::PrivateKey(entries)
            | Self::PublicKey(entries)
            | Self::KnownHosts(entries)
            | Self::Apt(entries)
            | Self::Yum(entries)
            | Self::TrustedKeys(entries)
            | Self::Modprobe(entries)
            | Self::ModulesLoad(entries)
            | Self::Sysctl(entries) => Some(entries),
            Self::Passwd(_)
            | Self::Shadow(_)
            | Self::Text(_)
            | Self::Shell(_)
            | Self::Binary
            | Self::AuthorizedKeys(_)
            | Self::Access(_)
            | Self::Group(_)
            | Self::Gshadow(_) => None,
        }
    }

    /// If it is that.
    fn text(&self) -> Option<&text::State> {
        match self {
            Self::Text(text) | Self::Shell(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads the content of a file.
pub fn read(consumer: Consumer, bytes: &[u8], tokenize: &dyn Tokenize) -> Reading {
    let (state, secrets) = match consumer {
        Consumer::Passwd => kept(table::read(bytes, tokenize), State::Passwd),
        Consumer::Shadow => kept(table::read(bytes, tokenize), State::Shadow),
        Consumer::AuthorizedKeys => kept(
            authorized_keys::read(bytes, tokenize),
            State::AuthorizedKeys,
        ),
        Consumer::Access => kept(access::read(bytes, tokenize), State::Access),
        Consumer::Group => kept(table::read(bytes, tokenize), State::Group),
        Consumer::Gshadow => kept(table::read(bytes, tokenize), State::Gshadow),
        Consumer::Shell => kept(text::read_shell(bytes, tokenize), State::Shell),
        Consumer::TrustedKeys => kept(trusted_keys::read(bytes, tokenize), State::TrustedKeys),
        Consumer::Text => text_or_binary(bytes, tokenize),
        consumer => read_entries(consumer, bytes, tokenize),
    };
    Reading { state, secrets }
}

/// Reads a content of which only the beginning is at hand, [`MAX_BYTES`]; of the rest, of which nothing is understood anyway,
/// the digest of the whole tells whether it differs.
pub fn read_beginning(
    consumer: Consumer,
    beginning: &[u8],
    digest: &[u8; 32],
    tokenize: &dyn Tokenize,
) -> Reading {
    if consumer.understands() {
        // In digits, for any bytes might be of another kind of file.
        let digits = digest.iter().map(|byte| format!("{byte:02x}"));
        let content = [beginning, digits.collect::<String>().as_bytes()].concat();
        let state = read(consumer, &content, tokenize).state;
        return Reading {
            state,
            secrets: true,
        };
    }
    let state = if text::is_binary(beginning) {
        State::Binary
    } else {
        State::Text(text::State::without_lines(digest, tokenize))
    };
    Reading {
        state,
        secrets: false,
    }
}

/// What was read as any text, as another consumer understands it. `None`: something was cut out of it.
pub fn understood(consumer: Consumer, text: &State, tokenize: &dyn Tokenize) -> Option<State> {
    let State::Text(text) = text else {
        return None;
    };
    Some(read(consumer, &text.content()?, tokenize).state)
}

/// Of files that are a sequence of entries.
fn read_entries(consumer: Consumer, bytes: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    type Read = fn(&[u8], &dyn Tokenize) -> (entries::State, bool);
    let (read, variant): (Read, fn(entries::State) -> State) = match consumer {
        Consumer::Sudoers => (sudoers::read, State::Sudoers),
        Consumer::Sshd => (sshd::read, State::Sshd),
        Consumer::Crontab => (crontab::read, State::Crontab),
        Consumer::UserCrontab => (crontab::read_users, State::Crontab),
        Consumer::RootCrontab => (crontab::read_roots, State::Crontab),
        Consumer::Hosts => (hosts::read, State::Hosts),
        Consumer::Preload => (preload::read, State::Preload),
        Consumer::Pam => (pam::read, State::Pam),
        Consumer::Systemd => (systemd::read, State::Systemd),
        Consumer::LibraryPath => (library_path::read, State::LibraryPath),
        Consumer::Nsswitch => (nsswitch::read, State::Nsswitch),
        Consumer::Environment => (environment::read, State::Environment),
        Consumer::PrivateKey => (ssh_keys::read_private, State::PrivateKey),
        Consumer::PublicKey => (ssh_keys::read_public, State::PublicKey),
        Consumer::KnownHosts => (known_hosts::read, State::KnownHosts),
        Consumer::AptList => (apt::read_list, State::Apt),
        Consumer::AptSources => (apt::read_stanzas, State::Apt),
        Consumer::YumRepo => (yum::read, State::Yum),
        Consumer::Modprobe => (modules::read, State::Modprobe),
        Consumer::ModulesLoad => (modules::read_list, State::ModulesLoad),
        Consumer::Sysctl => (sysctl::read, State::Sysctl),
        Consumer::Passwd
        | Consumer::Shadow
        | Consumer::AuthorizedKeys
        | Consumer::Access
        | Consumer::Group
        | Consumer::Gshadow
        | Consumer::Shell
        | Consumer::TrustedKeys
        | Consumer::Text => return text_or_binary(bytes, tokenize),
    };
    kept(read(bytes, tokenize), variant)
}

fn text_or_binary(bytes: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    if text::is_binary(bytes) {
        return (State::Binary, false);
    }
    kept(text::read(bytes, tokenize), State::Text)
}

fn kept<S>((state, secrets): (S, bool), variant: fn(S) -> State) -> (State, bool) {
    (variant(state), secrets)
}

/// What differs between two states of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// In words, at most [`MAX_CHANGES`].
    pub changes: Vec<Difference>,
    /// Unified difference of text, secrets redacted, control characters escaped.
    pub diff: Option<String>,
    /// The fields of the event of which something was cut: `fimk.changes`, `fimk.diff`.
    pub truncated: Vec<&'static str>,
}

/// Compares two states of one file. `None`: there was no file, or it could not be read.
pub fn compare(before: Option<&State>, after: Option<&State>) -> Comparison {
    if before == after {
        return Comparison::default();
    }
    let mut comparison = match (before, after) {
        (Some(State::Passwd(before)), Some(State::Passwd(after))) => {
            semantic(table::compare(before, after))
        }
        (Some(State::Shadow(before)), Some(State::Shadow(after))) => {
            semantic(table::compare(before, after))
        }
        (Some(State::AuthorizedKeys(before)), Some(State::AuthorizedKeys(after))) => {
            semantic(authorized_keys::compare(before, after))
        }
        (Some(State::Access(before)), Some(State::Access(after))) => {
            semantic(access::compare(before, after))
        }
        (Some(State::Group(before)), Some(State::Group(after))) => {
            semantic(table::compare(before, after))
        }
        (Some(State::Gshadow(before)), Some(State::Gshadow(after))) => {
            semantic(table::compare(before, after))
        }
        (None, Some(State::Passwd(after))) => semantic(table::created(after)),
        (None, Some(State::Shadow(after))) => semantic(table::created(after)),
        (None, Some(State::AuthorizedKeys(after))) => semantic(authorized_keys::created(after)),
        (None, Some(State::Access(after))) => semantic(access::created(after)),
        (None, Some(State::Group(after))) => semantic(table::created(after)),
        (None, Some(State::Gshadow(after))) => semantic(table::created(after)),
        (before, after) => of_one_kind(before, after),
    };
    if comparison.changes.len() > MAX_CHANGES {
        comparison.changes.truncate(MAX_CHANGES);
        comparison.truncated.push("fimk.changes");
    }
    comparison
}

/// Of texts, or of two sequences of the same kind; of others it is told what they are.
fn of_one_kind(before: Option<&State>, after: Option<&State>) -> Comparison {
    let texts = [before, after].map(|state| state.map(State::text));
    let is_text = |text: &Option<Option<&text::State>>| !matches!(text, Some(None));
    if texts.iter().all(is_text) {
        let [before, after] = texts.map(Option::flatten);
        return diff::unified(before, after);
    }
    let is_like = |after: &State| {
        before.is_none_or(|before| mem::discriminant(before) == mem::discriminant(after))
    };
    let after_entries = after.filter(|after| is_like(after));
    let Some(new) = after_entries.and_then(State::entries) else {
        return semantic(kinds(before, after));
    };
    semantic(match before.and_then(State::entries) {
        Some(old) => entries::compare(old, new),
        None => entries::created(new),
    })
}

fn semantic(changes: Vec<Difference>) -> Comparison {
    Comparison {
        changes,
        ..Comparison::default()
    }
}

/// The two sides cannot be compared; only what each is can be told. That a binary file came or went
/// is the event itself.
fn kinds(before: Option<&State>, after: Option<&State>) -> Vec<Difference> {
    let (before, after) = (before.map(describe), after.map(describe));
    if before.is_none() && after.as_deref() == Some("binary")
        || after.is_none() && before.as_deref() == Some("binary")
    {
        return Vec::new();
    }
    vec![Difference {
        subject: "file".into(),
        field: "content".into(),
        before,
        after,
    }]
}

fn describe(state: &State) -> String {
    match state {
        State::Passwd(table) => table::describe(table),
        State::Shadow(table) => table::describe(table),
        State::AuthorizedKeys(keys) => keys.describe(),
        State::Access(rules) => rules.describe(),
        State::Group(table) => table::describe(table),
        State::Gshadow(table) => table::describe(table),
        State::Binary => "binary".into(),
        other => other
            .entries()
            .map_or_else(|| "text".into(), entries::State::describe),
    }
}
