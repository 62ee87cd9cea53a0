//! fimk-loader: the root process of fimk. It loads and attaches the BPF programs, forwards their
//! records to an unprivileged analyzer, and answers its requests, which are fixed-size numbers. It parses
//! its flags and nothing else.

mod actors;
mod adopt;
mod analyzers;
mod budget;
mod capabilities;
mod carry;
mod channel;
mod child;
mod counts;
mod coverage;
mod digest_key;
mod directories;
mod error;
mod exit;
mod fanotify;
mod flags;
mod foreground;
mod forward;
mod handover;
mod holders;
mod life;
mod log;
mod marker;
mod memory;
// As all tests say it.
#[cfg(test)]
#[path = "../../../tests/src/not_run.rs"]
mod not_run;
mod notify;
mod objects;
mod packets;
mod pins;
mod plan;
mod preempt;
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
mod tally;
mod user;
mod vigil;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};

use error::{Error, Result};
use flags::{Command, Flags, Service};
use foreground::Foreground;
use handover::Handover;
use notify::Notify;
use pins::Pins;
use run::Run;
use spawner::Spawner;

fn main() -> ExitCode {
    let done = flags::parse(std::env::args_os().skip(1)).and_then(|command| match command {
        Command::Help => print(flags::HELP),
        Command::Version => print(&adopt::version()),
        Command::Probe => report::probe(),
        Command::Run(flags) => run(&flags),
        Command::Serve(flags) => serve(&flags),
        Command::Detach(pin_dir) => detach(&pin_dir),
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
    let signals = signals()?;
    let mut analyzers = Foreground::new(Spawner::fork(&image)?);
    let notify = Notify::from_environment();
    let mut pins = Pins::lock(&flags.pin_dir)?;
    adopt::are_ours(&pins)?;
    let result = Run::new(
        &mut analyzers,
        &mut pins,
        signals,
        notify,
        flags.stuck_after,
    )
    .run_until_stopped();
    if flags.keep && result.is_ok() {
        tell_of_pins(&flags.pin_dir);
    } else {
        pins.remove();
    }
    result
}

/// As [`run`], but analyzers come to us, and the pins stay whatever happens: the kernel goes on without us.
fn serve(flags: &Service) -> Result<()> {
    user::require_root()?;
    harden()?;
    let account = user::look_up(&flags.user)?;
    digest_key::ensure(account)?;
    let signals = signals()?;
    let notify = Notify::from_environment();
    let mut pins = Pins::lock(&flags.pin_dir)?;
    adopt::are_ours(&pins)?;
    let mut analyzers = Handover::listen(&flags.handover, account)?;
    let listens = format!("waits for an analyzer at {}", flags.handover.display());
    log::line(&listens);
    notify.ready();
    notify.status(&listens);
    let result = Run::new(
        &mut analyzers,
        &mut pins,
        signals,
        notify,
        flags.stuck_after,
    )
    .run_until_stopped();
    if pins.len() > 0 {
        tell_of_pins(&flags.pin_dir);
    }
    result
}

fn tell_of_pins(pin_dir: &Path) {
    let path = pin_dir.display();
    log::line(format_args!(
        "the pins stay in {path} and go on noting changes: fimk-loader --detach --pin-dir {path} removes them"
    ));
}

/// Removes what a loader left, so that nothing of it runs in the kernel any more.
fn detach(pin_dir: &Path) -> Result<()> {
    user::require_root()?;
    let Some(mut pins) = Pins::lock_existing(pin_dir)? else {
        log::line(format_args!("nothing is pinned in {}", pin_dir.display()));
        return Ok(());
    };
    adopt::are_ours(&pins)?;
    let removed = pins.discard_found()?;
    pins.remove();
    if pin_dir.exists() {
        let path = pin_dir.display();
        let sentence = format!("{path} could not be removed: the lines above say why");
        return Err(Error::new(exit::Status::Io, sentence));
    }
    log::line(format_args!(
        "{removed} pins were removed from {}",
        pin_dir.display()
    ));
    Ok(())
}

/// Nothing we make is for others, no descriptor of our caller reaches the analyzer, exec gives nobody
/// more than it has, and no other process may look into this one.
fn harden() -> Result<()> {
    let internal = |cause| Error::internal("this process cannot be hardened", cause);
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    system::close_from(3).map_err(internal)?;
    nix::sys::prctl::set_no_new_privs().map_err(internal)?;
    // Holds across exec, which the next does not.
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)
        .map_err(internal)?;
    nix::sys::prctl::set_dumpable(false).map_err(internal)
}

/// Blocked from here on, in the spawner as well, and read by the loop.
fn signals() -> Result<SignalFd> {
    let mut ours = SigSet::empty();
    ours.add(Signal::SIGTERM);
    ours.add(Signal::SIGINT);
    ours.add(Signal::SIGHUP);
    ours.thread_block()
        .and_then(|()| SignalFd::with_flags(&ours, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK))
        .map_err(|cause| Error::internal("signals cannot be read", cause))
}

fn print(text: &str) -> Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|cause| Error::internal("standard output", cause))
}
