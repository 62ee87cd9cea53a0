//! The layout of what crosses the boundaries of fimk: kernel → loader → analyzer (packets) and
//! analyzer → loader (requests).
//!
//! `bpf/fimk.h` is the only definition; [`raw`] is generated from it, its sizes asserted on both
//! sides. This crate adds what both processes need to read and write it without `unsafe`:
//! [`Packet::decode`], [`Request`](raw::fimk_request) and the vocabulary's names.

mod attempt;
mod names;
mod packet;
pub mod plan;
mod request;

pub use attempt::{actor_of_attempt, error_of, kind_of};
pub use names::{COUNT_NAMES, HOOK_NAMES, OPERATION_NAMES, REASON_SENTENCES, SOURCE_NAMES};
pub use packet::{DecodeError, NUMBERS_OF, Packet, leaf_first_to_path, spanned};
pub use request::request;

/// The structs and numbers of `bpf/fimk.h`, under their C names.
#[allow(missing_docs, non_camel_case_types, clippy::all, clippy::pedantic)]
pub mod raw {
    include!(concat!(env!("OUT_DIR"), "/fimk.rs"));
}

/// Where the processes of the host have their numbers, as `/proc/PID/ns/pid` says it: `PROC_PID_INIT_INO`, the same in every
/// kernel.
pub const HOSTS_PIDS: &str = "pid:[4026531836]";

/// The byte with which the loader hands over a channel, at the socket where an analyzer asks for one.
pub const HANDED: u8 = b'c';
/// The byte with which it refuses, because it serves another analyzer.
pub const BUSY: u8 = b'b';

/// The largest packet, in bytes. See `bpf/fimk.h`.
pub const PACKET_MAX: usize = raw::FIMK_PACKET_MAX as usize;
