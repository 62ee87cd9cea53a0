//! The parsers there are.

use serde::{Deserialize, Serialize};

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
    /// crontab(5) of root himself
    RootCrontab,
    /// systemd.unit(5), its drop-ins, and the settings of systemd's daemons
    Systemd,
    /// ld.so.conf, as ldconfig(8) describes it
    LibraryPath,
    /// nsswitch.conf(5)
    Nsswitch,
    /// `/etc/environment` and environment.d(5)
    Environment,
    /// What shells execute when they start
    Shell,
    /// A private key of SSH
    PrivateKey,
    /// Public keys of SSH, for themselves
    PublicKey,
    /// `known_hosts` of sshd(8)
    KnownHosts,
    /// sources.list(5), a line each
    AptList,
    /// sources.list(5), stanzas
    AptSources,
    /// dnf.conf(5)
    YumRepo,
    /// `OpenPGP` keys by which packages are believed
    TrustedKeys,
    /// modprobe.d(5)
    Modprobe,
    /// modules-load.d(5)
    ModulesLoad,
    /// sysctl.conf(5)
    Sysctl,
}

impl Consumer {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::Passwd,
        Self::Shadow,
        Self::AuthorizedKeys,
        Self::Access,
        Self::Text,
        Self::Group,
        Self::Gshadow,
        Self::Sudoers,
        Self::Sshd,
        Self::Crontab,
        Self::UserCrontab,
        Self::Hosts,
        Self::Preload,
        Self::Pam,
        Self::RootCrontab,
        Self::Systemd,
        Self::LibraryPath,
        Self::Nsswitch,
        Self::Environment,
        Self::Shell,
        Self::PrivateKey,
        Self::PublicKey,
        Self::KnownHosts,
        Self::AptList,
        Self::AptSources,
        Self::YumRepo,
        Self::TrustedKeys,
        Self::Modprobe,
        Self::ModulesLoad,
        Self::Sysctl,
    ];

    /// Whether it knows what a file says. Of such a file the beginning says something by itself, and what follows it may
    /// hold secrets.
    pub fn understands(self) -> bool {
        self != Self::Text
    }
}
