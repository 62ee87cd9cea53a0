//! What a rule wants to be told of what differs: what it cares about, what was not merely added, what is switched on.

use fimk_consumers::Difference;
use fimk_core::{
    config::{ContentMode, Rule},
    event::{Action, ContentVerdict, Event},
    path::BytePath,
    record::{Record, Snapshot},
};

use crate::{
    engine::Engine,
    included,
    report::{Case, Report, SILENT, is_public, lower, reports},
    verdict::{Values, Verdict},
};

/// What is known of an object, and what was read of it.
pub struct Seen<'a> {
    /// Where it is.
    pub path: &'a BytePath,
    /// Its record so far.
    pub before: Option<&'a Record>,
    /// The new reading; none when it is gone.
    pub after: Option<&'a Snapshot>,
    /// It is a growing file that begins with what is on record.
    pub grown: bool,
    /// Both were read with the same digest key.
    pub tokens_fit: bool,
    /// Its record is that of another name, from which it came.
    pub moved: bool,
}

impl Engine {
    /// What differs and is a matter for this rule; and whether something was left out.
    pub(crate) fn judged_for(&mut self, rule: &Rule, seen: &Seen<'_>) -> (Verdict, bool) {
        let &Seen {
            path,
            before,
            after,
            tokens_fit,
            ..
        } = seen;
        let mut verdict = self.judged(path, before, after, tokens_fit);
        if seen.moved {
            included::read_as_new(&mut verdict, before, after);
        }
        let values = Values {
            comparable: tokens_fit,
            shown: rule.content == ContentMode::Diff || is_public(before, after),
        };
        verdict.add_extended(before, after, values, &mut self.users);
        let shrank = has_shrunk(before, after);
        // Made with another key, what is on record cannot be looked for.
        let grown = seen.grown || !tokens_fit && !shrank && rule.growing.is_some();
        let forgiven = forgive(&mut verdict, rule, grown, shrank);
        (verdict, forgiven)
    }

    /// The events that the rule wants.
    pub(crate) fn told(&mut self, case: &Case<'_>, forgiven: bool) -> Vec<Event> {
        let mut reports = reports(case, &self.actors, &mut self.users);
        lower(
            &mut reports,
            case.matched.rule,
            has_shrunk(case.before, case.after),
        );
        let covers = |path: &BytePath| {
            let matched = self.rules.covers(path);
            matched.is_some_and(|matched| matched.number == case.matched.number)
        };
        reports.retain(|report| is_wanted(report, case, forgiven, covers));
        for (_, _, change) in &mut reports {
            self.tell_file_system(&mut change.file);
        }
        reports
            .into_iter()
            .map(|report| self.event(report))
            .collect()
    }

    /// What of a growing file is not compared.
    pub(crate) fn cut(&self, rule: &Rule, after: Option<&Snapshot>) -> Option<String> {
        let most = self.config.read_bytes_max;
        let longer = after.is_some_and(|after| after.attributes.size > most);
        (rule.growing.is_some() && longer)
            .then(|| format!("only its first {most} bytes are compared"))
    }
}

/// Takes out of a verdict what its rule forgives: what it does not care about, and what was added to a growing file.
fn forgive(verdict: &mut Verdict, rule: &Rule, grown: bool, shrank: bool) -> bool {
    if rule.growing.is_some() && shrank {
        // Also of what is beyond the part that is compared.
        verdict.content = Some(ContentVerdict::Changed);
    }
    let mut forgiven = verdict.leave_out(rule.cares);
    if grown && !verdict.replaced {
        verdict.forget_content();
        verdict.times = false;
        forgiven = true;
    }
    forgiven
}

/// Whether bytes were taken away from a file that is still the same.
fn has_shrunk(before: Option<&Record>, after: Option<&Snapshot>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    let (before, after) = (&before.snapshot.attributes, &after.attributes);
    (before.inode, before.device) == (after.inode, after.device) && after.size < before.size
}

/// Whether the rule's switches let an event pass: it need not be named by what is switched on, if it tells of it.
fn is_wanted(
    (action, severity, change): &Report,
    case: &Case<'_>,
    forgiven: bool,
    covers: impl Fn(&BytePath) -> bool,
) -> bool {
    if forgiven && *severity == SILENT && change.changes.is_empty() {
        return false;
    }
    let events = case.matched.rule.events;
    let both = case.before.is_some() && case.after.is_some();
    let content = both && change.content == Some(ContentVerdict::Changed);
    let attributes = both && change.changes.iter().any(is_of_attributes);
    // A renaming makes a name and takes another one away, which those who ask for names want to hear.
    let former = change.previous_path.as_ref();
    let appeared = *action == Action::Renamed && former != Some(case.path);
    let vanished =
        matches!(action, Action::Renamed | Action::Modified) && former.is_some_and(covers);
    events.has(*action)
        || content && events.has(Action::Modified)
        || attributes && events.has(Action::AttributesModified)
        || appeared && events.has(Action::Created)
        || vanished && events.has(Action::Deleted)
}

fn is_of_attributes(difference: &Difference) -> bool {
    difference.subject == "file" && !difference.field.starts_with("rotated")
}
