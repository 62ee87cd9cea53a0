//! ld.so.conf, as ldconfig(8) reads it: the directories in which programs find their libraries.
//!
//! A directory has a line of its own, a hash sign begins a comment, `include` names further files. `hwcap` has no
//! effect today and is an entry like any other. The order counts. Limits: see [`crate::entries`].

use crate::{
    Tokenize,
    entries::{
        self, Entry, Fault, Format, Line,
        line::{word, words},
    },
};

/// The directories.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(LibraryPath, content, tokenize)
}

struct LibraryPath;

impl Format for LibraryPath {
    fn ordered(&self) -> bool {
        true
    }

    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        let comment = line.iter().position(|&byte| byte == b'#');
        (comment.unwrap_or(line.len()), false)
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        let (first, rest) = word(text);
        match first {
            b"" => {}
            b"include" if rest.is_empty() => return Err(Fault::Incomplete),
            b"include" => entries.extend(
                words(rest).map(|pattern| Entry::new(line, &[b"include ", pattern].concat(), [])),
            ),
            _ if text.starts_with(b"/") => {
                let subject = [b"library path ", text].concat();
                entries.push(Entry::new(line, &subject, []));
            }
            b"hwcap" => entries.push(Entry::new(line, text, [])),
            _ => return Err(Fault::Form),
        }
        Ok(())
    }
}
