//! The one way in which a test says that it could not run. The tests of other crates have this file as well.

use std::io::{self, Write as _};

/// Says that a test could not run here, and why. `scripts/test` counts each such line as one test that was skipped and did not pass.
pub fn not_run(test: &str, why: &str) {
    // Not println!, which the test runner swallows when a test passes; and at once, for other tests write as well.
    let line = format!("\nnot run: {test}: {why}\n");
    let _ = io::stdout().write_all(line.as_bytes());
}
