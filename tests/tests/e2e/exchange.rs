//! Outputs that are exchanged while fimk runs: which there are, where they go, what they take and in what form.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{Event, Expect, Monitor, Site, append_line, deadline, rule, run, text};
use nix::sys::signal::Signal;

use super::forwarder::await_sent;

/// A directory that the analyzer may write in.
fn directory(site: &Site, name: &str) -> PathBuf {
    let directory = site.outside(name);
    run("install", &["-d", "-o", "fimk", text(&directory)]);
    directory
}

/// An output to a file, with further keys.
fn to_file(name: &str, path: &Path, keys: &str) -> String {
    format!(
        "\n[[output]]\nname = \"{name}\"\ntype = \"file\"\npath = \"{}\"\n{keys}",
        path.display()
    )
}

/// Has another configuration read, and waits for what becomes of it.
fn reload(site: &Site, monitor: &Monitor, config: &str, becomes: &str) -> Event {
    let count = |events: &[Event]| events.iter().filter(|it| it.action() == becomes).count();
    let before = count(&monitor.events());
    fs::write(site.outside("fimk.toml"), config).expect("it is ours");
    monitor.signal(Signal::SIGHUP);
    monitor.wait_until(becomes, |events| count(events) > before);
    let events = monitor.events();
    let last = events.iter().rfind(|it| it.action() == becomes);
    last.expect("it was seen").clone()
}

/// A change that is told.
fn change(monitor: &Monitor, file: &Path, line: &str) -> u64 {
    append_line(file, line);
    let event = monitor.expect(Expect::action("modified").of(file).adds(line));
    event.number("event.sequence").expect("it has one")
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn mode(path: &Path) -> u32 {
    let meta = fs::metadata(path).expect("it is there");
    meta.permissions().mode() & 0o777
}

/// The numbers of the events in a file of JSON lines.
fn numbers(path: &Path) -> Vec<u64> {
    let number = |line: &String| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value["event"]["sequence"].as_u64().expect("a number")
    };
    lines(path).iter().map(number).collect()
}

/// Waits until a file has what is looked for.
fn until(what: &str, monitor: &Monitor, holds: impl Fn() -> bool) {
    let end = Instant::now() + deadline();
    while !holds() {
        assert!(
            Instant::now() < end,
            "not in time: {what}\n{}",
            monitor.errors()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Older kernels have none, and then anything may be opened that others permit.
fn has_landlock(site: &Site) -> bool {
    site.status()["sandbox"]["landlock_abi"].is_u64()
}

fn counts(event: &Event) -> [Option<u64>; 3] {
    ["added", "removed", "changed"].map(|name| event.number(&format!("fimk.counts.outputs_{name}")))
}

#[test]
fn an_output_whose_file_is_exchanged_goes_on_in_the_other_without_losing_or_repeating_an_event() {
    let site = Site::new();
    let out = directory(&site, "out");
    let (first, second) = (out.join("first"), out.join("second"));
    let file = site.write("file", "a\n");
    let start = rule(&[&site.files()]);
    let monitor = site.start(&(start.clone() + &to_file("log", &first, "severity = 0\n")));
    let before = change(&monitor, &file, "before");
    await_sent(&site, "log");
    assert!(numbers(&first).contains(&before));

    let config = start + &to_file("log", &second, "severity = 0\n");
    let reloaded = reload(&site, &monitor, &config, "config_reloaded");
    assert_eq!(counts(&reloaded), [Some(0), Some(0), Some(1)]);
    let after = change(&monitor, &file, "after");
    until("it is in the second", &monitor, || {
        numbers(&second).contains(&after)
    });
    let last = monitor
        .stop()
        .last()
        .and_then(|it| it.number("event.sequence"));
    let all = [numbers(&first), numbers(&second)].concat();
    let expected: Vec<u64> = (1..=last.expect("it has one")).collect();
    assert_eq!(all, expected, "each once, in order");
    assert!(!numbers(&first).contains(&after));
}

#[test]
fn outputs_come_and_go_and_take_another_filter_form_and_name_while_fimk_runs() {
    let site = Site::new();
    let out = directory(&site, "out");
    let (one, two) = (out.join("one"), out.join("two"));
    let file = site.write("file", "a\n");
    let start = rule(&[&site.files()]);
    let monitor = site.start(&(start.clone() + &to_file("one", &one, "")));
    let first = change(&monitor, &file, "first");
    until("it is in one", &monitor, || numbers(&one).contains(&first));

    // One more, which begins with the word of the exchange.
    let both =
        start.clone() + &to_file("one", &one, "") + &to_file("two", &two, "format = \"text\"\n");
    let reloaded = reload(&site, &monitor, &both, "config_reloaded");
    assert_eq!(counts(&reloaded), [Some(1), Some(0), Some(0)]);
    change(&monitor, &file, "second");
    until("two has two lines", &monitor, || lines(&two).len() == 2);
    let of_two = lines(&two);
    assert!(of_two[0].contains("outputs: 1 added") && of_two[1].contains("file modified"));

    // The first goes, and its last line says so; the other takes another name, form and filter, in the same file.
    let other = start.clone()
        + &to_file(
            "renamed",
            &two,
            "actions = [\"config_reloaded\", \"created\"]\n",
        );
    let reloaded = reload(&site, &monitor, &other, "config_reloaded");
    assert_eq!(counts(&reloaded), [Some(1), Some(2), Some(0)]);
    change(&monitor, &file, "for nobody");
    let made = site.write("made", "");
    let created = monitor.expect(Expect::action("created").of(&made));
    let created = created.number("event.sequence").expect("it has one");
    until("two has four lines", &monitor, || lines(&two).len() == 4);
    let of_two = lines(&two);
    assert!(of_two[2].contains("\"config_reloaded\"") && of_two[3].contains("\"created\""));
    let exchanged = reloaded.number("event.sequence");
    assert_eq!(
        numbers(&one).last().copied(),
        exchanged,
        "the last line says why no more come"
    );
    assert!(created > exchanged.expect("it has one"));

    // What comes back begins anew: it is not remembered how far it was.
    reload(&site, &monitor, &both, "config_reloaded");
    let last = change(&monitor, &file, "last");
    until("it is in one", &monitor, || numbers(&one).contains(&last));
    let missing: BTreeSet<u64> = (1..=last)
        .filter(|it| !numbers(&one).contains(it))
        .collect();
    assert!(missing.contains(&created), "{missing:?}");
    monitor.stop();
}

#[test]
fn standard_output_too_may_go_and_come_back() {
    let site = Site::new();
    let out = directory(&site, "out");
    let log = out.join("log");
    let file = site.write("file", "a\n");
    let with = rule(&[&site.files()]) + &to_file("log", &log, "");
    let without = with.replace("[[output]]\ntype = \"stdout\"\n", "");
    let monitor = site.start(&with);
    reload(&site, &monitor, &without, "config_reloaded");
    append_line(&file, "for the file");
    until("it is in the file", &monitor, || {
        lines(&log)
            .last()
            .is_some_and(|it| it.contains("for the file"))
    });
    reload(&site, &monitor, &with, "config_reloaded");
    change(&monitor, &file, "for both");
    let told = monitor.stop();
    let modified = told.iter().filter(|it| it.action() == "modified");
    assert_eq!(modified.count(), 1, "the one before is in the file only");
}

#[test]
fn a_configuration_with_an_output_that_cannot_be_opened_changes_nothing() {
    let site = Site::new();
    let out = directory(&site, "out");
    let log = out.join("log");
    let (file, other) = (site.write("file", "a\n"), site.outside("other"));
    fs::write(&other, "a\n").expect("it is ours");
    let start = rule(&[&site.files()]) + &to_file("log", &log, "");
    let monitor = site.start(&start);
    let forged = out.join("forged");
    std::os::unix::fs::symlink("/etc/passwd", &forged).expect("it is ours");
    let elsewhere = directory(&site, "elsewhere");
    let mut refused = vec![(forged, "the output \"new\" cannot be opened")];
    if has_landlock(&site) {
        refused.push((out.join("none/log"), "is not there: make it first"));
        refused.push((elsewhere.join("log"), "restart it with this configuration"));
    }
    for (path, words) in refused {
        let config = start
            .replace("type = \"stdout\"", "type = \"stdout\"\nseverity = 99")
            .replace(text(&site.files()), text(&other))
            + &to_file("new", &path, "");
        let rejected = reload(&site, &monitor, &config, "config_rejected");
        let error = rejected.text("error.message").unwrap_or_default();
        assert!(error.contains(words), "{error}");
        let number = change(&monitor, &file, words);
        until("it is in the old file", &monitor, || {
            numbers(&log).contains(&number)
        });
    }
    assert!(!elsewhere.join("log").exists());
    assert_eq!(fs::read_to_string(&other).ok().as_deref(), Some("a\n"));
    monitor.stop();
}

#[test]
fn an_output_that_nobody_reads_may_be_sent_elsewhere_or_removed_and_what_waited_goes_where_its_name_goes()
 {
    let site = Site::new();
    let out = directory(&site, "out");
    let log = out.join("log");
    let file = site.write("file", "a\n");
    let start = rule(&[&site.files()]);
    let nobody = |name: &str| {
        let socket = out.join(name);
        format!(
            "\n[[output]]\nname = \"{name}\"\ntype = \"syslog\"\nsocket = \"{}\"\n",
            socket.display()
        )
    };
    let monitor = site
        .start(&(start.clone() + &nobody("moved") + &nobody("gone") + &to_file("log", &log, "")));
    let waits = change(&monitor, &file, "waits");
    let moved = out.join("moved.json");
    let config = start + &to_file("moved", &moved, "") + &to_file("log", &log, "");
    let reloaded = reload(&site, &monitor, &config, "config_reloaded");
    assert_eq!(counts(&reloaded), [Some(0), Some(1), Some(1)]);
    until("what waited is in the file", &monitor, || {
        numbers(&moved).contains(&waits)
    });
    assert_eq!(numbers(&moved).first(), Some(&1), "all of it");
    monitor.expect_logged("did not take what was stored before");
    monitor.stop();
}

#[test]
fn metrics_go_to_another_file_and_to_none_while_fimk_runs() {
    let site = Site::new();
    let out = directory(&site, "out");
    let file = site.write("file", "a\n");
    let start = rule(&[&site.files()]);
    let metrics = |name: &str| {
        let path = out.join(name);
        format!(
            "{start}\n[metrics]\npath = \"{}\"\ninterval_s = 1\n",
            path.display()
        )
    };
    let monitor = site.start(&metrics("one.prom"));
    until("the first is written", &monitor, || {
        out.join("one.prom").exists()
    });
    let reloaded = reload(&site, &monitor, &metrics("two.prom"), "config_reloaded");
    assert_eq!(reloaded.get("fimk.not_reloaded"), None);
    until("the second is written", &monitor, || {
        out.join("two.prom").exists()
    });
    if has_landlock(&site) {
        let elsewhere = metrics("none/three.prom");
        let rejected = reload(&site, &monitor, &elsewhere, "config_rejected");
        let error = rejected.text("error.message").unwrap_or_default();
        assert!(error.contains("[metrics]"), "{error}");
    }
    assert!(!site.status()["metrics"].is_null());
    // A file that is opened for events leaves those of metrics to all who read them.
    let log = out.join("log");
    let both = metrics("four.prom") + &to_file("log", &log, "");
    reload(&site, &monitor, &both, "config_reloaded");
    until("the fourth is written", &monitor, || {
        out.join("four.prom").exists() && log.exists()
    });
    assert_eq!((mode(&out.join("four.prom")), mode(&log)), (0o644, 0o640));
    reload(&site, &monitor, &start, "config_reloaded");
    assert!(site.status()["metrics"].is_null());
    change(&monitor, &file, "it goes on");
    monitor.stop();
}
