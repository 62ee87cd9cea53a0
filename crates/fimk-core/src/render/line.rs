//! An event on one line for a person: as a sentence, or in columns.

use super::{ecs::message, json::harmless, severity::severity_word};
use crate::{
    event::{Actor, Body, Event},
    path::escaped,
    time::Timestamp,
};

/// `2026-11-22T03:40:01.000000345Z high 42 /etc/passwd modified: …`, without the newline.
pub fn text_line(event: &Event) -> String {
    format!(
        "{} {} {} {}",
        event.created.rfc3339(),
        severity_word(event.severity),
        event.sequence,
        sentence(event)
    )
}

/// The sentence of the event, with nothing in it that acts on a terminal or ends a line.
pub fn sentence(event: &Event) -> String {
    harmless(&message(event))
}

/// The widths of all columns but the last, which is as wide as it is.
const COLUMNS: [(&str, usize); 6] = [
    ("TIME", 19),
    ("SEQUENCE", 8),
    ("SEVERITY", 8),
    ("ACTION", 19),
    ("USER", 10),
    ("PROCESS", 16),
];

/// The names of the columns, on one line.
pub fn table_head() -> String {
    row(&COLUMNS.map(|(name, _)| name.to_owned()), "PATH")
}

/// The event in columns, without the newline. What fimk says of itself has its sentence in the place of a path.
pub fn table_row(event: &Event) -> String {
    let (actor, path) = match &event.body {
        Body::Burst(burst) => (Some(&burst.root), Some(&burst.directory)),
        body => {
            let change = body.change();
            let actor = change.and_then(|change| change.actor.as_ref());
            (actor, change.map(|change| &change.file.path))
        }
    };
    let cells = [
        moment(event.created),
        event.sequence.to_string(),
        severity_word(event.severity).to_owned(),
        event.action.name().to_owned(),
        actor.map_or_else(String::new, user),
        actor.map_or_else(String::new, process),
    ];
    let last = path.map_or_else(|| sentence(event), |path| harmless(&path.escaped()));
    row(&cells, &last)
}

fn row(cells: &[String; 6], last: &str) -> String {
    let mut line = String::new();
    for (cell, (_, width)) in cells.iter().zip(COLUMNS) {
        let cell = fitted(&harmless(cell), width);
        line.push_str(&cell);
        line.push(' ');
    }
    line + last
}

/// As many characters as the column has.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// `2026-11-22 03:40:01`.
fn moment(time: Timestamp) -> String {
    let text = time.rfc3339();
    text.get(..19)
        .map_or_else(|| text.clone(), |text| text.replace('T', " "))
}

fn user(actor: &Actor) -> String {
    let uid = || actor.uid.map(|uid| uid.to_string());
    actor.user.clone().or_else(uid).unwrap_or_default()
}

fn process(actor: &Actor) -> String {
    let process = &actor.process;
    let of_path = || process.executable.as_ref().map(|path| escaped(path.name()));
    process.name.clone().or_else(of_path).unwrap_or_default()
}
