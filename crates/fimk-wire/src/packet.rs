//! Bytes of one packet → a typed copy of it, every length checked.

use core::fmt;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::raw;

/// One decoded packet. Tails are zero beyond what was sent.
#[allow(missing_docs, reason = "the structs are documented in bpf/fimk.h")]
pub enum Packet {
    Touch(Box<raw::fimk_touch>),
    Name(Box<raw::fimk_name>),
    Armed(raw::fimk_armed),
    Actor(Box<raw::fimk_actor>),
    Ready(raw::fimk_ready),
    Taken(raw::fimk_taken),
    Synced(raw::fimk_synced),
    Counters(Box<raw::fimk_counters_packet>),
    Holder(raw::fimk_holder),
}

/// Why bytes are not a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Shorter than a header, or of another length than its header says.
    Length(usize),
    /// Made by another build.
    Version(u16),
    /// No packet has this kind.
    Kind(u16),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(
                f,
                "a packet of {length} bytes does not have the length it states"
            ),
            Self::Version(version) => write!(
                f,
                "a packet of wire version {version}, this build speaks {}: loader and analyzer must be of one build",
                raw::FIMK_WIRE_VERSION
            ),
            Self::Kind(kind) => write!(f, "a packet of unknown kind {kind}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Structs that end in a tail of which only the used part is sent: the bytes before it.
#[allow(non_snake_case)]
pub mod NUMBERS_OF {
    use super::raw;
    use core::mem::offset_of;

    /// Of `fimk_touch`.
    pub const TOUCH: usize = offset_of!(raw::fimk_touch, tail);
    /// Of `fimk_name`.
    pub const NAME: usize = offset_of!(raw::fimk_name, tail);
    /// Of `fimk_actor`.
    pub const ACTOR: usize = offset_of!(raw::fimk_actor, tail);
}

impl Packet {
    /// Decodes one packet.
    ///
    /// # Errors
    /// On anything that is not exactly one packet of this build's version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (header, _) = raw::fimk_header::read_from_prefix(bytes)
            .map_err(|_| DecodeError::Length(bytes.len()))?;
        if u32::from(header.version) != raw::FIMK_WIRE_VERSION {
            return Err(DecodeError::Version(header.version));
        }
        if header.length as usize != bytes.len() {
            return Err(DecodeError::Length(bytes.len()));
        }
        Ok(match u32::from(header.kind) {
            raw::FIMK_PACKET_TOUCH => Self::Touch(tailed(bytes, NUMBERS_OF::TOUCH)?),
            raw::FIMK_PACKET_NAME => Self::Name(tailed(bytes, NUMBERS_OF::NAME)?),
            raw::FIMK_PACKET_ACTOR => Self::Actor(tailed(bytes, NUMBERS_OF::ACTOR)?),
            raw::FIMK_PACKET_ARMED => Self::Armed(exact(bytes)?),
            raw::FIMK_PACKET_READY => Self::Ready(exact(bytes)?),
            raw::FIMK_PACKET_TAKEN => Self::Taken(exact(bytes)?),
            raw::FIMK_PACKET_SYNCED => Self::Synced(exact(bytes)?),
            raw::FIMK_PACKET_COUNTERS => Self::Counters(Box::new(exact(bytes)?)),
            raw::FIMK_PACKET_HOLDER => Self::Holder(exact(bytes)?),
            _ => return Err(DecodeError::Kind(header.kind)),
        })
    }
}

fn exact<T: FromBytes>(bytes: &[u8]) -> Result<T, DecodeError> {
    T::read_from_bytes(bytes).map_err(|_| DecodeError::Length(bytes.len()))
}

fn tailed<T>(bytes: &[u8], numbers: usize) -> Result<Box<T>, DecodeError>
where
    T: FromBytes + FromZeros + IntoBytes + KnownLayout + Immutable,
{
    if bytes.len() < numbers || bytes.len() > size_of::<T>() {
        return Err(DecodeError::Length(bytes.len()));
    }
    let mut whole = Box::new(T::new_zeroed());
    whole.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    Ok(whole)
}

/// The part of a tail that a span points to; what of it lies outside the tail is left out.
pub fn spanned(tail: &[u8], span: raw::fimk_span) -> &[u8] {
    let start = usize::from(span.start).min(tail.len());
    let end = (start + usize::from(span.length)).min(tail.len());
    &tail[start..end]
}

/// `"passwd\0etc\0"` → `"/etc/passwd"`. Empty names are skipped; no name at all gives `"/"`.
pub fn leaf_first_to_path(leaf_first: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(leaf_first.len() + 1);
    for name in leaf_first
        .split(|&byte| byte == 0)
        .rev()
        .filter(|name| !name.is_empty())
    {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "small numbers")]
    use super::*;

    #[test]
    fn a_cut_tail_decodes_with_zeros_behind_it() {
        let mut touch = raw::fimk_touch::new_zeroed();
        touch.header.version = raw::FIMK_WIRE_VERSION as u16;
        touch.header.kind = raw::FIMK_PACKET_TOUCH as u16;
        touch.header.length = (NUMBERS_OF::TOUCH + 2) as u32;
        touch.tail[..4].copy_from_slice(b"abcd");
        let bytes = &touch.as_bytes()[..NUMBERS_OF::TOUCH + 2];
        let Ok(Packet::Touch(decoded)) = Packet::decode(bytes) else {
            panic!("not a touch");
        };
        assert_eq!(&decoded.tail[..4], b"ab\0\0");
    }

    #[test]
    fn no_bytes_make_decode_panic_and_every_wrong_length_is_refused() {
        for length in 0..crate::PACKET_MAX {
            let mut bytes = vec![0xffu8; length];
            for kind in 0..32u16 {
                if length >= 8 {
                    bytes[..2].copy_from_slice(&(raw::FIMK_WIRE_VERSION as u16).to_ne_bytes());
                    bytes[2..4].copy_from_slice(&kind.to_ne_bytes());
                    bytes[4..8].copy_from_slice(&(length as u32 + 1).to_ne_bytes());
                }
                assert!(Packet::decode(&bytes).is_err());
            }
        }
    }

    #[test]
    fn a_span_outside_the_tail_is_cut() {
        let span = |start, length| raw::fimk_span { start, length };
        assert_eq!(spanned(b"abc", span(1, 9)), b"bc");
        assert_eq!(spanned(b"abc", span(9, 9)), b"");
        assert_eq!(spanned(b"abc", span(u16::MAX, u16::MAX)), b"");
    }

    #[test]
    fn a_path_is_turned_round() {
        assert_eq!(leaf_first_to_path(b"passwd\0etc\0"), b"/etc/passwd");
        assert_eq!(leaf_first_to_path(b""), b"/");
    }
}
