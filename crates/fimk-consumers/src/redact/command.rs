//! Secrets known by the program they are given to: arguments of processes, and command lines in scripts.
//! Sources: the manual pages of the programs in [`PROGRAMS`].

use std::ops::Range;

use super::{spans::Spans, values};

/// How a program takes a secret by an option.
struct Program {
    names: &'static [&'static [u8]],
    /// Options without a value, which may stand in the same word before the one with the secret.
    flags: &'static [u8],
    /// The short options.
    options: &'static [u8],
    /// Long options that take the same, with their dashes.
    long: &'static [&'static [u8]],
    form: Form,
}

#[derive(PartialEq, Clone, Copy)]
enum Form {
    /// `-p SECRET` or `-pSECRET`
    Value,
    /// `-pSECRET` only
    Attached,
    /// `-u user:SECRET`
    AfterColon,
}

const PROGRAMS: [Program; 10] = [
    Program {
        names: &[b"useradd"],
        flags: b"DFlmMNor",
        options: b"p",
        long: &[],
        form: Form::Value,
    },
    Program {
        names: &[b"usermod"],
        flags: b"aLmorU",
        options: b"p",
        long: &[],
        form: Form::Value,
    },
    Program {
        names: &[b"groupadd", b"groupmod"],
        flags: b"for",
        options: b"p",
        long: &[],
        form: Form::Value,
    },
    Program {
        names: &[b"sshpass"],
        flags: b"v",
        options: b"p",
        long: &[],
        form: Form::Value,
    },
    Program {
        names: &[b"docker", b"podman"],
        flags: b"",
        options: b"p",
        long: &[],
        form: Form::Value,
    },
    Program {
        names: &[b"mysql", b"mysqldump", b"mysqladmin", b"mariadb"],
        flags: b"",
        options: b"p",
        long: &[],
        form: Form::Attached,
    },
    Program {
        names: &[
            b"ldapsearch",
            b"ldapadd",
            b"ldapmodify",
            b"ldapdelete",
            b"ldappasswd",
        ],
        flags: b"xZv",
        options: b"w",
        long: &[],
        form: Form::Value,
    },
    Program {
        names: &[b"setfattr"],
        flags: b"h",
        options: b"v",
        long: &[b"--value"],
        form: Form::Value,
    },
    Program {
        names: &[b"redis-cli"],
        flags: b"",
        options: b"a",
        long: &[],
        form: Form::Value,
    },
    Program {
        names: &[b"curl", b"wget"],
        flags: b"sSkLvfgiIO",
        options: b"uU",
        long: &[b"--user", b"--proxy-user"],
        form: Form::AfterColon,
    },
];

/// Programs that read `user:password` lines, which a shell gives them from its own arguments.
const READERS: [&[u8]; 2] = [b"chpasswd", b"newusers"];

fn base(word: &[u8]) -> &[u8] {
    word.rsplit(|&byte| byte == b'/').next().unwrap_or(word)
}

/// Marks the secrets among the words of a command line.
pub(super) fn mark(words: &[&[u8]], mark: &mut dyn FnMut(usize, Range<usize>)) {
    let mut program: Option<&Program> = None;
    let mut awaited: Option<Form> = None;
    let reader = words.iter().any(|word| READERS.contains(&base(word)));
    for (index, word) in words.iter().enumerate() {
        if let Some(form) = awaited.take().filter(|_| !word.starts_with(b"--")) {
            mark(index, secret(word, 0, form));
        } else if let Some(known) = PROGRAMS
            .iter()
            .find(|known| known.names.contains(&base(word)))
        {
            program = Some(known);
        } else if matches!(word.first(), Some(b';' | b'|' | b'&')) {
            program = None;
        } else if let Some((value, form)) = program.and_then(|program| program.option_in(word)) {
            mark(index, secret(word, value, form));
            awaited = (value == word.len() && form != Form::Attached).then_some(form);
        } else if is_secret_option(word) {
            awaited = Some(Form::Value);
        } else if reader {
            mark(index, secret(word, 0, Form::AfterColon));
        }
    }
}

impl Program {
    /// Where in the word the value of the option begins, if the word has it.
    fn option_in(&self, word: &[u8]) -> Option<(usize, Form)> {
        if let Some(long) = self.long.iter().find(|long| word.starts_with(long)) {
            return match word.get(long.len()) {
                None => Some((word.len(), self.form)),
                Some(b'=') => Some((long.len() + 1, self.form)),
                Some(_) => None,
            };
        }
        let letters = word.strip_prefix(b"-")?;
        let is_flag = |letter: &&u8| self.flags.contains(letter);
        let flags = letters.iter().take_while(is_flag).count();
        let is_one = letters
            .get(flags)
            .is_some_and(|it| self.options.contains(it));
        is_one.then_some((flags + 2, self.form))
    }
}

/// `--token`, `-password`; with a value in the same word it is an assignment.
fn is_secret_option(word: &[u8]) -> bool {
    word.len() > 2 && word[0] == b'-' && !word.contains(&b'=') && values::is_secret_name(word)
}

fn secret(word: &[u8], start: usize, form: Form) -> Range<usize> {
    if form != Form::AfterColon {
        return start..word.len();
    }
    let colon = word[start..].iter().position(|&byte| byte == b':');
    colon.map_or(0..0, |colon| start + colon + 1..word.len())
}

/// Marks the secrets of command lines within a text. Quotes separate words; a value that begins in
/// quotes goes on to the closing one.
pub(super) fn find(text: &[u8], spans: &mut Spans) {
    let ranges = words(text);
    let slices: Vec<&[u8]> = ranges.iter().map(|range| &text[range.clone()]).collect();
    let mut reached = 0;
    mark(&slices, &mut |index, span| {
        let word = &ranges[index];
        let start = word.start + span.start;
        if start < reached || span.is_empty() {
            return;
        }
        let mut end = word.start + span.end;
        if let Some(&quote @ (b'"' | b'\'')) = word.start.checked_sub(1).and_then(|at| text.get(at))
        {
            let close = text[end..].iter().position(|&byte| byte == quote);
            end = close.map_or(text.len(), |close| end + close);
        }
        spans.push(start..end);
        reached = end;
    });
}

/// Words between blanks and quotes; what separates commands is a word of its own.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = 0;
    for (at, byte) in text.iter().enumerate() {
        let separator = b";|&".contains(byte);
        if separator || byte.is_ascii_whitespace() || b"\"'`()".contains(byte) {
            words.push(start..at);
            start = at + 1;
        }
        if separator {
            words.push(at..at + 1);
        }
    }
    words.push(start..text.len());
    words.retain(|word| !word.is_empty());
    words
}
