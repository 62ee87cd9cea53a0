//! Standard output: one JSON object a line, each at least once.

mod burst;

use std::{
    io::{self, Write as _},
    time::Instant,
};

use fimk_core::{
    config,
    event::Event,
    render::{Host, ecs_line},
};

use self::burst::Bursts;
pub use self::burst::Due;

/// The name of its cursor in the store.
pub const STDOUT: &str = "stdout";

/// Writes events to standard output.
pub struct Output {
    host: Host,
    severity: u8,
    bursts: Option<Bursts>,
    /// The number of the last event that was handed over.
    given: u64,
    /// The cursor that was last asked for.
    told: u64,
}

impl Output {
    /// As configured: events below its severity are passed over.
    pub fn new(host: Host, config: &config::Output) -> Self {
        Self {
            host,
            severity: config.severity,
            bursts: config.burst.map(Bursts::new),
            given: 0,
            told: 0,
        }
    }

    /// Takes the next stored event: writes it, or keeps it back for a while. Writing blocks while the reader is slow: the
    /// kernel keeps the state meanwhile.
    pub fn take(&mut self, event: &Event) -> io::Result<()> {
        self.pass(event.sequence);
        if event.severity < self.severity {
            return Ok(());
        }
        let bursts = self.bursts.as_mut();
        if bursts.is_some_and(|bursts| bursts.keeps(event, Instant::now())) {
            return Ok(());
        }
        self.write(event)
    }

    /// The next stored event was written already.
    pub fn pass(&mut self, sequence: u64) {
        self.given = self.given.max(sequence);
    }

    /// Writes one event, unless it is below the output's severity.
    pub fn write(&self, event: &Event) -> io::Result<()> {
        if event.severity < self.severity {
            return Ok(());
        }
        let mut line = ecs_line(event, &self.host);
        line.push('\n');
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    }

    /// What was kept back long enough, or all that was; the caller writes it.
    pub fn due(&mut self, all: bool) -> Vec<Due> {
        let bursts = self.bursts.as_mut();
        bursts.map_or_else(Vec::new, |bursts| bursts.due(Instant::now(), all))
    }

    /// When [`Self::due`] has something to give.
    pub fn next_due(&self) -> Option<Instant> {
        self.bursts.as_ref().and_then(Bursts::next_due)
    }

    /// The number of the last event that was handed over: what follows it is to be handed over next.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// The number up to which all is written, if it rose since this was last asked.
    pub fn cursor(&mut self) -> Option<u64> {
        let oldest = self.bursts.as_ref().and_then(Bursts::oldest);
        let written = oldest.map_or(self.given, |oldest| oldest - 1);
        let rose = written > self.told;
        self.told = self.told.max(written);
        rose.then_some(written)
    }
}
