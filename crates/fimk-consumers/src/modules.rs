//! modprobe.d(5): what is done when a kernel module is asked for. modules-load.d(5) and modules(5): which are loaded
//! at boot.
//!
//! Names of modules are known with underscores, however they are written. In modprobe.d a line ends with the first
//! newline that no backslash precedes, comments too, and what is not understood is malformed here though modprobe
//! skips it. The order counts in neither. Limits: see [`crate::entries`].

use crate::{
    Tokenize,
    entries::{
        self, Entry, Fault, Field, Format, Line,
        line::{normal, word},
    },
};

/// What is said of modules.
pub type State = entries::State;

/// modprobe.d(5)
pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Modprobe, content, tokenize)
}

/// modules-load.d(5)
pub(crate) fn read_list(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Modules, content, tokenize)
}

struct Modprobe;

impl Format for Modprobe {
    fn ordered(&self) -> bool {
        false
    }

    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        (line.len(), line.ends_with(b"\\"))
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            return Ok(());
        }
        let (command, rest) = word(text);
        let (module, rest) = word(rest);
        let needs_more = match command {
            b"blacklist" => false,
            b"alias" | b"options" | b"install" | b"remove" | b"softdep" | b"weakdep" => true,
            _ => return Err(Fault::Form),
        };
        if module.is_empty() || needs_more && rest.is_empty() {
            return Err(Fault::Incomplete);
        }
        let subject = [command, b" ", &underscored(module)[..]].concat();
        let mut entry = Entry::new(line, &subject, []);
        match command {
            b"install" | b"remove" => entry.fields.push((Field::Value, line.command(rest))),
            b"alias" => entry
                .fields
                .push((Field::Value, line.pieces(&underscored(rest)))),
            _ if rest.is_empty() => {}
            _ => entry
                .fields
                .push((Field::Value, line.pieces(&normal(rest)))),
        }
        entries.push(entry);
        Ok(())
    }
}

struct Modules;

impl Format for Modules {
    fn ordered(&self) -> bool {
        false
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if matches!(text.first(), None | Some(b'#' | b';')) {
            return Ok(());
        }
        let (module, arguments) = word(text);
        let subject = [b"module ", &underscored(module)[..]].concat();
        let fields = [(Field::Arguments, &normal(arguments)[..])];
        entries.push(Entry::new(line, &subject, fields));
        Ok(())
    }
}

/// Outside of brackets a dash is an underscore.
fn underscored(name: &[u8]) -> Vec<u8> {
    let mut in_brackets = false;
    let byte = |&byte: &u8| {
        in_brackets = byte == b'[' || in_brackets && byte != b']';
        if byte == b'-' && !in_brackets {
            b'_'
        } else {
            byte
        }
    };
    name.iter().map(byte).collect()
}
