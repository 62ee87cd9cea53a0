//! JSON objects and their text: on one line whatever the strings hold.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Serializer, Value, ser::Formatter};

/// An object that never holds what is not known: setting null, "", [] or {} does nothing.
#[derive(Debug, Default)]
pub(super) struct Object(pub(super) Map<String, Value>);

impl Object {
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        if !is_unset(&value) {
            self.0.insert(key.to_owned(), value);
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

impl FromIterator<(String, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(members: I) -> Self {
        let mut object = Self::default();
        members
            .into_iter()
            .for_each(|(key, value)| object.set(&key, value));
        object
    }
}

pub(super) fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Escapes what JSON allows in strings and a terminal or a log reader takes for more than text:
/// DEL, the C1 controls, line and paragraph separators, marks that change the direction of writing.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut written = 0;
        for (at, character) in fragment
            .char_indices()
            .filter(|&(_, character)| is_active(character))
        {
            writer.write_all(&fragment.as_bytes()[written..at])?;
            write!(writer, "\\u{:04x}", u32::from(character))?;
            written = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

/// Whether a terminal or a log reader takes it for more than text, though JSON does not make it be escaped. All of
/// them lie in the basic plane, so that one `\u` names them.
pub fn is_active(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// Text with nothing in it that ends a line or acts on a terminal: that is shown as `\u{…}`.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_active(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// How many bytes a character takes in a string.
pub(super) fn character_length(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        character if character < ' ' || is_active(character) => 6,
        character => character.len_utf8(),
    }
}

pub(super) fn line(document: &Object) -> String {
    let mut bytes = Vec::with_capacity(2048);
    write(&document.0, &mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

/// A value as one line of JSON, without its end, that acts on no terminal: see [`OneLine`].
pub fn one_line(value: &Value) -> String {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

/// How many bytes it takes in a line.
pub(super) fn length(value: &impl Serialize) -> usize {
    let mut counter = Counter(0);
    write(value, &mut counter);
    counter.0
}

/// Neither writer fails, and every key is a string.
fn write(value: &impl Serialize, writer: &mut impl Write) {
    let _ = value.serialize(&mut Serializer::with_formatter(writer, OneLine));
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
