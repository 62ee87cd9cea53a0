//! `fimk-forwarder`: the process with the network. It fetches the events of outputs that need it from the analyzer, over
//! the control socket, and sends them on; it knows neither database nor files that are watched.

mod args;
mod ask;
// One crate would be needed for it alone: the analyzer reads the same files.
#[path = "../../fimk-analyzer/src/config_files.rs"]
mod config_files;
mod courier;
mod exit;
mod graphite;
mod link;
// As all tests say it.
#[cfg(test)]
#[path = "../../../tests/src/not_run.rs"]
mod not_run;
// What little is to be said to systemd all programs say.
#[path = "../../fimk-loader/src/notify.rs"]
mod notify;
mod pace;
mod receiver;
mod sandbox;
mod secret;
mod stop;
mod tls;
mod unsent;

use std::{
    io::Write as _,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use fimk_core::config::{Config, Output, Remote, Way};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    args::Args,
    ask::Analyzer,
    courier::Courier,
    exit::{Failure, Status, log},
    graphite::Meter,
    notify::Notify,
    stop::Stop,
};

/// How often signals and systemd's watch are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    match run() {
        Ok(done) => done,
        Err(failure) => {
            log(&failure.sentence);
            ExitCode::from(failure.status as u8)
        }
    }
}

/// The whole life of the forwarder, in order.
fn run() -> Result<ExitCode, Failure> {
    let args = args::parse(std::env::args().skip(1))?;
    if args.version {
        let _ = writeln!(
            std::io::stdout(),
            "fimk-forwarder {}",
            env!("CARGO_PKG_VERSION")
        );
        return Ok(ExitCode::SUCCESS);
    }
    let config = configuration(&args)?;
    let nothing_to_do = remotes(&config).is_empty();
    if args.check {
        return Ok(ExitCode::from(u8::from(nothing_to_do)));
    }
    if nothing_to_do {
        log("no [[output]] needs the network: there is nothing to do");
        return Ok(ExitCode::SUCCESS);
    }
    let mut notify = Notify::from_environment();
    sandbox::enter().map_err(|sentence| Failure::new(Status::Permission, sentence))?;
    serve(&args, &config, &mut notify).map(|()| ExitCode::SUCCESS)
}

/// Until somebody ends us, and for a moment after.
fn serve(args: &Args, config: &Config, notify: &mut Notify) -> Result<(), Failure> {
    let (ended, hangup) = (Arc::default(), Arc::default());
    for (signal, flag) in [(SIGTERM, &ended), (SIGINT, &ended), (SIGHUP, &hangup)] {
        signal_hook::flag::register(signal, Arc::clone(flag)).map_err(|error| internal(&error))?;
    }
    let analyzer = Arc::new(Analyzer::at(&config.run_dir));
    let mut sending = Vec::new();
    send_as(config, &analyzer, &mut sending)?;
    notify.ready();
    say(&sending, notify);
    while !ended.load(Ordering::Relaxed) {
        notify.beat();
        if hangup.swap(false, Ordering::Relaxed) {
            match configuration(args) {
                Ok(config) => {
                    let gone = |it: &Sending| !remotes(&config).contains(&&it.output);
                    end(sending.extract_if(.., |it| gone(it)).collect(), notify);
                    send_as(&config, &analyzer, &mut sending)?;
                    say(&sending, notify);
                }
                Err(failure) => log(format!(
                    "the new configuration is refused, and the old one stays: {}",
                    failure.sentence
                )),
            }
        }
        if sending.iter().any(|it| it.thread.is_finished()) {
            return Err(Failure::new(
                Status::Internal,
                "an output's thread has ended: this is an error in fimk; what was not sent is kept",
            ));
        }
        let beat = notify.next_due();
        let beat = beat.map(|at| at.saturating_duration_since(Instant::now()));
        thread::sleep(beat.unwrap_or(LOOK_EVERY).min(LOOK_EVERY));
    }
    notify.stopping();
    end(sending, notify);
    Ok(())
}

/// An output that is sent.
struct Sending {
    output: Output,
    stop: Stop,
    thread: JoinHandle<()>,
}

/// Begins to send what is not sent yet.
fn send_as(
    config: &Config,
    analyzer: &Arc<Analyzer>,
    sending: &mut Vec<Sending>,
) -> Result<(), Failure> {
    for output in remotes(config) {
        if !sending.iter().any(|it| it.output == *output) {
            let stop = Stop::default();
            sending.push(Sending {
                output: output.clone(),
                thread: start(output, analyzer, &stop)?,
                stop,
            });
        }
    }
    Ok(())
}

/// Ends these; what waits is sent first, if it is taken soon.
fn end(leaving: Vec<Sending>, notify: &mut Notify) {
    for it in &leaving {
        it.stop.set();
    }
    for it in leaving {
        while !it.stop.is_over() && !it.thread.is_finished() {
            notify.beat();
            thread::sleep(LOOK_EVERY / 10);
        }
    }
}

fn say(sending: &[Sending], notify: &mut Notify) {
    let remotes = sending.iter().filter_map(|it| it.output.kind.remote());
    let places: Vec<String> = remotes.map(Remote::place).collect();
    let sentence = if places.is_empty() {
        "sending nothing: no [[output]] needs the network any more".to_owned()
    } else {
        format!("sending to {}", places.join("; "))
    };
    notify.status(&sentence);
    log(sentence);
}

fn configuration(args: &Args) -> Result<Config, Failure> {
    let refused = |sentence: String| Failure::new(Status::Configuration, sentence);
    let texts = config_files::read(&args.config).map_err(refused)?;
    let mut config = texts.parse().map_err(|error| refused(error.to_string()))?;
    if let Some(run_dir) = &args.run_dir {
        config.run_dir.clone_from(run_dir);
    }
    Ok(config)
}

fn remotes(config: &Config) -> Vec<&Output> {
    let outputs = config.outputs.iter();
    outputs
        .filter(|output| output.kind.remote().is_some())
        .collect()
}

fn start(
    output: &Output,
    analyzer: &Arc<Analyzer>,
    stop: &Stop,
) -> Result<JoinHandle<()>, Failure> {
    let (analyzer, stop) = (Arc::clone(analyzer), stop.clone());
    let name = output.name.clone();
    let Some(remote) = output.kind.remote() else {
        return Err(Failure::new(Status::Internal, "an output without network"));
    };
    let thread = thread::Builder::new().name("output".to_owned());
    let started = match (&remote.way, receiver::receiver(remote)) {
        (Way::Graphite(config), _) => {
            let meter = Meter::new(name, (remote, (**config).clone()), analyzer, stop);
            thread.spawn(move || meter.run())
        }
        (_, Some(receiver)) => {
            let courier = Courier::new((name, remote.place()), analyzer, receiver, stop);
            thread.spawn(move || courier.run())
        }
        _ => {
            return Err(Failure::new(
                Status::Internal,
                "an output without a receiver",
            ));
        }
    };
    started.map_err(|error| internal(&error))
}

fn internal(error: &std::io::Error) -> Failure {
    Failure::new(
        Status::Internal,
        format!("the system refuses what is needed to start: {error}"),
    )
}
