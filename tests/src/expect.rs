//! What an event must say.

use std::{fmt::Write as _, path::Path};

use serde_json::Value;

use crate::{Event, Ran, run};

type Condition = Box<dyn Fn(&Event) -> bool>;

/// Conditions that one event must meet all at once, each in words for the failure message.
pub struct Expect {
    conditions: Vec<(String, Condition)>,
}

impl Expect {
    /// An event with this action.
    pub fn action(action: &str) -> Self {
        Self::any_of(&[action])
    }

    /// An event with one of these actions.
    pub fn any_of(actions: &[&str]) -> Self {
        let owned: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
        let start = Self {
            conditions: Vec::new(),
        };
        start.and(actions.join(" or "), move |event| {
            owned.iter().any(|action| action == event.action())
        })
    }

    /// Any further condition.
    #[must_use]
    pub fn and(mut self, words: String, condition: impl Fn(&Event) -> bool + 'static) -> Self {
        self.conditions.push((words, Box::new(condition)));
        self
    }

    /// `file.path` is this.
    #[must_use]
    pub fn of(self, path: &Path) -> Self {
        self.field("file.path", path.to_str().expect("tests use UTF-8 names"))
    }

    /// The value at a dotted name is this.
    #[must_use]
    pub fn field(self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.and(format!("{name} = {value}"), move |event| {
            event.get(name) == Some(&value)
        })
    }

    /// There is nothing at this dotted name.
    #[must_use]
    pub fn without(self, name: &'static str) -> Self {
        self.and(format!("no {name}"), move |event| event.get(name).is_none())
    }

    /// Pid and executable are those of this process.
    #[must_use]
    pub fn by(self, who: &Ran) -> Self {
        let executable = who.executable.to_str().expect("tests use UTF-8 names");
        self.field("process.pid", who.pid)
            .field("process.executable", executable)
    }

    /// `fimk.diff` adds this line.
    #[must_use]
    pub fn adds(self, line: &str) -> Self {
        let line = format!("+{line}");
        self.and(format!("a diff with {line}"), move |event| {
            event.diff_has(&line)
        })
    }

    /// `fimk.diff` takes this line away.
    #[must_use]
    pub fn removes(self, line: &str) -> Self {
        let line = format!("-{line}");
        self.and(format!("a diff with {line}"), move |event| {
            event.diff_has(&line)
        })
    }

    /// `fimk.changes` says that this field of this subject changed so.
    #[must_use]
    pub fn says(
        self,
        subject: &str,
        field: &str,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Self {
        self.difference(Some(subject), field, before, after)
    }

    /// `fimk.changes` says that this field of something changed so.
    #[must_use]
    pub fn says_of_it(self, field: &str, before: &str, after: &str) -> Self {
        self.difference(None, field, Some(before), Some(after))
    }

    fn difference(
        self,
        subject: Option<&str>,
        field: &str,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Self {
        let words = format!(
            "{} {field} {before:?} → {after:?}",
            subject.unwrap_or("its")
        );
        let [subject, before, after] = [subject, before, after].map(|text| text.map(str::to_owned));
        let field = field.to_owned();
        self.and(words, move |event| {
            event.says(
                subject.as_deref(),
                &field,
                before.as_deref(),
                after.as_deref(),
            )
        })
    }

    /// `fimk.changes` says something about this subject.
    #[must_use]
    pub fn mentions(self, subject: &str) -> Self {
        let subject = subject.to_owned();
        self.and(format!("a change of {subject}"), move |event| {
            event.changes().iter().any(|change| {
                change.get("subject").and_then(Value::as_str) == Some(subject.as_str())
            })
        })
    }

    /// `file.hash.sha256` is that of the file as it is now.
    #[must_use]
    pub fn with_content_of(self, path: &Path) -> Self {
        let printed = run("sha256sum", &[path]).output;
        let digest = printed
            .split_whitespace()
            .next()
            .expect("sha256sum prints the digest first");
        self.field("file.hash.sha256", digest)
    }

    /// Whether the event meets all conditions.
    pub fn is_met_by(&self, event: &Event) -> bool {
        self.conditions
            .iter()
            .all(|(_, condition)| condition(event))
    }

    /// All conditions in words.
    pub fn words(&self) -> String {
        self.conditions
            .iter()
            .map(|(words, _)| words.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The events that came nearest, and what each lacks.
    pub fn near_misses(&self, events: &[Event]) -> String {
        let lacking = |event: &Event| {
            self.conditions
                .iter()
                .filter(|(_, met)| !met(event))
                .map(|(words, _)| words.as_str())
                .collect::<Vec<_>>()
        };
        let mut ranked: Vec<_> = events.iter().map(|event| (lacking(event), event)).collect();
        ranked.sort_by_key(|(lacks, _)| lacks.len());
        let mut report = String::new();
        for (lacks, event) in ranked.iter().take(3) {
            let _ = writeln!(report, "  lacks [{}]: {event:?}", lacks.join("; "));
        }
        report
    }
}
