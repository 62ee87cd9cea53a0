//! How the analyzer ends and what it says: a sentence on stderr, and an exit status that the loader passes on.

use std::fmt;

pub use fimk_core::exit::{Failure, Status};

/// One line on stderr, in the form the loader uses.
pub fn log(sentence: impl fmt::Display) {
    use std::io::Write as _;
    crate::scan::clear_line();
    // A closed stderr must not stop the analyzer: events go to the outputs, not here.
    let _ = writeln!(std::io::stderr(), "fimk-analyzer: {sentence}");
}
