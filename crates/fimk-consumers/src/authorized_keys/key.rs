//! A public key as SSH encodes it: strings, each behind its length in 32 bits (RFC 4251 §5), the first of
//! which is the name of the key's type (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, and OpenSSH's
//! PROTOCOL.certkeys and PROTOCOL.u2f).

use base64::{Engine, engine::general_purpose};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Fault;

/// Names of types are at most so long (RFC 4250 §4.6.1).
const MAX_NAME: usize = 64;

/// The types that OpenSSH knows, and how many strings follow the name.
const TYPES: [(&str, usize); 8] = [
    ("ssh-rsa", 2),
    ("ssh-dss", 4),
    ("ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521", 2),
    ("ssh-ed25519", 1),
    ("sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
];
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// A public key or a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The name of its type. One that is not known yet is kept as it is.
    pub kind: String,
    /// SHA-256 of the key; of a certificate, that of the key which it certifies, as ssh-keygen(1) `-l` has it.
    pub fingerprint: [u8; 32],
    /// SHA-256 of the whole certificate, if it is one.
    pub certificate: Option<[u8; 32]>,
}

impl Key {
    /// From the two words of a line.
    pub(crate) fn parse(kind: &[u8], base64: &[u8]) -> Result<Self, Fault> {
        let kind = name(kind).ok_or(Fault::NoKey)?;
        let blob = decode(base64).ok_or(Fault::Base64)?;
        let mut rest = &blob[..];
        if string(&mut rest)? != kind.as_bytes() {
            return Err(Fault::Type);
        }
        let (fingerprint, certificate) = match Form::of(kind) {
            Form::Plain(strings) => {
                skip(&mut rest, strings)?;
                if !rest.is_empty() {
                    return Err(Fault::Trailing);
                }
                (sha256(&[&blob]), None)
            }
            Form::Certificate(plain, strings) => {
                // The nonce.
                string(&mut rest)?;
                let key = rest;
                skip(&mut rest, strings)?;
                let key = &key[..key.len() - rest.len()];
                (
                    sha256(&[&length(plain), plain.as_bytes(), key]),
                    Some(sha256(&[&blob])),
                )
            }
            Form::Unknown if rest.is_empty() => return Err(Fault::Short),
            Form::Unknown => (sha256(&[&blob]), None),
        };
        Ok(Self {
            kind: kind.to_owned(),
            fingerprint,
            certificate,
        })
    }
}

impl Key {
    /// Its fingerprint as OpenSSH prints it.
    pub fn shown(&self) -> String {
        shown(&self.fingerprint)
    }
}

/// As OpenSSH decodes it: white space within, such as a carriage return, counts for nothing.
fn decode(base64: &[u8]) -> Option<Vec<u8>> {
    let mut digits = base64.to_vec();
    digits.retain(|byte| !matches!(byte, b'\r' | 0x0b | 0x0c));
    general_purpose::STANDARD.decode(digits).ok()
}

/// Whether a word can be nothing but the name of a type.
pub(super) fn is_known(word: &[u8]) -> bool {
    name(word).is_some_and(|kind| !matches!(Form::of(kind), Form::Unknown))
}

/// A fingerprint as OpenSSH prints it.
pub(super) fn shown(fingerprint: &[u8; 32]) -> String {
    let digits = general_purpose::STANDARD_NO_PAD.encode(fingerprint);
    format!("SHA256:{digits}")
}

/// It is printed, so it must be printable.
fn name(word: &[u8]) -> Option<&str> {
    let name = str::from_utf8(word).ok()?;
    let fits = !name.is_empty() && name.len() <= MAX_NAME;
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte));
    (fits && plain).then_some(name)
}

/// What follows the name in a key of a type.
enum Form {
    Plain(usize),
    /// The type of the key certified and its strings, which stand behind a nonce.
    Certificate(&'static str, usize),
    Unknown,
}

impl Form {
    fn of(kind: &str) -> Self {
        let base = |name: &'static str| name.strip_suffix("@openssh.com").unwrap_or(name);
        let certified = kind.strip_suffix(CERTIFICATE);
        for (name, strings) in TYPES {
            if name == kind {
                return Self::Plain(strings);
            }
            if certified == Some(base(name)) {
                return Self::Certificate(name, strings);
            }
        }
        Self::Unknown
    }
}

/// Takes the first string.
fn string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let (length, behind) = rest.split_first_chunk().ok_or(Fault::Short)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Fault::Short)?;
    let (string, behind) = behind.split_at_checked(length).ok_or(Fault::Short)?;
    *rest = behind;
    Ok(string)
}

fn skip(rest: &mut &[u8], strings: usize) -> Result<(), Fault> {
    (0..strings).try_for_each(|_| string(rest).map(|_| ()))
}

/// Names have at most [`MAX_NAME`] bytes.
fn length(name: &str) -> [u8; 4] {
    u32::try_from(name.len()).unwrap_or_default().to_be_bytes()
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
