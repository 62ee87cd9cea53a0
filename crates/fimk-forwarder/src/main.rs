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
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use fimk_core::config::{Config, Output, Remote, Way};
use signal_hook::consts::{SIGINT, SIGTERM};

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
    let outputs: Vec<&Output> = remotes(&config);
    if args.check {
        return Ok(ExitCode::from(u8::from(outputs.is_empty())));
    }
    if outputs.is_empty() {
        log("no [[output]] needs the network: there is nothing to do");
        return Ok(ExitCode::SUCCESS);
    }
    let mut notify = Notify::from_environment();
    sandbox::enter().map_err(|sentence| Failure::new(Status::Permission, sentence))?;
    serve(&config, &outputs, &mut notify).map(|()| ExitCode::SUCCESS)
}

/// Until somebody ends us, and for a moment after.
fn serve(config: &Config, outputs: &[&Output], notify: &mut Notify) -> Result<(), Failure> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&ended))
            .map_err(|error| internal(&error))?;
    }
    let stop = Stop::default();
    let analyzer = Arc::new(Analyzer::at(&config.run_dir));
    let threads = outputs
        .iter()
        .map(|output| start(output, &analyzer, &stop))
        .collect::<Result<Vec<_>, _>>()?;
    let places: Vec<String> = outputs
        .iter()
        .filter_map(|output| output.kind.remote().map(Remote::place))
        .collect();
    notify.ready();
    notify.status(&format!("sending to {}", places.join("; ")));
    log(format!("sending to {}", places.join("; ")));
    while !ended.load(Ordering::Relaxed) {
        notify.beat();
        if threads.iter().any(JoinHandle::is_finished) {
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
    stop.set();
    while !stop.is_over() && !threads.iter().all(JoinHandle::is_finished) {
        notify.beat();
        thread::sleep(LOOK_EVERY / 10);
    }
    Ok(())
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
    let started = match (&remote.way, receiver::receiver(remote, output.format)) {
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
