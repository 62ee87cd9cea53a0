//! From what was hinted and what differs to the events that say so: one process, one event.

mod describe;
mod further;
mod rotation;

pub use describe::is_public;
pub(crate) use describe::{described, without_secret};
pub(crate) use further::as_recorded;
pub use rotation::lower;

use fimk_core::{
    attribution::Attribution,
    config::Attribute,
    event::{Action, Change, ContentVerdict, Gap},
    path::BytePath,
    record::{Digest, Record, Snapshot},
    rules::Match,
    time::Timestamp,
};

use self::describe::describe;
use crate::{
    actors::Actors,
    identity::ActorKey,
    others::is_past,
    pending::{Found, Pending},
    signal::{Fact, Operations, Touch},
    users::Users,
    verdict::Verdict,
};

/// The severity of what is stored and not printed: a write that changed nothing.
pub const SILENT: u8 = 0;

const UNREAD: Option<ContentVerdict> = Some(ContentVerdict::Unread);

/// Everything that is known about a path when it is reported.
pub struct Case<'a> {
    /// The watched name.
    pub path: &'a BytePath,
    /// What was hinted.
    pub pending: &'a Pending,
    /// Its record so far.
    pub before: Option<&'a Record>,
    /// The new reading; none when it is gone.
    pub after: Option<&'a Snapshot>,
    /// What differs.
    pub verdict: &'a Verdict,
    /// The rules that cover it.
    pub matched: &'a Match<'a>,
    /// The window, when nobody was watching.
    pub gap: Option<Gap>,
    /// When that was read with which is compared: what was done before explains no difference.
    pub read: Option<Timestamp>,
    /// When everything was last compared.
    pub compared: Timestamp,
    /// Whether a text difference may be shown though others cannot read the file.
    pub show_private: bool,
    /// What of the content was not compared: a sentence.
    pub cut: Option<String>,
    /// Of the content now, by further hashes.
    pub digests: &'a [Digest],
    /// The source names objects by what their directories were called, which may be another's name by now.
    pub names_lag: bool,
    /// Nothing is there, and what was touched may have moved on with its directory.
    pub adrift: bool,
}

/// A change with its action and severity.
pub type Report = (Action, u8, Change);

/// What is to be reported: an event for each actor that did something that shows.
pub fn reports(case: &Case<'_>, actors: &Actors, users: &mut Users) -> Vec<Report> {
    let mut groups = by_actor(case);
    if groups.is_empty() {
        groups.push(Group::nobody(case));
    }
    let candidates = one_of(case, &mut groups);
    if unexplained(case.pending, case.verdict, case.read) {
        groups.push(Group::nobody(case));
    }
    let verdict = case.verdict;
    let content = share(&groups, Operations::CONTENT, verdict.content_changed());
    let attributes = share(
        &groups,
        Operations::ATTRIBUTES,
        !verdict.attributes.is_empty(),
    );
    let suspects: Vec<_> = content
        .iter()
        .filter_map(|&at| groups[at].named())
        .collect();
    let shared = verdict.content_changed() && suspects.len() > 1;
    groups
        .iter()
        .enumerate()
        .filter_map(|(at, group)| {
            let part = Part {
                content: content.contains(&at),
                attributes: attributes.contains(&at),
            };
            let (action, severity) = name(case, group, part)?;
            let mut change = describe(case, group, part, action, users);
            change.actor = group
                .actor
                .map(|key| described(actors, users, key, group.touch.uid, group.touch.by));
            if !candidates.is_empty() {
                change.actors = candidates
                    .iter()
                    .map(|&(key, by)| described(actors, users, key, None, by))
                    .collect();
            }
            if shared && part.content {
                change.actors = suspects
                    .iter()
                    .filter(|(key, _)| Some(*key) != group.actor)
                    .map(|&(key, by)| described(actors, users, key, None, by))
                    .collect();
            }
            Some((action, graver(severity, &change), change))
        })
        .collect()
}

/// The touches of one actor, as one, and its facts in order.
struct Group {
    actor: Option<ActorKey>,
    touch: Touch,
    facts: Vec<Fact>,
    /// It explains nothing that differs.
    past: bool,
    /// It is about what stood here before.
    former: bool,
}

impl Group {
    /// Who it was, and by what that is known.
    fn named(&self) -> Option<(ActorKey, Attribution)> {
        Some((self.actor?, self.touch.by))
    }

    fn nobody(case: &Case<'_>) -> Self {
        let now = case.gap.map_or_else(crate::clock::now, |gap| gap.to);
        Self {
            actor: None,
            touch: Touch::by_nobody(now, None),
            facts: Vec::new(),
            past: false,
            former: false,
        }
    }
}

/// What was found by looking was done once, by one of those who were there: one event, that names all of them.
fn one_of(case: &Case<'_>, groups: &mut Vec<Group>) -> Vec<(ActorKey, Attribution)> {
    let sighting = matches!(case.pending.found, Some(Found::Scan | Found::Late))
        && groups.len() > 1
        && groups.iter().all(|group| group.facts.is_empty());
    if !sighting {
        return Vec::new();
    }
    let candidates = groups.iter().filter_map(Group::named).collect();
    let mut one = groups.swap_remove(0);
    (one.actor, one.touch.actor, one.touch.uid) = (None, None, None);
    for group in groups.drain(..) {
        one.touch.absorb(group.touch);
    }
    groups.push(one);
    candidates
}

/// Whether something differs that nothing which waited can have caused: who caused it is still to be heard of.
pub fn unexplained(pending: &Pending, verdict: &Verdict, read: Option<Timestamp>) -> bool {
    let able = |operations: Operations| {
        pending
            .touches
            .iter()
            .filter(|it| !is_past(it, read))
            .any(|it| it.operations.meets(operations) || it.fact.as_ref().is_some_and(puts))
    };
    pending.found.is_none()
        && !pending.touches.is_empty()
        && (verdict.content_changed() && !able(Operations::CONTENT)
            || !verdict.attributes.is_empty() && !able(Operations::ATTRIBUTES)
            || verdict.replaced && !able(Operations::default()))
}

/// Whether what shows is to wait once for the record that says how it came.
pub fn awaits_reason(
    pending: &Pending,
    before: Option<&Record>,
    after: Option<&Snapshot>,
    verdict: &Verdict,
    read: Option<Timestamp>,
) -> bool {
    !pending.unexplained
        && (vanished(pending, before, after) || unexplained(pending, verdict, read))
}

/// Whether it is gone, and nothing that waited says why: that it was removed or moved is still to be heard of.
pub fn vanished(pending: &Pending, before: Option<&Record>, after: Option<&Snapshot>) -> bool {
    let told = |touch: &Touch| matches!(touch.fact, Some(Fact::Deleted | Fact::MovedOut(_)));
    before.is_some()
        && after.is_none()
        && pending.found.is_none()
        && !pending.touches.is_empty()
        && !pending.touches.iter().any(told)
}

/// Whether a fact puts another object under the name, with a content and attributes of its own.
pub fn puts(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Replaced(_) | Fact::Renamed(_) | Fact::Created | Fact::Linked(_) | Fact::Beneath
    )
}

fn by_actor(case: &Case<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for touch in &case.pending.touches {
        let past = is_past(touch, case.read);
        // Where nothing stands, nothing can be put on the wrong one.
        let former = touch.is_of_former() && case.after.is_some();
        let mut touch = touch.clone();
        let fact = touch.fact.take();
        let known = groups
            .iter_mut()
            .find(|group| group.actor == touch.actor && group.former == former);
        match known {
            Some(group) => {
                group.touch.absorb(touch);
                group.facts.extend(fact);
                group.past &= past;
            }
            None => groups.push(Group {
                actor: touch.actor,
                touch,
                facts: fact.into_iter().collect(),
                past,
                former,
            }),
        }
    }
    groups
}

/// Which groups answer for a kind of difference: those whose operations can cause it; if none, those whose
/// facts put something else there; if none, the last. `differs`: something of this kind does, and what was done before
/// the reading with which is compared has not caused it.
fn share(groups: &[Group], operations: Operations, differs: bool) -> Vec<usize> {
    let all = || (0..groups.len()).filter(|&at| !(differs && groups[at].past));
    let strong = operations.without(Operations::of(&[
        fimk_wire::raw::FIMK_OP_MAP,
        fimk_wire::raw::FIMK_OP_CLOSE,
    ]));
    let able = |set: Operations| {
        all()
            .filter(|&at| groups[at].touch.operations.meets(set))
            .collect::<Vec<_>>()
    };
    let mut found = able(strong);
    found.extend(all().filter(|&at| groups[at].facts.iter().any(puts)));
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        found = able(operations);
    }
    if found.is_empty() {
        found = all().next_back().into_iter().collect();
    }
    found
}

#[derive(Clone, Copy)]
struct Part {
    content: bool,
    attributes: bool,
}

/// The action and severity of a group's event; none when it did nothing that shows.
fn name(case: &Case<'_>, group: &Group, part: Part) -> Option<(Action, u8)> {
    let severity = case.matched.rule.severity;
    if told_already(case, group) {
        return Some((Action::Modified, SILENT));
    }
    if group.former {
        return Some(done_to_former(group, severity));
    }
    let verdict = case.verdict;
    let modified = part.content && verdict.content_changed();
    // The first that applies, in the order in which they are promised.
    let facts = group.facts.iter();
    let named = facts
        .filter_map(|fact| fact_action(case, group, fact))
        .chain(modified.then_some(Action::Modified))
        .min();
    if let Some(action) = named {
        return Some((action, severity));
    }
    if part.content && unread_and_written(case, group) {
        return Some((Action::Modified, severity));
    }
    if part.attributes && !verdict.attributes.is_empty() {
        return Some((Action::AttributesModified, severity));
    }
    let operations = group.touch.operations;
    if case.pending.touches.is_empty() || case.pending.found.is_some() {
        return found_without_event(case);
    }
    // A link made elsewhere, or times set on purpose; a write of the same bytes also changes the times.
    if operations.meets(Operations::ATTRIBUTES)
        && verdict.times
        && !operations.meets(Operations::WRITES)
    {
        return Some((Action::AttributesModified, severity));
    }
    // Set, and set back before it was read, or set to what it was: nobody is disturbed, and the store knows of it.
    let both = case.before.is_some() && case.after.is_some();
    if operations.meets(Operations::ATTRIBUTES) && both {
        return Some((Action::AttributesModified, SILENT));
    }
    if case.before.is_some() && case.after.is_none() {
        // It went, alone or with its directory, before this could be read.
        if operations.meets(Operations::WRITES) {
            return Some((Action::Modified, severity));
        }
        if operations.meets(Operations::ATTRIBUTES) {
            return Some((Action::AttributesModified, severity));
        }
    }
    if operations.meets(Operations::WRITES) && case.after.is_some() {
        // Without a record nobody knows that the bytes are the same.
        return Some(match case.before {
            Some(_) => (Action::AttributesModified, SILENT),
            None => (Action::Modified, severity),
        });
    }
    if let Some(action) = unrecorded(case, operations) {
        return Some((action, severity));
    }
    let former = |fact: &Fact| matches!(fact, Fact::Former(_));
    let of_former = group.facts.iter().any(former);
    of_former.then(|| done_to_former(group, severity))
}

/// What was done to what is gone from here.
fn done_to_former(group: &Group, severity: u8) -> (Action, u8) {
    let operations = group.touch.operations;
    if operations.meets(Operations::WRITES) {
        (Action::Modified, severity)
    } else if operations.meets(Operations::ATTRIBUTES) {
        (Action::AttributesModified, severity)
    } else {
        // Mapped, or opened: whether anything was stored nobody knows any more.
        (Action::Modified, SILENT)
    }
}

/// Of what was never recorded under this name, and of which nobody says that it came or went: nobody can say either that the
/// touch changed nothing.
fn unrecorded(case: &Case<'_>, operations: Operations) -> Option<Action> {
    let named = |touch: &Touch| touch.fact.as_ref().is_some_and(Fact::tells_of_name);
    if case.before.is_some() || case.pending.touches.iter().any(named) {
        return None;
    }
    let there = case.after.is_some();
    if there && case.names_lag && operations.meets(Operations::CONTENT)
        || case.adrift && operations.meets(Operations::WRITES)
    {
        return Some(Action::Modified);
    }
    let attributes = (there || case.adrift) && operations.meets(Operations::ATTRIBUTES);
    attributes.then_some(Action::AttributesModified)
}

/// Whether it was written and cannot be read: then nobody knows that the bytes are the same.
fn unread_and_written(case: &Case<'_>, group: &Group) -> bool {
    let operations = group.touch.operations;
    let written = operations.meets(Operations::WRITES)
        || case.verdict.times && operations.meets(Operations::CONTENT);
    case.verdict.content == UNREAD && case.before.is_some() && case.after.is_some() && written
}

/// Whether the replacement was seen, and reported, before its record came.
fn told_already(case: &Case<'_>, group: &Group) -> bool {
    !group.facts.is_empty()
        && group
            .facts
            .iter()
            .all(|fact| matches!(fact, Fact::Replaced(_)))
        && case.verdict.content == Some(ContentVerdict::Same)
        && !case.verdict.replaced
        && case.verdict.attributes.is_empty()
}

fn found_without_event(case: &Case<'_>) -> Option<(Action, u8)> {
    let severity = case.matched.rule.severity;
    match (case.before, case.after) {
        (None, Some(_)) => Some((Action::Created, severity)),
        (Some(_), None) => Some((Action::Deleted, severity)),
        (Some(_), Some(_)) if case.verdict.content_changed() => Some((Action::Modified, severity)),
        (Some(_), Some(_)) if !case.verdict.attributes.is_empty() => {
            Some((Action::AttributesModified, severity))
        }
        (Some(_), Some(_)) if case.verdict.times && case.verdict.content == UNREAD => {
            Some((Action::Modified, severity))
        }
        (Some(_), Some(_)) if case.verdict.times => Some((Action::AttributesModified, SILENT)),
        _ => None,
    }
}

fn fact_action(case: &Case<'_>, group: &Group, fact: &Fact) -> Option<Action> {
    // Who removed what another had made is told; who made it anew is told for that.
    let came_again = case.before.is_none() && case.pending.present == Some(true);
    Some(match fact {
        Fact::Created => Action::Created,
        Fact::Deleted if came_again && group.facts.iter().any(puts) => return None,
        Fact::Deleted => Action::Deleted,
        Fact::Renamed(_) | Fact::MovedOut(_) => Action::Renamed,
        Fact::Replaced(_) => Action::Modified,
        Fact::Linked(_) => Action::Linked,
        Fact::Attributes(_) if !case.matched.rule.cares.about(Attribute::Xattrs) => return None,
        Fact::Attributes(_) => Action::AttributesModified,
        Fact::Former(_) => return None,
        Fact::Beneath => match (case.before, case.after) {
            (None, Some(_)) => Action::Created,
            (Some(_), None) => Action::Deleted,
            _ => return None,
        },
    })
}

/// What is found makes an event graver than its rule does; what is not printed stays so.
fn graver(severity: u8, change: &Change) -> u8 {
    let found = change.findings.iter().map(|finding| finding.severity).max();
    match severity {
        SILENT => SILENT,
        severity => severity.max(found.unwrap_or(SILENT)),
    }
}

/// The window of a change that nobody watched.
pub fn gap(from: Timestamp) -> Gap {
    let to = crate::clock::now();
    // Where the clock was set back meanwhile, its beginning is not known any better.
    Gap {
        from: from.min(to),
        to,
    }
}

#[cfg(test)]
mod tests;
