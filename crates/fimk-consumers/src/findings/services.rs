//! What systemd runs, and as whom.

use std::collections::BTreeSet;

use super::{
    Finding, Kind,
    rights::{plain, shown},
};
use crate::{
    entries::{Entry, Field, State},
    pieces::Pieces,
    systemd::EMPTIED,
};

/// Users by which a service has the rights of root.
const ROOT: [&str; 2] = ["root", "0"];

pub(super) fn in_unit(before: Option<&State>, after: &State) -> Vec<Finding> {
    let user = user(after);
    let by = match &user {
        Some(user) => format!("runs as {user}"),
        None => "runs as root, if nothing else of the unit says otherwise".to_owned(),
    };
    let old = commands(before);
    let mut findings: Vec<Finding> = commands(Some(after))
        .difference(&old)
        .map(|(subject, command)| {
            let by = if is_raised(command) {
                "runs as root, whatever the unit says"
            } else {
                &by
            };
            let (subject, command) = (shown(subject), shown(command));
            Kind::UnitCommand.finding(format!("{subject} {command} {by}"))
        })
        .collect();
    match (before.and_then(self::user), user) {
        (Some(former), None) => {
            let words = format!("what ran as {former} runs as root");
            findings.push(Kind::UnitUserRemoved.finding(words));
        }
        (None, None) if says_root(after) && !before.is_some_and(says_root) => {
            let words = "whatever the unit says, it runs as root";
            findings.push(Kind::UnitUserRemoved.finding(words));
        }
        _ => {}
    }
    findings
}

/// By a prefix of the command: systemd.service(5).
fn is_raised(command: &Pieces) -> bool {
    let prefixes = |it: &char| "@-:+!|".contains(*it);
    let command = plain(command);
    command
        .chars()
        .take_while(prefixes)
        .any(|it| "+!".contains(it))
}

/// What runs nothing itself, as a drop-in, and has a unit run as root. Of a unit with a command that is how it began.
fn says_root(state: &State) -> bool {
    let mut users = state
        .entries
        .iter()
        .filter(|it| key(it, "[Service]") == "User");
    users.next_back().is_some() && user(state).is_none() && commands(Some(state)).is_empty()
}

/// What is run: each `Exec…` with its value.
fn commands(state: Option<&State>) -> BTreeSet<(Pieces, Pieces)> {
    let entries = state.map_or(&[][..], |state| &state.entries).iter();
    let command = |entry: &Entry| {
        let key = key(entry, "");
        let value = entry.field(Field::Value)?;
        let is = key.starts_with("Exec") && key != "ExecSearchPath" && plain(value) != EMPTIED;
        is.then(|| (entry.subject.clone(), value.clone()))
    };
    entries.filter_map(command).collect()
}

/// Who a service runs as, if it is not root: the last value holds.
fn user(state: &State) -> Option<String> {
    let (mut user, mut dynamic) = (None, None);
    for entry in &state.entries {
        let value = || {
            let value = entry.field(Field::Value).map(shown);
            value.filter(|value| value != EMPTIED)
        };
        match key(entry, "[Service]").as_str() {
            "User" => user = value(),
            "DynamicUser" => {
                dynamic = value().filter(|it| matches!(it.as_str(), "yes" | "true" | "on" | "1"));
            }
            _ => {}
        }
    }
    user.filter(|user| !ROOT.contains(&user.as_str()))
        .or(dynamic.map(|_| "a user of its own".to_owned()))
}

/// The key of an entry, if it is in this section; in any, if there is none.
fn key(entry: &Entry, section: &str) -> String {
    let subject = plain(&entry.subject);
    match subject.rsplit_once("] ") {
        Some((head, key)) if section.strip_suffix(']').is_none_or(|it| it == head) => {
            key.to_owned()
        }
        _ => String::new(),
    }
}
