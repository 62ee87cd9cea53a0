//! Two sequences of entries: which came, went, changed or moved.

use std::collections::BTreeMap;

use similar::DiffOp;

use super::{Entry, State};
use crate::{Difference, diff, pieces::Numbers};

pub(super) fn compare(before: &State, after: &State, numbers: &mut Numbers) -> Vec<Difference> {
    let (old, new) = (&before.entries, &after.entries);
    let ordered = before.ordered || after.ordered;
    let (mut gone, come) = differing(old, new);
    let moved = pairs(&mut gone, &come, |at| &old[at], |at| &new[at]);
    let unmoved: Vec<usize> = come
        .iter()
        .copied()
        .filter(|at| !moved.contains_key(at))
        .collect();
    let kept = pairs(
        &mut gone,
        &unmoved,
        |at| &old[at].subject,
        |at| &new[at].subject,
    );
    let place = |at: usize| ordered.then_some(at + 1);
    let mut changes = Vec::new();
    for at in come {
        if let Some(&from) = moved.get(&at) {
            if ordered && from != at {
                changes.push(at_another_place(&new[at], from, at, numbers));
            }
        } else if let Some(&from) = kept.get(&at) {
            changes.extend(old[from].changes(&new[at], numbers));
        } else {
            let after = new[at].summary(place(at), numbers);
            changes.push(whole(&new[at], None, Some(after), numbers));
        }
    }
    for at in gone {
        let before = old[at].summary(place(at), numbers);
        changes.push(whole(&old[at], Some(before), None, numbers));
    }
    changes
}

fn whole(
    entry: &Entry,
    before: Option<String>,
    after: Option<String>,
    numbers: &mut Numbers,
) -> Difference {
    Difference {
        subject: entry.title(numbers),
        field: String::new(),
        before,
        after,
    }
}

fn at_another_place(entry: &Entry, from: usize, to: usize, numbers: &mut Numbers) -> Difference {
    Difference {
        subject: entry.title(numbers),
        field: "place".to_owned(),
        before: Some((from + 1).to_string()),
        after: Some((to + 1).to_string()),
    }
}

/// Where the one has entries that the other lacks at that place.
fn differing(old: &[Entry], new: &[Entry]) -> (Vec<usize>, Vec<usize>) {
    let mut ids = BTreeMap::new();
    let mut identify = |entry| {
        let next = ids.len();
        *ids.entry(entry).or_insert(next)
    };
    let old: Vec<usize> = old.iter().map(&mut identify).collect();
    let new: Vec<usize> = new.iter().map(&mut identify).collect();
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for op in diff::operations(&old, &new).0 {
        let (_, before, after) = op.as_tag_tuple();
        if !matches!(op, DiffOp::Equal { .. }) {
            gone.extend(before);
            come.extend(after);
        }
    }
    (gone, come)
}

/// Which of those that came is one of those that went, each once, in order; these are taken out.
fn pairs<'a, K: Ord + 'a>(
    gone: &mut Vec<usize>,
    come: &[usize],
    old: impl Fn(usize) -> &'a K,
    new: impl Fn(usize) -> &'a K,
) -> BTreeMap<usize, usize> {
    let mut places: BTreeMap<&K, Vec<usize>> = BTreeMap::new();
    for &at in come.iter().rev() {
        places.entry(new(at)).or_default().push(at);
    }
    let mut pairs = BTreeMap::new();
    gone.retain(|&at| {
        let to = places.get_mut(old(at)).and_then(Vec::pop);
        if let Some(to) = to {
            pairs.insert(to, at);
        }
        to.is_none()
    });
    pairs
}
