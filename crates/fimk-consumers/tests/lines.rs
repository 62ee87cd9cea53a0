//! Ten million lines, in every format.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use fimk_consumers::{Consumer, MAX_CHANGES, Token, Tokenize, compare, findings::find, read};

const LINES: usize = 10_000_000;

struct Keyed;

impl Tokenize for Keyed {
    fn token(&self, secret: &[u8]) -> Token {
        let mut hasher = DefaultHasher::new();
        secret.hash(&mut hasher);
        let half = hasher.finish().to_le_bytes();
        let mut token = [0; 16];
        token[..8].copy_from_slice(&half);
        Token(token)
    }
}

#[test]
fn ten_million_lines_are_read_compared_and_differ_where_they_do() {
    for consumer in Consumer::ALL {
        let mut content = b"a\n".repeat(LINES);
        let before = read(consumer, &content, &Keyed).state;
        *content.last_mut().expect("it is long") = b'b';
        let after = read(consumer, &content, &Keyed).state;
        let comparison = compare(Some(&before), Some(&after));
        let differs = comparison.diff.is_some() || !comparison.changes.is_empty();
        assert!(differs, "{consumer:?}: the last line differs");
        assert!(comparison.changes.len() <= MAX_CHANGES, "{consumer:?}");
        let _ = find(Some(&before), Some(&after));
    }
}
