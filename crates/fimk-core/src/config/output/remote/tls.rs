//! What TLS needs: whom to trust, who we are, and what the receiver must be called.

use std::path::PathBuf;

use super::super::place::absolute;
use crate::config::{ConfigError, error::shown, section::Section};

/// The keys of it.
pub(super) const KEYS: [&str; 4] = ["tls_ca", "tls_certificate", "tls_key", "tls_name"];

/// Files that are read when a connection is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates that are trusted, in PEM; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Our own certificate and those between, in PEM, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// What the receiver's certificate must name; none: the host of the address.
    pub name: Option<String>,
}

pub(super) fn tls(section: &Section<'_>) -> Result<Tls, ConfigError> {
    let own = match (file(section, "tls_certificate")?, file(section, "tls_key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            return Err(section.error(
                "`tls_certificate` and `tls_key` belong together; write both, or remove the one",
            ));
        }
    };
    Ok(Tls {
        ca: file(section, "tls_ca")?,
        own,
        name: name(section)?,
    })
}

/// Where there is no TLS; `how` says what would make it so.
pub(super) fn refuse(section: &Section<'_>, how: &str) -> Result<(), ConfigError> {
    match KEYS.iter().find(|key| section.has(key)) {
        Some(key) => Err(section.error(format!(
            "`{key}` is for TLS only; write {how}, or remove it"
        ))),
        None => Ok(()),
    }
}

fn file(section: &Section<'_>, key: &str) -> Result<Option<PathBuf>, ConfigError> {
    let text = section.string(key)?;
    text.map(|text| absolute(section, key, text)).transpose()
}

fn name(section: &Section<'_>) -> Result<Option<String>, ConfigError> {
    let Some(text) = section.string("tls_name")? else {
        return Ok(None);
    };
    let is_name = super::Address::parse(text.text, Some(1)).is_some() && !text.text.contains(':');
    if !is_name {
        let message = format!(
            "`tls_name` \"{}\" is no host's name, as \"logs.example.org\"",
            shown(text.text)
        );
        return Err(section.error_at(text, message));
    }
    Ok(Some(text.text.to_owned()))
}
