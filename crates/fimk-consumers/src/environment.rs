//! `/etc/environment`, as `pam_env(8)` reads it, and the files of environment.d(5): variables and their values.
//!
//! A comment has a line of its own. Of a variable that is set twice the later value holds, and others may be made of
//! it, so then the order counts. Limits: see [`crate::entries`].

use std::collections::BTreeSet;

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line},
};

/// The variables.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Environment::default(), content, tokenize)
}

#[derive(Default)]
struct Environment {
    seen: BTreeSet<Vec<u8>>,
    repeated: bool,
}

impl Format for Environment {
    fn ordered(&self) -> bool {
        self.repeated
    }

    fn extent(&mut self, line: &[u8], continues: bool) -> (usize, bool) {
        let is_comment = !continues && line.trim_ascii_start().starts_with(b"#");
        (line.len(), !is_comment && line.ends_with(b"\\"))
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            return Ok(());
        }
        let text = text.strip_prefix(b"export ").unwrap_or(text);
        let equals = text.iter().position(|&byte| byte == b'=');
        let (name, value) = text.split_at(equals.ok_or(Fault::Form)?);
        let name = name.trim_ascii();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if name.is_empty() || !name.iter().all(is_name) {
            return Err(Fault::Form);
        }
        let value = match value[1..].trim_ascii() {
            [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
            value => value,
        };
        let value = if value.is_empty() { b"empty" } else { value };
        let subject = [b"environment ", name].concat();
        entries.push(Entry::new(line, &subject, [(Field::Value, value)]));
        self.repeated |= !self.seen.insert(subject);
        Ok(())
    }
}
