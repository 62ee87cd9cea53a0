//! Units, drop-ins and settings, as systemd.syntax(7) describes them: sections, and what is assigned to each key.
//!
//! Each assignment is an entry (`[Service] ExecStart`). Some keys are lists, to which each line adds; of others the
//! last value holds. Which is which differs from version to version and is not known here: all are told. An empty
//! value drops what was said before, in this file or in those that it is dropped in beside, and is told as such.
//! Where a key is said more than once the order counts.
//!
//! A comment is a line of its own and may stand between lines that continue one another. Limits: see
//! [`crate::entries`]; the name of a section has at most 128 bytes.

use std::collections::BTreeSet;

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line},
};

/// The assignments.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Systemd::default(), content, tokenize)
}

/// It is repeated with each of its keys.
const MAX_SECTION: usize = 128;

/// What an empty value is told as.
pub(crate) const EMPTIED: &str = "(nothing: what was said before is dropped)";

#[derive(Default)]
struct Systemd {
    /// With its brackets; empty before the first.
    section: Vec<u8>,
    /// What has a value.
    seen: BTreeSet<Vec<u8>>,
    /// Something is said more than once, or emptied.
    ordered: bool,
}

impl Format for Systemd {
    fn ordered(&self) -> bool {
        self.ordered
    }

    fn extent(&mut self, line: &[u8], continues: bool) -> (usize, bool) {
        if is_comment(line.trim_ascii_start()) {
            return (0, continues);
        }
        let backslashes = line.iter().rev().take_while(|&&byte| byte == b'\\');
        (line.len(), backslashes.count() % 2 == 1)
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        if text.starts_with(b"[") {
            self.section = section(text, MAX_SECTION)?;
            return Ok(());
        }
        let equals = text.iter().position(|&byte| byte == b'=');
        let (key, value) = text.split_at(equals.ok_or(Fault::Form)?);
        let (key, value) = (key.trim_ascii_end(), value[1..].trim_ascii_start());
        if key.is_empty() {
            return Err(Fault::Form);
        }
        if self.section.is_empty() {
            return Err(Fault::Section);
        }
        let subject = [&self.section[..], b" ", key].concat();
        let said = if value.is_empty() {
            line.pieces(EMPTIED.as_bytes())
        } else {
            line.command(value)
        };
        let mut entry = Entry::new(line, &subject, []);
        entry.fields.push((Field::Value, said));
        entries.push(entry);
        self.ordered |= value.is_empty() || !self.seen.insert(subject);
        Ok(())
    }
}

fn is_comment(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'#' | b';'))
}

/// `[Name]` as it is repeated: short, and without a secret, for that is known in its own line only.
pub(crate) fn section(text: &[u8], longest: usize) -> Result<Vec<u8>, Fault> {
    match text {
        [b'[', .., b']'] if text.contains(&0) => Err(Fault::Form),
        [b'[', _, .., b']'] if text.len() > longest => Err(Fault::TooLong),
        [b'[', _, .., b']'] => Ok(text.to_vec()),
        _ => Err(Fault::Incomplete),
    }
}
