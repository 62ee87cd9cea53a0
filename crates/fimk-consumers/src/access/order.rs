//! Rules compared as a sequence: which came, went, changed in their place or moved.
//!
//! A rule is named by its number among the rules, from 1: one that went by the number it had, every other
//! by the one it has.

use std::collections::BTreeMap;

use similar::DiffOp;

use super::Rule;
use crate::{Difference, diff, pieces::Numbers};

pub(super) fn compare(old: &[Rule], new: &[Rule], numbers: &mut Numbers) -> Vec<Difference> {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let mut gaps = Vec::new();
    for op in operations(old, new) {
        if let DiffOp::Equal { .. } = op {
            continue;
        }
        let (_, before, after) = op.as_tag_tuple();
        gone.extend(before.clone());
        come.extend(after.clone());
        gaps.push((before, after));
    }
    let moved = moves(old, &gone, new, &come);
    let arrived: BTreeMap<usize, usize> = moved.iter().map(|(&from, &to)| (to, from)).collect();
    let mut changes = Vec::new();
    for (before, after) in gaps {
        let mut left = before.filter(|at| !moved.contains_key(at)).peekable();
        for at in after {
            if let Some(&from) = arrived.get(&at) {
                changes.push(moved_rule(from, at, &new[at], numbers));
                continue;
            }
            match left.peek() {
                Some(&from) if old[from].resembles(&new[at]) => {
                    left.next();
                    changes.extend(changed_rule(&old[from], at, &new[at], numbers));
                }
                _ => {
                    let words = new[at].words(numbers);
                    changes.push(difference(at, "", None, Some(words)));
                }
            }
        }
        for at in left {
            let words = old[at].words(numbers);
            changes.push(difference(at, "", Some(words), None));
        }
    }
    changes
}

fn operations(old: &[Rule], new: &[Rule]) -> Vec<DiffOp> {
    let mut ids = BTreeMap::new();
    let mut identify = |rule| {
        let next = ids.len();
        *ids.entry(rule).or_insert(next)
    };
    let old: Vec<usize> = old.iter().map(&mut identify).collect();
    let new: Vec<usize> = new.iter().map(&mut identify).collect();
    diff::operations(&old, &new).0
}

/// Where rules that went came again, each once.
fn moves(old: &[Rule], gone: &[usize], new: &[Rule], come: &[usize]) -> BTreeMap<usize, usize> {
    let mut places: BTreeMap<&Rule, Vec<usize>> = BTreeMap::new();
    for &at in come.iter().rev() {
        places.entry(&new[at]).or_default().push(at);
    }
    let place = |&at: &usize| Some((at, places.get_mut(&old[at])?.pop()?));
    gone.iter().filter_map(place).collect()
}

/// With the rule on both sides: its number alone tells nothing of what now comes first.
fn moved_rule(from: usize, to: usize, rule: &Rule, numbers: &mut Numbers) -> Difference {
    let words = rule.words(numbers);
    let place = |at: usize| Some(format!("rule {}: {words}", at + 1));
    difference(to, "order", place(from), place(to))
}

fn changed_rule(old: &Rule, at: usize, new: &Rule, numbers: &mut Numbers) -> Vec<Difference> {
    let changes = old.changes(new, numbers).into_iter();
    changes
        .map(|(field, before, after)| difference(at, field, Some(before), Some(after)))
        .collect()
}

fn difference(at: usize, field: &str, before: Option<String>, after: Option<String>) -> Difference {
    Difference {
        subject: format!("rule {}", at + 1),
        field: field.to_owned(),
        before,
        after,
    }
}
