//! Many globs as one automaton, each with a value.

use globset::{Candidate, Glob, GlobSet};

use super::TooComplex;

#[derive(Debug, Clone)]
pub(super) struct Globs<T> {
    set: GlobSet,
    values: Vec<T>,
}

impl<T> Globs<T> {
    pub(super) fn new(globs: Vec<(Glob, T)>) -> Result<Self, TooComplex> {
        let (globs, values): (Vec<Glob>, Vec<T>) = globs.into_iter().unzip();
        let set = GlobSet::new(globs).map_err(|error| TooComplex(error.kind().to_string()))?;
        Ok(Self { set, values })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of each glob that matches.
    pub(super) fn visit<'g>(&'g self, text: &[u8], visit: impl FnMut(&'g T)) {
        if self.is_empty() {
            return;
        }
        let matches = self.set.matches_candidate(&Candidate::from_bytes(text));
        matches
            .into_iter()
            .filter_map(|index| self.values.get(index))
            .for_each(visit);
    }
}
