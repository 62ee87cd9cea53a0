//! `yum.conf` and the files of `yum.repos.d`, as dnf.conf(5) describes them: a section for each repository.
//!
//! Each value is an entry (`[updates] baseurl`). Lines that begin with blanks go on with the key before them, and are
//! values of it too. The last value of a key holds, so where one is said twice the order counts.
//!
//! Limits: see [`crate::entries`]; the name of a section has at most 128 bytes, that of a key 64.

use std::collections::BTreeSet;

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line, line::normal},
    systemd::section,
};

/// The values.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Yum::default(), content, tokenize)
}

const MAX_SECTION: usize = 128;
const MAX_KEY: usize = 64;

#[derive(Default)]
struct Yum {
    section: Vec<u8>,
    /// With its section; what an indented line goes on with.
    key: Vec<u8>,
    seen: BTreeSet<Vec<u8>>,
    repeated: bool,
}

impl Format for Yum {
    fn ordered(&self) -> bool {
        self.repeated
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if matches!(text.first(), None | Some(b'#' | b';')) {
            return Ok(());
        }
        let continues = line.text()[0].is_ascii_whitespace();
        if continues && !self.key.is_empty() {
            let value = normal(text);
            entries.push(Entry::new(line, &self.key, [(Field::Value, &value[..])]));
            self.repeated = true;
            return Ok(());
        }
        if text.starts_with(b"[") {
            self.section = section(text, MAX_SECTION)?;
            self.key.clear();
            return Ok(());
        }
        let equals = text.iter().position(|&byte| byte == b'=');
        let (key, value) = text.split_at(equals.ok_or(Fault::Form)?);
        let key = key.trim_ascii_end();
        if key.is_empty() || key.len() > MAX_KEY || key.contains(&0) {
            return Err(Fault::Form);
        }
        if self.section.is_empty() {
            return Err(Fault::Section);
        }
        self.key = [&self.section[..], b" ", &key.to_ascii_lowercase()].concat();
        let value = normal(&value[1..]);
        let value = if value.is_empty() {
            b"empty"
        } else {
            &value[..]
        };
        entries.push(Entry::new(line, &self.key, [(Field::Value, value)]));
        self.repeated |= !self.seen.insert(self.key.clone());
        Ok(())
    }
}
