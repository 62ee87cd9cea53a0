//! The words of a line, as sshd cuts it: its source (`strdelim` for the keyword, `argv_split` for what follows) says more
//! than the manual page. Both kinds of quotes may begin and end within a word, a backslash stands before a quote, a blank
//! or another backslash, and one sign of equality may stand on either side of the keyword.

use crate::entries::Fault;

/// The keyword and what follows it. A blank line and a comment have none.
pub(super) fn keyword(line: &[u8]) -> Result<(Vec<u8>, &[u8]), Fault> {
    let text = line.trim_ascii();
    let text = text.strip_prefix(b"=").unwrap_or(text).trim_ascii_start();
    if text.is_empty() || text.starts_with(b"#") {
        return Ok((Vec::new(), b""));
    }
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"=\"".contains(byte);
    let end = text.iter().position(ends).unwrap_or(text.len());
    let (keyword, rest) = text.split_at(end);
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let rest = rest.trim_ascii_start();
        let rest = rest.strip_prefix(b"=").unwrap_or(rest);
        return Ok((keyword.to_vec(), rest));
    };
    let close = quoted.iter().position(|&byte| byte == b'"');
    let (inner, rest) = quoted.split_at(close.ok_or(Fault::Quote)?);
    Ok(([keyword, inner].concat(), &rest[1..]))
}

/// What follows the keyword, word by word, without quotes.
pub(crate) fn values(text: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut words = Words { text, at: 0 };
    let mut all = Vec::new();
    while let Some(word) = words.next()? {
        all.push(word);
    }
    Ok(all)
}

/// Where a comment begins: at a word that begins with a hash sign.
pub(super) fn comment(line: &[u8]) -> Option<usize> {
    let start = line.len() - line.trim_ascii_start().len();
    if line[start..].starts_with(b"#") {
        return Some(start);
    }
    let (_, rest) = keyword(line).ok()?;
    let end = line.trim_ascii_end().len();
    let mut words = Words { text: rest, at: 0 };
    while words.next().ok()?.is_some() {}
    let at = end - rest.len() + words.at;
    (line.get(at) == Some(&b'#')).then_some(at)
}

/// As a line would have it.
pub(super) fn quoted(word: &[u8]) -> Vec<u8> {
    let is_odd = |byte: &u8| byte.is_ascii_whitespace() || b"\"'".contains(byte);
    if !word.is_empty() && !word.iter().any(is_odd) {
        return word.to_vec();
    }
    let mut quoted = vec![b'"'];
    for &byte in word {
        if byte == b'"' {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

struct Words<'a> {
    text: &'a [u8],
    at: usize,
}

impl Words<'_> {
    /// None at the end and at a comment, where `at` stays.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let blank = |byte: u8| byte.is_ascii_whitespace();
        while self.text.get(self.at).copied().is_some_and(blank) {
            self.at += 1;
        }
        if matches!(self.text.get(self.at), None | Some(b'#')) {
            return Ok(None);
        }
        let mut word = Vec::new();
        let mut quote = None;
        while let Some(&byte) = self.text.get(self.at) {
            let next = self.text.get(self.at + 1).copied();
            match (byte, next, quote) {
                (b'\\', Some(next @ (b'\'' | b'"' | b'\\')), _)
                | (b'\\', Some(next @ b' '), None) => {
                    self.at += 1;
                    word.push(next);
                }
                (b'"' | b'\'', _, None) => quote = Some(byte),
                (_, _, Some(open)) if open == byte => quote = None,
                (_, _, None) if blank(byte) => break,
                _ => word.push(byte),
            }
            self.at += 1;
        }
        match quote {
            Some(_) => Err(Fault::Quote),
            None => Ok(Some(word)),
        }
    }
}
