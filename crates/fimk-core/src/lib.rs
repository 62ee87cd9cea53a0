//! The words of fimk: rules, records, events, and how they are rendered. No I/O, no clock, no thread.

pub mod accepted;
pub mod attribution;
pub mod config;
pub mod container;
pub mod event;
pub mod exit;
pub mod path;
pub mod pattern;
pub mod record;
pub mod render;
pub mod request;
pub mod rules;
mod text;
pub mod time;
