//! `authorized_keys`, as sshd(8) describes it: `[options] type base64 [comment]`, one key a line.
//!
//! A key is known by its fingerprint. Where it stands counts for nothing, but that several lines may have
//! the same key, of which each may let somebody in. Comments and blank lines are no keys, and a key that is
//! commented out is none; that something of the kind changed is said in one difference for the file. Every
//! other line is named by number and length: sshd skips it today.
//!
//! Public keys are no secrets. Options and comments may hold some, and are redacted.
//!
//! Limits: as for text, the first 20,000 lines within the first MiB. sshd(8) speaks of 8 kilobytes for a
//! line, but reads it by getline(3), of any length: here a line of more than 64 KiB counts as malformed. At
//! most 256 bytes of options or comment are printed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Difference, Token, Tokenize,
    lines::{self, Rest},
    others::{self, Malformed},
    pieces::{Numbers, Pieces},
    redact::{self, Redactor},
    table::MAX_FIELD,
};

mod key;
mod options;

pub use key::Key;
pub use options::Options;

/// A key of 16,384 bits and a page of options have room in it many times.
const MAX_LINE: usize = 64 << 10;

/// The lines of an `authorized_keys` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The keys, in order.
    pub keys: Vec<Entry>,
    /// Lines that are neither a key nor a comment.
    pub malformed: Vec<Malformed<Fault>>,
    /// Stands for the content as it is.
    pub whole: Token,
    /// What was not kept.
    pub rest: Option<Rest>,
}

/// A line with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// What is allowed to whoever has it, and from where.
    pub options: Options,
    /// What follows the key.
    pub comment: Pieces,
}

/// Why a line is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Fault {
    TooLong,
    Nul,
    Quote,
    NoKey,
    Base64,
    Type,
    Short,
    Trailing,
}

impl others::Fault for Fault {
    fn words(self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::Nul => "has NUL bytes",
            Self::Quote => "a quote does not end",
            Self::NoKey => "no key",
            Self::Base64 => "the key is not base64",
            Self::Type => "the key is of another type than its name says",
            Self::Short => "the key is cut short",
            Self::Trailing => "the key has too many bytes",
        }
    }
}

/// Parses a file; the flag tells whether something was redacted.
pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    let (kept, rest) = lines::split(content);
    let mut state = State {
        keys: Vec::new(),
        malformed: Vec::new(),
        whole: tokenize.token(content),
        rest: lines::rest(content, rest, tokenize),
    };
    let mut secrets = !rest.is_empty();
    let mut comments = Redactor::default();
    for (index, line) in kept.iter().enumerate() {
        match row(line, tokenize) {
            Ok(Some(entry)) => {
                secrets |= entry.options.has_secrets() || entry.comment.has_secrets();
                state.keys.push(entry);
            }
            // Nothing of a comment is kept, but its digest would allow guessing.
            Ok(None) => secrets |= !comments.spans(line).is_empty(),
            Err(fault) => {
                secrets = true;
                let malformed = Malformed::new(index, line, fault, tokenize);
                state.malformed.push(malformed);
            }
        }
    }
    (state, secrets)
}

/// The key of a line, if it is neither blank nor a comment.
fn row(line: &[u8], tokenize: &dyn Tokenize) -> Result<Option<Entry>, Fault> {
    let text = line.trim_ascii();
    if text.first().is_none_or(|&byte| byte == b'#') {
        return Ok(None);
    }
    if line.len() > MAX_LINE {
        return Err(Fault::TooLong);
    }
    if line.contains(&0) {
        return Err(Fault::Nul);
    }
    // As sshd does it: what does not begin with a key begins with options.
    let (options, (key, comment)) = match key_and_comment(text) {
        Ok(found) => (&[][..], found),
        Err(fault) if key::is_known(word(text).0) => return Err(fault),
        Err(_) => {
            let (options, rest) = text.split_at(options::end(text).ok_or(Fault::Quote)?);
            (options, key_and_comment(rest.trim_ascii_start())?)
        }
    };
    Ok(Some(Entry {
        key,
        options: Options::parse(options, tokenize),
        comment: redact::text(comment, tokenize),
    }))
}

fn key_and_comment(text: &[u8]) -> Result<(Key, &[u8]), Fault> {
    let (kind, rest) = word(text);
    let (base64, comment) = word(rest);
    if base64.is_empty() {
        return Err(Fault::NoKey);
    }
    Ok((Key::parse(kind, base64)?, comment))
}

/// The first word and what follows the blanks behind it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (word, rest) = text.split_at(text.iter().position(blank).unwrap_or(text.len()));
    (word, rest.trim_ascii_start())
}

impl State {
    /// For a comparison with something else.
    pub(crate) fn describe(&self) -> String {
        format!("{} keys", self.keys.len())
    }
}

/// Everything a new file brings.
pub(crate) fn created(after: &State) -> Vec<Difference> {
    let nothing = State {
        keys: Vec::new(),
        malformed: Vec::new(),
        whole: after.whole,
        rest: None,
    };
    compare(&nothing, after)
}

/// What differs between two states of a file.
pub(crate) fn compare(before: &State, after: &State) -> Vec<Difference> {
    let mut numbers = Numbers::default();
    let mut changes = keys(before, after, &mut numbers);
    changes.extend(others::malformed(
        &before.malformed,
        &after.malformed,
        &mut numbers,
    ));
    changes.extend(lines::beyond(before.rest.as_ref(), after.rest.as_ref()));
    if changes.is_empty() && before.whole != after.whole {
        changes.push(Difference::of_file(
            "layout",
            "only comments, blanks or the order of lines differ",
        ));
    }
    changes
}

type Fingerprint = [u8; 32];

/// All lines of each key.
type Lines<'a> = BTreeMap<&'a Fingerprint, Vec<&'a Entry>>;

/// With the keys in order of appearance.
fn by_fingerprint(state: &State) -> (Lines<'_>, Vec<&Fingerprint>) {
    let mut entries = Lines::new();
    let mut order = Vec::new();
    for entry in &state.keys {
        let lines = entries.entry(&entry.key.fingerprint).or_default();
        if lines.is_empty() {
            order.push(&entry.key.fingerprint);
        }
        lines.push(entry);
    }
    (entries, order)
}

fn keys(before: &State, after: &State, numbers: &mut Numbers) -> Vec<Difference> {
    let ((old, old_order), (new, new_order)) = (by_fingerprint(before), by_fingerprint(after));
    let come = new_order.into_iter().filter(|key| !old.contains_key(key));
    let mut changes = Vec::new();
    for key in old_order.into_iter().chain(come) {
        let [old, new] = [&old, &new].map(|side| side.get(key).map_or(&[][..], Vec::as_slice));
        of_key(key, old, new, numbers, &mut changes);
    }
    changes
}

fn of_key(
    key: &Fingerprint,
    old: &[&Entry],
    new: &[&Entry],
    numbers: &mut Numbers,
    changes: &mut Vec<Difference>,
) {
    let mut push = |field: &str, before, after| {
        changes.push(Difference {
            subject: format!("key {}", key::shown(key)),
            field: field.into(),
            before,
            after,
        });
    };
    if let (Some(old), Some(new)) = (old.first(), new.first()) {
        for (field, before, after) in old.changes(new, numbers) {
            push(field, before, after);
        }
    } else {
        let before = old.first().map(|entry| entry.summary(numbers));
        let after = new.first().map(|entry| entry.summary(numbers));
        push("", before, after);
    }
    if old.get(1..).unwrap_or(&[]) != new.get(1..).unwrap_or(&[]) {
        let (before, after) = (further(old, numbers), further(new, numbers));
        push("duplicate", before, after);
    }
}

/// The lines of a key behind its first.
fn further(entries: &[&Entry], numbers: &mut Numbers) -> Option<String> {
    let further = entries.get(1..).filter(|further| !further.is_empty())?;
    let shown = further.iter().take(4).map(|entry| entry.summary(numbers));
    let shown: Vec<String> = shown.collect();
    Some(format!("{} more: {}", further.len(), shown.join("; ")))
}

impl Entry {
    /// `ssh-ed25519, alice@host, options no-pty`
    fn summary(&self, numbers: &mut Numbers) -> String {
        let kind = Some(self.key.kind.clone());
        let parts = [kind, said(&self.comment, numbers)];
        let options = self.options.words(numbers);
        let parts: Vec<String> = parts.into_iter().flatten().chain([options]).collect();
        parts.join(", ")
    }

    /// Field, before and after of each that differs.
    fn changes(
        &self,
        after: &Self,
        numbers: &mut Numbers,
    ) -> Vec<(&'static str, Option<String>, Option<String>)> {
        let mut changes = Vec::new();
        if self.key.kind != after.key.kind {
            let kinds = [self, after].map(|entry| Some(entry.key.kind.clone()));
            let [before, after] = kinds;
            changes.push(("type", before, after));
        }
        if self.key.certificate != after.key.certificate {
            let [before, after] =
                [self, after].map(|entry| entry.key.certificate.as_ref().map(key::shown));
            changes.push(("certificate", before, after));
        }
        if self.options != after.options {
            let (before, after) = self.options.change(&after.options, numbers);
            changes.push(("options", before, after));
        }
        if self.comment != after.comment {
            changes.push((
                "comment",
                said(&self.comment, numbers),
                said(&after.comment, numbers),
            ));
        }
        changes
    }
}

/// A text; an empty one is absent.
fn said(text: &Pieces, numbers: &mut Numbers) -> Option<String> {
    Some(text.render(numbers, MAX_FIELD).text).filter(|text| !text.is_empty())
}
