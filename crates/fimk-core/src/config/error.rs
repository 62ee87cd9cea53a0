//! Errors with a place.

use std::fmt;

use fimk_consumers::redact;

use crate::text::{self, head};

/// Why a configuration is refused: one sentence that says where and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    /// Line and column, from 1; the column counts characters.
    position: Option<(usize, usize)>,
    message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// What is quoted of the file: enough to find it by.
const QUOTED_BYTES_MAX: usize = 200;

/// A part of the file as a message quotes it. Messages are events as well, and go into logs: no secret is in them.
pub(super) fn shown(text: &str) -> String {
    text::shown(&redact::line(text), QUOTED_BYTES_MAX)
}

/// The text being read, for errors that point into it.
pub(super) struct Source<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
}

impl Source<'_> {
    /// At a byte of the text.
    pub(super) fn error(&self, offset: usize, message: impl Into<String>) -> ConfigError {
        let before = head(self.text, offset);
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let position = (
            before.matches('\n').count() + 1,
            before[line..].chars().count() + 1,
        );
        ConfigError {
            file: shown(self.file),
            position: Some(position),
            message: message.into(),
        }
    }

    /// Of the text as a whole.
    pub(super) fn error_without_place(&self, message: impl Into<String>) -> ConfigError {
        ConfigError {
            file: shown(self.file),
            position: None,
            message: message.into(),
        }
    }
}
