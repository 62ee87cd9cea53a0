//! Standard output: one JSON object a line, each at least once.

use std::io::{self, Write as _};

use fimk_core::{
    event::Event,
    render::{Host, ecs_line},
};

/// The name of its cursor in the store.
pub const STDOUT: &str = "stdout";

/// Writes events to standard output.
pub struct Output {
    host: Host,
    severity: u8,
}

impl Output {
    /// Events below `severity` are passed over.
    pub fn new(host: Host, severity: u8) -> Self {
        Self { host, severity }
    }

    /// Writes one event. Blocks while the reader is slow: the kernel keeps the state meanwhile.
    pub fn write(&self, event: &Event) -> io::Result<()> {
        if event.severity < self.severity {
            return Ok(());
        }
        crate::scan::clear_line();
        let mut line = ecs_line(event, &self.host);
        line.push('\n');
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    }
}
