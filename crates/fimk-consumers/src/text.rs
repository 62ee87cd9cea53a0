//! Any text: redacted lines. There is no format to know; comments, order and duplicates all count.
//!
//! Limits: the first 20,000 lines within the first MiB are kept, of the rest a count and a token.

use serde::{Deserialize, Serialize};

use crate::{
    Tokenize,
    lines::{self, Rest},
    pieces::{Piece, Pieces},
    redact::Redactor,
};

/// A text file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Without newlines; a carriage return before one belongs to the line.
    pub lines: Vec<Pieces>,
    /// The last kept line has its newline.
    pub newline: bool,
    /// What was not kept.
    pub rest: Option<Rest>,
}

impl State {
    /// Of what is not compared by line: only whether it differs, by what stands for it.
    pub(crate) fn without_lines(content: &[u8], tokenize: &dyn Tokenize) -> Self {
        Self {
            lines: Vec::new(),
            newline: false,
            rest: lines::rest(content, content, tokenize),
        }
    }

    pub(crate) fn has_no_lines(&self) -> bool {
        self.lines.is_empty() && self.rest.is_some()
    }

    /// The content as it was, if nothing of it was redacted or left out.
    pub(crate) fn content(&self) -> Option<Vec<u8>> {
        if self.rest.is_some() {
            return None;
        }
        let mut content = Vec::new();
        for line in &self.lines {
            for piece in &line.0 {
                match piece {
                    Piece::Text(text) => content.extend_from_slice(text.as_bytes()),
                    Piece::Bytes(bytes) => content.extend_from_slice(bytes),
                    Piece::Secret(_) => return None,
                }
            }
            content.push(b'\n');
        }
        if !self.newline {
            content.pop();
        }
        Some(content)
    }
}

/// A NUL anywhere, or bytes that are no text.
pub(crate) fn is_binary(content: &[u8]) -> bool {
    content.contains(&0) || is_no_text(content)
}

/// More than 30 % of bytes that are not UTF-8: each of them costs a piece of a line.
fn is_no_text(content: &[u8]) -> bool {
    let invalid: usize = content
        .utf8_chunks()
        .map(|chunk| chunk.invalid().len())
        .sum();
    invalid * 10 > content.len() * 3
}

/// Reads what a shell executes: it passes over NULs, and executes what stands beside bytes of any kind.
pub(crate) fn read_shell(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    if is_no_text(content) {
        return (State::without_lines(content, tokenize), true);
    }
    read(content, tokenize)
}

/// Reads text; the flag tells whether something was redacted, in what is kept or in the rest.
pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    let mut redactor = Redactor::default();
    let mut secrets = false;
    let (kept, rest) = lines::split(content);
    let lines = kept
        .iter()
        .map(|line| {
            let spans = redactor.spans(line);
            secrets |= !spans.is_empty();
            Pieces::new(line, &spans, tokenize)
        })
        .collect();
    secrets = secrets
        || rest
            .split(|&byte| byte == b'\n')
            .any(|line| !redactor.spans(line).is_empty());
    let state = State {
        lines,
        newline: content[..content.len() - rest.len()].ends_with(b"\n"),
        rest: lines::rest(content, rest, tokenize),
    };
    (state, secrets)
}
