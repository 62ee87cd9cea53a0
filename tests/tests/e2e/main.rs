//! The main job, end to end: somebody changes a real file, and fimk says what changed and who did it.
//!
//! The same program runs natively (fanotify, where the kernel refuses trampolines) and in virtual machines
//! with stock kernels (BPF). Where BPF knows more than fanotify can, a test asks `Monitor::is_bpf`.

mod attributes;
mod attribution;
mod containers;
mod content;
mod holes;
mod homes;
mod links;
mod mounts;
mod names;
mod operations;
mod privileges;
mod probe;
mod refusals;
mod restarts;
mod scenario;
mod secrets;
mod service;
mod silence;
mod skipped;
mod status;
mod users;
mod writes;
