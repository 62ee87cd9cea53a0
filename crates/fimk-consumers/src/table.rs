//! What passwd(5), shadow(5), group(5) and gshadow(5) have in common: one user or group a line, fields
//! between colons.
//!
//! Lookups of the C library take the first line of a name, so the first is compared with the first and
//! further ones are reported as duplicates. A line that is not of the form is never skipped: the C
//! library may well accept it. It is named by number and length, and a token tells whether it changed.
//!
//! Limits: as for text, the first 20,000 lines within the first MiB; a line of more than 4,096 bytes, or 64
//! KiB of a group with its members, counts as malformed; at most 256 bytes of a field are printed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Difference, Token, Tokenize,
    lines::{self, Rest},
    others::{self, OtherLine},
    pieces::Numbers,
    redact::Redactor,
};

/// No tool writes a longer line of a user, and none needs one.
const MAX_LINE: usize = 4096;
/// At most so many bytes of a field are printed.
pub(crate) const MAX_FIELD: usize = 256;

/// The lines of such a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table<U> {
    /// One row a line, in order.
    pub rows: Vec<Row<U>>,
    /// Stands for the content as it is: what no row shows (blanks, line ends) still counts.
    pub whole: Token,
    /// What was not kept.
    pub rest: Option<Rest>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row<U> {
    /// A user, or a group.
    User {
        /// The name.
        name: String,
        /// The other fields.
        user: U,
    },
    /// A line beginning with `+` or `-`, by which NIS adds or removes users or groups
    /// (nsswitch.conf(5), compat), and which is no user by itself.
    Nis {
        /// The first field, with its sign.
        name: String,
        /// Stands for the whole line.
        token: Token,
    },
    /// Not of the form.
    Malformed {
        /// Length of the line.
        bytes: u32,
        /// What is wrong with it.
        fault: Fault,
        /// Stands for the line.
        token: Token,
    },
}

/// Why a line is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Fault {
    Blank,
    Comment,
    FieldCount,
    Number,
    TooLong,
    Nul,
    Name,
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Comment => "a comment",
            Self::FieldCount => "wrong number of fields",
            Self::Number => "a number is none",
            Self::TooLong => "too long",
            Self::Nul => "has NUL bytes",
            Self::Name => "the name is none",
        }
    }
}

/// What is said of one user or group, beside the name.
pub(crate) trait Account: Sized + Eq {
    /// What it is called: `user`, `group`.
    const NOUN: &str = "user";

    /// A longer line counts as malformed.
    const MAX_LINE: usize = MAX_LINE;

    /// Fields of a line, the name included.
    const FIELDS: usize;

    /// It has a number, which lines of NIS do not say. One that does is a user of that name, sign and all, to a C library
    /// that does not ask NIS.
    const HAS_NUMBER: bool = false;

    /// Parses the fields after the name, of which there are [`Self::FIELDS`] - 1.
    fn parse(fields: &[&[u8]], tokenize: &dyn Tokenize) -> Result<Self, Fault>;

    /// Whether something was redacted.
    fn has_secrets(&self) -> bool;

    /// The fields that matter, for a user that came or went.
    fn summary(&self, numbers: &mut Numbers) -> String;

    /// Field, before and after of each that differs.
    fn changes(&self, after: &Self, numbers: &mut Numbers) -> Vec<FieldChange>;

    /// What belongs to it and came or went, by what it is called: `member bob`.
    fn parts(&self, _after: &Self, _numbers: &mut Numbers) -> Vec<Part> {
        Vec::new()
    }
}

/// Something that belongs to a user or group, and came or went.
pub(crate) struct Part {
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Field, before, after.
pub(crate) type FieldChange = (&'static str, Option<String>, Option<String>);

/// Parses a file; the flag tells whether something was redacted.
pub(crate) fn read<U: Account>(content: &[u8], tokenize: &dyn Tokenize) -> (Table<U>, bool) {
    let (kept, rest) = lines::split(content);
    let rows: Vec<Row<U>> = kept.iter().map(|line| row(line, tokenize)).collect();
    let secrets = !rest.is_empty() || rows.iter().any(is_secret);
    let table = Table {
        rows,
        whole: tokenize.token(content),
        rest: lines::rest(content, rest, tokenize),
    };
    (table, secrets)
}

/// What a malformed or NIS line holds is unknown, so it may be a secret.
fn is_secret<U: Account>(row: &Row<U>) -> bool {
    match row {
        Row::User { user, .. } => user.has_secrets(),
        Row::Nis { .. } => true,
        Row::Malformed { bytes, .. } => *bytes > 0,
    }
}

fn row<U: Account>(line: &[u8], tokenize: &dyn Tokenize) -> Row<U> {
    parse(line, tokenize).unwrap_or_else(|fault| Row::Malformed {
        bytes: u32::try_from(line.len()).unwrap_or(u32::MAX),
        fault,
        token: tokenize.token(line),
    })
}

fn parse<U: Account>(line: &[u8], tokenize: &dyn Tokenize) -> Result<Row<U>, Fault> {
    // The C library skips blanks before a name.
    let line = line.trim_ascii_start();
    match line.first() {
        None => return Err(Fault::Blank),
        Some(b'#') => return Err(Fault::Comment),
        _ if line.len() > U::MAX_LINE => return Err(Fault::TooLong),
        _ if line.contains(&0) => return Err(Fault::Nul),
        _ => {}
    }
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
    let name = name(fields[0]);
    let user = if fields.len() == U::FIELDS {
        U::parse(&fields[1..], tokenize)
    } else {
        Err(Fault::FieldCount)
    };
    let is_nis = matches!(line.first(), Some(b'+' | b'-'));
    if is_nis && !(U::HAS_NUMBER && user.is_ok()) {
        return Ok(Row::Nis {
            name: name?,
            token: tokenize.token(line),
        });
    }
    Ok(Row::User {
        name: name?,
        user: user?,
    })
}

/// A name is printed, so it must be printable, and not a secret that slipped into the wrong field.
fn name(field: &[u8]) -> Result<String, Fault> {
    let text = str::from_utf8(field).map_err(|_| Fault::Name)?;
    let fits =
        !text.is_empty() && text.len() <= MAX_FIELD && text.chars().all(crate::pieces::is_plain);
    let secret = !Redactor::default().spans(field).is_empty();
    if fits && !secret {
        Ok(text.to_owned())
    } else {
        Err(Fault::Name)
    }
}

/// For a comparison with something that is no table.
pub(crate) fn describe<U: Account>(table: &Table<U>) -> String {
    let is_user = |row: &&Row<U>| matches!(row, Row::User { .. });
    let users = table.rows.iter().filter(is_user).count();
    format!("{users} {}s", U::NOUN)
}

/// Everything a new file brings.
pub(crate) fn created<U: Account>(after: &Table<U>) -> Vec<Difference> {
    let nothing = Table {
        rows: Vec::new(),
        whole: after.whole,
        rest: None,
    };
    compare(&nothing, after)
}

/// What differs between two states of a file.
pub(crate) fn compare<U: Account>(before: &Table<U>, after: &Table<U>) -> Vec<Difference> {
    let mut numbers = Numbers::default();
    let mut changes = users(before, after, &mut numbers);
    changes.extend(others::compare(
        &other_lines(before),
        &other_lines(after),
        &mut numbers,
    ));
    if reordered(before, after) {
        changes.push(Difference::of_file("order", "lines stand in another order"));
    }
    changes.extend(lines::beyond(before.rest.as_ref(), after.rest.as_ref()));
    if changes.is_empty() && before.whole != after.whole {
        changes.push(Difference::of_file(
            "whitespace",
            "only blanks, digits' leading zeros, empty items or line ends differ",
        ));
    }
    changes
}

/// All lines of each name, and the names in order of appearance.
pub(crate) fn by_name<U>(table: &Table<U>) -> (BTreeMap<&str, Vec<&U>>, Vec<&str>) {
    let mut users: BTreeMap<&str, Vec<&U>> = BTreeMap::new();
    let mut names = Vec::new();
    for row in &table.rows {
        if let Row::User { name, user } = row {
            let lines = users.entry(name).or_default();
            if lines.is_empty() {
                names.push(name.as_str());
            }
            lines.push(user);
        }
    }
    (users, names)
}

fn users<U: Account>(
    before: &Table<U>,
    after: &Table<U>,
    numbers: &mut Numbers,
) -> Vec<Difference> {
    let ((old, old_names), (new, new_names)) = (by_name(before), by_name(after));
    let mut changes = Vec::new();
    for name in old_names {
        let (old, new) = (&old[name], new.get(name).map_or(&[][..], Vec::as_slice));
        of_user(name, old, new, numbers, &mut changes);
    }
    for name in new_names.into_iter().filter(|name| !old.contains_key(name)) {
        of_user(name, &[], &new[name], numbers, &mut changes);
    }
    changes
}

fn of_user<U: Account>(
    name: &str,
    old: &[&U],
    new: &[&U],
    numbers: &mut Numbers,
    changes: &mut Vec<Difference>,
) {
    let mut push = |field: &str, before, after| {
        changes.push(Difference {
            subject: format!("{} {name}", U::NOUN),
            field: field.into(),
            before,
            after,
        });
    };
    let mut parts = Vec::new();
    if let (Some(old), Some(new)) = (old.first(), new.first()) {
        for (field, before, after) in old.changes(new, numbers) {
            push(field, before, after);
        }
        parts = old.parts(new, numbers);
    } else {
        let before = old.first().map(|user| user.summary(numbers));
        let after = new.first().map(|user| user.summary(numbers));
        push("", before, after);
    }
    let further = |users: &[&U], numbers: &mut Numbers| {
        let further = users.get(1..).filter(|further| !further.is_empty())?;
        let shown = further.iter().take(4).map(|user| user.summary(numbers));
        let shown: Vec<String> = shown.collect();
        Some(format!("{} more: {}", further.len(), shown.join("; ")))
    };
    if old.get(1..).unwrap_or(&[]) != new.get(1..).unwrap_or(&[]) {
        let (before, after) = (further(old, numbers), further(new, numbers));
        push("duplicate", before, after);
    }
    changes.extend(parts.into_iter().map(|part| Difference {
        subject: format!("{} {name} {}", U::NOUN, part.name),
        field: String::new(),
        before: part.before,
        after: part.after,
    }));
}

/// The lines that are no user.
fn other_lines<'a, U: Account>(table: &'a Table<U>) -> Vec<OtherLine<'a>> {
    let line = |(index, row): (usize, &'a Row<U>)| match row {
        Row::User { .. } => None,
        Row::Nis { name, token } => Some(OtherLine {
            subject: format!("NIS entry {name}"),
            words: nis_words(name, U::NOUN),
            key: (name.as_str(), *token),
        }),
        Row::Malformed {
            bytes,
            fault,
            token,
        } => Some(OtherLine {
            subject: format!("line {}", index + 1),
            words: others::malformed_words(*bytes, fault.words()),
            key: ("", *token),
        }),
    };
    table.rows.iter().enumerate().filter_map(line).collect()
}

fn nis_words(name: &str, noun: &str) -> String {
    let (sign, name) = name.split_at(1);
    let who = match name.strip_prefix('@') {
        _ if name.is_empty() => format!("all {noun}s"),
        Some(netgroup) => format!("{noun}s of netgroup {netgroup}"),
        None => format!("{noun} {name}"),
    };
    if sign == "+" {
        format!("NIS adds {who}")
    } else {
        format!("NIS removes {who}")
    }
}

/// Whether lines that both have stand in another order; where NIS entries stand decides what they mean.
fn reordered<U>(before: &Table<U>, after: &Table<U>) -> bool {
    let positions: BTreeMap<_, usize> = keys(after).into_iter().zip(0..).collect();
    let common = keys(before);
    let mut common = common.iter().filter_map(|key| positions.get(key));
    let Some(mut last) = common.next() else {
        return false;
    };
    common.any(|position| {
        let falls = position < last;
        last = position;
        falls
    })
}

/// What names a line, with the number of its occurrence.
type Key<'a> = (&'a str, Option<Token>, usize);

fn keys<U>(table: &Table<U>) -> Vec<Key<'_>> {
    let mut seen: BTreeMap<(&str, Option<Token>), usize> = BTreeMap::new();
    let mut keys = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let (name, token) = match row {
            Row::User { name, .. } => (name.as_str(), None),
            Row::Nis { name, token } => (name.as_str(), Some(*token)),
            Row::Malformed { token, .. } => ("", Some(*token)),
        };
        let occurrence = seen.entry((name, token)).or_default();
        *occurrence += 1;
        keys.push((name, token, *occurrence));
    }
    keys
}
