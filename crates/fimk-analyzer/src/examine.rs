//! Reads what is due, compares it with its record, and commits record and events together.

mod looked;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fimk_core::{
    config::{ContentMode, Rule},
    event::{Body, Event, Gap, Source},
    path::BytePath,
    record::{Content, Record, Snapshot},
    rules::RuleSet,
    time::Timestamp,
};
use fimk_store::Commit;

use self::looked::without_content;
pub(crate) use self::looked::{Looked, Manner, is_leased, read_under};
use crate::{
    clock,
    engine::{Engine, Eyes, Trouble},
    exit::Failure,
    patience::{About, Hangs},
    pending::{Found, Pending},
    read::{Known, ReadError, Reader, unchanged},
    report::{Case, Report, awaits_reason, puts, vanished},
    signal::{Fact, Operations},
    verdict::Verdict,
    wanted::Seen,
};

/// Packets put by while something takes long, before it is looked for again.
const PUT_BY_AT_ONCE: usize = 4_096;

/// The pause after the reading of a growing file, in times of what that took: a twentieth of the time at most goes into it.
const GROWING_REST: u32 = 20;

/// And no longer than this, whatever it took.
const GROWING_REST_MAX: Duration = Duration::from_secs(30);

/// What is examined, and how it was looked at.
struct One<'a> {
    path: &'a BytePath,
    pending: &'a Pending,
    /// What it is compared with.
    before: Option<&'a Record>,
    /// Whether the path has a record, be it that one or another.
    had_record: bool,
    /// When reading it began.
    begun: Timestamp,
    /// Not all of it could be read.
    stalled: bool,
    /// Its content is as recorded, and has another kind of digest.
    rehashed: bool,
}

impl Engine {
    /// What waited about a path becomes events, if anything shows, or has to wait for a touch that explains what shows.
    pub(crate) fn examine(
        &mut self,
        path: &BytePath,
        pending: &Pending,
    ) -> Result<Examined, Trouble> {
        self.settle.mark_read(path, pending.count());
        self.examine_in(path, pending, None)
    }

    /// As [`Self::examine`], in a window in which nobody watched.
    pub(crate) fn examine_in(
        &mut self,
        path: &BytePath,
        pending: &Pending,
        gap: Option<Gap>,
    ) -> Result<Examined, Trouble> {
        let rules = Arc::clone(&self.rules);
        let mut commit = Commit {
            remove: self.still_former(pending)?,
            ..Commit::default()
        };
        let Some(matched) = rules.covers(path) else {
            return self.commit(commit).map(|()| Examined::Done);
        };
        let stored = self.store.record(path).map_err(Failure::from)?;
        let had_record = stored.is_some();
        let base = pending.base.clone();
        let mut before = base.or_else(|| stored.filter(|it| !self.is_of_what_left(path, it)));
        if self.nothing_can_differ(path, pending, before.as_ref()) {
            return Ok(Examined::Done);
        }
        let gone = self.is_gone(path, pending)?;
        let begun = clock::now();
        let looked = self.look_again(path, matched.rule, before.as_ref(), gone);
        let rehashed = looked.is_known_again(before.as_mut());
        let (grown, digests) = (looked.has_grown(), looked.digests());
        let one = One {
            path,
            pending,
            before: before.as_ref(),
            had_record,
            begun,
            stalled: looked.is_stalled(),
            rehashed,
        };
        let Some(after) = self.what_shows(&one, looked, gap, &mut commit) else {
            return self.commit(commit).map(|()| Examined::Done);
        };
        if !pending.unexplained && self.is_early(path, pending, after.as_ref()) {
            return Ok(Examined::Unexplained);
        }
        let tokens_fit = self.has_tokens_of(before.as_ref());
        let seen = Seen {
            path,
            before: before.as_ref(),
            after: after.as_ref(),
            grown,
            tokens_fit,
            moved: pending.base.is_some(),
        };
        let (verdict, forgiven) = self.judged_for(matched.rule, &seen);
        let read = self.read_before(pending, before.as_ref());
        if let Some(waits) = self.waits(path, pending, &seen, &verdict, read)? {
            return Ok(waits);
        }
        let case = Case {
            path,
            pending,
            before: before.as_ref(),
            after: after.as_ref(),
            verdict: &verdict,
            matched: &matched,
            // What was done until it was read shows as well.
            gap: gap.map(|it| crate::report::gap(it.from)),
            read,
            compared: self.compared,
            show_private: matched.rule.content == ContentMode::Diff,
            cut: self.cut(matched.rule, after.as_ref()),
            digests: &digests,
            names_lag: matches!(self.eyes, Eyes::Fanotify(_)),
            adrift: after.is_none() && self.is_adrift(path),
        };
        let leads_elsewhere = leads_elsewhere(&rules, path, before.as_ref(), after.as_ref());
        commit.events = self.told(&case, forgiven);
        self.put_what_differs(&one, after, &mut commit);
        if commit.events.is_empty() && commit.put.is_empty() && commit.remove.is_empty() {
            return Ok(Examined::Done);
        }
        if leads_elsewhere {
            return self.commit_of_link(path, commit).map(|()| Examined::Done);
        }
        self.commit(commit).map(|()| Examined::Done)
    }

    /// What was looked at, if it is anything that may be told; else what is to be recorded is in `commit`.
    #[allow(
        clippy::option_option,
        reason = "nothing is there, or nothing is to be told"
    )]
    fn what_shows(
        &mut self,
        one: &One<'_>,
        looked: Looked,
        gap: Option<Gap>,
        commit: &mut Commit,
    ) -> Option<Option<Snapshot>> {
        let (path, untouched) = (one.path, one.pending.touches.is_empty());
        if one.stalled {
            let news = self.stalled.add(path);
            if !news && untouched {
                return None;
            }
        } else if self.stalled.remove(path) && !one.had_record && untouched {
            commit.put.extend(self.recorded(path, looked, one.begun));
            return None;
        }
        let after = match looked {
            // Whether it is still there is not known, and it is not called gone.
            Looked::Silent(hangs) => {
                let Some(record) = one.before else {
                    self.stalled.keep(path, &one.pending.touches);
                    return None;
                };
                Some(without_content(&record.snapshot, hangs))
            }
            looked => looked.snapshot(),
        };
        let ours = after.as_ref().is_some_and(|it| self.own.is(&it.attributes));
        if ours && one.had_record && untouched && gap.is_none() {
            let record = after.map(|snapshot| self.recorded_at(one.begun, path, snapshot));
            commit.put.extend(record);
            return None;
        }
        Some(after)
    }

    /// The record of what is there now, if it is another; what is gone has none.
    fn put_what_differs(&self, one: &One<'_>, after: Option<Snapshot>, commit: &mut Commit) {
        let differs = |snapshot: &Snapshot| {
            let as_recorded = one.before.is_some_and(|it| it.snapshot == *snapshot);
            !as_recorded || !one.had_record || one.rehashed
        };
        match after {
            // What was known before is compared with what is read in the end.
            Some(_) if one.stalled && one.had_record => {}
            Some(snapshot) if differs(&snapshot) => {
                commit
                    .put
                    .push(self.recorded_at(one.begun, one.path, snapshot));
            }
            None if one.had_record => commit.remove.push(one.path.clone()),
            _ => {}
        }
    }

    /// Whether what differs is to be told once more is known of who did it.
    fn waits(
        &mut self,
        path: &BytePath,
        pending: &Pending,
        seen: &Seen<'_>,
        verdict: &Verdict,
        read: Option<Timestamp>,
    ) -> Result<Option<Examined>, Trouble> {
        if pending.found == Some(Found::Late) && !pending.asked && verdict.differs() {
            // Who holds it now is asked first, and what others did to it meanwhile is heard.
            return Ok(Some(Examined::Unexplained));
        }
        if vanished(pending, seen.before, seen.after)
            && self.why_it_is_gone_is_on_its_way(path, pending)?
        {
            return Ok(Some(Examined::OthersToCome));
        }
        let new = seen.before.is_none() && pending.found.is_some();
        if verdict.differs() || new {
            let waits = self.others_are_on_the_way(path, pending, seen.after)?;
            if waits.is_some() {
                return Ok(waits);
            }
        }
        // Another process did it, and its touch is on the way: it is not put on whoever came first.
        let awaits = awaits_reason(pending, seen.before, seen.after, verdict, read);
        Ok(awaits.then_some(Examined::Unexplained))
    }

    /// Of a link that a rule spells out, and that leads elsewhere now.
    fn commit_of_link(&mut self, path: &BytePath, commit: Commit) -> Result<(), Trouble> {
        if self.homes.above(path).is_some() {
            self.home_link_moved = true;
            return self.commit(commit);
        }
        self.commit_and_follow(commit)
    }

    /// Whether what is on record was read with the digest key of today.
    fn has_tokens_of(&self, record: Option<&Record>) -> bool {
        record.is_none_or(|it| it.key_id == self.key_id)
    }

    /// The first record of what could not be read before.
    fn recorded(
        &self,
        path: &BytePath,
        looked: Looked,
        begun: Timestamp,
    ) -> Option<(BytePath, Record)> {
        Some(self.recorded_at(begun, path, looked.snapshot()?))
    }

    fn recorded_at(
        &self,
        begun: Timestamp,
        path: &BytePath,
        snapshot: Snapshot,
    ) -> (BytePath, Record) {
        (path.clone(), self.new_record(snapshot, begun))
    }

    /// When that was read with which is compared now, if what happened before is known to show in it: the BPF programs run
    /// after the change.
    fn read_before(&self, pending: &Pending, before: Option<&Record>) -> Option<Timestamp> {
        let tells_times = matches!(self.eyes, Eyes::Bpf(_)) && pending.found.is_none();
        // Where the clock was set back since, the two cannot be compared.
        let now = clock::now();
        let seen = before.filter(|_| tells_times).map(|record| record.seen);
        seen.filter(|seen| *seen <= now)
    }

    /// What a link leads to now is watched before anybody reads that it leads there.
    fn commit_and_follow(&mut self, commit: Commit) -> Result<(), Trouble> {
        let started = std::mem::replace(&mut self.started, false);
        self.commit(commit)?;
        let followed = self.follow_links();
        self.started = started;
        followed?;
        self.go_on_writing()
    }

    /// The old names whose records are still those of what stands here now: another object may have been recorded
    /// there since. Of what was never recorded under its old name, nothing is there unless the name was given again.
    fn still_former(&mut self, pending: &Pending) -> Result<Vec<BytePath>, Trouble> {
        let identity = |record: &Record| {
            let it = &record.snapshot.attributes;
            (it.device, it.inode)
        };
        let moved = pending.base.as_ref().map(identity);
        let mut former = Vec::new();
        for path in &pending.former {
            let there = self.store.record(path).map_err(Failure::from)?;
            // What moved may be back there, too, and told of already.
            let stands = self.tree.get(path).is_some() && !self.has_gone_unheard(path)?;
            let is_anothers = match moved {
                Some(moved) if there.as_ref().map(identity) == Some(moved) => {
                    stands && !self.settle.waits(path)
                }
                // Of those that moved on from here one after another only the first is known.
                Some(_) => stands || self.settle.waits(path) || self.is_there(path),
                None => stands,
            };
            if there.is_some() && !is_anothers {
                former.push(path.clone());
            }
        }
        Ok(former)
    }

    /// Whether a name of our picture is not there, and nothing is on its way that says so: of two moves from there that are alike
    /// and wait at the same time fanotify makes one, in the place of the first.
    fn has_gone_unheard(&mut self, path: &BytePath) -> Result<bool, Trouble> {
        if !matches!(self.eyes, Eyes::Fanotify(_)) || self.settle.waits(path) || self.is_there(path)
        {
            return Ok(false);
        }
        self.has_heard_all_of(path)
    }

    /// Whether nothing waits in the queue of fanotify that may be about this path.
    fn has_heard_all_of(&mut self, path: &BytePath) -> Result<bool, Trouble> {
        let fanotify = self.read_queue()?;
        Ok(fanotify.is_some_and(|it| it.has_read_all() && !it.awaits_another(path, &[])))
    }

    /// Whether anything stands there, as far as anybody can tell.
    pub(crate) fn is_there(&mut self, path: &BytePath) -> bool {
        let at = path.clone();
        let now = self.ask(path, move |reader| reader.attributes(&at));
        !matches!(now, Ok(Err(ReadError::Gone)))
    }

    pub(crate) fn event(&self, (action, severity, change): Report) -> Event {
        let source = if self.is_apart(&change.file.path) {
            Source::Periodic
        } else {
            self.source()
        };
        Event {
            source: Some(source),
            ..self.event_of(action, severity, Body::Change(Box::new(change)))
        }
    }

    /// Only a release was hinted, nothing is mapped, and the attributes are those recorded: opening for
    /// writing without writing is no change, and not worth reading the content.
    fn nothing_can_differ(
        &mut self,
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
            && !pending.unmapped
            && pending.found != Some(Found::Late)
            && !self.held.holds(path)
            && before.is_some_and(|record| {
                let at = path.clone();
                let now = self.ask(path, move |reader| reader.attributes(&at));
                matches!(now, Ok(Ok(now)) if unchanged(&record.snapshot.attributes, &now))
            })
    }

    /// Whether what fanotify names so may have moved on with its directory: one that was removed has no name in the tree, and lay in
    /// a directory that is there.
    fn is_adrift(&mut self, path: &BytePath) -> bool {
        if !matches!(self.eyes, Eyes::Fanotify(_)) {
            return false;
        }
        self.tree.get(path).is_some() || path.parent().is_some_and(|above| !self.is_there(&above))
    }

    /// Whether what waits is of something that is gone, and nothing has come in its place that would be told with it.
    fn is_gone(&mut self, path: &BytePath, pending: &Pending) -> Result<bool, Trouble> {
        Ok(pending.present == Some(false) && (pending.over || !self.stands_after_all(path)?))
    }

    /// Whether something has a name that went by the last record, and no record of it is on its way: of two that are alike and
    /// wait at the same time fanotify makes one, so that a name that came again is told of once. (BPF makes one for each.)
    pub(crate) fn stands_after_all(&mut self, path: &BytePath) -> Result<bool, Trouble> {
        if let Eyes::Bpf(_) = &self.eyes {
            // A walk found something there, and what is told as gone stood there before.
            return Ok(self.tree.get(path).is_some());
        }
        let at = path.clone();
        if !matches!(
            self.ask(path, move |reader| reader.attributes(&at)),
            Ok(Ok(_))
        ) {
            return Ok(false);
        }
        self.has_heard_all_of(path)
    }

    /// Whether the name does not yet stand for what came there: the kernel tells of a new name just before anybody
    /// can see it, and of one on an overlay after that of the layer.
    fn is_early(&self, path: &BytePath, pending: &Pending, after: Option<&Snapshot>) -> bool {
        let comes = pending.present == Some(true)
            && pending
                .touches
                .iter()
                .any(|touch| touch.fact.as_ref().is_some_and(puts));
        let known = self.tree.get(path);
        let touches = &mut pending.touches.iter();
        if known.is_none()
            && after.is_some()
            && touches.any(|touch| touch.fact == Some(Fact::Beneath))
        {
            return true;
        }
        let expected = known.and_then(|entry| entry.object);
        comes
            && expected.is_some_and(|object| {
                after.is_none_or(|seen| seen.attributes.inode != object.inode)
            })
    }

    /// Has something done with an object that may hang; see [`crate::patience`].
    pub(crate) fn ask<T: Send + 'static>(
        &mut self,
        path: &BytePath,
        job: impl FnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, Hangs> {
        self.patience.may_ask(path)?;
        self.ask_about(&About::one(path), job)
    }

    /// The same with several, each of which may be asked for.
    pub(crate) fn ask_about<T: Send + 'static>(
        &mut self,
        about: &About<'_>,
        job: impl FnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, Hangs> {
        let (notify, channel, stash) = (&mut self.notify, &mut self.channel, &mut self.stash);
        let alive = || {
            notify.beat();
            // What is wrong with the channel shows when its packets are asked for.
            let _ = channel.beat();
            for _ in 0..PUT_BY_AT_ONCE {
                match channel.receive() {
                    Ok(Some(received)) => stash.push(received),
                    _ => break,
                }
            }
        };
        let done = self.patience.ask_meanwhile(about, &self.mounts, alive, job);
        self.notify.beat();
        // As above.
        let _ = self.channel.beat();
        done
    }

    /// As [`Self::snapshot`]. Whoever adds a line to a large log must not keep us reading it.
    fn look_again(
        &mut self,
        path: &BytePath,
        rule: &Rule,
        known: Option<&Record>,
        gone: bool,
    ) -> Looked {
        let begun = Instant::now();
        let looked = self.snapshot(path, rule, known, gone);
        if rule.growing.is_some() {
            let rest = begun.elapsed().saturating_mul(GROWING_REST);
            self.settle.rest(path, rest.min(GROWING_REST_MAX));
        }
        looked
    }

    /// Reads a path under a rule.
    pub(crate) fn snapshot(
        &mut self,
        path: &BytePath,
        rule: &Rule,
        known: Option<&Record>,
        gone: bool,
    ) -> Looked {
        if gone {
            return Looked::Gone;
        }
        let (at, manner, known) = (path.clone(), Manner::of(rule), known.and_then(Known::of));
        let read = self.ask(path, move |reader| read_under(reader, &at, manner, known));
        match read {
            Ok(Some(read)) => Looked::There(Box::new(read)),
            Ok(None) => Looked::Gone,
            Err(hangs) => Looked::Silent(hangs),
        }
    }
}

/// What came of examining what waited about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Examined {
    /// It is told, as far as there was anything to tell.
    Done,
    /// Something differs that nothing which waits has caused.
    Unexplained,
    /// Something differs, and others are on record for whom it may be, too.
    OthersToCome,
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
