//! Outputs that need the network. They are sent by fimk-forwarder, which knows nothing but this of the configuration.

mod address;
mod http;
mod tls;

use std::{path::PathBuf, time::Duration};

use super::place::{FACILITY_DEFAULT, SYSLOG_SOCKET, facility, socket};
use crate::{
    config::{ConfigError, section::Section},
    path::escaped,
};

pub use self::{
    address::Address,
    http::{Http, HttpBody},
    tls::Tls,
};

/// Where to, over the network, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// By which protocol.
    pub way: Way,
    /// Of connecting, and of every single reading and writing, in milliseconds.
    pub timeout_ms: u64,
}

/// By which protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// RFC 5424, to a syslog daemon anywhere.
    Syslog(Box<Syslog>),
    /// One datagram an event.
    Udp(Udp),
    /// Batches, by POST.
    Http(Box<Http>),
    /// No events, but counters.
    Graphite(Box<Graphite>),
}

/// `type = "syslog"` with a `transport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    /// How messages are carried, and where to.
    pub transport: Transport,
    /// Its number in RFC 5424.
    pub facility: u8,
}

/// `transport`, with the `address` or `socket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// One datagram a message, RFC 5426.
    Udp(Address),
    /// With the length before each message, RFC 6587.
    Tcp(Address),
    /// The same in TLS, RFC 5425.
    Tls(Address, Tls),
    /// With a line end behind each message, to a daemon on this host that takes connections.
    Stream(PathBuf),
}

/// `type = "udp"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    /// Each of them gets everything.
    pub addresses: Vec<Address>,
    /// What would be longer is cut, which it says.
    pub bytes_max: usize,
}

/// `type = "graphite"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graphite {
    /// Where it takes them.
    pub address: Address,
    /// Before every name.
    pub prefix: String,
    /// What this host is for; a part of every name.
    pub role: String,
    /// How often, in seconds.
    pub interval_s: u64,
}

/// Receivers of one output.
const ADDRESSES_MAX: usize = 16;

/// What an IPv4 datagram takes: 65535 without the headers of IP and UDP.
const DATAGRAM_BYTES_MAX: u64 = 65_507;

/// Room for what an event is told by if nothing else of it fits.
const DATAGRAM_BYTES_MIN: u64 = 1_024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Udp,
    Tcp,
    Tls,
    Stream,
}

const TRANSPORTS: [(&str, Word); 4] = [
    ("udp", Word::Udp),
    ("tcp", Word::Tcp),
    ("tls", Word::Tls),
    ("stream", Word::Stream),
];

/// A receiver on another continent answers within a second.
const TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// As bpfink did.
const INTERVAL_S_DEFAULT: u64 = 30;

/// Of `prefix` and `role`.
const NAME_BYTES_MAX: usize = 128;

impl Remote {
    /// The limit of each step.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Whether events go there, so that there is a cursor.
    pub fn takes_events(&self) -> bool {
        !matches!(self.way, Way::Graphite(_))
    }

    /// Where it goes, for sentences.
    pub fn place(&self) -> String {
        match &self.way {
            Way::Syslog(syslog) => match &syslog.transport {
                Transport::Udp(address) => format!("syslog at {address} over UDP"),
                Transport::Tcp(address) => format!("syslog at {address} over TCP"),
                Transport::Tls(address, _) => format!("syslog at {address} over TLS"),
                Transport::Stream(path) => {
                    let path = escaped(path.as_os_str().as_encoded_bytes());
                    format!("syslog at {path}, a stream")
                }
            },
            Way::Udp(udp) => {
                let all: Vec<String> = udp.addresses.iter().map(ToString::to_string).collect();
                format!("UDP to {}", all.join(", "))
            }
            Way::Http(http) => http.place(),
            Way::Graphite(graphite) => format!("Graphite at {}", graphite.address),
        }
    }
}

/// `type = "syslog"`, if it is not for datagrams on this host.
pub(super) fn syslog(section: &Section<'_>) -> Result<Option<Remote>, ConfigError> {
    let word = section.word("transport", &TRANSPORTS)?;
    if word == Some(Word::Stream) {
        return stream(section).map(Some);
    }
    let Some(address) = address::address(section)? else {
        for key in ["transport", "timeout_ms"].into_iter().chain(tls::KEYS) {
            if section.has(key) {
                return Err(section.error(format!(
                    "`{key}` is for syslog over the network only; write an `address` too, or remove it"
                )));
            }
        }
        return Ok(None);
    };
    if section.has("socket") {
        return Err(section.error(
            "syslog goes to an `address` or to a local `socket`, not to both; remove one, or write two [[output]]",
        ));
    }
    let Some(word) = word else {
        return Err(section.error(
            "syslog to an `address` needs a `transport`; write transport = \"tls\", or \"tcp\" or \"udp\"",
        ));
    };
    if word != Word::Tls {
        tls::refuse(section, "transport = \"tls\"")?;
    }
    let transport = match word {
        Word::Tls => Transport::Tls(address, tls::tls(section)?),
        Word::Udp => Transport::Udp(address),
        Word::Tcp | Word::Stream => Transport::Tcp(address),
    };
    syslog_by(section, transport).map(Some)
}

/// `transport = "stream"`.
fn stream(section: &Section<'_>) -> Result<Remote, ConfigError> {
    if section.has("address") {
        return Err(section.error(
            "transport = \"stream\" is for a `socket` on this host; for an `address` write \"tls\", \"tcp\" or \"udp\"",
        ));
    }
    tls::refuse(section, "transport = \"tls\"")?;
    let path = socket(section, SYSLOG_SOCKET)?;
    syslog_by(section, Transport::Stream(path))
}

fn syslog_by(section: &Section<'_>, transport: Transport) -> Result<Remote, ConfigError> {
    let syslog = Syslog {
        transport,
        facility: facility(section)?.unwrap_or(FACILITY_DEFAULT),
    };
    remote(section, Way::Syslog(Box::new(syslog)))
}

/// `type = "udp"`.
pub(super) fn udp(section: &Section<'_>) -> Result<Remote, ConfigError> {
    let addresses = address::addresses(section)?;
    if addresses.is_empty() {
        return Err(section.error(
            "an output of type \"udp\" needs `addresses`, as addresses = [\"192.0.2.1:5140\", \"[2001:db8::1]:5140\"]",
        ));
    }
    if addresses.len() > ADDRESSES_MAX {
        return Err(section.error(format!(
            "`addresses` has more than {ADDRESSES_MAX}; let one receiver pass on to others"
        )));
    }
    let bytes_max = section.integer("datagram_bytes", DATAGRAM_BYTES_MIN..=DATAGRAM_BYTES_MAX)?;
    let bytes_max = bytes_max.unwrap_or(DATAGRAM_BYTES_MAX);
    let udp = Udp {
        addresses,
        bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
    };
    remote(section, Way::Udp(udp))
}

/// `type = "http"`.
pub(super) fn http(section: &Section<'_>) -> Result<Remote, ConfigError> {
    let http = http::http(section)?;
    remote(section, Way::Http(Box::new(http)))
}

/// `type = "graphite"`.
pub(super) fn graphite(section: &Section<'_>) -> Result<Remote, ConfigError> {
    let Some(address) = address::address(section)? else {
        return Err(section.error("an output of type \"graphite\" needs an `address`, as address = \"graphite.example.org:2003\""));
    };
    for key in ["severity", "rules", "actions", "format", "burst"] {
        if section.has(key) {
            return Err(section.error(format!(
                "graphite takes counters, not events; remove `{key}`"
            )));
        }
    }
    let graphite = Graphite {
        address,
        prefix: name(section, "prefix", true)?.unwrap_or_else(|| "fimk".to_owned()),
        role: name(section, "role", false)?.unwrap_or_else(|| "unknown_role".to_owned()),
        interval_s: section
            .integer("interval_s", 1..=86_400)?
            .unwrap_or(INTERVAL_S_DEFAULT),
    };
    remote(section, Way::Graphite(Box::new(graphite)))
}

fn remote(section: &Section<'_>, way: Way) -> Result<Remote, ConfigError> {
    let timeout_ms = section.integer("timeout_ms", 100..=60_000)?;
    Ok(Remote {
        way,
        timeout_ms: timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT),
    })
}

/// What may stand in a name of Graphite's, whose parts are separated by dots.
fn name(
    section: &Section<'_>,
    key: &'static str,
    dots: bool,
) -> Result<Option<String>, ConfigError> {
    let Some(text) = section.string(key)? else {
        return Ok(None);
    };
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || dots && byte == b'.'
    };
    let parts = text.text.split('.').all(|part| !part.is_empty());
    if !parts || text.text.len() > NAME_BYTES_MAX || !text.text.bytes().all(plain) {
        let more = if dots { ", with dots between" } else { "" };
        return Err(section.error_at(
            text,
            format!("`{key}` is 1 to {NAME_BYTES_MAX} letters, digits, `-` and `_`{more}"),
        ));
    }
    Ok(Some(text.text.to_owned()))
}
