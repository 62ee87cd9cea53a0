//! Paths as the kernel has them: any bytes but NUL.

use std::{
    ffi::OsStr,
    fmt::{self, Write as _},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An absolute path, shared and cheap to clone. Not necessarily UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BytePath(Arc<[u8]>);

impl BytePath {
    /// From its bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// For the standard library and system calls.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// This path with one more name.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if bytes.last() != Some(&b'/') {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self(bytes.into())
    }

    /// The directory it is in; none for `/`.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|&byte| byte == b'/')?;
        match (slash, self.0.len()) {
            (0, 1) => None,
            (0, _) => Some(Self::new(b"/")),
            _ => Some(Self::new(&self.0[..slash])),
        }
    }

    /// The last name; empty for `/`.
    pub fn name(&self) -> &[u8] {
        let slash = self
            .0
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |at| at + 1);
        &self.0[slash..]
    }

    /// Whether it is `other` or lies below it.
    pub fn is_in(&self, other: &Self) -> bool {
        let (this, other) = (self.bytes(), other.bytes());
        other == b"/"
            || this.starts_with(other) && (this.len() == other.len() || this[other.len()] == b'/')
    }

    /// Readable and unambiguous: UTF-8 as it is, but control characters, line separators, backslashes
    /// and invalid bytes as `\xNN`.
    pub fn escaped(&self) -> String {
        escaped(&self.0)
    }

    /// Whether [`Self::escaped`] had to change anything, that is, whether it is not the path itself.
    pub fn needs_escape(&self) -> bool {
        self.escaped().as_bytes() != &*self.0
    }
}

/// See [`BytePath::escaped`].
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || matches!(character, '\\' | '\u{2028}' | '\u{2029}') {
                let mut buffer = [0; 4];
                push_hex(&mut out, character.encode_utf8(&mut buffer).as_bytes());
            } else {
                out.push(character);
            }
        }
        push_hex(&mut out, chunk.invalid());
    }
    out
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

impl fmt::Display for BytePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.escaped())
    }
}

impl fmt::Debug for BytePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.escaped())
    }
}

impl Serialize for BytePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for BytePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Self(bytes.into()))
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_with_the_same_beginning_is_not_inside() {
        let etc = BytePath::new(b"/etc");
        assert!(BytePath::new(b"/etc").is_in(&etc));
        assert!(BytePath::new(b"/etc/passwd").is_in(&etc));
        assert!(!BytePath::new(b"/etcetera").is_in(&etc));
        assert!(etc.is_in(&BytePath::new(b"/")));
    }

    #[test]
    fn parents_and_names_meet_in_join() {
        for path in [&b"/a"[..], b"/a/b", b"/a/b c/\xff"] {
            let path = BytePath::new(path);
            assert_eq!(path.parent().expect("has one").join(path.name()), path);
        }
        assert_eq!(BytePath::new(b"/").parent(), None);
    }

    #[test]
    fn odd_bytes_are_escaped_without_loss_of_a_line() {
        assert_eq!(
            BytePath::new(b"/a\nb\x1b[31m\xff\\\xc3\xa9").to_string(),
            "/a\\x0ab\\x1b[31m\\xff\\x5cé"
        );
        assert!(!BytePath::new("/plain/é".as_bytes()).needs_escape());
    }
}
