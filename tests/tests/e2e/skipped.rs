//! The recursion guard of trampolines: a BPF program is skipped on a CPU on which another task lies preempted inside
//! it. Here one of the lowest priority is, most of the time, on the CPU of whoever writes.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Duration,
};

use fimk_tests::{Event, Expect, Monitor, Site, myself, not_run, rule, run as execute};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
    unistd::{Pid, gettid},
};

/// Single writes under attack.
const WRITES: usize = 2_000;
/// Of them with the files open at once: no release tells of a write before all are looked at.
const OPEN_AT_ONCE: usize = 500;

/// A process of the lowest priority (`SCHED_IDLE`) on one CPU that does nothing but write to /dev/null.
struct Spinner(Child);

impl Spinner {
    fn on(cpu: usize) -> Self {
        let cpu = cpu.to_string();
        let spinner = Command::new("chrt")
            .args(["--idle", "0", "taskset", "-c", &cpu])
            .args(["sh", "-c", "exec yes >/dev/null"])
            .spawn();
        Self(spinner.expect("chrt and taskset are part of util-linux"))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Binds this process to the CPU that it is on, until it is dropped.
struct Bound {
    before: CpuSet,
    cpu: usize,
}

impl Bound {
    fn here() -> Self {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).expect("it is ours");
        let cpu = sched_getcpu().expect("Linux says");
        let mut only = CpuSet::new();
        only.set(cpu).expect("it exists");
        sched_setaffinity(this, &only).expect("it is ours");
        Self { before, cpu }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

fn files(site: &Site) -> Vec<PathBuf> {
    (0..WRITES)
        .map(|number| site.write(&number.to_string(), "before\n"))
        .collect()
}

/// This thread takes the CPU in the moment in which it wakes, wherever the kernel is (`SCHED_FIFO`), until it is dropped.
/// For others a lazily preempted kernel waits until the next tick or the end of a call, which spoils the attack.
struct Hurried;

impl Hurried {
    fn now() -> Self {
        Self::schedule("--fifo", "1");
        Self
    }

    fn schedule(policy: &str, priority: &str) {
        let thread = gettid().to_string();
        execute("chrt", &[policy, "--pid", priority, &thread]);
    }
}

impl Drop for Hurried {
    fn drop(&mut self) {
        Self::schedule("--other", "0");
    }
}

/// One write to each file. The writer sleeps before each, so that the spinner runs, and is preempted when it wakes.
fn write_under_attack(files: &[PathBuf]) -> Vec<File> {
    let bound = Bound::here();
    let spinner = Spinner::on(bound.cpu);
    let _hurried = Hurried::now();
    let open = |path: &PathBuf| OpenOptions::new().write(true).open(path);
    let opened: Vec<File> = files
        .iter()
        .map(|path| open(path).expect("it is ours"))
        .collect();
    for file in &opened {
        thread::sleep(Duration::from_micros(500));
        file.write_all_at(b"after!\n", 0).expect("it is ours");
    }
    drop(spinner);
    opened
}

/// The changes reported of these files, by the condition that they must meet.
fn reported(events: &[Event], meets: impl Fn(&Event) -> bool) -> HashSet<&str> {
    let changes = events.iter().filter(|event| event.action() == "modified");
    changes
        .filter(|event| meets(event))
        .filter_map(|event| event.text("file.path"))
        .collect()
}

fn under_attack(coverage: &str) -> Option<(Site, Monitor, Vec<PathBuf>)> {
    let site = Site::new();
    let files = files(&site);
    let config = format!("coverage = \"{coverage}\"\n{}", rule(&[&site.files()]));
    let monitor = site.start(&config);
    if !monitor.is_bpf() {
        not_run(
            &format!("skipped programs with coverage {coverage}"),
            "no BPF program serves on this kernel",
        );
        return None;
    }
    Some((site, monitor, files))
}

fn all(files: &[PathBuf]) -> HashSet<&str> {
    files.iter().filter_map(|path| path.to_str()).collect()
}

/// What the kernel skipped programs for, as the monitor told.
fn skipped(monitor: &Monitor) -> u64 {
    let events = monitor.events();
    let losses = events
        .iter()
        .filter(|event| event.action() == "events_lost");
    losses
        .filter_map(|event| event.number("fimk.counts.program_skipped"))
        .sum()
}

/// Whether this kernel preempts programs, as the monitor told.
fn preempts(events: &[Event]) -> bool {
    let started = events.iter().find(|it| it.action() == "monitor_started");
    let message = started.and_then(|it| it.text("message"));
    message.is_some_and(|it| it.contains("this kernel may skip one"))
}

#[test]
fn no_write_hides_behind_a_preempted_process_and_each_is_counted_once_in_strict_coverage() {
    let Some((_site, monitor, files)) = under_attack("strict") else {
        return;
    };
    let me = u64::from(std::process::id());
    let by_me = |event: &Event| {
        event.number("process.pid") == Some(me) && event.text("fimk.detected_by") == Some("event")
    };
    for some in files.chunks(OPEN_AT_ONCE) {
        let opened = write_under_attack(some);
        let wanted = all(some);
        monitor.wait_until("each write with its process", |events| {
            wanted.is_subset(&reported(events, by_me))
        });
        drop(opened);
    }
    let twice = |event: &&Event| {
        event.action() == "modified" && event.number("fimk.count").is_some_and(|count| count > 1)
    };
    let events = monitor.events();
    let counted_twice: Vec<&Event> = events.iter().filter(twice).collect();
    assert!(counted_twice.is_empty(), "{counted_twice:?}");
    monitor.stop();
}

#[test]
fn what_a_skipped_program_did_not_see_is_found_by_a_look_in_normal_coverage() {
    let Some((_site, monitor, files)) = under_attack("normal") else {
        return;
    };
    for some in files.chunks(OPEN_AT_ONCE) {
        let opened = write_under_attack(some);
        let wanted = all(some);
        monitor.wait_until("each write", |events| {
            wanted.is_subset(&reported(events, |_| true))
        });
        drop(opened);
    }
    let events = monitor.events();
    let found = reported(&events, |event| {
        event.text("fimk.detected_by") == Some("scan")
    });
    println!(
        "{} of {WRITES} writes were found by a look; programs skipped {} calls",
        found.len(),
        skipped(&monitor)
    );
    for path in found {
        monitor.expect(
            Expect::action("modified")
                .of(Path::new(path))
                .and("a window".to_owned(), |event| {
                    event.text("fimk.gap.from").is_some()
                }),
        );
        assert!(skipped(&monitor) > 0, "the loss has a cause");
    }
    if preempts(&events) && skipped(&monitor) == 0 {
        not_run(
            "writes that a skipped program does not see",
            "the attack made the kernel skip no program",
        );
    }
    monitor.stop();
}

#[test]
fn who_writes_and_how_often_is_told_once_by_two_programs() {
    let site = Site::new();
    let path = site.write("target", "before\n");
    let config = format!("coverage = \"strict\"\n{}", rule(&[&site.files()]));
    let monitor = site.start(&config);
    if !monitor.is_bpf() {
        return not_run("two programs on a function", "no BPF program serves here");
    }
    fs::write(&path, "after!\n").expect("it is ours");
    let event = monitor.expect(Expect::action("modified").of(&path).by(&myself()));
    // The truncation by O_TRUNC, the write, and the release.
    let count = event.number("fimk.count").unwrap_or_default();
    assert!((1..=3).contains(&count), "{event:?}");
    let made = site.file("made");
    fs::write(&made, "new\n").expect("it is ours");
    monitor.expect(Expect::action("created").of(&made).by(&myself()));
    let moved = site.file("moved");
    fs::rename(&made, &moved).expect("it is ours");
    monitor.expect(Expect::action("renamed").of(&moved).by(&myself()));
    fs::remove_file(&moved).expect("it is ours");
    monitor.expect(Expect::action("deleted").of(&moved).by(&myself()));
    let events = monitor.stop();
    for (action, path) in [("created", &made), ("renamed", &moved), ("deleted", &moved)] {
        let about = events
            .iter()
            .filter(|event| event.action() == action && event.is_about(path));
        assert_eq!(about.count(), 1, "{action}");
    }
}
