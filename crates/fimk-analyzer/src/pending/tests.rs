#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use super::*;
use crate::samples::touch;
use fimk_core::time::Timestamp;
use fimk_wire::raw;

fn path(text: &str) -> BytePath {
    BytePath::new(text.as_bytes())
}

fn due(settle: &mut Settle) -> Vec<BytePath> {
    let now = Instant::now();
    std::iter::from_fn(|| settle.pop_due(now).map(|(path, _)| path)).collect()
}

fn settle(window_ms: u64) -> Settle {
    Settle::new(Times {
        window: Duration::from_millis(window_ms),
        longest: Duration::from_millis(4 * window_ms),
        newborn: Duration::ZERO,
    })
}

#[test]
fn what_was_done_to_a_former_object_stays_with_the_name_when_what_stands_there_moves() {
    let former = touch(1, raw::FIMK_OP_WRITE, Some(Fact::Former(7)));
    let mut pending = crate::samples::pending(vec![former]);
    pending.id = 3;
    let stays = pending.split_former().expect("there is such a thing");
    assert_eq!(
        (stays.id, stays.touches.len(), stays.present),
        (3, 1, Some(false))
    );
    assert!(pending.is_nothing());
    pending.add(touch(2, raw::FIMK_OP_WRITE, None));
    assert!(pending.split_former().is_none() && !pending.is_nothing());
}

#[test]
fn of_what_came_and_went_by_one_event_it_is_not_known_when_it_went() {
    let at = |moment: i64, fact| Touch {
        first: Timestamp(moment),
        last: Timestamp(moment),
        ..touch(1, raw::FIMK_OP_UNLINK, Some(fact))
    };
    let (one, two) = (path("/one"), path("/two"));
    let mut settle = settle(0);
    for (path, went) in [(&one, 5), (&two, 6)] {
        let pending = settle.entry(path, false);
        pending.add(at(5, Fact::Created));
        pending.add(at(went, Fact::Deleted));
    }
    assert!(settle.is_gone(&one) && !settle.is_long_gone(&one));
    assert!(settle.is_gone(&two) && settle.is_long_gone(&two));
}

#[test]
fn what_was_done_to_an_object_goes_along_with_it_and_what_tells_of_its_name_or_of_another_does_not()
{
    let created = touch(1, raw::FIMK_OP_CREATE, Some(Fact::Created));
    let former = touch(2, raw::FIMK_OP_CHMOD, Some(Fact::Former(7)));
    let pending = crate::samples::pending(vec![created.clone(), former]);
    assert_eq!(pending.of_object().count(), 0);
    assert!(pending.tells_of_name());
    let written = Touch {
        operations: created.operations.with(Operations::WRITES),
        ..created
    };
    let pending = crate::samples::pending(vec![written]);
    let along: Vec<Touch> = pending.of_object().collect();
    assert_eq!(
        (along[0].operations, &along[0].fact),
        (Operations::WRITES, &None)
    );
    let pending = crate::samples::pending(along);
    assert!(!pending.tells_of_name());
}

#[test]
fn touches_of_one_process_are_one_and_those_of_two_are_two() {
    let mut pending = Pending::default();
    for pid in [1, 2, 1] {
        pending.add(touch(pid, raw::FIMK_OP_WRITE, None));
    }
    let counts: Vec<u64> = pending.touches.iter().map(|it| it.count).collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn a_guess_is_let_go_and_what_is_known_stays_once_somebody_is_known_to_have_done_it() {
    let mut pending = Pending {
        found: Some(Found::Scan),
        sighted: true,
        guesses: vec![touch(1, raw::FIMK_OP_RENAME, None)],
        ..Pending::default()
    };
    pending.add(touch(2, raw::FIMK_OP_WRITE, None));
    let seen = pending.with_guesses().expect("somebody was near");
    assert_eq!((seen.touches.len(), seen.found), (2, Some(Found::Scan)));
    pending.explain();
    assert!(pending.with_guesses().is_none());
    assert_eq!((pending.touches.len(), pending.found), (1, None));
}

#[test]
fn what_is_seen_to_stand_is_not_taken_for_gone() {
    let mut settle = settle(10);
    let pending = settle.entry(&path("/a"), false);
    pending.add(touch(1, raw::FIMK_OP_UNLINK, Some(Fact::Deleted)));
    assert_eq!(pending.present, Some(false));
    settle.seen(&path("/a"));
    let pending = settle.take(&path("/a")).expect("it waits");
    assert_eq!((pending.present, pending.touches.len()), (None, 1));
}

#[test]
fn of_a_crowd_of_processes_sixteen_are_told_and_the_rest_is_counted_without_one() {
    let mut pending = Pending::default();
    for pid in 0..5_000 {
        pending.add(touch(pid, raw::FIMK_OP_WRITE, None));
    }
    let known = pending.touches.iter().filter(|it| it.actor.is_some());
    assert_eq!((known.count(), pending.touches.len()), (16, 17));
    let others = pending.touches.iter().find(|it| it.actor.is_none());
    assert_eq!(others.map(|it| it.count), Some(4_984));
    assert_eq!(pending.count(), 5_000);
}

#[test]
fn who_made_or_removed_the_name_is_told_beside_a_crowd() {
    let mut pending = Pending::default();
    for pid in 0..5_000 {
        pending.add(touch(pid, raw::FIMK_OP_WRITE, None));
    }
    for pid in 5_000..10_000 {
        pending.add(touch(pid, raw::FIMK_OP_UNLINK, Some(Fact::Deleted)));
    }
    assert!(pending.touches.len() <= PATH_TOUCHES_MAX + 2);
    assert_eq!((pending.count(), pending.present), (10_000, Some(false)));
    let unlinked = pending.touches.iter().filter(|it| it.fact.is_some());
    assert!(unlinked.filter(|it| it.actor.is_some()).count() > 400);
}

#[test]
fn what_waits_comes_by_number_and_the_oldest_number_is_known() {
    let mut settle = settle(0);
    for name in ["/b", "/a", "/c"] {
        settle.entry(&path(name), false);
    }
    let first = settle.take(&path("/b")).expect("it waits");
    assert_eq!(settle.oldest_id(), Some(2));
    settle.defer(path("/b"), first, Duration::from_secs(60));
    assert_eq!(settle.oldest_id(), Some(1));
    assert_eq!(due(&mut settle), [path("/a"), path("/c")]);
    settle.hasten(&path("/b"));
    assert_eq!(due(&mut settle).len(), 1);
    assert_eq!((settle.len(), settle.oldest_id()), (0, None));
    assert_eq!(settle.next_due(), None);
}

#[test]
fn what_waits_below_a_directory_is_found_without_its_namesakes() {
    let mut settle = settle(0);
    for name in ["/a", "/a/f", "/a-b/f", "/a/d/f", "/ab"] {
        settle.entry(&path(name), false);
    }
    assert_eq!(settle.below(&path("/a")), [path("/a/d/f"), path("/a/f")]);
    assert_eq!(settle.below(&path("/")).len(), 5);
}

#[test]
fn what_left_a_directory_before_that_moved_is_known() {
    let mut settle = settle(0);
    let moved = Pending {
        former: vec![path("/a/f"), path("/b/f")],
        ..Pending::default()
    };
    settle.put(path("/a/moved"), moved);
    let delete = touch(1, raw::FIMK_OP_UNLINK, Some(Fact::Deleted));
    settle.entry(&path("/a/gone"), false).add(delete);
    assert_eq!(
        settle.left_below(&path("/a")),
        HashSet::from([path("/a/f")])
    );
    assert!(settle.is_gone(&path("/a/gone")));
    assert!(!settle.is_gone(&path("/a/moved")) && !settle.is_gone(&path("/a/f")));
    let left = |settle: &Settle, name| settle.all_that_left(&path(name)).count();
    assert_eq!((left(&settle, "/b/f"), left(&settle, "/a/moved")), (1, 0));
    settle.take(&path("/a/moved"));
    assert_eq!(left(&settle, "/b/f"), 0);
}

#[test]
fn a_path_read_a_moment_ago_waits_for_the_end_of_the_window() {
    let mut settle = settle(60_000);
    settle.mark_read(&path("/a"), 1);
    settle.entry(&path("/a"), false);
    settle.entry(&path("/b"), false);
    assert_eq!(due(&mut settle).len(), 1);
    assert!(settle.waits(&path("/a")));
}

#[test]
fn what_came_while_a_path_was_looked_at_is_kept_when_it_is_put_back() {
    let mut settle = settle(0);
    let write = touch(1, raw::FIMK_OP_WRITE, None);
    settle.entry(&path("/a"), false).add(write);
    let (_, looked_at) = settle.pop().expect("it waits");
    let delete = touch(2, raw::FIMK_OP_UNLINK, Some(Fact::Deleted));
    settle.entry(&path("/a"), false).add(delete);
    settle.defer(path("/a"), looked_at, Duration::ZERO);
    let (_, pending) = settle.pop().expect("it waits again");
    assert_eq!((pending.id, pending.present), (1, Some(false)));
    assert_eq!(pending.touches.len(), 2);
}
