//! `fimk top`: the busiest processes and files of the last minutes, and what waits or was lost.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    io::{self, IsTerminal as _},
    path::Path,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fimk_core::{
    exit::{Failure, Status},
    render::one_line,
    request::{Query, Request},
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::{
    arguments::Format,
    client, colours, human, print,
    words::{counted, grouped, moment, shown},
};

/// How far back it looks, in nanoseconds.
const WINDOW: i64 = 300 * 1_000_000_000;

/// Changes that are remembered, the newest; more are busy enough.
const SEEN_MAX: usize = 10_000;

/// Pages that are asked for at once.
const PAGES_MAX: usize = 64;

/// Of each list, where there is no terminal.
const ROWS: usize = 10;

/// Lines that are not rows of a list.
const OTHER_LINES: usize = 10;

/// How to go on.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// One picture, and the end.
    pub once: bool,
    /// Between two.
    pub interval: Duration,
    /// JSON is for one picture.
    pub format: Format,
}

/// One change.
struct Seen {
    at: i64,
    path: String,
    process: String,
    user: String,
    operations: u64,
}

/// What is known.
#[derive(Default)]
struct Activity {
    newest: u64,
    seen: VecDeque<Seen>,
}

/// Prints a picture after the other, or only one.
pub fn run(run_dir: &Path, wanted: &Wanted) -> Result<(), Failure> {
    let terminal = io::stdout().is_terminal();
    let as_json = wanted.format == Format::Json;
    let once = wanted.once || as_json || !terminal;
    let screen = (!once).then(|| Screen::new(colours::are_allowed()));
    let mut activity = Activity::default();
    loop {
        let picture = activity.refresh(run_dir).map(|status| {
            if as_json {
                return one_line(&activity.value(&status)) + "\n";
            }
            let rows = screen.as_ref().map_or(ROWS, |_| Screen::rows());
            activity.picture(&status, rows)
        });
        let picture = match (picture, &screen) {
            // It is being started again, or has too much to answer.
            (Err(failure), Some(_)) if failure.status == Status::Unavailable => {
                shown(&failure.sentence) + "\n"
            }
            (picture, _) => picture?,
        };
        match &screen {
            Some(screen) => print(&screen.frame(&picture))?,
            None => return print(&picture),
        }
        thread::sleep(wanted.interval);
    }
}

impl Activity {
    /// Asks for what is new; the status.
    fn refresh(&mut self, run_dir: &Path) -> Result<Value, Failure> {
        let status = client::ask(run_dir, &Request::Status {})?;
        let now = now();
        if self.newest == 0 {
            self.history(run_dir, now)?;
            // Where nothing happened lately: what is older is not asked for.
            let last = status["events"]["last_sequence"].as_u64();
            self.newest = self.newest.max(last.unwrap_or(0));
        }
        for _ in 0..PAGES_MAX {
            let after = self.newest;
            let page = ask(
                run_dir,
                Query {
                    after: Some(after),
                    ..Query::default()
                },
            )?;
            self.take(&page, false);
            self.newest = page["sequence"].as_u64().unwrap_or(after).max(after);
            if page["more"] != true {
                break;
            }
        }
        self.forget(now - WINDOW);
        Ok(status)
    }

    /// What was stored before, the newest first.
    fn history(&mut self, run_dir: &Path, now: i64) -> Result<(), Failure> {
        let mut before = None;
        for _ in 0..PAGES_MAX {
            let query = Query {
                before,
                since: Some(now - WINDOW),
                ..Query::default()
            };
            let page = ask(run_dir, query)?;
            self.take(&page, true);
            before = page["sequence"].as_u64();
            if page["more"] != true || self.seen.len() >= SEEN_MAX {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, page: &Value, older: bool) {
        for line in page["lines"].as_array().into_iter().flatten() {
            let event = serde_json::from_str(line.as_str().unwrap_or_default());
            let event: Value = event.unwrap_or_default();
            let sequence = event["event"]["sequence"].as_u64().unwrap_or(0);
            self.newest = self.newest.max(sequence);
            let seen = Seen::of(&event);
            if older {
                if let Some(seen) = seen {
                    self.seen.push_front(seen);
                }
            } else {
                self.seen.extend(seen);
            }
        }
    }

    fn forget(&mut self, before: i64) {
        let too_many = self.seen.len().saturating_sub(SEEN_MAX);
        self.seen.drain(..too_many);
        while self.seen.front().is_some_and(|it| it.at < before) {
            self.seen.pop_front();
        }
    }

    fn picture(&self, status: &Value, rows: usize) -> String {
        let operations = self.seen.iter().map(|it| it.operations).sum();
        let mut out = format!(
            "fimk top, {} UTC\n{}\nlast {} min: {}, {}\n",
            moment(&Timestamp(now()).rfc3339()).trim_end_matches(" UTC"),
            human::brief(status).trim_end(),
            WINDOW / 60_000_000_000,
            counted(self.seen.len() as u64, "event"),
            counted(operations, "operation"),
        );
        list(&mut out, "PROCESS", self.busiest(Seen::actor), rows);
        list(&mut out, "FILE", self.busiest(|it| it.path.clone()), rows);
        out
    }

    /// What a picture shows, for programs, with all rows.
    fn value(&self, status: &Value) -> Value {
        let rows = |key: fn(&Seen) -> String| -> Vec<Value> {
            let all = self.busiest(key).into_iter();
            all.map(|(name, operations, events)| {
                json!({ "name": name, "operations": operations, "events": events })
            })
            .collect()
        };
        json!({
            "seconds": WINDOW / 1_000_000_000,
            "events": self.seen.len(),
            "operations": self.seen.iter().map(|it| it.operations).sum::<u64>(),
            "problems": status["problems"],
            "queues": status["queues"],
            "processes": rows(Seen::actor),
            "files": rows(|it| it.path.clone()),
        })
    }

    /// By operations, then by name: so that two pictures are alike.
    fn busiest(&self, key: impl Fn(&Seen) -> String) -> Vec<(String, u64, u64)> {
        let mut sums: HashMap<String, (u64, u64)> = HashMap::new();
        for seen in &self.seen {
            let (operations, events) = sums.entry(key(seen)).or_default();
            *operations = operations.saturating_add(seen.operations);
            *events += 1;
        }
        let mut all: Vec<_> = sums
            .into_iter()
            .map(|(key, (operations, events))| (key, operations, events))
            .collect();
        all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        all
    }
}

impl Seen {
    /// Its process and for whom.
    fn actor(&self) -> String {
        match (self.process.as_str(), self.user.as_str()) {
            ("", _) => "not known".to_owned(),
            (process, "") => process.to_owned(),
            (process, user) => format!("{process} as {user}"),
        }
    }

    /// None of what fimk says of itself.
    fn of(event: &Value) -> Option<Self> {
        let text = |pointer: &str| {
            let text = event.pointer(pointer).and_then(Value::as_str);
            text.map(shown).unwrap_or_default()
        };
        let created = Timestamp::parse(&text("/event/created"))?;
        (event["event"]["kind"] == "event").then(|| {
            let executable = text("/process/executable");
            let name = if executable.is_empty() {
                text("/process/name")
            } else {
                executable
            };
            let pid = event.pointer("/process/pid").and_then(Value::as_u64);
            let pid = pid.map_or_else(String::new, |pid| format!(" ({pid})"));
            Self {
                at: created.0,
                path: text("/file/path"),
                process: (name + &pid).trim_start().to_owned(),
                user: text("/user/name"),
                operations: event["fimk"]["count"].as_u64().unwrap_or(1),
            }
        })
    }
}

fn list(out: &mut String, title: &str, all: Vec<(String, u64, u64)>, rows: usize) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\n{:>10} {:>8}  {title}", "OPERATIONS", "EVENTS");
    let more = all.len().saturating_sub(rows);
    for (name, operations, events) in all.into_iter().take(rows) {
        let _ = writeln!(
            out,
            "{:>10} {:>8}  {name}",
            grouped(operations),
            grouped(events)
        );
    }
    if more > 0 {
        let _ = writeln!(
            out,
            "{:>10} {:>8}  and {} more",
            "",
            "",
            grouped(more as u64)
        );
    }
}

fn ask(run_dir: &Path, query: Query) -> Result<Value, Failure> {
    client::ask(run_dir, &Request::Events(Box::new(query)))
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// A terminal on which one picture takes the place of the other.
struct Screen {
    colours: bool,
}

impl Screen {
    fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn size() -> (usize, usize) {
        let size = rustix::termios::tcgetwinsize(io::stdout());
        let size = size.map(|it| (usize::from(it.ws_col), usize::from(it.ws_row)));
        size.ok()
            .filter(|(columns, rows)| *columns > 0 && *rows > 0)
            .unwrap_or((80, 24))
    }

    /// Of each list.
    fn rows() -> usize {
        (Self::size().1.saturating_sub(OTHER_LINES) / 2).max(1)
    }

    /// From the top left, each line with what was behind it taken away, and then what was below.
    fn frame(&self, picture: &str) -> String {
        let (columns, rows) = Self::size();
        let mut out = "\u{1b}[H".to_owned();
        for (at, line) in picture.lines().take(rows.saturating_sub(1)).enumerate() {
            let line: String = line.chars().take(columns).collect();
            let is_head = at == 0 || line.starts_with("OPERATIONS");
            if is_head && self.colours {
                let _ = write!(out, "\u{1b}[1m{line}\u{1b}[0m");
            } else {
                out += &line;
            }
            out += "\u{1b}[K\r\n";
        }
        out + "\u{1b}[J"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn event(path: &str, pid: u64, count: u64) -> Value {
        json!({
            "event": { "kind": "event", "created": "2026-11-22T03:40:01Z", "sequence": 7 },
            "file": { "path": path }, "fimk": { "count": count }, "user": { "name": "eve" },
            "process": { "executable": "/bin/sh\u{1b}[2J", "pid": pid },
        })
    }

    fn activity(events: &[Value]) -> Activity {
        let mut activity = Activity::default();
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        activity.take(&json!({ "lines": lines }), false);
        activity
    }

    #[test]
    fn the_busiest_come_first_and_nothing_acts_on_the_terminal() {
        let mut notice = event("", 0, 5);
        notice["event"]["kind"] = json!("state");
        let activity = activity(&[
            event("/a\n", 1, 2),
            event("/b", 2, 3),
            event("/a\n", 1, 2),
            notice,
        ]);
        assert_eq!(activity.newest, 7);
        let picture = activity.picture(&Value::Null, 1);
        let lines: Vec<&str> = picture.lines().collect();
        assert!(
            lines.contains(&"last 5 min: 3 events, 7 operations"),
            "{picture}"
        );
        assert!(
            lines.contains(&"         4        2  /bin/sh\\u{1b}[2J (1) as eve"),
            "{picture}"
        );
        assert!(
            lines.contains(&"         4        2  /a\\u{a}"),
            "{picture}"
        );
        assert!(
            !picture.contains("  /b\n") && picture.contains("and 1 more"),
            "{picture}"
        );
        assert!(!picture.contains('\u{1b}'));
        let plain = Screen { colours: false }.frame(&picture);
        assert!(!plain.contains("[1m"));
        let coloured = Screen { colours: true }.frame(&picture);
        assert_eq!(coloured.matches("\u{1b}[1m").count(), 3);
    }

    #[test]
    fn programs_get_every_row_with_numbers() {
        let activity = activity(&[event("/a", 7, 2), event("/b", 7, 1), event("/a", 8, 1)]);
        let value = activity.value(&json!({ "problems": [], "queues": { "stash": {} } }));
        assert_eq!(
            (&value["events"], &value["operations"]),
            (&json!(3), &json!(4))
        );
        let file = json!({ "name": "/a", "operations": 3, "events": 2 });
        assert_eq!(value["files"][0], file);
        assert_eq!(value["processes"].as_array().map(Vec::len), Some(2));
        assert!(value["problems"].is_array() && value["queues"].is_object());
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let many: Vec<Value> = (0..=SEEN_MAX as u64).map(|it| event("/a", it, 1)).collect();
        let mut activity = activity(&many);
        activity.forget(0);
        assert_eq!(activity.seen.len(), SEEN_MAX);
        let at = activity.seen.front().expect("there are many").at;
        activity.forget(at + 1);
        assert!(activity.seen.is_empty());
    }
}
