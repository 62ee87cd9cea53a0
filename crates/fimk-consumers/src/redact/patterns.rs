//! Secrets that only this host knows the look of: patterns of its configuration.
//!
//! They hold for the whole process, because strings are redacted wherever they come from: contents, arguments, names.

use std::sync::{Arc, PoisonError, RwLock};

use regex_automata::{
    meta::{Config, Regex},
    util::syntax,
};

use super::spans::Spans;

/// Patterns of a configuration.
pub const PATTERNS_MAX: usize = 64;

/// Of one pattern.
pub const PATTERN_BYTES_MAX: usize = 512;

/// Of all patterns as one automaton: a process has 64 MiB, and each thread that reads has a cache beside it.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;

/// Of such a cache.
const CACHE_BYTES_MAX: usize = 256 << 10;

/// Matches of a line that are told apart. Each begins a search of what is left, so many of them in a long line would take
/// quadratic time: what is behind the last is all taken for a secret.
const MATCHES_MAX: usize = 256;

/// Compiled patterns.
#[derive(Debug)]
pub struct Patterns(Regex);

impl Patterns {
    /// Compiles regular expressions without Unicode classes; `.` is any byte of a line.
    ///
    /// # Errors
    /// What is wrong with which of them, or with all of them together: a part of a sentence.
    pub fn new(patterns: &[String]) -> Result<Self, (usize, String)> {
        for (number, pattern) in patterns.iter().enumerate() {
            let one = compile(std::slice::from_ref(pattern));
            let one = one.map_err(|why| (number, why))?;
            if one.is_match(b"") {
                let why = "matches where there is nothing; write one that needs a character";
                return Err((number, why.to_owned()));
            }
        }
        let all = compile(patterns).map_err(|why| (0, why))?;
        Ok(Self(all))
    }

    /// Marks what they match: of a pattern with a group, the first group.
    pub(super) fn find(&self, line: &[u8], spans: &mut Spans) {
        for (number, found) in self.0.captures_iter(line).enumerate() {
            let Some(whole) = found.get_match() else {
                continue;
            };
            if number == MATCHES_MAX {
                spans.push(whole.start()..line.len());
                return;
            }
            let secret = found.get_group(1).unwrap_or(whole.span());
            spans.push(secret.start..secret.end);
        }
    }
}

fn compile(patterns: &[String]) -> Result<Regex, String> {
    let config = Config::new()
        .nfa_size_limit(Some(AUTOMATON_BYTES_MAX))
        .hybrid_cache_capacity(CACHE_BYTES_MAX)
        .utf8_empty(false);
    Regex::builder()
        .configure(config)
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build_many(patterns)
        .map_err(|error| {
            if error.size_limit().is_some() {
                "is too complex, alone or with the others; write shorter ones".to_owned()
            } else {
                let why = error
                    .syntax_error()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                // The parser draws a picture above its last line.
                let last = why.lines().last().unwrap_or_default();
                format!(
                    "is not a regular expression ({})",
                    last.trim_start_matches("error: ")
                )
            }
        })
}

static CONFIGURED: RwLock<Option<Arc<Patterns>>> = RwLock::new(None);

/// What holds from now on, in all threads.
pub fn configure(patterns: Option<Patterns>) {
    *CONFIGURED.write().unwrap_or_else(PoisonError::into_inner) = patterns.map(Arc::new);
}

/// What holds now.
pub(super) fn configured() -> Option<Arc<Patterns>> {
    CONFIGURED
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn found(patterns: &[&str], line: &str) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|it| (*it).to_owned()).collect();
        let patterns = Patterns::new(&patterns).expect("valid");
        let mut spans = Spans::default();
        patterns.find(line.as_bytes(), &mut spans);
        let merged = spans.merged().into_iter();
        merged.map(|span| line[span].to_owned()).collect()
    }

    #[test]
    fn the_first_group_is_the_secret_or_all_that_matches() {
        let patterns = ["EMP-[0-9]{6}", "pin: *(\\d+)"];
        assert_eq!(
            found(&patterns, "EMP-123456 pin: 77 EMP-1"),
            ["EMP-123456", "77"]
        );
        assert_eq!(found(&["a.c"], "aéc abc"), ["abc"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_place() {
        let of = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|it| (*it).to_owned()).collect();
            Patterns::new(&patterns).expect_err("refused")
        };
        let (number, why) = of(&["a", "b("]);
        assert_eq!(number, 1);
        assert!(why.contains("unclosed group"), "{why}");
        assert!(of(&["a*"]).1.contains("nothing"));
        assert!(of(&["(a{1000}){1000}"]).1.contains("too complex"));
    }

    #[test]
    fn a_line_of_thousands_of_matches_is_taken_whole() {
        let line = "ab".repeat(10_000);
        let patterns = Patterns::new(&["a".to_owned()]).expect("valid");
        let mut spans = Spans::default();
        patterns.find(line.as_bytes(), &mut spans);
        let merged = spans.merged();
        assert_eq!(merged.len(), MATCHES_MAX + 1);
        assert_eq!(merged.last().map(|span| span.end), Some(line.len()));
    }
}
