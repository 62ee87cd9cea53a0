//! A rule: `users hosts = (as) TAG: command, command : hosts = …`.

use std::collections::BTreeSet;

use super::list_end;
use crate::entries::{
    Entry, Fault, Field, Line,
    line::{find_any, normal},
};

/// Parts that hold for several commands are repeated with each, up to so many times the length of the line.
const MAX_REPEATED: usize = 16;

/// Each pair of a tag and its opposite with `NO` before it; the later one holds.
const TAGS: [&[u8]; 8] = [
    b"PASSWD",
    b"EXEC",
    b"SETENV",
    b"LOG_INPUT",
    b"LOG_OUTPUT",
    b"MAIL",
    b"FOLLOW",
    b"INTERCEPT",
];

/// What may be said with a value before a command.
const OPTIONS: [&[u8]; 10] = [
    b"ROLE",
    b"TYPE",
    b"APPARMOR_PROFILE",
    b"PRIVS",
    b"LIMITPRIVS",
    b"TIMEOUT",
    b"NOTBEFORE",
    b"NOTAFTER",
    b"CWD",
    b"CHROOT",
];

pub(super) fn put(line: &Line<'_>, text: &[u8], entries: &mut Vec<Entry>) -> Result<(), Fault> {
    let (users, mut rest) = text.split_at(list_end(text));
    let users = normal(users);
    let mut budget = MAX_REPEATED * text.len();
    loop {
        let equals = find_any(rest, b"=").ok_or(Fault::Form)?;
        let hosts = normal(&rest[..equals]);
        if hosts.is_empty() {
            return Err(Fault::Form);
        }
        let commands = &rest[equals + 1..];
        let mut said = Said::default();
        let mut at = 0;
        loop {
            let words = normal(said.next(commands, &mut at)?);
            let repeated = users.len() + hosts.len() + said.len();
            budget = budget.saturating_sub(repeated + words.len());
            if budget == 0 {
                return one_for_all(line, &users, &hosts, commands, entries);
            }
            entries.push(said.entry(line, &users, &hosts, &words)?);
            if commands.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        // Behind a colon come other hosts.
        match commands.get(at) {
            Some(_) => rest = &commands[at + 1..],
            None => return Ok(()),
        }
    }
}

/// With every tag that one of the commands has. One that is any command of root's is told by itself as well: it must not
/// hide among so many.
fn one_for_all(
    line: &Line<'_>,
    users: &[u8],
    hosts: &[u8],
    commands: &[u8],
    entries: &mut Vec<Entry>,
) -> Result<(), Fault> {
    let (mut said, mut at) = (Said::default(), 0);
    let mut tags: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut everything = None;
    loop {
        let command = said.next(commands, &mut at)?;
        tags.extend(said.tags.iter().cloned());
        if everything.is_none() && command == b"ALL" && said.is_as_root() {
            everything = Some(said.entry(line, users, hosts, command)?);
        }
        match commands.get(at) {
            Some(_) => at += 1,
            None => break,
        }
    }
    let subject = [users, b" may run many commands"].concat();
    let commands = normal(commands);
    let tags: Vec<Vec<u8>> = tags.into_iter().collect();
    let tags = tags.join(&b' ');
    let fields = [
        (Field::On, hosts),
        (Field::Tags, &tags[..]),
        (Field::Commands, &commands),
    ];
    entries.push(Entry::new(line, &subject, fields));
    entries.extend(everything);
    Ok(())
}

/// As whom, where nothing is said of it.
const DEFAULT: &[u8] = b"root by default";

/// Whether one of these users is root, by name, number, group or as one of all.
pub(crate) fn is_as_root(run_as: &str) -> bool {
    let users = run_as.split(':').next().unwrap_or_default();
    users.split(',').any(|user| {
        let plain = user.replace(['"', '\\'], "");
        let plain = plain.trim();
        let group = plain.strip_prefix('%');
        let number = group.unwrap_or(plain).strip_prefix('#');
        let is_zero = |number: &str| !number.is_empty() && number.bytes().all(|it| it == b'0');
        matches!(plain, "ALL" | "root" | "%root" | "root by default") || number.is_some_and(is_zero)
    })
}

/// What was said before a command holds for those behind it as well.
#[derive(Default)]
struct Said {
    run_as: Option<Vec<u8>>,
    tags: Vec<Vec<u8>>,
    options: Vec<(&'static [u8], Vec<u8>)>,
}

impl Said {
    fn is_as_root(&self) -> bool {
        let run_as = self.run_as.as_deref().unwrap_or(DEFAULT);
        str::from_utf8(run_as).is_ok_and(is_as_root)
    }

    fn len(&self) -> usize {
        let tags = self.tags.iter().map(Vec::len);
        let options = self
            .options
            .iter()
            .map(|(name, value)| name.len() + value.len());
        self.run_as.as_ref().map_or(0, Vec::len) + tags.chain(options).sum::<usize>()
    }

    /// The command that begins at `at`, which is moved to what ends it.
    fn next<'a>(&mut self, text: &'a [u8], at: &mut usize) -> Result<&'a [u8], Fault> {
        let mut start = blanks(text, *at);
        if text.get(start) == Some(&b'(') {
            let end = find_any(&text[start..], b")").ok_or(Fault::Incomplete)?;
            self.run_as = Some(people(&text[start + 1..start + end]));
            start = blanks(text, start + end + 1);
        }
        while let Some(end) = self.option_or_tag(&text[start..]) {
            start = blanks(text, start + end);
        }
        let end = command_end(text, start);
        *at = end;
        let command = text[start..end].trim_ascii();
        if command.is_empty() {
            return Err(Fault::Incomplete);
        }
        Ok(command)
    }

    /// Where an option or a tag ends, if the text begins with one.
    fn option_or_tag(&mut self, text: &[u8]) -> Option<usize> {
        let name = |byte: &&u8| byte.is_ascii_uppercase() || **byte == b'_';
        let length = text.iter().take_while(name).count();
        let sign = blanks(text, length);
        let word = &text[..length];
        match text.get(sign)? {
            b':' => {
                let base = word.strip_prefix(b"NO").unwrap_or(word);
                let base = *TAGS.iter().find(|tag| **tag == base)?;
                let opposite = |tag: &Vec<u8>| tag.ends_with(base) && tag.len() <= base.len() + 2;
                self.tags.retain(|tag| !opposite(tag));
                self.tags.push(word.to_vec());
                self.tags.sort();
                Some(sign + 1)
            }
            b'=' => {
                let option = *OPTIONS.iter().find(|option| **option == word)?;
                let value = blanks(text, sign + 1);
                let length = find_any(&text[value..], b" \t,").unwrap_or(text.len() - value);
                self.options.retain(|(name, _)| *name != option);
                self.options
                    .push((option, text[value..value + length].to_vec()));
                self.options.sort();
                Some(value + length)
            }
            _ => None,
        }
    }

    fn entry(
        &self,
        line: &Line<'_>,
        users: &[u8],
        hosts: &[u8],
        command: &[u8],
    ) -> Result<Entry, Fault> {
        let denial = |byte: &&u8| **byte == b'!' || **byte == b' ';
        let (denials, command) = command.split_at(command.iter().take_while(denial).count());
        let signs = denials.iter().filter(|&&byte| byte == b'!');
        let denied = signs.fold(false, |denied, _| !denied);
        let verb: &[u8] = if denied {
            b" may not run "
        } else {
            b" may run "
        };
        if command.is_empty() {
            return Err(Fault::Incomplete);
        }
        let option = |(name, value): &(&[u8], Vec<u8>)| [*name, b"=", value].concat();
        let options: Vec<Vec<u8>> = self.options.iter().map(option).collect();
        let run_as = self.run_as.as_deref().unwrap_or(DEFAULT);
        let (tags, options) = (self.tags.join(&b' '), options.join(&b' '));
        let fields = [
            (Field::As, run_as),
            (Field::On, hosts),
            (Field::Tags, &tags),
            (Field::Options, &options),
        ];
        let subject = [users, verb, command].concat();
        Ok(Entry::new(line, &subject, fields))
    }
}

/// `users : groups`, without blanks around the colon; nothing is the user himself.
fn people(list: &[u8]) -> Vec<u8> {
    match list.trim_ascii() {
        b"" => b"the user".to_vec(),
        list => match find_any(list, b":") {
            Some(colon) => [normal(&list[..colon]), normal(&list[colon + 1..])].join(&b':'),
            None => normal(list),
        },
    }
}

fn blanks(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// A comma or a colon ends a command, but for those of digests before it and within a regular expression.
fn command_end(text: &[u8], start: usize) -> usize {
    let (mut at, mut word) = (start, start);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'^' if at == word => at += find_any(&text[at..], b"$").unwrap_or(0),
            b':' if is_digest(&text[word..at]) => {}
            // Another digest of the same command follows.
            b',' if starts_with_digest(&text[word..at]) => word = at + 1,
            b',' | b':' => return at,
            b' ' | b'\t' | b'!' => word = at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

fn is_digest(word: &[u8]) -> bool {
    let kinds: [&[u8]; 4] = [b"sha224", b"sha256", b"sha384", b"sha512"];
    kinds.contains(&word)
}

/// `sha256:…`
fn starts_with_digest(word: &[u8]) -> bool {
    word.get(6) == Some(&b':') && is_digest(&word[..6])
}
