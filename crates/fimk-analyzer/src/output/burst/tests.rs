#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use fimk_core::event::{DetectedBy, File, Further};

use super::*;

const WITHIN: Duration = Duration::from_millis(100);

fn process(pid: u32) -> Process {
    Process {
        pid,
        start: Some(Timestamp(i64::from(pid) * 1_000_000_000_000)),
        ..Process::default()
    }
}

/// A change of this path by the first of these, the others above it.
fn change(sequence: u64, path: &str, chain: &[u32]) -> Event {
    let actor = chain.first().map(|&pid| Actor {
        process: process(pid),
        ancestors: chain[1..].iter().map(|&pid| process(pid)).collect(),
        uid: Some(7),
        ..Actor::default()
    });
    let at = Timestamp(i64::try_from(sequence).expect("small"));
    Event {
        sequence,
        created: at,
        boot: "boot".to_owned(),
        source: Some(Source::Bpf),
        action: if sequence.is_multiple_of(2) {
            Action::Created
        } else {
            Action::Modified
        },
        severity: 21,
        body: Body::Change(Box::new(Change {
            file: File {
                path: BytePath::new(path.as_bytes()),
                attributes: None,
                before: None,
                digest: None,
                owner: None,
                group: None,
                target: None,
                further: Further::default(),
            },
            actor,
            actors: Vec::new(),
            operations: Vec::new(),
            start: at,
            end: at,
            count: 2,
            bytes: Some(10),
            rule: "r".to_owned(),
            rules: vec!["r".to_owned()],
            tags: Vec::new(),
            detected_by: DetectedBy::Event,
            gap: None,
            changes: Vec::new(),
            findings: Vec::new(),
            diff: None,
            truncated: Vec::new(),
            observed: true,
            content: None,
            unread: None,
            previous_path: None,
            new_path: None,
            accessed_path: None,
            replaced: false,
        })),
    }
}

fn bursts(events: usize) -> Bursts {
    Bursts::new(config::Burst {
        events,
        within_ms: 100,
    })
}

/// What becomes due, in short: a number, or the events of a summary.
fn summary(due: &[Due]) -> Option<(&Event, &Burst)> {
    due.iter().find_map(|due| match due {
        Due::Summary(event) => match &event.body {
            Body::Burst(burst) => Some((&**event, &**burst)),
            _ => None,
        },
        Due::Stored(_) => None,
    })
}

#[test]
fn a_hundred_changes_of_one_process_become_one_line() {
    let (mut bursts, now) = (bursts(10), Instant::now());
    for sequence in 5..105 {
        let path = format!("/usr/lib/d{}/f", sequence % 3);
        assert!(bursts.keeps(&change(sequence, &path, &[40, 30, 1]), now));
    }
    assert_eq!(bursts.oldest(), Some(5));
    assert!(bursts.due(now, false).is_empty());
    let due = bursts.due(now + WITHIN, false);
    let (event, burst) = summary(&due).expect("a summary");
    assert_eq!(due.len(), 1);
    assert_eq!((event.sequence, event.severity), (104, 21));
    assert_eq!((burst.first, burst.last, burst.events), (5, 104, 100));
    assert_eq!((burst.count, burst.bytes), (200, 1_000));
    assert_eq!(burst.directory, BytePath::new(b"/usr/lib"));
    assert_eq!((burst.start, burst.end), (Timestamp(5), Timestamp(104)));
    let actions = [("created".to_owned(), 50), ("modified".to_owned(), 50)];
    assert_eq!(burst.actions, actions);
    assert_eq!((burst.root.process.pid, burst.root.uid), (40, Some(7)));
    assert_eq!((bursts.oldest(), bursts.next_due()), (None, None));
}

#[test]
fn many_processes_with_a_change_each_are_told_under_the_nearest_that_started_them() {
    let (mut bursts, now) = (bursts(10), Instant::now());
    for sequence in 1..=30 {
        let pid = 100 + u32::try_from(sequence).expect("small");
        assert!(bursts.keeps(&change(sequence, "/a/f", &[pid, 40, 30, 20, 1]), now));
    }
    let due = bursts.due(now + WITHIN, false);
    let (_, burst) = summary(&due).expect("a summary");
    assert_eq!((due.len(), burst.events), (1, 30));
    let pids: Vec<u32> = burst.root.ancestors.iter().map(|it| it.pid).collect();
    assert_eq!((burst.root.process.pid, pids), (40, vec![30, 20, 1]));
    assert_eq!(burst.root.uid, None, "of it nobody has said so");
}

#[test]
fn few_changes_are_written_as_they_are_when_their_time_is_over() {
    let (mut bursts, now) = (bursts(10), Instant::now());
    for sequence in 1..10 {
        assert!(bursts.keeps(&change(sequence, "/a/f", &[40, 1]), now));
    }
    assert_eq!(bursts.next_due(), Some(now + WITHIN));
    let due = bursts.due(now + WITHIN, false);
    assert_eq!(due, (1..10).map(Due::Stored).collect::<Vec<_>>());
    assert!(bursts.under.is_empty(), "nothing is left");
}

#[test]
fn what_comes_slowly_or_from_different_services_is_no_burst() {
    let (mut bursts, start) = (bursts(10), Instant::now());
    let mut written = 0;
    for sequence in 1..=100 {
        let now = start + WITHIN / 8 * u32::try_from(sequence).expect("small");
        written += bursts.due(now, false).len();
        assert!(bursts.keeps(&change(sequence, "/a/f", &[40, 1]), now));
    }
    assert_eq!(written + bursts.due(start, true).len(), 100);
    for sequence in 1..=100 {
        let pid = 100 + u32::try_from(sequence).expect("small");
        assert!(bursts.keeps(&change(sequence, "/a/f", &[pid, 1]), start));
    }
    assert_eq!(bursts.due(start, true).len(), 100);
}

#[test]
fn what_is_severe_nobodys_or_no_change_is_never_kept() {
    let (mut bursts, now) = (bursts(2), Instant::now());
    let mut severe = change(1, "/a/f", &[40]);
    severe.severity = UNFOLDED;
    let nobodys = change(2, "/a/f", &[]);
    let mut notice = change(3, "/a/f", &[40]);
    notice.body = Body::Notice(fimk_core::event::Notice::default());
    for _ in 0..10 {
        for event in [&severe, &nobodys, &notice] {
            assert!(!bursts.keeps(event, now));
        }
    }
}

#[test]
fn a_burst_that_goes_on_is_told_of_from_time_to_time_and_its_rest_after() {
    let (mut bursts, start) = (bursts(2), Instant::now());
    let (mut now, mut events, mut lines) = (start, 0, 0);
    for sequence in 1..=2_000 {
        now += WITHIN / 2;
        let due = bursts.due(now, false);
        lines += due.len();
        events += summary(&due).map_or(0, |(_, burst)| burst.events);
        assert!(bursts.keeps(&change(sequence, "/a/f", &[40]), now));
    }
    let due = bursts.due(now, true);
    assert_eq!(
        summary(&due).map(|(_, burst)| burst.events + events),
        Some(2_000)
    );
    assert_eq!(lines, 1, "100 seconds, one minute of them told");
}

#[test]
fn what_is_held_is_bounded_and_more_is_written_at_once() {
    let (mut bursts, now) = (bursts(1_000), Instant::now());
    let kept = (1..=5_000)
        .filter(|&sequence| {
            let pid = 2 + u32::try_from(sequence).expect("small");
            bursts.keeps(&change(sequence, "/a/f", &[pid]), now)
        })
        .count();
    assert_eq!((kept, bursts.under.len()), (HELD_MAX, HELD_MAX));
}

#[test]
fn another_process_under_the_number_of_one_that_ended_does_not_join_its_burst() {
    let (mut bursts, now) = (bursts(2), Instant::now());
    for sequence in 1..=3 {
        assert!(bursts.keeps(&change(sequence, "/a/f", &[40]), now));
    }
    let mut later = change(4, "/a/f", &[40]);
    if let Body::Change(change) = &mut later.body
        && let Some(actor) = &mut change.actor
    {
        actor.process.start = Some(Timestamp(0));
    }
    assert!(bursts.keeps(&later, now));
    let due = bursts.due(now, true);
    assert_eq!(due[0], Due::Stored(4));
    assert_eq!(summary(&due).map(|(_, burst)| burst.events), Some(3));
}
