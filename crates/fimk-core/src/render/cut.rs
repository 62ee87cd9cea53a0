//! A line that would be too long loses what is worth least, and says so.

use serde_json::{Map, Value, json};

use super::json::{Object, character_length, is_unset, length};

/// Of a line without its newline: many readers of logs take no more.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Room for the names of all of [`CUT_ORDER`] in `fimk.truncated`.
const NAMES_BYTES_MAX: usize = 2 * 1024;

/// A string is hardly cut shorter. With all of [`CUT_ORDER`] at this length, each byte of it escaped, a
/// line is still well below its limit.
const TEXT_BYTES_MIN: usize = 64;

/// All that can be long, what is missed least first. What it was and who did it goes last.
const CUT_ORDER: [&str; 46] = [
    "fimk.diff",
    "fimk.before.xattrs",
    "fimk.xattrs",
    "fimk.before.default_acl",
    "fimk.default_acl",
    "fimk.before.acl",
    "fimk.acl",
    "fimk.changes",
    "process.args",
    "process.command_line",
    "fimk.ancestors",
    "fimk.actors",
    "fimk.shared_with",
    "fimk.findings",
    "fimk.rules",
    "tags",
    "fimk.operations",
    "fimk.plan",
    "fimk.counts",
    "fimk.lost",
    "message",
    "fimk.unread",
    "file.directory",
    "file.extension",
    "file.name",
    "fimk.accessed_path_bytes",
    "fimk.target_path_bytes",
    "fimk.new_path_bytes",
    "fimk.previous_path_bytes",
    "fimk.path_bytes",
    "fimk.accessed_path",
    "file.target_path",
    "process.parent.executable",
    "process.parent.name",
    "fimk.new_path",
    "fimk.previous_path",
    "process.name",
    "process.executable",
    "file.path",
    "file.owner",
    "file.group",
    "user.name",
    "container.id",
    "fimk.rule",
    "host.boot.id",
    "host.name",
];

/// Cuts a document that is longer than a line may be, in time linear in its length.
pub(super) fn to_fit(document: &mut Object) {
    to_fit_in(document, LINE_BYTES_MAX);
}

/// The same for a line of another length; below some KiB it may still be longer: see [`essence`].
pub(super) fn to_fit_in(document: &mut Object, bytes_max: usize) {
    let whole = length(&document.0);
    if whole <= bytes_max {
        return;
    }
    let mut excess = whole.saturating_sub(bytes_max.saturating_sub(NAMES_BYTES_MAX));
    let mut names = Vec::new();
    for name in CUT_ORDER {
        let freed = cut_field(&mut document.0, name, excess);
        if freed > 0 {
            names.push(Value::from(name));
            excess = excess.saturating_sub(freed);
        }
        if excess == 0 {
            break;
        }
    }
    if let Value::Object(fimk) = document
        .0
        .entry("fimk")
        .or_insert_with(|| Map::new().into())
        && let Value::Array(truncated) = fimk
            .entry("truncated")
            .or_insert_with(|| Value::Array(Vec::new()))
    {
        names.retain(|name| !truncated.contains(name));
        truncated.append(&mut names);
    }
}

/// In `fimk.truncated`: all that is not there.
const EVERYTHING: &str = "*";

/// Of a host's name where there is hardly any room.
const NAME_BYTES_MAX: usize = 64;

/// What it was, when and to what, where nothing else fits: at most `bytes_max`, if that is a KiB.
pub(super) fn essence(document: &Object, bytes_max: usize) -> Object {
    let mut short = Object::default();
    for name in ["@timestamp", "ecs", "event"] {
        short.set(name, document.0.get(name).cloned().unwrap_or_default());
    }
    short.set("fimk", json!({ "truncated": [EVERYTHING] }));
    let text = |outer: &str, name: &str| {
        let text = document.0.get(outer)?.get(name)?.as_str()?;
        Some(text.to_owned())
    };
    for (outer, name, most) in [
        ("host", "name", NAME_BYTES_MAX),
        ("file", "path", usize::MAX),
    ] {
        // The braces, quotes and names of a member.
        let room = bytes_max.saturating_sub(length(&short.0) + outer.len() + name.len() + 16);
        let room = room.min(most);
        if let Some(text) = text(outer, name) {
            short.set(outer, json!({ name: beginning(&text, room) }));
        }
    }
    short
}

/// As much of a text as takes no more than so many bytes in a line.
fn beginning(text: &str, room: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|&(_, character)| {
        taken += character_length(character);
        taken > room
    });
    end.map_or(text, |(at, _)| text.get(..at).unwrap_or_default())
}

/// How much a field is missed: those that are never cut most.
pub(super) fn worth(name: &str) -> usize {
    let place = CUT_ORDER.iter().position(|cut| *cut == name);
    place.unwrap_or(CUT_ORDER.len())
}

fn text_length(text: &str) -> usize {
    text.chars().map(character_length).sum()
}

/// Cuts one field by about `excess` bytes, or removes it; returns by how many at least.
fn cut_field(object: &mut Map<String, Value>, name: &str, excess: usize) -> usize {
    if let Some((first, rest)) = name.split_once('.') {
        let Some(Value::Object(inner)) = object.get_mut(first) else {
            return 0;
        };
        let freed = cut_field(inner, rest, excess);
        if inner.is_empty() {
            object.remove(first);
        }
        return freed;
    }
    let Some(value) = object.get_mut(name) else {
        return 0;
    };
    let freed = match value {
        // A part of base64 tells nothing reliable.
        Value::String(_) if name.ends_with("_bytes") => {
            let freed = length(value);
            *value = Value::Null;
            freed
        }
        Value::String(text) => cut_text(text, excess),
        Value::Array(list) => cut_list(list, excess),
        Value::Object(members) => cut_members(members, excess),
        _ => 0,
    };
    if is_unset(value) {
        object.remove(name);
    }
    freed
}

fn cut_text(text: &mut String, excess: usize) -> usize {
    let before = text_length(text);
    let room = before.saturating_sub(excess);
    let mut length = 0;
    let end = text.char_indices().find(|&(at, character)| {
        length += character_length(character);
        length > room && at >= TEXT_BYTES_MIN
    });
    if let Some((at, _)) = end {
        text.truncate(at);
    }
    before - text_length(text)
}

fn cut_list(list: &mut Vec<Value>, excess: usize) -> usize {
    let mut freed = 0;
    while freed < excess
        && let Some(last) = list.pop()
    {
        freed += length(&last);
    }
    freed
}

fn cut_members(members: &mut Map<String, Value>, excess: usize) -> usize {
    let mut freed = 0;
    members.retain(|key, value| {
        let goes = freed < excess;
        if goes {
            freed += key.len() + length(value);
        }
        !goes
    });
    freed
}
