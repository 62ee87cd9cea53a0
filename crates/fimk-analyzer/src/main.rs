//! Throw-away: declares the modules written here until the real program exists.
#![allow(
    dead_code,
    reason = "the program that uses these modules is written elsewhere"
)]
mod fanotify;
mod key;
mod read;
mod sandbox;
mod users;
fn main() {}
