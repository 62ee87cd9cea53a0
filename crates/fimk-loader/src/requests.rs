//! What came up: bytes → one request, or nonsense. Nothing here is done yet.

use std::fmt;
use std::time::Duration;

use fimk_wire::raw;
use nix::errno::Errno;
use zerocopy::FromBytes;

/// Why a peer is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonsense {
    /// A packet that has not a request's length.
    Length(usize),
    /// Made by another build.
    Version(u16),
    /// No request has this kind.
    Kind(u16),
    /// No HELLO for too long.
    Silent,
    /// Another request before HELLO.
    NotGreeted,
    /// A second HELLO.
    GreetedTwice,
    /// HELLO with a source that does not exist.
    Source(u32),
    /// HELLO with kinds of attempts that do not exist.
    Kinds(u32),
    /// HELLO with a coverage that does not exist.
    Coverage(u32),
    /// ARM with a thread id that no thread can have.
    Thread(u64),
    /// TAKE, while as many entries as there is room for are taken and not done.
    TooManyTaken,
    /// No request for too long.
    Stuck(Duration),
    /// So many events wait in the queue of fanotify, which it does not read.
    Unread(u64),
    /// READY cannot be sent to it: it closed its end after HELLO, as a rule.
    Deaf(Errno),
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "it sent {length} bytes, which is no request"),
            Self::Version(version) => {
                write!(
                    f,
                    "it speaks wire version {version} and not {}",
                    raw::FIMK_WIRE_VERSION
                )
            }
            Self::Kind(kind) => write!(f, "it sent a request of unknown kind {kind}"),
            Self::Silent => f.write_str("it does not say HELLO"),
            Self::NotGreeted => f.write_str("its first request was not HELLO"),
            Self::GreetedTwice => f.write_str("it said HELLO twice"),
            Self::Source(source) => write!(f, "it wants a source of unknown number {source}"),
            Self::Kinds(kinds) => {
                write!(f, "it wants kinds of attempts of unknown number {kinds:#x}")
            }
            Self::Coverage(coverage) => {
                write!(f, "it wants a coverage of unknown number {coverage}")
            }
            Self::Thread(thread) => {
                write!(f, "it wants to arm by thread {thread}, which cannot be one")
            }
            Self::TooManyTaken => f.write_str("it takes entries and does not say DONE"),
            Self::Stuck(silent) => write!(
                f,
                "it has said nothing for {} s: it is stopped or stuck",
                silent.as_secs()
            ),
            Self::Unread(events) => {
                write!(f, "it does not read the {events} events that wait for it")
            }
            Self::Deaf(cause) => write!(f, "READY cannot be sent to it: {}", cause.desc()),
        }
    }
}

/// Exactly one request of this build's version and of a known kind.
pub fn parse(bytes: &[u8]) -> Result<raw::fimk_request, Nonsense> {
    let request =
        raw::fimk_request::read_from_bytes(bytes).map_err(|_| Nonsense::Length(bytes.len()))?;
    if u32::from(request.version) != raw::FIMK_WIRE_VERSION {
        return Err(Nonsense::Version(request.version));
    }
    if !(raw::FIMK_REQUEST_HELLO..=raw::FIMK_REQUEST_HOLDERS).contains(&u32::from(request.kind)) {
        return Err(Nonsense::Kind(request.kind));
    }
    Ok(request)
}

/// What a HELLO wants to be brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// `FIMK_SOURCE_*`.
    pub source: u32,
    /// Of attempts: `FIMK_WATCH_*`.
    pub kinds: u32,
    /// `FIMK_COVERAGE_*`.
    pub coverage: u32,
    /// Objects to have room for.
    pub objects: u32,
}

/// What a HELLO wants.
pub fn wanted(hello: &raw::fimk_request) -> Result<Wanted, Nonsense> {
    Ok(Wanted {
        source: wanted_source(hello)?,
        kinds: wanted_kinds(hello)?,
        coverage: wanted_coverage(hello)?,
        objects: wanted_objects(hello),
    })
}

/// The source that a HELLO wants.
fn wanted_source(hello: &raw::fimk_request) -> Result<u32, Nonsense> {
    match hello.number {
        source if source <= raw::FIMK_SOURCE_PERIODIC => Ok(source),
        source => Err(Nonsense::Source(source)),
    }
}

/// The kinds of attempts that a HELLO wants, as `FIMK_WATCH_*`.
fn wanted_kinds(hello: &raw::fimk_request) -> Result<u32, Nonsense> {
    match hello.key.actor.pid {
        kinds if kinds & !raw::FIMK_WATCH_KINDS == 0 => Ok(kinds),
        kinds => Err(Nonsense::Kinds(kinds)),
    }
}

/// The coverage that a HELLO wants.
fn wanted_coverage(hello: &raw::fimk_request) -> Result<u32, Nonsense> {
    match hello.key.actor.image {
        coverage if coverage <= raw::FIMK_COVERAGE_STRICT => Ok(coverage),
        coverage => Err(Nonsense::Coverage(coverage)),
    }
}

/// How many objects a HELLO wants room for, within what there may be.
fn wanted_objects(hello: &raw::fimk_request) -> u32 {
    match hello.cookie {
        0 => raw::FIMK_OBJECTS_DEFAULT,
        objects => u32::try_from(objects)
            .unwrap_or(u32::MAX)
            .clamp(raw::FIMK_OBJECTS_MIN, raw::FIMK_OBJECTS_MAX),
    }
}

/// The thread that an ARM names, as the kernel's programs see it; 0 ends the arming.
pub fn arming_thread(arm: &raw::fimk_request, pid: u32) -> Result<u64, Nonsense> {
    match u32::try_from(arm.cookie) {
        Ok(0) => Ok(0),
        Ok(thread) if i32::try_from(thread).is_ok() => Ok(u64::from(pid) << 32 | u64::from(thread)),
        _ => Err(Nonsense::Thread(arm.cookie)),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;
    use zerocopy::{FromZeros, IntoBytes};

    fn request(kind: u32) -> raw::fimk_request {
        fimk_wire::request(kind, 0, raw::fimk_key::new_zeroed(), 0)
    }

    #[test]
    fn only_a_whole_request_of_this_version_is_one() {
        let good = request(raw::FIMK_REQUEST_SYNC);
        let bytes = good.as_bytes();
        assert!(parse(bytes).is_ok());
        assert_eq!(
            parse(&bytes[1..]).err(),
            Some(Nonsense::Length(bytes.len() - 1))
        );
        assert_eq!(
            parse(&[bytes, &[0]].concat()).err(),
            Some(Nonsense::Length(bytes.len() + 1))
        );
        assert_eq!(parse(&[]).err(), Some(Nonsense::Length(0)));
        let other = raw::fimk_request {
            version: 99,
            ..good
        };
        assert_eq!(parse(other.as_bytes()).err(), Some(Nonsense::Version(99)));
    }

    #[test]
    fn unknown_kinds_and_garbage_are_nonsense() {
        for kind in [0, raw::FIMK_REQUEST_HOLDERS + 1, u32::from(u16::MAX)] {
            assert!(parse(request(kind).as_bytes()).is_err(), "{kind}");
        }
        for byte in 0..=u8::MAX {
            assert!(
                parse(&[byte; size_of::<raw::fimk_request>()]).is_err(),
                "{byte}"
            );
        }
    }

    #[test]
    fn random_bytes_are_a_request_or_nonsense_and_nothing_else() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut heard = 0;
        for _ in 0..200_000 {
            let mut bytes: Vec<u8> = (0..7).flat_map(|_| random().to_ne_bytes()).collect();
            if random() % 2 == 0 {
                bytes.truncate(size_of::<raw::fimk_request>());
                // Every version but ours is refused before the kind is looked at.
                bytes[..4].copy_from_slice(&[3, 0, random().to_ne_bytes()[0] % 16, 0]);
            } else {
                bytes.truncate(usize::try_from(random() % 57).expect("it is small"));
            }
            if let Ok(request) = parse(&bytes) {
                heard += 1;
                let _ = (wanted(&request), arming_thread(&request, 1));
            }
        }
        assert!((10_000..100_000).contains(&heard), "{heard}");
    }

    #[test]
    fn a_source_beyond_the_last_is_nonsense() {
        let mut hello = request(raw::FIMK_REQUEST_HELLO);
        hello.number = raw::FIMK_SOURCE_PERIODIC;
        assert_eq!(wanted_source(&hello), Ok(raw::FIMK_SOURCE_PERIODIC));
        hello.number += 1;
        assert!(wanted_source(&hello).is_err());
    }

    #[test]
    fn kinds_that_do_not_exist_are_nonsense() {
        let mut hello = request(raw::FIMK_REQUEST_HELLO);
        for kinds in [0, raw::FIMK_WATCH_DENIED, raw::FIMK_WATCH_KINDS] {
            hello.key.actor.pid = kinds;
            assert_eq!(wanted_kinds(&hello), Ok(kinds));
        }
        for kinds in [
            raw::FIMK_WATCH_CHILDREN,
            raw::FIMK_WATCH_NAMED,
            raw::FIMK_WATCH_DENIED << raw::FIMK_WATCH_INHERITED_SHIFT,
            u32::MAX,
        ] {
            hello.key.actor.pid = kinds;
            assert_eq!(wanted_kinds(&hello), Err(Nonsense::Kinds(kinds)));
        }
    }

    #[test]
    fn a_coverage_beyond_the_last_is_nonsense() {
        let mut hello = request(raw::FIMK_REQUEST_HELLO);
        assert_eq!(wanted_coverage(&hello), Ok(raw::FIMK_COVERAGE_AUTO));
        hello.key.actor.image = raw::FIMK_COVERAGE_STRICT + 1;
        assert!(wanted_coverage(&hello).is_err());
    }

    #[test]
    fn room_is_given_within_limits_whatever_is_asked() {
        let mut hello = request(raw::FIMK_REQUEST_HELLO);
        for (asked, given) in [
            (0, raw::FIMK_OBJECTS_DEFAULT),
            (1, raw::FIMK_OBJECTS_MIN),
            (5_000, 5_000),
            (u64::from(u32::MAX), raw::FIMK_OBJECTS_MAX),
            (u64::MAX, raw::FIMK_OBJECTS_MAX),
        ] {
            hello.cookie = asked;
            assert_eq!(wanted_objects(&hello), given, "{asked}");
        }
    }

    #[test]
    fn an_arming_thread_is_one_of_the_analyzers_process() {
        let mut arm = request(raw::FIMK_REQUEST_ARM);
        assert_eq!(arming_thread(&arm, 7), Ok(0));
        arm.cookie = 9;
        assert_eq!(arming_thread(&arm, 7), Ok(7 << 32 | 9));
        for thread in [u64::from(u32::MAX), 1 << 32, u64::MAX] {
            arm.cookie = thread;
            assert_eq!(arming_thread(&arm, 7), Err(Nonsense::Thread(thread)));
        }
    }
}
