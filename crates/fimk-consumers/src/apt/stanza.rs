//! Sources as stanzas: a field a line, of which blanks at its beginning continue the one before; an empty line ends a
//! stanza, and one of blanks alone does not. A line that begins with a hash sign is a comment, also within a field.

use std::collections::BTreeMap;

use crate::{
    entries::{Entry, Fault, Field, Format, Line, line::words},
    pieces::{Piece, Pieces},
};

/// Entries of a stanza, and words of a field that make them. A source has a few; of more, all are one entry.
const MAX_ENTRIES: usize = 64;

/// Bytes of the options that are repeated with each entry of a stanza. A key within it is left out of what is said
/// beyond that, and shows in the token.
const MAX_OPTIONS: usize = 2048;

/// Options by which much is decided, and which are told however long the others are. The last value of one holds.
const SWITCHES: [&str; 5] = [
    "allow-downgrade-to-insecure",
    "allow-insecure",
    "allow-weak",
    "enabled",
    "trusted",
];

/// Of the value of one: it is a word.
const MAX_SWITCH: usize = 32;

/// What is said behind a source without a type, a URI or a suite, which apt refuses.
const INCOMPLETE: &str = " (incomplete)";

#[derive(Default)]
pub(super) struct Stanzas {
    stanza: Stanza,
    /// What an indented line goes on with.
    field: Option<Name>,
}

/// What was read of one so far. Secrets are known in their own line only, so all are pieces already.
#[derive(Default)]
struct Stanza {
    types: Vec<Pieces>,
    uris: Vec<Pieces>,
    suites: Vec<Pieces>,
    components: Pieces,
    options: Pieces,
    options_bytes: usize,
    switches: BTreeMap<&'static str, Vec<u8>>,
    any: bool,
}

#[derive(Clone, Copy)]
enum Name {
    Types,
    Uris,
    Suites,
    Components,
    Option,
    Switch(&'static str),
}

impl Format for Stanzas {
    fn ordered(&self) -> bool {
        true
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text();
        if text.starts_with(b"#") {
            return Ok(());
        }
        if matches!(text, b"" | b"\r") {
            self.finish(entries);
            return Ok(());
        }
        if text[0].is_ascii_whitespace() {
            if !text.trim_ascii().is_empty() {
                let name = self.field.ok_or(Fault::Form)?;
                self.stanza.put(name, line, text);
            }
            return Ok(());
        }
        let colon = text.iter().position(|&byte| byte == b':');
        let (name, value) = text.split_at(colon.ok_or(Fault::Form)?);
        let name = name.trim_ascii_end();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        if name.is_empty() || !name.iter().all(is_name) {
            return Err(Fault::Form);
        }
        let named = Name::of(name);
        self.field = Some(named);
        match named {
            Name::Option => self.stanza.begin_option(line, &name.to_ascii_lowercase()),
            Name::Switch(name) => {
                self.stanza.switches.insert(name, Vec::new());
            }
            _ => {}
        }
        self.stanza.put(named, line, &value[1..]);
        Ok(())
    }

    fn finish(&mut self, entries: &mut Vec<Entry>) {
        self.field = None;
        std::mem::take(&mut self.stanza).end(entries);
    }
}

impl Name {
    fn of(written: &[u8]) -> Self {
        let names: [(&str, Self); 4] = [
            ("types", Self::Types),
            ("uris", Self::Uris),
            ("suites", Self::Suites),
            ("components", Self::Components),
        ];
        let is = |name: &str| written.eq_ignore_ascii_case(name.as_bytes());
        let list = names.into_iter().find(|(name, _)| is(name));
        let switch = SWITCHES.into_iter().find(|name| is(name));
        list.map(|(_, name)| name)
            .or(switch.map(Self::Switch))
            .unwrap_or(Self::Option)
    }
}

impl Stanza {
    fn begin_option(&mut self, line: &Line<'_>, name: &[u8]) {
        let between: &[u8] = if self.options.0.is_empty() { b"" } else { b" " };
        let text = [between, name, b"="].concat();
        self.add_option(line, &text);
    }

    fn add_option(&mut self, line: &Line<'_>, text: &[u8]) {
        self.options_bytes += text.len();
        if self.options_bytes <= MAX_OPTIONS {
            self.options.extend("", &line.pieces(text));
        }
    }

    fn put(&mut self, name: Name, line: &Line<'_>, value: &[u8]) {
        self.any = true;
        for (index, word) in words(value).enumerate() {
            let list = match name {
                Name::Types => &mut self.types,
                Name::Uris => &mut self.uris,
                Name::Suites => &mut self.suites,
                Name::Components => {
                    let between = if self.components.0.is_empty() {
                        ""
                    } else {
                        " "
                    };
                    self.components.extend(between, &line.pieces(word));
                    continue;
                }
                Name::Switch(name) => {
                    let value = self.switches.entry(name).or_default();
                    if !value.is_empty() {
                        value.push(b',');
                    }
                    value.extend_from_slice(word);
                    value.truncate(MAX_SWITCH);
                    continue;
                }
                Name::Option => {
                    let between: &[u8] = if index == 0 { b"" } else { b"," };
                    self.add_option(line, &[between, word].concat());
                    continue;
                }
            };
            list.push(line.pieces(word));
        }
    }

    fn end(self, entries: &mut Vec<Entry>) {
        if !self.any {
            return;
        }
        let lists = [&self.types, &self.uris, &self.suites];
        let combinations = lists
            .iter()
            .fold(1_usize, |product, list| product.saturating_mul(list.len()));
        if combinations > MAX_ENTRIES {
            entries.push(self.entry(&lists.map(|list| joined(list))));
            return;
        }
        if combinations == 0 {
            let mut incomplete = self.entry(&lists.map(|list| joined(list)));
            incomplete.subject.extend(INCOMPLETE, &Pieces::default());
            entries.push(incomplete);
            return;
        }
        for uri in &self.uris {
            for suite in &self.suites {
                for kind in &self.types {
                    entries.push(self.entry(&[kind, uri, suite].map(Clone::clone)));
                }
            }
        }
    }

    fn entry(&self, subject: &[Pieces]) -> Entry {
        let mut options = self.options.clone();
        for (name, value) in &self.switches {
            let between = if options.0.is_empty() { "" } else { " " };
            let value = Pieces::clear(value);
            options.extend(&format!("{between}{name}="), &value);
        }
        let fields = [
            (Field::Components, &self.components),
            (Field::Options, &options),
        ];
        let fields = fields.into_iter().filter(|(_, value)| !value.0.is_empty());
        Entry {
            subject: joined(subject),
            fields: fields
                .map(|(field, value)| (field, value.clone()))
                .collect(),
        }
    }
}

/// Between blanks, as one line would have them.
fn joined(words: &[Pieces]) -> Pieces {
    let mut all: Vec<Piece> = Vec::new();
    let mut put = |piece: Piece| match (all.last_mut(), piece) {
        (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
        (_, piece) => all.push(piece),
    };
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            put(Piece::Text(" ".to_owned()));
        }
        word.0.iter().cloned().for_each(&mut put);
    }
    Pieces(all)
}
