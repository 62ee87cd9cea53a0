//! How the command ends.

/// The exit statuses of the fixed interface (sysexits) that this command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It was asked for whether all is well, and not all is.
    NotWell = 1,
    /// Wrong flags.
    Usage = 64,
    /// Nobody answers.
    Unavailable = 69,
    /// Reading, writing, or an answer that is none.
    Io = 74,
    /// This user may not ask.
    Permission = 77,
    /// A configuration does not hold.
    Configuration = 78,
}

/// Why there is no answer: one sentence that says what to do.
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
