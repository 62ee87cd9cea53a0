//! The control socket: short questions of local users, answered by the engine between two turns of its loop.
//!
//! One line in, one JSON object out, then the connection is closed. Nobody is waited for: every call here
//! returns at once, and whoever is slow, silent or talks too much is refused and counted.

mod connection;
mod place;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    time::{Duration, Instant},
};

use fimk_core::request::Request;
use nix::poll::{PollFd, PollFlags};
use serde_json::json;

pub use self::connection::User;
use self::connection::{Connection, Step};
use crate::exit::Failure;

/// Connections at once: an administrator, a check and a metrics reader use one each, for milliseconds.
pub const CONNECTIONS_MAX: usize = 8;

/// Of these, what is left to root and our own user however many others there are.
const KEPT_FREE: usize = 2;

/// What any other user may have.
const EACH_MAX: usize = 2;

/// Connections taken before anything else gets its turn.
const ACCEPTED_AT_ONCE: usize = 16;

/// After the system refused a connection (no descriptors left): without a pause we would spin.
const PAUSE: Duration = Duration::from_secs(1);

/// What somebody asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// To [`Control::answer`] it under.
    pub number: u64,
    /// What was asked.
    pub request: Request,
    /// By whom, as of connecting.
    pub user: User,
    /// Whether it was asked by root or our own user: they may know names of files, others only numbers.
    pub trusted: bool,
}

/// Why something was not answered; `name` is the stable word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// [`CONNECTIONS_MAX`] are connected, or as many as this user, or all but root, may have.
    Busy,
    /// A request longer than its limit.
    TooLong,
    /// Not a JSON object with a command that this build knows.
    BadRequest,
    /// Not asked, or the answer not taken, in time.
    TooSlow,
}

impl Refusal {
    /// As `error.code` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::TooLong => "too_long",
            Self::BadRequest => "bad_request",
            Self::TooSlow => "too_slow",
        }
    }

    fn sentence(self) -> String {
        match self {
            Self::Busy => format!(
                "{CONNECTIONS_MAX} connections, or {EACH_MAX} of this user, are open already: try again in a few seconds"
            ),
            Self::TooLong => format!(
                "a request is one line of at most {} bytes",
                connection::REQUEST_BYTES_MAX
            ),
            Self::BadRequest => {
                "a request is one JSON object on one line, as {\"command\":\"status\"}: this build knows none such"
                    .to_owned()
            }
            Self::TooSlow => format!(
                "a request must come within {0} seconds, and its answer be taken within {1}, some of it every {0}",
                connection::LIFETIME.as_secs(),
                connection::ANSWERED_WITHIN.as_secs()
            ),
        }
    }

    /// The answer that says so.
    fn answer(self) -> String {
        let error = json!({ "error": { "code": self.name(), "message": self.sentence() } });
        format!("{error}\n")
    }
}

/// What became of connections since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Answered in full.
    pub answered: u64,
    /// See [`Refusal::Busy`].
    pub busy: u64,
    /// See [`Refusal::TooLong`].
    pub too_long: u64,
    /// See [`Refusal::BadRequest`].
    pub bad_request: u64,
    /// See [`Refusal::TooSlow`].
    pub too_slow: u64,
}

impl Counts {
    fn refused(&mut self, refusal: Refusal) {
        let count = match refusal {
            Refusal::Busy => &mut self.busy,
            Refusal::TooLong => &mut self.too_long,
            Refusal::BadRequest => &mut self.bad_request,
            Refusal::TooSlow => &mut self.too_slow,
        };
        *count = count.saturating_add(1);
    }
}

/// The socket and those who are connected. Dropped, it takes its name away.
pub struct Control {
    listener: UnixListener,
    place: place::Place,
    connections: Vec<Connection>,
    next_number: u64,
    paused_until: Option<Instant>,
    counts: Counts,
    /// The user whose place nobody takes, beside root's and our own.
    forwarder: Option<u32>,
}

impl Control {
    /// Makes `control.sock` in the run directory. To be called before the sandbox is entered, which permits
    /// neither the look for another analyzer nor the mode.
    ///
    /// # Errors
    /// Another analyzer answers there, something else lies there, or the directory cannot be written.
    pub fn bind(run_dir: &Path) -> Result<Self, Failure> {
        let (listener, place) = place::bind(run_dir)?;
        Ok(Self {
            listener,
            place,
            connections: Vec::new(),
            next_number: 0,
            paused_until: None,
            counts: Counts::default(),
            forwarder: None,
        })
    }

    /// Lets other users pass through the run directory, which lists nothing for them: fimk-forwarder is one, and who may ask
    /// what is for us to say.
    ///
    /// # Errors
    /// A sentence: the directory is not ours.
    pub fn open_to_others(run_dir: &Path) -> Result<(), String> {
        let failed = |error: io::Error| {
            format!(
                "others cannot be let through {} to the control socket ({error}), and fimk-forwarder is one: chmod o+x it",
                run_dir.display()
            )
        };
        let mode = fs::metadata(run_dir).map_err(failed)?.permissions().mode() & 0o7777;
        let passable = mode | 0o11;
        if passable == mode {
            return Ok(());
        }
        fs::set_permissions(run_dir, fs::Permissions::from_mode(passable)).map_err(failed)
    }

    /// Whether that was done at the start: from within the sandbox it cannot be.
    ///
    /// # Errors
    /// One sentence: it was not.
    pub fn is_open_to_others(run_dir: &Path) -> Result<(), String> {
        match fs::metadata(run_dir) {
            Ok(meta) if meta.permissions().mode() & 0o11 == 0o11 => Ok(()),
            _ => Err(
                "fimk was started without an output over the network, and lets nobody through to its control socket: restart it with this configuration"
                    .to_owned(),
            ),
        }
    }

    /// Keeps a place free for this user, whose events would wait.
    pub fn keep_a_place_for(&mut self, forwarder: Option<u32>) {
        self.forwarder = forwarder;
    }

    /// What poll is to look at.
    pub fn interest(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener: BorrowedFd<'_> = self.listener.as_fd();
        let listener = self
            .paused_until
            .is_none()
            .then(|| PollFd::new(listener, PollFlags::POLLIN));
        listener
            .into_iter()
            .chain(self.connections.iter().map(Connection::interest))
    }

    /// When somebody's time is up.
    pub fn next_due(&self) -> Option<Instant> {
        self.connections
            .iter()
            .map(|it| it.deadline)
            .chain(self.paused_until)
            .min()
    }

    /// Takes connections, reads and writes as far as that goes at once; gives what was asked.
    pub fn turn(&mut self) -> Vec<Question> {
        let now = Instant::now();
        self.accept(now);
        let mut asked = Vec::new();
        let counts = &mut self.counts;
        self.connections.retain_mut(|connection| {
            match connection.step(now) {
                Step::Wait => {}
                Step::Asked(request) => asked.push(Question {
                    number: connection.number,
                    request,
                    user: connection.user(),
                    trusted: connection.is_trusted(),
                }),
                Step::Refused(refusal) => counts.refused(refusal),
                Step::Answered => counts.answered = counts.answered.saturating_add(1),
                Step::Gone => return false,
            }
            !connection.is_over()
        });
        asked
    }

    /// Answers a question with one line of JSON.
    pub fn answer(&mut self, number: u64, line: String) {
        if let Some(connection) = self.connections.iter_mut().find(|it| it.number == number) {
            connection.answer(line);
        }
    }

    /// What became of connections so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn accept(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        for _ in 0..ACCEPTED_AT_ONCE {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream, now),
                Err(error) if is_passing(&error) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.paused_until = Some(now + PAUSE);
                    break;
                }
            }
        }
    }

    /// One who cannot be made non-blocking, or whose user the kernel does not tell, is dropped.
    fn admit(&mut self, stream: UnixStream, now: Instant) {
        let Ok(mut connection) = Connection::new(stream, self.next_number, now) else {
            return;
        };
        self.next_number += 1;
        let others: Vec<_> = self.connections.iter().map(Connection::user).collect();
        let user = connection.user();
        if self.has_own_place(user, &others) || has_place(user, &others) {
            self.connections.push(connection);
        } else {
            self.counts.refused(Refusal::Busy);
            connection.refuse(Refusal::Busy);
            connection.step(now);
        }
    }

    /// The forwarder asks one thing at a time: one place is its own, whoever holds the others. Who took it over gets no more.
    fn has_own_place(&self, user: User, others: &[User]) -> bool {
        Some(user.uid) == self.forwarder
            && others.iter().all(|it| it.uid != user.uid)
            && others.len() < CONNECTIONS_MAX
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.place.leave();
    }
}

/// Whether one more may be connected, beside these.
fn has_place(user: User, others: &[User]) -> bool {
    let untrusted = others.iter().filter(|it| !it.trusted).count();
    let same = others.iter().filter(|it| it.uid == user.uid).count();
    let share = user.trusted || untrusted < CONNECTIONS_MAX - KEPT_FREE && same < EACH_MAX;
    others.len() < CONNECTIONS_MAX && share
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
    )
}
