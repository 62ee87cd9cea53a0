//! `/etc/ld.so.preload`, as ld.so(8) describes it: libraries that every program loads before all others.
//!
//! They stand between blanks, line ends or colons; a hash sign begins a comment. The order counts. There is no line
//! that is not of the form. Limits: see [`crate::entries`].

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Format, Line},
};

/// The libraries.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Preload, content, tokenize)
}

struct Preload;

impl Format for Preload {
    fn ordered(&self) -> bool {
        true
    }

    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        let comment = line.iter().position(|&byte| byte == b'#');
        (comment.unwrap_or(line.len()), false)
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let separates = |byte: &u8| byte.is_ascii_whitespace() || *byte == b':';
        let libraries = line.text().split(separates).filter(|it| !it.is_empty());
        let entry = |library: &[u8]| Entry::new(line, &[b"preload ", library].concat(), []);
        entries.extend(libraries.map(entry));
        Ok(())
    }
}
