//! What includes others is read before all else; and what was recorded before it was known to be included is understood
//! from its record.

use fimk_consumers::{State, compare, findings::find};
use fimk_core::{
    path::BytePath,
    record::{Content, Record, Snapshot},
};

use crate::{
    engine::Engine,
    examine::{Manner, read_under},
    read::Reader,
    verdict::{Verdict, judge},
};

/// Includes within includes that are followed before a comparison: sudo follows 128, and nobody writes ten.
const DEPTH_MAX: usize = 16;

impl Engine {
    /// Has what includes others read, in the order of the includes, so that everything after it is understood.
    pub(crate) fn read_includes(&mut self, paths: &[&BytePath]) {
        let mut done: Vec<&BytePath> = Vec::new();
        for _ in 0..DEPTH_MAX {
            let reader = self.patience.reader().clone();
            let wanted = |path: &&&BytePath| !done.contains(*path) && reader.may_include(path);
            let next: Vec<&BytePath> = paths.iter().filter(wanted).copied().collect();
            if next.is_empty() {
                return;
            }
            for path in next {
                done.push(path);
                let manner = self.rules.covers(path).map(|it| Manner::of(it.rule));
                let Some(manner) = manner else {
                    continue;
                };
                let at = path.clone();
                // What hangs is read when it answers.
                let _ = self.ask(path, move |reader: &Reader| {
                    read_under(reader, &at, manner, None);
                });
            }
        }
    }

    /// What differs, with the record as what understands its file today would have made it.
    pub(crate) fn judged(
        &self,
        path: &BytePath,
        before: Option<&Record>,
        after: Option<&Snapshot>,
        tokens_fit: bool,
    ) -> Verdict {
        let today = self.understood_today(path, before, after);
        judge(today.as_ref().or(before), after, tokens_fit)
    }

    /// The record as it would be if what understands its file today had read it, where that is another than then.
    fn understood_today(
        &self,
        path: &BytePath,
        before: Option<&Record>,
        after: Option<&Snapshot>,
    ) -> Option<Record> {
        let (before, after) = (before?, state(after?)?);
        if matches!(after, State::Text(_) | State::Binary) {
            return None;
        }
        let then = state(&before.snapshot).filter(|it| matches!(it, State::Text(_)))?;
        let now = self.patience.reader().understood(path, then)?;
        let mut record = before.clone();
        if let Content::Read { state, .. } = &mut record.snapshot.content {
            *state = Some(now);
        }
        Some(record)
    }
}

/// What came from a name under which nothing understood it says all that it says for the first time.
pub(crate) fn read_as_new(
    verdict: &mut Verdict,
    before: Option<&Record>,
    after: Option<&Snapshot>,
) {
    let then = before.and_then(|record| state(&record.snapshot));
    let now = after.and_then(state);
    let (Some(State::Text(_)), Some(now)) = (then, now) else {
        return;
    };
    if !matches!(now, State::Text(_) | State::Binary) {
        verdict.comparison = compare(None, Some(now));
        verdict.content_findings = find(None, Some(now));
        verdict.means_more = true;
    }
}

fn state(snapshot: &Snapshot) -> Option<&State> {
    match &snapshot.content {
        Content::Read { state, .. } => state.as_ref(),
        _ => None,
    }
}
