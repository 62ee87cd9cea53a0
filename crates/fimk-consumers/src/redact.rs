//! Which parts of a string are secrets, by what they look like: on every string stored or printed.
//!
//! Known by shape (`shapes`): hashes of crypt(5) and LDAP, URL credentials, tokens of well-known services.
//! Known by name (`values`): `password = …`, `"api_key": …`, `Authorization: …`. Known by the program
//! (`command`): `usermod -p …`. Known by the configuration (`patterns`). Known by what surrounds them (here): the lines of private keys (RFC 7468,
//! OpenSSH, PGP, `PuTTY`).
//!
//! In doubt it is a secret: a redacted change is still seen as a change. A traditional DES hash, thirteen
//! characters of letters and digits, is known only behind a colon or an option; alone it is a word.

use std::{ops::Range, sync::Arc};

use crate::{Tokenize, pieces::Pieces, redact::spans::Spans};

mod command;
mod patterns;
mod shapes;
mod spans;
mod values;

pub use patterns::{PATTERN_BYTES_MAX, PATTERNS_MAX, Patterns, configure};

/// What stands for a secret in strings that are printed but never compared.
const REDACTED: &str = "[redacted]";

/// Redacts a string that is to be stored and compared.
pub fn text(bytes: &[u8], tokenize: &dyn Tokenize) -> Pieces {
    Pieces::new(bytes, &spans_of(bytes), tokenize)
}

/// Redacts lines of the form `name="value"`: for what the name says of the value, and for what the value is
/// by itself, such as a command or an assignment.
pub(crate) fn options(lines: &[u8], tokenize: &dyn Tokenize) -> Pieces {
    let mut spans = Spans::default();
    spans.extend(spans_of(lines));
    let mut start = 0;
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let mut quotes = (0..line.len()).filter(|&at| line[at] == b'"');
        if let (Some(first), Some(last)) = (quotes.next(), quotes.next_back()) {
            let value = start + first + 1;
            let found = spans_of(&line[first + 1..last]).into_iter();
            spans.extend(
                found
                    .map(|span| span.start + value..span.end + value)
                    .collect(),
            );
        }
        start += line.len();
    }
    Pieces::new(lines, &spans.merged(), tokenize)
}

/// Redacts a string that is to be printed.
pub fn line(text: &str) -> String {
    replace(text, &spans_of(text.as_bytes()))
}

/// Redacts what is called so, and is already redacted for what it is by itself.
pub fn value(name: &str, text: &str) -> String {
    if values::is_secret_name(name.as_bytes()) && !text.is_empty() {
        REDACTED.to_owned()
    } else {
        text.to_owned()
    }
}

/// Redacts the arguments of a process, the program's name first.
pub fn arguments(args: &[String]) -> Vec<String> {
    let words: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
    let mut by_program = vec![Spans::default(); args.len()];
    command::mark(&words, &mut |index, span| by_program[index].push(span));
    args.iter()
        .zip(by_program)
        .map(|(arg, mut spans)| {
            spans.extend(spans_of(arg.as_bytes()));
            replace(arg, &spans.merged())
        })
        .collect()
}

fn replace(text: &str, secrets: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut position = 0;
    for secret in secrets {
        out.push_str(&String::from_utf8_lossy(
            &text.as_bytes()[position..secret.start],
        ));
        out.push_str(REDACTED);
        position = secret.end;
    }
    out.push_str(&String::from_utf8_lossy(&text.as_bytes()[position..]));
    out
}

/// The secrets of a string of any number of lines.
fn spans_of(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut redactor = Redactor::default();
    let mut all = Vec::new();
    let mut start = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let spans = redactor.spans(crate::lines::without_newline(line));
        all.extend(
            spans
                .into_iter()
                .map(|span| span.start + start..span.end + start),
        );
        start += line.len();
    }
    all
}

/// Redacts lines for what is configured only: they may have been recorded before it was.
pub fn configured_lines(text: &str) -> String {
    let Some(patterns) = patterns::configured() else {
        return text.to_owned();
    };
    let redacted = text.split('\n').map(|line| {
        let mut spans = Spans::default();
        patterns.find(line.as_bytes(), &mut spans);
        replace(line, &spans.merged())
    });
    redacted.collect::<Vec<_>>().join("\n")
}

/// Finds the secrets of a text line by line.
#[derive(Debug)]
pub(crate) struct Redactor {
    patterns: Option<Arc<Patterns>>,
    /// The lines before began a private key that has not ended.
    in_key: bool,
}

impl Default for Redactor {
    fn default() -> Self {
        Self {
            patterns: patterns::configured(),
            in_key: false,
        }
    }
}

impl Redactor {
    /// The secrets of the next line: in order, disjoint, not empty.
    pub(crate) fn spans(&mut self, line: &[u8]) -> Vec<Range<usize>> {
        let mut spans = Spans::default();
        if !self.key_lines(line, &mut spans) {
            shapes::find(line, &mut spans);
            if values::account_password(line, &mut spans).is_none() {
                values::find(line, &mut spans);
            }
            command::find(line, &mut spans);
        }
        if let Some(patterns) = &self.patterns {
            patterns.find(line, &mut spans);
        }
        spans.merged()
    }

    /// Marks what the line holds of private keys; whether that is all of it.
    fn key_lines(&mut self, line: &[u8], spans: &mut Spans) -> bool {
        let mut position = 0;
        if self.in_key {
            if let Some(end) = find(line, b"END ") {
                spans.push(trimmed(line, 0..end));
                self.in_key = false;
                position = end;
            } else if is_key_body(line) {
                spans.push(trimmed(line, 0..line.len()));
                return true;
            } else {
                // Not a line of a key: one that never ends must not hide the rest of the file.
                self.in_key = false;
            }
        }
        while let Some(begin) = find(&line[position..], b"BEGIN ") {
            let label = position + begin + b"BEGIN ".len();
            position = label;
            // Labels are short: "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK".
            let near = &line[label..line.len().min(label + 48)];
            let Some(key) = find(near, b"PRIVATE KEY") else {
                continue;
            };
            let body = label + key + b"PRIVATE KEY".len();
            let end = find(&line[body..], b"END ").map(|end| body + end);
            self.in_key = end.is_none();
            position = end.unwrap_or(line.len());
            let start = body + label_end(&line[body..position]);
            spans.push(trimmed(line, start..position));
        }
        if line.starts_with(b"Private-Lines:") {
            self.in_key = true;
        }
        false
    }
}

/// Length of what ends a label: `-----`, ` BLOCK-----`.
fn label_end(rest: &[u8]) -> usize {
    let block = if rest.starts_with(b" BLOCK") { 6 } else { 0 };
    let dashes = |byte: &&u8| matches!(byte, b'-' | b' ');
    block + rest[block..].iter().take_while(dashes).count()
}

/// Without white space, and the dashes of an end marker.
fn trimmed(line: &[u8], range: Range<usize>) -> Range<usize> {
    let part = &line[range.clone()];
    let noise = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'-';
    let (Some(first), Some(last)) = (
        part.iter().position(|byte| !noise(byte)),
        part.iter().rposition(|byte| !noise(byte)),
    ) else {
        return 0..0;
    };
    range.start + first..range.start + last + 1
}

/// Base64, a header (`Proc-Type: …`) or nothing; quoted or commented out as source code would have it.
fn is_key_body(line: &[u8]) -> bool {
    let decoration = |byte: &u8| byte.is_ascii_whitespace() || b"#*\"'>|,;`\\".contains(byte);
    let mut body = line;
    while let [rest @ .., last] = body {
        if !decoration(last) && !rest.ends_with(b"\\") {
            break;
        }
        body = rest;
    }
    let start = body
        .iter()
        .position(|byte| !decoration(byte))
        .unwrap_or(body.len());
    let body = &body[start..];
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    let word = body
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-')
        .count();
    body.iter().all(base64) || word > 0 && body[word..].starts_with(b": ")
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
