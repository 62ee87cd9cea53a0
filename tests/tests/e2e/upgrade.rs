//! A new build takes the place of one that serves, while somebody makes one change after the other.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use fimk_tests::{
    Event, Launch, Site, deadline, loader, myself, not_run, rule, run, stop_services,
};
use nix::sys::signal::Signal;

/// Between two changes: an emulated machine has to keep up, which takes a minute to start the other build.
const EVERY: Duration = Duration::from_millis(20);
/// Files of which one after the other gets a line; each change is a new file as well.
const OLD: u32 = 20;
/// Changes before the replacement, and behind it.
const AROUND: u32 = 40;

/// The programs of another build: as ours, but for the name that its pins are told by.
fn other_build(site: &Site) -> PathBuf {
    let directory = site.outside("build");
    fs::create_dir(&directory).expect("it is ours");
    for program in ["fimk-analyzer", "fimk"] {
        symlink(loader().with_file_name(program), directory.join(program)).expect("it is ours");
    }
    let version = |program: &Path| run(program, &["--version"]).output;
    let ours = version(&loader());
    let (_, name) = ours.split_once("(programs ").expect("it says its name");
    let name = name.split_once(')').expect("it ends").0.to_owned();
    let other = name.chars().rev().collect::<String>().to_uppercase();
    let mut program = fs::read(loader()).expect("it is built");
    let places = program.windows(name.len()).enumerate();
    let found = places.filter(|(_, bytes)| *bytes == name.as_bytes());
    let places: Vec<usize> = found.map(|(at, _)| at).collect();
    assert_eq!(places.len(), 1, "{name} is there once");
    program[places[0]..places[0] + name.len()].copy_from_slice(other.as_bytes());
    let path = directory.join("fimk-loader");
    fs::write(&path, program).expect("it is ours");
    run("chmod", &["755", path.to_str().expect("UTF-8")]);
    assert!(version(&path).contains(&other), "{}", version(&path));
    path
}

/// A thread of this process that makes changes, each with a number.
struct Writer {
    ends: Arc<AtomicBool>,
    made: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn begin(directory: PathBuf) -> Self {
        let (ends, made) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let (told, number) = (Arc::clone(&ends), Arc::clone(&made));
        let thread = thread::spawn(move || {
            use std::io::Write as _;
            while !told.load(Ordering::Relaxed) {
                let next = number.load(Ordering::Relaxed);
                fs::write(directory.join(format!("new{next}")), "one\n").expect("it is ours");
                let old = directory.join(format!("old{}", next % OLD));
                let old = fs::File::options().append(true).open(old);
                writeln!(old.expect("it is there"), "line {next}").expect("it is ours");
                number.store(next + 1, Ordering::Relaxed);
                thread::sleep(EVERY);
            }
        });
        Self { ends, made, thread }
    }

    /// Waits for more changes.
    fn go_on(&self, more: u32) {
        let wanted = self.made.load(Ordering::Relaxed) + more;
        while self.made.load(Ordering::Relaxed) < wanted {
            thread::sleep(EVERY);
        }
    }

    /// How many changes it made.
    fn end(self) -> u32 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends well");
        self.made.load(Ordering::Relaxed)
    }
}

/// The changes that are told to be this process's.
fn told(events: &[Event]) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    let me = u64::from(myself().pid);
    for event in events
        .iter()
        .filter(|event| event.number("process.pid") == Some(me))
    {
        if event.action() == "created" {
            told.extend(event.text("file.name").map(str::to_owned));
        }
        let lines = event.text("fimk.diff").unwrap_or_default().lines();
        told.extend(
            lines
                .filter_map(|line| line.strip_prefix("+line "))
                .map(str::to_owned),
        );
    }
    told
}

fn start(launch: &Launch) -> (fimk_tests::Monitor, fimk_tests::Monitor) {
    (launch.serve(), launch.analyze())
}

#[test]
fn another_build_takes_over_and_each_change_meanwhile_is_told_with_its_process() {
    let site = Site::new();
    for number in 0..OLD {
        site.write(&format!("old{number}"), "");
    }
    let other = other_build(&site);
    let mut launch = site.launch(&rule(&[&site.files()]));
    let (mut loader, mut analyzer) = start(&launch);
    if !analyzer.is_bpf() {
        stop_services(loader, analyzer);
        launch.detach();
        not_run(
            "another build takes over",
            "only the source bpf goes on between two builds",
        );
        return;
    }
    let writer = Writer::begin(site.files());
    writer.go_on(AROUND);
    for monitor in [&mut analyzer, &mut loader] {
        monitor.signal(Signal::SIGTERM);
        monitor.await_exit();
    }
    let events = analyzer.events();
    writer.go_on(AROUND);
    launch.loader = other;
    let (loader, analyzer) = start(&launch);
    writer.go_on(AROUND);
    let made = writer.end();
    let wanted: BTreeSet<String> = (0..made)
        .flat_map(|number| [format!("new{number}"), number.to_string()])
        .collect();
    let end = Instant::now() + 3 * deadline();
    let missing = loop {
        let told = told(&[&events[..], &analyzer.events()].concat());
        let missing: Vec<_> = wanted.difference(&told).cloned().collect();
        if missing.is_empty() || Instant::now() > end {
            break missing;
        }
        thread::sleep(Duration::from_millis(200));
    };
    loader.expect_logged("are of another build and are replaced");
    loader.expect_logged("go on under the new programs");
    println!("{made} times two changes");
    let account = format!("{}\n{}", loader.account(), analyzer.account());
    stop_services(loader, analyzer);
    launch.detach();
    assert_eq!(missing, Vec::<String>::new(), "of {made}\n{account}");
}
