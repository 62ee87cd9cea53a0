//! `fimk legend`: every field of an event, in the words of fimk-events(7).

use fimk_core::render::FIELDS;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../man/fimk-events.7");

/// A list of objects: `name`, `type` and `meaning`.
pub fn legend() -> Value {
    let entries = PAGE.split("\n.It Va ").skip(1).filter_map(entry);
    let mut entries: Vec<(&str, Value)> = entries.collect();
    let place = |name: &str| FIELDS.iter().position(|(field, _)| *field == name);
    entries.sort_by_key(|(name, _)| place(name));
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// The name of the field, what it holds in brackets, and sentences.
fn entry(text: &str) -> Option<(&str, Value)> {
    let (name, rest) = text.split_once('\n')?;
    let (kind, rest) = rest.strip_prefix(".Pq ")?.split_once('\n')?;
    // A list in it belongs to it, its own end does not.
    let mut depth = 0;
    let mut words = Vec::new();
    for line in rest.lines() {
        match line.get(..3) {
            Some(".Bl") => depth += 1,
            Some(".El") if depth > 0 => depth -= 1,
            Some(".El") => break,
            Some(".It") if depth == 0 => break,
            _ => words.extend(plain(line)),
        }
    }
    let meaning = joined(&words);
    let value = json!({ "name": name, "type": kind, "meaning": meaning });
    Some((name, value))
}

/// The words of a line of mdoc(7): macros, which are two letters, are left out; those that quote leave their quotes.
fn plain(line: &str) -> Vec<String> {
    let Some(call) = line.strip_prefix('.') else {
        return line.split_whitespace().map(str::to_owned).collect();
    };
    let mut words: Vec<&str> = call.split_whitespace().collect();
    let is_macro = |word: &&str| matches!(word.as_bytes(), [first, second] if first.is_ascii_uppercase() && second.is_ascii_lowercase());
    let page = words.first() == Some(&"Xr");
    words.retain(|word| !is_macro(word));
    let words = words
        .into_iter()
        .map(|word| word.replace("\\&", "").replace("\\(dq", "\""));
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [name, section, rest @ ..] if page => {
            let first = format!("{name}({section})");
            std::iter::once(first).chain(rest.iter().cloned()).collect()
        }
        _ => words,
    }
}

/// With spaces between them, but none before what closes.
fn joined(words: &[String]) -> String {
    let mut out = String::new();
    for word in words {
        let closes = matches!(word.as_str(), "." | "," | ";" | ":" | ")");
        if !out.is_empty() && !closes {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn every_field_has_a_meaning_without_marks() {
        let legend = legend();
        let entries = legend.as_array().expect("a list");
        let names: Vec<&str> = entries
            .iter()
            .filter_map(|it| it["name"].as_str())
            .collect();
        let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, known);
        for entry in entries {
            let meaning = entry["meaning"].as_str().expect("words");
            assert!(meaning.len() > 5 && meaning.ends_with('.'), "{entry}");
            assert!(!meaning.contains('\\'), "{entry}");
        }
    }
}
