//! What a start tells: what serves, what was recorded, and in which time nobody watched.

use std::ops::RangeInclusive;

use fimk_core::event::{Gap, Notice};
use fimk_wire::raw;

use crate::{repairs::Done, scan::Tally};

/// How each operation is served, in words.
pub(crate) fn plan(ready: &raw::fimk_ready) -> Vec<(String, String)> {
    fimk_wire::plan::in_words(&ready.plan)
        .into_iter()
        .map(|(operation, words)| (operation.to_owned(), words))
        .collect()
}

pub(super) fn started_notice(ready: &raw::fimk_ready, tally: &Tally) -> Notice {
    let coverage = crate::coverage_words(ready);
    let coverage = coverage.map_or_else(String::new, |words| format!("; coverage {words}"));
    Notice {
        message: crate::source_sentence(ready) + &coverage,
        plan: plan(ready),
        counts: watched_counts(ready, tally),
        ..Notice::default()
    }
}

/// What is watched, how much may be, and what that costs the kernel; what is not limited or not used is left out.
fn watched_counts(ready: &raw::fimk_ready, tally: &Tally) -> Vec<(String, u64)> {
    let room = [
        ("objects_max", u64::from(ready.watch_max)),
        ("kernel_map_bytes", ready.map_bytes),
    ];
    let room = room.into_iter().filter(|&(_, count)| count > 0);
    let counts = [("objects_watched", tally.compared)]
        .into_iter()
        .chain(room);
    counts
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

pub(super) fn baseline_notice(tally: &Tally) -> Notice {
    let objects = tally.baseline + tally.resumed;
    let resumed = tally.resumed;
    let by_whom = if resumed > 0 {
        format!(", {resumed} of them by an earlier start that was cut short")
    } else {
        String::new()
    };
    let mut counts = vec![("objects".to_owned(), objects)];
    if resumed > 0 {
        counts.push(("resumed".to_owned(), resumed));
    }
    Notice {
        message: format!("{objects} objects were recorded for the first time{by_whom}"),
        counts,
        ..Notice::default()
    }
}

pub(super) fn gap_notice(gap: Gap, rebooted: bool, done: Done) -> Notice {
    let why = if rebooted {
        ", and the machine was started meanwhile"
    } else {
        ""
    };
    let mut counts = done.of_gap();
    if rebooted {
        counts.push(("reboots".to_owned(), 1));
    }
    Notice {
        message: format!(
            "nobody watched from {} to {}{why}",
            gap.from.rfc3339(),
            gap.to.rfc3339()
        ),
        gap: Some(gap),
        counts,
        ..Notice::default()
    }
}

pub(super) fn unstored_notice(numbers: &RangeInclusive<u64>, gap: Option<Gap>) -> Notice {
    Notice {
        message: format!(
            "the last fimk was killed while nothing could be stored: outputs may have events from {} to {} that are not in the \
             database; what changed is told again, under other numbers",
            numbers.start(),
            numbers.end()
        ),
        gap,
        ..Notice::default()
    }
}
