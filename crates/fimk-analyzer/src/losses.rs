//! What was lost on the way, from the counters of the kernel.
//!
//! They are sums since the programs were loaded, which may be long before this process began: those last told are
//! kept in the store, so that only growth is told.

use std::time::{Duration, Instant};

use fimk_wire::{plan::ROWS, raw};

use crate::{
    engine::{Engine, Trouble},
    exit::Failure,
};

/// The meta key under which the sums last told are kept: numbers of 8 bytes, then what they belong to.
const TOLD: &str = "losses";
/// How many numbers.
const SUMS: usize = 6;

/// The count of attempts that nobody will hear of: no comparison finds them.
pub const ATTEMPTS_LOST: &str = "attempts_lost";

/// The count of times that the queue of fanotify was full.
const QUEUE_FULL: &str = "fanotify_queue_full";

/// Of these a comparison finds nothing: the loader's sweep has, or nobody will.
const NOT_COMPARED: [&str; 3] = ["announcements_lost", "actors_map_full", ATTEMPTS_LOST];

/// Between two events that tell of losses: an attacker who provokes them has no use for an event each.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The last sums seen.
#[derive(Default)]
pub struct Losses {
    seen: Sums,
    /// The boot, and the number in it of the load of the programs.
    of: String,
    last: Option<Box<raw::fimk_counters_packet>>,
    untold: Option<Grown>,
    told_at: Option<Instant>,
    /// How often the queue of fanotify was full.
    pub queue_full: u64,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Sums {
    announcements: u64,
    entries: u64,
    objects: u64,
    skipped: u64,
    /// Processes that are not described: of their changes is known what, and not who.
    actors: u64,
    attempts: u64,
}

/// What grew since the last look.
#[derive(Debug, PartialEq, Eq)]
pub struct Grown {
    /// Named numbers for the event.
    pub counts: Vec<(String, u64)>,
    /// Whether only a comparison of everything can find what was lost; else the loader's sweep has.
    pub compare: bool,
}

impl Losses {
    /// What the loader last said; none if nothing was counted yet.
    pub fn last(&self) -> Option<&raw::fimk_counters_packet> {
        self.last.as_deref()
    }

    /// Takes over what an earlier process told, if that was of the same load of the programs, during this boot.
    fn recall(&mut self, bytes: &[u8], boot: &str, load: u32) {
        self.of = format!("{boot} {load}");
        self.seen = Sums::kept(bytes, &self.of).unwrap_or_default();
    }

    /// To be kept.
    fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.seen.all().map(u64::to_be_bytes);
        [numbers.as_flattened(), self.of.as_bytes()].concat()
    }

    /// What grew is to be told, with what is to be told already.
    pub fn untold(&mut self, grown: Grown) {
        let Some(untold) = &mut self.untold else {
            self.untold = Some(grown);
            return;
        };
        untold.compare |= grown.compare;
        for (name, count) in grown.counts {
            match untold.counts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum = sum.saturating_add(count),
                None => untold.counts.push((name, count)),
            }
        }
    }

    /// What is to be told, when it is time to, or `now`.
    pub fn due(&mut self, now: bool) -> Option<Grown> {
        let waits = self.next_due().is_some_and(|when| when > Instant::now());
        let grown = self.untold.take_if(|_| now || !waits)?;
        self.told_at = Some(Instant::now());
        Some(grown)
    }

    /// When [`Self::due`] has something to say.
    pub fn next_due(&self) -> Option<Instant> {
        self.untold.as_ref()?;
        Some(self.told_at.map_or_else(Instant::now, |at| at + TOLD_EVERY))
    }

    /// Takes note of new sums; gives what grew. Sums that went down are those of programs loaded since.
    pub fn update(&mut self, packet: &raw::fimk_counters_packet) -> Option<Grown> {
        self.last = Some(Box::new(*packet));
        let sums = sum(packet);
        let mut before = std::mem::replace(&mut self.seen, sums);
        if sums
            .all()
            .iter()
            .zip(before.all())
            .any(|(now, then)| *now < then)
        {
            before = Sums::default();
        }
        let grown =
            |now: u64, then: u64, name: &str| (now > then).then(|| (name.to_owned(), now - then));
        let counts: Vec<(String, u64)> = [
            grown(
                sums.announcements,
                before.announcements,
                "announcements_lost",
            ),
            grown(sums.entries, before.entries, "dirty_map_full"),
            grown(sums.objects, before.objects, "watch_map_full"),
            grown(sums.skipped, before.skipped, "program_skipped"),
            grown(sums.actors, before.actors, "actors_map_full"),
            grown(sums.attempts, before.attempts, ATTEMPTS_LOST),
        ]
        .into_iter()
        .flatten()
        .collect();
        let compare = counts
            .iter()
            .any(|(name, _)| !NOT_COMPARED.contains(&name.as_str()));
        (!counts.is_empty()).then_some(Grown { counts, compare })
    }
}

impl Sums {
    fn kept(bytes: &[u8], boot: &str) -> Option<Self> {
        let (numbers, of) = bytes.split_at_checked(SUMS * 8)?;
        let mut numbers = numbers.as_chunks::<8>().0.iter();
        let mut next = || numbers.next().map(|bytes| u64::from_be_bytes(*bytes));
        let seen = Self {
            announcements: next()?,
            entries: next()?,
            objects: next()?,
            skipped: next()?,
            actors: next()?,
            attempts: next()?,
        };
        (of == boot.as_bytes()).then_some(seen)
    }

    fn all(self) -> [u64; SUMS] {
        [
            self.announcements,
            self.entries,
            self.objects,
            self.skipped,
            self.actors,
            self.attempts,
        ]
    }
}

impl Engine {
    /// What an earlier process told of these programs is not told again.
    pub(crate) fn recall_losses(&mut self, load: u32) -> Result<(), Trouble> {
        let kept = self.store.meta(TOLD).map_err(Failure::from)?;
        self.losses
            .recall(&kept.unwrap_or_default(), &self.boot, load);
        Ok(())
    }

    /// The queue of fanotify was full: what happened is found by comparing, and who did it is not.
    pub(crate) fn overflowed(&mut self) {
        self.losses.queue_full += 1;
        self.losses.untold(Grown {
            counts: vec![(QUEUE_FULL.to_owned(), 1)],
            compare: true,
        });
        self.scan_wanted = Some("the queue of fanotify was full".to_owned());
    }

    /// These sums were told.
    pub(crate) fn keep_losses(&mut self) -> Result<(), Trouble> {
        let bytes = self.losses.to_bytes();
        Ok(self.store.set_meta(TOLD, &bytes).map_err(Failure::from)?)
    }
}

/// Whether a hook fills the map of attempts.
fn is_of_attempts(hook: u32) -> bool {
    ROWS.iter()
        .any(|row| row.kind != 0 && row.programs.contains(&hook))
}

fn sum(packet: &raw::fimk_counters_packet) -> Sums {
    let mut sums = Sums {
        skipped: packet.skipped,
        ..Sums::default()
    };
    for (counters, hook) in packet.hooks.iter().zip(0..raw::FIMK_HOOKS) {
        sums.announcements = sums
            .announcements
            .saturating_add(counters.of[raw::FIMK_COUNT_RING_FULL as usize]);
        let full = counters.of[raw::FIMK_COUNT_DIRTY_FULL as usize];
        let entries = if is_of_attempts(hook) {
            &mut sums.attempts
        } else {
            &mut sums.entries
        };
        *entries = entries.saturating_add(full);
        sums.objects = sums
            .objects
            .saturating_add(counters.of[raw::FIMK_COUNT_WATCH_FULL as usize]);
        sums.actors = sums
            .actors
            .saturating_add(counters.of[raw::FIMK_COUNT_ACTORS_FULL as usize]);
    }
    sums
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;
    use zerocopy::FromZeros;

    fn packet(hook: usize, cause: u32, count: u64) -> raw::fimk_counters_packet {
        let mut packet = raw::fimk_counters_packet::new_zeroed();
        packet.hooks[hook].of[cause as usize] = count;
        packet
    }

    #[test]
    fn a_lost_announcement_is_told_once_and_costs_no_comparison() {
        let mut losses = Losses::default();
        let packet = packet(3, raw::FIMK_COUNT_RING_FULL, 5);
        let grown = losses.update(&packet).expect("it grew");
        assert_eq!(grown.counts, [("announcements_lost".to_owned(), 5)]);
        assert!(!grown.compare);
        assert_eq!(losses.update(&packet), None);
    }

    #[test]
    fn what_an_earlier_process_told_of_these_programs_is_not_told_again() {
        let mut losses = Losses::default();
        losses.recall(b"", "this", 7);
        let lost = packet(3, raw::FIMK_COUNT_DIRTY_FULL, 5);
        assert!(losses.update(&lost).is_some());
        let bytes = losses.to_bytes();
        let mut kept = Losses::default();
        kept.recall(&bytes, "this", 7);
        assert_eq!(kept.update(&lost), None);
        let more = kept.update(&packet(3, raw::FIMK_COUNT_DIRTY_FULL, 7));
        assert_eq!(
            more.expect("it grew").counts,
            [("dirty_map_full".to_owned(), 2)]
        );
        for end in 0..bytes.len() {
            assert!(Sums::kept(&bytes[..end], "this 7").is_none());
        }
    }

    #[test]
    fn equal_sums_of_another_load_or_boot_are_told_again() {
        let mut losses = Losses::default();
        losses.recall(b"", "this", 7);
        let lost = packet(3, raw::FIMK_COUNT_DIRTY_FULL, 5);
        assert!(losses.update(&lost).is_some());
        let bytes = losses.to_bytes();
        for (boot, load) in [("this", 8), ("another", 7)] {
            let mut other = Losses::default();
            other.recall(&bytes, boot, load);
            assert!(other.update(&lost).is_some(), "{boot} {load}");
        }
    }

    #[test]
    fn what_programs_that_were_loaded_since_lost_is_told_wholly() {
        let mut losses = Losses::default();
        losses.update(&packet(3, raw::FIMK_COUNT_DIRTY_FULL, 5));
        let grown = losses.update(&packet(3, raw::FIMK_COUNT_DIRTY_FULL, 2));
        assert_eq!(
            grown.expect("all of it").counts,
            [("dirty_map_full".to_owned(), 2)]
        );
    }

    #[test]
    fn processes_without_room_are_told_and_cost_no_comparison() {
        let grown = Losses::default().update(&packet(19, raw::FIMK_COUNT_ACTORS_FULL, 2));
        let grown = grown.expect("it grew");
        assert_eq!(grown.counts, [("actors_map_full".to_owned(), 2)]);
        assert!(!grown.compare);
    }

    #[test]
    fn losses_in_quick_succession_become_one_event() {
        let mut losses = Losses::default();
        let mut grow = |count| {
            let grown = losses.update(&packet(0, raw::FIMK_COUNT_WATCH_FULL, count));
            losses.untold(grown.expect("it grew"));
            losses.due(false)
        };
        assert!(grow(1).is_some(), "the first is told at once");
        assert_eq!(grow(3), None);
        assert_eq!(grow(9), None);
        let rest = losses.due(true).expect("the rest");
        assert_eq!(rest.counts, [("watch_map_full".to_owned(), 8)]);
        assert!(rest.compare && losses.due(true).is_none() && losses.next_due().is_none());
    }

    #[test]
    fn a_full_map_costs_a_comparison() {
        for cause in [raw::FIMK_COUNT_DIRTY_FULL, raw::FIMK_COUNT_WATCH_FULL] {
            let grown = Losses::default().update(&packet(0, cause, 1));
            assert!(grown.expect("it grew").compare);
        }
    }

    #[test]
    fn lost_attempts_are_told_and_no_comparison_looks_for_them() {
        let hook = raw::FIMK_HOOK_FILE_OPEN as usize;
        let packet = packet(hook, raw::FIMK_COUNT_DIRTY_FULL, 3);
        let grown = Losses::default().update(&packet).expect("it grew");
        assert_eq!(grown.counts, [(ATTEMPTS_LOST.to_owned(), 3)]);
        assert!(!grown.compare);
    }

    #[test]
    fn no_counters_overflow_and_none_run_backwards() {
        let mut losses = Losses::default();
        let mut full = packet(0, raw::FIMK_COUNT_RING_FULL, u64::MAX);
        full.hooks[1] = full.hooks[0];
        assert!(losses.update(&full).is_some());
        assert_eq!(
            losses.update(&raw::fimk_counters_packet::new_zeroed()),
            None
        );
    }
}
