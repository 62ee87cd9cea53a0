//! From attempts that waited to events, and what to say where a source cannot see them.

use std::sync::Arc;

use fimk_core::{
    config::{KINDS, Kind},
    event::{Attempt, Body, Change, DetectedBy, Event, File, Further, Words},
    path::BytePath,
    record::Record,
    rules::Match,
};
use fimk_store::Commit;
use fimk_wire::{
    plan::{ROWS, Served},
    raw,
};

use super::flags;
use crate::{
    clock,
    engine::{Engine, Trouble},
    exit::{Failure, log},
    report::{as_recorded, described},
    signal::Attempted,
};

/// Events committed at once.
const COMMIT_MAX: usize = 256;

impl Engine {
    /// An attempt is to be told, if the rule of the path asks for its kind.
    pub(crate) fn attempted(&mut self, path: BytePath, attempted: Attempted) {
        if self.rules.report(&path).has(attempted.kind) {
            let settle = &mut self.settle;
            self.attempts.add(path, attempted, || settle.new_id());
        }
    }

    /// Reports those whose window has ended.
    pub(crate) fn report_attempts(&mut self) -> Result<(), Trouble> {
        let mut unknown = Vec::new();
        let mut events = Vec::new();
        while let Some((id, path, attempted)) = self.attempts.next(false) {
            if !self.want(attempted.touch.actor)? {
                unknown.push((id, path, attempted));
                continue;
            }
            events.extend(self.attempt_event(path, attempted)?);
            if events.len() >= COMMIT_MAX {
                self.commit_events(std::mem::take(&mut events))?;
            }
        }
        for (id, path, attempted) in unknown {
            self.attempts.put_back(id, path, attempted);
        }
        self.commit_events(events)
    }

    /// The end: whoever is not known by now stays a number.
    pub(crate) fn report_all_attempts(&mut self) -> Result<(), Trouble> {
        while let Some((_, path, attempted)) = self.attempts.next(true) {
            let event = self.attempt_event(path, attempted)?;
            self.commit_events(event.into_iter().collect())?;
        }
        Ok(())
    }

    fn commit_events(&mut self, events: Vec<Event>) -> Result<(), Trouble> {
        if events.is_empty() {
            return Ok(());
        }
        self.commit(Commit {
            events,
            ..Commit::default()
        })
    }

    fn attempt_event(
        &mut self,
        path: BytePath,
        attempted: Attempted,
    ) -> Result<Option<Event>, Trouble> {
        let rules = Arc::clone(&self.rules);
        let Some(matched) = rules.covers(&path) else {
            return Ok(None);
        };
        let record = self.store.record(&path).map_err(Failure::from)?;
        let Attempted {
            kind,
            error,
            touch,
            or_else,
        } = attempted;
        let known = touch.actor.filter(|&key| self.actors.get(key).is_some());
        let actor = known
            .or(or_else)
            .or(touch.actor)
            .map(|key| described(&self.actors, &mut self.users, key, touch.uid, touch.by));
        let on = Change {
            file: self.file_as_recorded(path, record),
            actor,
            operations: touch.operations.names(),
            start: touch.first,
            end: touch.last,
            count: touch.count.max(1),
            accessed_path: touch.accessed,
            ..nothing_differs(&matched)
        };
        let body = Body::Attempt(Box::new(Attempt { on, error }));
        Ok(Some(self.event_of(
            kind.action(),
            matched.rule.severity,
            body,
        )))
    }

    fn file_as_recorded(&mut self, path: BytePath, record: Option<Record>) -> File {
        let now = record.as_ref().map_or_else(Words::default, |record| {
            as_recorded(&record.snapshot, &mut self.users)
        });
        let attributes = record.map(|record| record.snapshot.attributes);
        let (owner, group) = attributes.as_ref().map_or((None, None), |it| {
            (self.users.user(it.uid), self.users.group(it.gid))
        });
        let mut file = File {
            path,
            owner: owner.map(|name| name.to_string()),
            group: group.map(|name| name.to_string()),
            attributes,
            before: None,
            digest: None,
            target: None,
            further: Further {
                now,
                ..Further::default()
            },
        };
        self.tell_file_system(&mut file);
        file
    }

    /// Says which of the attempts that rules ask for are not seen, once.
    pub(crate) fn say_unseen_attempts(&mut self, ready: &raw::fimk_ready) -> Result<(), Trouble> {
        let asked = self.rules.reports();
        for kind in KINDS.into_iter().filter(|&kind| asked.has(kind)) {
            if let Some(sentence) = unseen(kind, ready) {
                log(&sentence);
                self.degraded(&sentence)?;
            }
        }
        Ok(())
    }
}

/// A change of which there is nothing to say yet.
fn nothing_differs(matched: &Match<'_>) -> Change {
    let now = clock::now();
    Change {
        file: File {
            path: BytePath::new(b"/"),
            attributes: None,
            before: None,
            digest: None,
            owner: None,
            group: None,
            target: None,
            further: Further::default(),
        },
        actor: None,
        actors: Vec::new(),
        operations: Vec::new(),
        start: now,
        end: now,
        count: 1,
        bytes: None,
        rule: matched.rule.name.clone(),
        rules: matched.rules.iter().map(|&name| name.to_owned()).collect(),
        tags: matched.rule.tags.clone(),
        detected_by: DetectedBy::Event,
        gap: None,
        changes: Vec::new(),
        findings: Vec::new(),
        diff: None,
        truncated: Vec::new(),
        observed: true,
        content: None,
        unread: None,
        previous_path: None,
        new_path: None,
        accessed_path: None,
        replaced: false,
    }
}

/// What is not seen of a kind of attempts, in a sentence.
fn unseen(kind: Kind, ready: &raw::fimk_ready) -> Option<String> {
    let name = kind.name();
    let because = |why: &str| {
        Some(format!(
            "a rule reports \"{name}\", which is not seen: {why}"
        ))
    };
    match (ready.source, kind) {
        (raw::FIMK_SOURCE_BPF, _) => {}
        (raw::FIMK_SOURCE_FANOTIFY, Kind::Denied) => {
            return because("the source fanotify is not told of what is refused");
        }
        (raw::FIMK_SOURCE_FANOTIFY, _) => return None,
        _ => return because("the source periodic only compares"),
    }
    let flag = flags(fimk_core::config::Report::default().with(kind));
    let rows = ROWS.iter().zip(&ready.plan);
    let missing: Vec<&str> = rows
        .filter(|(row, _)| row.kind == flag)
        .filter(|(row, byte)| !matches!(Served::of(row, **byte), Served::By(..)))
        .map(|(row, _)| row.operation)
        .collect();
    let of_kind = ROWS.iter().filter(|row| row.kind == flag).count();
    if missing.is_empty() {
        return None;
    }
    if missing.len() == of_kind {
        return because(
            "its programs are not loaded; start the loader again, and see fimk-loader --probe",
        );
    }
    Some(format!(
        "a rule reports \"{name}\", of which this kernel does not let be seen: {}",
        missing.join(", ")
    ))
}
