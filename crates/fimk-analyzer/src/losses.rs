//! What was lost on the way, from the counters of the kernel.
//!
//! They are sums since the programs were loaded, which may be long before this process began: those last told are
//! kept in the store, so that only growth is told.

use fimk_wire::{HOOK_NAMES, raw};

use crate::{
    engine::{Engine, Trouble},
    exit::Failure,
};

/// The meta key under which the sums last told are kept: four numbers of 8 bytes, then the boot they belong to.
const TOLD: &str = "losses";

/// The cause that a skipped program is told by.
pub const SKIPPED: &str = "program_skipped";

/// The last sums seen.
#[derive(Default)]
pub struct Losses {
    seen: Sums,
    last: Option<Box<raw::fimk_counters_packet>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Sums {
    announcements: u64,
    entries: u64,
    objects: u64,
    skipped: u64,
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

    /// Takes over what an earlier process told, if that was during this boot.
    fn recall(&mut self, bytes: &[u8], boot: &str) {
        self.seen = Sums::kept(bytes, boot).unwrap_or_default();
    }

    /// To be kept.
    fn to_bytes(&self, boot: &str) -> Vec<u8> {
        let numbers = self.seen.all().map(u64::to_be_bytes);
        [numbers.as_flattened(), boot.as_bytes()].concat()
    }

    /// Takes note of new sums.
    pub fn hear(&mut self, packet: &raw::fimk_counters_packet) {
        self.last = Some(Box::new(*packet));
    }

    /// Whether nothing grew but what programs were skipped for.
    pub fn only_skipped(&self) -> bool {
        let Some(sums) = self.last.as_deref().map(sum) else {
            return false;
        };
        let but_skipped = Sums {
            skipped: sums.skipped,
            ..self.seen
        };
        sums.skipped > self.seen.skipped && sums == but_skipped
    }

    /// What grew since it was last told. Sums that went down are those of programs loaded since.
    pub fn tell(&mut self) -> Option<Grown> {
        let sums = sum(self.last.as_deref()?);
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
            grown(sums.skipped, before.skipped, SKIPPED),
        ]
        .into_iter()
        .flatten()
        .collect();
        let compare = counts.iter().any(|(name, _)| name != "announcements_lost");
        (!counts.is_empty()).then_some(Grown { counts, compare })
    }
}

impl Sums {
    fn kept(bytes: &[u8], boot: &str) -> Option<Self> {
        let (numbers, of) = bytes.split_at_checked(4 * 8)?;
        let mut numbers = numbers.as_chunks::<8>().0.iter();
        let mut next = || numbers.next().map(|bytes| u64::from_be_bytes(*bytes));
        let seen = Self {
            announcements: next()?,
            entries: next()?,
            objects: next()?,
            skipped: next()?,
        };
        (of == boot.as_bytes()).then_some(seen)
    }

    fn all(self) -> [u64; 4] {
        [self.announcements, self.entries, self.objects, self.skipped]
    }
}

impl Engine {
    /// What an earlier process told of these programs is not told again.
    pub(crate) fn recall_losses(&mut self) -> Result<(), Trouble> {
        let kept = self.store.meta(TOLD).map_err(Failure::from)?;
        self.losses.recall(&kept.unwrap_or_default(), &self.boot);
        Ok(())
    }

    /// These sums were told.
    pub(crate) fn keep_losses(&mut self) -> Result<(), Trouble> {
        let bytes = self.losses.to_bytes(&self.boot);
        Ok(self.store.set_meta(TOLD, &bytes).map_err(Failure::from)?)
    }
}

fn sum(packet: &raw::fimk_counters_packet) -> Sums {
    let mut sums = Sums {
        skipped: packet.skipped,
        ..Sums::default()
    };
    for counters in packet.hooks.iter().take(HOOK_NAMES.len()) {
        sums.announcements = sums
            .announcements
            .saturating_add(counters.of[raw::FIMK_COUNT_RING_FULL as usize]);
        sums.entries = sums
            .entries
            .saturating_add(counters.of[raw::FIMK_COUNT_DIRTY_FULL as usize]);
        sums.objects = sums
            .objects
            .saturating_add(counters.of[raw::FIMK_COUNT_WATCH_FULL as usize]);
    }
    sums
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;
    use zerocopy::FromZeros;

    impl Losses {
        fn update(&mut self, packet: &raw::fimk_counters_packet) -> Option<Grown> {
            self.hear(packet);
            self.tell()
        }
    }

    #[test]
    fn skipped_programs_alone_can_wait_and_are_told_in_one_sum() {
        let mut losses = Losses::default();
        let mut heard = packet(3, raw::FIMK_COUNT_RING_FULL, 5);
        losses.update(&heard);
        for skipped in [2, 7] {
            heard.skipped = skipped;
            losses.hear(&heard);
            assert!(losses.only_skipped());
        }
        let grown = losses.tell().expect("it grew");
        assert_eq!(grown.counts, [(SKIPPED.to_owned(), 7)]);
        assert!(grown.compare && !losses.only_skipped());
        heard.skipped = 9;
        heard.hooks[3].of[raw::FIMK_COUNT_DIRTY_FULL as usize] = 1;
        losses.hear(&heard);
        assert!(!losses.only_skipped(), "a full map is told at once");
    }

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
    fn what_an_earlier_process_told_is_not_told_again_during_the_same_boot() {
        let mut losses = Losses::default();
        let lost = packet(3, raw::FIMK_COUNT_DIRTY_FULL, 5);
        assert!(losses.update(&lost).is_some());
        let bytes = losses.to_bytes("this");
        let mut kept = Losses::default();
        kept.recall(&bytes, "this");
        assert_eq!(kept.update(&lost), None);
        let more = kept.update(&packet(3, raw::FIMK_COUNT_DIRTY_FULL, 7));
        assert_eq!(
            more.expect("it grew").counts,
            [("dirty_map_full".to_owned(), 2)]
        );
        assert!(Sums::kept(&bytes, "another").is_none());
        for end in 0..bytes.len() {
            assert!(Sums::kept(&bytes[..end], "this").is_none());
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
    fn a_full_map_costs_a_comparison() {
        for cause in [raw::FIMK_COUNT_DIRTY_FULL, raw::FIMK_COUNT_WATCH_FULL] {
            let grown = Losses::default().update(&packet(0, cause, 1));
            assert!(grown.expect("it grew").compare);
        }
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
