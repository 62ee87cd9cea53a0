//! More at once than there is room for, and the nets below: nothing is lost, and what was is told.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use fimk_tests::{
    Event, Expect, Monitor, Site, append_line, attempt, myself, not_run, rule, run, text,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// To one file.
const WRITES: u64 = 1_000_000;

/// What the smallest dirty map takes.
const DIRTY_MAX: usize = 8_192;

fn status(site: &Site) -> Value {
    let run_dir = site.run_dir();
    let arguments = ["status", "--format", "json", "--run-dir", text(&run_dir)];
    serde_json::from_str(&run(site.fimk(), &arguments).output).expect("it is JSON")
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("pids are small");
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

fn of<'a>(events: &'a [Event], path: &'a Path) -> impl Iterator<Item = &'a Event> {
    events.iter().filter(move |event| event.is_about(path))
}

fn sum(events: &[Event], path: &Path, field: &str) -> u64 {
    of(events, path)
        .filter_map(|event| event.number(field))
        .sum()
}

#[test]
fn a_million_writes_to_a_file_are_a_handful_of_events_that_count_each() {
    let site = Site::new();
    let path = site.write("hot", "0000000\n");
    let config =
        rule(&[&site.files()]).replace("type = \"stdout\"", "type = \"stdout\"\nseverity = 0");
    let monitor = site.start(&config);
    let file = File::options().write(true).open(&path).expect("it is ours");
    for number in 1..=WRITES {
        file.write_all_at(format!("{number:07}\n").as_bytes(), 0)
            .expect("it is ours");
    }
    drop(file);
    let is_bpf = monitor.is_bpf();
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&myself())
            .adds("1000000"),
    );
    if is_bpf {
        // And the end of the description.
        monitor.wait_until("each write is counted", |events| {
            sum(events, &path, "fimk.count") > WRITES
        });
    }
    let events = monitor.stop();
    let (count, bytes) = (
        sum(&events, &path, "fimk.count"),
        sum(&events, &path, "fimk.bytes"),
    );
    let told = of(&events, &path).count();
    println!("{WRITES} writes: {told} events, {count} counted, {bytes} bytes");
    assert!(told <= 60, "{told} events");
    if is_bpf {
        assert_eq!((count, bytes), (WRITES + 1, 8 * WRITES));
    } else {
        assert!((1..=WRITES + 1).contains(&count), "{count} counted");
    }
    for event in of(&events, &path) {
        assert!(
            event.text("event.start") <= event.text("event.end"),
            "{event:?}"
        );
    }
}

#[test]
fn of_forty_processes_at_one_file_sixteen_are_told_and_the_others_counted() {
    const PROCESSES: u64 = 40;
    let site = Site::new();
    let path = site.write("shared", "one\n");
    let monitor = site.watch();
    let analyzer = monitor.analyzer_pid().expect("it runs");
    signal(analyzer, Signal::SIGSTOP);
    for number in 0..PROCESSES {
        append_line(&path, &number.to_string());
    }
    signal(analyzer, Signal::SIGCONT);
    if monitor.is_bpf() {
        // Each a write and the end of the description.
        monitor.wait_until("each is counted", |events| {
            sum(events, &path, "fimk.count") >= 2 * PROCESSES
        });
    } else {
        monitor.expect(Expect::action("modified").of(&path).without("process"));
    }
    let status = status(&site);
    let events = monitor.stop();
    let named: HashSet<_> = of(&events, &path)
        .filter_map(|event| event.number("process.pid"))
        .collect();
    assert_eq!(named.len(), 16, "{events:?}");
    let others: Vec<_> = of(&events, &path)
        .filter(|event| event.get("process").is_none())
        .collect();
    assert_eq!(others.len(), 1, "{others:?}");
    if events[0].text("fimk.source") == Some("bpf") {
        assert_eq!(sum(&events, &path, "fimk.count"), 2 * PROCESSES);
        assert_eq!(
            others[0].number("fimk.count"),
            Some(2 * (PROCESSES - 16)),
            "{others:?}"
        );
        assert!(status.to_string().contains("\"crowded\""), "{status}");
    }
}

/// Makes and removes a name until its records have filled the ring.
fn fill_ring(directory: &Path) {
    let path = directory.join("noise");
    for _ in 0..12_000 {
        File::create(&path).expect("it is ours");
        fs::remove_file(&path).expect("it is ours");
    }
}

fn lost(monitor: &Monitor, name: &'static str) {
    monitor.expect(
        Expect::action("events_lost").and(name.to_owned(), move |event| {
            event.number(&format!("fimk.counts.{name}")) > Some(0)
                && event.get("fimk.lost").is_some()
        }),
    );
}

fn repaired(monitor: &Monitor, name: &'static str) {
    monitor.expect(
        Expect::action("events_lost").and(format!("repaired: {name}"), move |event| {
            event.number(&format!("fimk.counts.{name}")) > Some(0)
                && event.get("fimk.counts.differences_found").is_some()
        }),
    );
}

/// Whether this is the event of a process that the kernel named.
fn told_by(path: &Path, pid: Option<u64>) -> impl Fn(&[Event]) -> bool {
    move |events| {
        of(events, path).any(|event| pid.is_none_or(|pid| event.number("process.pid") == Some(pid)))
    }
}

#[test]
fn what_the_ring_or_the_dirty_map_had_no_room_for_is_found_and_each_loss_told_with_its_repair() {
    let site = Site::new();
    let files: Vec<PathBuf> = (0..DIRTY_MAX + 300)
        .map(|number| site.write(&format!("many/{number}"), "one\n"))
        .collect();
    let (quiet, noisy) = (site.write("quiet", "one\n"), site.outside("noisy"));
    fs::create_dir(&noisy).expect("it is ours");
    let of = |name: &str, path: &Path| {
        format!("[[rule]]\nname = {name:?}\npaths = [{:?}]\n", text(path))
    };
    let config = format!(
        "objects_max = 32768\n{}{}",
        of("files", &site.files()),
        of("noisy", &noisy)
    );
    let monitor = site.start(&config);
    if !monitor.is_bpf() {
        monitor.stop();
        not_run("full ring and map", "only the source bpf has them");
        return;
    }
    signal(monitor.loader_pid(), Signal::SIGSTOP);
    fill_ring(&noisy);
    let shell = append_line(&quiet, "two");
    let made = attempt(
        "sh",
        &[
            "-c",
            "mkdir \"$0/sub\" && echo one >\"$0/sub/new\"",
            text(&noisy),
        ],
    );
    assert!(made.succeeded, "it may");
    signal(monitor.loader_pid(), Signal::SIGCONT);
    monitor.expect(
        Expect::action("modified")
            .of(&quiet)
            .by(&shell)
            .field("fimk.detected_by", "event"),
    );
    monitor.wait_until("what was made", told_by(&noisy.join("sub/new"), None));
    lost(&monitor, "announcements_lost");
    repaired(&monitor, "entries_swept");
    repaired(&monitor, "directories_compared");

    signal(monitor.loader_pid(), Signal::SIGSTOP);
    for path in &files {
        let mut file = File::options().append(true).open(path).expect("it is ours");
        file.write_all(b"two\n").expect("it is ours");
    }
    signal(monitor.loader_pid(), Signal::SIGCONT);
    monitor.wait_until("all files", |events| {
        let modified = events.iter().filter(|event| event.action() == "modified");
        let told: HashSet<&str> = modified
            .filter_map(|event| event.text("file.path"))
            .collect();
        files.iter().all(|path| told.contains(text(path)))
    });
    lost(&monitor, "dirty_map_full");
    repaired(&monitor, "paths_compared");
    monitor.expect_logged("what files covers is compared");
    let status = status(&site);
    let repairs = &status["repairs"];
    assert!(
        repairs["differences_found"].as_u64() >= Some(300),
        "{status}"
    );
    assert!(repairs["entries_swept"].as_u64() > Some(0), "{status}");
    monitor.stop();
}
