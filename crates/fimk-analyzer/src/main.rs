//! `fimk-analyzer`: the unprivileged process. It reads, compares, stores and reports; the loader starts it.

mod actors;
mod age;
mod ailing;
mod apart;
mod args;
mod attempts;
mod beyond;
mod channel;
mod clock;
mod config_files;
mod configuration;
mod control;
mod descriptor;
mod engine;
mod examine;
mod exit;
mod fanotify;
mod handover;
mod held;
mod homes;
mod host;
mod identity;
mod included;
mod key;
mod look;
mod looks;
mod losses;
mod metrics;
mod mounts;
mod names;
// As all tests say it.
#[cfg(test)]
#[path = "../../../tests/src/not_run.rs"]
mod not_run;
// What little is to be said to systemd both programs say; a crate for it would be one more in the root process.
#[path = "../../fimk-loader/src/notify.rs"]
mod notify;
mod others;
mod output;
mod own;
mod patience;
mod pending;
mod read;
mod repairs;
mod report;
mod retention;
mod same;
#[cfg(test)]
mod samples;
mod sandbox;
mod scan;
mod severity;
mod signal;
mod source;
mod stalled;
mod start;
mod stash;
mod status;
mod tree;
mod unwatched;
mod users;
mod verdict;
mod walk;
mod wanted;
mod wholes;

use std::{
    fs,
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use fimk_core::{
    config::{self, Config, Coverage, OutputKind, Report, SourceWanted},
    path::BytePath,
    pattern::Pattern,
    render::Host,
    rules::RuleSet,
};
use fimk_store::Store;
use fimk_wire::{Packet, REASON_SENTENCES, SOURCE_NAMES, raw};
use nix::sys::stat::{Mode, umask};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    args::{Args, Way},
    channel::{Channel, ChannelError, no_key},
    configuration::{Configuration, Origin},
    control::Control,
    engine::{Engine, Eyes, Lane, Meter, Parts, Trouble},
    exit::{Failure, Status, log},
    fanotify::{Group, Marker},
    homes::{Homes, Table},
    key::DigestKey,
    mounts::Mounts,
    notify::Notify,
    output::Output,
    patience::Patience,
    read::Reader,
    source::fanotify::Fanotify,
    stash::Stash,
    status::About,
};

/// Loading and attaching takes the loader seconds, on a slow emulated machine a minute.
const READY_PATIENCE: Duration = Duration::from_secs(180);

/// Of every file of this process, whoever started it: outputs and metrics are for others to read, and each has a mode of its own.
/// Those of the database lie where nobody else comes.
const UMASK: Mode = Mode::from_bits_truncate(0o022);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log(&failure);
            ExitCode::from(failure.status as u8)
        }
    }
}

/// The whole life of the analyzer, in order.
fn run() -> Result<(), Failure> {
    if args::asks_version(std::env::args().skip(1)) {
        let _ = writeln!(io::stdout(), "fimk-analyzer {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let args = args::parse(std::env::args().skip(1))?;
    umask(UMASK);
    // Before anything takes long: a signal that comes from here on is answered when all is watched.
    let hangup = caught(SIGHUP)?;
    let origin = Origin::of(&args);
    let Configuration { config, text } = origin
        .read()
        .map_err(|sentence| Failure::new(Status::Configuration, sentence))?;
    configuration::redact(&config);
    if let Some(root) = &config.host_root {
        host::enter(root).map_err(|sentence| Failure::new(Status::Configuration, sentence))?;
    }
    // From within the sandbox nobody can be connected to. And a loader that listens has made the digest key.
    let channel = reach_loader(&args.channel)?;
    // Links are resolved again at each start; RuleSet::new was tried by parse and can only fail for what they add.
    let mut homes = Homes::default();
    let homes_now = homes.now();
    let rules = Arc::new(compile(&config, &homes_now)?);
    say_covered(&config);
    let key = Arc::new(
        DigestKey::of_this_host()
            .map_err(|sentence| Failure::new(Status::Configuration, sentence))?,
    );
    let control = Control::bind(&config.run_dir)?;
    if config.outputs.iter().any(|it| it.kind.remote().is_some())
        && let Err(sentence) = Control::open_to_others(&config.run_dir)
    {
        log(sentence);
    }
    let mounts = Mounts::open();
    let notify = Notify::from_environment();
    let report = sandbox::enter(&config.state_dir, &config.run_dir, &places(&config))
        .map_err(|sentence| Failure::new(Status::Permission, sentence))?;
    if !report.reads_everything {
        log("files of other users cannot be read: CAP_DAC_READ_SEARCH is missing");
    }
    // SIGTERM ends us in order. SIGINT is the loader's business: on a terminal both get it, and the loader closes the channel.
    let stop = caught(SIGTERM)?;
    caught(SIGINT)?;
    let (mut store, opened) = Store::open(&config.state_dir)?;
    let host_id = same::host(key.id().0);
    let odd = same::oddities(&mut store, &config.state_dir, &config.run_dir, &host_id)?;
    let boot = boot_id();
    let past = start::past(&store, opened, odd, &homes_now, &boot)?;
    let mut channel = Channel::new(channel);
    let mut stash = Stash::default();
    let source = wanted(&args, &config);
    let asked = rules.reports();
    let (ready, descriptors) = match hello(&mut channel, source, &config, asked, &mut stash) {
        Ok(served) => served,
        Err(error) => return ended(Trouble::Channel(error)),
    };
    let host = host_name();
    let lanes = lanes(&config, &host, &mut store)?;
    let metrics = metrics(&config)?;
    let accepted = engine::accepted(&store)?;
    let mut engine = Engine::new(Parts {
        rules,
        age: start::age(&store)?,
        store,
        patience: Patience::new(
            Reader::new(Arc::clone(&key), config.read_bytes_max, homes).heeding(&config),
        ),
        homes: homes_now,
        key_id: key.id(),
        channel,
        eyes: eyes(&ready, descriptors)?,
        lanes,
        meters: config.outputs.iter().filter_map(Meter::of).collect(),
        boot,
        stash,
        stop,
        control,
        about: About::new(ready, (origin.path(), status::digest(&text)), report, host),
        origin,
        hangup,
        mounts,
        notify,
        accepted,
        metrics,
        config,
    });
    match engine.start(&ready, &past, &text) {
        Ok(()) => engine.run(),
        Err(Trouble::Channel(ChannelError::Closed)) => engine.give_up_start(),
        Err(trouble) => Err(trouble.into_failure()),
    }
}

/// The outputs, each where it was. One that is no longer configured is forgotten: it would keep old events for ever.
fn lanes(config: &Config, host: &str, store: &mut Store) -> Result<Vec<Lane>, Failure> {
    for (name, _) in store.cursors()? {
        if !config.outputs.iter().any(|output| output.name == name) {
            log(format!(
                "the output \"{name}\" is no longer configured, and how far it was is forgotten"
            ));
            store.remove_cursor(&name)?;
        }
    }
    let lane = |output| {
        let name = host.to_owned();
        let output = Output::new(Host { name }, output).map_err(|error| {
            let sentence = format!("standard output cannot be written: {error}");
            Failure::new(Status::Io, sentence)
        })?;
        Lane::new(output, store)
    };
    let has_events = |output: &&config::Output| output.takes_events();
    config.outputs.iter().filter(has_events).map(lane).collect()
}

/// The file of metrics, if one is wanted.
fn metrics(config: &Config) -> Result<Option<metrics::Metrics>, Failure> {
    let started = config.metrics.clone().map(metrics::Metrics::start);
    started.transpose().map_err(|error| {
        let sentence = format!("no thread can be started ({error}): raise the limit of processes");
        Failure::new(Status::Internal, sentence)
    })
}

/// The loader's end is ours, also before there is anything to keep.
fn ended(trouble: Trouble) -> Result<(), Failure> {
    match trouble {
        Trouble::Channel(error @ ChannelError::Closed) => {
            log(error);
            Ok(())
        }
        trouble => Err(trouble.into_failure()),
    }
}

fn reach_loader(way: &Way) -> Result<OwnedFd, Failure> {
    match way {
        Way::Handover(path) => handover::channel(path),
        Way::Inherited(number) => descriptor::adopt(*number).map_err(|error| {
            let sentence = format!("--channel {number} is not open: {error}");
            Failure::new(Status::Usage, sentence)
        }),
    }
}

/// The rules, with the homes, with the targets of those of their paths that are links, and without our own directories: what we
/// write there would be events, and these would be written there.
pub(crate) fn compile(config: &Config, homes: &Table) -> Result<RuleSet, Failure> {
    let too_complex = |error: fimk_core::rules::TooComplex| {
        Failure::new(Status::Configuration, error.to_string())
    };
    let (of_rules, _) = homes.for_rules(config.paths_of_a_home());
    let mut config = config.clone().with_homes(of_rules);
    let own = own::names(&config);
    for rule in &mut config.rules {
        rule.exclude.extend(own.iter().cloned().map(Pattern::Path));
    }
    let rules = RuleSet::new(&config).map_err(too_complex)?;
    let targets = walk::link_targets(&rules, homes);
    if targets.is_empty() {
        return Ok(rules);
    }
    for (target, rule) in targets {
        if let Some(rule) = usize::try_from(rule)
            .ok()
            .and_then(|at| config.rules.get_mut(at))
        {
            rule.paths.push(Pattern::Path(target));
        }
    }
    RuleSet::new(&config).map_err(too_complex)
}

/// What the outputs need of the file system.
fn places(config: &Config) -> sandbox::Places {
    let mut places = sandbox::Places::default();
    for output in &config.outputs {
        match &output.kind {
            OutputKind::Journald { socket } | OutputKind::Syslog { socket, .. } => {
                places.sockets.push(socket.clone());
            }
            OutputKind::File { path, .. } => places.files.push(path.clone()),
            OutputKind::Stdout | OutputKind::Remote(_) => {}
        }
    }
    places
        .files
        .extend(config.metrics.iter().map(|it| it.path.clone()));
    places
}

fn say_covered(config: &Config) {
    // Tried by parse.
    if let Ok(rules) = RuleSet::new(config) {
        own::covered(config, &rules).iter().for_each(log);
    }
}

fn wanted(args: &Args, config: &Config) -> u32 {
    match (args.source, config.source) {
        (Some(source), _) if source != raw::FIMK_SOURCE_AUTO => source,
        (_, SourceWanted::Auto) => raw::FIMK_SOURCE_AUTO,
        (_, SourceWanted::Bpf) => raw::FIMK_SOURCE_BPF,
        (_, SourceWanted::Fanotify) => raw::FIMK_SOURCE_FANOTIFY,
        (_, SourceWanted::Periodic) => raw::FIMK_SOURCE_PERIODIC,
    }
}

/// Readable when a signal came, a byte for each. The other end stays open in the handler.
fn caught(signal: i32) -> Result<UnixStream, Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            Status::Internal,
            format!("signals cannot be caught: {error}"),
        )
    };
    let (ours, write) = UnixStream::pair().map_err(failed)?;
    signal_hook::low_level::pipe::register(signal, write).map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    Ok(ours)
}

/// Says what is wanted; the loader attaches and says what serves.
fn hello(
    channel: &mut Channel,
    source: u32,
    config: &Config,
    report: Report,
    stash: &mut Stash,
) -> Result<(raw::fimk_ready, Vec<OwnedFd>), ChannelError> {
    let mut key = no_key();
    key.actor.pid = attempts::flags(report);
    key.actor.image = match config.coverage {
        Coverage::Auto => raw::FIMK_COVERAGE_AUTO,
        Coverage::Normal => raw::FIMK_COVERAGE_NORMAL,
        Coverage::Strict => raw::FIMK_COVERAGE_STRICT,
    };
    channel.ask(
        raw::FIMK_REQUEST_HELLO,
        source,
        key,
        u64::from(config.objects_max),
    )?;
    loop {
        match channel.wait(READY_PATIENCE)? {
            (Packet::Ready(ready), descriptors) => return Ok((ready, descriptors)),
            other => stash.push(other),
        }
    }
}

/// `descriptors`: what came with READY.
fn eyes(ready: &raw::fimk_ready, descriptors: Vec<OwnedFd>) -> Result<Eyes, Failure> {
    let internal = |sentence: String| Failure::new(Status::Internal, sentence);
    let mut descriptors = descriptors.into_iter();
    match (ready.source, descriptors.next()) {
        (raw::FIMK_SOURCE_BPF, _) => Ok(Eyes::Bpf(Box::default())),
        (raw::FIMK_SOURCE_FANOTIFY, Some(group)) => {
            let mut marker = descriptors.next().map(Marker::new);
            // Those that an analyzer before us asked for may be of file systems that are none of ours.
            let _ = marker.as_mut().map(Marker::nothing);
            let group = Group::new(group, ready.fanotify_flags).and_then(|mut group| {
                group.discard_queue()?;
                Ok(group)
            });
            let group = group.map_err(|error| internal(error.to_string()))?;
            Ok(Eyes::Fanotify(Box::new(Fanotify::new(group, marker))))
        }
        (raw::FIMK_SOURCE_PERIODIC, _) => Ok(Eyes::Periodic),
        (source, _) => Err(internal(format!(
            "the loader offers source {source}, and this build knows none like it"
        ))),
    }
}

/// "strict, because …"; none where there are no programs.
pub(crate) fn coverage_words(ready: &raw::fimk_ready) -> Option<String> {
    let name = match ready.coverage {
        raw::FIMK_COVERAGE_NORMAL => "normal",
        raw::FIMK_COVERAGE_STRICT => "strict",
        _ => return None,
    };
    let (does, may) = match (ready.coverage, ready.preempts) {
        (raw::FIMK_COVERAGE_STRICT, 0) => ("each program twice", "does not skip any"),
        (raw::FIMK_COVERAGE_STRICT, _) => ("each program twice", "may skip one"),
        (_, 0) => ("each program once", "does not skip any"),
        (_, _) => (
            "each program once, what one is skipped for is looked for",
            "may skip one",
        ),
    };
    Some(format!("{name}: {does}; this kernel {may}"))
}

/// "source X serves: why".
pub(crate) fn source_sentence(ready: &raw::fimk_ready) -> String {
    let word = |words: &[&'static str], at: u32| {
        usize::try_from(at)
            .ok()
            .and_then(|at| words.get(at).copied())
            .unwrap_or("?")
    };
    format!(
        "source {} serves: {}",
        word(&SOURCE_NAMES, ready.source),
        word(&REASON_SENTENCES, ready.reason)
    )
}

/// Of the host that is watched: a container has a name of its own.
fn host_name() -> String {
    let configured = || host::name().map(|name| BytePath::new(&name).escaped());
    let of_this = || nix::unistd::gethostname().ok();
    configured()
        .or_else(|| Some(BytePath::new(of_this()?.as_encoded_bytes()).escaped()))
        .unwrap_or_else(|| "localhost".to_owned())
}

fn boot_id() -> String {
    fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"))
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}
