//! How fimk's programs end: a sentence for a person, and an exit status for a program. The root process has neither, for it
//! links as little as it can.

use std::fmt;

/// The exit statuses of the fixed interface (sysexits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It was asked for whether all is well, and not all is.
    NotWell = 1,
    /// Wrong flags.
    Usage = 64,
    /// Nobody answers.
    Unavailable = 69,
    /// Our own fault, or the system has no thread for us.
    Internal = 70,
    /// Database or I/O, or an answer that is none.
    Io = 74,
    /// A second instance on the same state, or at the same loader.
    Second = 75,
    /// Run as root, or without what it needs, or by who may not ask.
    Permission = 77,
    /// The configuration.
    Configuration = 78,
}

/// Why a program cannot go on: one sentence that says what to do.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: Status,
    /// For a person.
    pub sentence: String,
}

impl Failure {
    /// With this status and sentence.
    pub fn new(status: Status, sentence: impl Into<String>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}
