//! The main job, end to end: somebody changes a real file, and fimk says what changed and who did it.
//!
//! The same program runs natively (fanotify, where the kernel refuses trampolines) and in virtual machines
//! with stock kernels (BPF). Where BPF knows more than fanotify can, a test asks `Monitor::is_bpf`.

mod actors;
mod anywhere;
mod apart;
mod attacks;
mod attempts;
mod attributes;
mod attribution;
mod blind;
mod bursts;
mod command;
mod containers;
mod content;
mod exchange;
mod fields;
mod floods;
mod forwarder;
mod growing;
mod guard;
mod hanging;
mod holders;
mod holes;
mod homes;
mod includes;
mod journald;
mod limits;
mod links;
mod mounts;
mod names;
mod operations;
mod overlays;
mod patterns;
mod privileges;
mod probe;
mod refusals;
mod reload;
mod restarts;
mod rounds;
mod scans;
mod scenario;
mod secrets;
mod service;
mod siem;
mod silence;
mod skipped;
mod snapshots;
mod status;
mod store;
mod switches;
mod syslog;
mod tools;
mod upgrade;
mod users;
mod writes;
