//! The command `fimk`.
fn main() {}
