//! Which parser a file is for, by its path.

use crate::Consumer;

/// Kinds of units that have a file: systemd.unit(5).
const UNITS: [&[u8]; 11] = [
    b".service",
    b".timer",
    b".socket",
    b".path",
    b".mount",
    b".automount",
    b".swap",
    b".target",
    b".slice",
    b".scope",
    b".nspawn",
];

/// What shells read before anything else: profile(5), bash(1), zsh(1).
const SHELL: [&[u8]; 10] = [
    b".bash_login",
    b".bash_logout",
    b".bash_profile",
    b".bashrc",
    b".profile",
    b".zlogin",
    b".zprofile",
    b".zshenv",
    b".zshrc",
    b".xsessionrc",
];

impl Consumer {
    /// By the last two components of the path, so that the files of a chroot count as well.
    /// The backups that shadow-utils leave (`passwd-`, `group-` and so on) are of the same form.
    pub fn for_path(path: &[u8]) -> Self {
        let mut components = path
            .rsplit(|&byte| byte == b'/')
            .filter(|component| !component.is_empty());
        let name = components.next().unwrap_or_default();
        let parent = components.next().unwrap_or_default();
        let above = components.next().unwrap_or_default();
        let of_users = of_users(name, parent, above);
        of_users
            .or_else(|| of_ssh(name, parent, above))
            .or_else(|| of_systemd(name, parent, above))
            .or_else(|| of_software(name, parent))
            .or_else(|| of_the_system(name, parent))
            .unwrap_or(Self::Text)
    }
}

/// Who there is, and who may do what.
fn of_users(name: &[u8], parent: &[u8], above: &[u8]) -> Option<Consumer> {
    Some(match (name, parent) {
        (b"passwd" | b"passwd-", b"etc") => Consumer::Passwd,
        (b"shadow" | b"shadow-", b"etc") => Consumer::Shadow,
        (b"group" | b"group-", b"etc") => Consumer::Group,
        (b"gshadow" | b"gshadow-", b"etc") => Consumer::Gshadow,
        // Nobody reads these, and editors keep there what is no text: what is renamed from there is told as new.
        (name, b"sudoers.d" | b"cron.d" | b"pam.d" | b"crontabs") if name.starts_with(b".") => {
            return None;
        }
        // sudo skips some more names in sudoers.d; a file that is renamed there is told by its name.
        (b"sudoers", b"etc") | (_, b"sudoers.d") => Consumer::Sudoers,
        (b"access.conf", b"security") => Consumer::Access,
        (name, b"access.d") if name.ends_with(b".conf") => Consumer::Access,
        (_, b"pam.d") => Consumer::Pam,
        (b"crontab", b"etc") | (_, b"cron.d") => Consumer::Crontab,
        (b"root", b"crontabs") => Consumer::RootCrontab,
        // As which crontab(1) begins, and cron(8) passes over.
        (name, b"crontabs") if name.starts_with(b"tmp.") => return None,
        (_, b"crontabs") => Consumer::UserCrontab,
        (b"root", b"cron") if above == b"spool" => Consumer::RootCrontab,
        (_, b"cron") if above == b"spool" => Consumer::UserCrontab,
        _ => return None,
    })
}

fn of_ssh(name: &[u8], parent: &[u8], above: &[u8]) -> Option<Consumer> {
    let is_public = name.ends_with(b".pub");
    Some(match (name, parent) {
        (b"authorized_keys" | b"authorized_keys2", b".ssh") => Consumer::AuthorizedKeys,
        // A file for each user, as AuthorizedKeysFile of sshd_config(5) often says.
        (_, b"authorized_keys" | b"authorized_keys.d") if above == b"ssh" => {
            Consumer::AuthorizedKeys
        }
        (b"sshd_config", b"ssh") => Consumer::Sshd,
        (name, b"sshd_config.d") if name.ends_with(b".conf") => Consumer::Sshd,
        (b"known_hosts" | b"known_hosts2" | b"known_hosts.old", b".ssh")
        | (b"ssh_known_hosts" | b"ssh_known_hosts2", b"ssh") => Consumer::KnownHosts,
        (name, b"ssh") if name.starts_with(b"ssh_host_") && is_public => Consumer::PublicKey,
        (name, b"ssh") if name.starts_with(b"ssh_host_") && name.ends_with(b"_key") => {
            Consumer::PrivateKey
        }
        (name, b".ssh") if name.starts_with(b"id_") && is_public => Consumer::PublicKey,
        (name, b".ssh") if name.starts_with(b"id_") => Consumer::PrivateKey,
        _ => return None,
    })
}

/// Units, what is dropped in beside them, and the settings of systemd's own daemons. It passes over hidden files, as which
/// `systemctl edit` begins.
fn of_systemd(name: &[u8], parent: &[u8], above: &[u8]) -> Option<Consumer> {
    if name.starts_with(b".") {
        return None;
    }
    let is_unit = |name: &[u8]| UNITS.iter().any(|end| name.ends_with(end));
    let is_settings = name.ends_with(b".conf");
    let dropped_into = parent.strip_suffix(b".d");
    let in_units = matches!(parent, b"system" | b"user") && above == b"systemd";
    let unit = in_units && is_unit(name);
    // `service.d` is for all services.
    let for_a_kind = |of: &[u8]| UNITS.iter().any(|end| &end[1..] == of);
    let drop_in = dropped_into.is_some_and(|of| is_unit(of) || for_a_kind(of));
    let daemon = parent == b"systemd"
        || above == b"systemd" && dropped_into.is_some_and(|of| of.ends_with(b".conf"));
    (unit || is_settings && (drop_in || daemon)).then_some(Consumer::Systemd)
}

/// Where software comes from.
fn of_software(name: &[u8], parent: &[u8]) -> Option<Consumer> {
    let is_keyring = name.ends_with(b".gpg") || name.ends_with(b".asc");
    Some(match (name, parent) {
        (b"sources.list", b"apt") => Consumer::AptList,
        (name, b"sources.list.d") if name.ends_with(b".list") => Consumer::AptList,
        (name, b"sources.list.d") if name.ends_with(b".sources") => Consumer::AptSources,
        (b"trusted.gpg", b"apt") | (_, b"rpm-gpg") => Consumer::TrustedKeys,
        (_, b"trusted.gpg.d" | b"keyrings") if is_keyring => Consumer::TrustedKeys,
        (name, b"yum.repos.d") if name.ends_with(b".repo") => Consumer::YumRepo,
        (b"yum.conf", b"etc") | (b"dnf.conf", b"dnf") => Consumer::YumRepo,
        _ => return None,
    })
}

/// What programs and the kernel are made of.
fn of_the_system(name: &[u8], parent: &[u8]) -> Option<Consumer> {
    let is_settings = name.ends_with(b".conf");
    Some(match (name, parent) {
        (b"hosts", b"etc") => Consumer::Hosts,
        (b"nsswitch.conf", b"etc") => Consumer::Nsswitch,
        (b"ld.so.preload", b"etc") => Consumer::Preload,
        (b"ld.so.conf", b"etc") => Consumer::LibraryPath,
        (_, b"ld.so.conf.d") if is_settings => Consumer::LibraryPath,
        (b"environment", b"etc") => Consumer::Environment,
        (_, b"environment.d") if is_settings => Consumer::Environment,
        (b"modprobe.conf", b"etc") => Consumer::Modprobe,
        (_, b"modprobe.d") if is_settings => Consumer::Modprobe,
        (b"modules", b"etc") => Consumer::ModulesLoad,
        (_, b"modules-load.d") if is_settings => Consumer::ModulesLoad,
        (b"sysctl.conf", b"etc") => Consumer::Sysctl,
        (_, b"sysctl.d") if is_settings => Consumer::Sysctl,
        (b"profile" | b"bash.bashrc" | b"bashrc" | b"rc.local", b"etc")
        | (_, b"profile.d" | b"bashrc.d")
        | (b"zshenv" | b"zshrc" | b"zprofile" | b"zlogin", b"zsh") => Consumer::Shell,
        (name, _) if SHELL.contains(&name) => Consumer::Shell,
        _ => return None,
    })
}
