//! Words of a line as apt cuts them: quotes and brackets keep blanks together, quotes go away, and `%2e` is a byte.

use crate::entries::Fault;

/// Where a comment begins: at a hash sign that is not in brackets.
pub(super) fn comment(line: &[u8]) -> Option<usize> {
    let last = line.iter().rposition(|&byte| byte == b']');
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'#' => return Some(at),
            b'[' if last.is_some_and(|last| last > at) => at += to(&line[at..], b']').unwrap_or(0),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The first word, and what follows the blanks behind it.
pub(super) fn next(text: &[u8]) -> Result<(Vec<u8>, &[u8]), Fault> {
    let text = text.trim_ascii_start();
    let mut end = 0;
    while let Some(&byte) = text.get(end) {
        match byte {
            b'"' => end += to(&text[end..], b'"').ok_or(Fault::Quote)?,
            b'[' => end += to(&text[end..], b']').ok_or(Fault::Incomplete)?,
            byte if byte.is_ascii_whitespace() => break,
            _ => {}
        }
        end += 1;
    }
    let (word, rest) = text.split_at(end);
    Ok((plain(word), rest.trim_ascii_start()))
}

/// All words.
pub(super) fn all(mut text: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut words = Vec::new();
    while !text.trim_ascii_start().is_empty() {
        let (word, rest) = next(text)?;
        words.push(word);
        text = rest;
    }
    Ok(words)
}

/// How far it is to this byte, behind the first.
fn to(text: &[u8], wanted: u8) -> Option<usize> {
    let found = text.iter().skip(1).position(|&byte| byte == wanted);
    found.map(|at| at + 1)
}

fn plain(word: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        let digit = word.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        digit.and_then(|digit| u8::try_from(digit).ok())
    };
    let mut plain = Vec::with_capacity(word.len());
    let mut at = 0;
    while let Some(&byte) = word.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            // A NUL stays as it is written: it would be the mark of a secret here, and the end of the word there.
            (b'%', Some(high), Some(low)) if high + low > 0 => {
                plain.push(high << 4 | low);
                at += 2;
            }
            (b'"', ..) => {}
            _ => plain.push(byte),
        }
        at += 1;
    }
    plain
}
