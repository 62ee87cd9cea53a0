//! `known_hosts`, as sshd(8) describes it: which key each host has.
//!
//! Each name or pattern of a line is an entry with the type of the key (`known host example.org ssh-ed25519`), and has
//! the key's fingerprint. Names may be hashed: then it is the hash that is told. `@cert-authority` and `@revoked` belong to what a
//! host is called, for such a line means something else. The order counts for nothing. Public keys are no secrets.
//!
//! Limits: see [`crate::entries`]; a line with a very long list of names is one entry.

use crate::{
    Tokenize,
    authorized_keys::Key,
    entries::{
        self, Entry, Fault, Field, Format, Line,
        line::{normal, word},
    },
};

/// The hosts.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(KnownHosts, content, tokenize)
}

/// Names of one line: the key and the comment are repeated with each.
const MAX_NAMES: usize = 64;
const MAX_COMMENT: usize = 256;

struct KnownHosts;

impl Format for KnownHosts {
    fn ordered(&self) -> bool {
        false
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            return Ok(());
        }
        let (first, rest) = word(text);
        let (kind, names, rest) = match first {
            b"@cert-authority" => (&b"authority for "[..], word(rest).0, word(rest).1),
            b"@revoked" => (&b"revoked key of "[..], word(rest).0, word(rest).1),
            _ if first.starts_with(b"@") => return Err(Fault::Form),
            _ => (&b"known host "[..], first, rest),
        };
        let (key_type, rest) = word(rest);
        let (base64, comment) = word(rest);
        if base64.is_empty() {
            return Err(Fault::Incomplete);
        }
        let key = Key::parse(key_type, base64).map_err(|_| Fault::Key)?;
        let comment = normal(comment);
        let entry = |name: &[u8]| {
            let subject = [kind, name, b" ", key.kind.as_bytes()].concat();
            let fields = [
                (Field::Value, key.shown().into_bytes()),
                (Field::Comment, comment.clone()),
            ];
            let fields = fields.iter().map(|(field, value)| (*field, &value[..]));
            Entry::new(line, &subject, fields)
        };
        let names: Vec<&[u8]> = names.split(|&byte| byte == b',').collect();
        if names.iter().any(|name| name.is_empty()) {
            return Err(Fault::Form);
        }
        if names.len() > MAX_NAMES || comment.len() > MAX_COMMENT {
            entries.push(entry(&names.join(&b',')));
        } else {
            entries.extend(names.into_iter().map(entry));
        }
        Ok(())
    }
}
