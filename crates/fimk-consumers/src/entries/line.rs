//! Lines as a parser sees them: joined where one continues another, without comments, and without secrets.
//!
//! A secret is hidden behind a mark (NUL, number, NUL), which no line has of itself. So a parser may cut and join
//! as it likes, and in the end each mark becomes the token of its secret.

use std::ops::Range;

use super::{Format, MAX_LINE};
use crate::{
    Token, Tokenize,
    pieces::{Piece, Pieces},
    redact,
};

/// The index of the first line, the text of all without comments, and the comments.
type Joined<'a> = (usize, Vec<u8>, Vec<&'a [u8]>);

/// Lines that continue one another as one.
pub(super) fn joined<'a>(format: &mut impl Format, lines: &[&'a [u8]]) -> Vec<Joined<'a>> {
    let mut all: Vec<Joined<'a>> = Vec::new();
    let mut continues = false;
    for (index, line) in lines.iter().enumerate() {
        if !continues {
            all.push((index, Vec::new(), Vec::new()));
        }
        let Some((_, text, comments)) = all.last_mut() else {
            break;
        };
        let (end, more) = format.extent(line, continues);
        let end = end.min(line.len());
        text.extend_from_slice(&line[..end]);
        comments.extend(Some(&line[end..]).filter(|comment| !comment.is_empty()));
        // One that never ends must not hide the rest of the file.
        continues = more && text.len() <= MAX_LINE;
        // A comment that stands between has no backslash.
        if continues && line[..end].trim_ascii_end().ends_with(b"\\") {
            text.truncate(text.trim_ascii_end().len().saturating_sub(1));
            text.push(b' ');
        }
    }
    all
}

/// A line whose secrets are hidden.
pub(crate) struct Line<'a> {
    text: Vec<u8>,
    tokens: Vec<Token>,
    tokenize: &'a dyn Tokenize,
}

impl<'a> Line<'a> {
    pub(super) fn new(text: &[u8], secrets: &[Range<usize>], tokenize: &'a dyn Tokenize) -> Self {
        let mut line = Self {
            text: Vec::with_capacity(text.len()),
            tokens: Vec::new(),
            tokenize,
        };
        let mut at = 0;
        for span in secrets {
            line.text.extend_from_slice(&text[at..span.start]);
            let mark = format!("\0{}\0", line.tokens.len());
            line.text.extend_from_slice(mark.as_bytes());
            line.tokens.push(tokenize.token(&text[span.clone()]));
            at = span.end;
        }
        line.text.extend_from_slice(&text[at..]);
        line
    }

    pub(super) fn has_secrets(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// What is to be parsed.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// A part of the line, or several put together.
    pub(crate) fn pieces(&self, part: &[u8]) -> Pieces {
        self.filled(part, |clear| Pieces::new(clear, &[], self.tokenize))
    }

    /// A part that may be more of a secret by itself than as a part of its line: a command.
    pub(crate) fn command(&self, part: &[u8]) -> Pieces {
        self.filled(part, |clear| redact::text(clear, self.tokenize))
    }

    fn filled(&self, part: &[u8], clear: impl Fn(&[u8]) -> Pieces) -> Pieces {
        let mut all = Pieces::default();
        // Between each two NULs stands the number of a secret.
        for (index, part) in part.split(|&byte| byte == 0).enumerate() {
            let number = str::from_utf8(part).ok().filter(|_| index % 2 == 1);
            let token = number.and_then(|number| self.tokens.get(number.parse::<usize>().ok()?));
            match token {
                Some(token) => all.0.push(Piece::Secret(*token)),
                None => all.0.extend(clear(part).0),
            }
        }
        all
    }
}

/// Parts of a line, as far as a separator reaches that is neither quoted nor escaped by a backslash.
pub(crate) fn split_at_any<'a>(text: &'a [u8], separators: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(end) = find_any(rest, separators) {
        parts.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
    parts.push(rest);
    parts
}

/// The first of these bytes that is neither in double quotes nor behind a backslash.
pub(crate) fn find_any(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let (mut quoted, mut at) = (false, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => quoted = !quoted,
            byte if !quoted && wanted.contains(&byte) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Words between blanks, as one blank parts them.
pub(crate) fn normal(text: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = words(text).collect();
    words.join(&b' ')
}

/// Words between blanks.
pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// The first word, and what follows the blanks behind it.
pub(crate) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace);
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_ascii())
}
