//! `type = "http"`.

use std::path::PathBuf;

use super::{
    super::place::absolute,
    Address,
    tls::{self, Tls},
};
use crate::config::{
    ConfigError,
    error::shown,
    section::{Section, Text},
};

/// POST of batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where the server is.
    pub address: Address,
    /// With a slash before it, and what is asked behind it.
    pub path: String,
    /// None: not encrypted.
    pub tls: Option<Tls>,
    /// In the order of the file.
    pub headers: Vec<(String, String)>,
    /// Holds what `Authorization` has after [`Self::token_scheme`].
    pub token_file: Option<PathBuf>,
    /// `Bearer`, or another word that the server wants.
    pub token_scheme: String,
    /// How events are put together.
    pub body: HttpBody,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// Events in one POST at most.
    pub batch_events: usize,
    /// So long an event waits for others.
    pub batch_ms: u64,
}

/// `body`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpBody {
    /// One object a line.
    Ndjson,
    /// One array.
    Array,
}

const BODIES: [(&str, HttpBody); 2] = [("ndjson", HttpBody::Ndjson), ("array", HttpBody::Array)];

const URL_BYTES_MAX: usize = 2_048;
const HEADERS_MAX: usize = 32;
const HEADER_BYTES_MAX: usize = 4_096;

/// What fimk sets, or what would make another message of it.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "expect",
    "upgrade",
];

/// As many as are handed over at once.
const BATCH_EVENTS_MAX: u64 = 500;

const BATCH_MS_DEFAULT: u64 = 1_000;

impl Http {
    /// As it was written, but for a port that it says anyway, and without what is asked: that may be secret.
    pub fn place(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{scheme}://{}{path}", self.address)
    }
}

pub(super) fn http(section: &Section<'_>) -> Result<Http, ConfigError> {
    let Some(text) = section.string("url")? else {
        return Err(section.error(
            "an output of type \"http\" needs a `url`, as url = \"https://logs.example.org/fimk\"",
        ));
    };
    let (secure, address, path) = url(text.text).ok_or_else(|| {
        let message = format!(
            "`url` \"{}\" is none of http or https; write \"https://logs.example.org:8443/path\" in printable ASCII, without user and `#`",
            shown(text.text)
        );
        section.error_at(text, message)
    })?;
    let tls = if secure {
        Some(tls::tls(section)?)
    } else {
        tls::refuse(section, "a `url` with https")?;
        None
    };
    let headers = headers(section)?;
    let token_file = token_file(section, &headers)?;
    let secret = token_file.is_some() || headers.iter().any(is_credential);
    if secret && !secure && !address.is_own_host() {
        return Err(section.error_at(
            text,
            "a token would be sent over http, where everybody on the way reads it; write https, or remove `token_file` and the header",
        ));
    }
    let batch_events = section.integer("batch_events", 1..=BATCH_EVENTS_MAX)?;
    Ok(Http {
        address,
        path,
        tls,
        headers,
        token_scheme: token_scheme(section, token_file.is_some())?,
        token_file,
        body: section.word("body", &BODIES)?.unwrap_or(HttpBody::Ndjson),
        gzip: section.boolean("gzip")?.unwrap_or(false),
        batch_events: usize::try_from(batch_events.unwrap_or(BATCH_EVENTS_MAX))
            .unwrap_or(usize::MAX),
        batch_ms: section
            .integer("batch_ms", 0..=60_000)?
            .unwrap_or(BATCH_MS_DEFAULT),
    })
}

fn url(text: &str) -> Option<(bool, Address, String)> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&byte);
    if text.len() > URL_BYTES_MAX || !text.bytes().all(plain) {
        return None;
    }
    let (secure, port, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, 443, rest),
        (_, Some(rest)) => (false, 80, rest),
        _ => return None,
    };
    let (host, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let address = Address::parse(host, Some(port))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some((secure, address, format!("{slash}{path}")))
}

/// Whether whoever reads this on its way could write in our place.
fn is_credential((name, _): &(String, String)) -> bool {
    [
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
    ]
    .contains(&name.to_ascii_lowercase().as_str())
}

fn headers(section: &Section<'_>) -> Result<Vec<(String, String)>, ConfigError> {
    let texts = section.strings("headers")?;
    if texts.len() > HEADERS_MAX {
        return Err(section.error(format!("`headers` has more than {HEADERS_MAX}")));
    }
    texts
        .into_iter()
        .map(|text| header(section, text))
        .collect()
}

fn header(section: &Section<'_>, text: Text<'_>) -> Result<(String, String), ConfigError> {
    let wrong = |why: &str| section.error_at(text, format!("a header of `headers` {why}"));
    let parts = text.text.split_once(':');
    let (name, value) = parts.ok_or_else(|| wrong("is written as \"Name: value\""))?;
    let value = value.trim();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(wrong(
            "has a name that is none, as \"X-Scope-OrgID: fimk\" has",
        ));
    }
    if text.text.len() > HEADER_BYTES_MAX {
        return Err(wrong(&format!("is longer than {HEADER_BYTES_MAX} bytes")));
    }
    if !value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return Err(wrong("has a value that is not printable ASCII"));
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(wrong("is one that fimk sets itself; remove it"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn token_file(
    section: &Section<'_>,
    headers: &[(String, String)],
) -> Result<Option<PathBuf>, ConfigError> {
    let Some(text) = section.string("token_file")? else {
        return Ok(None);
    };
    let is_same = |(name, _): &(String, String)| name.eq_ignore_ascii_case("authorization");
    if headers.iter().any(is_same) {
        return Err(section.error_at(
            text,
            "`token_file` and a header Authorization say the same; remove one",
        ));
    }
    absolute(section, "token_file", text).map(Some)
}

fn token_scheme(section: &Section<'_>, has_token: bool) -> Result<String, ConfigError> {
    let Some(text) = section.string("token_scheme")? else {
        return Ok("Bearer".to_owned());
    };
    if !has_token {
        return Err(section.error_at(
            text,
            "`token_scheme` is for a token; write a `token_file` too, or remove it",
        ));
    }
    let fits = (1..=64).contains(&text.text.len()) && text.text.bytes().all(is_token);
    if !fits {
        return Err(section.error_at(
            text,
            "`token_scheme` is one word, as \"Bearer\" or \"Splunk\"",
        ));
    }
    Ok(text.text.to_owned())
}
