//! Rules, explanations and fields for a person.

use std::fmt::Write as _;

use fimk_core::render::severity_word;
use serde_json::Value;

use crate::words::{moment, shown};

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(shown)
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    let list = value.get(key).and_then(Value::as_array);
    let list = list.into_iter().flatten();
    list.filter_map(Value::as_str).map(shown).collect()
}

fn severity(value: &Value) -> String {
    let number = value.get("severity").and_then(Value::as_u64);
    let number = number.and_then(|it| u8::try_from(it).ok()).unwrap_or(0);
    format!("severity {number} ({})", severity_word(number))
}

/// Each rule, and below it its paths.
pub fn rules(rules: &Value) -> String {
    let mut out = String::new();
    for rule in rules.as_array().into_iter().flatten() {
        let tags = texts(rule, "tags");
        let tags = if tags.is_empty() {
            String::new()
        } else {
            format!(", tags {}", tags.join(", "))
        };
        let name = text(rule, "name").unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name}: {}{tags}", severity(rule));
        for path in texts(rule, "paths") {
            let _ = writeln!(out, "    {path}");
        }
        if let Some(more) = rule.get("more_paths").and_then(Value::as_u64) {
            let _ = writeln!(out, "    and {more} more");
        }
    }
    out
}

/// Which rule covers a path, whether it is watched, and what is known.
pub fn explanation(answer: &Value) -> String {
    let path = text(answer, "path").unwrap_or_default();
    let mut out = match text(answer, "rule") {
        Some(rule) => format!(
            "{path} is covered by the rule {rule}, {}.\n",
            severity(answer)
        ),
        None => format!("{path} is covered by no rule.\n"),
    };
    let others = texts(answer, "rules");
    if others.len() > 1 {
        let _ = writeln!(out, "All rules that cover it: {}.", others.join(", "));
    }
    let watched = answer.get("watched").and_then(Value::as_bool) == Some(true);
    let _ = match (watched, text(answer, "source")) {
        (true, Some(source)) => writeln!(
            out,
            "It is watched, with the source {source}; `fimk status` says how each operation is served."
        ),
        (true, None) => writeln!(out, "It is watched."),
        (false, _) => writeln!(
            out,
            "It is not watched: it is not there, is left out, or no rule covers it."
        ),
    };
    let _ = match text(answer, "recorded") {
        Some(time) => writeln!(out, "It was last recorded at {}.", moment(&time)),
        None => writeln!(out, "Nothing is recorded of it."),
    };
    let _ = writeln!(out, "Its history: fimk log {path}");
    out
}

/// Each field, what it holds and what that means.
pub fn legend(fields: &Value) -> String {
    let mut out = String::new();
    for field in fields.as_array().into_iter().flatten() {
        let get = |key| text(field, key).unwrap_or_default();
        let _ = writeln!(
            out,
            "{} ({})\n    {}",
            get("name"),
            get("type"),
            get("meaning")
        );
    }
    out
}
