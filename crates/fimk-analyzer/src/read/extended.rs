//! What an object has besides its attributes and flags: access lists, capabilities, extended attributes.
//!
//! Attributes of the namespace `trusted` are neither listed nor given without `CAP_SYS_ADMIN` (xattr(7)).

use std::os::fd::{AsRawFd, OwnedFd};

use fimk_consumers::redact;
use fimk_core::{
    path::escaped,
    record::{Extended, Xattr, XattrValue},
};
use rustix::{
    fs::{fgetxattr, flistxattr, getxattr, listxattr},
    io::Errno,
};
use sha2::{Digest, Sha256};

use super::{acl, capabilities};
use crate::key::DigestKey;

/// The kernel's own limits on a list of names and on a value: `XATTR_LIST_MAX` and `XATTR_SIZE_MAX` of
/// linux/limits.h.
const LIST_BYTES_MAX: usize = 64 << 10;
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Attributes looked at: tools set a handful, and each is stored and compared. Those of the system come first,
/// so that nobody hides one behind many of their own; the others are counted.
const XATTRS_MAX: usize = 64;

/// A longer value is told by length and digest: it is not written to be read by people.
const TEXT_BYTES_MAX: usize = 256;

const CAPABILITIES: &[u8] = b"security.capability";
const ACL: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// By what extended attributes are asked for.
enum By<'a> {
    /// The object, open for reading.
    Content(&'a OwnedFd),
    /// The name of a mere place, which the calls that take a descriptor refuse. It costs a walk through /proc each time.
    Place(String),
}

impl By<'_> {
    fn list(&self, list: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Content(content) => flistxattr(content, list),
            Self::Place(path) => listxattr(path.as_str(), list),
        }
    }

    fn get(&self, name: &[u8], value: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Content(content) => fgetxattr(content, name, value),
            Self::Place(path) => getxattr(path.as_str(), name, value),
        }
    }
}

/// Of an object that was opened as a place, a link too, but for its flags; none where the file system does not say. `content`:
/// the same object, if it was opened for reading.
pub(super) fn of(place: &OwnedFd, content: Option<&OwnedFd>, key: &DigestKey) -> Option<Extended> {
    let by = content.map_or_else(
        || By::Place(format!("/proc/self/fd/{}", place.as_raw_fd())),
        By::Content,
    );
    let mut extended = Extended::default();
    let mut names = names(&by)?;
    extended.more = u32::try_from(names.len().saturating_sub(XATTRS_MAX)).unwrap_or(u32::MAX);
    names.truncate(XATTRS_MAX);
    if names.is_empty() {
        return Some(extended);
    }
    let mut buffer = vec![0; VALUE_BYTES_MAX];
    for name in names {
        let value = match by.get(&name, &mut buffer) {
            Ok(length) => buffer.get(..length),
            // It went meanwhile.
            Err(Errno::NODATA) => continue,
            Err(_) => None,
        };
        add(&mut extended, &name, value, key);
    }
    Some(extended)
}

/// Names of attributes, those that only the system sets first; none at all where they cannot be listed.
fn names(by: &By<'_>) -> Option<Vec<Vec<u8>>> {
    // Most objects have none, or a label.
    let (mut short, mut long) = ([0; 256], Vec::new());
    let list = match by.list(&mut short) {
        Ok(length) => short.get(..length)?,
        Err(Errno::OPNOTSUPP) => &[],
        Err(Errno::RANGE) => {
            long.resize(LIST_BYTES_MAX, 0);
            let length = by.list(&mut long).ok()?;
            long.get(..length)?
        }
        Err(_) => return None,
    };
    let names = list.split(|&byte| byte == 0);
    let mut names: Vec<Vec<u8>> = names
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    names.sort_unstable_by(|a, b| (a.starts_with(b"user."), a).cmp(&(b.starts_with(b"user."), b)));
    Some(names)
}

fn add(extended: &mut Extended, name: &[u8], value: Option<&[u8]>, key: &DigestKey) {
    match (name, value) {
        (CAPABILITIES, Some(value)) if extended.capabilities.is_none() => {
            extended.capabilities = Some(capabilities::words(value));
        }
        (ACL, Some(value)) if acl::entries(value).is_some() => {
            extended.acl = acl::entries(value).unwrap_or_default();
        }
        (DEFAULT_ACL, Some(value)) if acl::entries(value).is_some() => {
            extended.default_acl = acl::entries(value).unwrap_or_default();
        }
        _ => {
            let (shown, secret) = shown(name, &extended.xattrs);
            // What differs in the secret only is to differ.
            let hidden = if secret { name } else { b"" };
            let value = value.map(|value| {
                let mut described = described((hidden, value), key);
                described.text = described.text.map(|text| redact::value(&shown, &text));
                described
            });
            extended.xattrs.push(Xattr { name: shown, value });
        }
    }
}

/// A name without what is a secret in it, and whether something is; the second that looks the same has a number.
fn shown(name: &[u8], others: &[Xattr]) -> (String, bool) {
    let escaped = escaped(name);
    let line = redact::line(&escaped);
    if line == escaped {
        return (escaped, false);
    }
    let taken = |name: &String| others.iter().any(|it| it.name == *name);
    let numbered = (2..=XATTRS_MAX).map(|number| format!("{line} {number}"));
    let mut names = std::iter::once(line.clone()).chain(numbered);
    (names.find(|name| !taken(name)).unwrap_or(line), true)
}

/// `hidden`: what is not told of its name.
fn described((hidden, value): (&[u8], &[u8]), key: &DigestKey) -> XattrValue {
    let digest = Sha256::new().chain_update(hidden).chain_update(value);
    XattrValue {
        bytes: u32::try_from(value.len()).unwrap_or(u32::MAX),
        digest: key.keyed_digest(&digest.finalize().into()),
        text: text(value),
    }
}

/// A short text, which may end in a NUL as labels do.
fn text(value: &[u8]) -> Option<String> {
    let text = str::from_utf8(value.strip_suffix(b"\0").unwrap_or(value)).ok()?;
    let plain = text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
    plain.then(|| redact::line(&escaped(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_whose_name_says_that_it_is_a_secret_is_none_of_the_reader_s() {
        let key = DigestKey::from_bytes([7; 32]);
        let told = |name: &str, value: &str| {
            let mut extended = Extended::default();
            add(&mut extended, name.as_bytes(), Some(value.as_bytes()), &key);
            extended.xattrs.remove(0).value.and_then(|it| it.text)
        };
        let secret = Some("[redacted]".to_owned());
        assert_eq!(told("user.db_password", "hunter2 or so"), secret);
        assert_eq!(told("user.token", "'a' b\0"), secret);
        assert_eq!(told("user.note", "hunter2"), Some("hunter2".to_owned()));
        assert_eq!(
            told("user.note", "token=a"),
            Some("token=[redacted]".to_owned())
        );
        assert_eq!(told("user.password_file", "/a"), Some("/a".to_owned()));
    }

    #[test]
    fn a_secret_in_a_name_is_replaced_and_another_one_in_its_place_differs() {
        let with = |names: &[&str]| {
            let mut extended = Extended::default();
            for name in names {
                let key = DigestKey::from_bytes([7; 32]);
                add(&mut extended, name.as_bytes(), Some(b"1"), &key);
            }
            extended.xattrs
        };
        let one = with(&["user.note", "user.password=one", "user.password=two"]);
        let shown: Vec<&str> = one.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(
            shown,
            [
                "user.note",
                "user.password=[redacted]",
                "user.password=[redacted] 2"
            ]
        );
        let other = with(&["user.note", "user.password=1", "user.password=2"]);
        let same: Vec<bool> = one
            .iter()
            .zip(&other)
            .map(|(one, other)| one == other)
            .collect();
        assert_eq!(same, [true, false, false]);
    }
}
