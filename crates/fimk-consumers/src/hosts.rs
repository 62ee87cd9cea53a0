//! hosts(5): the address of each name.
//!
//! Each name of a line is an entry, and one that has several addresses is several. The order counts, because lookups
//! may take the first line of a name alone. Which name of a line comes first is not told.
//!
//! Limits: see [`crate::entries`].

use std::net::IpAddr;

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line, line::words},
};

/// The names of a hosts file.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Hosts, content, tokenize)
}

struct Hosts;

/// An address of IPv6 with the name of an interface behind it.
const MAX_ADDRESS: usize = 64;

impl Format for Hosts {
    fn ordered(&self) -> bool {
        true
    }

    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        let comment = line.iter().position(|&byte| byte == b'#');
        (comment.unwrap_or(line.len()), false)
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let mut words = words(line.text());
        let Some(address) = words.next() else {
            return Ok(());
        };
        if !is_address(address) {
            return Err(Fault::Address);
        }
        let names = entries.len();
        entries.extend(words.map(|name| {
            let subject = [b"host ", name].concat();
            Entry::new(line, &subject, [(Field::Address, address)])
        }));
        if entries.len() == names {
            return Err(Fault::Incomplete);
        }
        Ok(())
    }
}

fn is_address(word: &[u8]) -> bool {
    let bare = word.split(|&byte| byte == b'%').next().unwrap_or(word);
    let text = str::from_utf8(bare).ok();
    word.len() <= MAX_ADDRESS && text.is_some_and(|text| text.parse::<IpAddr>().is_ok())
}
