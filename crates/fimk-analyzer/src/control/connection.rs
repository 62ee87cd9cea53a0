//! One connection: a line is read, an answer written, each as far as it goes without waiting.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    time::{Duration, Instant},
};

use fimk_core::request::Request;
use nix::{
    poll::{PollFd, PollFlags},
    sys::socket::{UnixCredentials, getsockopt, sockopt::PeerCredentials},
    unistd::geteuid,
};

use super::Refusal;

/// Of a request, with its line end: the longest path fits, also in base64.
pub const REQUEST_BYTES_MAX: usize = 8_192;

/// For a request, and for an answer as long as none of it is taken: a program on the same machine needs milliseconds.
pub const LIFETIME: Duration = Duration::from_secs(5);

/// For an answer that is taken bit by bit: whoever makes it last longer keeps others from their place.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More is to come.
    Wait,
    /// A request is there whole.
    Asked(Request),
    /// It did what it must not; it may still be told so.
    Refused(Refusal),
    /// The answer was taken whole.
    Answered,
    /// The other side is gone.
    Gone,
}

/// Who is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// As of connecting.
    pub uid: u32,
    /// The group that it had then.
    pub gid: u32,
    /// Root or our own user.
    pub trusted: bool,
    /// Its process, which may have ended.
    pub pid: i32,
}

enum Phase {
    /// The request so far.
    Asking(Vec<u8>),
    /// Asked, and the engine has the question.
    Waiting,
    /// The answer, and how much of it was taken; when it is to be taken whole.
    Answering {
        text: String,
        taken: usize,
        refused: bool,
        end: Instant,
    },
    Over,
}

/// Somebody who is connected.
pub struct Connection {
    stream: UnixStream,
    /// Never used twice.
    pub number: u64,
    /// When it is closed whatever has come.
    pub deadline: Instant,
    /// Who the kernel says is there, as of connecting.
    peer: UnixCredentials,
    phase: Phase,
}

impl Connection {
    /// Takes one that was accepted just now.
    pub fn new(stream: UnixStream, number: u64, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let peer = getsockopt(&stream, PeerCredentials)?;
        Ok(Self {
            stream,
            number,
            deadline: now + LIFETIME,
            peer,
            phase: Phase::Asking(Vec::new()),
        })
    }

    /// What poll is to look at.
    pub fn interest(&self) -> PollFd<'_> {
        let flags = match self.phase {
            Phase::Asking(_) => PollFlags::POLLIN,
            Phase::Answering { .. } => PollFlags::POLLOUT,
            Phase::Waiting | Phase::Over => PollFlags::empty(),
        };
        PollFd::new(self.stream.as_fd(), flags)
    }

    /// Who is there.
    pub fn user(&self) -> User {
        let uid = self.peer.uid();
        let trusted = uid == 0 || uid == geteuid().as_raw();
        let gid = self.peer.gid();
        let pid = self.peer.pid();
        User {
            uid,
            gid,
            trusted,
            pid,
        }
    }

    /// Whether root or our own user is there.
    pub fn is_trusted(&self) -> bool {
        self.user().trusted
    }

    /// Whether it is to be closed.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Goes on as far as possible at once.
    pub fn step(&mut self, now: Instant) -> Step {
        let step = match &mut self.phase {
            Phase::Asking(_) => self.read(),
            Phase::Answering { .. } => self.write(now),
            Phase::Waiting => Step::Wait,
            Phase::Over => Step::Gone,
        };
        match step {
            Step::Wait if now >= self.deadline => self.give_up(now),
            step => step,
        }
    }

    /// Puts the answer to what was asked, and begins to write it.
    pub fn answer(&mut self, text: String) {
        self.begin(text, false);
    }

    /// Says no.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.begin(refusal.answer(), true);
    }

    /// The time that its answer took to be made is not the other side's.
    fn begin(&mut self, text: String, refused: bool) {
        let now = Instant::now();
        self.deadline = now + LIFETIME;
        self.phase = Phase::Answering {
            text,
            taken: 0,
            refused,
            end: now + ANSWERED_WITHIN,
        };
    }

    /// Too late: it is told so if it takes that at once.
    fn give_up(&mut self, now: Instant) -> Step {
        if matches!(self.phase, Phase::Asking(_)) {
            self.refuse(Refusal::TooSlow);
            self.write(now);
        }
        self.phase = Phase::Over;
        Step::Refused(Refusal::TooSlow)
    }

    /// Ends the time in which the answer is to be taken whole.
    #[cfg(test)]
    pub(super) fn end_at(&mut self, at: Instant) {
        if let Phase::Answering { end, .. } = &mut self.phase {
            *end = at;
        }
    }

    fn read(&mut self) -> Step {
        let Phase::Asking(line) = &mut self.phase else {
            return Step::Wait;
        };
        let mut bytes = [0; REQUEST_BYTES_MAX];
        let room = REQUEST_BYTES_MAX - line.len();
        let ended = match self.stream.read(&mut bytes[..room]) {
            Ok(0) if line.is_empty() => return Step::Gone,
            Ok(0) => true,
            Ok(count) => {
                line.extend_from_slice(&bytes[..count]);
                line.contains(&b'\n')
            }
            Err(error) if is_later(&error) => return Step::Wait,
            Err(_) => return Step::Gone,
        };
        if !ended && line.len() < REQUEST_BYTES_MAX {
            return Step::Wait;
        }
        let asked = if ended {
            parse(line).ok_or(Refusal::BadRequest)
        } else {
            Err(Refusal::TooLong)
        };
        match asked {
            Ok(request) => {
                self.phase = Phase::Waiting;
                Step::Asked(request)
            }
            Err(refusal) => {
                self.refuse(refusal);
                Step::Refused(refusal)
            }
        }
    }

    fn write(&mut self, now: Instant) -> Step {
        let Phase::Answering {
            text,
            taken,
            refused,
            end,
        } = &mut self.phase
        else {
            return Step::Wait;
        };
        while let Some(rest) = text.as_bytes().get(*taken..).filter(|it| !it.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Step::Gone,
                Ok(count) => {
                    *taken += count;
                    self.deadline = (now + LIFETIME).min(*end);
                }
                Err(error) if is_later(&error) => return Step::Wait,
                Err(_) => return Step::Gone,
            }
        }
        let step = if *refused { Step::Gone } else { Step::Answered };
        self.phase = Phase::Over;
        step
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The request in the first line of what was sent.
fn parse(bytes: &[u8]) -> Option<Request> {
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_an_object_with_a_known_command_and_nothing_else() {
        for good in [
            "{\"command\":\"status\"}",
            " { \"command\" : \"status\" } \r\n",
            "{\"command\":\"status\"}\nwhatever follows",
        ] {
            assert_eq!(parse(good.as_bytes()), Some(Request::Status {}), "{good:?}");
        }
        for bad in [
            "",
            "\n",
            "status",
            "\"status\"",
            "[]",
            "null",
            "{}",
            "{\"command\":1}",
            "{\"command\":\"Status\"}",
            "{\"command\":\"stop\"}",
            "{\"command\":\"status\",\"of\":\"me\"}",
            "{\"command\":\"status\"",
            "\n{\"command\":\"status\"}",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        let deep = "[".repeat(REQUEST_BYTES_MAX);
        for bad in [b"\xff\xfe\x00".as_slice(), deep.as_bytes()] {
            assert_eq!(parse(bad), None);
        }
    }
}
