//! access.conf(5) of `pam_access`: `permission:users:origins`, of which the first rule that matches decides.
//!
//! So the order of rules counts and is compared: a rule that only moved is said to have moved. Items of a
//! list stand between blanks or commas; `EXCEPT` takes from what stands before it, and may be nested. The
//! words ALL, LOCAL, NONE and EXCEPT are known in either case. Fields are cut as `pam_access` cuts them: empty
//! ones count for nothing, and the last may have colons. The arguments `fieldsep` and `listsep` of the module
//! are not known here.
//!
//! Comments and blank lines are no rules; that something of the kind changed is said in one difference for the
//! file. Every other line, a comment behind blanks for one, is named by number and length if it is no rule.
//!
//! Limits: as for text, the first 20,000 lines within the first MiB; a line of more than 8,190 bytes
//! counts as malformed, because a `pam_access` that reads with fgets(3) takes it for several (BUFSIZ). At most 256
//! bytes of a field are printed.

use serde::{Deserialize, Serialize};

use crate::{
    Difference, Token, Tokenize,
    lines::{self, Rest},
    others::{self, Malformed},
    pieces::{Numbers, Pieces},
    redact::{self, Redactor},
    table::MAX_FIELD,
};

mod order;

const MAX_LINE: usize = 8190;

/// The lines of an access.conf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// In order.
    pub rules: Vec<Rule>,
    /// Lines that are neither a rule nor a comment.
    pub malformed: Vec<Malformed<Fault>>,
    /// The last line has its newline.
    pub newline: bool,
    /// Stands for the content as it is.
    pub whole: Token,
    /// What was not kept.
    pub rest: Option<Rest>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// What becomes of a login that matches.
    pub permission: Permission,
    /// Users, `(groups)`, `@netgroups`, `user@host`, ALL.
    pub users: List,
    /// Hosts, addresses, networks, `.domains`, terminals, services, ALL, LOCAL.
    pub origins: List,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Permission {
    Grant,
    Deny,
}

impl Permission {
    fn words(self) -> &'static str {
        match self {
            Self::Grant => "+ (grant)",
            Self::Deny => "- (deny)",
        }
    }

    fn sign(self) -> char {
        match self {
            Self::Grant => '+',
            Self::Deny => '-',
        }
    }
}

/// A list of items with its exceptions: items joined by blanks, and by ` EXCEPT ` where one begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct List(pub Pieces);

/// Why a line is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Fault {
    TooLong,
    Nul,
    IndentedComment,
    FieldCount,
    Permission,
    Empty,
}

impl others::Fault for Fault {
    fn words(self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::Nul => "has NUL bytes",
            Self::IndentedComment => "a comment behind blanks",
            Self::FieldCount => "wrong number of fields",
            Self::Permission => "neither + nor - at its start",
            Self::Empty => "a list is empty",
        }
    }
}

/// Parses a file; the flag tells whether something was redacted.
pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    let (kept, rest) = lines::split(content);
    let mut state = State {
        rules: Vec::new(),
        malformed: Vec::new(),
        newline: content.is_empty() || content.ends_with(b"\n"),
        whole: tokenize.token(content),
        rest: lines::rest(content, rest, tokenize),
    };
    let mut secrets = !rest.is_empty();
    let mut comments = Redactor::default();
    for (index, line) in kept.iter().enumerate() {
        match row(line, tokenize) {
            Ok(Some(rule)) => {
                secrets |= rule.users.0.has_secrets() || rule.origins.0.has_secrets();
                state.rules.push(rule);
            }
            // Nothing of a comment is kept, but its digest would allow guessing.
            Ok(None) => secrets |= !comments.spans(line).is_empty(),
            Err(fault) => {
                secrets = true;
                let malformed = Malformed::new(index, line, fault, tokenize);
                state.malformed.push(malformed);
            }
        }
    }
    (state, secrets)
}

/// The rule of a line, if it is neither blank nor a comment.
fn row(line: &[u8], tokenize: &dyn Tokenize) -> Result<Option<Rule>, Fault> {
    let text = line.trim_ascii();
    if text.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    if line.len() > MAX_LINE {
        return Err(Fault::TooLong);
    }
    if line.contains(&0) {
        return Err(Fault::Nul);
    }
    // Blanks before the sign make it none for pam_access.
    let permission = match line.first() {
        Some(b'+') => Permission::Grant,
        Some(b'-') => Permission::Deny,
        _ if text.starts_with(b"#") => return Err(Fault::IndentedComment),
        _ => return Err(Fault::Permission),
    };
    let (_, rest) = cut(text).ok_or(Fault::FieldCount)?;
    let users = rest.iter().position(|&byte| byte != b':');
    let (users, origins) = cut(&rest[users.unwrap_or(rest.len())..]).ok_or(Fault::FieldCount)?;
    if origins.is_empty() {
        return Err(Fault::FieldCount);
    }
    Ok(Some(Rule {
        permission,
        users: list(users, tokenize)?,
        origins: list(origins, tokenize)?,
    }))
}

/// What stands before the first colon, and what behind it.
fn cut(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().position(|&byte| byte == b':')?;
    Some((&text[..colon], &text[colon + 1..]))
}

fn list(field: &[u8], tokenize: &dyn Tokenize) -> Result<List, Fault> {
    let items = field
        .split(|byte| matches!(byte, b' ' | b'\t' | b','))
        .filter(|item| !item.is_empty());
    let items: Vec<Vec<u8>> = items.map(item).collect();
    if items.is_empty() {
        return Err(Fault::Empty);
    }
    Ok(List(redact::text(&items.join(&b' '), tokenize)))
}

/// Words that mean something are written in capitals.
fn item(item: &[u8]) -> Vec<u8> {
    let words: [&[u8]; 4] = [b"ALL", b"LOCAL", b"NONE", b"EXCEPT"];
    let known = words.iter().find(|word| word.eq_ignore_ascii_case(item));
    known.copied().unwrap_or(item).to_vec()
}

impl State {
    /// For a comparison with something else.
    pub(crate) fn describe(&self) -> String {
        format!("{} rules", self.rules.len())
    }
}

impl Rule {
    /// `+:root (wheel):LOCAL .example.org`
    fn words(&self, numbers: &mut Numbers) -> String {
        let [users, origins] = [&self.users, &self.origins].map(|list| said(list, numbers));
        format!("{}:{users}:{origins}", self.permission.sign())
    }

    /// Field, before and after of each that differs.
    fn changes(&self, after: &Self, numbers: &mut Numbers) -> Vec<(&'static str, String, String)> {
        let mut changes = Vec::new();
        if self.permission != after.permission {
            let [before, after] = [self, after].map(|rule| rule.permission.words().to_owned());
            changes.push(("permission", before, after));
        }
        for (field, before, after) in [
            ("users", &self.users, &after.users),
            ("origins", &self.origins, &after.origins),
        ] {
            if before != after {
                changes.push((field, said(before, numbers), said(after, numbers)));
            }
        }
        changes
    }

    /// Whether one may have become the other: something of it stayed.
    fn resembles(&self, other: &Self) -> bool {
        self.users == other.users || self.origins == other.origins
    }
}

fn said(list: &List, numbers: &mut Numbers) -> String {
    list.0.render(numbers, MAX_FIELD).text
}

/// Everything a new file brings.
pub(crate) fn created(after: &State) -> Vec<Difference> {
    let nothing = State {
        rules: Vec::new(),
        malformed: Vec::new(),
        newline: true,
        whole: after.whole,
        rest: None,
    };
    compare(&nothing, after)
}

/// What differs between two states of a file.
pub(crate) fn compare(before: &State, after: &State) -> Vec<Difference> {
    let mut numbers = Numbers::default();
    let mut changes = order::compare(&before.rules, &after.rules, &mut numbers);
    changes.extend(others::malformed(
        &before.malformed,
        &after.malformed,
        &mut numbers,
    ));
    changes.extend(lines::beyond(before.rest.as_ref(), after.rest.as_ref()));
    if before.newline != after.newline {
        changes.push(Difference::of_file("last line", last_line(after.newline)));
    }
    if changes.is_empty() && before.whole != after.whole {
        changes.push(Difference::of_file(
            "layout",
            "only comments, blanks or the places of lines that are no rules differ",
        ));
    }
    changes
}

/// A `pam_access` that reads with fgets(3) skips a last line without a newline.
fn last_line(newline: bool) -> &'static str {
    if newline {
        "ends with a newline now: pam_access reads it"
    } else {
        "has no newline: pam_access may not read it"
    }
}
