//! Stops, crashes and what happens meanwhile.

use std::{collections::HashSet, fs, path::Path};

use fimk_tests::{Event, Expect, Monitor, Site, append_line, rule, run, text};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn changes_of<'a>(events: &'a [Event], path: &Path) -> Vec<&'a Event> {
    events
        .iter()
        .filter(|event| event.text("file.path").map(Path::new) == Some(path))
        .collect()
}

#[test]
fn the_state_is_kept_over_a_restart() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let first = site.watch().stop();
    assert!(
        first
            .iter()
            .any(|event| event.action() == "baseline_created"),
        "the first start makes a baseline"
    );
    let last = first
        .iter()
        .filter_map(|event| event.number("event.sequence"))
        .max()
        .expect("each event has a number");

    let monitor = site.watch();
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    let second = monitor.stop();
    assert!(
        second
            .iter()
            .all(|event| event.action() != "baseline_created"),
        "no second baseline: {second:?}"
    );
    assert!(
        second.iter().all(|event| event
            .number("event.sequence")
            .is_some_and(|number| number > last)),
        "numbers go on: {second:?}"
    );
}

#[test]
fn a_change_while_stopped_is_reported_once_as_a_gap_with_its_bounds() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let gone = site.write("gone", "one\n");
    site.watch().stop();
    append_line(&path, "two");
    fs::remove_file(&gone).expect("it is ours");
    let new = site.write("new", "one\n");

    let monitor = site.watch();
    for (action, path) in [("modified", &path), ("deleted", &gone), ("created", &new)] {
        let event = monitor.expect(
            Expect::action(action)
                .of(path)
                .field("fimk.detected_by", "gap")
                .without("process"),
        );
        let (from, to) = (
            event.text("fimk.gap.from").expect("bounds"),
            event.text("fimk.gap.to").expect("bounds"),
        );
        // Both in UTC with nanoseconds: their order as text is their order in time.
        assert!(from < to, "{from} is not before {to}");
    }
    monitor.stop();

    let events = site.watch().stop();
    for path in [path, gone, new] {
        assert_eq!(
            changes_of(&events, &path),
            Vec::<&Event>::new(),
            "reported once"
        );
    }
}

/// The kernel's id of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[test]
fn a_gap_over_a_reboot_is_told_as_one_with_its_bounds_and_one_without_is_not() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let config = rule(&[&site.files()]);
    // What it sees of the machine is as in an earlier boot.
    let other = site.outside("boot_id");
    fs::write(&other, "0f8fad5b-d9cb-469f-a165-70867728950e\n").expect("it is ours");
    let mut earlier = site.launch(&config);
    let bind = format!("mount --bind \"$0\" {BOOT_ID} && exec \"$@\"");
    let under = ["unshare", "--mount", "sh", "-c", &bind, text(&other)];
    earlier.under = under.map(str::to_owned).into();
    let monitor = earlier.spawn();
    monitor.await_start();
    let shell = append_line(&path, "two");
    let changed = monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    assert_eq!(
        changed.text("host.boot.id"),
        Some("0f8fad5b-d9cb-469f-a165-70867728950e")
    );
    monitor.kill9();
    let killed = format!("{:.9}", jiff::Timestamp::now());
    // No pin outlives the kernel.
    earlier.detach();

    append_line(&path, "three");
    let monitor = site.watch();
    let found = Expect::action("modified")
        .of(&path)
        .adds("three")
        .without("process");
    let found = monitor.expect(found.field("fimk.detected_by", "gap"));
    let gap = monitor.expect(Expect::action("gap").field("fimk.counts.reboots", 1).and(
        "in words".to_owned(),
        |event| {
            let message = event.text("message").unwrap_or_default();
            message.contains("the machine was started meanwhile")
        },
    ));
    let (from, to) = (gap.text("fimk.gap.from"), gap.text("fimk.gap.to"));
    // What differs may have been changed until it was read.
    let until = found.text("fimk.gap.to");
    assert_eq!(found.text("fimk.gap.from"), from);
    assert!(
        to <= until && until <= found.text("event.created"),
        "{gap:?} {found:?}"
    );
    let id = fs::read_to_string(BOOT_ID).expect("the kernel has it");
    assert_eq!(gap.text("host.boot.id"), Some(id.trim_end()));
    let started = monitor.expect(Expect::action("monitor_started"));
    // In UTC with nanoseconds: their order as text is their order in time.
    let killed = Some(killed.as_str());
    assert!(from < killed && killed < to, "{killed:?} in {gap:?}");
    assert!(to < started.text("event.created"), "{gap:?} {started:?}");
    monitor.kill9();

    let monitor = site.watch();
    monitor.expect(Expect::action("gap").without("fimk.counts.reboots"));
    monitor.stop();
}

/// Kills the analyzer and waits for the next one. By sequence: what the last one had not finished writing is
/// written again, its start among it.
fn kill_analyzer(monitor: &Monitor) {
    let started = |events: &[Event]| {
        events
            .iter()
            .filter(|event| event.action() == "monitor_started")
            .filter_map(|event| event.number("event.sequence"))
            .max()
    };
    let before = started(&monitor.events());
    let pid = monitor.analyzer_pid().expect("it runs");
    kill(
        Pid::from_raw(i32::try_from(pid).expect("pids are small")),
        Signal::SIGKILL,
    )
    .expect("it runs");
    monitor.wait_until("the analyzer is started again", |events| {
        started(events) > before
    });
}

#[test]
fn a_killed_analyzer_is_started_again_and_goes_on() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    kill_analyzer(&monitor);
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    monitor.stop();
}

#[test]
fn a_change_while_the_analyzer_is_dead_is_reported() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let pid = monitor.analyzer_pid().expect("it runs");
    kill(
        Pid::from_raw(i32::try_from(pid).expect("pids are small")),
        Signal::SIGKILL,
    )
    .expect("it runs");
    let shell = append_line(&path, "two");
    let expected = Expect::action("modified").of(&path).adds("two");
    // The kernel's maps outlive the analyzer, a queue of fanotify may not.
    monitor.expect(if monitor.is_bpf() {
        expected.by(&shell)
    } else {
        expected
    });
    monitor.stop();
}

#[test]
fn an_analyzer_that_dies_again_and_again_is_given_up_with_status_70() {
    let site = Site::new();
    let mut monitor = site.watch();
    for _ in 0..5 {
        kill_analyzer(&monitor);
    }
    let pid = monitor.analyzer_pid().expect("it runs");
    kill(
        Pid::from_raw(i32::try_from(pid).expect("pids are small")),
        Signal::SIGKILL,
    )
    .expect("it runs");
    assert_eq!(
        monitor.await_exit().code(),
        Some(70),
        "{}",
        monitor.account()
    );
    monitor.assert_no_pin();
}

#[test]
fn what_a_crash_interrupts_is_printed_at_least_once() {
    const FILES: usize = 200;
    let site = Site::new();
    let monitor = site.watch();
    let script =
        format!("i=0; while [ $i -lt {FILES} ]; do echo $i > \"$0/f$i\"; i=$((i + 1)); done");
    run("sh", &["-c", &script, text(&site.files())]);
    let before = monitor.kill9();

    let told = |events: &[Event]| -> HashSet<String> {
        let created = events.iter().filter(|event| event.action() == "created");
        created
            .filter_map(|event| event.text("file.path").map(str::to_owned))
            .collect()
    };
    let monitor = site.watch();
    // Where the kernel kept what nobody was told of, it comes after the start.
    monitor.wait_until("every file is reported as created", |events| {
        told(&before).union(&told(events)).count() == FILES
    });
    let shell = append_line(&site.file("f0"), "end");
    monitor.expect(
        Expect::action("modified")
            .of(&site.file("f0"))
            .by(&shell)
            .adds("end"),
    );
    monitor.stop();
}
