//! What was lost on the way, from the counters of the kernel.

use fimk_wire::{HOOK_NAMES, raw};

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

    /// Takes note of new sums; gives what grew.
    pub fn update(&mut self, packet: &raw::fimk_counters_packet) -> Option<Grown> {
        self.last = Some(Box::new(*packet));
        let sums = sum(packet);
        let before = std::mem::replace(&mut self.seen, sums);
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
        ]
        .into_iter()
        .flatten()
        .collect();
        let compare = counts.iter().any(|(name, _)| name != "announcements_lost");
        (!counts.is_empty()).then_some(Grown { counts, compare })
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
