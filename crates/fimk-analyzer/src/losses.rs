//! What was lost on the way, from the counters of the kernel.

use fimk_wire::{HOOK_NAMES, raw};

/// The last sums seen.
#[derive(Default)]
pub struct Losses {
    seen: Sums,
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
    /// Takes note of new sums; gives what grew.
    pub fn update(&mut self, packet: &raw::fimk_counters_packet) -> Option<Grown> {
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
        sums.announcements += counters.of[raw::FIMK_COUNT_RING_FULL as usize];
        sums.entries += counters.of[raw::FIMK_COUNT_DIRTY_FULL as usize];
        sums.objects += counters.of[raw::FIMK_COUNT_WATCH_FULL as usize];
    }
    sums
}
