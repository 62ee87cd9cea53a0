//! sudoers(5): who may run what, where, as whom. One file at a time: what a file includes is a file of its own.
//!
//! Each command of each rule is an entry (`%sudo may run ALL`), each setting of a `Defaults` line, each member of an
//! alias, and each include. Who is meant by an alias is not resolved here. A rule that stands later wins, so the order
//! counts. `#include` and `#includedir` at the start of a line are no comments, and `#1000` is a user. A comment goes
//! to the end of its line and is never continued, whatever it ends with.
//!
//! The grammar is that of the manual page, read leniently: what sudo refuses may still be an entry here, and is told.
//! A line that is none of all this is malformed. Limits: see [`crate::entries`]; a rule whose parts would have to be
//! repeated for each of very many commands is one entry.

use crate::{
    Tokenize,
    entries::{self, Entry, Fault, Field, Format, Line},
};

use crate::entries::line::{find_any, normal, split_at_any, word};

mod rule;

pub(crate) use rule::is_as_root;

/// The entries of a sudoers file.
pub type State = entries::State;

pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    entries::read(Sudoers::default(), content, tokenize)
}

#[derive(Default)]
struct Sudoers {
    /// A quote has begun and not ended in the lines that the next one continues.
    quoted: bool,
}

impl Format for Sudoers {
    fn ordered(&self) -> bool {
        true
    }

    fn extent(&mut self, line: &[u8], continues: bool) -> (usize, bool) {
        if !continues && is_include(line) {
            return (line.len(), false);
        }
        self.quoted &= continues;
        if let Some(end) = comment(line, &mut self.quoted) {
            return (end, false);
        }
        let text = line.trim_ascii_end();
        let backslashes = text.iter().rev().take_while(|&&byte| byte == b'\\');
        (line.len(), backslashes.count() % 2 == 1)
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        let (first, rest) = word(text);
        if let Some(kind) = include(first) {
            return included(line, kind, rest, entries);
        }
        if let Some(settings) = defaults(text) {
            return put_defaults(line, text, settings, entries);
        }
        if ALIASES.contains(&first) {
            return put_aliases(line, first, rest, entries);
        }
        rule::put(line, text, entries)
    }
}

const ALIASES: [&[u8]; 5] = [
    b"User_Alias",
    b"Runas_Alias",
    b"Host_Alias",
    b"Cmnd_Alias",
    b"Cmd_Alias",
];

/// What includes a file or a directory, and how it is called here.
fn include(word: &[u8]) -> Option<&'static str> {
    match word {
        b"#include" | b"@include" => Some("include"),
        b"#includedir" | b"@includedir" => Some("includedir"),
        _ => None,
    }
}

/// With the hash sign, only at the start of a line.
fn is_include(line: &[u8]) -> bool {
    line.first() == Some(&b'#') && include(word(line).0).is_some()
}

/// Where a comment begins: a hash sign outside of quotes that no number follows, for that is a user.
fn comment(line: &[u8], quoted: &mut bool) -> Option<usize> {
    let is_id = |at: usize| match line.get(at + 1..).unwrap_or_default() {
        [b'-', digit, ..] | [digit, ..] => digit.is_ascii_digit(),
        [] => false,
    };
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => *quoted = !*quoted,
            b'#' if !*quoted && !is_id(at) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn included(
    line: &Line<'_>,
    kind: &str,
    path: &[u8],
    entries: &mut Vec<Entry>,
) -> Result<(), Fault> {
    if path.is_empty() {
        return Err(Fault::Incomplete);
    }
    let subject = [kind.as_bytes(), b" ", path].concat();
    entries.push(Entry::new(line, &subject, []));
    Ok(())
}

/// What follows `Defaults` and whom it is for, if the line is one of that kind.
fn defaults(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"Defaults")?;
    match rest.first() {
        Some(b':' | b'@' | b'>' | b'!') => {
            let scope = rest[1..].trim_ascii_start();
            let end = list_end(scope);
            Some(scope[end..].trim_ascii())
        }
        Some(byte) if byte.is_ascii_whitespace() => Some(rest.trim_ascii()),
        _ => None,
    }
}

/// Where a list ends: at a blank beside which there is no comma, nor a `!` before it.
fn list_end(text: &[u8]) -> usize {
    let mut from = 0;
    while let Some(blank) = find_any(&text[from..], b" \t") {
        let end = from + blank;
        let next = text[end..]
            .iter()
            .position(|byte| !byte.is_ascii_whitespace());
        let Some(next) = next.map(|next| end + next) else {
            return end;
        };
        let goes_on =
            text[next] == b',' || text[..end].ends_with(b",") || text[..end].ends_with(b"!");
        if !goes_on {
            return end;
        }
        // Blanks and a comma: nothing between here and there ends the list.
        from = next + usize::from(text[next] == b',');
        from += text[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
    }
    text.len()
}

/// `Defaults:alice !authenticate, passwd_tries = 5`: each setting by itself.
fn put_defaults(
    line: &Line<'_>,
    text: &[u8],
    settings: &[u8],
    entries: &mut Vec<Entry>,
) -> Result<(), Fault> {
    let head = text[..text.len() - settings.len()].trim_ascii();
    let head = if head.len() > MAX_SCOPE {
        b"Defaults for many"
    } else {
        head
    };
    let head = normal(head);
    for setting in split_at_any(settings, b",") {
        let setting = setting.trim_ascii();
        let negated = setting.iter().take_while(|&&byte| byte == b'!').count();
        let name = setting[negated..].trim_ascii();
        if name.is_empty() {
            return Err(Fault::Incomplete);
        }
        let (name, value) = match find_any(name, b"=") {
            Some(at) if name[..at].ends_with(b"+") || name[..at].ends_with(b"-") => (name, None),
            Some(at) => (name[..at].trim_ascii(), Some(name[at + 1..].trim_ascii())),
            None => (name, None),
        };
        let switch: &[u8] = if negated % 2 == 1 { b"off" } else { b"on" };
        let adds = find_any(name, b"=").is_some();
        let value = value.or((!adds).then_some(switch));
        let value = value.map_or_else(Vec::new, normal);
        let subject = [&head[..], b" ", &normal(name)].concat();
        entries.push(Entry::new(line, &subject, [(Field::Value, &value[..])]));
    }
    Ok(())
}

/// Repeated with each setting of a line, so longer ones are not.
const MAX_SCOPE: usize = 256;

/// `User_Alias ADMINS = alice, bob : OPS = carol`: each member by itself.
fn put_aliases(
    line: &Line<'_>,
    kind: &[u8],
    definitions: &[u8],
    entries: &mut Vec<Entry>,
) -> Result<(), Fault> {
    for definition in definitions_of(definitions) {
        let equals = find_any(definition, b"=").ok_or(Fault::Form)?;
        let name = definition[..equals].trim_ascii();
        let is_name = name.len() <= MAX_SCOPE && name.iter().all(|byte| is_alias(*byte));
        if name.is_empty() || !is_name {
            return Err(Fault::Form);
        }
        for member in split_at_any(&definition[equals + 1..], b",") {
            let member = normal(member);
            if member.is_empty() {
                return Err(Fault::Incomplete);
            }
            let subject = [kind, b" ", name, b" member ", &member].concat();
            entries.push(Entry::new(line, &subject, []));
        }
    }
    Ok(())
}

fn is_alias(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

/// A colon parts definitions, but for one within an address or a digest: behind it stand a name and `=`.
fn definitions_of(text: &[u8]) -> Vec<&[u8]> {
    let (mut start, mut from) = (0, 0);
    let mut all = Vec::new();
    while let Some(colon) = find_any(&text[from..], b":") {
        let at = from + colon;
        let rest = text[at + 1..].trim_ascii_start();
        let name = rest.iter().take_while(|byte| is_alias(**byte)).count();
        if name > 0 && rest[name..].trim_ascii_start().first() == Some(&b'=') {
            all.push(&text[start..at]);
            start = at + 1;
        }
        from = at + 1;
    }
    all.push(&text[start..]);
    all
}
