//! `fimk show`: everything about one event.

use std::fmt::Write as _;

use fimk_core::render::{FIELDS, one_line, severity_word};
use serde_json::Value;

use crate::{
    colours::{self, BOLD, CYAN, GREEN, RED},
    words::shown,
};

/// Width of the names, with the space behind them.
const NAME: usize = 28;

/// The whole text, with colours where they are wanted.
pub fn event(event: &Value) -> String {
    render(event, colours::are_wanted())
}

/// First the sentence, then what differs, then every field that the event has.
fn render(event: &Value, coloured: bool) -> String {
    let paint = |text: &str, colour: &str| {
        if coloured {
            colours::painted(text, colour)
        } else {
            text.to_owned()
        }
    };
    let text = |name: &str| at(event, name).and_then(Value::as_str).map(shown);
    let number = at(event, "event.sequence").and_then(Value::as_u64);
    let severity = at(event, "event.severity").and_then(Value::as_u64);
    let severity = severity.and_then(|it| u8::try_from(it).ok()).unwrap_or(0);
    let head = format!(
        "Event {}, {}, {}",
        number.unwrap_or(0),
        severity_word(severity),
        text("@timestamp").unwrap_or_default()
    );
    let mut out = format!(
        "{}\n{}\n",
        paint(&head, BOLD),
        text("message").unwrap_or_default()
    );
    if let Some(diff) = at(event, "fimk.diff").and_then(Value::as_str) {
        out += "\n";
        for line in diff.lines() {
            let shown = shown(line);
            let shown = match line.as_bytes().first() {
                Some(b'+') => paint(&shown, GREEN),
                Some(b'-') => paint(&shown, RED),
                Some(b'@') => paint(&shown, CYAN),
                _ => shown,
            };
            out = out + &shown + "\n";
        }
    }
    out += "\n";
    for (name, _) in FIELDS {
        if matches!(name, "message" | "fimk.diff") {
            continue;
        }
        for (place, line) in lines(at(event, name)).into_iter().enumerate() {
            let label = if place == 0 { name } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{label:NAME$}{line}");
        }
    }
    out
}

fn at<'e>(event: &'e Value, name: &str) -> Option<&'e Value> {
    name.split('.')
        .try_fold(event, |value, name| value.get(name))
}

/// A value: a list has a line for each member.
fn lines(value: Option<&Value>) -> Vec<String> {
    match value {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().flat_map(|it| lines(Some(it))).collect(),
        Some(Value::String(text)) => vec![shown(text)],
        Some(other) => vec![one_line(other)],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({
            "@timestamp": "2026-11-22T03:40:01.000000005Z",
            "message": "/etc/passwd modified\u{1b}[2J",
            "event": { "sequence": 42, "severity": 73, "action": "modified" },
            "process": { "args": ["a", "b\nc"] },
            "fimk": { "diff": "@@ -1 +1 @@\n-one\n+two\u{1b}[1m\n" },
        })
    }

    #[test]
    fn everything_is_there_once_and_nothing_acts_on_the_terminal() {
        assert_eq!(
            render(&sample(), false),
            "Event 42, high, 2026-11-22T03:40:01.000000005Z\n\
             /etc/passwd modified\\u{1b}[2J\n\n\
             @@ -1 +1 @@\n-one\n+two\\u{1b}[1m\n\n\
             @timestamp                  2026-11-22T03:40:01.000000005Z\n\
             event.action                modified\n\
             event.sequence              42\n\
             event.severity              73\n\
             process.args                a\n\
             \x20                           b\\u{a}c\n"
        );
    }

    #[test]
    fn colours_are_ours_alone() {
        let text = render(&sample(), true);
        assert!(
            text.contains("\u{1b}[31m-one\u{1b}[0m\n\u{1b}[32m+two"),
            "{text:?}"
        );
        assert_eq!(text.matches('\u{1b}').count(), 8);
    }
}
