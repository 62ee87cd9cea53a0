//! Values as bytes: the schema's version, then bincode. The only module that names bincode.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Serialize, de::DeserializeOwned};

/// Version of everything in the database. It rises when a stored type changes in any way: bincode has no
/// names of fields.
pub(crate) const SCHEMA: u8 = 1;

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

/// The reverse of [`encode`]; every byte must be used.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    decode_body(body_of(bytes)?)
}

/// What follows the version, if this program can read it.
pub(crate) fn body_of(bytes: &[u8]) -> Result<&[u8], Fault> {
    match bytes.split_first() {
        Some((&SCHEMA, body)) => Ok(body),
        Some((&version, _)) if version > SCHEMA => Err(Fault::Newer(version)),
        Some((version, _)) => Err(Fault::Damaged(format!(
            "a value of schema {version}, which never was"
        ))),
        None => Err(Fault::Damaged("an empty value".into())),
    }
}

/// A value whose version was seen to by [`body_of`].
pub(crate) fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    if body.len() > VALUE_BYTES_MAX {
        return Err(Fault::Damaged(format!("a value of {} bytes", body.len())));
    }
    let (value, used) = bincode::serde::decode_from_slice(body, CONFIG)
        .map_err(|error| Fault::Damaged(format!("a value that is none: {error}")))?;
    if used == body.len() {
        Ok(value)
    } else {
        Err(Fault::Damaged(format!(
            "a value followed by {} bytes",
            body.len() - used
        )))
    }
}
