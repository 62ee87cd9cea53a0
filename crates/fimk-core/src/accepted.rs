//! What somebody has looked at and found right: events up to a number, all of them or those of some paths.
//!
//! It changes no record and no event: it is kept beside them, and says which events nobody has looked at yet.

use serde::{Deserialize, Serialize};

use crate::{
    event::{Asker, Event},
    request::Paths,
    time::Timestamp,
};

/// Acceptances at once. One of everything takes the place of all that it includes.
pub const ACCEPTED_MAX: usize = 64;

/// Of all of them as text, within what the database takes as one value.
const BYTES_MAX: usize = 60 << 10;

/// Of a note: a sentence, and the number of a change.
pub const NOTE_BYTES_MAX: usize = 256;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Events up to this one.
    pub through: u64,
    /// Of this path or glob, and of all below; without it, of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When.
    pub time: Timestamp,
    /// By whom.
    pub by: Asker,
    /// What they wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// All of them, those of everything first.
#[derive(Default)]
pub struct Accepted(Vec<(Acceptance, Option<Paths>)>);

impl Accepted {
    /// From [`Self::text`]. What this build does not understand accepts nothing.
    pub fn parse(text: &[u8]) -> Self {
        let all: Vec<Acceptance> = serde_json::from_slice(text).unwrap_or_default();
        let all = all.into_iter().take(ACCEPTED_MAX).filter_map(|one| {
            let paths = one.path.as_deref().map(Paths::parse).transpose().ok()?;
            Some((one, paths))
        });
        Self(all.collect())
    }

    /// To be kept.
    pub fn text(&self) -> Vec<u8> {
        let all: Vec<&Acceptance> = self.0.iter().map(|(one, _)| one).collect();
        serde_json::to_vec(&all).unwrap_or_default()
    }

    /// Takes one more, in the place of those that it includes.
    ///
    /// # Errors
    /// A sentence: it is included already, its path is none, or there are too many.
    pub fn add(&mut self, one: Acceptance) -> Result<(), String> {
        let paths = one.path.as_deref().map(Paths::parse).transpose()?;
        let everything = self.everything().map_or(0, |it| it.through);
        if one.through <= everything {
            return Err(format!(
                "everything up to {everything} is accepted already: give a higher number"
            ));
        }
        let mut next: Vec<_> = std::mem::take(&mut self.0);
        let before = next.clone();
        next.retain(|(old, _)| {
            let included = one.path.is_none() || one.path == old.path;
            !(included && old.through <= one.through)
        });
        let at = if one.path.is_none() { 0 } else { next.len() };
        next.insert(at, (one, paths));
        self.0 = next;
        if self.0.len() > ACCEPTED_MAX || self.text().len() > BYTES_MAX {
            self.0 = before;
            return Err(format!(
                "{ACCEPTED_MAX} acceptances of paths are all that are kept: accept everything up to a number first"
            ));
        }
        Ok(())
    }

    /// The one of everything.
    pub fn everything(&self) -> Option<&Acceptance> {
        let first = self.0.first().map(|(one, _)| one);
        first.filter(|one| one.path.is_none())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Acceptance> {
        self.0.iter().map(|(one, _)| one)
    }

    /// Who accepted an event, if somebody did.
    pub fn of(&self, event: &Event) -> Option<&Acceptance> {
        let mut all = self.0.iter();
        let includes = |(one, paths): &&(Acceptance, Option<Paths>)| {
            event.sequence <= one.through
                && paths.as_ref().is_none_or(|paths| paths.match_of(event))
        };
        all.find(includes).map(|(one, _)| one)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::event::{Action, Body, Notice};

    fn one(through: u64, path: Option<&str>) -> Acceptance {
        Acceptance {
            through,
            path: path.map(str::to_owned),
            time: Timestamp(1),
            by: Asker {
                uid: 0,
                user: None,
                login_uid: Some(1000),
            },
            note: None,
        }
    }

    fn notice(sequence: u64) -> Event {
        Event {
            sequence,
            created: Timestamp(0),
            boot: String::new(),
            source: None,
            action: Action::Gap,
            severity: 47,
            body: Body::Notice(Notice::default()),
        }
    }

    #[test]
    fn what_is_included_in_another_is_not_kept_beside_it() {
        let mut accepted = Accepted::default();
        accepted.add(one(5, Some("/etc/*"))).expect("taken");
        accepted.add(one(7, Some("/etc/*"))).expect("taken");
        accepted.add(one(9, Some("/srv"))).expect("taken");
        assert_eq!(accepted.all().count(), 2);
        assert!(accepted.of(&notice(3)).is_none(), "it is about no path");
        accepted.add(one(8, None)).expect("taken");
        let kept: Vec<u64> = accepted.all().map(|it| it.through).collect();
        assert_eq!(kept, [8, 9]);
        assert!(accepted.of(&notice(8)).is_some() && accepted.of(&notice(9)).is_none());
        let why = accepted.add(one(8, None)).expect_err("nothing new");
        assert!(why.contains("up to 8"), "{why}");
        assert!(accepted.add(one(10, Some("etc"))).is_err());
        let again = Accepted::parse(&accepted.text());
        assert!(again.all().eq(accepted.all()));
        assert_eq!(Accepted::parse(b"\xff").all().count(), 0);
    }

    #[test]
    fn there_is_a_limit_and_what_is_beyond_changes_nothing() {
        let mut accepted = Accepted::default();
        for number in 0..ACCEPTED_MAX {
            let path = format!("/{number}");
            accepted.add(one(1, Some(&path))).expect("there is room");
        }
        assert!(accepted.add(one(1, Some("/more"))).is_err());
        assert_eq!(accepted.all().count(), ACCEPTED_MAX);
        accepted.add(one(2, None)).expect("it includes all");
        assert_eq!(accepted.all().count(), 1);
        // Fifteen of these are too much for what the database takes.
        let long = |number: u64| format!("/{number}/{}", "a".repeat(4_000));
        let full =
            (3..ACCEPTED_MAX as u64).find(|&it| accepted.add(one(it, Some(&long(it)))).is_err());
        let full = full.expect("there is a limit");
        assert!(full < 20 && accepted.text().len() <= BYTES_MAX, "{full}");
    }
}
