//! One printed event.

use std::{fmt, path::Path};

use serde_json::Value;

/// A line of fimk's stdout.
#[derive(Clone, PartialEq)]
pub struct Event(Value);

impl Event {
    /// From a line; none if it is not one JSON object.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str::<Value>(line)
            .ok()
            .filter(Value::is_object)
            .map(Self)
    }

    /// All of it.
    pub fn whole(&self) -> &Value {
        &self.0
    }

    /// The value at a dotted name: `process.pid`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        name.split('.')
            .try_fold(&self.0, |value, key| value.get(key))
    }

    /// The string at a dotted name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The number at a dotted name.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    /// `event.action`, empty if there is none.
    pub fn action(&self) -> &str {
        self.text("event.action").unwrap_or_default()
    }

    /// Whether the path is the file's name, now or before.
    pub fn is_about(&self, path: &Path) -> bool {
        ["file.path", "fimk.previous_path", "fimk.accessed_path"]
            .iter()
            .any(|name| self.text(name).map(Path::new) == Some(path))
    }

    /// Whether `fimk.changes` has this difference; a subject of none stands for any.
    pub fn says(
        &self,
        subject: Option<&str>,
        field: &str,
        before: Option<&str>,
        after: Option<&str>,
    ) -> bool {
        let text =
            |change: &Value, key: &str| change.get(key).and_then(Value::as_str).map(str::to_owned);
        self.changes().iter().any(|change| {
            subject.is_none_or(|subject| text(change, "subject").as_deref() == Some(subject))
                && text(change, "field").unwrap_or_default() == field
                && text(change, "before").as_deref() == before
                && text(change, "after").as_deref() == after
        })
    }

    /// `fimk.changes`, empty if there are none.
    pub fn changes(&self) -> &[Value] {
        self.get("fimk.changes")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// Whether the unified difference has this line, sign included.
    pub fn diff_has(&self, line: &str) -> bool {
        self.text("fimk.diff")
            .is_some_and(|diff| diff.lines().any(|candidate| candidate == line))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"event":{"action":"modified"},"file":{"path":"/a"},"process":{"pid":7},
        "fimk":{"diff":"@@\n-old\n+new","changes":[{"subject":"user eve","field":"uid","before":"7","after":"0"},{"subject":"user bob","after":"x"}]}}"#;

    #[test]
    fn values_are_found_by_their_dotted_names() {
        let event = Event::parse(LINE).expect("it is an object");
        assert_eq!(event.action(), "modified");
        assert_eq!(event.number("process.pid"), Some(7));
        assert_eq!(event.text("process.executable"), None);
        assert!(event.is_about(Path::new("/a")) && !event.is_about(Path::new("/b")));
    }

    #[test]
    fn a_difference_is_found_only_whole() {
        let event = Event::parse(LINE).expect("it is an object");
        assert!(event.says(Some("user eve"), "uid", Some("7"), Some("0")));
        assert!(event.says(None, "uid", Some("7"), Some("0")));
        assert!(
            event.says(Some("user bob"), "", None, Some("x")),
            "an absent field is the thing as a whole"
        );
        assert!(!event.says(Some("user eve"), "uid", Some("7"), None));
        assert!(event.diff_has("+new") && !event.diff_has("+old"));
    }

    #[test]
    fn a_line_that_is_no_object_is_no_event() {
        assert!(Event::parse("7").is_none());
        assert!(Event::parse("{").is_none());
    }
}
