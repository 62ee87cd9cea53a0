//! sources.list(5): where packages come from, in either of its forms.
//!
//! Each combination of type, URI and suite is an entry (`deb http://deb.debian.org/debian stable`) with its
//! components and options; so a source is the same whichever form it has. The order counts, as apt prefers what
//! stands first. What is written in one line is here, stanzas are in `stanza`. Limits: see [`crate::entries`].

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line},
};

mod stanza;
mod word;

/// The sources.
pub type State = entries::State;

/// The form of a line each.
pub(crate) fn read_list(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(List, content, tokenize)
}

/// The form of stanzas, deb822(5).
pub(crate) fn read_stanzas(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(stanza::Stanzas::default(), content, tokenize)
}

/// Binary packages, and sources of them.
const TYPES: [&[u8]; 2] = [b"deb", b"deb-src"];

struct List;

impl Format for List {
    fn ordered(&self) -> bool {
        true
    }

    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        (word::comment(line).unwrap_or(line.len()), false)
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        let (kind, rest) = word::next(text)?;
        if !TYPES.contains(&&kind[..]) {
            return Err(Fault::Form);
        }
        let (options, rest) = options(rest)?;
        let (uri, rest) = word::next(rest)?;
        let (suite, rest) = word::next(rest)?;
        let components = word::all(rest)?;
        // A suite that is a path, with a slash at its end, has no components.
        if suite.is_empty() || components.is_empty() && !suite.ends_with(b"/") {
            return Err(Fault::Incomplete);
        }
        let fields = [
            (Field::Components, components.join(&b' ')),
            (Field::Options, word::all(options)?.join(&b' ')),
        ];
        let fields = fields.iter().filter(|(_, value)| !value.is_empty());
        // Quotes within a secret may have hidden what it is.
        entries.push(Entry {
            subject: line.command(&[kind, uri, suite].join(&b' ')),
            fields: fields
                .map(|(field, value)| (*field, line.command(value)))
                .collect(),
        });
        Ok(())
    }
}

/// What stands in brackets, and what follows.
fn options(text: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let Some(inner) = text.strip_prefix(b"[") else {
        return Ok((b"", text));
    };
    let end = inner.iter().position(|&byte| byte == b']');
    let (options, rest) = inner.split_at(end.ok_or(Fault::Incomplete)?);
    Ok((options, rest[1..].trim_ascii()))
}
