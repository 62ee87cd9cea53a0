//! `host:port`.

use std::{fmt, net::Ipv6Addr};

use crate::config::{
    ConfigError,
    error::shown,
    section::{Section, Text},
};

/// Of a name, RFC 1035.
const HOST_BYTES_MAX: usize = 253;

/// A host by name or number, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name, or a number of IPv4 or IPv6 without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// `host:port`, where an IPv6 number stands in brackets; without a port, it is this one.
    pub(super) fn parse(text: &str, port: Option<u16>) -> Option<Self> {
        let (host, given) = match text.strip_prefix('[') {
            Some(rest) => {
                let (number, rest) = rest.split_once(']')?;
                number.parse::<Ipv6Addr>().ok()?;
                let given = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':')?),
                };
                (number, given)
            }
            None => match text.split_once(':') {
                Some((host, given)) => (host, Some(given)),
                None => (text, None),
            },
        };
        let port = match given {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            Some(_) => return None,
            None => port?,
        };
        let known = host.contains(':') || is_host(host);
        (known && port != 0).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether nothing that is sent there leaves this host.
    pub(super) fn is_own_host(&self) -> bool {
        let number = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || number.is_ok_and(|number| number.is_loopback())
    }
}

/// Letters, digits, `-`, `_` and dots between: a name, or a number of IPv4.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= HOST_BYTES_MAX
        && text
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(plain))
}

/// `address`.
pub(super) fn address(section: &Section<'_>) -> Result<Option<Address>, ConfigError> {
    let text = section.string("address")?;
    text.map(|text| one(section, "address", text)).transpose()
}

/// `addresses`.
pub(super) fn addresses(section: &Section<'_>) -> Result<Vec<Address>, ConfigError> {
    let texts = section.strings("addresses")?.into_iter();
    texts.map(|text| one(section, "addresses", text)).collect()
}

fn one(section: &Section<'_>, key: &str, text: Text<'_>) -> Result<Address, ConfigError> {
    Address::parse(text.text, None).ok_or_else(|| {
        let message = format!(
            "`{key}` \"{}\" is no host and port; write \"logs.example.org:6514\", \"192.0.2.1:6514\" or \"[2001:db8::1]:6514\"",
            shown(text.text)
        );
        section.error_at(text, message)
    })
}
