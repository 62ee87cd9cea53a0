//! The password field of passwd(5) and shadow(5), by the words of crypt(5).
//!
//! The token of a hash leaves out what stands before it (`!`, `*`), so that locking an account is told
//! from changing its password. A field of unknown form is a secret as well.

use serde::{Deserialize, Serialize};

use crate::{Token, Tokenize, pieces::Numbers};

/// What a password field says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Password {
    /// `x` in passwd: shadow has it.
    InShadow,
    /// Nothing: whoever asks is let in.
    Empty,
    /// Marks only (`*`, `!`, `!!`, …): there is no password.
    None(String),
    /// A hash.
    Set {
        /// How it was made.
        algorithm: Algorithm,
        /// Stands for it.
        token: Token,
    },
    /// A hash behind marks, which no password can match.
    Locked {
        /// The marks.
        marks: String,
        /// How the hash was made.
        algorithm: Algorithm,
        /// Stands for the hash without the marks.
        token: Token,
    },
}

/// How a hash was made, by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Algorithm {
    Yescrypt,
    GostYescrypt,
    Scrypt,
    Sha512,
    Sha256,
    Bcrypt,
    Md5,
    SunMd5,
    Sha1,
    Nt,
    Des,
    BsdiDes,
    Unknown,
}

const PREFIXES: [(&[u8], Algorithm); 14] = [
    (b"$y$", Algorithm::Yescrypt),
    (b"$gy$", Algorithm::GostYescrypt),
    (b"$7$", Algorithm::Scrypt),
    (b"$6$", Algorithm::Sha512),
    (b"$5$", Algorithm::Sha256),
    (b"$2a$", Algorithm::Bcrypt),
    (b"$2b$", Algorithm::Bcrypt),
    (b"$2x$", Algorithm::Bcrypt),
    (b"$2y$", Algorithm::Bcrypt),
    (b"$1$", Algorithm::Md5),
    (b"$md5$", Algorithm::SunMd5),
    (b"$md5,", Algorithm::SunMd5),
    (b"$sha1$", Algorithm::Sha1),
    (b"$3$", Algorithm::Nt),
];

/// From the strongest, as crypt(5) orders them.
const BY_STRENGTH: [&[Algorithm]; 9] = [
    &[
        Algorithm::Yescrypt,
        Algorithm::GostYescrypt,
        Algorithm::Scrypt,
    ],
    &[Algorithm::Bcrypt],
    &[Algorithm::Sha512],
    &[Algorithm::Sha256],
    &[Algorithm::Sha1],
    &[Algorithm::SunMd5],
    &[Algorithm::Md5],
    &[Algorithm::BsdiDes],
    &[Algorithm::Des, Algorithm::Nt],
];

impl Algorithm {
    /// What is of unknown form is neither weaker nor stronger.
    pub(crate) fn is_weaker_than(self, other: Self) -> bool {
        let place = |it| BY_STRENGTH.iter().position(|alike| alike.contains(&it));
        matches!((place(self), place(other)), (Some(this), Some(that)) if this > that)
    }

    fn of(hash: &[u8]) -> Self {
        let plain = |bytes: &[u8]| bytes.iter().all(|&byte| is_crypt64(byte));
        let prefix = PREFIXES.iter().find(|(prefix, _)| hash.starts_with(prefix));
        match (prefix, hash) {
            (Some((_, algorithm)), _) => *algorithm,
            (None, [b'_', rest @ ..]) if rest.len() == 19 && plain(rest) => Self::BsdiDes,
            (None, hash) if hash.len() == 13 && plain(hash) => Self::Des,
            _ => Self::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Yescrypt => "yescrypt",
            Self::GostYescrypt => "gost-yescrypt",
            Self::Scrypt => "scrypt",
            Self::Sha512 => "SHA-512",
            Self::Sha256 => "SHA-256",
            Self::Bcrypt => "bcrypt",
            Self::Md5 => "MD5",
            Self::SunMd5 => "Sun MD5",
            Self::Sha1 => "SHA-1",
            Self::Nt => "NT",
            Self::Des => "DES",
            Self::BsdiDes => "BSDi DES",
            Self::Unknown => "unknown form",
        }
    }
}

/// The alphabet of traditional hashes.
pub(crate) fn is_crypt64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/'
}

/// What other systems and older tools write in place of a hash.
const WORDS_FOR_NONE: [&[u8]; 4] = [b"LK*", b"NP*", b"NP", b"LK"];

impl Password {
    pub(crate) fn parse(field: &[u8], tokenize: &dyn Tokenize) -> Self {
        let marks = field
            .iter()
            .take_while(|byte| matches!(byte, b'!' | b'*'))
            .count();
        let (marks, hash) = field.split_at(marks);
        let marks_text = || String::from_utf8_lossy(marks).into_owned();
        if field.is_empty() {
            Self::Empty
        } else if hash.is_empty() {
            Self::None(marks_text())
        } else if WORDS_FOR_NONE.contains(&hash) {
            Self::None(String::from_utf8_lossy(field).into_owned())
        } else {
            let (algorithm, token) = (Algorithm::of(hash), tokenize.token(hash));
            if marks.is_empty() {
                Self::Set { algorithm, token }
            } else {
                Self::Locked {
                    marks: marks_text(),
                    algorithm,
                    token,
                }
            }
        }
    }

    /// Whether a hash was redacted.
    pub(crate) fn is_secret(&self) -> bool {
        self.token().is_some()
    }

    /// Whether a password may match it.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self, Self::Set { algorithm, .. } if *algorithm != Algorithm::Unknown)
    }

    fn token(&self) -> Option<Token> {
        match self {
            Self::Set { token, .. } | Self::Locked { token, .. } => Some(*token),
            Self::InShadow | Self::Empty | Self::None(_) => None,
        }
    }

    /// By itself.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::InShadow => "in shadow".into(),
            Self::Empty => "empty (no password needed)".into(),
            Self::None(_) => "none (cannot log in by password)".into(),
            Self::Set { algorithm, .. } => format!("set, {}", algorithm.name()),
            Self::Locked { .. } => "locked".into(),
        }
    }

    fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Set { algorithm, .. } | Self::Locked { algorithm, .. } => Some(*algorithm),
            Self::InShadow | Self::Empty | Self::None(_) => None,
        }
    }

    /// Whether both are hashes, and this is the weaker one.
    pub(crate) fn is_weaker_than(&self, other: &Self) -> bool {
        let pair = self.algorithm().zip(other.algorithm());
        pair.is_some_and(|(this, that)| this.is_weaker_than(that))
    }

    fn numbered(&self, numbers: &mut Numbers) -> String {
        match self {
            Self::Set { algorithm, token } => {
                format!("{} ({})", numbers.name(*token), algorithm.name())
            }
            Self::Locked {
                algorithm, token, ..
            } => format!("locked, {} ({})", numbers.name(*token), algorithm.name()),
            _ => self.words(),
        }
    }

    /// The two sides of a change: hashes are numbered when there is one on each side and they differ.
    pub(crate) fn change(&self, after: &Self, numbers: &mut Numbers) -> (String, String) {
        let both = self.token().is_some() && after.token().is_some();
        if both && self.token() != after.token() {
            let before = self.numbered(numbers);
            let weaker = if after.is_weaker_than(self) {
                ", weaker than before"
            } else {
                ""
            };
            return (before, after.numbered(numbers) + weaker);
        }
        let (before_words, after_words) = (self.words(), after.words());
        if before_words == after_words {
            return (self.marked(), after.marked());
        }
        (before_words, after_words)
    }

    /// With the marks, where these alone differ. A line's length bounds them; a few tell enough.
    fn marked(&self) -> String {
        match self {
            Self::None(marks) | Self::Locked { marks, .. } => {
                let shown: String = marks.chars().take(8).collect();
                format!(
                    "{}, marked {shown} ({} characters)",
                    self.words(),
                    marks.len()
                )
            }
            _ => self.words(),
        }
    }
}
