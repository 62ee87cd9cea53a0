//! How the analyzer ends: a sentence on stderr and an exit status that the loader passes on.

use std::fmt;

/// The exit statuses of the fixed interface (sysexits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Wrong flags.
    Usage = 64,
    /// There is no loader.
    Unavailable = 69,
    /// Our own fault.
    Internal = 70,
    /// Database or I/O.
    Io = 74,
    /// A second instance on the same state, or at the same loader.
    Second = 75,
    /// Run as root, or without what it needs.
    Permission = 77,
    /// The configuration.
    Configuration = 78,
}

/// Why the analyzer cannot go on: one sentence that says what to do.
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

impl From<fimk_store::StoreError> for Failure {
    fn from(error: fimk_store::StoreError) -> Self {
        let status = if matches!(error, fimk_store::StoreError::Locked { .. }) {
            Status::Second
        } else {
            Status::Io
        };
        Self::new(status, error.to_string())
    }
}

/// One line on stderr, in the form the loader uses.
pub fn log(sentence: impl fmt::Display) {
    use std::io::Write as _;
    crate::scan::clear_line();
    // A closed stderr must not stop the analyzer: events go to the outputs, not here.
    let _ = writeln!(std::io::stderr(), "fimk-analyzer: {sentence}");
}
