//! Answers over the control socket. Nobody is waited for: each is made at once, and is as long as its limit at most.

use fimk_core::{
    event::{Asker, Event},
    path::BytePath,
    pattern::Pattern,
    render::{Host, ecs_line, one_line},
    request::{PAGE_EVENTS_MAX, Query, Request, Search},
};
use fimk_store::StoreError;
use serde_json::{Value, json};

use super::Engine;
use crate::{
    control::{Question, User},
    output::line,
    status::{self, known},
};

/// Who is in it may read events.
const READERS: &str = "fimk-readers";

/// Stored events looked at for one answer: some ten milliseconds, in which nothing else happens.
const LOOKED_AT_MAX: usize = 2_048;

/// Fetched at once.
const FETCHED_AT_ONCE: usize = 256;

/// Of an answer, but for its last line.
pub(super) const PAGE_BYTES_MAX: usize = 256 << 10;

/// Rules in an answer: some have thousands of paths.
const PATHS_TOLD_MAX: usize = 100;

impl Engine {
    /// Answers who asked. Never waits, and nothing that anybody sends there can make it fail.
    pub(crate) fn serve_control(&mut self) {
        for question in self.control.turn() {
            let number = question.number;
            let answer = self.answer(question);
            self.control.answer(number, one_line(&answer) + "\n");
        }
    }

    fn answer(&mut self, question: Question) -> Value {
        if question.request == (Request::Status {}) {
            let mut answer = self.status();
            if !question.trusted {
                status::leave_out_names(&mut answer);
            }
            return answer;
        }
        let user = question.user;
        if let Request::Forward(asked) = question.request {
            return self.hand_out(user, *asked);
        }
        if !question.trusted && !self.peers.is_in((user.uid, user.gid), READERS) {
            return refusal(
                "not_allowed",
                &format!(
                    "events and rules are for root and the members of the group {READERS}: ask as root, or be added to it"
                ),
            );
        }
        if question.request.does_something() && user.uid != 0 {
            let sentence =
                "a comparison is started, and changes are accepted, by root only: ask as root";
            return refusal("not_allowed", sentence);
        }
        let answer = match question.request {
            Request::Status {} | Request::Forward(_) => Ok(self.status()),
            Request::Events(query) => return self.events(*query),
            Request::Show { sequence } => self.show(sequence),
            Request::Rules {} => Ok(self.rules_told()),
            Request::Explain { path } => self.explain(&path),
            Request::Scan { rule } => {
                let by = self.asker(user);
                Ok(self.order_scan(rule, by))
            }
            Request::ScanState { scan } => Ok(self.scan_state(scan)),
            Request::Records(records) => Ok(self.records(&records)),
            Request::Accept(accept) => {
                let by = self.asker(user);
                Ok(self.accept(*accept, by))
            }
        };
        answer.unwrap_or_else(|error| unreadable(&error))
    }

    /// Who asks, by name, and as whom they once logged in.
    fn asker(&mut self, user: User) -> Asker {
        Asker {
            uid: user.uid,
            user: self.peers.user(user.uid).map(|name| name.to_string()),
            login_uid: login_uid(user.pid),
        }
    }

    fn own_host(&self) -> Host {
        let name = self.about.host.clone();
        Host { name }
    }

    /// A page of events: the `lines`, the number up or down to which all was looked at, and whether there is `more`.
    fn events(&self, query: Query) -> Value {
        let (after, before) = (query.after, query.before);
        let limit = query.limit.unwrap_or(PAGE_EVENTS_MAX);
        let search = match Search::new(query) {
            Ok(search) => search,
            Err(why) => return refusal("bad_query", &why),
        };
        let mut page = Page {
            search,
            host: self.own_host(),
            limit: limit.clamp(1, PAGE_EVENTS_MAX),
            lines: Vec::new(),
            bytes: 0,
            looked_at: 0,
        };
        let done = match after {
            Some(after) => self.forward(after, &mut page),
            None => self.backward(before.unwrap_or(u64::MAX), &mut page),
        };
        match done {
            Ok((sequence, more)) => {
                json!({ "lines": page.lines, "sequence": sequence, "more": more })
            }
            Err(error) => unreadable(&error),
        }
    }

    fn forward(&self, mut after: u64, page: &mut Page) -> Result<(u64, bool), StoreError> {
        loop {
            let events = self.store.events_after(after, FETCHED_AT_ONCE)?;
            if events.is_empty() {
                return Ok((after, false));
            }
            for event in &events {
                if page.is_full() {
                    return Ok((after, true));
                }
                self.take(event, page);
                after = event.sequence;
            }
        }
    }

    fn backward(&self, before: u64, page: &mut Page) -> Result<(u64, bool), StoreError> {
        let Some((first, last)) = self.store.event_range()? else {
            return Ok((0, false));
        };
        let mut before = before.min(last.saturating_add(1));
        while before > first {
            let begin = before.saturating_sub(FETCHED_AT_ONCE as u64).max(first);
            let events = self.between(begin, before)?;
            for event in events.iter().rev() {
                if page.is_full() {
                    return Ok((before, true));
                }
                self.take(event, page);
                before = event.sequence;
            }
            before = begin;
            // A window in which everything was removed costs as well.
            page.looked_at += 1;
            if events
                .first()
                .is_some_and(|event| page.search.is_before(event))
            {
                return Ok((before, false));
            }
        }
        Ok((before, false))
    }

    fn take(&self, event: &Event, page: &mut Page) {
        page.looked_at += 1;
        let known = || page.search.wants_unaccepted() && self.accepted.of(event).is_some();
        if page.search.matches(event) && !known() {
            page.take(event);
        }
    }

    /// All events from one number on, up to another.
    fn between(&self, begin: u64, end: u64) -> Result<Vec<Event>, StoreError> {
        let mut events: Vec<Event> = Vec::new();
        let mut after = begin.saturating_sub(1);
        loop {
            let some = self.store.events_after(after, FETCHED_AT_ONCE)?;
            let whole = some.last().is_none_or(|event| event.sequence + 1 >= end);
            events.extend(some.into_iter().filter(|event| event.sequence < end));
            match events.last() {
                Some(event) if !whole => after = event.sequence,
                _ => return Ok(events),
            }
        }
    }

    fn show(&self, sequence: u64) -> Result<Value, StoreError> {
        let events = match sequence.checked_sub(1) {
            Some(before) => self.store.events_after(before, 1)?,
            None => Vec::new(),
        };
        let Some(stored) = events.iter().find(|it| it.sequence == sequence) else {
            let range = self.store.event_range()?;
            let there = range.map_or_else(
                || "there is none yet".to_owned(),
                |(first, last)| {
                    format!(
                        "there are those from {first} to {last}, but for some that were removed"
                    )
                },
            );
            let sentence = format!("there is no event {sequence}: {there}");
            return Ok(refusal("no_such_event", &sentence));
        };
        let event: Value =
            serde_json::from_str(&ecs_line(stored, &self.own_host())).unwrap_or_default();
        let accepted = self.accepted.of(stored).map(super::baseline::one);
        Ok(known([("event", event), ("accepted", json!(accepted))]))
    }

    fn rules_told(&self) -> Value {
        let rules = self.config.rules.iter().map(|rule| {
            let paths = rule.paths.iter().map(pattern);
            let homes = rule.home_paths.iter().map(|path| {
                let below = path.below(&BytePath::new(b"~"));
                below.escaped()
            });
            let paths: Vec<String> = paths.chain(homes).collect();
            let more = paths.len().saturating_sub(PATHS_TOLD_MAX);
            known([
                ("name", json!(rule.name)),
                ("paths", json!(paths[..paths.len() - more])),
                ("more_paths", json!((more > 0).then_some(more))),
                ("recursive", json!(rule.recursive)),
                ("severity", json!(rule.severity)),
                ("tags", json!(rule.tags)),
            ])
        });
        json!({ "rules": rules.collect::<Vec<Value>>() })
    }

    /// Which rule covers a path, whether it is watched and how, and what is recorded of it.
    fn explain(&self, text: &str) -> Result<Value, StoreError> {
        let path = match Pattern::parse(text) {
            Ok(Pattern::Path(path)) => path,
            Ok(Pattern::Glob(_)) => {
                return Ok(refusal(
                    "bad_query",
                    "a path is to be explained, not a glob",
                ));
            }
            Err(why) => return Ok(refusal("bad_query", &format!("the path {why}"))),
        };
        let found = self.rules.covers(&path);
        let record = self.store.record(&path)?;
        let watched = self.tree.get(&path).is_some();
        Ok(known([
            ("path", json!(path.escaped())),
            ("rule", json!(found.as_ref().map(|it| &it.rule.name))),
            ("rules", json!(found.as_ref().map(|it| &it.rules))),
            ("severity", json!(found.as_ref().map(|it| it.rule.severity))),
            ("watched", json!(watched)),
            ("source", json!(watched.then(|| self.source().name()))),
            (
                "recorded",
                json!(record.map(|record| record.seen.rfc3339())),
            ),
        ]))
    }
}

struct Page {
    search: Search,
    host: Host,
    limit: usize,
    lines: Vec<String>,
    bytes: usize,
    looked_at: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.lines.len() >= self.limit
            || self.bytes >= PAGE_BYTES_MAX
            || self.looked_at >= LOOKED_AT_MAX
    }

    fn take(&mut self, event: &Event) {
        let line = line(event, self.search.format, &self.host);
        self.bytes += line.len();
        self.lines.push(line);
    }
}

fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Path(path) => path.escaped(),
        Pattern::Glob(glob) => glob.glob().glob().to_owned(),
    }
}

/// The answer where the database does not give one.
pub(super) fn unreadable(error: &StoreError) -> Value {
    let sentence = format!("the database cannot be read: {error}");
    refusal("unreadable", &sentence)
}

/// As whom the user of a process once logged in; none who did not, as a daemon, or if it ended meanwhile.
fn login_uid(pid: i32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

/// The answer that says why there is none.
pub(super) fn refusal(code: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}
