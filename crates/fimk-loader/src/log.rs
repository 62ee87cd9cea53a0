//! Lines on standard error.

use std::fmt;
use std::io::Write;

/// Writes one line. That standard error is gone is no reason to stop watching: unlike `eprintln!`,
/// this never panics.
pub fn line(text: impl fmt::Display) {
    let line = format!("fimk-loader: {text}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
