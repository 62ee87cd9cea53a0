//! sysctl.conf(5) and sysctl.d(5): what the kernel is told at boot.
//!
//! A variable is known by its name with dots, however it is written. A minus sign before it, by which an error
//! counts for nothing, is told; alone it excludes the variable from what patterns say. Of a variable that is set
//! twice the later value holds, so then the order counts, as it does where a pattern may mean it too.
//!
//! Limits: see [`crate::entries`].

use std::collections::BTreeSet;

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line, line::normal},
};

/// The variables.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Sysctl::default(), content, tokenize)
}

#[derive(Default)]
struct Sysctl {
    seen: BTreeSet<Vec<u8>>,
    ordered: bool,
}

impl Format for Sysctl {
    fn ordered(&self) -> bool {
        self.ordered
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if matches!(text.first(), None | Some(b'#' | b';')) {
            return Ok(());
        }
        let (lenient, text) = match text.strip_prefix(b"-") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let equals = text.iter().position(|&byte| byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&text[..at], normal(&text[at + 1..])),
            None if lenient => (text, b"excluded from patterns".to_vec()),
            None => return Err(Fault::Form),
        };
        let name = name.trim_ascii();
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return Err(Fault::Form);
        }
        let lenient = if lenient && equals.is_some() {
            &b"errors count for nothing"[..]
        } else {
            b""
        };
        let subject = [b"sysctl ", &dotted(name)[..]].concat();
        let value = if value.is_empty() {
            b"empty"
        } else {
            &value[..]
        };
        let fields = [(Field::Value, value), (Field::Options, lenient)];
        entries.push(Entry::new(line, &subject, fields));
        let is_pattern = name.iter().any(|byte| b"*?[".contains(byte));
        self.ordered |= is_pattern || !self.seen.insert(subject);
        Ok(())
    }
}

/// Whichever separator comes first separates; the other one is then a part of a name.
fn dotted(name: &[u8]) -> Vec<u8> {
    let first = name.iter().find(|byte| b"./".contains(byte));
    let swap = |byte: &u8| match (first, byte) {
        (Some(b'/'), b'/') => b'.',
        (Some(b'/'), b'.') => b'/',
        (_, byte) => *byte,
    };
    name.iter().map(swap).collect()
}
