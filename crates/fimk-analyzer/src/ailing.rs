//! File systems that say of themselves that they are not well: what they have may be other than what was written.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fimk_core::{
    event::{Action, Notice},
    path::BytePath,
};
use fimk_store::Commit;
use nix::errno::Errno;

use crate::{
    engine::{Engine, Trouble},
    fanotify::{FileSystem, Reported},
    severity,
    wholes::Device,
};

/// Between two events about one: a disk that dies reports thousands of errors.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Those that tell of their errors.
#[derive(Debug, Default)]
pub struct Ailing {
    heard: BTreeMap<FileSystem, Patient>,
    /// Errors of those that are not watched any more.
    of_others: u64,
    /// What those had to say that was not told yet, and of how many errors.
    last_words: Vec<(String, u64)>,
}

#[derive(Debug)]
struct Patient {
    device: Device,
    point: BytePath,
    /// Since the start.
    errors: u64,
    untold: Option<Untold>,
    told_at: Option<Instant>,
}

#[derive(Debug)]
struct Untold {
    errors: u64,
    /// The first of them, and what it was of.
    first: i32,
    path: Option<BytePath>,
}

impl Ailing {
    /// The errors of this one are told from now on; none: they are not.
    pub fn heed(&mut self, id: Option<FileSystem>, device: Device, point: &BytePath) {
        self.part(|known, it| it.device == device && Some(known) != id);
        let Some(id) = id else { return };
        let patient = self.heard.entry(id).or_insert_with(|| Patient {
            device,
            point: point.clone(),
            errors: 0,
            untold: None,
            told_at: None,
        });
        (patient.device, patient.point) = (device, point.clone());
    }

    /// Those on devices of which this is true are not watched any more.
    pub fn forget(&mut self, gone: impl Fn(Device) -> bool) {
        self.part(|_, it| gone(it.device));
    }

    fn part(&mut self, gone: impl Fn(FileSystem, &Patient) -> bool) {
        let (of_others, last_words) = (&mut self.of_others, &mut self.last_words);
        self.heard.retain(|id, it| {
            let gone = gone(*id, it);
            if gone {
                *of_others = of_others.saturating_add(it.errors);
                last_words.extend(
                    it.untold
                        .as_ref()
                        .map(|untold| (it.sentence(untold), untold.errors)),
                );
            }
            !gone
        });
    }

    /// How many errors the file system of this device reported; none where nothing would tell of them.
    pub fn errors_of(&self, device: Device) -> Option<u64> {
        let mut heard = self.heard.values();
        heard.find(|it| it.device == device).map(|it| it.errors)
    }

    /// All together; none where nothing would tell of them.
    pub fn errors(&self) -> Option<u64> {
        let any = !self.heard.is_empty() || self.of_others > 0;
        any.then(|| self.of_others + self.heard.values().map(|it| it.errors).sum::<u64>())
    }

    fn note(&mut self, reported: &Reported, path: Option<BytePath>) {
        let Some(patient) = self.heard.get_mut(&reported.file_system) else {
            return;
        };
        patient.errors = patient.errors.saturating_add(reported.count);
        let untold = patient.untold.get_or_insert(Untold {
            errors: 0,
            first: reported.error,
            path,
        });
        untold.errors = untold.errors.saturating_add(reported.count);
    }

    /// When [`Self::due`] has something to say.
    pub fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        if !self.last_words.is_empty() {
            return Some(now);
        }
        let due = self.heard.values().filter_map(|it| it.due_at(now));
        due.min()
    }

    /// What is to be told by now: sentences, and how many errors.
    fn due(&mut self, now: Instant) -> Vec<(String, u64)> {
        let mut told = std::mem::take(&mut self.last_words);
        for patient in self.heard.values_mut() {
            if patient.due_at(now).is_some_and(|at| at <= now)
                && let Some(untold) = patient.untold.take()
            {
                patient.told_at = Some(now);
                told.push((patient.sentence(&untold), untold.errors));
            }
        }
        told
    }
}

impl Patient {
    fn due_at(&self, now: Instant) -> Option<Instant> {
        self.untold.as_ref()?;
        Some(self.told_at.map_or(now, |at| at + TOLD_EVERY))
    }

    fn sentence(&self, untold: &Untold) -> String {
        let first = Errno::from_raw(untold.first).desc();
        let of = untold
            .path
            .as_ref()
            .map_or_else(String::new, |path| format!(" of {}", path.escaped()));
        let more = match untold.errors {
            0 | 1 => String::new(),
            errors => format!(" and {} more", errors - 1),
        };
        format!(
            "the file system at {} reports an error{of}: {first}{more}; what it has may be other than what was written: see the \
             kernel's log, and have it checked",
            self.point.escaped()
        )
    }
}

impl Engine {
    /// A file system reports errors.
    pub(crate) fn ails(&mut self, reported: &Reported, path: Option<BytePath>) {
        self.wholes.ailing.note(reported, path);
    }

    /// Says which do, if it is time to.
    pub(crate) fn say_ailing(&mut self) -> Result<(), Trouble> {
        for (message, errors) in self.wholes.ailing.due(Instant::now()) {
            let notice = Notice {
                message,
                counts: vec![("file_system_errors".to_owned(), errors)],
                ..Notice::default()
            };
            let event = self.notice(Action::Degraded, severity::DEGRADED, notice);
            self.commit(Commit {
                events: vec![event],
                ..Commit::default()
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
    use super::*;

    const ID: FileSystem = *b"12345678";

    fn report(count: u64) -> Reported {
        Reported {
            file_system: ID,
            error: Errno::EUCLEAN as i32,
            count,
        }
    }

    fn heeding() -> Ailing {
        let mut ailing = Ailing::default();
        ailing.heed(Some(ID), (8, 1), &BytePath::new(b"/srv"));
        ailing
    }

    #[test]
    fn the_first_error_is_told_at_once_and_others_together_later() {
        let mut ailing = heeding();
        assert!(ailing.next_due().is_none());
        ailing.note(&report(1), Some(BytePath::new(b"/srv/file")));
        let now = Instant::now();
        let told = ailing.due(now);
        let [(sentence, 1)] = &told[..] else {
            panic!("{told:?}");
        };
        for words in ["at /srv ", "of /srv/file: Structure needs cleaning;"] {
            assert!(sentence.contains(words), "{sentence}");
        }
        ailing.note(&report(2), None);
        ailing.note(&report(3), None);
        assert!(ailing.due(now).is_empty());
        let told = ailing.due(now + TOLD_EVERY);
        assert!(told[0].0.contains("needs cleaning and 4 more"), "{told:?}");
        assert_eq!((told[0].1, ailing.errors_of((8, 1))), (5, Some(6)));
    }

    #[test]
    fn what_nobody_asked_for_is_not_counted() {
        let mut ailing = Ailing::default();
        ailing.note(&report(1), None);
        assert_eq!((ailing.errors(), ailing.next_due()), (None, None));
        let mut ailing = heeding();
        ailing.heed(None, (8, 1), &BytePath::new(b"/srv"));
        ailing.note(&report(1), None);
        assert_eq!(ailing.errors(), None);
    }

    #[test]
    fn another_file_system_of_the_same_device_begins_anew() {
        let mut ailing = heeding();
        ailing.note(&report(1), None);
        ailing.heed(Some(ID), (8, 1), &BytePath::new(b"/elsewhere"));
        assert_eq!(ailing.errors_of((8, 1)), Some(1));
        ailing.heed(Some([0; 8]), (8, 1), &BytePath::new(b"/srv"));
        assert_eq!(ailing.errors_of((8, 1)), Some(0));
        assert_eq!(ailing.errors(), Some(1), "they were reported");
    }

    #[test]
    fn what_one_reported_before_it_went_is_told_still() {
        let mut ailing = heeding();
        let now = Instant::now();
        ailing.note(&report(1), None);
        assert_eq!(ailing.due(now).len(), 1);
        ailing.note(&report(2), None);
        ailing.forget(|device| device == (8, 1));
        assert!(ailing.next_due().is_some());
        let told = ailing.due(now);
        assert!(matches!(&told[..], [(_, 2)]), "{told:?}");
        assert_eq!((ailing.errors(), ailing.errors_of((8, 1))), (Some(3), None));
        assert!(ailing.next_due().is_none());
    }
}
