//! Where an output goes: `type`, and the keys that belong to one type only.

use std::path::PathBuf;

use super::{
    super::{
        ConfigError,
        error::shown,
        section::{Section, Text},
    },
    remote::{self, Remote},
};
use crate::{path::BytePath, pattern::Pattern};

/// `type`, with what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// Lines on standard output.
    Stdout,
    /// Entries of the journal, by its native protocol.
    Journald {
        /// Where it takes them.
        socket: PathBuf,
    },
    /// RFC 5424, to a syslog daemon on this host.
    Syslog {
        /// Where it takes them.
        socket: PathBuf,
        /// Its number in RFC 5424.
        facility: u8,
    },
    /// Lines in a file.
    File {
        /// The file.
        path: PathBuf,
        /// Before it is longer than this, it takes another name and a new one begins.
        rotate_bytes: u64,
        /// So many that were full are kept.
        rotate_keep: u32,
    },
    /// Over the network: fimk-forwarder fetches the events and sends them.
    Remote(Box<Remote>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Stdout,
    Journald,
    Syslog,
    File,
    Udp,
    Http,
    Graphite,
}

const WORDS: [(&str, Word); 7] = [
    ("stdout", Word::Stdout),
    ("journald", Word::Journald),
    ("syslog", Word::Syslog),
    ("file", Word::File),
    ("udp", Word::Udp),
    ("http", Word::Http),
    ("graphite", Word::Graphite),
];

/// Keys that belong to some types only.
const OWN_KEYS: [(&str, &[Word]); 25] = [
    ("socket", &[Word::Journald, Word::Syslog]),
    ("facility", &[Word::Syslog]),
    ("path", &[Word::File]),
    ("rotate_bytes", &[Word::File]),
    ("rotate_keep", &[Word::File]),
    ("address", &[Word::Syslog, Word::Graphite]),
    ("transport", &[Word::Syslog]),
    ("addresses", &[Word::Udp]),
    ("datagram_bytes", &[Word::Udp]),
    ("url", &[Word::Http]),
    ("headers", &[Word::Http]),
    ("token_file", &[Word::Http]),
    ("token_scheme", &[Word::Http]),
    ("body", &[Word::Http]),
    ("gzip", &[Word::Http]),
    ("batch_events", &[Word::Http]),
    ("batch_ms", &[Word::Http]),
    ("tls_ca", &[Word::Syslog, Word::Http]),
    ("tls_certificate", &[Word::Syslog, Word::Http]),
    ("tls_key", &[Word::Syslog, Word::Http]),
    ("tls_name", &[Word::Syslog, Word::Http]),
    (
        "timeout_ms",
        &[Word::Syslog, Word::Udp, Word::Http, Word::Graphite],
    ),
    ("prefix", &[Word::Graphite]),
    ("role", &[Word::Graphite]),
    ("interval_s", &[Word::Graphite]),
];

const JOURNALD_SOCKET: &str = "/run/systemd/journal/socket";
pub(super) const SYSLOG_SOCKET: &str = "/dev/log";

/// What `sun_path` of unix(7) takes, with its NUL.
const SOCKET_BYTES_MAX: usize = 107;

/// Facilities by the names of syslog.conf(5), and their numbers in RFC 5424.
pub const FACILITIES: [(&str, u8); 14] = [
    ("user", 1),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("authpriv", 10),
    ("audit", 13),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// `authpriv`: what changed may be nothing for everybody.
pub(super) const FACILITY_DEFAULT: u8 = 10;

/// About fifty thousand events.
const ROTATE_BYTES_DEFAULT: u64 = 100 << 20;

/// Room for one line in any case.
const ROTATE_BYTES_MIN: u64 = 128 << 10;

const ROTATE_KEEP_DEFAULT: u64 = 5;

/// Each is renamed when one is full.
const ROTATE_KEEP_MAX: u64 = 100;

impl OutputKind {
    /// As `type` has it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Journald { .. } => "journald",
            Self::Syslog { .. } => "syslog",
            Self::File { .. } => "file",
            Self::Remote(remote) => match remote.way {
                remote::Way::Syslog(_) => "syslog",
                remote::Way::Udp(_) => "udp",
                remote::Way::Http(_) => "http",
                remote::Way::Graphite(_) => "graphite",
            },
        }
    }

    /// Whether lines of both would meet in a place that cannot take them from two.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stdout, Self::Stdout) => true,
            (Self::File { path, .. }, Self::File { path: other, .. }) => path == other,
            _ => false,
        }
    }
}

pub(super) fn kind(section: &Section<'_>) -> Result<OutputKind, ConfigError> {
    let Some(word) = section.word("type", &WORDS)? else {
        return Err(section.error("this [[output]] has no `type`; write type = \"stdout\""));
    };
    refuse_others_keys(section, word)?;
    Ok(match word {
        Word::Stdout => OutputKind::Stdout,
        Word::Journald => OutputKind::Journald {
            socket: socket(section, JOURNALD_SOCKET)?,
        },
        Word::Syslog => match remote::syslog(section)? {
            Some(remote) => boxed(remote),
            None => OutputKind::Syslog {
                socket: socket(section, SYSLOG_SOCKET)?,
                facility: facility(section)?.unwrap_or(FACILITY_DEFAULT),
            },
        },
        Word::File => file(section)?,
        Word::Udp => boxed(remote::udp(section)?),
        Word::Http => boxed(remote::http(section)?),
        Word::Graphite => boxed(remote::graphite(section)?),
    })
}

fn boxed(remote: Remote) -> OutputKind {
    OutputKind::Remote(Box::new(remote))
}

pub(super) fn facility(section: &Section<'_>) -> Result<Option<u8>, ConfigError> {
    section.word("facility", &FACILITIES)
}

/// A key that has no effect would be believed to have one.
fn refuse_others_keys(section: &Section<'_>, word: Word) -> Result<(), ConfigError> {
    let foreign = OWN_KEYS
        .iter()
        .find(|(key, of)| section.has(key) && !of.contains(&word));
    let Some((key, of)) = foreign else {
        return Ok(());
    };
    let of = WORDS.iter().filter(|(_, word)| of.contains(word));
    let of: Vec<String> = of.map(|(name, _)| format!("\"{name}\"")).collect();
    Err(section.error(format!(
        "`{key}` is for outputs of type {} only; remove it",
        of.join(" and ")
    )))
}

pub(super) fn socket(section: &Section<'_>, default: &str) -> Result<PathBuf, ConfigError> {
    let Some(text) = section.string("socket")? else {
        return Ok(default.into());
    };
    if text.text.len() > SOCKET_BYTES_MAX {
        let message = format!("`socket` is longer than {SOCKET_BYTES_MAX} bytes");
        return Err(section.error_at(text, message));
    }
    absolute(section, "socket", text)
}

fn file(section: &Section<'_>) -> Result<OutputKind, ConfigError> {
    let Some(path) = section.string("path")? else {
        return Err(section.error("an output of type \"file\" needs a `path`"));
    };
    let rotate_bytes = section.integer("rotate_bytes", ROTATE_BYTES_MIN..=1 << 40)?;
    let rotate_keep = section.integer("rotate_keep", 1..=ROTATE_KEEP_MAX)?;
    let rotate_keep = rotate_keep.unwrap_or(ROTATE_KEEP_DEFAULT);
    Ok(OutputKind::File {
        path: absolute(section, "path", path)?,
        rotate_bytes: rotate_bytes.unwrap_or(ROTATE_BYTES_DEFAULT),
        rotate_keep: u32::try_from(rotate_keep).unwrap_or(u32::MAX),
    })
}

pub(in crate::config) fn absolute(
    section: &Section<'_>,
    key: &str,
    text: Text<'_>,
) -> Result<PathBuf, ConfigError> {
    let wrong =
        |why: &str| section.error_at(text, format!("`{key}` \"{}\" {why}", shown(text.text)));
    if text.text.contains(['*', '?', '[', '{']) {
        return Err(wrong("has wildcards; name one file"));
    }
    match Pattern::parse(text.text) {
        Ok(pattern) if pattern.base().parent().is_none() => Err(wrong("is no file")),
        Ok(pattern) => Ok(pattern.base().as_path().to_owned()),
        Err(why) => Err(wrong(&why)),
    }
}

impl OutputKind {
    /// What is to be sent over the network, if it is.
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Remote(remote) => Some(remote),
            _ => None,
        }
    }

    /// The directory in which it makes files, if it does.
    pub fn directory(&self) -> Option<BytePath> {
        let Self::File { path, .. } = self else {
            return None;
        };
        BytePath::new(path.as_os_str().as_encoded_bytes()).parent()
    }

    /// The files that it makes, those that were full among them.
    pub fn files(&self) -> Vec<PathBuf> {
        let Self::File {
            path, rotate_keep, ..
        } = self
        else {
            return Vec::new();
        };
        let full = (1..=*rotate_keep).map(|number| numbered(path, number));
        std::iter::once(path.clone()).chain(full).collect()
    }
}

/// The name of the file that was full `number` files ago.
pub fn numbered(path: &std::path::Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
