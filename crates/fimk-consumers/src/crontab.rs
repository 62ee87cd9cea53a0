//! crontab(5): which job runs when, and as whom.
//!
//! `/etc/crontab` and the files of `/etc/cron.d` name a user in each job, those of users do not. A job is known by its
//! command. What is assigned (`PATH=…`) holds for the jobs behind it, so where there is an assignment the order counts.
//! A comment has a line of its own; a hash sign elsewhere belongs to the command.
//!
//! Of the extensions the keywords (`@reboot`), random times (`~`) and the minus sign before the minute are known.
//! Limits: see [`crate::entries`].

use crate::{
    Tokenize,
    entries::{
        self, Entry, Fault, Field, Format, Line,
        line::{normal, word},
    },
    pieces::Pieces,
};

/// The jobs and assignments of a crontab.
pub type State = entries::State;

/// Each job names a user.
pub(crate) fn read(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    read_for(None, content, tokenize)
}

/// Of a user, whose name is that of the file.
pub(crate) fn read_users(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    read_for(Some(b""), content, tokenize)
}

/// Of root, whose jobs are told as such.
pub(crate) fn read_roots(content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    read_for(Some(b"root"), content, tokenize)
}

fn read_for(user: Option<&'static [u8]>, content: &[u8], tokenize: &dyn Tokenize) -> (State, bool) {
    let format = Crontab {
        user,
        ordered: false,
    };
    entries::read(format, content, tokenize)
}

struct Crontab {
    /// Whose jobs these are, if no job says it.
    user: Option<&'static [u8]>,
    /// Something is assigned.
    ordered: bool,
}

const KEYWORDS: [&[u8]; 10] = [
    b"@reboot",
    b"@yearly",
    b"@annually",
    b"@monthly",
    b"@weekly",
    b"@daily",
    b"@midnight",
    b"@hourly",
    b"@every_minute",
    b"@every_second",
];

impl Format for Crontab {
    fn ordered(&self) -> bool {
        self.ordered
    }

    fn entries(&mut self, line: &Line<'_>, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let text = line.text().trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            return Ok(());
        }
        if let Some((name, value)) = assignment(text) {
            self.ordered = true;
            let subject = [b"environment ", name].concat();
            entries.push(Entry::new(line, &subject, [(Field::Value, value)]));
            return Ok(());
        }
        let (schedule, rest) = schedule(text)?;
        let (user, command) = match self.user {
            None => word(rest),
            Some(user) => (user, rest),
        };
        if command.is_empty() {
            return Err(Fault::Incomplete);
        }
        let mut subject = Pieces::default();
        subject.extend("job ", &line.command(command));
        let schedule = normal(schedule);
        let fields = [(Field::Schedule, &schedule[..]), (Field::User, user)];
        let job = Entry::new(line, &[], fields);
        entries.push(Entry { subject, ..job });
        Ok(())
    }
}

/// `NAME = value`, of which each may be in quotes.
fn assignment(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = text.iter().position(|&byte| byte == b'=')?;
    let [name, value] =
        [&text[..equals], &text[equals + 1..]].map(|part| unquoted(part.trim_ascii()));
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let begins = name.first().is_some_and(|byte| !byte.is_ascii_digit());
    (begins && name.iter().all(is_name)).then_some((name, value))
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        text => text,
    }
}

/// When, and what follows it.
fn schedule(text: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if text.starts_with(b"@") {
        let (keyword, rest) = word(text);
        let known = KEYWORDS.iter().any(|it| it.eq_ignore_ascii_case(keyword));
        return known.then_some((keyword, rest)).ok_or(Fault::Schedule);
    }
    let mut rest = text;
    for index in 0..5 {
        let (field, behind) = word(rest);
        let field = if index == 0 {
            field.strip_prefix(b"-").unwrap_or(field)
        } else {
            field
        };
        let is_time = |byte: &u8| byte.is_ascii_alphanumeric() || b"*,-/~".contains(byte);
        if field.is_empty() {
            return Err(Fault::Incomplete);
        }
        // Months and days of the week have names.
        let named = field[0].is_ascii_alphabetic() && index < 3;
        if named || !field.iter().all(is_time) {
            return Err(Fault::Schedule);
        }
        rest = behind;
    }
    Ok((&text[..text.len() - rest.len()], rest))
}
