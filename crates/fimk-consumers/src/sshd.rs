//! `sshd_config(5)`: the directives that hold, and those of each `Match` block as a subject of their own.
//!
//! Keywords are known in any case and by their older names. Of most the first value holds: a later one of the same
//! block is told to be without effect. Of those that add up each value is an entry (`AllowUsers bob`). Where there are
//! `Include` or `Match`, the order counts as well. What a file includes is a file of its own; which value holds over
//! several files is not resolved here.
//!
//! Limits: see [`crate::entries`].

use std::collections::BTreeSet;

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line},
};

mod keywords;
mod words;

pub(crate) use words::values;

use keywords::Keyword;

/// The entries of an `sshd_config`.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Sshd::default(), content, tokenize)
}

/// A block is named by its criteria before each of its directives; of longer ones by their beginning.
const MAX_CRITERIA: usize = 128;

#[derive(Default)]
struct Sshd {
    /// `Match …: `, in a block.
    block: Vec<u8>,
    /// What has its value, with its block, in small letters. Blocks of the same criteria are one.
    seen: BTreeSet<Vec<u8>>,
    /// There is an `Include` or a `Match`.
    ordered: bool,
}

impl Format for Sshd {
    fn ordered(&self) -> bool {
        self.ordered
    }

    /// A word that begins with a hash sign begins a comment.
    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        (words::comment(line).unwrap_or(line.len()), false)
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let (keyword, arguments) = words::keyword(line.text())?;
        if keyword.is_empty() && arguments.is_empty() {
            return Ok(());
        }
        let keyword = Keyword::of(&keyword).ok_or(Fault::Form)?;
        let values = values(arguments)?;
        if values.is_empty() {
            return Err(Fault::Incomplete);
        }
        let values: Vec<Vec<u8>> = values.iter().map(|word| words::quoted(word)).collect();
        match keyword.name.as_slice() {
            b"Match" => self.begin(line, &values, entries),
            b"Include" => {
                self.ordered = true;
                self.each(line, &keyword, &values, entries);
            }
            _ if keyword.adds_up => self.each(line, &keyword, &values, entries),
            b"Subsystem" => {
                let name = [&keyword.name[..], &values[0]].join(&b' ');
                self.once(line, &name, &values[1..], entries);
            }
            name => self.once(line, name, &values, entries),
        }
        Ok(())
    }
}

impl Sshd {
    fn begin(&mut self, line: &Line<'_>, criteria: &[Vec<u8>], entries: &mut Vec<Entry>) {
        let criteria = criteria.join(&b' ');
        let subject = [b"Match ", &criteria[..]].concat();
        entries.push(Entry::new(line, &subject, []));
        self.block = if subject.len() > MAX_CRITERIA {
            let length = format!("… ({} bytes): ", subject.len());
            [&subject[..MAX_CRITERIA], length.as_bytes()].concat()
        } else {
            [&subject[..], b": "].concat()
        };
        self.ordered = true;
    }

    /// What is said once; a second time it has no effect.
    fn once(&mut self, line: &Line<'_>, name: &[u8], values: &[Vec<u8>], entries: &mut Vec<Entry>) {
        let mut subject = [&self.block, name].concat();
        if !self.seen.insert(subject.to_ascii_lowercase()) {
            subject.extend_from_slice(b" (repeated, without effect)");
        }
        let mut entry = Entry::new(line, &subject, []);
        if !values.is_empty() {
            // Quotes within a secret may have hidden what it is.
            let value = line.command(&values.join(&b' '));
            entry.fields.push((Field::Value, value));
        }
        entries.push(entry);
    }

    /// What adds up.
    fn each(
        &self,
        line: &Line<'_>,
        keyword: &Keyword,
        values: &[Vec<u8>],
        entries: &mut Vec<Entry>,
    ) {
        for value in values {
            let subject = [&self.block[..], &keyword.name, b" ", value].concat();
            entries.push(Entry::new(line, &subject, []));
        }
    }
}
