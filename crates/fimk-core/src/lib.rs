//! The words of fimk: rules, records, events, and how they are rendered. No I/O, no clock, no thread.

pub mod config;
pub mod event;
pub mod path;
pub mod record;
pub mod render;
pub mod rules;
pub mod time;
