//! Old events go, and noise takes nothing with it.

use std::collections::{BTreeSet, HashMap};

use tempfile::tempdir;

use super::*;
use crate::{CLASSES, Class, Removed, Retention};

fn of(rule: &str, severity: u8, uid: Option<u32>) -> Event {
    let mut event = change();
    event.severity = severity;
    if let Body::Change(change) = &mut event.body {
        change.rule = rule.into();
        change.actors.clear();
        match (&mut change.actor, uid) {
            (Some(actor), Some(uid)) => actor.uid = Some(uid),
            (actor, _) => *actor = None,
        }
    }
    event
}

fn commit(store: &mut Store, events: Vec<Event>) {
    let commit = Commit {
        events,
        ..Commit::default()
    };
    store.commit(commit).unwrap();
}

fn room_for(bytes: u64) -> Retention {
    Retention {
        bytes,
        ..Retention::default()
    }
}

fn retain_all(store: &mut Store, keep: &Retention) -> usize {
    let mut removed = 0;
    loop {
        match store.retain(keep).unwrap() {
            0 => return removed,
            count => removed += count,
        }
    }
}

/// Bytes of ten notices, as stored.
fn ten() -> u64 {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    add_events(&mut store, 10);
    store.stored_events().1
}

#[test]
fn old_events_go_but_never_before_they_were_delivered() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    add_events(&mut store, 10);
    store.set_cursor("slow", 4).unwrap();
    store.set_cursor("fast", 10).unwrap();
    // The last of the ten is a little larger.
    let keep = room_for(ten() * 3 / 10 + 3);
    assert_eq!(store.retain(&keep).unwrap(), 4);
    assert_eq!(sequences(&store, 0), [5, 6, 7, 8, 9, 10]);
    store.remove_cursor("slow").unwrap();
    assert_eq!(store.retain(&keep).unwrap(), 3);
    assert_eq!(store.retain(&keep).unwrap(), 0);
    assert_eq!(store.event_range().unwrap(), Some((8, 10)));
    let chain = store.verify_chain(0);
    chain.expect("the chain begins where events were removed");
    assert_eq!(store.retain(&room_for(0)).unwrap(), 2);
    assert_eq!(sequences(&store, 0), [10], "the newest stays");
    drop(store);
    let mut store = open(dir.path());
    assert_eq!(store.removed().by_size, [9, 0, 0, 0]);
    add_events(&mut store, 1);
    store.verify_chain(0).unwrap();
    assert_eq!(store.event_range().unwrap(), Some((10, 11)));
}

#[test]
fn what_is_beyond_the_limit_goes_though_somebody_has_still_to_get_it_and_is_told_but_not_what_is_on_its_way()
 {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    add_events(&mut store, 10);
    store.set_cursor("slow", 2).unwrap();
    store.set_cursor("fast", 9).unwrap();
    let mut lost = Vec::new();
    let mut tell = |event: &Event| lost.push(event.sequence);
    let one = room_for(1);
    assert_eq!(
        store
            .retain_beyond(&one, &[(2, 4), (6, 7)], &mut tell)
            .unwrap(),
        6
    );
    assert_eq!(sequences(&store, 0), [3, 4, 7, 10]);
    assert_eq!(
        store
            .retain_beyond(&one, &[(2, 4), (6, 7)], &mut tell)
            .unwrap(),
        0
    );
    assert_eq!(store.retain_beyond(&one, &[], &mut tell).unwrap(), 3);
    assert_eq!(lost, [5, 6, 8, 9, 3, 4, 7]);
    assert_eq!(sequences(&store, 0), [10], "the newest stays");
    store.verify_chain(0).unwrap();
}

#[test]
fn a_flood_of_old_events_goes_in_steps() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    commit(&mut store, vec![notice(""); 2500]);
    let none = room_for(0);
    let steps: Vec<_> = (0..4).map(|_| store.retain(&none).unwrap()).collect();
    assert_eq!(steps, [1000, 1000, 499, 0]);
    store.verify_chain(0).unwrap();
    assert_eq!(store.stored_events().0, 1);
}

#[test]
fn a_flood_of_noise_pushes_out_itself_and_no_evidence() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    let evidence = [
        of("accounts", 99, Some(0)),
        of("accounts", 99, Some(1000)),
        of("web", 21, Some(0)),
        of("web", 21, None),
        notice("fimk's own"),
    ];
    commit(&mut store, evidence.to_vec());
    let (_, bytes) = store.stored_events();
    for noise in [("web", 21, 1000), ("keys", 99, 1001), ("web", 47, 0)] {
        let (rule, severity, uid) = noise;
        for _ in 0..10 {
            commit(&mut store, vec![of(rule, severity, Some(uid)); 100]);
            // Evidence stays among the noise, not only before it.
            commit(&mut store, vec![of("later", 47, Some(0))]);
        }
        retain_all(&mut store, &room_for(bytes * 40));
        assert!(store.stored_events().1 <= bytes * 40);
        store.verify_chain(0).unwrap();
    }
    let left = store.events_after(0, usize::MAX).unwrap();
    for (expected, sequence) in evidence.into_iter().zip(1..) {
        assert!(
            left.contains(&Event {
                sequence,
                ..expected
            }),
            "{sequence}"
        );
    }
    let rule = |event: &Event| event.body.change().map(|change| change.rule.clone());
    let later = left
        .iter()
        .filter(|it| rule(it).as_deref() == Some("later"));
    assert_eq!(later.count(), 30);
    assert_eq!(left.len() as u64, store.stored_events().0);
}

#[test]
fn each_severity_and_each_rule_may_have_an_age_of_its_own() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    let day = 86_400 * 1_000_000_000;
    let at = |mut event: Event, days: i64| {
        event.created = Timestamp(days * day);
        event
    };
    for days in 0..10 {
        let events = vec![
            at(of("a", 21, Some(0)), days),
            at(of("a", 99, Some(0)), days),
            at(of("b", 99, Some(0)), days),
        ];
        commit(&mut store, events);
    }
    let keep = Retention {
        now: Timestamp(10 * day),
        of_class: [Some(2 * 86_400), None, None, Some(5 * 86_400)],
        of_rule: HashMap::from([("b".to_owned(), 9 * 86_400)]),
        ..Retention::default()
    };
    assert_eq!(retain_all(&mut store, &keep), 8 + 5 + 1);
    let removed = Removed {
        by_age: [8, 0, 0, 6],
        by_size: [0; 4],
    };
    assert_eq!(store.removed(), removed);
    assert_eq!(removed.of(Class::Critical), 6);
    store.verify_chain(0).unwrap();
    let before = Retention {
        now: Timestamp(i64::MIN),
        ..keep
    };
    assert_eq!(
        retain_all(&mut store, &before),
        0,
        "a clock before everything"
    );
}

#[test]
fn the_chain_holds_over_holes_wherever_events_were_removed() {
    // A xorshift generator: the same choices each time.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    for round in 0..30 {
        let kinds = (0..40).map(|_| {
            let severity = [21, 47, 73, 99][usize::try_from(random(4)).unwrap()];
            of(
                ["a", "b"][usize::try_from(random(2)).unwrap()],
                severity,
                Some(0),
            )
        });
        commit(&mut store, kinds.collect());
        let (_, bytes) = store.stored_events();
        store
            .retain(&room_for(bytes - random(bytes / 2 + 1)))
            .unwrap();
        let left = sequences(&store, 0);
        assert_eq!(left.len() as u64, store.stored_events().0, "round {round}");
        for from in [0, left[0], left[left.len() / 2], left[left.len() - 1]] {
            store.verify_chain(from).unwrap();
        }
        if round % 10 == 9 {
            let before = store.stored_events();
            drop(store);
            store = open(dir.path());
            assert_eq!(
                (store.stored_events(), sequences(&store, 0)),
                (before, left)
            );
        }
    }
}

#[test]
fn every_severity_has_a_class() {
    let classes: BTreeSet<Class> = (0..=255).map(Class::of).collect();
    assert_eq!(classes, BTreeSet::from(CLASSES));
    assert_eq!([21, 47, 73, 99].map(Class::of), CLASSES);
    assert_eq!(
        CLASSES.map(Class::name),
        ["low", "medium", "high", "critical"]
    );
}
