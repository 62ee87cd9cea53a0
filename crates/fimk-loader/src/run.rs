//! The loop: waits, serves, starts analyzers again, stops.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fimk_wire::{REASON_SENTENCES, raw};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use crate::channel::{Channel, Received};
use crate::error::{Error, Result};
use crate::exit::{self, Status};
use crate::flags::source_name;
use crate::forward::SharedChannel;
use crate::log;
use crate::pins::Pins;
use crate::probe;
use crate::requests::{self, Nonsense};
use crate::sandbox;
use crate::serve::{Fault, Next, Server};
use crate::spawner::{End, Spawner};

/// After records: soon enough that a lost announcement is not felt.
const TICK: Duration = Duration::from_millis(100);
/// When nothing happens: only processes that ended are looked after.
const IDLE_TICK: Duration = Duration::from_secs(10);
/// While a program holds up the ring: it runs or waits for a CPU, and asking faster only takes it away.
const SOON: Duration = Duration::from_millis(1);
/// For the analyzer to take, read and report what was seen before a stop.
const SETTLE: Duration = Duration::from_secs(2);
/// For the analyzer to end once the channel has.
const PATIENCE: Duration = Duration::from_secs(10);
/// Starts allowed within [`STARTS_WITHIN`], the first and five more; after that something is broken that a
/// start does not mend.
const STARTS_MAX: usize = 6;
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Asked to stop; what was seen is still served until then.
    Settling(Instant),
    /// The channel is half closed; the analyzer is killed then.
    Ending(Instant),
    Killed,
}

/// Everything the loop holds.
pub struct Run<'a> {
    spawner: &'a Spawner,
    pins: &'a mut Pins,
    signals: SignalFd,
    channel: SharedChannel,
    server: Option<Server>,
    greeted: bool,
    analyzer: u32,
    starts: VecDeque<Instant>,
    phase: Phase,
    /// Why the analyzer is being killed, so that its end is not told as a riddle.
    dropped: bool,
    /// When an analyzer that closed its channel and does not end is killed.
    gone: Option<Instant>,
    tick: Instant,
    /// From when on an ended process may wake us: on a host that starts thousands, ten times a second do.
    ends_from: Instant,
    activity: u64,
}

impl<'a> Run<'a> {
    /// `signals` delivers SIGTERM and SIGINT.
    pub fn new(spawner: &'a Spawner, pins: &'a mut Pins, signals: SignalFd) -> Self {
        let now = Instant::now();
        Self {
            spawner,
            pins,
            signals,
            channel: Rc::new(RefCell::new(Channel::default())),
            server: None,
            greeted: false,
            analyzer: 0,
            starts: VecDeque::with_capacity(STARTS_MAX),
            phase: Phase::Serving,
            dropped: false,
            gone: None,
            tick: now + IDLE_TICK,
            ends_from: now,
            activity: 0,
        }
    }

    /// Runs until a stop is asked for and done, or cannot go on.
    pub fn run_until_stopped(&mut self) -> Result<()> {
        let result = self.serve_until_stopped();
        if result.is_err() {
            self.channel.borrow_mut().close();
            let _ = self.spawner.kill();
        }
        result
    }

    fn serve_until_stopped(&mut self) -> Result<()> {
        self.start_analyzer()?;
        let mut next = Next::Wait;
        loop {
            self.wait(next)?;
            self.answer_signals()?;
            if let Some(end) = self.spawner.ended()?
                && self.analyzer_ended(end)?
            {
                return Ok(());
            }
            next = match self.serve() {
                Ok(next) => next,
                Err(Fault::Nonsense(nonsense)) => {
                    self.drop_analyzer(nonsense)?;
                    Next::Wait
                }
                Err(Fault::Fatal(error)) => return Err(error),
            };
            self.advance_stop()?;
            self.end_the_gone()?;
        }
    }

    /// An analyzer without a channel is of no use: what it still writes down, it has [`PATIENCE`] for.
    fn end_the_gone(&mut self) -> Result<()> {
        let now = Instant::now();
        match self.gone {
            None if self.channel.borrow().has_ended() => self.gone = Some(now + PATIENCE),
            Some(until) if now >= until => {
                self.gone = Some(now + PATIENCE);
                return self.spawner.kill();
            }
            _ => {}
        }
        Ok(())
    }

    fn start_analyzer(&mut self) -> Result<()> {
        let now = Instant::now();
        while self
            .starts
            .front()
            .is_some_and(|start| now.duration_since(*start) > STARTS_WITHIN)
        {
            self.starts.pop_front();
        }
        if self.starts.len() >= STARTS_MAX {
            let sentence = format!(
                "the analyzer ended {STARTS_MAX} times within a minute: its messages above say why"
            );
            return Err(Error::new(Status::Internal, sentence));
        }
        if !self.starts.is_empty() {
            log::line(format_args!("the analyzer is started again"));
        }
        self.starts.push_back(now);
        let started = self.spawner.start()?;
        self.channel.borrow_mut().open(started.channel);
        (self.analyzer, self.greeted, self.dropped) = (started.pid, false, false);
        self.gone = None;
        Ok(())
    }

    /// Sleeps until something can be done.
    fn wait(&mut self, next: Next) -> Result<()> {
        let now = Instant::now();
        let channel = self.channel.borrow();
        let mut ready = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.spawner.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(descriptor) = channel.descriptor().filter(|_| !self.dropped) {
            // While a packet is held, room is all that helps.
            let event = if channel.is_held() {
                PollFlags::POLLOUT
            } else {
                PollFlags::POLLIN
            };
            if next != Next::Soon {
                ready.push(PollFd::new(descriptor, event));
            }
        }
        let mut until = self.deadline();
        if let Some((records, ends)) = self.server.as_ref().map(Server::rings) {
            if let Some(records) =
                records.filter(|_| next != Next::Soon && channel.is_free() && self.greeted)
            {
                ready.push(PollFd::new(records.as_fd(), PollFlags::POLLIN));
            }
            match ends {
                Some(ends) if now >= self.ends_from => {
                    ready.push(PollFd::new(ends.as_fd(), PollFlags::POLLIN));
                }
                Some(_) => until = until.min(self.ends_from),
                None => {}
            }
        }
        until = match next {
            Next::More => now,
            Next::Soon => until.min(now + SOON),
            Next::Wait => until,
        };
        // Rounded up: a timeout that is too short would spin.
        let milliseconds = until
            .saturating_duration_since(now)
            .as_micros()
            .div_ceil(1000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(cause) => Err(Error::internal("poll", cause)),
        }
    }

    fn deadline(&self) -> Instant {
        let phase = match self.phase {
            Phase::Serving | Phase::Killed => self.tick,
            // The maps that become empty wake nobody.
            Phase::Settling(until) => self.tick.min(until).min(Instant::now() + TICK),
            Phase::Ending(until) => until,
        };
        self.gone.map_or(phase, |gone| gone.min(phase))
    }

    fn serve(&mut self) -> std::result::Result<Next, Fault> {
        if self.dropped {
            return Ok(Next::Wait);
        }
        if !self.greeted {
            return self.await_hello();
        }
        let Some(server) = &mut self.server else {
            return Ok(Next::Wait);
        };
        if matches!(self.phase, Phase::Ending(_) | Phase::Killed) {
            server.finish()?;
            return Ok(Next::Wait);
        }
        let next = server.work()?;
        let now = Instant::now();
        if server.activity() != self.activity {
            self.activity = server.activity();
            self.tick = self.tick.min(now + TICK);
        }
        if now >= self.ends_from && server.forget()? {
            self.ends_from = now + TICK;
        }
        if now >= self.tick {
            server.tick()?;
            self.tick = now + IDLE_TICK;
        }
        Ok(next)
    }

    fn await_hello(&mut self) -> std::result::Result<Next, Fault> {
        let mut buffer = [0; size_of::<raw::fimk_request>() + 1];
        let received = self.channel.borrow_mut().receive(&mut buffer);
        let Received::Bytes(length) = received else {
            return Ok(Next::Wait);
        };
        let hello = requests::parse(&buffer[..length])?;
        if u32::from(hello.kind) != raw::FIMK_REQUEST_HELLO {
            return Err(Nonsense::NotGreeted.into());
        }
        let wanted = requests::wanted_source(&hello)?;
        if self.server.is_none() {
            self.server = Some(self.bring_up(wanted).map_err(Fault::Fatal)?);
        }
        if let Some(server) = &mut self.server {
            server.greet(self.analyzer)?;
        }
        self.greeted = true;
        Ok(Next::More)
    }

    /// Once, at the first HELLO. From here on this process can only forward.
    fn bring_up(&mut self, wanted: u32) -> Result<Server> {
        let source = probe::bring_up(wanted, self.pins)?;
        let server = Server::new(source, &self.channel)?;
        sandbox::enter(self.pins.descriptors())?;
        let why = REASON_SENTENCES
            .get(server.source.refusal.reason as usize)
            .copied()
            .unwrap_or_default();
        log::line(format_args!(
            "the source {} serves: {why}",
            source_name(server.source.number)
        ));
        Ok(server)
    }

    fn drop_analyzer(&mut self, nonsense: Nonsense) -> Result<()> {
        log::line(format_args!(
            "the analyzer (pid {}) is dropped: {nonsense}",
            self.analyzer
        ));
        self.dropped = true;
        self.channel.borrow_mut().close();
        self.spawner.kill()
    }

    /// Whether that was the end we waited for.
    fn analyzer_ended(&mut self, end: End) -> Result<bool> {
        self.channel.borrow_mut().close();
        if let Some(server) = &mut self.server {
            server.end_arming();
        }
        if let End::Exited(status) = end
            && let Some(status) = exit::is_final(status)
        {
            return Err(Error::passed_on(status));
        }
        match (self.phase, end) {
            (Phase::Serving, end) => {
                if !self.dropped {
                    log::line(format_args!("the analyzer (pid {}) {end}", self.analyzer));
                }
                self.start_analyzer()?;
                Ok(false)
            }
            (Phase::Killed, _) => Err(Error::new(
                Status::Internal,
                format!(
                    "the analyzer did not end within {} s and was killed: what it held is found as a gap at the next start",
                    PATIENCE.as_secs()
                ),
            )),
            (_, End::Exited(0)) => Ok(true),
            (_, end) => Err(Error::new(
                Status::Internal,
                format!("while stopping, the analyzer {end}"),
            )),
        }
    }

    fn answer_signals(&mut self) -> Result<()> {
        loop {
            match self.signals.read_signal() {
                Ok(Some(_)) if self.phase == Phase::Serving => {
                    self.phase = Phase::Settling(Instant::now() + SETTLE);
                }
                Ok(Some(_)) | Err(Errno::EINTR) => {}
                Ok(None) => return Ok(()),
                Err(cause) => return Err(Error::internal("signals cannot be read", cause)),
            }
        }
    }

    fn advance_stop(&mut self) -> Result<()> {
        let now = Instant::now();
        match self.phase {
            Phase::Settling(until) => {
                let quiet = !self.greeted || self.server.as_ref().is_none_or(Server::is_quiet);
                if quiet || self.dropped || now >= until {
                    self.channel.borrow_mut().finish();
                    self.phase = Phase::Ending(now + PATIENCE);
                }
                Ok(())
            }
            Phase::Ending(until) if now >= until => {
                self.phase = Phase::Killed;
                self.spawner.kill()
            }
            _ => Ok(()),
        }
    }
}
