//! How the forwarder ends and what it says: sentences on stderr.

use std::fmt;

pub use fimk_core::exit::{Failure, Status};

/// One line on stderr; what others sent may be in it.
pub fn log(sentence: impl fmt::Display) {
    use std::io::Write as _;
    let line = fimk_core::render::harmless(&sentence.to_string());
    // A closed stderr must not stop anything.
    let _ = writeln!(std::io::stderr(), "fimk-forwarder: {line}");
}
