//! What happens to objects while something is mounted over them, as events.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fimk_core::{
    event::{Action, Body, Change, ContentVerdict, DetectedBy, Event, File, Further},
    path::BytePath,
};
use fimk_store::Commit;
use fimk_wire::raw;

use super::Mounts;
use crate::{
    engine::{Engine, Trouble},
    identity::ActorKey,
    report::described,
    signal::{Operations, Touch},
};

/// Touches that wait; each is an event in the end. What more processes do in the same moment is counted as nobody's.
const WAITING_MAX: usize = 4_096;

/// How long one waits for what is known of its process.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was done to covered objects and is not told yet, by name and process, since when.
pub(super) type Waiting = HashMap<(BytePath, Option<ActorKey>), (Instant, Touch)>;

/// What a touch of an object whose content nobody can read comes to; none if it may have changed nothing.
fn action(operations: Operations) -> Option<Action> {
    let meets = |number| operations.meets(Operations::of(&[number]));
    let made = meets(raw::FIMK_OP_CREATE) || meets(raw::FIMK_OP_LINK);
    Some(match () {
        () if meets(raw::FIMK_OP_UNLINK) => Action::Deleted,
        () if made => Action::Created,
        () if meets(raw::FIMK_OP_RENAME) || meets(raw::FIMK_OP_EXCHANGE) => Action::Renamed,
        () if operations.meets(Operations::WRITES) => Action::Modified,
        () if operations.meets(Operations::ATTRIBUTES) => Action::AttributesModified,
        () => return None,
    })
}

impl Mounts {
    /// Something happened to what another mount covers.
    pub fn covered(&mut self, path: BytePath, mut touch: Touch) {
        if self.waiting_covered.len() >= WAITING_MAX {
            (touch.actor, touch.uid) = (None, None);
        }
        let key = (path, touch.actor);
        match self.waiting_covered.get_mut(&key) {
            Some((_, known)) => known.absorb(touch),
            None => drop(self.waiting_covered.insert(key, (Instant::now(), touch))),
        }
    }

    /// Those that waited for `window`, long enough to be one with what followed.
    fn covered_due(&mut self, window: Duration) -> Vec<(BytePath, Instant, Touch)> {
        let due = |_: &_, (since, _): &mut (Instant, Touch)| since.elapsed() >= window;
        let due = self.waiting_covered.extract_if(due);
        due.map(|((path, _), (since, touch))| (path, since, touch))
            .collect()
    }
}

impl Engine {
    pub(super) fn tell_covered(&mut self) -> Result<(), Trouble> {
        let window = Duration::from_millis(self.config.settle_ms);
        for (path, since, touch) in self.mounts.covered_due(window) {
            if !self.want(touch.actor)? && since.elapsed() < PATIENCE {
                let key = (path, touch.actor);
                self.mounts.waiting_covered.insert(key, (since, touch));
                continue;
            }
            let event = self.covered_event(path, touch);
            let events: Vec<Event> = event.into_iter().collect();
            if !events.is_empty() {
                self.commit(Commit {
                    events,
                    ..Commit::default()
                })?;
            }
        }
        Ok(())
    }

    fn covered_event(&mut self, path: BytePath, touch: Touch) -> Option<Event> {
        let action = action(touch.operations)?;
        let matched = self.rules.covers(&path)?;
        if !matched.rule.events.has(action) {
            return None;
        }
        let severity = matched.rule.severity;
        let (rule, tags) = (matched.rule.name.clone(), matched.rule.tags.clone());
        let rules = matched.rules.iter().map(|&name| name.to_owned()).collect();
        let actor = touch
            .actor
            .map(|key| described(&self.actors, &mut self.users, key, touch.uid, touch.by));
        let file = File {
            path,
            attributes: None,
            before: None,
            digest: None,
            owner: None,
            group: None,
            target: None,
            further: Further::default(),
        };
        let change = Change {
            file,
            actor,
            actors: Vec::new(),
            operations: touch.operations.names(),
            start: touch.first,
            end: touch.last,
            count: touch.count,
            bytes: (touch.bytes > 0).then_some(touch.bytes),
            rule,
            rules,
            tags,
            detected_by: DetectedBy::Event,
            gap: None,
            changes: Vec::new(),
            findings: Vec::new(),
            diff: None,
            truncated: Vec::new(),
            observed: true,
            content: Some(ContentVerdict::Unread),
            unread: Some(
                "something is mounted over it: it is compared when it is uncovered".to_owned(),
            ),
            previous_path: None,
            new_path: None,
            accessed_path: touch.accessed,
            replaced: false,
        };
        Some(self.event_of(action, severity, Body::Change(Box::new(change))))
    }
}
