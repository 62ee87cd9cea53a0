//! Reads what is due, compares it with its record, and commits record and events together.

use std::sync::Arc;

use fimk_consumers::Consumer;
use fimk_core::{
    config::{ContentMode, Rule},
    event::{Body, Event, Gap},
    path::BytePath,
    record::{Content, Record, Snapshot},
    rules::RuleSet,
};
use fimk_store::Commit;

use crate::{
    clock,
    engine::{Engine, Eyes, Trouble},
    exit::Failure,
    pending::{Found, Pending},
    read::{ReadError, Wanted, unchanged},
    report::{Case, Report, is_public, reports, unexplained},
    signal::Operations,
    verdict::{Values, judge},
};

impl Engine {
    /// What waited about a path becomes events, if anything shows; false when it has to wait for a touch that
    /// explains what shows.
    pub(crate) fn examine(&mut self, path: &BytePath, pending: &Pending) -> Result<bool, Trouble> {
        self.settle.mark_read(path);
        self.examine_in(path, pending, None)
    }

    /// As [`Self::examine`], in a window in which nobody watched.
    pub(crate) fn examine_in(
        &mut self,
        path: &BytePath,
        pending: &Pending,
        gap: Option<Gap>,
    ) -> Result<bool, Trouble> {
        let rules = Arc::clone(&self.rules);
        let mut commit = Commit {
            remove: pending.former.clone(),
            ..Commit::default()
        };
        let Some(matched) = rules.covers(path) else {
            return self.commit(commit).map(|()| true);
        };
        let stored = self.store.record(path).map_err(Failure::from)?;
        let had_record = stored.is_some();
        let before = pending.base.clone().or(stored);
        if self.nothing_can_differ(path, pending, before.as_ref()) {
            return Ok(true);
        }
        let after = self.snapshot(path, matched.rule, pending.present == Some(false));
        let tokens_fit = before
            .as_ref()
            .is_none_or(|record| record.key_id == self.key_id);
        let mut verdict = judge(before.as_ref(), after.as_ref(), tokens_fit);
        let show_private = matched.rule.content == ContentMode::Diff;
        let values = Values {
            comparable: tokens_fit,
            shown: show_private || is_public(before.as_ref(), after.as_ref()),
        };
        verdict.add_extended(before.as_ref(), after.as_ref(), values, &mut self.users);
        if !pending.unexplained && unexplained(pending, &verdict) {
            // Another process did it, and its touch is on the way: it is not put on whoever came first.
            return Ok(false);
        }
        let new = before.is_none() && pending.found.is_some();
        if (verdict.differs() || new) && self.others_are_on_the_way(path, pending)? {
            return Ok(false);
        }
        let case = Case {
            path,
            pending,
            before: before.as_ref(),
            after: after.as_ref(),
            verdict: &verdict,
            matched: &matched,
            gap,
            compared: self.compared,
            show_private,
        };
        let leads_elsewhere = leads_elsewhere(&rules, path, before.as_ref(), after.as_ref());
        let reports = reports(&case, &self.actors, &mut self.users);
        commit.events = reports
            .into_iter()
            .map(|report| self.event(report))
            .collect();
        match after {
            Some(snapshot)
                if before.as_ref().is_none_or(|it| it.snapshot != snapshot) || !had_record =>
            {
                let record = Record {
                    snapshot,
                    seen: clock::now(),
                    key_id: self.key_id,
                };
                commit.put.push((path.clone(), record));
            }
            None if had_record => commit.remove.push(path.clone()),
            _ => {}
        }
        if commit.events.is_empty() && commit.put.is_empty() && commit.remove.is_empty() {
            return Ok(true);
        }
        if leads_elsewhere && self.homes.above(path).is_some() {
            self.home_link_moved = true;
        } else if leads_elsewhere {
            return self.commit_and_follow(commit).map(|()| true);
        }
        self.commit(commit).map(|()| true)
    }

    /// What a link leads to now is watched before anybody reads that it leads there.
    fn commit_and_follow(&mut self, commit: Commit) -> Result<(), Trouble> {
        let started = std::mem::replace(&mut self.started, false);
        self.commit(commit)?;
        let followed = self.follow_links();
        self.started = started;
        followed?;
        if started { self.replay(None) } else { Ok(()) }
    }

    fn event(&self, (action, severity, change): Report) -> Event {
        Event {
            sequence: 0,
            created: clock::now(),
            boot: self.boot.clone(),
            source: Some(self.source()),
            action,
            severity,
            body: Body::Change(Box::new(change)),
        }
    }

    /// Only a release was hinted, nothing is mapped, and the attributes are those recorded: opening for
    /// writing without writing is no change, and not worth reading the content.
    fn nothing_can_differ(
        &self,
        path: &BytePath,
        pending: &Pending,
        before: Option<&Record>,
    ) -> bool {
        let close = Operations::of(&[fimk_wire::raw::FIMK_OP_CLOSE]);
        let only_closed = !pending.touches.is_empty()
            && pending
                .touches
                .iter()
                .all(|it| it.fact.is_none() && it.operations.without(close).is_empty());
        only_closed
            && pending.found != Some(Found::Late)
            && !self.held.holds(path)
            && before.is_some_and(|record| {
                self.reader
                    .attributes(path)
                    .is_ok_and(|now| unchanged(&record.snapshot.attributes, &now))
            })
    }

    /// Whether the fanotify queue holds events of other processes about what was just read: theirs are older than the
    /// reading, so what differs may be their work. (A BPF entry is taken before the reading, with everybody in it.)
    fn others_are_on_the_way(
        &mut self,
        path: &BytePath,
        pending: &Pending,
    ) -> Result<bool, Trouble> {
        let Eyes::Fanotify(fanotify) = &mut self.eyes else {
            return Ok(false);
        };
        if pending.unexplained || pending.found.is_none() && pending.touches.is_empty() {
            return Ok(false);
        }
        // A group that fails says so again at the next turn, which ends us.
        let _ = fanotify.read(&mut self.channel)?;
        // Who was merely near when it was found is not known to have done anything.
        let touches = pending.touches.iter();
        let actors = touches
            .filter(|_| pending.found.is_none())
            .filter_map(|touch| touch.actor);
        let known: Vec<u32> = actors.map(|actor| actor.pid).collect();
        Ok(fanotify.awaits_another(path, &known))
    }

    /// Reads a path under a rule; none when it is gone.
    pub(crate) fn snapshot(&self, path: &BytePath, rule: &Rule, gone: bool) -> Option<Snapshot> {
        if gone {
            return None;
        }
        let wanted = Wanted {
            consumer: Some(Consumer::for_path(path.bytes())),
            content: rule.content,
        };
        match self.reader.snapshot(path, &wanted) {
            Ok(read) => Some(read.snapshot),
            Err(ReadError::Gone) => None,
            Err(error) => self.unreadable(path, &error),
        }
    }

    /// Its attributes at least, and why its content is not known.
    fn unreadable(&self, path: &BytePath, error: &ReadError) -> Option<Snapshot> {
        let attributes = self.reader.attributes(path).ok()?;
        Some(Snapshot {
            attributes,
            content: Content::Unread(error.to_string()),
            extended: None,
        })
    }
}

/// Whether this is a link that a rule spells out, and it came, went or changed its target.
fn leads_elsewhere(
    rules: &RuleSet,
    path: &BytePath,
    before: Option<&Record>,
    after: Option<&Snapshot>,
) -> bool {
    let target = |content: &Content| match content {
        Content::Link(target) => Some(target.clone()),
        _ => None,
    };
    let before = before.and_then(|record| target(&record.snapshot.content));
    let after = after.and_then(|snapshot| target(&snapshot.content));
    before != after
        && rules
            .roots()
            .iter()
            .any(|root| root.literal && root.path == *path)
}
