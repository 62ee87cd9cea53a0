//! What programs and the kernel are made of: libraries, modules, variables; and whom a host takes for whom.

use std::collections::BTreeSet;

use super::{
    Finding, Kind,
    rights::{Rule, plain, shown, value},
};
use crate::{
    entries::{Entry, Field, State},
    nsswitch,
    pieces::Pieces,
    text,
};

pub(super) const LIBRARY_PATH: &[Rule] = &[(
    Kind::LibraryPathAdded,
    ": programs take libraries from there",
    |entry| plain(&entry.subject).starts_with("library path "),
)];

/// Variables by which the dynamic linker loads what they name: ld.so(8).
pub(super) const LOADING: [&str; 3] = ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"];

pub(super) const ENVIRONMENT: &[Rule] = &[(
    Kind::EnvironmentPreload,
    " is set for whoever logs in",
    sets_loading,
)];

pub(super) fn sets_loading(entry: &Entry) -> bool {
    let subject = plain(&entry.subject);
    let name = subject.strip_prefix("environment ");
    name.is_some_and(|name| LOADING.contains(&name))
}

pub(super) const UNIT_ENVIRONMENT: &[Rule] = &[(
    Kind::EnvironmentPreload,
    " has the dynamic linker load something",
    |entry| {
        let subject = plain(&entry.subject);
        // Quotes may stand anywhere in a word.
        let value = value(entry, Field::Value).replace(['"', '\''], "");
        let is = |name: &&str| value.contains(&format!("{name}="));
        let sets = subject.ends_with("] Environment") || subject.ends_with("] DefaultEnvironment");
        sets && LOADING.iter().any(is)
    },
)];

pub(super) const MODPROBE: &[Rule] = &[(
    Kind::ModprobeCommand,
    ": root runs a command for it",
    |entry| {
        let subject = plain(&entry.subject);
        let command = value(entry, Field::Value);
        let runs = subject.starts_with("install ") || subject.starts_with("remove ");
        runs && !HARMLESS.contains(&command.as_str())
    },
)];

/// By which a module is kept out.
const HARMLESS: [&str; 8] = [
    "/bin/true",
    "/bin/false",
    "/usr/bin/true",
    "/usr/bin/false",
    "true",
    "false",
    "/sbin/true",
    "/sbin/false",
];

pub(super) const MODULES: &[Rule] = &[(
    Kind::ModuleLoaded,
    " is loaded into the kernel at boot",
    |_| true,
)];

pub(super) const SYSCTL: &[Rule] = &[(Kind::SysctlWeakened, WEAKENED, |entry| {
    let subject = plain(&entry.subject);
    let name = subject.strip_prefix("sysctl ").unwrap_or_default();
    is_weak(name, &value(entry, Field::Value))
})];

const WEAKENED: &str = " protects less, or has the kernel run a program";

/// Variables of which less than this is weaker: the kernel's documentation of sysctl.
const AT_LEAST: [(&str, i64); 14] = [
    ("kernel.randomize_va_space", 2),
    ("kernel.yama.ptrace_scope", 1),
    ("kernel.kptr_restrict", 1),
    ("kernel.dmesg_restrict", 1),
    ("kernel.unprivileged_bpf_disabled", 1),
    ("kernel.perf_event_paranoid", 2),
    ("kernel.kexec_load_disabled", 1),
    ("net.core.bpf_jit_harden", 1),
    ("fs.protected_hardlinks", 1),
    ("fs.protected_symlinks", 1),
    ("fs.protected_fifos", 1),
    ("fs.protected_regular", 1),
    ("vm.mmap_min_addr", 4096),
    ("net.ipv4.tcp_syncookies", 1),
];

/// Of which more is.
const AT_MOST: [(&str, i64); 4] = [
    ("fs.suid_dumpable", 0),
    ("vm.unprivileged_userfaultfd", 0),
    ("dev.tty.ldisc_autoload", 0),
    ("dev.tty.legacy_tiocsti", 0),
];

/// Programs that the kernel runs as root.
const PROGRAMS: [&str; 3] = ["kernel.modprobe", "kernel.hotplug", "kernel.poweroff_cmd"];

/// As the kernel reads it: in base 8 behind a zero, in base 16 behind `0x`.
pub(super) fn number(value: &str) -> Option<i64> {
    let (sign, digits) = match value.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, value),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (&lower[..], 10),
    };
    let is_number = digits.bytes().all(|it| it.is_ascii_hexdigit());
    i64::from_str_radix(digits, base)
        .ok()
        .filter(|_| is_number)
        .map(|number| sign * number)
}

fn is_weak(name: &str, value: &str) -> bool {
    let number = number(value);
    let limit = |of: &[(&str, i64)]| of.iter().find(|(known, _)| *known == name).map(|it| it.1);
    let below = limit(&AT_LEAST)
        .zip(number)
        .is_some_and(|(limit, it)| it < limit);
    let above = limit(&AT_MOST)
        .zip(number)
        .is_some_and(|(limit, it)| it > limit);
    let runs = name == "kernel.core_pattern" && value.starts_with('|') || PROGRAMS.contains(&name);
    below || above || runs
}

pub(super) const KNOWN_HOSTS: &[Rule] = &[(
    Kind::KnownHostAuthority,
    ": it says who all these hosts are",
    |entry| plain(&entry.subject).starts_with("authority for "),
)];

/// A service of the C library is code in every program, whatever it looks up.
pub(super) fn in_nsswitch(before: Option<&nsswitch::State>, after: &State) -> Vec<Finding> {
    let pairs = |state: Option<&State>| -> BTreeSet<(String, String)> {
        let entries = state.map_or(&[][..], |state| &state.entries).iter();
        let services = entries.flat_map(|entry| {
            let services = entry.field(Field::Value).map(shown).unwrap_or_default();
            let is_service = |word: &&str| !word.contains(['[', ']', '=']) && *word != "nowhere";
            let words: Vec<String> = services
                .split(' ')
                .filter(is_service)
                .map(str::to_owned)
                .collect();
            words.into_iter().map(|word| (shown(&entry.subject), word))
        });
        services.collect()
    };
    let new = pairs(Some(after));
    new.difference(&pairs(before))
        .filter(|(_, service)| !matches!(service.as_str(), "files" | "dns"))
        .map(|(database, service)| {
            Kind::NsswitchService.finding(format!("{database} is looked up by {service} too"))
        })
        .collect()
}

/// Of a key that stands where there was another one.
pub(super) fn other_keys(kind: Kind, before: Option<&State>, after: &State) -> Vec<Finding> {
    let Some(before) = before else {
        return Vec::new();
    };
    let known = |entry: &Entry| -> (Pieces, Option<Pieces>) {
        (entry.subject.clone(), entry.field(Field::Value).cloned())
    };
    let old: BTreeSet<(Pieces, Option<Pieces>)> = before.entries.iter().map(known).collect();
    let subjects: BTreeSet<&Pieces> = before.entries.iter().map(|entry| &entry.subject).collect();
    let is_new = |entry: &&Entry| {
        let another = match kind {
            // Of a host another key of the same type.
            Kind::KnownHostChanged => subjects.contains(&entry.subject),
            _ => !before.entries.is_empty(),
        };
        another && !old.contains(&known(entry))
    };
    let words = match kind {
        Kind::KnownHostChanged => " has another key",
        _ => " stands in the place of another",
    };
    let new = after.entries.iter().filter(is_new);
    new.map(|entry| kind.finding(format!("{}{words}", shown(&entry.subject))))
        .collect()
}

/// What shells execute: by its new lines, whatever else they mean.
pub(super) fn in_shell(before: Option<&text::State>, after: &text::State) -> Vec<Finding> {
    let lines = |text: Option<&text::State>| -> BTreeSet<Pieces> {
        text.map_or(&[][..], |text| &text.lines)
            .iter()
            .cloned()
            .collect()
    };
    let mut findings = Vec::new();
    for line in lines(Some(after)).difference(&lines(before)) {
        // Shells pass over NULs.
        let line = plain(line).replace('\0', "");
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let assigned = LOADING
            .iter()
            .find(|name| line.contains(&format!("{name}=")));
        if let Some(name) = assigned {
            findings.push(Kind::EnvironmentPreload.finding(format!("{name} is set for a shell")));
        }
        if let Some(name) = shadowed(line) {
            findings.push(
                Kind::ShellShadowsCommand
                    .finding(format!("{name} is something else in a shell now")),
            );
        }
        if downloads(line) {
            let words = "what is fetched from the network is executed by a shell";
            findings.push(Kind::ShellDownload.finding(words));
        }
    }
    findings
}

/// Commands at which a password is typed, or by which one looks after what goes on.
const WATCHED: [&str; 14] = [
    "sudo", "su", "ssh", "scp", "sftp", "passwd", "doas", "login", "gpg", "ps", "ls", "top",
    "lsof", "netstat",
];

/// What an alias or a function of a line stands before.
fn shadowed(line: &str) -> Option<&'static str> {
    let line = line.strip_prefix("function ").unwrap_or(line);
    let is = |name: &&&str| {
        let alias = line.strip_prefix("alias ").map(str::trim_start);
        let value = alias.and_then(|alias| alias.strip_prefix(**name)?.strip_prefix('='));
        // `alias ls='ls --color'` only adds to it.
        let adds = |value: &str| {
            let value = value.trim_start_matches(['\'', '"']);
            let word = value.split([' ', '\'', '"']).next().unwrap_or_default();
            word == **name
        };
        let function = line.strip_prefix(**name).map(str::trim_start);
        value.is_some_and(|value| !adds(value))
            || function.is_some_and(|rest| rest.starts_with("()") || rest.starts_with("( )"))
    };
    WATCHED.iter().find(is).copied()
}

/// `curl … | sh`, `sh <(wget …)`, `eval "$(curl …)"`.
fn downloads(line: &str) -> bool {
    let words: Vec<&str> = line
        .split(|it: char| !(it.is_ascii_alphanumeric() || "_./-".contains(it)))
        .map(|word| word.rsplit('/').next().unwrap_or(word))
        .collect();
    let any = |of: &[&str]| words.iter().any(|word| of.contains(word));
    let fetches = any(&["curl", "wget", "fetch", "nc", "ncat"]);
    let executes = any(&[
        "sh", "bash", "dash", "zsh", "python", "python3", "perl", "eval",
    ]);
    fetches && executes && line.contains(['|', '(', '`'])
}
