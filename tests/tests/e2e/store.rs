//! The database while its disk is full, away or another one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{
    Disk, Event, Expect, Monitor, Site, append_line, deadline, not_run, rule, run, text,
};
use serde_json::Value;

fn await_status(site: &Site, monitor: &Monitor, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + deadline();
    loop {
        let answer = site.status();
        if wanted(&answer) {
            return answer;
        }
        assert!(
            Instant::now() < end,
            "still {answer}\n{}",
            monitor.account()
        );
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_unstored(status: &Value) -> bool {
    let problems = status["problems"].as_array();
    problems.is_some_and(|it| it.iter().any(|problem| problem["code"] == "unstored"))
}

fn saying(action: &str, words: &'static str) -> Expect {
    Expect::action(action).and(format!("says {words:?}"), move |event| {
        event.text("message").is_some_and(|it| it.contains(words))
    })
}

fn sequences(events: &[Event]) -> Vec<u64> {
    let numbers = events
        .iter()
        .filter_map(|event| event.number("event.sequence"));
    numbers.collect()
}

/// A text of which a record takes much room.
fn long_text() -> String {
    format!("{}\n", "0123456789abcde".repeat(8)).repeat(3_000)
}

#[test]
fn on_a_full_disk_changes_are_told_and_kept_and_nothing_is_lost_when_it_has_space() {
    let name = "on_a_full_disk_changes_are_told_and_kept_and_nothing_is_lost_when_it_has_space";
    let site = Site::new();
    let Some(disk) = Disk::at(&site.state(), name) else {
        return;
    };
    let path = site.write("file", "one\n");
    let long = site.write("long", &long_text());
    let monitor = site.watch();
    disk.fill();
    // RocksDB has room for some megabytes in advance.
    let end = Instant::now() + deadline();
    while !is_unstored(&site.status()) {
        assert!(Instant::now() < end, "{}", monitor.account());
        append_line(&long, "more");
    }
    monitor.expect(saying("degraded", "no space is left"));
    monitor.expect_logged("nothing can be stored");
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    if monitor.is_bpf() {
        let undone = await_status(&site, &monitor, |it| {
            it["queues"]["settling"]["length"] == 0
        });
        assert!(
            undone["queues"]["undone"]["length"].as_u64() > Some(0),
            "{undone}"
        );
    }

    // More than is kept in memory.
    let many: Vec<PathBuf> = (0..30)
        .map(|number| site.write(&format!("long{number}"), &long_text()))
        .collect();
    let full = await_status(&site, &monitor, |it| {
        it["database"]["stood_still"].as_u64() > Some(0)
    });
    assert!(is_unstored(&full), "{full}");
    let kept = full["database"]["in_memory"]["length"].as_u64();
    assert!(kept < Some(24 << 20), "{full}");
    disk.empty();
    monitor.expect(saying("recovered", "nothing is lost"));
    for path in &many {
        monitor.expect(Expect::action("created").of(path));
    }
    await_status(&site, &monitor, |it| {
        !is_unstored(it) && it["queues"]["undone"]["length"].as_u64().unwrap_or(0) == 0
    });
    let numbers = sequences(&monitor.events());
    let different: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(
        numbers.len(),
        different.len(),
        "each number once: {numbers:?}"
    );
    assert!(numbers.is_sorted(), "in order: {numbers:?}");

    // What was stored is what was told.
    monitor.kill9();
    let monitor = site.watch();
    let events = monitor.stop();
    let again = events.iter().filter(|event| {
        ["created", "modified", "events_lost"].contains(&event.action())
            && sequences(std::slice::from_ref(event))
                .iter()
                .all(|it| !different.contains(it))
    });
    assert_eq!(again.count(), 0, "{events:?}");
}

#[test]
fn on_a_disk_that_became_read_only_changes_are_told_and_none_is_lost_when_it_is_mounted_again() {
    let name = "on_a_disk_that_became_read_only_changes_are_told_and_none_is_lost_when_it_is_mounted_again";
    let site = Site::new();
    let image = site.outside("image");
    let Some(disk) = Disk::of_image(&image, &site.state(), name) else {
        return;
    };
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    run("sync", &["-f", text(&site.state())]);
    disk.make_read_only();
    for line in ["two", "three"] {
        let shell = append_line(&path, line);
        monitor.expect(Expect::action("modified").of(&path).by(&shell).adds(line));
    }
    monitor.expect(Expect::action("degraded"));
    assert!(is_unstored(&site.status()), "{}", monitor.account());
    monitor.kill9();
    disk.unmount();
    let Some(disk) = Disk::of_image(&image, &site.state(), name) else {
        return;
    };
    let monitor = site.watch();
    let again = |event: &Event| event.diff_has("+two") && event.diff_has("+three");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .and("tells both lines again".to_owned(), again),
    );
    monitor.stop();
    drop(disk);
}

#[test]
fn a_state_directory_swapped_while_fimk_runs_is_said_and_used_again_when_it_is_back() {
    let name = "a_state_directory_swapped_while_fimk_runs_is_said_and_used_again_when_it_is_back";
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let Some(other) = Disk::at(&site.state(), name) else {
        return;
    };
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    monitor.expect(saying("degraded", "is not the one that fimk opened"));
    let shell = append_line(&path, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("three"),
    );
    let left = fs::read_dir(site.state()).expect("it is mounted").count();
    assert_eq!(left, 0, "nothing is written to the other one");
    drop(other);
    monitor.expect(saying("recovered", "nothing is lost"));
    monitor.stop();
    let events = site.watch().stop();
    let lost = events
        .iter()
        .filter(|event| ["degraded", "events_lost", "modified"].contains(&event.action()));
    assert_eq!(lost.count(), 0, "{events:?}");
}

#[test]
fn a_state_that_was_put_back_or_removed_while_fimk_was_stopped_is_said() {
    let site = Site::new();
    site.write("file", "one\n");
    site.watch().stop();
    let copy = site.outside("copy");
    run("cp", &["-a", text(&site.state()), text(&copy)]);
    append_line(&site.file("file"), "two");
    site.watch().stop();

    let replace = |by: Option<&Path>| {
        fs::remove_dir_all(site.state()).expect("tests run as root");
        if let Some(by) = by {
            run("cp", &["-a", text(by), text(&site.state())]);
        }
        site.watch()
    };
    let monitor = replace(Some(&copy));
    monitor.expect(saying("degraded", "was put back"));
    monitor.stop();
    let monitor = replace(None);
    monitor.expect(saying("degraded", "is not the one that fimk used before"));
    monitor.stop();
}

/// The clock of a guest, set for a while.
struct Clock {
    began: Instant,
    was: std::time::SystemTime,
}

impl Clock {
    /// None on a host that is not ours alone.
    fn of_a_guest(test: &str) -> Option<Self> {
        if !Path::new("/fimk/init").exists() {
            not_run(test, "the clock of this host is not for tests to set");
            return None;
        }
        let (began, was) = (Instant::now(), std::time::SystemTime::now());
        Some(Self { began, was })
    }

    /// Sets it so many hours away from the time.
    fn set(&self, hours: i64) {
        let now = self.was + self.began.elapsed();
        let since = now
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        let seconds = i64::try_from(since.as_secs()).expect("it fits") + hours * 3_600;
        run("date", &["-s".to_owned(), format!("@{seconds}")]);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[test]
fn a_clock_that_is_set_disturbs_neither_reports_nor_their_order_nor_what_is_kept() {
    let name = "a_clock_that_is_set_disturbs_neither_reports_nor_their_order_nor_what_is_kept";
    let Some(clock) = Clock::of_a_guest(name) else {
        return;
    };
    let site = Site::new();
    let path = site.write("file", "one\n");
    let config = format!("{}\n[store]\nkeep_days = 1\n", rule(&[&site.files()]));
    let monitor = site.start(&config);
    for hours in [5, -5, 24 * 800] {
        clock.set(hours);
        let line = format!("{hours} hours");
        let shell = append_line(&path, &line);
        monitor.expect(Expect::action("modified").of(&path).by(&shell).adds(&line));
    }
    let first = monitor.stop();
    assert!(sequences(&first).is_sorted(), "{first:?}");
    let monitor = site.start(&config);
    let kept = site.status();
    clock.set(0);
    assert_eq!(
        kept["database"]["removed_by_age"],
        serde_json::json!({}),
        "{kept}"
    );
    let shell = append_line(&path, "the end");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("the end"),
    );
    monitor.stop();
    let monitor = site.start(&config);
    let gap = monitor.expect(Expect::action("gap"));
    let (from, to) = (gap.text("fimk.gap.from"), gap.text("fimk.gap.to"));
    assert!(from.is_some() && from <= to, "{gap:?}");
    monitor.stop();
}
