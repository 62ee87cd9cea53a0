//! What is recorded, for who asks; and what somebody has looked at and found right.

use std::time::{Duration, Instant};

use fimk_core::{
    accepted::{Acceptance, Accepted, NOTE_BYTES_MAX},
    event::{Action, Asked, Asker, Notice},
    path::{BytePath, escaped},
    record::Content,
    render::{one_line, record_value},
    request::{Accept, PAGE_RECORDS_MAX, Paths, Records},
};
use fimk_store::{Store, StoreError};
use serde_json::{Value, json};

use super::{
    Engine,
    orders::name,
    questions::{PAGE_BYTES_MAX, refusal, unreadable},
};
use crate::{clock, exit::Failure, report::without_secret, status::known};

/// Records are read for one answer: in which nothing else happens.
const AT_ONCE: Duration = Duration::from_millis(20);

/// The meta key of what was accepted.
const ACCEPTED: &str = "accepted";

/// What was accepted under earlier analyzers.
pub fn accepted(store: &Store) -> Result<Accepted, Failure> {
    let text = store.meta(ACCEPTED)?;
    Ok(Accepted::parse(&text.unwrap_or_default()))
}

/// Where the records of an answer are, and which of them are wanted.
struct Wanted {
    paths: Option<Paths>,
    rule: Option<String>,
    limit: usize,
    /// Only what comes after it.
    after: Option<BytePath>,
}

impl Wanted {
    fn new(records: &Records) -> Result<Self, String> {
        let paths = records.path.as_deref().map(Paths::parse).transpose()?;
        let limit = records.limit.unwrap_or(PAGE_RECORDS_MAX);
        Ok(Self {
            after: records.begin()?,
            rule: records.rule.clone(),
            limit: limit.clamp(1, PAGE_RECORDS_MAX),
            paths,
        })
    }

    /// The directory that all of them lie in, if that is not the root.
    fn base(&self) -> Option<&BytePath> {
        let base = self.paths.as_ref().map(Paths::base);
        base.filter(|base| base.bytes() != b"/")
    }
}

impl Engine {
    /// A page of records: the `records`, and `next` to go on from unless that is all.
    pub(super) fn records(&mut self, records: &Records) -> Value {
        let wanted = match Wanted::new(records) {
            Ok(wanted) => wanted,
            Err(why) => return refusal("bad_query", &why),
        };
        match self.page_of(wanted) {
            Ok((page, next)) => known([
                ("records", json!(page)),
                ("next", json!(next.as_ref().map(Records::place))),
            ]),
            Err(error) => unreadable(&error),
        }
    }

    fn page_of(
        &mut self,
        mut wanted: Wanted,
    ) -> Result<(Vec<Value>, Option<BytePath>), StoreError> {
        let (begun, mut page, mut bytes) = (Instant::now(), Vec::new(), 0);
        loop {
            let Some((path, mut record)) = next_record(&self.store, &wanted)? else {
                return Ok((page, None));
            };
            if let Content::Link(target) = &mut record.snapshot.content {
                *target = without_secret(target);
            }
            let rules = self.rules.covers(&path);
            let rule = rules.map(|found| found.rule.name.clone());
            let of_paths = wanted.paths.as_ref().is_none_or(|it| it.matches(&path));
            if of_paths && (wanted.rule.is_none() || wanted.rule == rule) {
                let attributes = &record.snapshot.attributes;
                let owner = self.users.user(attributes.uid);
                let group = self.users.group(attributes.gid);
                let names = (
                    owner.map(|it| it.to_string()),
                    group.map(|it| it.to_string()),
                );
                let value = record_value(&path, &record, rule.as_deref(), names);
                bytes += one_line(&value).len();
                page.push(value);
            }
            wanted.after = Some(path);
            if page.len() >= wanted.limit || bytes >= PAGE_BYTES_MAX || begun.elapsed() >= AT_ONCE {
                return Ok((page, wanted.after));
            }
        }
    }

    /// Takes down that events up to a number, or of some paths, were looked at.
    pub(super) fn accept(&mut self, accept: Accept, by: Asker) -> Value {
        let acceptance = match self.acceptance(accept, by) {
            Ok(acceptance) => acceptance,
            Err(why) => return refusal("bad_query", &why),
        };
        if !self.store.has_room() {
            let why = "nothing can be stored now: see `fimk status`, and try again";
            return refusal("busy", why);
        }
        let before = self.accepted.text();
        if let Err(why) = self.accepted.add(acceptance.clone()) {
            return refusal("bad_query", &why);
        }
        let kept = self.store.set_meta(ACCEPTED, &self.accepted.text());
        if kept.is_err() || self.say_accepted(&acceptance).is_err() {
            self.accepted = Accepted::parse(&before);
            return refusal("unstored", "it could not be stored: see `fimk status`");
        }
        json!({ "accepted": one(&acceptance) })
    }

    fn acceptance(&self, accept: Accept, by: Asker) -> Result<Acceptance, String> {
        let Accept {
            through,
            path,
            note,
        } = accept;
        if through.is_none() && path.is_none() {
            return Err("say up to which event, or of which path".to_owned());
        }
        if note
            .as_ref()
            .is_some_and(|note| note.len() > NOTE_BYTES_MAX)
        {
            return Err(format!("a note has at most {NOTE_BYTES_MAX} bytes"));
        }
        let newest = self.store.next_sequence().saturating_sub(1);
        let through = through.unwrap_or(newest);
        if through > newest || through == 0 {
            return Err(format!(
                "there is no event {through}: the newest is {newest}"
            ));
        }
        Ok(Acceptance {
            through,
            path,
            time: clock::now(),
            by,
            note: note.map(|note| escaped(note.as_bytes())),
        })
    }

    fn say_accepted(&mut self, acceptance: &Acceptance) -> Result<(), super::Trouble> {
        let Acceptance {
            through,
            path,
            by,
            note,
            ..
        } = acceptance.clone();
        let of = path.as_ref().map_or_else(String::new, |path| {
            format!(" of {}", escaped(path.as_bytes()))
        });
        let why = note
            .as_ref()
            .map_or_else(String::new, |it| format!(": {it}"));
        let notice = Notice {
            message: format!(
                "events{of} up to {through} were accepted by {}{why}",
                name(&by)
            ),
            ..Notice::default()
        };
        let path = path.map(|path| escaped(path.as_bytes()));
        self.say_asked(
            Action::BaselineAccepted,
            Asked {
                notice,
                by,
                rule: None,
                through: Some(through),
                path,
                note,
            },
        )
    }

    /// What was accepted last of everything, for the status.
    pub(super) fn accepted_told(&self) -> Option<Value> {
        self.accepted.everything().map(one)
    }
}

/// An acceptance, for who asks.
pub(super) fn one(acceptance: &Acceptance) -> Value {
    known([
        ("through", json!(acceptance.through)),
        (
            "path",
            json!(acceptance.path.as_ref().map(|it| escaped(it.as_bytes()))),
        ),
        ("time", json!(acceptance.time.rfc3339())),
        ("user", json!(acceptance.by.user)),
        ("uid", json!(acceptance.by.uid)),
        ("login_uid", json!(acceptance.by.login_uid)),
        ("note", json!(acceptance.note)),
    ])
}

type Found = (BytePath, fimk_core::record::Record);

/// The next one where they may lie; the directory itself comes before what is in it.
fn next_record(store: &Store, wanted: &Wanted) -> Result<Option<Found>, StoreError> {
    let Some(base) = wanted.base() else {
        return store.record_after(wanted.after.as_ref());
    };
    if wanted.after.is_none()
        && let Some(record) = store.record(base)?
    {
        return Ok(Some((base.clone(), record)));
    }
    // `/etc-old` lies between `/etc` and `/etc/passwd`.
    let inside = BytePath::new(&[base.bytes(), b"/"].concat());
    let after = wanted.after.as_ref().filter(|it| **it > inside);
    let found = store.record_after(Some(after.unwrap_or(&inside)))?;
    Ok(found.filter(|(path, _)| path.is_in(base)))
}
