//! Events as lines: one JSON object each, in the fields of the Elastic Common Schema (ECS).
//!
//! A page of the manual, fimk-events(7), describes every field; a test holds it to [`FIELDS`].

mod cut;
mod ecs;
mod fields;
mod json;
mod message;
mod process;
#[cfg(test)]
mod tests;

pub use self::{
    cut::LINE_BYTES_MAX,
    ecs::{Host, ecs_line},
    fields::{FIELDS, Kind},
    json::{is_active, one_line},
};
