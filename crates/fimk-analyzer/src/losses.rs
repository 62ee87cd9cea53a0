//! What was lost on the way, from the counters of the kernel.
//!
//! They are sums since the programs were loaded, which may be long before this process began: those last told are
//! kept in the store, so that only growth is told.

use std::time::{Duration, Instant};

use fimk_core::event::Gap;
use fimk_wire::{COUNT_NAMES, HOOK_NAMES, plan::ROWS, raw};

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

const ACTORS_FULL: &str = "actors_map_full";

/// Of these only a comparison of everything finds something: of a program that was skipped nobody knows where, and what
/// finds no room to be watched is counted anew by it.
const COMPARED: [&str; 2] = ["program_skipped", "watch_map_full"];

/// The counters of what is lost.
const CAUSES: [u32; 4] = [
    raw::FIMK_COUNT_RING_FULL,
    raw::FIMK_COUNT_DIRTY_FULL,
    raw::FIMK_COUNT_WATCH_FULL,
    raw::FIMK_COUNT_ACTORS_FULL,
];
/// The count of places of which fanotify's events do not agree who was there.
pub const DIRECTORIES_UNCLEAR: &str = "directories_unclear";

/// The count of times that the queue of fanotify was full.
const QUEUE_FULL: &str = "fanotify_queue_full";

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
    /// The same by hook and cause, where an earlier process has not told a part of it.
    pub lost: Vec<(String, Vec<(String, u64)>)>,
    /// Whether only a comparison of everything can find what was lost. Where the rule is known the packet has it, and of
    /// announcements the loader's sweep finds it.
    pub compare: bool,
    /// When, where that is known.
    pub window: Option<Gap>,
}

impl Grown {
    /// Whether it is about changes, and so will be repaired.
    pub fn is_of_changes(&self) -> bool {
        let unrepaired = [ATTEMPTS_LOST, ACTORS_FULL];
        let mut names = self.counts.iter().map(|(name, _)| name.as_str());
        names.any(|name| !unrepaired.contains(&name))
    }
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
        let both = untold.window.zip(grown.window);
        untold.window = both.map_or(untold.window.or(grown.window), |(one, other)| {
            Some(Gap {
                from: one.from.min(other.from),
                to: one.to.max(other.to),
            })
        });
        add(&mut untold.counts, grown.counts);
        for (hook, causes) in grown.lost {
            match untold.lost.iter_mut().find(|(known, _)| *known == hook) {
                Some((_, known)) => add(known, causes),
                None => untold.lost.push((hook, causes)),
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
        let earlier = self.last.replace(Box::new(*packet));
        let sums = sum(packet);
        let mut before = std::mem::replace(&mut self.seen, sums);
        let anew = sums
            .all()
            .iter()
            .zip(before.all())
            .any(|(now, then)| *now < then);
        if anew {
            before = Sums::default();
        }
        let lost = if before == Sums::default() {
            by_hook(packet, None)
        } else {
            earlier.map_or_else(Vec::new, |earlier| by_hook(packet, Some(&earlier)))
        };
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
            grown(sums.actors, before.actors, ACTORS_FULL),
            grown(sums.attempts, before.attempts, ATTEMPTS_LOST),
        ]
        .into_iter()
        .flatten()
        .collect();
        let compare = counts
            .iter()
            .any(|(name, _)| COMPARED.contains(&name.as_str()));
        (!counts.is_empty()).then_some(Grown {
            counts,
            lost,
            compare,
            window: None,
        })
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
        self.repairs.lost();
        self.losses.untold(Grown {
            counts: vec![(QUEUE_FULL.to_owned(), 1)],
            lost: Vec::new(),
            compare: true,
            window: None,
        });
        self.scan_wanted = Some("the queue of fanotify was full".to_owned());
    }

    /// These sums were told.
    pub(crate) fn keep_losses(&mut self) -> Result<(), Trouble> {
        let bytes = self.losses.to_bytes();
        Ok(self.store.set_meta(TOLD, &bytes).map_err(Failure::from)?)
    }
}

/// Adds named numbers to others.
fn add(to: &mut Vec<(String, u64)>, counts: Vec<(String, u64)>) {
    for (name, count) in counts {
        match to.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => to.push((name, count)),
        }
    }
}

/// What was lost since the last packet, by hook and cause; without one, all of it.
fn by_hook(
    packet: &raw::fimk_counters_packet,
    earlier: Option<&raw::fimk_counters_packet>,
) -> Vec<(String, Vec<(String, u64)>)> {
    let mut lost = Vec::new();
    for (at, (hook, counters)) in HOOK_NAMES.iter().zip(&packet.hooks).enumerate() {
        let grown = |&cause: &u32| {
            let cause = cause as usize;
            let then = earlier.map_or(0, |earlier| earlier.hooks[at].of[cause]);
            let grown = counters.of[cause].saturating_sub(then);
            (grown > 0).then(|| (COUNT_NAMES[cause].to_owned(), grown))
        };
        let causes: Vec<_> = CAUSES.iter().filter_map(grown).collect();
        if !causes.is_empty() {
            lost.push(((*hook).to_owned(), causes));
        }
    }
    lost
}

/// The rules of which something was lost: their numbers from 1; 0: it is not known of which.
pub fn lost_rules(packet: &raw::fimk_counters_packet) -> impl Iterator<Item = u32> {
    let is_set = |rule: &u32| packet.rules[(rule / 8) as usize] >> (rule % 8) & 1 == 1;
    (0..raw::FIMK_RULES_MAX).filter(is_set)
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
    fn a_full_map_costs_a_comparison_of_everything_only_where_no_rule_is_told() {
        for (cause, everything) in [
            (raw::FIMK_COUNT_DIRTY_FULL, false),
            (raw::FIMK_COUNT_WATCH_FULL, true),
        ] {
            let grown = Losses::default().update(&packet(0, cause, 1));
            assert_eq!(grown.expect("it grew").compare, everything);
        }
        let mut packet = packet(0, raw::FIMK_COUNT_DIRTY_FULL, 1);
        packet.rules[0] = 0b1000_0001;
        packet.rules[127] = 0b1000_0000;
        assert_eq!(lost_rules(&packet).collect::<Vec<_>>(), [0, 7, 1_023]);
    }

    #[test]
    fn what_was_lost_is_told_by_hook_and_cause_and_only_what_is_new() {
        let mut losses = Losses::default();
        let first = losses.update(&packet(0, raw::FIMK_COUNT_RING_FULL, 5));
        let of =
            |hook: &str, cause: &str, count| (hook.to_owned(), vec![(cause.to_owned(), count)]);
        assert_eq!(
            first.expect("it grew").lost,
            [of("vfs_write", "ring_full", 5)]
        );
        let mut more = packet(0, raw::FIMK_COUNT_RING_FULL, 7);
        more.hooks[13].of[raw::FIMK_COUNT_DIRTY_FULL as usize] = 2;
        let more = losses.update(&more).expect("it grew");
        let expected = [
            of("vfs_write", "ring_full", 2),
            of("d_delete", "dirty_full", 2),
        ];
        assert_eq!(more.lost, expected);
        losses.untold(more);
        losses
            .update(&packet(0, raw::FIMK_COUNT_RING_FULL, 9))
            .into_iter()
            .for_each(|it| losses.untold(it));
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
