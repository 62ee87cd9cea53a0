//! The loop: waits, serves one analyzer after the other, stops.

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fimk_wire::{REASON_SENTENCES, raw};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use crate::analyzers::{Analyzers, End};
use crate::channel::{Channel, Received};
use crate::error::{Error, Result};
use crate::exit::{self, Status};
use crate::fanotify;
use crate::flags::source_name;
use crate::forward::SharedChannel;
use crate::log;
use crate::notify::Notify;
use crate::pins::Pins;
use crate::probe::{self, Source};
use crate::requests::{self, Nonsense, Wanted};
use crate::sandbox;
use crate::serve::{Fault, Next, Server};
use crate::vigil::{News, Vigil};

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
/// Between two lines that say what was seen and done.
const TALLY_EVERY: Duration = Duration::from_secs(600);
/// For an analyzer that came to us to say HELLO. It opens its database before, which may first have to be recovered;
/// meanwhile no other is served.
const HELLO_PATIENCE: Duration = Duration::from_secs(120);
/// How long a queue is filled for an analyzer that does not come: what it then misses, it finds by comparing.
const FORSAKEN_AFTER: Duration = Duration::from_secs(60);

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Asked to stop; what was seen is still served until then.
    Settling(Instant),
    /// The channel is half closed; the analyzer is ended then.
    Ending(Instant),
    Killed,
}

/// The analyzer that is served.
struct Peer {
    pid: u32,
    since: Instant,
    /// It said HELLO.
    greeted: bool,
    /// From HELLO on.
    vigil: Option<Vigil>,
    /// It sent nonsense, and nothing is heard from it any more.
    dropped: bool,
}

/// Everything the loop holds.
pub struct Run<'a> {
    analyzers: &'a mut dyn Analyzers,
    pins: &'a mut Pins,
    signals: SignalFd,
    notify: Notify,
    channel: SharedChannel,
    server: Option<Server>,
    peer: Option<Peer>,
    /// [`Analyzers::descriptor`] was readable.
    called: bool,
    /// The analyzer is to read its configuration again, once it said HELLO: before, the signal could end it.
    reload: bool,
    phase: Phase,
    tick: Instant,
    tally_at: Instant,
    /// Since when there is no analyzer that said HELLO.
    vacant: Option<Instant>,
    /// From when on an ended process may wake us: on a host that starts thousands, ten times a second do.
    ends_from: Instant,
    activity: u64,
    stuck_after: Duration,
    /// When to look how much waits in the queue of fanotify; never with another source.
    queue_at: Option<Instant>,
}

impl<'a> Run<'a> {
    /// `signals` delivers SIGTERM, SIGINT and SIGHUP; an analyzer that is silent for `stuck_after` is dropped.
    pub fn new(
        analyzers: &'a mut dyn Analyzers,
        pins: &'a mut Pins,
        signals: SignalFd,
        notify: Notify,
        stuck_after: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            analyzers,
            pins,
            signals,
            notify,
            channel: Rc::new(RefCell::new(Channel::default())),
            server: None,
            peer: None,
            called: false,
            reload: false,
            phase: Phase::Serving,
            tick: now + IDLE_TICK,
            tally_at: now + TALLY_EVERY,
            vacant: Some(now),
            ends_from: now,
            activity: 0,
            stuck_after,
            queue_at: None,
        }
    }

    /// Runs until a stop is asked for and done, or cannot go on.
    pub fn run_until_stopped(&mut self) -> Result<()> {
        let result = self.serve_until_stopped();
        self.tell_tally();
        if result.is_err() {
            self.channel.borrow_mut().close();
            let _ = self.analyzers.end();
        }
        result
    }

    fn serve_until_stopped(&mut self) -> Result<()> {
        let mut next = Next::Wait;
        loop {
            self.welcome()?;
            if self.peer.is_none() && self.phase != Phase::Serving {
                return Ok(());
            }
            self.wait(next)?;
            self.answer_signals()?;
            next = match self.serve() {
                Ok(next) => next,
                Err(Fault::Nonsense(nonsense)) => {
                    self.drop_analyzer(nonsense)?;
                    Next::Wait
                }
                Err(Fault::Fatal(error)) => return Err(error),
            };
            let left = self.channel.borrow().has_ended();
            if let Some(end) = self.analyzers.ended(left)?
                && self.analyzer_ended(end)?
            {
                return Ok(());
            }
            self.advance_stop()?;
            self.notify.beat();
        }
    }

    /// Takes the next analyzer, if there is one and a place for it.
    fn welcome(&mut self) -> Result<()> {
        let vacant = self.peer.is_none() && self.phase == Phase::Serving;
        // One that is gone is first heard to its end: then there is a place.
        if !vacant && (!self.called || self.channel.borrow().is_hung_up()) {
            return Ok(());
        }
        if let Some(started) = self.analyzers.next(vacant)? {
            self.channel.borrow_mut().open(started.channel);
            if self.analyzers.keeps_pins() {
                log::line(format_args!(
                    "an analyzer (pid {}) is attached",
                    started.pid
                ));
            }
            self.peer = Some(Peer {
                pid: started.pid,
                since: Instant::now(),
                greeted: false,
                vigil: None,
                dropped: false,
            });
        }
        Ok(())
    }

    /// Sleeps until something can be done.
    fn wait(&mut self, next: Next) -> Result<()> {
        let now = Instant::now();
        let channel = self.channel.borrow();
        let mut ready = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let caller = self.analyzers.descriptor(now).map(|descriptor| {
            ready.push(PollFd::new(descriptor, PollFlags::POLLIN));
            ready.len() - 1
        });
        if let Some(descriptor) = channel.descriptor() {
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
        let greeted = self.peer.as_ref().is_some_and(|peer| peer.greeted);
        let mut until = self.deadline();
        if let Some((records, ends)) = self.server.as_ref().map(Server::rings) {
            if let Some(records) =
                records.filter(|_| next != Next::Soon && channel.is_free() && greeted)
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
            Ok(_) | Err(Errno::EINTR) => {}
            Err(cause) => return Err(Error::internal("poll", cause)),
        }
        self.called = caller.is_some_and(|at| ready[at].any().unwrap_or(false));
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let phase = match self.phase {
            Phase::Serving | Phase::Killed => self.tick,
            // The maps that become empty wake nobody.
            Phase::Settling(until) => self.tick.min(until).min(Instant::now() + TICK),
            Phase::Ending(until) => until,
        };
        let others = [
            self.analyzers.wakes(),
            self.notify.next_due(),
            self.hello_due(),
            self.vigil_due(),
            self.queue_at.filter(|_| self.phase == Phase::Serving),
        ];
        others.into_iter().flatten().fold(phase, Instant::min)
    }

    /// When an analyzer that came to us and says nothing is dropped. One that we started is waited for: who started
    /// us sees that nothing happens.
    fn hello_due(&self) -> Option<Instant> {
        let silent = |peer: &&Peer| !peer.greeted && !peer.dropped && self.phase == Phase::Serving;
        let peer = self.peer.as_ref().filter(silent)?;
        self.analyzers
            .keeps_pins()
            .then(|| peer.since + HELLO_PATIENCE)
    }

    fn serve(&mut self) -> std::result::Result<Next, Fault> {
        let next = self.converse()?;
        self.keep_house()?;
        self.keep_vigil()?;
        Ok(next)
    }

    /// What goes on between the server and the analyzer.
    fn converse(&mut self) -> std::result::Result<Next, Fault> {
        match &self.peer {
            Some(peer) if peer.dropped => return Ok(Next::Wait),
            Some(peer) if !peer.greeted && self.phase == Phase::Serving => {
                return self.await_hello();
            }
            Some(peer) if !peer.greeted => {
                self.hear_out();
                return Ok(Next::Wait);
            }
            Some(_) => {}
            None => return Ok(Next::Wait),
        }
        let Some(server) = &mut self.server else {
            return Ok(Next::Wait);
        };
        if matches!(self.phase, Phase::Ending(_) | Phase::Killed) {
            server.finish()?;
            return Ok(Next::Wait);
        }
        server.work()
    }

    /// What is due now and then, whether there is an analyzer or not.
    fn keep_house(&mut self) -> std::result::Result<(), Fault> {
        let now = Instant::now();
        let due = now >= self.tick;
        if due {
            self.tick = now + IDLE_TICK;
        }
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        if server.activity() != self.activity {
            self.activity = server.activity();
            self.tick = self.tick.min(now + TICK);
        }
        if due {
            server.recover_ends(now)?;
        }
        if now >= self.ends_from && server.forget()? {
            self.ends_from = now + TICK;
        }
        if due && self.peer.as_ref().is_some_and(|peer| peer.greeted) {
            server.tick()?;
        }
        if let Some(at) = server.detach_arming(now) {
            self.tick = self.tick.min(at);
        }
        if self
            .vacant
            .is_some_and(|since| now >= since + FORSAKEN_AFTER)
        {
            self.vacant = None;
            server.forsake();
        }
        if now >= self.tally_at {
            self.tally_at = now + TALLY_EVERY;
            self.tell_tally();
        }
        Ok(())
    }

    /// Whether the analyzer lives, and reads what is there for it.
    fn keep_vigil(&mut self) -> std::result::Result<(), Fault> {
        let now = Instant::now();
        let Some(server) = self
            .server
            .as_ref()
            .filter(|_| self.phase == Phase::Serving)
        else {
            return Ok(());
        };
        let mut unread = 0;
        if self.queue_at.is_some_and(|at| now >= at) {
            self.queue_at = Some(now + fanotify::LOOK_EVERY);
            unread = server.queued();
        }
        let too_many = unread > fanotify::QUEUE_MAX;
        let Some(peer) = self.peer.as_mut().filter(|peer| !peer.dropped) else {
            if too_many {
                server.forsake();
            }
            return Ok(());
        };
        if too_many {
            return Err(Nonsense::Unread(unread).into());
        }
        let (pid, answered) = (peer.pid, server.served());
        match peer
            .vigil
            .as_mut()
            .and_then(|vigil| vigil.look(answered, now))
        {
            Some(News::Silent(silent)) => log::line(format_args!(
                "the analyzer (pid {pid}) has said nothing for {} s: it is stopped or stuck, what changes is kept for \
                 it, and after {} s it is dropped",
                silent.as_secs(),
                self.stuck_after.as_secs()
            )),
            Some(News::Back(silent)) => log::line(format_args!(
                "the analyzer (pid {pid}) is heard again after {} s",
                silent.as_secs()
            )),
            Some(News::Stuck(silent)) => return Err(Nonsense::Stuck(silent).into()),
            None => {}
        }
        Ok(())
    }

    fn vigil_due(&self) -> Option<Instant> {
        let peer = self.peer.as_ref().filter(|peer| !peer.dropped)?;
        let vigil = peer
            .vigil
            .as_ref()
            .filter(|_| self.phase == Phase::Serving)?;
        Some(vigil.next_due())
    }

    /// Nothing is brought up for who comes while we stop; only its end is awaited.
    fn hear_out(&self) {
        let mut buffer = [0; size_of::<raw::fimk_request>() + 1];
        self.channel.borrow_mut().receive(&mut buffer);
    }

    fn await_hello(&mut self) -> std::result::Result<Next, Fault> {
        let mut buffer = [0; size_of::<raw::fimk_request>() + 1];
        let received = self.channel.borrow_mut().receive(&mut buffer);
        let Received::Bytes(length) = received else {
            return match self.hello_due() {
                Some(due) if Instant::now() >= due => Err(Nonsense::Silent.into()),
                _ => Ok(Next::Wait),
            };
        };
        let hello = requests::parse(&buffer[..length])?;
        if u32::from(hello.kind) != raw::FIMK_REQUEST_HELLO {
            return Err(Nonsense::NotGreeted.into());
        }
        let wanted = requests::wanted(&hello)?;
        if hello.cookie != 0 && hello.cookie != u64::from(wanted.objects) {
            log::line(format_args!(
                "the analyzer asks for room for {} objects: there may be {} to {}, so it gets {}",
                hello.cookie,
                raw::FIMK_OBJECTS_MIN,
                raw::FIMK_OBJECTS_MAX,
                wanted.objects
            ));
        }
        if self.server.is_none() {
            self.server = Some(self.bring_up(&wanted).map_err(Fault::Fatal)?);
        }
        if let (Some(server), Some(peer)) = (&mut self.server, &mut self.peer) {
            server.greet(peer.pid)?;
            peer.greeted = true;
            peer.vigil = Some(Vigil::new(
                self.stuck_after,
                server.served(),
                Instant::now(),
            ));
            self.vacant = None;
            tell_unmet(&server.source, &wanted);
        }
        Ok(Next::More)
    }

    /// Once, at the first HELLO. From here on this process can only forward.
    fn bring_up(&mut self, wanted: &Wanted) -> Result<Server> {
        let source = probe::bring_up(wanted, self.pins)?;
        let server = Server::new(source, &self.channel)?;
        self.queue_at = server.source.fanotify.as_ref().map(|_| Instant::now());
        sandbox::enter(self.pins.descriptors(), self.analyzers.keeps_pins())?;
        let why = REASON_SENTENCES
            .get(server.source.refusal.reason as usize)
            .copied()
            .unwrap_or_default();
        let sentence = format!(
            "the source {} serves: {why}",
            source_name(server.source.number)
        );
        log::line(&sentence);
        self.notify.ready();
        self.notify.status(&sentence);
        Ok(server)
    }

    fn drop_analyzer(&mut self, nonsense: Nonsense) -> Result<()> {
        if let Some(peer) = &mut self.peer {
            log::line(format_args!(
                "the analyzer (pid {}) is dropped: {nonsense}",
                peer.pid
            ));
            peer.dropped = true;
        }
        if let Some(server) = &self.server {
            server.forsake();
        }
        self.channel.borrow_mut().close();
        self.analyzers.end()
    }

    /// Whether that was the end we waited for.
    fn analyzer_ended(&mut self, end: End) -> Result<bool> {
        self.channel.borrow_mut().close();
        if let Some(server) = &mut self.server {
            server.end_arming();
            server.set_own(0);
        }
        self.vacant.get_or_insert_with(Instant::now);
        let peer = self.peer.take();
        if let End::Exited(status) = end
            && let Some(status) = exit::is_final(status)
        {
            return Err(Error::passed_on(status));
        }
        match (self.phase, end) {
            (Phase::Serving, end) => {
                if let Some(peer) = peer.filter(|peer| !peer.dropped) {
                    log::line(format_args!("the analyzer (pid {}) {end}", peer.pid));
                }
                Ok(false)
            }
            (Phase::Killed, End::Left) => {
                log::line(format_args!(
                    "the analyzer did not end within {} s: what it has not done is told to the next",
                    PATIENCE.as_secs()
                ));
                Ok(true)
            }
            (Phase::Killed, _) => Err(Error::new(
                Status::Internal,
                format!(
                    "the analyzer did not end within {} s and was killed: what it held is found as a gap at the next start",
                    PATIENCE.as_secs()
                ),
            )),
            (_, End::Exited(0) | End::Left) => Ok(true),
            (_, end) => Err(Error::new(
                Status::Internal,
                format!("while stopping, the analyzer {end}"),
            )),
        }
    }

    fn answer_signals(&mut self) -> Result<()> {
        loop {
            match self.signals.read_signal() {
                Ok(Some(signal)) if signal.ssi_signo == Signal::SIGHUP as u32 => self.reload = true,
                Ok(Some(_)) if self.phase == Phase::Serving => {
                    self.notify.stopping();
                    self.phase = Phase::Settling(Instant::now() + SETTLE);
                }
                Ok(Some(_)) | Err(Errno::EINTR) => {}
                Ok(None) => return self.pass_on_reload(),
                Err(cause) => return Err(Error::internal("signals cannot be read", cause)),
            }
        }
    }

    /// Asked for before the analyzer has said HELLO, it is passed on when the loop comes round after that.
    fn pass_on_reload(&mut self) -> Result<()> {
        let hears = |peer: &Peer| peer.greeted && !peer.dropped;
        if self.reload && self.phase == Phase::Serving && self.peer.as_ref().is_some_and(hears) {
            self.reload = false;
            self.analyzers.reload()?;
        }
        Ok(())
    }

    fn advance_stop(&mut self) -> Result<()> {
        let now = Instant::now();
        match self.phase {
            Phase::Settling(until) => {
                let serves = |peer: &Peer| peer.greeted && !peer.dropped;
                let quiet = !self.peer.as_ref().is_some_and(serves)
                    || self.server.as_ref().is_none_or(Server::is_quiet);
                if quiet || now >= until {
                    self.channel.borrow_mut().finish();
                    self.phase = Phase::Ending(now + PATIENCE);
                }
                Ok(())
            }
            Phase::Ending(until) if now >= until => {
                self.phase = Phase::Killed;
                self.analyzers.end()
            }
            _ => Ok(()),
        }
    }

    /// So that an analyzer that lies does not lie in silence.
    fn tell_tally(&self) {
        if let Some(Ok(tally)) = self.server.as_ref().map(Server::tally) {
            log::line(tally);
        }
    }
}

/// What was brought up for an earlier analyzer stays as it is.
fn tell_unmet(source: &Source, wanted: &Wanted) {
    let objects = wanted.objects;
    if wanted.kinds & !source.kinds != 0 {
        log::line(
            "the analyzer asks for attempts whose programs were not loaded: they are told once this loader is \
             started again",
        );
    }
    if wanted.source != raw::FIMK_SOURCE_AUTO && wanted.source != source.number {
        log::line(format_args!(
            "the analyzer asks for the source {}: {} serves until this loader is started again",
            source_name(wanted.source),
            source_name(source.number)
        ));
    }
    let room = source.objects();
    if room != 0 && room != objects {
        log::line(format_args!(
            "the analyzer asks for room for {objects} objects: it is {room} until this loader is started again"
        ));
    }
}
