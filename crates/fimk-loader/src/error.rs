//! The one error of this program: a sentence for the person at the terminal, and an exit status.

use std::fmt;

use crate::exit::Status;

/// A sentence that says what to do, and the status to exit with.
#[derive(Debug)]
pub struct Error {
    /// What [`main`](crate::main) exits with.
    pub status: u8,
    sentence: String,
}

/// What the functions of this program return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with one of this program's own statuses.
    pub fn new(status: Status, sentence: impl Into<String>) -> Self {
        Self {
            status: status as u8,
            sentence: sentence.into(),
        }
    }

    /// An analyzer's final status, passed on.
    pub fn passed_on(status: u8) -> Self {
        Self {
            status,
            sentence: format!("the analyzer ended with status {status}; its own message is above"),
        }
    }

    /// A failed system call that has no better explanation.
    pub fn internal(what: &str, cause: impl fmt::Display) -> Self {
        Self::new(Status::Internal, format!("{what}: {cause}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Error {}
