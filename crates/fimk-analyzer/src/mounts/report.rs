//! A difference of the mount table as events.

use fimk_core::{
    config::Rule,
    event::{Action, Body, Change, DetectedBy, Event, File},
    path::BytePath,
};
use fimk_store::Commit;
use fimk_wire::raw;

use super::difference::Difference;
use crate::{
    clock,
    engine::{Engine, Trouble},
    report::described,
    signal::{Operations, Touch},
};

impl Engine {
    /// One event, or for what was moved one at each of its places.
    pub(super) fn tell_mount(
        &mut self,
        difference: &Difference,
        who: &[Touch],
    ) -> Result<(), Trouble> {
        let moved = difference.moved();
        let mut events = Vec::new();
        if let Some(before) = &difference.before
            && (difference.after.is_none() || moved.is_some())
        {
            let unmounted = Action::Unmounted;
            let event = self.mount_event(unmounted, &before.point, difference, who);
            events.extend(event);
        }
        if let Some(after) = &difference.after {
            let event = self.mount_event(Action::Mounted, &after.point, difference, who);
            events.extend(event);
        }
        if events.is_empty() {
            return Ok(());
        }
        self.commit(Commit {
            events,
            ..Commit::default()
        })
    }

    /// None where no rule covers the place or anything below it.
    fn mount_event(
        &mut self,
        action: Action,
        point: &BytePath,
        difference: &Difference,
        who: &[Touch],
    ) -> Option<Event> {
        if !self.reaches(point) {
            return None;
        }
        let (rule, rules) = self.rules_at(point)?;
        let (severity, rule_name, tags) = (rule.severity, rule.name.clone(), rule.tags.clone());
        let now = clock::now();
        let mut actors: Vec<_> = who
            .iter()
            .filter_map(|touch| Some((touch.actor?, touch.uid)))
            .map(|(key, uid)| described(&self.actors, &mut self.users, key, uid))
            .collect();
        let actor = if actors.len() == 1 {
            actors.pop()
        } else {
            None
        };
        let moved = difference.moved();
        let change = Change {
            file: self.mount_point(point),
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

    /// What is there now.
    fn mount_point(&mut self, point: &BytePath) -> File {
        let attributes = self.reader.attributes(point).ok();
        let (owner, group) = attributes.as_ref().map_or((None, None), |it| {
            (self.users.user(it.uid), self.users.group(it.gid))
        });
        File {
            path: point.clone(),
            owner: owner.map(|name| name.to_string()),
            group: group.map(|name| name.to_string()),
            before: None,
            attributes,
            digest: None,
            target: None,
        }
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
