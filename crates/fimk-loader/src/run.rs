//! The loop: waits, serves one analyzer after the other, stops.

mod hello;
mod stop;
mod wait;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signalfd::SignalFd;

use crate::analyzers::Analyzers;
use crate::channel::Channel;
use crate::error::{Error, Result};
use crate::fanotify;
use crate::forward::SharedChannel;
use crate::log;
use crate::notify::Notify;
use crate::pins::Pins;
use crate::requests::Nonsense;
use crate::serve::{Fault, Next, Server};
use crate::vigil::{News, Vigil};

use stop::Phase;

/// After records: soon enough that a lost announcement is not felt.
const TICK: Duration = Duration::from_millis(100);
/// When nothing happens: only processes that ended are looked after.
const IDLE_TICK: Duration = Duration::from_secs(10);
/// Between two lines that say what was seen and done.
const TALLY_EVERY: Duration = Duration::from_secs(600);
/// How long a queue is filled for an analyzer that does not come: what it then misses, it finds by comparing.
const FORSAKEN_AFTER: Duration = Duration::from_secs(60);

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
            server.look_after_marker();
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
        if unread > fanotify::QUEUE_BURSTS {
            return Err(Fault::Fatal(Error::internal(
                "nobody reads the queue of fanotify and it is filled still",
                "its marks cannot be taken off; the kernel lets go of them with the end of this process",
            )));
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

    /// So that an analyzer that lies does not lie in silence.
    fn tell_tally(&self) {
        if let Some(Ok(tally)) = self.server.as_ref().map(Server::tally) {
            log::line(tally);
        }
    }
}
