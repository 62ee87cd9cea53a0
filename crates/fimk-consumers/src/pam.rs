//! pam.d(5): the modules that a service asks, in order.
//!
//! A module is known by what it is asked for and its name (`auth pam_unix.so`); so is what is included
//! (`auth include common-auth`, `@include common-auth`). What is included is a file of its own. Which module was asked
//! before decides what the next one means, so the order counts. Any word may stand in brackets, as the library cuts them.
//!
//! Limits: see [`crate::entries`].

use crate::{
    Tokenize,
    entries::{
        self, Entry, Fault, Field, Format, Line,
        line::{normal, word},
    },
};

/// The stack of a service.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Pam, content, tokenize)
}

struct Pam;

const TYPES: [&[u8]; 4] = [b"auth", b"account", b"password", b"session"];

impl Format for Pam {
    fn ordered(&self) -> bool {
        true
    }

    /// A comment is not continued, and ends what is.
    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        match line.iter().position(|&byte| byte == b'#') {
            Some(comment) => (comment, false),
            None => (line.len(), line.trim_ascii_end().ends_with(b"\\")),
        }
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        let (kind, rest) = token(text)?;
        if kind == b"@include" {
            return include(line, &[b"@include ", rest].concat(), rest, entries);
        }
        let silent = kind.starts_with(b"-");
        let kind = kind.strip_prefix(b"-").unwrap_or(kind).to_ascii_lowercase();
        if !TYPES.contains(&&kind[..]) {
            return Err(Fault::Form);
        }
        let (control, rest) = token(rest)?;
        let (module, arguments) = token(rest)?;
        if control.eq_ignore_ascii_case(b"include") || control.eq_ignore_ascii_case(b"substack") {
            let subject = [&kind[..], &control.to_ascii_lowercase(), module].join(&b' ');
            return include(line, &subject, module, entries);
        }
        if module.is_empty() || control.is_empty() {
            return Err(Fault::Incomplete);
        }
        let options: &[u8] = if silent {
            b"none if it is missing"
        } else {
            b""
        };
        let mut control = normal(control);
        if control.contains(&b'=') {
            control = [b"[", &control[..], b"]"].concat();
        }
        let fields = [
            (Field::Control, &control[..]),
            (Field::Arguments, &normal(arguments)),
            (Field::Log, options),
        ];
        entries.push(Entry::new(line, &[&kind[..], module].join(&b' '), fields));
        Ok(())
    }
}

fn include(
    line: &Line<'_>,
    subject: &[u8],
    path: &[u8],
    entries: &mut Vec<Entry>,
) -> Result<(), Fault> {
    if path.is_empty() {
        return Err(Fault::Incomplete);
    }
    entries.push(Entry::new(line, subject, []));
    Ok(())
}

/// A word, or what stands in brackets, without these; and what follows it.
fn token(text: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let Some(inner) = text.strip_prefix(b"[") else {
        return Ok(word(text));
    };
    let end = inner.iter().position(|&byte| byte == b']');
    let (token, rest) = inner.split_at(end.ok_or(Fault::Incomplete)?);
    Ok((token, rest[1..].trim_ascii()))
}
