//! What an event says of its change, beside its name and its author.

use std::collections::BTreeSet;

use fimk_consumers::{Difference, Finding, findings::gravest, redact};
use fimk_core::{
    attribution::Attribution,
    event::{Action, Change, ContentVerdict, DetectedBy, File, Further, Gap},
    path::BytePath,
    record::{Attributes, Content, FileKind, Record, Snapshot},
};

use super::{Case, Group, Part, further, gap};
use crate::{
    actors::Actors, identity::ActorKey, pending::Found, signal::Fact, users::Users,
    verdict::Verdict,
};

pub(super) fn describe(
    case: &Case<'_>,
    group: &Group,
    part: Part,
    action: Action,
    users: &mut Users,
) -> Change {
    let verdict = case.verdict;
    let gone = action == Action::Deleted || case.after.is_none() || group.former;
    let whole = matches!(action, Action::Created | Action::Deleted | Action::Linked);
    let tells = part.content
        && !group.former
        && (verdict.content_changed() || verdict.means_more || whole || verdict.content.is_none());
    let private = !(case.show_private || is_public(case.before, case.after));
    let mut change = Change {
        file: file(case, group, gone, part, users),
        actor: None,
        actors: Vec::new(),
        operations: group.touch.operations.names(),
        start: group.touch.first,
        end: group.touch.last,
        count: group.touch.count.max(1),
        bytes: (group.touch.bytes > 0).then_some(group.touch.bytes),
        rule: case.matched.rule.name.clone(),
        rules: case
            .matched
            .rules
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
        tags: case.matched.rule.tags.clone(),
        detected_by: detected_by(case),
        gap: case.gap.or_else(|| window(case)),
        changes: differences(verdict, part, tells),
        findings: Vec::new(),
        diff: verdict
            .comparison
            .diff
            .clone()
            .filter(|_| tells && !private),
        truncated: verdict
            .comparison
            .truncated
            .iter()
            .map(|&field| field.to_owned())
            .filter(|_| tells)
            .collect(),
        observed: action == Action::Deleted || case.after.is_some() && !group.former,
        content: content(case, group, part, action),
        unread: unread(case, group, part, action),
        previous_path: None,
        new_path: None,
        accessed_path: group.touch.accessed.clone(),
        replaced: false,
    };
    for fact in &group.facts {
        tell_names(&mut change, case.path, fact);
    }
    let unreadable = unreadable(&group.facts);
    change.changes.extend(unreadable);
    redact_configured(&mut change);
    let cut = further::add(&mut change.file, case, (gone, private), users);
    change.truncated.extend(cut.into_iter().map(str::to_owned));
    if !gone {
        let (findings, more) = gravest(findings(case, part, tells));
        change.findings = findings;
        if more {
            change.truncated.push("fimk.findings".to_owned());
        }
    }
    change
}

/// What is on record may be older than the pattern that makes a secret of it.
fn redact_configured(change: &mut Change) {
    for it in &mut change.changes {
        it.field = redact::configured_lines(&it.field);
    }
    let texts = change.changes.iter_mut();
    let sides = texts.flat_map(|it| [&mut it.before, &mut it.after]);
    for text in sides.chain([&mut change.diff]).flatten() {
        *text = redact::configured_lines(text);
    }
}

fn findings(case: &Case<'_>, part: Part, tells: bool) -> Vec<Finding> {
    let verdict = case.verdict;
    let of_attributes = verdict.attribute_findings.iter();
    let of_attributes = of_attributes.filter(|_| part.attributes || case.before.is_none());
    let of_content = verdict.content_findings.iter().filter(|_| tells);
    of_attributes.chain(of_content).cloned().collect()
}

fn differences(verdict: &Verdict, part: Part, tells: bool) -> Vec<Difference> {
    let attributes = verdict.attributes.iter().filter(|_| part.attributes);
    let content = verdict.comparison.changes.iter().filter(|_| tells);
    attributes.chain(content).cloned().collect()
}

/// What was done to attributes that cannot be read: no value is known, and of what a record was lost, no name.
pub(super) fn unreadable(facts: &[Fact]) -> Vec<Difference> {
    let sets = facts.iter().filter_map(|fact| match fact {
        Fact::Attributes(names) => Some(names),
        _ => None,
    });
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for set in sets {
        names.extend(set.iter().map(String::as_str));
        if set.is_empty() {
            names.insert("trusted.*");
        }
    }
    let told = names.into_iter().map(|name| Difference {
        subject: "file".to_owned(),
        field: format!("xattr {}", redact::line(name)),
        before: None,
        after: None,
    });
    told.collect()
}

fn tell_names(change: &mut Change, path: &BytePath, fact: &Fact) {
    match fact {
        Fact::Renamed(from) => change.previous_path.clone_from(from),
        Fact::Replaced(from) => {
            change.previous_path.clone_from(from);
            change.replaced = true;
        }
        Fact::MovedOut(to) => {
            change.previous_path = Some(path.clone());
            change.new_path.clone_from(to);
        }
        Fact::Linked(other) => change.new_path = other.clone().filter(|other| other != path),
        Fact::Created | Fact::Deleted | Fact::Beneath | Fact::Attributes(_) | Fact::Former(_) => {}
    }
}

fn content(case: &Case<'_>, group: &Group, part: Part, action: Action) -> Option<ContentVerdict> {
    if action == Action::Deleted || case.after.is_none() || group.former {
        return None;
    }
    match case.verdict.content {
        Some(ContentVerdict::Changed) if !part.content => None,
        verdict => verdict,
    }
}

/// Also of what is known to have changed, by its size.
fn unread(case: &Case<'_>, group: &Group, part: Part, action: Action) -> Option<String> {
    content(case, group, part, action)?;
    match case.after {
        Some(Snapshot {
            content: Content::Unread(why),
            attributes,
            ..
        }) if attributes.kind == FileKind::File => Some(why.clone()),
        Some(Snapshot {
            content: Content::Read { .. },
            ..
        }) => case.cut.clone(),
        _ => None,
    }
}

fn detected_by(case: &Case<'_>) -> DetectedBy {
    match (case.gap, case.pending.found) {
        (Some(_), _) => DetectedBy::Gap,
        (None, Some(Found::Scan)) => DetectedBy::Scan,
        (None, Some(Found::Late)) => DetectedBy::Late,
        (None, None) => DetectedBy::Event,
    }
}

/// What a comparison found happened after the last time it was seen to be as recorded; or, where it is known who touched
/// it, after the first touch: that was under way when it was read.
fn window(case: &Case<'_>) -> Option<Gap> {
    let seen = case
        .before
        .map_or(case.compared, |record| record.seen.max(case.compared));
    let touched = case.pending.touches.iter().map(|touch| touch.first).min();
    let from = touched.map_or(seen, |touched| touched.min(seen));
    (case.pending.found == Some(Found::Scan)).then(|| gap(from))
}

fn file(case: &Case<'_>, group: &Group, gone: bool, part: Part, users: &mut Users) -> File {
    // What is on record may be what took the place of a former object.
    let same = |inode: u64| {
        let former = |fact: &Fact| matches!(fact, Fact::Former(former) if *former == inode);
        !group.former || group.facts.iter().any(former)
    };
    let before = case.before.map(|record| &record.snapshot);
    let before = before.filter(|it| same(it.attributes.inode));
    let shown = if gone { before } else { case.after };
    let attributes = shown.map(|snapshot| snapshot.attributes.clone());
    File {
        path: case.path.clone(),
        owner: attributes
            .as_ref()
            .and_then(|it| users.user(it.uid))
            .map(|name| name.to_string()),
        group: attributes
            .as_ref()
            .and_then(|it| users.group(it.gid))
            .map(|name| name.to_string()),
        before: before
            .filter(|_| !gone)
            .and_then(|old| differing(old, attributes.as_ref(), part)),
        attributes,
        digest: shown.and_then(|snapshot| match &snapshot.content {
            Content::Read { digest, .. } => Some(*digest),
            _ => None,
        }),
        target: shown.and_then(|snapshot| match &snapshot.content {
            Content::Link(target) => Some(without_secret(target)),
            _ => None,
        }),
        further: Further::default(),
    }
}

/// A target is a text of the owner's choice: what looks like a secret is not printed.
pub(crate) fn without_secret(target: &BytePath) -> BytePath {
    let text = target.escaped();
    let line = redact::line(&text);
    if line == text {
        target.clone()
    } else {
        BytePath::new(line.as_bytes())
    }
}

fn differing(old: &Snapshot, new: Option<&Attributes>, part: Part) -> Option<Attributes> {
    let relevant =
        (part.content || part.attributes) && new.is_some_and(|new| *new != old.attributes);
    relevant.then(|| old.attributes.clone())
}

/// Whether everybody may read it, before and after.
pub fn is_public(before: Option<&Record>, after: Option<&Snapshot>) -> bool {
    world_readable(before.map(|it| &it.snapshot)) && world_readable(after)
}

fn world_readable(snapshot: Option<&Snapshot>) -> bool {
    snapshot.is_none_or(|snapshot| snapshot.attributes.mode & 0o004 != 0)
}

pub(crate) fn described(
    actors: &Actors,
    users: &mut Users,
    key: ActorKey,
    uid: Option<u32>,
    by: Attribution,
) -> fimk_core::event::Actor {
    let mut actor = actors.describe(key, uid, by);
    actor.user = actor
        .uid
        .and_then(|uid| users.user(uid))
        .map(|name| name.to_string());
    actor
}
