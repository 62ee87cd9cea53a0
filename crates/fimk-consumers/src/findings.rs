//! What a change means: findings raise the severity of an event above that of its rule. Each kind has an id that stays.
//!
//! Everything here is about what came to be: what a state has and the one before had not. Of a new file all is new.

use std::mem;

use serde::{Deserialize, Serialize};

use crate::State;

mod groups;
mod keys;
mod rights;
mod services;
mod software;
mod system;
mod unknown;
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
    GroupEmptyPassword,
    SshdPasswordAuthentication,
    UnitCommand,
    UnitUserRemoved,
    EnvironmentPreload,
    LibraryPathAdded,
    NsswitchService,
    ShellShadowsCommand,
    ShellDownload,
    HostKeyChanged,
    KnownHostChanged,
    KnownHostAuthority,
    RepositoryAdded,
    RepositoryUnsigned,
    TrustedKeyAdded,
    ModprobeCommand,
    ModuleLoaded,
    SysctlWeakened,
    NotUnderstood,
    PasswdHash,
    KeyUnrestricted,
    SshdKeysElsewhere,
    PamWeakened,
    AclWritable,
}

impl Kind {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 50] = [
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
        Self::GroupEmptyPassword,
        Self::SshdPasswordAuthentication,
        Self::UnitCommand,
        Self::UnitUserRemoved,
        Self::EnvironmentPreload,
        Self::LibraryPathAdded,
        Self::NsswitchService,
        Self::ShellShadowsCommand,
        Self::ShellDownload,
        Self::HostKeyChanged,
        Self::KnownHostChanged,
        Self::KnownHostAuthority,
        Self::RepositoryAdded,
        Self::RepositoryUnsigned,
        Self::TrustedKeyAdded,
        Self::ModprobeCommand,
        Self::ModuleLoaded,
        Self::SysctlWeakened,
        Self::NotUnderstood,
        Self::PasswdHash,
        Self::KeyUnrestricted,
        Self::SshdKeysElsewhere,
        Self::PamWeakened,
        Self::AclWritable,
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
            Self::GroupEmptyPassword => "group-empty-password",
            Self::SshdPasswordAuthentication => "sshd-password-authentication",
            Self::UnitCommand => "unit-command",
            Self::UnitUserRemoved => "unit-user-removed",
            Self::EnvironmentPreload => "environment-preload",
            Self::LibraryPathAdded => "library-path-added",
            Self::NsswitchService => "nsswitch-service",
            Self::ShellShadowsCommand => "shell-shadows-command",
            Self::ShellDownload => "shell-download",
            Self::HostKeyChanged => "host-key-changed",
            Self::KnownHostChanged => "known-host-changed",
            Self::KnownHostAuthority => "known-host-authority",
            Self::RepositoryAdded => "repository-added",
            Self::RepositoryUnsigned => "repository-unsigned",
            Self::TrustedKeyAdded => "trusted-key-added",
            Self::ModprobeCommand => "modprobe-command",
            Self::ModuleLoaded => "module-loaded",
            Self::SysctlWeakened => "sysctl-weakened",
            Self::NotUnderstood => "not-understood",
            Self::PasswdHash => "passwd-hash",
            Self::KeyUnrestricted => "key-unrestricted",
            Self::SshdKeysElsewhere => "sshd-keys-elsewhere",
            Self::PamWeakened => "pam-weakened",
            Self::AclWritable => "acl-writable",
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
            | Self::PreloadEntry
            | Self::EnvironmentPreload
            | Self::RepositoryUnsigned => CRITICAL,
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
    let Some(after) = after else {
        return Vec::new();
    };
    // What was recorded as something else is new.
    let is_like = |before: &&State| mem::discriminant(*before) == mem::discriminant(after);
    let before = before.filter(is_like);
    let mut findings = understood(before, after);
    findings.extend(unknown::find(before, after));
    findings
}

/// By what is understood; both are of the same kind.
fn understood(before: Option<&State>, after: &State) -> Vec<Finding> {
    match (before, after) {
        (Some(State::Passwd(before)), State::Passwd(after)) => {
            users::in_passwd(Some(before), after)
        }
        (_, State::Passwd(after)) => users::in_passwd(None, after),
        (Some(State::Shadow(before)), State::Shadow(after)) => {
            users::in_shadow(Some(before), after)
        }
        (_, State::Shadow(after)) => users::in_shadow(None, after),
        (Some(State::AuthorizedKeys(before)), State::AuthorizedKeys(after)) => {
            keys::in_keys(Some(before), after)
        }
        (_, State::AuthorizedKeys(after)) => keys::in_keys(None, after),
        (Some(State::Group(before)), State::Group(after)) => groups::in_group(Some(before), after),
        (_, State::Group(after)) => groups::in_group(None, after),
        (Some(State::Gshadow(before)), State::Gshadow(after)) => {
            groups::in_gshadow(Some(before), after)
        }
        (_, State::Gshadow(after)) => groups::in_gshadow(None, after),
        (before, after) => of_entries(before, after),
    }
}

/// Of files that are a sequence of entries, and of what shells execute.
fn of_entries(before: Option<&State>, after: &State) -> Vec<Finding> {
    let old = before.and_then(State::entries);
    let by = |rules, after| rights::in_entries(rules, old, after);
    match after {
        State::Sudoers(after) => by(rights::SUDOERS, after),
        State::Sshd(after) => by(rights::SSHD, after)
            .into_iter()
            .chain(rights::passwords_again(old, after))
            .collect(),
        State::Pam(after) => by(rights::PAM, after)
            .into_iter()
            .chain(rights::asks_less(old, after))
            .collect(),
        State::Crontab(after) => by(rights::CRONTAB, after),
        State::Preload(after) => by(rights::PRELOAD, after),
        State::Systemd(after) => [
            services::in_unit(old, after),
            by(system::UNIT_ENVIRONMENT, after),
        ]
        .concat(),
        State::LibraryPath(after) => by(system::LIBRARY_PATH, after),
        State::Nsswitch(after) => system::in_nsswitch(old, after),
        State::Environment(after) => by(system::ENVIRONMENT, after),
        State::PrivateKey(after) => system::other_keys(Kind::HostKeyChanged, old, after),
        State::KnownHosts(after) => [
            system::other_keys(Kind::KnownHostChanged, old, after),
            by(system::KNOWN_HOSTS, after),
        ]
        .concat(),
        State::Apt(after) => by(software::APT, after),
        State::Yum(after) => software::in_yum(old, after),
        State::TrustedKeys(after) => by(software::KEYRING, after),
        State::Modprobe(after) => by(system::MODPROBE, after),
        State::ModulesLoad(after) => by(system::MODULES, after),
        State::Sysctl(after) => by(system::SYSCTL, after),
        State::Shell(after) => system::in_shell(before.and_then(State::text), after),
        _ => Vec::new(),
    }
}

/// The gravest first, no more than [`MAX_FINDINGS`], and whether there were more.
pub fn gravest(mut findings: Vec<Finding>) -> (Vec<Finding>, bool) {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let more = findings.len() > MAX_FINDINGS;
    findings.truncate(MAX_FINDINGS);
    (findings, more)
}
