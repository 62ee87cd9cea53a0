//! Unified difference of two texts, as diff(1) `-u` prints it, without the two lines that name files.
//!
//! Time: lines that occur once on both sides anchor the comparison (patience diff), which costs
//! O(n log n); what lies between two anchors is compared by Myers' algorithm while it is small and
//! replaced as a whole otherwise. So no input costs more than [`MAX_GAP`] steps for each of its lines.

use std::{collections::BTreeMap, ops::Range};

use similar::{Algorithm, DiffOp};

use crate::{
    Comparison,
    pieces::{Numbers, Pieces},
    text::State,
};

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;
/// A printed difference has at most this many lines …
pub(crate) const MAX_LINES: usize = 400;
/// … and bytes, so that it fits an event of 64 KiB with everything else in it, and JSON's escapes.
pub(crate) const MAX_BYTES: usize = 16 << 10;
/// A printed line has at most this many bytes.
pub(crate) const MAX_LINE: usize = 1 << 10;
/// Lines, old and new together, that are compared without an anchor among them.
const MAX_GAP: usize = 2_000;

/// Stands for the difference where one side has no lines: that all of the other went would not be true.
const NOT_BY_LINE: &str =
    "… longer than 1 MiB, or no text, before or after: it is not compared by line\n";

/// Compares two texts; an absent one is empty.
pub(crate) fn unified(before: Option<&State>, after: Option<&State>) -> Comparison {
    if [before, after]
        .into_iter()
        .flatten()
        .any(State::has_no_lines)
    {
        return Comparison {
            diff: Some(NOT_BY_LINE.to_owned()),
            truncated: vec!["fimk.diff"],
            ..Comparison::default()
        };
    }
    let (old, new) = (lines(before), lines(after));
    let (old_ids, new_ids) = identify(&old, &new);
    let (ops, _) = operations(&old_ids, &new_ids);
    let mut printer = Printer::default();
    for group in similar::group_diff_ops(ops, CONTEXT) {
        printer.group(&group, &old, &new);
    }
    let rest = |state: Option<&State>| state.and_then(|state| state.rest.clone());
    printer.beyond = rest(before) != rest(after);
    printer.finish()
}

/// A line and whether it has its newline.
type Line<'a> = (&'a Pieces, bool);

fn lines(state: Option<&State>) -> Vec<Line<'_>> {
    let Some(state) = state else {
        return Vec::new();
    };
    let last = state.lines.len().saturating_sub(1);
    let line = |(index, pieces)| (pieces, index < last || state.newline);
    state.lines.iter().enumerate().map(line).collect()
}

/// Equal lines get equal numbers.
fn identify<'a>(old: &[Line<'a>], new: &[Line<'a>]) -> (Vec<usize>, Vec<usize>) {
    let mut ids = BTreeMap::new();
    let mut identify = |line: &Line<'a>| {
        let next = ids.len();
        *ids.entry(*line).or_insert(next)
    };
    (
        old.iter().map(&mut identify).collect(),
        new.iter().map(&mut identify).collect(),
    )
}

/// The edits that turn one into the other, and an upper bound of the steps taken to find them.
pub(crate) fn operations(old: &[usize], new: &[usize]) -> (Vec<DiffOp>, usize) {
    let mut edits = Edits::default();
    let (mut old_at, mut new_at) = (0, 0);
    for (old_anchor, new_anchor) in anchors(old, new) {
        if old_anchor < old_at || new_anchor < new_at {
            // Within what the anchor before was extended to.
            continue;
        }
        edits.gap(old, old_at..old_anchor, new, new_at..new_anchor);
        let same = equal_run(&old[old_anchor..], &new[new_anchor..]);
        edits.equal(old_anchor, new_anchor, same);
        (old_at, new_at) = (old_anchor + same, new_anchor + same);
    }
    edits.gap(old, old_at..old.len(), new, new_at..new.len());
    (edits.ops, edits.steps)
}

fn equal_run(old: &[usize], new: &[usize]) -> usize {
    old.iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count()
}

/// Lines that occur once on both sides, in the longest selection that is in order on both; the common
/// beginning is anchored as well.
fn anchors(old: &[usize], new: &[usize]) -> Vec<(usize, usize)> {
    let (old_once, new_once) = (once(old), once(new));
    let pairs: Vec<(usize, usize)> = old
        .iter()
        .enumerate()
        .filter(|(at, id)| old_once.get(*id) == Some(&Some(*at)))
        .filter_map(|(at, id)| Some((at, (*new_once.get(id)?)?)))
        .collect();
    let beginning = (!old.is_empty() && old.first() == new.first()).then_some((0, 0));
    beginning.into_iter().chain(increasing(&pairs)).collect()
}

/// Where each line is, if it occurs once.
fn once(ids: &[usize]) -> BTreeMap<usize, Option<usize>> {
    let mut once = BTreeMap::new();
    for (at, id) in ids.iter().enumerate() {
        once.entry(*id)
            .and_modify(|seen| *seen = None)
            .or_insert(Some(at));
    }
    once
}

/// The longest subsequence in which the second members rise, by patience sorting.
fn increasing(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut tops: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (index, pair) in pairs.iter().enumerate() {
        let pile = tops.partition_point(|&top| pairs[top].1 < pair.1);
        previous.push(pile.checked_sub(1).map(|below| tops[below]));
        if pile == tops.len() {
            tops.push(index);
        } else {
            tops[pile] = index;
        }
    }
    let mut chain = Vec::with_capacity(tops.len());
    let mut at = tops.last().copied();
    while let Some(index) = at {
        chain.push(pairs[index]);
        at = previous[index];
    }
    chain.reverse();
    chain
}

#[derive(Default)]
struct Edits {
    ops: Vec<DiffOp>,
    steps: usize,
}

impl Edits {
    /// Joins runs that touch: grouping into hunks counts on it.
    fn equal(&mut self, old_index: usize, new_index: usize, more: usize) {
        if let Some(DiffOp::Equal { len, .. }) = self.ops.last_mut() {
            *len += more;
        } else if more > 0 {
            self.ops.push(DiffOp::Equal {
                old_index,
                new_index,
                len: more,
            });
        }
    }

    fn gap(
        &mut self,
        old: &[usize],
        old_range: Range<usize>,
        new: &[usize],
        new_range: Range<usize>,
    ) {
        let (old_ids, new_ids) = (&old[old_range.clone()], &new[new_range.clone()]);
        // What the two end with alike, so that an edit in a file of equal lines is a small gap.
        let suffix = old_ids
            .iter()
            .rev()
            .zip(new_ids.iter().rev())
            .take_while(|(old, new)| old == new)
            .count();
        let old_ids = &old_ids[..old_ids.len() - suffix];
        let new_ids = &new_ids[..new_ids.len() - suffix];
        self.small_gap(old_ids, old_range.start, new_ids, new_range.start);
        self.equal(old_range.end - suffix, new_range.end - suffix, suffix);
    }

    fn small_gap(&mut self, old: &[usize], old_at: usize, new: &[usize], new_at: usize) {
        let size = old.len() + new.len();
        self.steps += size;
        if old.is_empty() && new.is_empty() {
            return;
        }
        if old.is_empty() || new.is_empty() || size > MAX_GAP {
            self.ops.push(DiffOp::Replace {
                old_index: old_at,
                old_len: old.len(),
                new_index: new_at,
                new_len: new.len(),
            });
            return;
        }
        self.steps += size * size.min(MAX_GAP);
        for op in similar::capture_diff_slices(Algorithm::Myers, old, new) {
            let (_, old_range, new_range) = op.as_tag_tuple();
            if let DiffOp::Equal { .. } = op {
                self.equal(
                    old_at + old_range.start,
                    new_at + new_range.start,
                    old_range.len(),
                );
            } else {
                self.ops.push(DiffOp::Replace {
                    old_index: old_at + old_range.start,
                    old_len: old_range.len(),
                    new_index: new_at + new_range.start,
                    new_len: new_range.len(),
                });
            }
        }
    }
}

#[derive(Default)]
struct Printer {
    text: String,
    lines: usize,
    numbers: Numbers,
    /// A line was shortened.
    shortened: bool,
    /// Changed lines that are not shown.
    removed: usize,
    added: usize,
    /// No more is printed.
    full: bool,
    /// What the states did not keep differs.
    beyond: bool,
}

impl Printer {
    fn group(&mut self, ops: &[DiffOp], old: &[Line<'_>], new: &[Line<'_>]) {
        if !self.full {
            let header = similar::udiff::UnifiedHunkHeader::new(ops).to_string();
            self.put(&header);
        }
        for op in ops {
            let (_, old_range, new_range) = op.as_tag_tuple();
            if let DiffOp::Equal { .. } = op {
                new[new_range].iter().for_each(|line| {
                    self.line(' ', line);
                });
                continue;
            }
            for line in &old[old_range] {
                self.removed += usize::from(!self.line('-', line));
            }
            for line in &new[new_range] {
                self.added += usize::from(!self.line('+', line));
            }
        }
    }

    /// Whether the line was printed.
    fn line(&mut self, mark: char, line: &Line<'_>) -> bool {
        if self.full {
            return false;
        }
        let rendered = line.0.render(&mut self.numbers, MAX_LINE);
        let printed = self.put(&format!("{mark}{}", rendered.text));
        self.shortened |= printed && rendered.cut;
        if printed && !line.1 {
            self.put("\\ No newline at end of file");
        }
        printed
    }

    fn put(&mut self, line: &str) -> bool {
        self.full |= self.lines == MAX_LINES || self.text.len() + line.len() + 1 > MAX_BYTES;
        if !self.full {
            self.lines += 1;
            self.text.push_str(line);
            self.text.push('\n');
        }
        !self.full
    }

    fn finish(mut self) -> Comparison {
        // These few lines stand beyond the limits: they say what the limits cost.
        if self.removed + self.added > 0 {
            let more = format!(
                "… {} more lines removed, {} more added\n",
                self.removed, self.added
            );
            self.text.push_str(&more);
        }
        if self.beyond {
            self.text
                .push_str("… more differs after the first 20,000 lines or 1 MiB, which alone are compared by line\n");
        }
        let cut = self.full || self.shortened || self.beyond;
        Comparison {
            changes: Vec::new(),
            diff: (!self.text.is_empty()).then_some(self.text),
            truncated: if cut { vec!["fimk.diff"] } else { Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the edits, as patch(1) would.
    fn apply(ops: &[DiffOp], old: &[usize], new: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for op in ops {
            let (_, old_range, new_range) = op.as_tag_tuple();
            if let DiffOp::Equal { .. } = op {
                assert_eq!(old[old_range.clone()], new[new_range.clone()], "{op:?}");
            }
            from.extend_from_slice(&old[old_range]);
            to.extend_from_slice(&new[new_range]);
        }
        (from, to)
    }

    proptest::proptest! {
        #[test]
        fn edits_turn_the_old_lines_into_the_new(
            old in proptest::collection::vec(0..20_usize, 0..60),
            new in proptest::collection::vec(0..20_usize, 0..60),
        ) {
            let (ops, _) = operations(&old, &new);
            proptest::prop_assert_eq!(apply(&ops, &old, &new), (old, new));
        }
    }

    #[test]
    fn steps_grow_with_the_lines_and_not_with_their_square() {
        type Family = fn(usize, usize) -> (usize, usize);
        let families: [Family; 4] = [
            |i, n| (i, n - i),
            |i, _| (i % 7, (i * 3) % 11),
            |i, _| (i % 2, (i + 1) % 2),
            |i, n| (i, if i % 2 == 0 { i } else { n + i }),
        ];
        for family in families {
            for n in [1_000, 4_000, 20_000] {
                let (old, new): (Vec<_>, Vec<_>) = (0..n).map(|i| family(i, n)).unzip();
                let (ops, steps) = operations(&old, &new);
                assert!(steps <= 2 * n * (MAX_GAP + 1), "{n}: {steps}");
                assert_eq!(apply(&ops, &old, &new), (old, new));
            }
        }
    }

    #[test]
    fn one_changed_line_among_thousands_is_one_edit() {
        let old: Vec<usize> = (0..20_000).map(|i| i % 3).collect();
        let mut new = old.clone();
        new[10_000] = 7;
        let (ops, _) = operations(&old, &new);
        assert_eq!(ops.len(), 3, "{ops:?}");
    }
}
