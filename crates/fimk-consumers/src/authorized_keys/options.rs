//! The options before a key: names, some with a value in double quotes, between commas. A quote within
//! a value stands behind a backslash. Their order counts: `restrict` takes away what was given before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Tokenize,
    pieces::{Numbers, Pieces},
    redact,
    table::MAX_FIELD,
};

/// The options of one key; environment and commands may hold secrets, which are redacted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options(
    /// Joined by newlines, which no line contains: one string costs less than one for each.
    Pieces,
);

/// Where the options at the start of a line end; none if a quote never does.
pub(super) fn end(line: &[u8]) -> Option<usize> {
    let mut quotes = Quotes::default();
    let end = line
        .iter()
        .position(|&byte| !quotes.within(byte) && matches!(byte, b' ' | b'\t'));
    end.or((!quotes.open).then_some(line.len()))
}

/// Follows the quotes of a line, byte by byte.
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    /// Takes the next byte; whether it lies within quotes, or belongs to one.
    fn within(&mut self, byte: u8) -> bool {
        let quote = byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\';
        let within = self.open || quote;
        self.open ^= quote;
        within
    }
}

impl Options {
    pub(super) fn parse(text: &[u8], tokenize: &dyn Tokenize) -> Self {
        let mut quotes = Quotes::default();
        let mut joined = text.to_vec();
        for byte in &mut joined {
            if !quotes.within(*byte) && *byte == b',' {
                *byte = b'\n';
            }
        }
        Self(redact::options(&joined, tokenize))
    }

    pub(super) fn has_secrets(&self) -> bool {
        self.0.has_secrets()
    }

    pub(super) fn words(&self, numbers: &mut Numbers) -> String {
        let all = self.0.lines();
        said(&all.iter().collect::<Vec<_>>(), numbers).map_or_else(
            || "no options".into(),
            |options| format!("options {options}"),
        )
    }

    /// What is run whatever whoever has the key asks for.
    pub(crate) fn command(&self) -> Option<String> {
        let lines = self.0.lines();
        let mut said = lines
            .iter()
            .map(|option| option.render(&mut Numbers::default(), MAX_FIELD).text);
        said.find(|option| {
            let name = option.split('=').next().unwrap_or_default();
            name.eq_ignore_ascii_case("command")
        })
    }

    /// Each of them.
    pub(crate) fn each(&self) -> Vec<Pieces> {
        self.0.lines()
    }

    /// What only one of the two has; everything, if they differ by order alone.
    pub(super) fn change(
        &self,
        after: &Self,
        numbers: &mut Numbers,
    ) -> (Option<String>, Option<String>) {
        let (old, new) = (self.0.lines(), after.0.lines());
        let (gone, come) = (lacking(&old, &new), lacking(&new, &old));
        if gone.is_empty() && come.is_empty() {
            let [old, new] = [&old, &new].map(|all| all.iter().collect::<Vec<_>>());
            return (said(&old, numbers), said(&new, numbers));
        }
        (said(&gone, numbers), said(&come, numbers))
    }
}

/// Options of the one that the other lacks, each as often as it lacks them.
fn lacking<'a>(options: &'a [Pieces], other: &[Pieces]) -> Vec<&'a Pieces> {
    let mut left: BTreeMap<&Pieces, usize> = BTreeMap::new();
    for option in other {
        *left.entry(option).or_default() += 1;
    }
    let mut lacking = Vec::new();
    for option in options {
        match left.get_mut(option) {
            Some(count) if *count > 0 => *count -= 1,
            _ => lacking.push(option),
        }
    }
    lacking
}

/// As they stand in the file; none if there are none.
fn said(options: &[&Pieces], numbers: &mut Numbers) -> Option<String> {
    let mut joined = Pieces::default();
    for (index, option) in options.iter().enumerate() {
        joined.extend(if index == 0 { "" } else { "," }, option);
    }
    (!options.is_empty()).then(|| joined.render(numbers, MAX_FIELD).text)
}
