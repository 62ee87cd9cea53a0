//! What a change means: findings raise the severity of an event above that of its rule. Each kind has an id that stays.
//!
//! Everything here is about what came to be: what a state has and the one before had not. Of a new file all is new.

use serde::{Deserialize, Serialize};

use crate::State;

mod groups;
mod keys;
mod rights;
mod users;

/// An event lists at most this many findings, the gravest first: one alone is reason enough to look.
pub const MAX_FINDINGS: usize = 20;

/// As `severity = "high"` and `"critical"` in a configuration.
const HIGH: u8 = 73;
const CRITICAL: u8 = 99;

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// [`Kind::id`].
    pub id: String,
    /// The event is at least so severe: 0 to 100.
    pub severity: u8,
    /// For a person: what was found.
    pub message: String,
}

/// What can be found. The manual, fimk-consumers(7), describes each; a test holds it to this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    PasswdUidZero,
    PasswdEmptyPassword,
    PasswdLoginShell,
    PasswdNis,
    ShadowEmptyPassword,
    ShadowUnlocked,
    ShadowWeakerHash,
    KeyAdded,
    KeyCommand,
    SetUserId,
    SetGroupId,
    WorldWritable,
    CapabilityAdded,
    ProtectionRemoved,
    GroupGidZero,
    GroupPrivilegedMember,
    SudoersNopasswd,
    SudoersAll,
    SudoersNoAuthentication,
    SshdRootLogin,
    SshdEmptyPasswords,
    SshdKeysCommand,
    PamPermit,
    PamExec,
    CronRootJob,
    PreloadEntry,
}

impl Kind {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 26] = [
        Self::PasswdUidZero,
        Self::PasswdEmptyPassword,
        Self::PasswdLoginShell,
        Self::PasswdNis,
        Self::ShadowEmptyPassword,
        Self::ShadowUnlocked,
        Self::ShadowWeakerHash,
        Self::KeyAdded,
        Self::KeyCommand,
        Self::SetUserId,
        Self::SetGroupId,
        Self::WorldWritable,
        Self::CapabilityAdded,
        Self::ProtectionRemoved,
        Self::GroupGidZero,
        Self::GroupPrivilegedMember,
        Self::SudoersNopasswd,
        Self::SudoersAll,
        Self::SudoersNoAuthentication,
        Self::SshdRootLogin,
        Self::SshdEmptyPasswords,
        Self::SshdKeysCommand,
        Self::PamPermit,
        Self::PamExec,
        Self::CronRootJob,
        Self::PreloadEntry,
    ];

    /// Its name for machines; never given to anything else.
    pub fn id(self) -> &'static str {
        match self {
            Self::PasswdUidZero => "passwd-uid-zero",
            Self::PasswdEmptyPassword => "passwd-empty-password",
            Self::PasswdLoginShell => "passwd-login-shell",
            Self::PasswdNis => "passwd-nis",
            Self::ShadowEmptyPassword => "shadow-empty-password",
            Self::ShadowUnlocked => "shadow-unlocked",
            Self::ShadowWeakerHash => "shadow-weaker-hash",
            Self::KeyAdded => "key-added",
            Self::KeyCommand => "key-command",
            Self::SetUserId => "set-user-id",
            Self::SetGroupId => "set-group-id",
            Self::WorldWritable => "world-writable",
            Self::CapabilityAdded => "capability-added",
            Self::ProtectionRemoved => "protection-removed",
            Self::GroupGidZero => "group-gid-zero",
            Self::GroupPrivilegedMember => "group-privileged-member",
            Self::SudoersNopasswd => "sudoers-nopasswd",
            Self::SudoersAll => "sudoers-all",
            Self::SudoersNoAuthentication => "sudoers-no-authentication",
            Self::SshdRootLogin => "sshd-root-login",
            Self::SshdEmptyPasswords => "sshd-empty-passwords",
            Self::SshdKeysCommand => "sshd-keys-command",
            Self::PamPermit => "pam-permit",
            Self::PamExec => "pam-exec",
            Self::CronRootJob => "cron-root-job",
            Self::PreloadEntry => "preload-entry",
        }
    }

    /// How grave it is: 0 to 100.
    pub fn severity(self) -> u8 {
        match self {
            Self::PasswdUidZero
            | Self::PasswdEmptyPassword
            | Self::ShadowEmptyPassword
            | Self::SshdEmptyPasswords
            | Self::PamPermit
            | Self::PreloadEntry => CRITICAL,
            _ => HIGH,
        }
    }

    /// A finding of this kind.
    #[must_use]
    pub fn finding(self, message: impl Into<String>) -> Finding {
        Finding {
            id: self.id().to_owned(),
            severity: self.severity(),
            message: message.into(),
        }
    }
}

/// What the content came to mean. `None`: there was no file, or it could not be read.
pub fn find(before: Option<&State>, after: Option<&State>) -> Vec<Finding> {
    match (before, after) {
        (Some(State::Passwd(before)), Some(State::Passwd(after))) => {
            users::in_passwd(Some(before), after)
        }
        (_, Some(State::Passwd(after))) => users::in_passwd(None, after),
        (Some(State::Shadow(before)), Some(State::Shadow(after))) => {
            users::in_shadow(Some(before), after)
        }
        (_, Some(State::Shadow(after))) => users::in_shadow(None, after),
        (Some(State::AuthorizedKeys(before)), Some(State::AuthorizedKeys(after))) => {
            keys::in_keys(Some(before), after)
        }
        (_, Some(State::AuthorizedKeys(after))) => keys::in_keys(None, after),
        (Some(State::Group(before)), Some(State::Group(after))) => {
            groups::in_group(Some(before), after)
        }
        (_, Some(State::Group(after))) => groups::in_group(None, after),
        (Some(State::Gshadow(before)), Some(State::Gshadow(after))) => {
            groups::in_gshadow(Some(before), after)
        }
        (_, Some(State::Gshadow(after))) => groups::in_gshadow(None, after),
        (before, Some(after)) => of_entries(before, after),
        (_, None) => Vec::new(),
    }
}

/// Of files that are a sequence of entries.
fn of_entries(before: Option<&State>, after: &State) -> Vec<Finding> {
    let (rules, after) = match after {
        State::Sudoers(after) => (rights::SUDOERS, after),
        State::Sshd(after) => (rights::SSHD, after),
        State::Pam(after) => (rights::PAM, after),
        State::Crontab(after) => (rights::CRONTAB, after),
        State::Preload(after) => (rights::PRELOAD, after),
        _ => return Vec::new(),
    };
    let before = match before {
        Some(
            State::Sudoers(before)
            | State::Sshd(before)
            | State::Pam(before)
            | State::Crontab(before)
            | State::Preload(before),
        ) => Some(before),
        _ => None,
    };
    rights::in_entries(rules, before, after)
}

/// The gravest first, no more than [`MAX_FINDINGS`], and whether there were more.
pub fn gravest(mut findings: Vec<Finding>) -> (Vec<Finding>, bool) {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let more = findings.len() > MAX_FINDINGS;
    findings.truncate(MAX_FINDINGS);
    (findings, more)
}
