//! Standard output: one JSON object a line, each at least once.

mod writer;

use std::{fs::File, io, os::fd::AsFd as _};

use fimk_core::{
    event::Event,
    render::{Host, ecs_line},
};

use self::writer::Writer;
pub use self::writer::{Blocked, LINES_MAX};

/// The name of its cursor in the store.
pub const STDOUT: &str = "stdout";

/// Writes events to standard output, without ever waiting for who reads there.
pub struct Output {
    host: Host,
    severity: u8,
    writer: Writer,
}

impl Output {
    /// Events below `severity` are passed over.
    ///
    /// # Errors
    /// When there can be no thread that writes.
    pub fn new(host: Host, severity: u8) -> io::Result<Self> {
        // Past the buffer of the standard library, which knows of no attempt that is made again.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self {
            host,
            severity,
            writer: Writer::start(out)?,
        })
    }

    /// Gives one event to be written; false when too many wait already, and it is to be offered again.
    pub fn offer(&self, event: &Event) -> bool {
        self.give(event, event.sequence)
    }

    /// The same, out of its turn: [`Self::written`] will not speak of it.
    pub fn offer_before_its_turn(&self, event: &Event) -> bool {
        self.give(event, 0)
    }

    /// The event of this sequence was written before its turn: in its turn it counts, and is not written again.
    pub fn pass_over(&self, sequence: u64) -> bool {
        self.writer.offer(sequence, String::new())
    }

    fn give(&self, event: &Event, sequence: u64) -> bool {
        let mut line = String::new();
        if event.severity >= self.severity {
            if !self.writer.has_room() {
                return false;
            }
            line = ecs_line(event, &self.host);
            line.push('\n');
        }
        self.writer.offer(sequence, line)
    }

    /// Whether an event would be taken.
    pub fn has_room(&self) -> bool {
        self.writer.has_room()
    }

    /// The highest sequence written in its turn; 0 before the first.
    pub fn written(&self) -> u64 {
        self.writer.written()
    }

    /// Whether everything offered was written.
    pub fn is_idle(&self) -> bool {
        self.writer.is_idle()
    }

    /// Events offered and not yet written.
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// What keeps events from being written, if some wait.
    pub fn blocked(&self) -> Option<Blocked> {
        self.writer.blocked()
    }
}
