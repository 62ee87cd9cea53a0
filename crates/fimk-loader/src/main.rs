//! fimk-loader: the root process of fimk. It loads and attaches the BPF programs, forwards their
//! records to an unprivileged analyzer, and answers its requests, which are fixed-size numbers. It parses
//! its flags and nothing else.

mod actors;
mod capabilities;
mod channel;
mod child;
mod counts;
mod digest_key;
mod directories;
mod error;
mod exit;
mod fanotify;
mod flags;
mod forward;
mod log;
mod objects;
mod packets;
mod pins;
mod plan;
mod probe;
mod report;
mod requests;
mod run;
mod sandbox;
mod selftest;
mod serve;
mod spawner;
mod system;
mod table;
mod take;
mod user;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};

use error::{Error, Result};
use flags::{Command, Flags};
use pins::Pins;
use run::Run;
use spawner::Spawner;

fn main() -> ExitCode {
    let done = flags::parse(std::env::args_os().skip(1)).and_then(|command| match command {
        Command::Help => print(flags::HELP),
        Command::Version => print(concat!("fimk-loader ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Probe => report::probe(),
        Command::Run(flags) => run(&flags),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(&error);
            ExitCode::from(error.status)
        }
    }
}

/// The order of the start. What can fail for a reason of the caller's comes first; the spawner is forked
/// before anything is open that an analyzer must not have; the source comes up at the analyzer's HELLO.
fn run(flags: &Flags) -> Result<()> {
    user::require_root()?;
    harden()?;
    let account = user::look_up(&flags.user)?;
    let image = child::Image::new(flags, account)?;
    directories::prepare(
        flags
            .state_dir
            .as_deref()
            .unwrap_or(Path::new(directories::STATE)),
        account,
    )?;
    directories::prepare(
        flags
            .run_dir
            .as_deref()
            .unwrap_or(Path::new(directories::RUN)),
        account,
    )?;
    digest_key::ensure(account)?;
    let signals = stop_signals()?;
    let spawner = Spawner::fork(&image)?;
    let mut pins = Pins::lock(&flags.pin_dir)?;
    let result = Run::new(&spawner, &mut pins, signals).run_until_stopped();
    if flags.keep && result.is_ok() {
        log::line(format_args!(
            "the pins stay in {}: remove them with rm -r",
            flags.pin_dir.display()
        ));
    } else {
        pins.remove();
    }
    result
}

/// Nothing we make is for others, no descriptor of our caller reaches the analyzer, exec gives nobody
/// more than it has, and no other process may look into this one.
fn harden() -> Result<()> {
    let internal = |cause| Error::internal("this process cannot be hardened", cause);
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    system::close_from(3).map_err(internal)?;
    nix::sys::prctl::set_no_new_privs().map_err(internal)?;
    nix::sys::prctl::set_dumpable(false).map_err(internal)
}

/// Blocked from here on, in the spawner as well, and read by the loop.
fn stop_signals() -> Result<SignalFd> {
    let mut stops = SigSet::empty();
    stops.add(Signal::SIGTERM);
    stops.add(Signal::SIGINT);
    stops
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&stops, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK))
        .map_err(|cause| Error::internal("signals cannot be read", cause))
}

fn print(text: &str) -> Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|cause| Error::internal("standard output", cause))
}
