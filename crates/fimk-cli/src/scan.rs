//! `fimk scan`: has the monitor compare now, and waits for what it finds.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use fimk_core::{
    exit::{Failure, Status},
    render::one_line,
    request::{Query, Request},
};
use serde_json::Value;

use crate::{
    arguments::Format,
    client, print,
    words::{counted, grouped, shown},
};

/// How often is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// So often in a row there may be no answer, a second apart: the monitor may be reading something large.
const SILENCES_MAX: u32 = 5;

/// Changes that are printed; `fimk events` has all of them.
const PRINTED_MAX: usize = 1_000;

/// Of the bar, in characters.
const BAR: usize = 30;

/// Prints what was found. An error without a sentence if that is anything.
pub fn run(run_dir: &Path, rule: Option<&str>, format: Format) -> Result<(), Failure> {
    let rule = rule.map(str::to_owned);
    let answer = client::ask(run_dir, &Request::Scan { rule })?;
    let number = answer["scan"].as_u64().unwrap_or(0);
    let state = await_end(run_dir, number)?;
    let differences = state["differences"].as_u64().unwrap_or(0);
    if format == Format::Json {
        print(&(one_line(&state) + "\n"))?;
    }
    if state["state"] != "done" {
        let why = state["message"].as_str().unwrap_or("it does not say why");
        let sentence = format!("nothing was compared: {why}");
        return Err(Failure::new(Status::Unavailable, sentence));
    }
    if format != Format::Json {
        let mut text = found(run_dir, &state)?;
        text += &sentence(&state);
        print(&text)?;
    }
    if differences > 0 {
        return Err(Failure::new(Status::NotWell, ""));
    }
    Ok(())
}

/// The last state, when it is neither waiting nor running.
fn await_end(run_dir: &Path, scan: u64) -> Result<Value, Failure> {
    let mut progress = Progress::new();
    let mut silences = 0;
    loop {
        match client::ask(run_dir, &Request::ScanState { scan }) {
            Ok(state) => {
                silences = 0;
                if !matches!(state["state"].as_str(), Some("waiting" | "running")) {
                    progress.end();
                    return Ok(state);
                }
                progress.show(&state);
                thread::sleep(LOOK_EVERY);
            }
            Err(failure) if failure.status == Status::Unavailable && silences < SILENCES_MAX => {
                silences += 1;
                thread::sleep(Duration::from_secs(1));
            }
            Err(failure) => {
                progress.end();
                return Err(failure);
            }
        }
    }
}

/// On standard error: a bar that moves on a terminal, else a line for each tenth.
struct Progress {
    terminal: bool,
    /// Tenths that were told.
    told: Option<u64>,
}

impl Progress {
    fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            told: None,
        }
    }

    fn show(&mut self, state: &Value) {
        let (Some(done), Some(of)) = (state["done"].as_u64(), state["of"].as_u64()) else {
            return;
        };
        if self.terminal {
            self.told = Some(0);
            // Whoever closed the terminal does not look.
            let _ = write!(io::stderr(), "\r\u{1b}[K{}", bar(done, of));
            return;
        }
        let tenth = done.saturating_mul(10) / of.max(1);
        if self.told.is_none_or(|told| tenth > told) {
            self.told = Some(tenth);
            let _ = writeln!(io::stderr(), "{}", line(done, of));
        }
    }

    fn end(&self) {
        if self.terminal && self.told.is_some() {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

fn line(done: u64, of: u64) -> String {
    let percent = done.saturating_mul(100) / of.max(1);
    format!(
        "comparing: {} of {} objects ({percent} %)",
        grouped(done),
        grouped(of)
    )
}

fn bar(done: u64, of: u64) -> String {
    let full = done.saturating_mul(BAR as u64) / of.max(1);
    let full = usize::try_from(full).unwrap_or(BAR).min(BAR);
    let (full, rest) = ("#".repeat(full), "-".repeat(BAR - full));
    format!("[{full}{rest}] {}", line(done, of))
}

/// The sentence of each event that the comparison made.
fn found(run_dir: &Path, state: &Value) -> Result<String, Failure> {
    let number = |name: &str| state[name].as_u64().unwrap_or(0);
    let mut left = usize::try_from(number("differences")).unwrap_or(usize::MAX);
    let (mut after, last) = (
        number("first_sequence").saturating_sub(1),
        number("last_sequence"),
    );
    let (mut text, mut printed) = (String::new(), 0);
    while left > 0 && after < last && printed < PRINTED_MAX {
        let query = Query {
            after: Some(after),
            ..Query::default()
        };
        let page = client::ask(run_dir, &Request::Events(Box::new(query)))?;
        for message in page["lines"].as_array().into_iter().flatten() {
            let event: Value =
                serde_json::from_str(message.as_str().unwrap_or_default()).unwrap_or_default();
            let sequence = event["event"]["sequence"].as_u64().unwrap_or(u64::MAX);
            if sequence <= last && event["fimk"]["detected_by"] == "scan" && printed < PRINTED_MAX {
                text += &shown(event["message"].as_str().unwrap_or_default());
                text.push('\n');
                printed += 1;
                left = left.saturating_sub(1);
            }
        }
        let reached = page["sequence"].as_u64().unwrap_or(last);
        if reached <= after {
            break;
        }
        after = reached;
    }
    if left > 0 && printed >= PRINTED_MAX {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "and {} more: see `fimk events`", grouped(left as u64));
    }
    Ok(text)
}

/// What it came to.
fn sentence(state: &Value) -> String {
    let number = |name: &str| state[name].as_u64().unwrap_or(0);
    let what = match state["rule"].as_str() {
        Some(rule) => format!(" that the rule {} covers", shown(rule)),
        None => String::new(),
    };
    let objects = format!("{}{what}", counted(number("compared"), "object"));
    let recorded = match number("recorded") {
        0 => String::new(),
        new => format!(" {} recorded for the first time.", counted(new, "object")),
    };
    match number("differences") {
        0 => format!("No change was found in {objects}.{recorded}\n"),
        some => format!(
            "{} found in {objects}.{recorded}\n",
            counted(some, "change")
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_far_it_is_and_what_it_came_to_is_told() {
        assert_eq!(
            bar(1_000, 2_000),
            "[###############---------------] comparing: 1,000 of 2,000 objects (50 %)"
        );
        assert_eq!(bar(0, 0).matches('#').count(), 0);
        assert_eq!(bar(9, 3).matches('#').count(), BAR);
        let state = json!({ "compared": 7, "differences": 0 });
        assert_eq!(sentence(&state), "No change was found in 7 objects.\n");
        let state = json!({ "compared": 7, "differences": 2, "rule": "a\u{1b}", "recorded": 1 });
        assert_eq!(
            sentence(&state),
            "2 changes found in 7 objects that the rule a\\u{1b} covers. 1 object recorded for the first time.\n"
        );
    }
}
