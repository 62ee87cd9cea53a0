//! Splitting of content into lines, and what of it is kept.

use serde::{Deserialize, Serialize};

use crate::{Difference, Token, Tokenize};

/// A state keeps the lines that lie wholly within this many bytes of content: a record is one value in
/// the store of a process that is to live in 64 MiB.
pub const MAX_BYTES: usize = 1 << 20;

/// A state keeps at most this many lines: each costs some tens of bytes whatever its length.
pub(crate) const MAX_LINES: usize = 20_000;

/// What was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Lines of the whole content.
    pub lines: u64,
    /// Bytes of the whole content.
    pub bytes: u64,
    /// Stands for what follows the kept lines.
    pub token: Token,
}

/// Splits content into its first lines, without their newlines, and the rest after them.
pub(crate) fn split(content: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines = Vec::new();
    let mut kept = 0;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if lines.len() == MAX_LINES || kept + line.len() > MAX_BYTES {
            break;
        }
        kept += line.len();
        lines.push(without_newline(line));
    }
    (lines, &content[kept..])
}

pub(crate) fn without_newline(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Describes the rest, if there is one.
pub(crate) fn rest(content: &[u8], rest: &[u8], tokenize: &dyn Tokenize) -> Option<Rest> {
    (!rest.is_empty()).then(|| Rest {
        lines: content.split_inclusive(|&byte| byte == b'\n').count() as u64,
        bytes: content.len() as u64,
        token: tokenize.token(rest),
    })
}

/// Whether what was not kept differs.
pub(crate) fn beyond(before: Option<&Rest>, after: Option<&Rest>) -> Option<Difference> {
    (before != after)
        .then(|| Difference::of_file("rest", "more differs after the first 20,000 lines or 1 MiB"))
}
