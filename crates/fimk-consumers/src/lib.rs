//! What watched files say: bytes → [`State`], two states → what differs, in the words of the file.
//!
//! Everything here is pure and total: no I/O, no clock, no panic on any bytes, time linear in the input.
//! Secrets are replaced by keyed [`Token`]s while parsing, so that a [`State`] may be stored and a
//! [`Comparison`] printed: a changed secret shows as changed, and never as itself.

use serde::{Deserialize, Serialize};

/// Stands for a secret: equal secrets give equal tokens, and without the key a token tells nothing.
/// Compared and stored, never printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token(pub [u8; 16]);

/// Makes tokens; the analyzer's is an HMAC with the host's digest key.
pub trait Tokenize {
    /// The token of these bytes.
    fn token(&self, secret: &[u8]) -> Token;
}

/// One difference in words: `user alice` / `uid` / `1000` → `0`. A side that does not exist is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What differs: `user alice`, `line 7`, `file`.
    pub subject: String,
    /// Which property of it; empty for the thing as a whole (it came or went).
    pub field: String,
    /// Before; absent when there was none.
    pub before: Option<String>,
    /// After; absent when there is none.
    pub after: Option<String>,
}

/// What a consumer understood of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Placeholder until the consumers exist.
    Binary,
}
