//! `fimk events` and `fimk log`: pages of stored events, and those that come.

use std::{path::Path, thread, time::Duration};

use fimk_core::{
    exit::{Failure, Status},
    render::table_head,
    request::{Query, Request},
};
use serde_json::Value;

use crate::{client, colours, print, words::shown};

/// How often is looked for new events.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which events, and how many.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The filter, and the form.
    pub query: Query,
    /// The newest so many; 0: all.
    pub limit: u64,
    /// Whether to go on for ever.
    pub follow: bool,
}

struct Page {
    lines: Vec<String>,
    sequence: u64,
    more: bool,
}

/// Prints them as they come, the oldest first.
pub fn print_all(run_dir: &Path, wanted: &Wanted) -> Result<(), Failure> {
    if wanted.query.format.as_deref() == Some("table") {
        print(&(table_head() + "\n"))?;
    }
    // What comes while older ones are printed is not to be missed.
    let mut newest = newest(run_dir)?;
    if wanted.limit > 0 {
        let lines = last(run_dir, wanted, newest)?;
        print_lines(wanted, &lines)?;
    } else {
        newest = forward(run_dir, wanted, 0)?;
    }
    if !wanted.follow {
        return Ok(());
    }
    loop {
        thread::sleep(LOOK_EVERY);
        newest = match forward(run_dir, wanted, newest) {
            // It is being started again, or has too much to answer.
            Err(failure) if failure.status == Status::Unavailable => newest,
            next => next?,
        };
    }
}

/// The number of the newest event.
fn newest(run_dir: &Path) -> Result<u64, Failure> {
    let answer = client::ask(run_dir, &Request::Status {})?;
    let last = answer.pointer("/events/last_sequence");
    Ok(last.and_then(Value::as_u64).unwrap_or(0))
}

/// The newest so many up to a number, the oldest of them first.
fn last(run_dir: &Path, wanted: &Wanted, newest: u64) -> Result<Vec<String>, Failure> {
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let mut lines = Vec::new();
    let mut before = newest.saturating_add(1);
    loop {
        let page = ask(
            run_dir,
            Query {
                before: Some(before),
                limit: Some(limit - lines.len()),
                ..wanted.query.clone()
            },
        )?;
        lines.extend(page.lines);
        if !page.more || lines.len() >= limit || page.sequence >= before {
            break;
        }
        before = page.sequence;
    }
    lines.reverse();
    Ok(lines)
}

/// Prints all after a number; up to which that was.
fn forward(run_dir: &Path, wanted: &Wanted, mut after: u64) -> Result<u64, Failure> {
    loop {
        let query = Query {
            after: Some(after),
            ..wanted.query.clone()
        };
        let page = ask(run_dir, query)?;
        print_lines(wanted, &page.lines)?;
        let moved = page.sequence > after;
        after = after.max(page.sequence);
        if !page.more || !moved {
            return Ok(after);
        }
    }
}

fn ask(run_dir: &Path, query: Query) -> Result<Page, Failure> {
    let answer = client::ask(run_dir, &Request::Events(Box::new(query)))?;
    let lines = answer["lines"].as_array().into_iter().flatten();
    Ok(Page {
        lines: lines.filter_map(Value::as_str).map(shown).collect(),
        sequence: answer["sequence"].as_u64().unwrap_or(0),
        more: answer["more"].as_bool().unwrap_or(false),
    })
}

fn print_lines(wanted: &Wanted, lines: &[String]) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    let is_table = match wanted.query.format.as_deref() {
        Some("table") => Some(true),
        Some("text") => Some(false),
        // What is read by programs has no colours.
        _ => None,
    };
    let lines: Vec<String> = match is_table.filter(|_| colours::are_wanted()) {
        Some(is_table) => lines
            .iter()
            .map(|line| colours::with_severity(line, is_table))
            .collect(),
        None => lines.to_vec(),
    };
    print(&(lines.join("\n") + "\n"))
}
