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
//! | [`authorized_keys`], [`access`] | public keys and what they may do; rules of login, of which the order counts |
//! | [`findings`] | what a change means, and how grave that is |
//! | [`others`] | lines that are no entry of their file |
//! | [`text`] | any other text, as redacted lines; `diff` compares and prints them |
//! | [`redact`] | which parts of a string are secrets |
//! | [`pieces`] | redacted strings, the numbers of tokens in one comparison, escaping |

use serde::{Deserialize, Serialize};

pub mod access;
pub mod authorized_keys;
pub mod crontab;
mod diff;
pub mod entries;
pub mod findings;
pub mod group;
pub mod gshadow;
pub mod hosts;
mod lines;
pub mod others;
pub mod pam;
pub mod passwd;
mod password;
pub mod pieces;
pub mod preload;
pub mod redact;
pub mod shadow;
pub mod sshd;
pub mod sudoers;
pub mod table;
#[cfg(test)]
mod tests;
pub mod text;

pub use findings::Finding;
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

/// Which parser a file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Consumer {
    /// passwd(5)
    Passwd,
    /// shadow(5)
    Shadow,
    /// `authorized_keys` of sshd(8)
    AuthorizedKeys,
    /// access.conf(5)
    Access,
    /// Everything else; what turns out not to be text becomes [`State::Binary`].
    Text,
    /// group(5)
    Group,
    /// gshadow(5)
    Gshadow,
    /// sudoers(5)
    Sudoers,
    /// `sshd_config(5)`
    Sshd,
    /// crontab(5), with a user in each job
    Crontab,
    /// crontab(5) of one user
    UserCrontab,
    /// hosts(5)
    Hosts,
    /// `/etc/ld.so.preload`, as ld.so(8) describes it
    Preload,
    /// pam.d(5)
    Pam,
}

impl Consumer {
    /// By the last two components of the path, so that the files of a chroot count as well.
    /// The backups that shadow-utils leave (`passwd-`, `group-` and so on) are of the same form.
    pub fn for_path(path: &[u8]) -> Self {
        let mut components = path
            .rsplit(|&byte| byte == b'/')
            .filter(|component| !component.is_empty());
        let name = components.next().unwrap_or_default();
        match (name, components.next().unwrap_or_default()) {
            (b"passwd" | b"passwd-", b"etc") => Self::Passwd,
            (b"shadow" | b"shadow-", b"etc") => Self::Shadow,
            (b"group" | b"group-", b"etc") => Self::Group,
            (b"gshadow" | b"gshadow-", b"etc") => Self::Gshadow,
            // sudo skips some names in sudoers.d; a file that is renamed there is told by its name.
            (b"sudoers", b"etc") | (_, b"sudoers.d") => Self::Sudoers,
            (b"authorized_keys" | b"authorized_keys2", b".ssh") => Self::AuthorizedKeys,
            (b"access.conf", b"security") => Self::Access,
            (b"sshd_config", b"ssh") => Self::Sshd,
            (name, b"sshd_config.d") if name.ends_with(b".conf") => Self::Sshd,
            (b"hosts", b"etc") => Self::Hosts,
            (b"ld.so.preload", b"etc") => Self::Preload,
            (_, b"pam.d") => Self::Pam,
            (b"crontab", b"etc") | (_, b"cron.d") => Self::Crontab,
            (_, b"crontabs") => Self::UserCrontab,
            (_, b"cron") if components.next() == Some(b"spool") => Self::UserCrontab,
            (name, b"access.d") if name.ends_with(b".conf") => Self::Access,
            // A file for each user, as AuthorizedKeysFile of sshd_config(5) often says.
            (_, b"authorized_keys" | b"authorized_keys.d") if components.next() == Some(b"ssh") => {
                Self::AuthorizedKeys
            }
            _ => Self::Text,
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
        Consumer::Sudoers => kept(sudoers::read(bytes, tokenize), State::Sudoers),
        Consumer::Sshd => kept(sshd::read(bytes, tokenize), State::Sshd),
        Consumer::Crontab => kept(crontab::read(bytes, true, tokenize), State::Crontab),
        Consumer::UserCrontab => kept(crontab::read(bytes, false, tokenize), State::Crontab),
        Consumer::Hosts => kept(hosts::read(bytes, tokenize), State::Hosts),
        Consumer::Preload => kept(preload::read(bytes, tokenize), State::Preload),
        Consumer::Pam => kept(pam::read(bytes, tokenize), State::Pam),
        Consumer::Text if text::is_binary(bytes) => (State::Binary, false),
        Consumer::Text => kept(text::read(bytes, tokenize), State::Text),
    };
    Reading { state, secrets }
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
        (Some(State::Sudoers(before)), Some(State::Sudoers(after)))
        | (Some(State::Sshd(before)), Some(State::Sshd(after)))
        | (Some(State::Crontab(before)), Some(State::Crontab(after)))
        | (Some(State::Hosts(before)), Some(State::Hosts(after)))
        | (Some(State::Preload(before)), Some(State::Preload(after)))
        | (Some(State::Pam(before)), Some(State::Pam(after))) => {
            semantic(entries::compare(before, after))
        }
        (Some(State::Text(before)), Some(State::Text(after))) => {
            diff::unified(Some(before), Some(after))
        }
        (Some(State::Text(before)), None) => diff::unified(Some(before), None),
        (None, Some(State::Text(after))) => diff::unified(None, Some(after)),
        (None, Some(State::Passwd(after))) => semantic(table::created(after)),
        (None, Some(State::Shadow(after))) => semantic(table::created(after)),
        (None, Some(State::AuthorizedKeys(after))) => semantic(authorized_keys::created(after)),
        (None, Some(State::Access(after))) => semantic(access::created(after)),
        (None, Some(State::Group(after))) => semantic(table::created(after)),
        (None, Some(State::Gshadow(after))) => semantic(table::created(after)),
        (
            None,
            Some(
                State::Sudoers(after)
                | State::Sshd(after)
                | State::Crontab(after)
                | State::Hosts(after)
                | State::Preload(after)
                | State::Pam(after),
            ),
        ) => semantic(entries::created(after)),
        (before, after) => semantic(kinds(before, after)),
    };
    if comparison.changes.len() > MAX_CHANGES {
        comparison.changes.truncate(MAX_CHANGES);
        comparison.truncated.push("fimk.changes");
    }
    comparison
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
        State::Sudoers(entries)
        | State::Sshd(entries)
        | State::Crontab(entries)
        | State::Hosts(entries)
        | State::Preload(entries)
        | State::Pam(entries) => entries.describe(),
        State::Text(_) => "text".into(),
        State::Binary => "binary".into(),
    }
}
