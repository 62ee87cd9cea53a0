//! `message`: a change in one sentence.

use std::fmt::{self, Write};

use fimk_consumers::Difference;

use crate::{
    event::{Action, Actor, Burst, Change, DetectedBy, Process},
    path::{BytePath, escaped},
    text::{head, shown},
};

/// Of the whole sentence.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024;
/// Of a path in it: the field beside it has all of it.
const PATH_BYTES_MAX: usize = 256;
/// Of a word in it.
const WORD_BYTES_MAX: usize = 64;
/// Of all differences in it, so that there is room for who made them.
const DIFFERENCES_BYTES_MAX: usize = 384;
/// More differences or ancestors are counted, not named.
const NAMED_MAX: usize = 4;

/// `/etc/passwd modified: user alice uid 1000 → 0; by /usr/sbin/usermod (pid 812) ← bash ← sshd, login uid 1000`.
pub(super) fn sentence(action: Action, change: &Change) -> String {
    let mut out = format!("{} {}", path(&change.file.path), verb(action));
    if let Some(old) = &change.previous_path {
        put(&mut out, format_args!(" from {}", path(old)));
    }
    if let Some(new) = &change.new_path {
        put(&mut out, format_args!(" to {}", path(new)));
    }
    if change.replaced {
        out += " by replacement";
    }
    out += &differences(&change.changes);
    if !change.observed {
        out += "; gone before it could be read";
    }
    if let Some(why) = &change.unread {
        put(
            &mut out,
            format_args!("; content not read: {}", clipped(why, PATH_BYTES_MAX)),
        );
    }
    out += &actor(change);
    out += match change.detected_by {
        DetectedBy::Event => "",
        DetectedBy::Scan => "; found by a scan",
        DetectedBy::Gap => "; happened while nothing was watching",
        DetectedBy::Late => "; noticed late",
    };
    clipped(&out, MESSAGE_BYTES_MAX)
}

/// `/etc/shadow denied: open_read (EACCES), 3 times; by /usr/bin/cat (pid 812) ← bash`.
pub(super) fn attempt_sentence(action: Action, on: &Change, error: Option<&str>) -> String {
    let mut out = format!("{} {}", path(&on.file.path), verb(action));
    if let Some(error) = error {
        put(
            &mut out,
            format_args!(": {} ({error})", on.operations.join(", ")),
        );
    }
    if on.count > 1 {
        put(&mut out, format_args!(", {} times", on.count));
    }
    out += &actor(on);
    clipped(&out, MESSAGE_BYTES_MAX)
}

/// `503 changes below /usr: 400 created, 103 modified; by /usr/bin/dpkg (pid 812) and those that it started ← apt`.
pub(super) fn burst_sentence(burst: &Burst) -> String {
    let mut out = format!("{} changes below {}", burst.events, path(&burst.directory));
    let actions: Vec<String> = burst
        .actions
        .iter()
        .map(|(action, count)| format!("{count} {}", action.replace('_', " ")))
        .collect();
    put(&mut out, format_args!(": {}", actions.join(", ")));
    put(
        &mut out,
        format_args!("; stored as {} to {}", burst.first, burst.last),
    );
    out += &by(&burst.root);
    clipped(&out, MESSAGE_BYTES_MAX)
}

fn put(out: &mut String, words: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(words);
}

/// With an ellipsis where something is missing, and not longer for it.
fn clipped(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}…", head(text, bytes_max - '…'.len_utf8()))
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::AttributesModified => "attributes modified",
        action => action.name(),
    }
}

fn path(path: &BytePath) -> String {
    clipped(&path.escaped(), PATH_BYTES_MAX)
}

fn word(text: &str) -> String {
    shown(text, WORD_BYTES_MAX)
}

fn differences(all: &[Difference]) -> String {
    let named: Vec<String> = all.iter().take(NAMED_MAX).map(difference).collect();
    let named = clipped(&named.join(", "), DIFFERENCES_BYTES_MAX);
    match all.len().saturating_sub(NAMED_MAX) {
        _ if all.is_empty() => String::new(),
        0 => format!(": {named}"),
        more => format!(": {named} and {more} more"),
    }
}

fn difference(one: &Difference) -> String {
    let mut thing = word(&one.subject);
    if !one.field.is_empty() {
        thing = format!("{thing} {}", word(&one.field));
    }
    match (&one.before, &one.after) {
        (Some(before), Some(after)) => format!("{thing} {} → {}", value(before), value(after)),
        (None, Some(_)) if one.field.is_empty() => format!("{thing} added"),
        (Some(_), None) if one.field.is_empty() => format!("{thing} removed"),
        (None, Some(after)) => format!("{thing} set to {}", value(after)),
        (Some(before), None) => format!("{thing} {} removed", value(before)),
        (None, None) => format!("{thing} changed"),
    }
}

fn value(text: &str) -> String {
    if text.is_empty() {
        "nothing".to_owned()
    } else {
        word(text)
    }
}

fn actor(change: &Change) -> String {
    match (&change.actor, change.actors.len()) {
        (Some(actor), _) => by(actor),
        (None, 0) => String::new(),
        (None, several) => format!("; by one of {several} processes"),
    }
}

fn by(actor: &Actor) -> String {
    let process = &actor.process;
    let mut out = match &process.executable {
        Some(executable) => format!("; by {}", path(executable)),
        None if process.kernel => format!("; by the kernel's {}", short_name(process)),
        None => format!("; by {}", short_name(process)),
    };
    if process.executable_in_memory {
        out += " (in memory)";
    } else if process.executable_gone {
        out += " (deleted)";
    }
    if process.pid != 0 {
        put(&mut out, format_args!(" (pid {})", process.pid));
    }
    for ancestor in actor.ancestors.iter().take(NAMED_MAX) {
        put(&mut out, format_args!(" ← {}", short_name(ancestor)));
    }
    if actor.ancestors.len() > NAMED_MAX {
        out += " ← …";
    }
    if let Some(login) = actor.login_uid {
        put(&mut out, format_args!(", login uid {login}"));
    }
    out
}

fn short_name(process: &Process) -> String {
    if let Some(name) = &process.name {
        return word(name);
    }
    match &process.executable {
        Some(executable) => clipped(&escaped(executable.name()), WORD_BYTES_MAX),
        None => "a process".to_owned(),
    }
}
