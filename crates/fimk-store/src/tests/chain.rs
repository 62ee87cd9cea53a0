//! An event altered behind the store's back.

use tempfile::tempdir;

use super::*;
use crate::{
    StoreError,
    batch::Batch,
    chain, codec,
    open::{EVENTS, HEAD_KEY, META},
};

const KEY: fn(u64) -> [u8; 8] = u64::to_be_bytes;

/// Applies `alter` to a store of six events; the first event that does not follow, by `verify_chain(from)`.
fn broken_at(from: u64, alter: impl FnOnce(&Store, &mut Batch)) -> Option<u64> {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    add_events(&mut store, 6);
    let mut batch = Batch::default();
    alter(&store, &mut batch);
    store.write(batch).unwrap();
    match store.verify_chain(from) {
        Ok(()) => None,
        Err(StoreError::ChainBroken { sequence, .. }) => Some(sequence),
        Err(error) => panic!("{error}"),
    }
}

fn stored(store: &Store, sequence: u64) -> Vec<u8> {
    let item = store.scan(EVENTS, &KEY(sequence), None).next();
    item.expect("it is there").unwrap().1.into_vec()
}

/// The event with other words and its old hash.
fn reword(store: &Store, batch: &mut Batch, sequence: u64) {
    let (link, _) = chain::unseal(&KEY(sequence), &stored(store, sequence)).unwrap();
    let forged = codec::encode(&Event {
        sequence,
        ..notice("nothing happened")
    })
    .unwrap();
    let value = [&forged[..1], &link.hash, &forged[1..]].concat();
    batch.put(EVENTS, &KEY(sequence), value).unwrap();
}

#[test]
fn an_untouched_chain_holds_from_any_event() {
    for from in [0, 1, 3, 6, 7, u64::MAX] {
        assert_eq!(broken_at(from, |_, _| {}), None, "from {from}");
    }
}

#[test]
fn an_edited_event_breaks_the_chain_where_it_stands() {
    for sequence in 1..=6 {
        assert_eq!(
            broken_at(0, |store, batch| reword(store, batch, sequence)),
            Some(sequence)
        );
    }
    assert_eq!(
        broken_at(3, |store, batch| reword(store, batch, 3)),
        Some(3)
    );
    assert_eq!(
        broken_at(4, |store, batch| reword(store, batch, 3)),
        None,
        "it was not asked for"
    );
}

#[test]
fn any_flipped_bit_of_an_event_breaks_the_chain() {
    let length = {
        let dir = tempdir().unwrap();
        let mut store = open(dir.path());
        add_events(&mut store, 1);
        stored(&store, 1).len()
    };
    // The first byte is the schema's, which has a message of its own.
    for at in (1..length).step_by(3) {
        let flip = |store: &Store, batch: &mut Batch| {
            let mut value = stored(store, 2);
            value[at] ^= 4;
            batch.put(EVENTS, &KEY(2), value).unwrap();
        };
        assert_eq!(broken_at(0, flip), Some(2), "byte {at}");
    }
}

#[test]
fn a_removed_event_breaks_the_chain() {
    let remove = |sequence: u64| {
        move |_: &Store, batch: &mut Batch| {
            batch.remove(EVENTS, &KEY(sequence)).unwrap();
        }
    };
    assert_eq!(broken_at(0, remove(1)), Some(2));
    assert_eq!(broken_at(0, remove(3)), Some(4));
    assert_eq!(broken_at(0, remove(6)), Some(6));
}

#[test]
fn an_event_put_in_the_place_of_another_breaks_the_chain() {
    let swap = |store: &Store, batch: &mut Batch| {
        batch.put(EVENTS, &KEY(2), stored(store, 3)).unwrap();
    };
    assert_eq!(broken_at(0, swap), Some(2));
}

#[test]
fn a_tail_cut_off_together_with_the_head_is_noticed_at_the_next_start() {
    let dir = tempdir().unwrap();
    let mut store = open(dir.path());
    add_events(&mut store, 6);
    store.sync().unwrap();
    let (link, _) = chain::unseal(&KEY(4), &stored(&store, 4)).unwrap();
    let mut batch = Batch::default();
    batch.remove(EVENTS, &KEY(5)).unwrap();
    batch.remove(EVENTS, &KEY(6)).unwrap();
    batch
        .put(META, HEAD_KEY, codec::encode(&link).unwrap())
        .unwrap();
    store.write(batch).unwrap();
    drop(store);
    let (store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(
        opened.lost.map(|lost| (lost.synced, lost.found)),
        Some((Some(6), 4))
    );
    assert_eq!(store.next_sequence(), 7);
}
