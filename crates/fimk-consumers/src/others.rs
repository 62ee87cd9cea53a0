//! Lines that are no entry of their file: compared by what they hold and not by where they stand.
//!
//! A line that is not of the form is never skipped, because whoever reads the file may well accept it.
//! It is named by number and length, never quoted, and a token tells whether it changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Difference, Token, Tokenize, pieces::Numbers};

/// Why a line is malformed, for one kind of file.
pub(crate) trait Fault: Copy {
    /// As printed.
    fn words(self) -> &'static str;
}

/// A line that is not of the form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malformed<F> {
    /// Its number, from 1.
    pub line: u32,
    /// Its length.
    pub bytes: u32,
    /// What is wrong with it.
    pub fault: F,
    /// Stands for it.
    pub token: Token,
}

impl<F> Malformed<F> {
    pub(crate) fn new(index: usize, line: &[u8], fault: F, tokenize: &dyn Tokenize) -> Self {
        Self {
            line: u32::try_from(index + 1).unwrap_or(u32::MAX),
            bytes: u32::try_from(line.len()).unwrap_or(u32::MAX),
            fault,
            token: tokenize.token(line),
        }
    }
}

/// What differs between the malformed lines of two states.
pub(crate) fn malformed<F: Fault>(
    before: &[Malformed<F>],
    after: &[Malformed<F>],
    numbers: &mut Numbers,
) -> Vec<Difference> {
    let [old, new] = [before, after].map(|lines| {
        let line = |it: &Malformed<F>| OtherLine {
            subject: format!("line {}", it.line),
            words: malformed_words(it.bytes, it.fault.words()),
            key: ("", it.token),
        };
        lines.iter().map(line).collect::<Vec<_>>()
    });
    compare(&old, &new, numbers)
}

pub(crate) fn malformed_words(bytes: u32, fault: &str) -> String {
    format!("malformed, {bytes} bytes ({fault})")
}

/// A line that is no entry, as it is compared: a line that only moved is no difference.
pub(crate) struct OtherLine<'a> {
    pub subject: String,
    pub words: String,
    pub key: (&'a str, Token),
}

/// What differs between such lines.
pub(crate) fn compare(
    old: &[OtherLine<'_>],
    new: &[OtherLine<'_>],
    numbers: &mut Numbers,
) -> Vec<Difference> {
    let (gone, come) = (unmatched(old, new), unmatched(new, old));
    let mut pairs: BTreeMap<&str, [Option<&OtherLine<'_>>; 2]> = BTreeMap::new();
    let mut order = Vec::new();
    let mut lone = Vec::new();
    for (side, lines) in [gone, come].into_iter().enumerate() {
        for line in lines {
            let pair = pairs.entry(&line.subject).or_insert_with(|| {
                order.push(line.subject.as_str());
                [None; 2]
            });
            if pair[side].is_none() {
                pair[side] = Some(line);
            } else {
                lone.push((side, line));
            }
        }
    }
    let mut changes: Vec<Difference> = order
        .into_iter()
        .map(|subject| of_pair(subject, pairs[subject], numbers))
        .collect();
    changes.extend(lone.into_iter().map(|(side, line)| {
        let pair = if side == 0 {
            [Some(line), None]
        } else {
            [None, Some(line)]
        };
        of_pair(&line.subject, pair, numbers)
    }));
    changes
}

/// Lines of the one that the other lacks, each as often as it lacks them.
fn unmatched<'a, 'b>(
    lines: &'b [OtherLine<'a>],
    other: &[OtherLine<'a>],
) -> Vec<&'b OtherLine<'a>> {
    let mut left: BTreeMap<(&str, Token), usize> = BTreeMap::new();
    for line in other {
        *left.entry(line.key).or_default() += 1;
    }
    let mut unmatched = Vec::new();
    for line in lines {
        match left.get_mut(&line.key) {
            Some(count) if *count > 0 => *count -= 1,
            _ => unmatched.push(line),
        }
    }
    unmatched
}

fn of_pair(subject: &str, pair: [Option<&OtherLine<'_>>; 2], numbers: &mut Numbers) -> Difference {
    let numbered = matches!(pair, [Some(before), Some(after)] if before.words == after.words);
    let [before, after] = pair.map(|line| {
        let line = line?;
        Some(if numbered {
            format!("{} {}", line.words, numbers.name(line.key.1))
        } else {
            line.words.clone()
        })
    });
    Difference {
        subject: subject.to_owned(),
        field: String::new(),
        before,
        after,
    }
}
