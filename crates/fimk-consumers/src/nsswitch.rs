//! nsswitch.conf(5): where each database (users, groups, hosts …) is looked up.
//!
//! The services of a database are its value; their order decides. Of a database that is named twice the C library
//! takes one line or the other, depending on its version, so then the order of lines counts too.
//!
//! Names are letters, digits, `_`, `-` and `.`; what is not is malformed. Limits: see [`crate::entries`].

use std::collections::BTreeSet;

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line, line::normal},
};

/// The databases.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Nsswitch::default(), content, tokenize)
}

#[derive(Default)]
struct Nsswitch {
    seen: BTreeSet<Vec<u8>>,
    repeated: bool,
}

impl Format for Nsswitch {
    /// `passwd:` is none here, and names of services are none.
    const HAS_SECRETS: bool = false;

    fn ordered(&self) -> bool {
        self.repeated
    }

    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        let comment = line.iter().position(|&byte| byte == b'#');
        (comment.unwrap_or(line.len()), false)
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        let colon = text.iter().position(|&byte| byte == b':');
        let (name, services) = text.split_at(colon.ok_or(Fault::Form)?);
        let name = name.trim_ascii_end();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
        if name.is_empty() || !name.iter().all(is_name) {
            return Err(Fault::Form);
        }
        let services = normal(&services[1..]);
        let is_service = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.[]=! ".contains(byte);
        if !services.iter().all(is_service) {
            return Err(Fault::Form);
        }
        let services = if services.is_empty() {
            &b"nowhere"[..]
        } else {
            &services
        };
        let subject = [b"database ", name].concat();
        entries.push(Entry::new(line, &subject, [(Field::Value, services)]));
        self.repeated |= !self.seen.insert(subject);
        Ok(())
    }
}
