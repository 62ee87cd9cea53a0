//! More at once than there is room for, and the nets below: nothing is lost, and what was is told.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{
    Event, Expect, Monitor, Site, append_line, deadline, myself, not_run, rule, run, text,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// To one file.
const WRITES: u64 = 1_000_000;

/// So many processes are told apart at one file,
const PROCESSES: usize = 16;
/// and with each of them at so many files the smallest dirty map, of 8,192 entries, is full, also if some were emptied at first.
const MANY: usize = 600;

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("pids are small");
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

/// A call into the kernel is ended first, as one in which the dirty map is emptied.
fn stop(pid: u32) {
    signal(pid, Signal::SIGSTOP);
    let until = Instant::now() + deadline();
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    while !stat().contains(") T ") {
        assert!(Instant::now() < until, "{pid} does not stop");
        thread::sleep(Duration::from_millis(1));
    }
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
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&myself())
            .adds("1000000"),
    );
    let is_bpf = monitor.is_bpf();
    let events = monitor.stop();
    let (count, bytes) = (
        sum(&events, &path, "fimk.count"),
        sum(&events, &path, "fimk.bytes"),
    );
    let told = of(&events, &path).count() as u64;
    println!("{WRITES} writes: {told} events, {count} counted, {bytes} bytes");
    assert!(told <= 60, "{told} events");
    // Each time that an entry is taken, a write may be counted in it that comes too late: see fimk-events(7).
    let near = WRITES / 100;
    assert!(
        count <= WRITES + near && bytes <= 8 * (WRITES + near),
        "{count} {bytes}"
    );
    if is_bpf && takes_at_once() {
        assert!(count >= WRITES - near, "{count} counted");
        assert!(bytes >= 8 * (WRITES - near), "{bytes} bytes");
    }
    assert!(count > 0);
    for event in of(&events, &path) {
        assert!(
            event.text("event.start") <= event.text("event.end"),
            "{event:?}"
        );
    }
}

/// Whether the kernel can look an entry up and remove it in one step: since 5.14.
fn takes_at_once() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is there");
    let mut numbers = release.split('.').map(|it| it.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(14))
}

#[test]
fn of_forty_processes_at_one_file_sixteen_are_told_and_the_others_counted() {
    const ALL: u64 = 40;
    let site = Site::new();
    let path = site.write("shared", "one\n");
    let monitor = site.watch();
    let analyzer = monitor.analyzer_pid().expect("it runs");
    stop(analyzer);
    for number in 0..ALL {
        append_line(&path, &number.to_string());
    }
    signal(analyzer, Signal::SIGCONT);
    if monitor.is_bpf() {
        // Each a write and the end of the description.
        monitor.wait_until("each is counted", |events| {
            sum(events, &path, "fimk.count") >= 2 * ALL
        });
    } else {
        monitor.expect(Expect::action("modified").of(&path).without("process"));
    }
    let status = site.status();
    let events = monitor.stop();
    let named: HashSet<_> = of(&events, &path)
        .filter_map(|event| event.number("process.pid"))
        .collect();
    assert_eq!(named.len(), PROCESSES, "{events:?}");
    let others: Vec<_> = of(&events, &path)
        .filter(|event| event.get("process").is_none())
        .collect();
    assert_eq!(others.len(), 1, "{others:?}");
    if events[0].text("fimk.source") == Some("bpf") {
        assert_eq!(sum(&events, &path, "fimk.count"), 2 * ALL);
        assert_eq!(
            others[0].number("fimk.count"),
            Some(2 * (ALL - PROCESSES as u64)),
            "{others:?}"
        );
        assert!(status.to_string().contains("\"crowded\""), "{status}");
    }
}

/// Makes and removes a name until its records have filled the ring. Of one object, that nobody opens: the other maps
/// stay empty.
fn fill_ring(directory: &Path, object: &Path) {
    let path = directory.join("noise");
    for _ in 0..12_000 {
        fs::hard_link(object, &path).expect("it is ours");
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

#[test]
fn what_the_ring_or_the_dirty_map_had_no_room_for_is_found_and_each_loss_told_with_its_repair() {
    let site = Site::new();
    for number in 0..MANY {
        site.write(&format!("many/{number}"), "one\n");
    }
    let late: Vec<PathBuf> = (0..20)
        .map(|number| site.write(&format!("late/{number}"), "one\n"))
        .collect();
    let (quiet, noisy) = (site.write("quiet", "one\n"), site.outside("noisy"));
    fs::create_dir(&noisy).expect("it is ours");
    let object = site.outside("object");
    File::create(&object).expect("it is ours");
    let of = |name: &str, path: &Path| {
        format!("[[rule]]\nname = {name:?}\npaths = [{:?}]\n", text(path))
    };
    let rules = [of("files", &site.files()), of("noisy", &noisy)].concat();
    let monitor = site.start(&format!("objects_max = 8192\n{rules}"));
    if !monitor.is_bpf() {
        monitor.stop();
        not_run("full ring and map", "only the source bpf has them");
        return;
    }
    stop(monitor.loader_pid());
    fill_ring(&noisy, &object);
    let shell = append_line(&quiet, "two");
    let made = "mkdir \"$0/sub\" && echo one >\"$0/sub/new\"";
    run("sh", &["-c", made, text(&noisy)]);
    signal(monitor.loader_pid(), Signal::SIGCONT);
    let swept = Expect::action("modified").of(&quiet).by(&shell);
    monitor.expect(swept.field("fimk.detected_by", "event"));
    monitor.expect(Expect::action("created").of(&noisy.join("sub/new")));
    lost(&monitor, "announcements_lost");
    repaired(&monitor, "entries_swept");
    repaired(&monitor, "directories_compared");

    stop(monitor.loader_pid());
    for _ in 0..PROCESSES {
        let opened = "for file in \"$0\"/*; do : >>\"$file\"; done";
        run("sh", &["-c", opened, text(&site.file("many"))]);
    }
    for path in &late {
        let mut file = File::options().append(true).open(path).expect("it is ours");
        file.write_all(b"two\n").expect("it is ours");
    }
    signal(monitor.loader_pid(), Signal::SIGCONT);
    for path in &late {
        let found = Expect::action("modified").of(path).adds("two");
        monitor.expect(found.field("fimk.detected_by", "scan").without("process"));
    }
    lost(&monitor, "dirty_map_full");
    repaired(&monitor, "paths_compared");
    monitor.expect_logged("what files covers is compared");
    let status = site.status();
    let found = status["repairs"]["differences_found"].as_u64();
    assert!(found >= Some(20), "{status}");
    monitor.stop();
}
