//! Values as bytes: the schema's version, then bincode. The only module that names bincode.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use fimk_core::{
    attribution::Attribution,
    event::{Event, Further},
    record::Record,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::v1;

/// Version of everything that is written. It rises when a stored type changes in any way: bincode has no
/// names of fields.
pub(crate) const SCHEMA: u8 = 4;

/// The oldest version that is still read. A value keeps its version until it is written anew: events, whose
/// bytes are in the chain, for ever.
pub(crate) const OLDEST: u8 = 1;

/// Of one value. A record holds at most the words of one file, an event one line; the process has 64 MiB.
pub(crate) const VALUE_BYTES_MAX: usize = 8 << 20;

/// bincode counts 8 bytes for an integer that is written in one.
const CLAIM_MAX: usize = 8 * VALUE_BYTES_MAX;

const CONFIG: Configuration<LittleEndian, Varint, Limit<CLAIM_MAX>> =
    bincode::config::standard().with_limit::<CLAIM_MAX>();

/// Why bytes are no value, or a value cannot become bytes.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    Newer(u8),
    Damaged(String),
    TooLarge(usize),
}

/// What a value can be.
pub(crate) trait Stored: DeserializeOwned {
    /// From the body of a value of schema 1, where that was another.
    fn from_v1(body: &[u8]) -> Result<Self, Fault> {
        decode_body(body)
    }

    /// From the body of a value of today's schema.
    fn from_today(body: &[u8]) -> Result<Self, Fault> {
        decode_body(body)
    }
}

impl Stored for u64 {}
impl Stored for Vec<u8> {}

impl Stored for Record {
    fn from_v1(body: &[u8]) -> Result<Self, Fault> {
        decode_body::<v1::Record>(body).map(Into::into)
    }
}

impl Stored for Event {
    fn from_v1(body: &[u8]) -> Result<Self, Fault> {
        decode_body::<v1::Event>(body).map(Into::into)
    }

    fn from_today(body: &[u8]) -> Result<Self, Fault> {
        let (mut event, used) = decode_beginning::<Self>(body)?;
        let rest = body.get(used..).unwrap_or_default();
        if !rest.is_empty() {
            let change = event.body.change_mut();
            let change = change.ok_or_else(|| Fault::Damaged(followed_by(rest)))?;
            let (further, used) = decode_beginning(rest)?;
            change.file.further = further;
            let rest = rest.get(used..).unwrap_or_default();
            if !rest.is_empty() {
                change.attribute(&decode_body::<Vec<Attribution>>(rest)?);
            }
        }
        Ok(event)
    }
}

/// `[schema][bincode]`
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    let body = bincode::serde::encode_to_vec(value, CONFIG)
        .map_err(|error| Fault::Damaged(error.to_string()))?;
    if body.len() > VALUE_BYTES_MAX {
        return Err(Fault::TooLarge(body.len()));
    }
    let mut bytes = Vec::with_capacity(1 + body.len());
    bytes.push(SCHEMA);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// As [`encode`]; what is known of the object beside its attributes follows the event, if there is any, and by what its
/// processes are known follows that.
pub(crate) fn encode_event(event: &Event) -> Result<Vec<u8>, Fault> {
    let mut bytes = encode(event)?;
    if let Some(change) = event.body.change() {
        let (further, by) = (&change.file.further, change.attributions());
        let is_known = by.iter().any(|it| *it != Attribution::default());
        if is_known || *further != Further::default() {
            bytes.extend_from_slice(encode(further)?.get(1..).unwrap_or_default());
        }
        if is_known {
            bytes.extend_from_slice(encode(&by)?.get(1..).unwrap_or_default());
        }
    }
    // Both together are what is read as one.
    let body = bytes.len().saturating_sub(1);
    if body > VALUE_BYTES_MAX {
        return Err(Fault::TooLarge(body));
    }
    Ok(bytes)
}

/// The reverse of [`encode`] and [`encode_event`]; every byte must be used.
pub(crate) fn decode<T: Stored>(bytes: &[u8]) -> Result<T, Fault> {
    let (version, body) = parts_of(bytes)?;
    decode_version(version, body)
}

/// The version and what follows it, if this program can read it.
pub(crate) fn parts_of(bytes: &[u8]) -> Result<(u8, &[u8]), Fault> {
    match bytes.split_first() {
        Some((&version @ OLDEST..=SCHEMA, body)) => Ok((version, body)),
        Some((&version, _)) if version > SCHEMA => Err(Fault::Newer(version)),
        Some((version, _)) => Err(Fault::Damaged(format!(
            "a value of schema {version}, which never was"
        ))),
        None => Err(Fault::Damaged("an empty value".into())),
    }
}

/// A value whose version was seen to by [`parts_of`].
pub(crate) fn decode_version<T: Stored>(version: u8, body: &[u8]) -> Result<T, Fault> {
    match version {
        1 => T::from_v1(body),
        // Values of schema 2 and 3 are those of today. It rose because what follows some events came later, twice: who wrote
        // the earlier ones takes them for damaged.
        _ => T::from_today(body),
    }
}

fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let (value, used) = decode_beginning(body)?;
    match body.get(used..) {
        Some([]) | None => Ok(value),
        Some(rest) => Err(Fault::Damaged(followed_by(rest))),
    }
}

/// A value, and how many bytes it took.
fn decode_beginning<T: DeserializeOwned>(body: &[u8]) -> Result<(T, usize), Fault> {
    if body.len() > VALUE_BYTES_MAX {
        return Err(Fault::Damaged(format!("a value of {} bytes", body.len())));
    }
    bincode::serde::decode_from_slice(body, CONFIG)
        .map_err(|error| Fault::Damaged(format!("a value that is none: {error}")))
}

fn followed_by(rest: &[u8]) -> String {
    format!("a value followed by {} bytes", rest.len())
}
