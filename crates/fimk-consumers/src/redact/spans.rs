//! Ranges of bytes, collected in any order.

use std::ops::Range;

#[derive(Debug, Default, Clone)]
pub(super) struct Spans(Vec<Range<usize>>);

impl Spans {
    pub(super) fn push(&mut self, span: Range<usize>) {
        if !span.is_empty() {
            self.0.push(span);
        }
    }

    pub(super) fn extend(&mut self, spans: Vec<Range<usize>>) {
        self.0.extend(spans);
    }

    /// In order and disjoint.
    pub(super) fn merged(mut self) -> Vec<Range<usize>> {
        self.0.sort_by_key(|span| (span.start, span.end));
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(self.0.len());
        for span in self.0 {
            match merged.last_mut() {
                Some(last) if span.start < last.end => last.end = last.end.max(span.end),
                _ => merged.push(span),
            }
        }
        merged
    }
}
