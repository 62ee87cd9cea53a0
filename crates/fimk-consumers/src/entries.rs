//! Files that are a sequence of entries, each about one thing: sudoers(5), `sshd_config`, crontab(5) and their like.
//!
//! A format says what the entries of a line are; what differs between two files is found here. An entry has a
//! subject (`bob may run /bin/ls`) and fields (`as`, `on`, …). Of the same subject on both sides the fields are
//! compared; other entries came or went. Where the program that reads the file cares for the order, an entry that
//! stands at another place among the others is said to have moved.
//!
//! Secrets are looked for in each line as a whole before it is parsed, and hidden from the parser. A line that is
//! not of the form is never skipped: it is named by number and length, never quoted.
//!
//! Limits: as for text, the first 20,000 lines within the first MiB, and 20,000 entries; lines that continue one
//! another are one of at most 64 KiB; at most 256 bytes of a field are printed.

use serde::{Deserialize, Serialize};

use crate::{
    Difference, Token, Tokenize,
    lines::{self, Rest},
    others::{self, Malformed},
    pieces::{Numbers, Pieces},
    redact::Redactor,
    table::MAX_FIELD,
};

pub(crate) mod line;
mod sequence;

pub(crate) use line::Line;

/// What continues over several lines is one of at most this many bytes: no page of rules is longer.
const MAX_LINE: usize = 64 << 10;

/// An entry costs some tens of bytes whatever it says, as a line of text does.
pub(crate) const MAX_ENTRIES: usize = lines::MAX_LINES;

/// The entries of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// In order.
    pub entries: Vec<Entry>,
    /// Whether the order tells something.
    pub ordered: bool,
    /// Lines that are neither an entry nor a comment.
    pub malformed: Vec<Malformed<Fault>>,
    /// Stands for the content as it is.
    pub whole: Token,
    /// What was not kept.
    pub rest: Option<Rest>,
}

/// What a file says of one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// What it is about.
    pub subject: Pieces,
    /// What is said of it, each field once, in the order of the format.
    pub fields: Vec<(Field, Pieces)>,
}

/// What a field is called; known by its number where it is stored, so new ones go to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Field {
    Value,
    As,
    On,
    Tags,
    Options,
    Commands,
    Schedule,
    User,
    Address,
    Control,
    Arguments,
    Log,
    Components,
    Comment,
    Encryption,
    Content,
    Signatures,
}

impl Field {
    /// What mostly matters of a thing has no name of its own: `PermitRootLogin no → yes`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Value | Self::Control => "",
            Self::As => "as",
            Self::On => "on",
            Self::Tags => "tags",
            Self::Options => "options",
            Self::Commands => "commands",
            Self::Schedule => "schedule",
            Self::User => "user",
            Self::Address => "address",
            Self::Arguments => "arguments",
            Self::Log => "log",
            Self::Components => "components",
            Self::Comment => "comment",
            Self::Encryption => "encryption",
            Self::Content => "content",
            Self::Signatures => "signatures",
        }
    }
}

/// Why a line is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Fault {
    TooLong,
    Nul,
    TooMany,
    Form,
    Incomplete,
    Quote,
    Schedule,
    Address,
    Key,
    Section,
}

impl others::Fault for Fault {
    fn words(self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::Nul => "has NUL bytes",
            Self::TooMany => "behind 20,000 entries",
            Self::Form => "of no known form",
            Self::Incomplete => "something is missing",
            Self::Quote => "a quote does not end",
            Self::Schedule => "the schedule is none",
            Self::Address => "the address is none",
            Self::Key => "the key is none",
            Self::Section => "outside of any section",
        }
    }
}

/// How a file is read.
pub(crate) trait Format {
    /// Whether a line may hold secrets. What can have none but by its form being another is told as malformed.
    const HAS_SECRETS: bool = true;

    /// Whether the order of entries counts; asked when all were read.
    fn ordered(&self) -> bool;

    /// How much of a line stands before its comment, and whether the next line continues this one.
    /// `continues`: this one continues the line before.
    fn extent(&mut self, line: &[u8], _continues: bool) -> (usize, bool) {
        (line.len(), false)
    }

    /// Puts the entries of a line, which may be blank or a comment.
    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault>;

    /// Puts what the last lines have begun, behind all of them.
    fn finish(&mut self, _entries: &mut Vec<Entry>) {}
}

/// Parses a file; the flag tells whether something was redacted.
pub(crate) fn read<F: Format>(
    mut format: F,
    content: &[u8],
    tokenize: &dyn Tokenize,
) -> (State, bool) {
    let (kept, rest) = lines::split(content);
    let mut state = State {
        entries: Vec::new(),
        ordered: false,
        malformed: Vec::new(),
        whole: tokenize.token(content),
        rest: lines::rest(content, rest, tokenize),
    };
    let mut secrets = !rest.is_empty();
    let mut redactor = Redactor::default();
    for (first, text, comments) in line::joined(&mut format, &kept) {
        for comment in comments {
            secrets |= !redactor.spans(comment).is_empty();
        }
        let spans = if F::HAS_SECRETS {
            redactor.spans(&text)
        } else {
            Vec::new()
        };
        let line = Line::new(&text, &spans, tokenize);
        secrets |= line.has_secrets();
        let kept = state.entries.len();
        let put = if text.contains(&0) {
            Err(Fault::Nul)
        } else if text.len() > MAX_LINE {
            Err(Fault::TooLong)
        } else {
            format.entries(&line, &mut state.entries)
        };
        let fits = || state.entries.len() <= MAX_ENTRIES;
        if let Err(fault) = put.and_then(|()| fits().then_some(()).ok_or(Fault::TooMany)) {
            secrets = true;
            state.entries.truncate(kept);
            let malformed = Malformed::new(first, &text, fault, tokenize);
            state.malformed.push(malformed);
        }
    }
    format.finish(&mut state.entries);
    state.ordered = format.ordered();
    (state, secrets)
}

impl State {
    /// For a comparison with something else.
    pub(crate) fn describe(&self) -> String {
        match self.entries.len() {
            1 => "1 entry".to_owned(),
            several => format!("{several} entries"),
        }
    }
}

impl Entry {
    /// A subject with those of its fields that are not empty.
    pub(crate) fn new<'a>(
        line: &Line<'_>,
        subject: &[u8],
        fields: impl IntoIterator<Item = (Field, &'a [u8])>,
    ) -> Self {
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            subject: line.pieces(subject),
            fields: fields
                .map(|(field, value)| (field, line.pieces(value)))
                .collect(),
        }
    }

    pub(crate) fn field(&self, field: Field) -> Option<&Pieces> {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map(|(_, value)| value)
    }

    /// What it is called by itself. That no password is asked for must not be hidden among its fields.
    fn title(&self, numbers: &mut Numbers) -> String {
        let mut title = self.subject.render(numbers, MAX_FIELD).text;
        let tags = self.field(Field::Tags).map(|tags| said(tags, numbers));
        if tags.is_some_and(|tags| tags.split(' ').any(|tag| tag == "NOPASSWD")) {
            title.push_str(" without password");
        }
        title
    }

    /// All fields; `place`: from 1, where the order counts.
    fn summary(&self, place: Option<usize>, numbers: &mut Numbers) -> String {
        let field = |(field, value): &(Field, Pieces)| {
            let value = said(value, numbers);
            match field {
                Field::Value | Field::Control | Field::Address => value,
                field => format!("{} {value}", field.name()),
            }
        };
        let mut parts: Vec<String> = self.fields.iter().map(field).collect();
        parts.extend(place.map(|place| format!("place {place}")));
        if parts.is_empty() {
            return "listed".to_owned();
        }
        parts.join(", ")
    }

    /// Of each field that differs.
    fn changes(&self, after: &Self, numbers: &mut Numbers) -> Vec<Difference> {
        let mut fields: Vec<Field> = Vec::new();
        for (field, _) in self.fields.iter().chain(&after.fields) {
            if !fields.contains(field) && self.field(*field) != after.field(*field) {
                fields.push(*field);
            }
        }
        let subject = after.subject.render(numbers, MAX_FIELD).text;
        let difference = |field: Field| Difference {
            subject: subject.clone(),
            field: field.name().to_owned(),
            before: self.field(field).map(|value| said(value, numbers)),
            after: after.field(field).map(|value| said(value, numbers)),
        };
        fields.into_iter().map(difference).collect()
    }
}

fn said(value: &Pieces, numbers: &mut Numbers) -> String {
    value.render(numbers, MAX_FIELD).text
}

/// Everything a new file brings.
pub(crate) fn created(after: &State) -> Vec<Difference> {
    let nothing = State {
        entries: Vec::new(),
        ordered: after.ordered,
        malformed: Vec::new(),
        whole: after.whole,
        rest: None,
    };
    compare(&nothing, after)
}

/// What differs between two states of a file.
pub(crate) fn compare(before: &State, after: &State) -> Vec<Difference> {
    let mut numbers = Numbers::default();
    let mut changes = sequence::compare(before, after, &mut numbers);
    changes.extend(others::malformed(
        &before.malformed,
        &after.malformed,
        &mut numbers,
    ));
    changes.extend(lines::beyond(before.rest.as_ref(), after.rest.as_ref()));
    if changes.is_empty() && before.whole != after.whole {
        changes.push(Difference::of_file(
            "layout",
            "only comments, blanks or the way it is written differ",
        ));
    }
    changes
}
