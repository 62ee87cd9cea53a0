//! Who mounts: records of the kernel, kept until the mount table shows the difference they made.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use crate::{identity::Object, signal::Touch};

/// Hints kept. They are made by mount calls, also by failed ones and those of other mount namespaces, so by
/// anybody; of more than this in two seconds the oldest go, and an event then lacks its process.
const HINTS_MAX: usize = 1_024;

/// The table changes within milliseconds of the record; a later difference is not of this record.
const LIFE: Duration = Duration::from_secs(2);

/// A record of the kernel that somebody mounts or unmounts. It may have failed, or be about another mount
/// namespace: only the table tells.
#[derive(Debug, Clone)]
pub struct Hint {
    /// Names of the covered object.
    pub points: Vec<BytePath>,
    /// What is, or was, covered.
    pub covered: Object,
    /// Not a mount.
    pub unmount: bool,
    /// By whom.
    pub touch: Touch,
}

/// The hints of the last seconds, oldest first.
#[derive(Default)]
pub struct Hints(VecDeque<(Instant, Hint)>);

impl Hints {
    /// Keeps one.
    pub fn add(&mut self, hint: Hint) {
        if self.0.len() >= HINTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((Instant::now() + LIFE, hint));
    }

    /// The touches of those who did this at this place. `seen` is the object that is there now: an unmount may
    /// be known only by what it uncovered.
    pub fn at(&self, point: &BytePath, unmount: bool, seen: Option<Object>) -> Vec<Touch> {
        let fits = |hint: &Hint| {
            hint.unmount == unmount
                && (hint.points.contains(point) || unmount && seen == Some(hint.covered))
        };
        let mut touches: Vec<Touch> = Vec::new();
        for (_, hint) in self.0.iter().filter(|(_, hint)| fits(hint)) {
            match touches.iter_mut().find(|it| it.actor == hint.touch.actor) {
                Some(known) => known.absorb(hint.touch.clone()),
                None => touches.push(hint.touch.clone()),
            }
        }
        touches
    }

    /// Those at this place have explained what they did.
    pub fn used(&mut self, point: &BytePath) {
        self.0.retain(|(_, hint)| !hint.points.contains(point));
    }

    /// Those whose time is over and that explained nothing.
    pub fn expired(&mut self) -> Vec<Hint> {
        let now = Instant::now();
        let over = self.0.iter().take_while(|(until, _)| *until <= now).count();
        self.0.drain(..over).map(|(_, hint)| hint).collect()
    }

    /// When [`Self::expired`] has something to say.
    pub fn next_due(&self) -> Option<Instant> {
        self.0.front().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity::ActorKey, signal::Operations};
    use fimk_core::{attribution::Attribution, time::Timestamp};

    fn object(inode: u64) -> Object {
        Object {
            inode,
            device: 1,
            generation: 0,
        }
    }

    fn hint(pid: u32, point: &str, inode: u64, unmount: bool) -> Hint {
        Hint {
            points: vec![BytePath::new(point.as_bytes())],
            covered: object(inode),
            unmount,
            touch: Touch {
                actor: Some(ActorKey {
                    pid,
                    image: 0,
                    start_ns: 1,
                }),
                uid: Some(0),
                by: Attribution::PROGRAM,
                operations: Operations::default(),
                first: Timestamp(1),
                last: Timestamp(1),
                count: 1,
                bytes: 0,
                accessed: None,
                fact: None,
            },
        }
    }

    fn pids(touches: &[Touch]) -> Vec<u32> {
        let actors = touches.iter().filter_map(|touch| touch.actor);
        actors.map(|actor| actor.pid).collect()
    }

    #[test]
    fn a_difference_is_given_those_who_did_that_at_that_place() {
        let mut hints = Hints::default();
        hints.add(hint(1, "/a", 1, false));
        hints.add(hint(1, "/a", 1, false));
        hints.add(hint(2, "/b", 2, false));
        hints.add(hint(3, "/a", 3, true));
        let a = BytePath::new(b"/a");
        assert_eq!(pids(&hints.at(&a, false, None)), [1]);
        assert_eq!(pids(&hints.at(&a, true, None)), [3]);
        hints.used(&a);
        assert!(hints.at(&a, false, None).is_empty());
        assert_eq!(hints.at(&BytePath::new(b"/b"), false, None).len(), 1);
    }

    #[test]
    fn an_unmount_is_known_by_what_it_uncovered() {
        let mut hints = Hints::default();
        hints.add(hint(1, "/", 7, true));
        let point = BytePath::new(b"/stacked");
        assert!(hints.at(&point, true, Some(object(8))).is_empty());
        assert_eq!(pids(&hints.at(&point, true, Some(object(7)))), [1]);
        assert!(hints.at(&point, false, Some(object(7))).is_empty());
    }

    #[test]
    fn a_flood_of_hints_pushes_out_the_oldest() {
        let mut hints = Hints::default();
        (0..5_000).for_each(|pid| hints.add(hint(pid, "/a", 1, false)));
        let all = hints.at(&BytePath::new(b"/a"), false, None);
        assert_eq!(all.len(), HINTS_MAX);
        assert_eq!(pids(&all).last(), Some(&4_999));
        assert!(hints.expired().is_empty() && hints.next_due().is_some());
    }
}
