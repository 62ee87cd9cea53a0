//! The first that an analyzer says.

use std::time::Instant;

use fimk_wire::{REASON_SENTENCES, raw};

use super::Run;
use crate::channel::Received;
use crate::error::Result;
use crate::flags::source_name;
use crate::life;
use crate::log;
use crate::probe::{self, Source};
use crate::requests::{self, Nonsense, Wanted};
use crate::sandbox;
use crate::serve::{Fault, Next, Server};
use crate::vigil::Vigil;

impl Run<'_> {
    /// Nothing is brought up for who comes while we stop; only its end is awaited.
    pub(super) fn hear_out(&self) {
        let mut buffer = [0; size_of::<raw::fimk_request>() + 1];
        self.channel.borrow_mut().receive(&mut buffer);
    }

    pub(super) fn await_hello(&mut self) -> std::result::Result<Next, Fault> {
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
        let pins = &mut *self.pins;
        let source = life::lent(&mut self.notify, || probe::bring_up(wanted, pins))?;
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
