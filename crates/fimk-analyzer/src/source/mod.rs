//! Where hints come from. Every source ends in the same [`Signal`](crate::signal::Signal)s.

pub mod arm;
pub mod bpf;
pub mod covered;
pub mod fanotify;
pub mod takes;
