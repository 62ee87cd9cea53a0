//! How the forwarder ends and what it says: sentences on stderr.

use std::fmt;

/// Exit statuses, as the analyzer has them (sysexits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Wrong flags.
    Usage = 64,
    /// Our own fault, or the system has no thread for us.
    Internal = 70,
    /// Run as root, or without what it needs.
    Permission = 77,
    /// The configuration.
    Configuration = 78,
}

/// Why the forwarder cannot go on: one sentence that says what to do.
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

/// One line on stderr; what others sent may be in it.
pub fn log(sentence: impl fmt::Display) {
    use std::io::Write as _;
    let line = fimk_core::render::harmless(&sentence.to_string());
    // A closed stderr must not stop anything.
    let _ = writeln!(std::io::stderr(), "fimk-forwarder: {line}");
}
