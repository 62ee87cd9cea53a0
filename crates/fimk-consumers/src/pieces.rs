//! Redacted strings: stored in pieces, so that two of them can be told apart without their secrets, and
//! printed with numbers in place of tokens and nothing that could forge a line or drive a terminal.

use std::{collections::BTreeMap, fmt::Write, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{Token, Tokenize};

/// A part of a redacted string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Piece {
    /// Text in clear.
    Text(String),
    /// Bytes in clear that are not UTF-8.
    Bytes(Vec<u8>),
    /// Stands for a secret.
    Secret(Token),
}

/// A string whose secrets are tokens. Equal strings give equal pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pieces(pub Vec<Piece>);

impl Pieces {
    /// Cuts the spans, which are in order and disjoint, out of the string.
    pub(crate) fn new(bytes: &[u8], secrets: &[Range<usize>], tokenize: &dyn Tokenize) -> Self {
        let mut pieces = Vec::new();
        let mut position = 0;
        for secret in secrets {
            push_clear(&bytes[position..secret.start], &mut pieces);
            pieces.push(Piece::Secret(tokenize.token(&bytes[secret.clone()])));
            position = secret.end;
        }
        push_clear(&bytes[position..], &mut pieces);
        Self(pieces)
    }

    /// Of bytes that hold no secret.
    pub(crate) fn clear(bytes: &[u8]) -> Self {
        let mut pieces = Vec::new();
        push_clear(bytes, &mut pieces);
        Self(pieces)
    }

    /// Whether something was redacted.
    pub fn has_secrets(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Secret(_)))
    }

    /// The lines of a string of several, none for an empty string.
    pub(crate) fn lines(&self) -> Vec<Self> {
        let mut lines = Vec::new();
        let mut line = Self::default();
        for piece in &self.0 {
            let Piece::Text(text) = piece else {
                line.0.push(piece.clone());
                continue;
            };
            for (index, part) in text.split('\n').enumerate() {
                if index > 0 {
                    lines.push(std::mem::take(&mut line));
                }
                line.push_text(part);
            }
        }
        if !self.0.is_empty() {
            lines.push(line);
        }
        lines
    }

    /// Appends text and another string.
    pub(crate) fn extend(&mut self, between: &str, more: &Self) {
        self.push_text(between);
        self.0.extend_from_slice(&more.0);
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push(Piece::Text(text.to_owned()));
        }
    }

    /// For a person; at most `limit` bytes and what tells that more was there.
    pub(crate) fn render(&self, numbers: &mut Numbers, limit: usize) -> Rendered {
        let mut out = Rendered::default();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => text
                    .chars()
                    .for_each(|character| out.push(&escape(character), limit)),
                Piece::Bytes(bytes) => bytes
                    .iter()
                    .for_each(|byte| out.push(&format!("\\x{byte:02x}"), limit)),
                Piece::Secret(token) => out.push(&numbers.name(*token), limit),
            }
        }
        if out.cut {
            // Infallible: writing to a string.
            let _ = write!(out.text, "… ({} bytes)", out.bytes);
        }
        out
    }
}

/// A rendered string.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub text: String,
    /// Something was left out.
    pub cut: bool,
    /// Length it would have had.
    bytes: usize,
}

impl Rendered {
    fn push(&mut self, part: &str, limit: usize) {
        self.bytes += part.len();
        self.cut |= self.bytes > limit;
        if !self.cut {
            self.text.push_str(part);
        }
    }
}

fn push_clear(bytes: &[u8], pieces: &mut Vec<Piece>) {
    for chunk in bytes.utf8_chunks() {
        if !chunk.valid().is_empty() {
            pieces.push(Piece::Text(chunk.valid().to_owned()));
        }
        if !chunk.invalid().is_empty() {
            pieces.push(Piece::Bytes(chunk.invalid().to_vec()));
        }
    }
}

/// Numbers of tokens in one comparison, by appearance: equal tokens have equal numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbers(BTreeMap<Token, usize>);

impl Numbers {
    /// What is printed in place of the secret.
    pub(crate) fn name(&mut self, token: Token) -> String {
        let next = self.0.len() + 1;
        format!("[redacted {}]", self.0.entry(token).or_insert(next))
    }
}

/// Whether a character is printed as it is: no control, no line separator, nothing that hides or changes
/// the direction (Unicode bidirectional and zero-width characters).
pub(crate) fn is_plain(character: char) -> bool {
    let hides = matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !(character.is_control() || hides)
}

/// A character as printed: what is not plain by its bytes, but for the tab.
fn escape(character: char) -> String {
    if character == '\t' || is_plain(character) {
        return character.to_string();
    }
    let mut utf8 = [0; 4];
    let mut escaped = String::new();
    for byte in character.encode_utf8(&mut utf8).bytes() {
        // Infallible: writing to a string.
        let _ = write!(escaped, "\\x{byte:02x}");
    }
    escaped
}
