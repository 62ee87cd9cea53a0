//! Each event carries a hash of the one before it, so that an event altered, removed or put in later shows.
//!
//! The hash has no key: it shows damage and careless edits. Somebody who may write the database can make
//! the whole chain anew; against that only a copy of the head kept elsewhere helps.
//!
//! Where retention removed events from the middle, the hash of the last of them stays, [`trace`], so that the
//! next one still has something to follow.

use fimk_core::event::Event;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    codec::{self, Fault},
    error::StoreError,
    open::EVENTS,
    store::Store,
};

const HASH_BYTES: usize = 32;

/// In the place of the schema's version: an event that was removed. No schema has this number.
const REMOVED: u8 = 0;

impl codec::Stored for Link {}

/// One link of the chain: an event's sequence and hash. The default stands before the first event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) sequence: u64,
    pub(crate) hash: [u8; HASH_BYTES],
}

impl Link {
    /// The link after this one: SHA-256 of this hash and the encoded event.
    fn next(&self, sequence: u64, schema: u8, body: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update(self.hash)
            .chain_update([schema])
            .chain_update(body)
            .finalize();
        Self {
            sequence,
            hash: hash.into(),
        }
    }

    /// The event as it is stored, `[schema][hash][bincode]`, and its link.
    pub(crate) fn seal(&self, event: &Event) -> Result<(Self, Vec<u8>), Fault> {
        let mut value = codec::encode_event(event)?;
        let (schema, body) = codec::parts_of(&value)?;
        let link = self.next(event.sequence, schema, body);
        value.splice(1..1, link.hash);
        Ok((link, value))
    }

    /// Whether this stored event follows; its link if so, otherwise `None`.
    pub(crate) fn follow(&self, key: &[u8], value: &[u8]) -> Result<Option<Self>, Fault> {
        if is_trace(value) {
            let left = link_of(key, value)?;
            return Ok((left.sequence > self.sequence).then_some(left));
        }
        let (found, event) = unseal(key, value)?;
        let (schema, _, body) = split(value)?;
        let expected = self.next(event.sequence, schema, body);
        Ok((found == expected && found.sequence > self.sequence).then_some(found))
    }
}

/// A stored event and its link.
pub(crate) fn unseal(key: &[u8], value: &[u8]) -> Result<(Link, Event), Fault> {
    let link = link_of(key, value)?;
    let (schema, _, body) = split(value)?;
    let event: Event = codec::decode_version(schema, body)?;
    if event.sequence == link.sequence {
        Ok((link, event))
    } else {
        Err(Fault::Damaged(format!(
            "event {} in the place of event {}",
            event.sequence, link.sequence
        )))
    }
}

/// The link of a stored event, without decoding the event.
pub(crate) fn link_of(key: &[u8], value: &[u8]) -> Result<Link, Fault> {
    let sequence = sequence_of(key)?;
    let hash = match value.split_first() {
        Some((&REMOVED, hash)) => hash
            .try_into()
            .map_err(|_| Fault::Damaged("a removed event without its hash".into()))?,
        _ => *split(value)?.1,
    };
    Ok(Link { sequence, hash })
}

/// What stays of a removed event.
pub(crate) fn trace(link: &Link) -> Vec<u8> {
    [&[REMOVED][..], &link.hash].concat()
}

/// Whether only that is left.
pub(crate) fn is_trace(value: &[u8]) -> bool {
    value.first() == Some(&REMOVED)
}

/// An event's key.
pub(crate) fn sequence_of(key: &[u8]) -> Result<u64, Fault> {
    let key = key
        .try_into()
        .map_err(|_| Fault::Damaged(format!("an event with a key of {} bytes", key.len())))?;
    Ok(u64::from_be_bytes(key))
}

/// Its schema, hash and body.
fn split(value: &[u8]) -> Result<(u8, &[u8; HASH_BYTES], &[u8]), Fault> {
    let (schema, rest) = codec::parts_of(value)?;
    let (hash, body) = rest
        .split_first_chunk()
        .ok_or_else(|| Fault::Damaged("an event without its hash".into()))?;
    Ok((schema, hash, body))
}

impl Store {
    /// Checks that each event from this sequence on follows from the one before, to the newest.
    /// Reads all of them.
    ///
    /// # Errors
    /// [`StoreError::ChainBroken`] names the first event that does not.
    pub fn verify_chain(&self, from: u64) -> Result<(), StoreError> {
        let anchor = self.anchor()?;
        let mut last = self.link_before(from)?.unwrap_or(anchor);
        let key = from.to_be_bytes();
        // From 0 whatever is there must follow, be its key as odd as it may.
        let start = if from == 0 { &[][..] } else { &key };
        for item in self.scan(EVENTS, start, None) {
            let (key, value) = item?;
            let sequence = sequence_of(&key).map_err(|fault| self.fault(fault))?;
            let broken = |what: String| StoreError::ChainBroken { sequence, what };
            last = match last.follow(&key, &value) {
                Ok(Some(link)) => link,
                Ok(None) => {
                    return Err(broken(
                        "it, or one before it, is not what was stored".into(),
                    ));
                }
                Err(Fault::Damaged(what)) => return Err(broken(what)),
                Err(fault) => return Err(self.fault(fault)),
            };
        }
        if last == self.head() {
            return Ok(());
        }
        let sequence = self.head().sequence;
        Err(StoreError::ChainBroken {
            sequence,
            what: "the newest event is missing or is another".into(),
        })
    }

    fn link_before(&self, sequence: u64) -> Result<Option<Link>, StoreError> {
        let Some(before) = sequence.checked_sub(1) else {
            return Ok(None);
        };
        let entry = self.last_at_or_before(EVENTS, &before.to_be_bytes())?;
        let link = entry.map(|(key, value)| link_of(&key, &value)).transpose();
        link.map_err(|fault| self.fault(fault))
    }
}
