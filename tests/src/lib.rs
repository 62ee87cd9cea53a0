//! A harness for end-to-end tests: the real `fimk-loader` and `fimk-analyzer` on real files.
//!
//! ```text
//! Site     a directory of its own: files to watch, configuration, state, pins; gone when dropped
//! Monitor  a running fimk on a site; its events are read while it runs
//! Expect   what an event must say; Monitor::expect waits for one that says all of it
//! Ran      a command that was run: its pid and executable, to be found again in events
//! ```
//!
//! Time never decides a test, except as a generous upper bound ([`deadline`]).

mod account;
mod burden;
mod direct;
mod disk;
mod event;
mod expect;
pub mod exposition;
pub mod fuse;
mod monitor;
pub mod nfs;
mod not_run;
mod ran;
mod service;
mod site;

use std::{env, time::Duration};

pub use account::Account;
pub use burden::{MemoryLimit, Spinners};
pub use direct::{Mapping, UringThread, uring_write, uring_write_by};
pub use disk::Disk;
pub use event::Event;
pub use expect::Expect;
pub use monitor::{Monitor, descendants};
pub use not_run::not_run;
pub use ran::{Ran, append_line, attempt, myself, run, run_with_input, text, which};
pub use service::stop_services;
pub use site::{Launch, OBJECTS_MAX, Refusal, Site, loader, marks, rule};

/// How long something may take that happens in milliseconds on an idle machine: `FIMK_DEADLINE_S`
/// seconds, 20 without it. An emulated machine is given more.
pub fn deadline() -> Duration {
    let seconds = env::var("FIMK_DEADLINE_S")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}
