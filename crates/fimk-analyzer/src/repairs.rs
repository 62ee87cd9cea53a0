//! The nets below the ring: what was lost is told by cause, looked for where it can be, and what was found is told too.
//!
//! An announcement that was lost is found by the loader, in the dirty map; a record of names by comparing its directory,
//! whose entry counts it. What the dirty map had no room for is found by comparing what the rule covers, of which the
//! packet of counters has the number; anything else by comparing everything.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use fimk_core::{
    event::{Action, Body, DetectedBy, Event, Gap, Notice},
    path::BytePath,
};
use fimk_store::Commit;
use fimk_wire::raw;
use serde_json::{Value, json};

use crate::{
    clock,
    engine::{Engine, Eyes, Trouble},
    losses::{self, ATTEMPTS_LOST, DIRECTORIES_UNCLEAR, Grown},
    severity,
};

/// After a loss nets of which nobody hears when they are done are given as long before it is told what they found:
/// the loader sweeps at its tick, and a directory is compared as soon as its entry is taken.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// And so long after a loss directories are compared for it that had to wait for others: without one they are compared
/// too, where records come late.
const LATE: Duration = Duration::from_secs(60);
/// Then they are told together.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What the nets have done, since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Entries that the loader found dirty and announced.
    pub swept: u64,
    /// Directories of which a record was missing.
    pub directories: u64,
    /// Comparisons of rules, or of everything.
    pub comparisons: u64,
    /// What these looked at.
    pub paths: u64,
    /// Changes that no record told of: events found by a comparison.
    pub differences: u64,
}

/// What was done about losses, and what of it is still to be told.
#[derive(Default)]
pub struct Repairs {
    done: Done,
    /// The same when the loss was noticed whose repair is to be told next.
    told: Done,
    due: Option<Instant>,
    /// When something was lost last.
    lost_at: Option<Instant>,
    /// Rules of which something is lost: their numbers from 1.
    rules: BTreeSet<u32>,
    /// How often a repair was told.
    said: u64,
}

impl Repairs {
    /// So many paths were compared.
    pub fn compared(&mut self, paths: u64) {
        self.done.comparisons += 1;
        self.done.paths = self.done.paths.saturating_add(paths);
        if self.due.is_some() {
            self.due = Some(Instant::now());
        }
    }

    /// So many directories are compared: told with what else is, or by itself if that was told already.
    pub fn directories(&mut self, count: usize) {
        if count > 0 && self.lost_at.is_some_and(|at| at.elapsed() < LATE) {
            self.await_repair(TOLD_AGAIN_AFTER);
        }
        self.done.directories += count as u64;
    }

    /// An event was stored.
    pub fn note(&mut self, event: &Event) {
        if let Body::Change(change) = &event.body
            && matches!(change.detected_by, DetectedBy::Scan | DetectedBy::Gap)
        {
            self.done.differences += 1;
        }
    }

    /// Since the start.
    pub fn done(&self) -> Done {
        self.done
    }

    /// How many of the `events_lost` tell of a repair.
    pub fn said(&self) -> u64 {
        self.said
    }

    /// When a repair is to be told.
    pub fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// Rules that are to be compared.
    pub fn rules(&self) -> &BTreeSet<u32> {
        &self.rules
    }

    /// For a comparison, which begins now.
    pub fn take_rules(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.rules)
    }

    /// Something was, and will be looked for.
    pub fn lost(&mut self) {
        self.lost_at = Some(Instant::now());
        self.await_repair(SETTLED_AFTER);
    }

    fn await_repair(&mut self, within: Duration) {
        if self.due.is_none() {
            self.told = self.done;
            self.due = Some(Instant::now() + within);
        }
    }

    /// What to say of a repair; `now` if its time has not come.
    fn news(&mut self, now: bool) -> Option<Vec<(String, u64)>> {
        self.due.take_if(|due| now || *due <= Instant::now())?;
        self.said += 1;
        let (done, told) = (self.done, self.told);
        let grown = [
            ("entries_swept", done.swept.saturating_sub(told.swept)),
            ("directories_compared", done.directories - told.directories),
            ("paths_compared", done.paths - told.paths),
        ];
        let grown = grown.into_iter().filter(|(_, count)| *count > 0);
        let found = ("differences_found", done.differences - told.differences);
        let counts = grown.chain([found]);
        Some(counts.map(|(name, it)| (name.to_owned(), it)).collect())
    }
}

impl Done {
    /// For the status.
    pub fn json(self) -> Value {
        json!({
            "entries_swept": self.swept,
            "directories_compared": self.directories,
            "comparisons": self.comparisons,
            "paths_compared": self.paths,
            "differences_found": self.differences,
        })
    }

    /// For the event about a gap.
    pub fn of_gap(self) -> Vec<(String, u64)> {
        let counts = [
            ("paths_compared", self.paths),
            ("differences_found", self.differences),
        ];
        counts.map(|(name, it)| (name.to_owned(), it)).into()
    }
}

impl Engine {
    /// The kernel's counters: what was lost is said, and looked for if the loader's sweep cannot find it.
    pub(crate) fn count(&mut self, packet: &raw::fimk_counters_packet) -> Result<(), Trouble> {
        if let Some(grown) = self.losses.update(packet) {
            if grown.compare {
                let reason =
                    "the kernel's map of watched objects was full or programs were skipped";
                self.scan_wanted = Some(reason.to_owned());
            }
            if grown.is_of_changes() {
                self.repairs.lost();
            }
            self.losses.untold(grown);
        }
        self.repairs.done.swept = packet.swept;
        for rule in losses::lost_rules(packet) {
            // Of a configuration that was, an object may still be armed under a number that is nobody's now.
            let is_known = rule > 0 && self.rules.rule(rule - 1).is_some();
            if is_known {
                self.repairs.rules.insert(rule);
            } else {
                self.scan_wanted = Some("the kernel's map of changes was full".to_owned());
            }
        }
        self.tell_losses(false)
    }

    /// The records that fanotify has of directories do not agree, or not with what is there: where they differ, everything is
    /// compared, and from when to when a name may be wrong is said. Only when nothing is under way, or `now`.
    pub(crate) fn say_uncertain(&mut self, now: bool) -> Result<(), Trouble> {
        let Eyes::Fanotify(fanotify) = &mut self.eyes else {
            return Ok(());
        };
        let Some((from, places)) = fanotify.uncertain(now) else {
            return Ok(());
        };
        let to = clock::now();
        self.repairs.lost();
        self.losses.untold(Grown {
            counts: vec![(DIRECTORIES_UNCLEAR.to_owned(), places.len() as u64)],
            lost: Vec::new(),
            compare: false,
            window: Some(Gap { from, to }),
        });
        let above: BTreeSet<BytePath> = places.iter().filter_map(BytePath::parent).collect();
        self.repairs.directories(above.len());
        for directory in above
            .iter()
            .filter(|it| self.tree.get(it).is_some())
            .cloned()
            .collect::<Vec<_>>()
        {
            self.compare_directory(&directory, &[])?;
        }
        Ok(())
    }

    /// Says what was lost; after the first time not more often than who provokes losses could fill the database.
    pub(crate) fn tell_losses(&mut self, now: bool) -> Result<(), Trouble> {
        self.tell_repairs(now)?;
        let Some(grown) = self.losses.due(now) else {
            return Ok(());
        };
        let only = |names: &[&str]| {
            let mut counts = grown.counts.iter();
            counts.all(|(name, _)| names.contains(&name.as_str()))
        };
        let message = if only(&[DIRECTORIES_UNCLEAR]) {
            "directories were renamed faster than that was read: names told of this time may be former ones, or those of another directory"
        } else if grown.compare {
            "records of the kernel were lost; everything is compared"
        } else if only(&[ATTEMPTS_LOST]) {
            "more was denied, opened or executed at once than there is room for, and is not told"
        } else if only(&["announcements_lost", "actors_map_full"]) {
            "announcements were lost; their objects were found dirty by the loader's sweep"
        } else {
            "changes found no room in the kernel; what their rules cover is compared"
        };
        let notice = Notice {
            message: message.to_owned(),
            counts: grown.counts,
            lost: grown.lost,
            gap: grown.window,
            ..Notice::default()
        };
        let event = self.notice(Action::EventsLost, severity::LOSS, notice);
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })?;
        self.keep_losses()
    }

    /// Says what became of it, once no comparison is to come.
    fn tell_repairs(&mut self, now: bool) -> Result<(), Trouble> {
        let waits = self.scan_wanted.is_some() || !self.repairs.rules.is_empty();
        if waits && !now {
            return Ok(());
        }
        let Some(counts) = self.repairs.news(now) else {
            return Ok(());
        };
        let done: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{count} {}", name.replace('_', " ")))
            .collect();
        let notice = Notice {
            message: format!("what was lost was looked for: {}", done.join(", ")),
            counts,
            ..Notice::default()
        };
        let event = self.notice(Action::EventsLost, severity::NOTICE, notice);
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })
    }

    /// Where the paths of these rules begin; none of them below another.
    pub(crate) fn roots_of(&self, numbers: &BTreeSet<u32>) -> Vec<BytePath> {
        let roots = self.rules.roots().iter();
        let of_these = roots.filter(|root| numbers.contains(&(root.rule + 1)));
        let mut paths: Vec<&BytePath> = of_these.map(|root| &root.path).collect();
        paths.sort_unstable_by_key(|path| path.bytes().len());
        let mut tops: Vec<BytePath> = Vec::new();
        let mut known = std::collections::HashSet::new();
        for path in paths {
            let mut above = Some(path.clone());
            let mut covered = false;
            while let Some(at) = above.filter(|_| !covered) {
                covered = known.contains(&at);
                above = at.parent();
            }
            if !covered {
                known.insert(path.clone());
                tops.push(path.clone());
            }
        }
        tops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_nets_did_after_a_loss_is_told_once() {
        let mut repairs = Repairs::default();
        repairs.directories(5);
        assert_eq!(repairs.news(true), None, "nothing was lost");
        repairs.lost();
        repairs.directories(2);
        repairs.done.swept = 7;
        assert_eq!(repairs.news(false), None, "the nets are given time");
        repairs.compared(100);
        let news = repairs.news(false).unwrap_or_default();
        let counts: Vec<(&str, u64)> = news.iter().map(|(name, it)| (name.as_str(), *it)).collect();
        let expected = [
            ("entries_swept", 7),
            ("directories_compared", 2),
            ("paths_compared", 100),
            ("differences_found", 0),
        ];
        assert_eq!(counts, expected);
        assert_eq!((repairs.news(true), repairs.said()), (None, 1));
        repairs.directories(3);
        let late = repairs.news(true).unwrap_or_default();
        assert_eq!(late[0], ("directories_compared".to_owned(), 3));
    }
}
