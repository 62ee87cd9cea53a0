//! An output: which events go to it, in what form, and what waits there. Each event comes at least once.

mod burst;
mod form;
mod handed;
mod sink;
mod writer;

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use fimk_core::{
    config::{self, OutputKind},
    event::{Body, Event},
    render::Host,
};

use self::{burst::Bursts, form::Form, sink::Record, writer::Writer};
pub use self::{
    burst::Due,
    form::line,
    handed::Handed,
    sink::{MEMORY_FILE, Sink, open as sink_of},
    writer::{Blocked, RECORDS_MAX},
};
use crate::clock;

/// Gives events to a sink, without ever waiting for it.
pub struct Output {
    /// The name of its cursor in the store.
    pub name: String,
    /// Where it goes,
    pub kind: OutputKind,
    /// and the same for sentences.
    pub place: String,
    /// This life of it: tickets of another mean nothing.
    pub epoch: String,
    form: Form,
    filter: config::Filter,
    burst: Option<config::Burst>,
    bursts: Option<Bursts>,
    /// What was kept back long enough, and waits for room.
    ripe: VecDeque<Due>,
    /// The number of the last event that was taken in its turn.
    taken: u64,
    writer: Writer,
}

impl Output {
    /// As configured.
    ///
    /// # Errors
    /// When there can be no thread that writes, or standard output is closed.
    pub fn new(host: Host, config: &config::Output) -> io::Result<Self> {
        Self::into_sink(host, config, sink::open(&config.kind)?)
    }

    /// The same, once what it writes to was opened.
    ///
    /// # Errors
    /// One sentence: that cannot be opened.
    pub fn opened(host: Host, config: &config::Output) -> Result<Self, String> {
        let sink = sink::opened(&config.kind)?;
        Self::into_sink(host, config, sink).map_err(|error| error.to_string())
    }

    fn into_sink(
        host: Host,
        config: &config::Output,
        sink: Option<Box<dyn Sink>>,
    ) -> io::Result<Self> {
        Ok(Self {
            name: config.name.clone(),
            kind: config.kind.clone(),
            place: sink::place(&config.kind),
            epoch: format!("{}-{}", std::process::id(), clock::now().0),
            form: Form::of(config, host),
            filter: config.filter.clone(),
            burst: config.burst,
            bursts: config.burst.map(Bursts::new),
            ripe: VecDeque::new(),
            taken: 0,
            writer: match sink {
                Some(sink) => Writer::start(sink)?,
                None => Writer::of_another_process(),
            },
        })
    }

    /// Whether this one can go on as that one: they go to the same place.
    pub fn becomes(&self, new: &config::Output) -> bool {
        self.kind.is_same(&new.kind) || self.name == new.name && self.kind == new.kind
    }

    /// Goes on as that one, into another sink if there is one. What waits to be written already keeps its form.
    pub fn become_another(
        &mut self,
        host: Host,
        config: &config::Output,
        sink: Option<Box<dyn Sink>>,
    ) {
        if self.burst != config.burst {
            let bursts = self.bursts.take();
            let kept = bursts.map(|mut it| it.due(Instant::now(), true));
            self.ripe.extend(kept.into_iter().flatten());
            self.burst = config.burst;
            self.bursts = config.burst.map(Bursts::new);
        }
        self.name.clone_from(&config.name);
        self.kind.clone_from(&config.kind);
        self.form = Form::of(config, host);
        self.filter.clone_from(&config.filter);
        if let Some(sink) = sink {
            self.writer.exchange(sink);
        }
    }

    /// Whether an event is for it.
    pub fn wants(&self, event: &Event) -> bool {
        self.filter.passes(event)
    }

    /// Takes the next stored event: gives it to be written, or keeps it back for a while. False when too many wait already,
    /// and it is to be offered again.
    pub fn offer(&mut self, event: &Event) -> bool {
        if !self.has_room() {
            return false;
        }
        self.taken = self.taken.max(event.sequence);
        let bursts = self.bursts.as_mut();
        let wanted = self.filter.passes(event);
        if wanted && bursts.is_some_and(|bursts| bursts.keeps(event, Instant::now())) {
            return true;
        }
        self.give(event)
    }

    /// Gives an event to be written now, out of its turn: [`Self::written`] will not speak of it.
    pub fn offer_before_its_turn(&self, event: &Event) -> bool {
        self.writer.offer(self.record(event, 0))
    }

    /// The event of this sequence was written before its turn: in its turn it counts, and is not written again.
    pub fn pass_over(&mut self, sequence: u64) -> bool {
        self.taken = self.taken.max(sequence);
        self.writer.offer(Record {
            sequence: self.all_until(),
            ..Record::default()
        })
    }

    /// The next of what was kept back long enough, or, with `all`, of everything that was; the caller gives it with
    /// [`Self::give`].
    pub fn kept(&mut self, all: bool) -> Option<Due> {
        if let Some(bursts) = &mut self.bursts {
            self.ripe.extend(bursts.due(Instant::now(), all));
        }
        if self.writer.has_room() {
            self.ripe.pop_front()
        } else {
            None
        }
    }

    /// Gives an event to be written, unless it is not for this output; false when there was no room.
    pub fn give(&self, event: &Event) -> bool {
        self.writer.offer(self.record(event, self.all_until()))
    }

    /// Empty where it is not for this output.
    fn record(&self, event: &Event, sequence: u64) -> Record {
        Record {
            sequence,
            event: event.sequence,
            bytes: if self.filter.passes(event) {
                self.form.record(event)
            } else {
                Vec::new()
            },
        }
    }

    /// The number up to which all was given to be written: what is kept back holds it back.
    fn all_until(&self) -> u64 {
        let held = self.bursts.as_ref().and_then(Bursts::oldest);
        let ripe = self.ripe.iter().map(oldest_of);
        let oldest = held.into_iter().chain(ripe).min();
        oldest.map_or(self.taken, |oldest| oldest.saturating_sub(1))
    }

    /// Whether an event would be taken in its turn.
    pub fn has_room(&self) -> bool {
        self.ripe.is_empty() && self.writer.has_room()
    }

    /// When [`Self::kept`] has something to give, if there is room.
    pub fn next_due(&self) -> Option<Instant> {
        self.bursts.as_ref().and_then(Bursts::next_due)
    }

    /// The number up to which all is written; 0 before the first.
    pub fn written(&self) -> u64 {
        self.writer.written()
    }

    /// Gives what waits to fimk-forwarder; see [`Writer::hand_out`].
    pub fn hand_out(&self, limit: usize, problem: Option<String>) -> Handed {
        self.writer.hand_out(limit, problem)
    }

    /// Whether fimk-forwarder sends what goes there.
    pub fn is_fetched(&self) -> bool {
        self.writer.is_fetched()
    }

    /// For how long who sends has not asked, if it is to.
    pub fn unasked(&self) -> Option<Duration> {
        self.writer.unasked()
    }

    /// Its receiver has all up to this ticket, but for `refused` ones: the numbers of their events.
    pub fn acknowledge(&self, upto: u64, refused: &[u64]) -> Vec<u64> {
        self.writer.acknowledge(upto, refused)
    }

    /// Whether everything that was taken is written or kept back.
    pub fn is_idle(&self) -> bool {
        self.ripe.is_empty() && self.writer.is_idle()
    }

    /// Events to be written that are not.
    pub fn waiting(&self) -> usize {
        self.ripe.len() + self.writer.waiting()
    }

    /// Events that were cut because a datagram has no room for more.
    pub fn cut(&self) -> u64 {
        self.form.cut()
    }

    /// What keeps events from being written, if some wait.
    pub fn blocked(&self) -> Option<Blocked> {
        self.writer.blocked()
    }
}

fn oldest_of(due: &Due) -> u64 {
    match due {
        Due::Stored(sequence) => *sequence,
        Due::Summary(event) => match &event.body {
            Body::Burst(burst) => burst.first,
            _ => event.sequence,
        },
    }
}
