//! The outputs of another configuration in the place of those that are there.
//!
//! | the new one | becomes |
//! |---|---|
//! | goes to the same place as an old one | that one, with another filter, form or name: what waits there already keeps its form |
//! | goes elsewhere, and an old one has its name | one of its own, that goes on where that one was |
//! | is like none | one of its own, that begins with what is stored from now on |
//!
//! An old one that is none of these gets what is stored up to now, if it takes it soon, and is closed.

use std::time::{Duration, Instant};

use fimk_core::{
    config::{self, Config, OutputKind},
    render::Host,
};

use fimk_store::StoreError;

use super::{Engine, Trouble, lane::Lane};
use crate::{
    control::Control,
    engine::Meter,
    exit::{Failure, log},
    metrics::Metrics,
    output::{Output, Sink, sink_of},
};

/// One that is closed gets what waits for so long.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// What becomes of the outputs. Everything that can fail was tried.
pub(super) struct Exchange {
    next: Vec<Next>,
    /// Another file of metrics, or none, in the place of what there is.
    metrics: Option<Metrics>,
    /// It stays.
    keeps_metrics: bool,
    counts: Counts,
}

/// An output of the new configuration.
enum Next {
    /// That one goes on as this, by another sink if it is written to in another way.
    Old(usize, Box<config::Output>, Option<Box<dyn Sink>>),
    /// One of its own.
    New(Box<Output>),
}

/// How many outputs came, went and became others, by their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came.
    pub added: u64,
    /// Went.
    pub removed: u64,
    /// Became others.
    pub changed: u64,
}

impl Engine {
    /// Makes and tries what the new outputs need.
    pub(super) fn prepare_outputs(&self, config: &Config) -> Result<Exchange, String> {
        let next = config.outputs.iter().filter(|it| it.takes_events());
        let keeps_metrics = config.metrics == self.config.metrics;
        let other = config.metrics.as_ref().filter(|_| !keeps_metrics);
        let metrics = other.map(|it| self.prepare_metrics(it)).transpose()?;
        Ok(Exchange {
            next: next.map(|it| self.next(it)).collect::<Result<_, _>>()?,
            metrics,
            keeps_metrics,
            counts: Counts::between(&self.config.outputs, &config.outputs),
        })
    }

    fn next(&self, new: &config::Output) -> Result<Next, String> {
        let refused = |why: String| format!("the output \"{}\" cannot be opened: {why}", new.name);
        let old = self.lanes.iter().position(|lane| lane.output.becomes(new));
        if let Some(at) = old {
            let same = self
                .lanes
                .get(at)
                .is_some_and(|it| it.output.kind == new.kind);
            let sink = (!same).then(|| sink_of(&new.kind)).transpose();
            let sink = sink.map_err(|error| refused(error.to_string()))?;
            return Ok(Next::Old(at, Box::new(new.clone()), sink.flatten()));
        }
        self.permits(&new.kind).map_err(refused)?;
        let output = Output::opened(self.host_of_outputs(), new).map_err(refused)?;
        Ok(Next::New(Box::new(output)))
    }

    /// Whether what this process gave up at its start would not keep it from this place.
    fn permits(&self, kind: &OutputKind) -> Result<(), String> {
        let sandbox = &self.about.sandbox;
        match kind {
            OutputKind::Stdout => Ok(()),
            OutputKind::File { path, .. } => sandbox.permitted.file(path),
            OutputKind::Journald { socket } | OutputKind::Syslog { socket, .. } => {
                sandbox.permitted.socket(socket)
            }
            OutputKind::Remote(_) => Control::is_open_to_others(&self.config.run_dir),
        }
    }

    fn prepare_metrics(&self, new: &config::Metrics) -> Result<Metrics, String> {
        let refused = |why: String| format!("the file of [metrics] cannot be written: {why}");
        let permitted = self.about.sandbox.permitted.file(&new.path);
        permitted.map_err(refused)?;
        Metrics::start(new.clone()).map_err(|error| refused(error.to_string()))
    }

    fn host_of_outputs(&self) -> Host {
        Host {
            name: self.about.host.clone(),
        }
    }

    /// From now on these are the outputs. Those that are no more get what is told of the exchange, until
    /// [`Self::close_outputs`].
    pub(super) fn exchange_outputs(
        &mut self,
        exchange: Exchange,
        config: &Config,
    ) -> Result<Counts, Trouble> {
        let mut old: Vec<Option<Lane>> = self.lanes.drain(..).map(Some).collect();
        let names: Vec<String> = old.iter().flatten().map(Lane::name).collect();
        for next in exchange.next {
            let lane = self.lane_of(next, &mut old)?;
            self.lanes.extend(lane);
        }
        let now = |name: &String| self.lanes.iter().any(|lane| lane.name() == *name);
        let gone = old.into_iter().flatten().filter(|lane| !now(&lane.name()));
        let gone: Vec<Lane> = gone.map(Lane::forgotten).collect();
        self.leaving.extend(gone);
        self.keep_cursors(&names).map_err(Failure::from)?;
        self.meters = config.outputs.iter().filter_map(Meter::of).collect();
        if !exchange.keeps_metrics {
            self.metrics = exchange.metrics;
        }
        Ok(exchange.counts)
    }

    fn lane_of(&mut self, next: Next, old: &mut [Option<Lane>]) -> Result<Option<Lane>, Trouble> {
        let output = match next {
            Next::Old(at, new, sink) => {
                let mut lane = old.get_mut(at).and_then(Option::take);
                if let Some(lane) = &mut lane {
                    let host = self.host_of_outputs();
                    lane.output.become_another(host, &new, sink);
                }
                return Ok(lane);
            }
            Next::New(output) => *output,
        };
        // Nobody else writes there.
        let there = |lane: &Lane| lane.output.kind.is_same(&output.kind);
        self.leaving.retain(|lane| !there(lane));
        let mut before = old.iter().flatten();
        Ok(Some(match before.find(|it| it.name() == output.name) {
            Some(lane) => lane.followed_by(output),
            None => Lane::new(output, &mut self.store)?,
        }))
    }

    /// How far each output is, is known by its name of now, and no more of those that had one of these.
    fn keep_cursors(&mut self, names: &[String]) -> Result<(), StoreError> {
        for lane in &self.lanes {
            self.store.set_cursor(&lane.output.name, lane.cursor())?;
        }
        let now = |name: &String| self.lanes.iter().any(|lane| lane.output.name == *name);
        for name in names.iter().filter(|name| !now(name)) {
            self.store.remove_cursor(name)?;
        }
        Ok(())
    }

    /// Those that are no more get nothing that is stored from now on.
    pub(super) fn close_outputs(&mut self) {
        let last = self.store.next_sequence().saturating_sub(1);
        let until = Instant::now() + LEAVE_WITHIN;
        self.leaving.iter_mut().for_each(|it| it.leave(last, until));
    }

    /// Forgets those that have got what is left for them, or do not take it.
    pub(super) fn see_off(&mut self) {
        self.leaving.retain(|lane| {
            let taken = lane.has_left();
            if taken == Some(false) {
                log(format!(
                    "{} is no output any more, and did not take what was stored before: it never will get that",
                    lane.output.place
                ));
            }
            taken.is_none()
        });
    }
}

impl Counts {
    /// From these to those.
    fn between(old: &[config::Output], new: &[config::Output]) -> Self {
        let among = |it: &config::Output, others: &[config::Output]| {
            others.iter().find(|other| other.name == it.name).cloned()
        };
        let mut counts = Self::default();
        for output in new {
            match among(output, old) {
                None => counts.added += 1,
                Some(before) if before != *output => counts.changed += 1,
                Some(_) => {}
            }
        }
        let gone = old.iter().filter(|it| among(it, new).is_none());
        counts.removed = gone.fold(0, |count, _| count + 1);
        counts
    }
}
