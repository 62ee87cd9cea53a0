//! Another build takes the place of one that serves, while a process makes one numbered change after another.
//!
//! Pins with room for another number of objects are replaced as those of another build are: the programs that serve stay
//! attached until the new ones are. So a test needs no second build.

use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{Event, Monitor, Site, deadline, rule, stop_services};
use nix::sys::signal::Signal;

use crate::round::Outcome;

/// The first word of the process that makes numbered changes.
pub const COUNTER: &str = "--counter";
/// Between two changes; emulated machines are slower.
const EVERY: Duration = Duration::from_millis(1);
const EVERY_EMULATED: Duration = Duration::from_millis(6);
/// There must be room to watch them all.
const FILES_MAX: u32 = 6_000;
/// Changes before and after the replacement.
const AROUND: u32 = 100;

/// Makes numbered files until its standard input is closed; says the last number.
pub fn count(directory: &Path) {
    let (told, ends) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        let _ = told.send(());
    });
    let every = if crate::scale() > 1 {
        EVERY_EMULATED
    } else {
        EVERY
    };
    let mut number = 0;
    while number < FILES_MAX && ends.try_recv().is_err() {
        fs::write(directory.join(number.to_string()), "one\n").expect("nobody else is there");
        number += 1;
        thread::sleep(every);
    }
    println!("{number}");
}

/// Counts as long as it lives.
struct Counter(Child);

impl Counter {
    fn begin(directory: &Path) -> Self {
        let child = Command::new(env::current_exe().expect("it runs"))
            .arg(COUNTER)
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is this program");
        Self(child)
    }

    /// How many changes it made.
    fn end(mut self) -> u32 {
        if let Some(mut input) = self.0.stdin.take() {
            // It may have made all that it may already.
            let _ = input.write_all(b"enough\n");
        }
        let mut line = String::new();
        let output = self.0.stdout.take().expect("it is piped");
        let _ = BufReader::new(output).read_line(&mut line);
        let _ = self.0.wait();
        line.trim().parse().expect("it says a number")
    }
}

/// Runs it.
pub fn run() -> Outcome {
    let site = Site::new();
    let config = rule(&[&site.files()]);
    let launch = site.launch(&config);
    let (mut loader, mut analyzer) = (launch.serve(), launch.analyze());
    let counter = Counter::begin(&site.files());
    await_number(&site, AROUND);
    for monitor in [&mut analyzer, &mut loader] {
        monitor.signal(Signal::SIGTERM);
        monitor.await_exit();
    }
    let mut events = analyzer.events();
    let launch = site.launch(&config.replacen("objects_max = 8192", "objects_max = 9216", 1));
    let (loader, analyzer) = (launch.serve(), launch.analyze_without_waiting());
    await_start(&analyzer);
    let made = fs::read_dir(site.files()).map_or(0, Iterator::count);
    await_number(&site, u32::try_from(made).unwrap_or(FILES_MAX) + AROUND);
    let count = counter.end();
    await_all(&analyzer, &events, count);
    let was_bpf = analyzer.is_bpf();
    let (loader, analyzer) = stop_services(loader, analyzer);
    events.extend(analyzer.events());
    let detached = launch.detach();
    let mut wrong = unreported(&events, count);
    if !detached.succeeded {
        wrong.push(format!("--detach failed: {}", detached.output));
    }
    if was_bpf && !loader.errors().contains("and are replaced") {
        wrong.push("the pins were not replaced".to_owned());
    }
    let named = created(&events).filter(|event| event.number("process.pid").is_some());
    Outcome {
        summary: format!("{count} changes, {} with their process", named.count()),
        wrong,
        sabotage: vec!["another build takes over".to_owned()],
        lives: Vec::new(),
        errors: loader.errors() + &analyzer.errors(),
        deeds: Vec::new(),
        events: Vec::new(),
    }
}

/// With thousands of files to walk an emulated machine takes its time.
fn await_start(analyzer: &Monitor) {
    let has_started = |events: &[Event]| {
        let mut actions = events.iter().map(Event::action);
        actions.any(|action| action == "monitor_started")
    };
    analyzer.wait_at_most(4 * deadline(), 0, has_started);
}

/// Waits until the counter is there, or can make no more.
fn await_number(site: &Site, number: u32) {
    let path = site.file(&number.min(FILES_MAX - 1).to_string());
    let end = Instant::now() + deadline();
    while !path.exists() && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
}

fn await_all(analyzer: &Monitor, before: &[Event], count: u32) {
    let end = Instant::now() + deadline();
    while Instant::now() < end {
        let all = [before, &analyzer.events()].concat();
        if unreported(&all, count).is_empty() {
            return;
        }
        thread::sleep(crate::scale() * Duration::from_millis(300));
    }
}

fn created(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.action() == "created")
}

fn unreported(events: &[Event], count: u32) -> Vec<String> {
    let told: HashSet<&str> = created(events)
        .filter_map(|event| Path::new(event.text("file.path")?).file_name()?.to_str())
        .collect();
    let missing: Vec<String> = (0..count)
        .map(|number| number.to_string())
        .filter(|name| !told.contains(name.as_str()))
        .collect();
    match missing.first() {
        None => Vec::new(),
        Some(first) => vec![format!(
            "{} of {count} changes are not reported, {first} the first",
            missing.len()
        )],
    }
}
