//! A difference of the mount table as events.

use std::collections::HashMap;

use fimk_core::{
    config::Rule,
    event::{Action, Body, Change, DetectedBy, Event, File, Further},
    path::BytePath,
    record::{FileKind, Record},
};
use fimk_store::Commit;
use fimk_wire::raw;

use super::difference::Difference;
use crate::{
    clock,
    engine::{Engine, Trouble},
    exit::Failure,
    report::described,
    signal::{Operations, Touch},
    start::BASELINE_BATCH,
};

/// What is seen at mount points.
pub(super) type Seen = HashMap<BytePath, File>;

impl Engine {
    /// What is seen where something came or went. Of a directory the event will tell all there is to compare, its
    /// attributes: it is recorded so. To be called before it is watched: a later change is an event of its own.
    pub(super) fn see_mount_points(&mut self, differences: &[Difference]) -> Result<Seen, Trouble> {
        let (mut seen, mut put) = (Seen::new(), Vec::new());
        for point in differences.iter().flat_map(Difference::points) {
            let mut file = self.mount_point(point)?;
            if let Some((path, record)) = self.record_of(&file) {
                file.attributes = Some(record.snapshot.attributes.clone());
                put.push((path, record));
            }
            seen.insert(point.clone(), file);
            if put.len() >= BASELINE_BATCH {
                self.put(&mut put)?;
            }
        }
        self.put(&mut put)?;
        Ok(seen)
    }

    pub(crate) fn put(&mut self, records: &mut Vec<(BytePath, Record)>) -> Result<(), Trouble> {
        self.commit(Commit {
            put: std::mem::take(records),
            ..Commit::default()
        })
    }

    /// One event, or for what was moved one at each of its places.
    pub(super) fn tell_mount(
        &mut self,
        difference: &Difference,
        seen: &Seen,
        who: &[Touch],
    ) -> Result<(), Trouble> {
        let (before, after) = (difference.before.as_ref(), difference.after.as_ref());
        let left = before.filter(|_| after.is_none() || difference.moved().is_some());
        let unmounted = left.map(|mount| (Action::Unmounted, &mount.point));
        let mounted = after.map(|mount| (Action::Mounted, &mount.point));
        let mut commit = Commit::default();
        for (action, point) in unmounted.into_iter().chain(mounted) {
            let file = match seen.get(point) {
                Some(file) => file.clone(),
                None => self.mount_point(point)?,
            };
            let event = self.mount_event(action, file, difference, who);
            commit.events.extend(event);
        }
        if commit.events.is_empty() {
            return Ok(());
        }
        self.commit(commit)
    }

    /// None where no rule covers the place or anything below it.
    fn mount_event(
        &mut self,
        action: Action,
        file: File,
        difference: &Difference,
        who: &[Touch],
    ) -> Option<Event> {
        if !self.reaches(&file.path) {
            return None;
        }
        let (rule, rules) = self.rules_at(&file.path)?;
        if !rule.events.has(action) {
            return None;
        }
        let (severity, rule_name, tags) = (rule.severity, rule.name.clone(), rule.tags.clone());
        let now = clock::now();
        let mut actors: Vec<_> = who
            .iter()
            .filter_map(|touch| Some((touch.actor?, touch.uid, touch.by)))
            .map(|(key, uid, by)| described(&self.actors, &mut self.users, key, uid, by))
            .collect();
        let one = who.len() == 1;
        let actor = one.then(|| actors.pop()).flatten();
        let moved = difference.moved();
        let change = Change {
            file,
            actor,
            actors,
            operations: Operations::of(&[operation(action)]).names(),
            start: who.iter().map(|it| it.first).min().unwrap_or(now),
            end: who.iter().map(|it| it.last).max().unwrap_or(now),
            count: 1,
            bytes: None,
            rule: rule_name,
            rules,
            tags,
            detected_by: DetectedBy::Event,
            gap: None,
            changes: difference.words(),
            findings: Vec::new(),
            diff: None,
            truncated: Vec::new(),
            observed: true,
            content: None,
            unread: None,
            previous_path: moved
                .filter(|_| action == Action::Mounted)
                .map(|(from, _)| from.clone()),
            new_path: moved
                .filter(|_| action == Action::Unmounted)
                .map(|(_, to)| to.clone()),
            accessed_path: None,
            replaced: false,
        };
        Some(Event {
            sequence: 0,
            created: now,
            boot: self.boot.clone(),
            source: Some(self.source()),
            action,
            severity,
            body: Body::Change(Box::new(change)),
        })
    }

    /// What is there now, and what was there before.
    fn mount_point(&mut self, point: &BytePath) -> Result<File, Trouble> {
        let at = point.clone();
        let attributes = self.ask(point, move |reader| reader.attributes(&at));
        let attributes = attributes.ok().and_then(Result::ok);
        let recorded = self.store.record(point).map_err(Failure::from)?;
        let before = recorded
            .map(|record| record.snapshot.attributes)
            .filter(|old| attributes.as_ref().is_some_and(|new| new != old));
        let (owner, group) = attributes.as_ref().map_or((None, None), |it| {
            (self.users.user(it.uid), self.users.group(it.gid))
        });
        let mut file = File {
            path: point.clone(),
            owner: owner.map(|name| name.to_string()),
            group: group.map(|name| name.to_string()),
            before,
            attributes,
            digest: None,
            target: None,
            further: Further::default(),
        };
        self.tell_file_system(&mut file);
        Ok(file)
    }

    /// The record of a directory that is covered.
    fn record_of(&mut self, file: &File) -> Option<(BytePath, Record)> {
        let attributes = file.attributes.as_ref()?;
        let directory = attributes.kind == FileKind::Directory;
        directory.then(|| self.first_record(&file.path)).flatten()
    }

    /// The rule that answers for a mount point, and the names of all that do: those that cover it, or else those
    /// that cover something below it; of these, the most severe answers.
    fn rules_at(&self, point: &BytePath) -> Option<(&Rule, Vec<String>)> {
        if let Some(matched) = self.rules.covers(point) {
            let names = matched.rules.iter().map(|&name| name.to_owned());
            return Some((matched.rule, names.collect()));
        }
        let mut numbers: Vec<u32> = self
            .rules
            .roots()
            .iter()
            .filter(|root| root.path.is_in(point) || !root.literal && point.is_in(&root.path))
            .map(|root| root.rule)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let below: Vec<&Rule> = numbers
            .into_iter()
            .filter_map(|number| self.rules.rule(number))
            .collect();
        // The first of equals, while max_by_key takes the last.
        let rule = below.iter().rev().max_by_key(|rule| rule.severity)?;
        Some((rule, below.iter().map(|rule| rule.name.clone()).collect()))
    }
}

fn operation(action: Action) -> u32 {
    if action == Action::Unmounted {
        raw::FIMK_OP_UNMOUNT
    } else {
        raw::FIMK_OP_MOUNT
    }
}
