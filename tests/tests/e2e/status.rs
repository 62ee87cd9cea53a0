//! `fimk status`: what it says, and that whoever else talks to the socket disturbs nobody.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{Expect, Monitor, Site, append_line, deadline, rule, run, text};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

fn ask(site: &Site, format: &str) -> Output {
    Command::new(site.fimk())
        .args(["status", "--format", format, "--run-dir"])
        .arg(site.run_dir())
        .output()
        .expect("fimk is built beside the loader")
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

fn status(site: &Site) -> Value {
    let output = ask(site, "json");
    assert!(output.status.success(), "{output:?}");
    let line = words(&output.stdout);
    assert_eq!(line.lines().count(), 1, "{line}");
    serde_json::from_str(&line).expect("it is JSON")
}

/// Asks until the answer is as wanted.
fn await_status(site: &Site, monitor: &Monitor, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + deadline();
    loop {
        let output = ask(site, "json");
        let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if wanted(&answer) {
            return answer;
        }
        assert!(
            Instant::now() < end,
            "still {answer}, {output:?}\n{}",
            monitor.account()
        );
        thread::sleep(Duration::from_millis(50));
    }
}

fn connect(site: &Site) -> UnixStream {
    UnixStream::connect(site.run_dir().join("control.sock")).expect("it listens")
}

#[test]
fn status_names_the_source_that_serves_and_the_last_event() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let started = monitor.expect(Expect::action("monitor_started"));
    let first = status(&site);
    assert_eq!(
        first["source"]["name"].as_str(),
        started.text("fimk.source"),
        "{first}"
    );
    assert!(first["objects"]["watched"].as_u64() > Some(0), "{first}");
    assert_eq!(first["state"], "watching");
    let pid = monitor.analyzer_pid().expect("it runs");
    assert_eq!(first["pid"].as_u64(), Some(u64::from(pid)));

    append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).adds("two"));
    let last = await_status(&site, &monitor, |answer| {
        answer["events"]["last"]["path"].as_str() == path.to_str()
    });
    // What follows a change may be the reading at its release, which is stored as attributes_modified.
    let action = last["events"]["last"]["action"].as_str();
    assert!(action.is_some_and(|it| it.ends_with("modified")), "{last}");
    assert!(
        last["events"]["since_start"]["modified"].as_u64() >= Some(1),
        "{last}"
    );
    assert_eq!(last["outputs"][0]["lag"], 0, "{last}");
    monitor.stop();
}

#[test]
fn for_a_person_it_says_first_whether_all_is_well() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).adds("two"));
    let output = ask(&site, "human");
    let text = words(&output.stdout);
    let (sentence, status) = match output.status.code() {
        Some(0) => ("All is well: watching ", 0),
        status => ("Not all is well: ", status.unwrap_or(-1)),
    };
    assert!(text.starts_with(sentence) && status <= 1, "{output:?}");
    for label in ["source ", "plan ", "objects ", "last event ", "sandbox "] {
        assert!(
            text.lines().any(|line| line.starts_with(label)),
            "no {label:?} in\n{text}"
        );
    }
    assert!(text.contains(path.to_str().expect("UTF-8")), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    monitor.stop();
}

/// Members whose keys are names of hooks, actions, rules and bounds.
const NAMED: [&str; 5] = ["plan", "hooks", "since_start", "by_rule", "le"];

/// Where the answer is put together.
const SOURCES: [&str; 7] = [
    include_str!("../../../crates/fimk-analyzer/src/engine/baseline.rs"),
    include_str!("../../../crates/fimk-analyzer/src/engine/orders.rs"),
    include_str!("../../../crates/fimk-analyzer/src/engine/status.rs"),
    include_str!("../../../crates/fimk-analyzer/src/metrics.rs"),
    include_str!("../../../crates/fimk-analyzer/src/repairs.rs"),
    include_str!("../../../crates/fimk-analyzer/src/scan/progress.rs"),
    include_str!("../../../crates/fimk-analyzer/src/status.rs"),
];

fn keys(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                into.insert(key.clone());
                if !NAMED.contains(&key.as_str()) {
                    keys(value, into);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| keys(value, into)),
        Value::Null => panic!("unknown is absent and not null"),
        _ => {}
    }
}

#[test]
fn every_field_of_the_answer_is_in_the_manual_page() {
    let page = include_str!("../../../man/fimk.1");
    let (_, fields) = page.split_once(".Sh FIELDS").expect("a section");
    let documented: BTreeSet<&str> = fields
        .split(|it: char| !it.is_ascii_lowercase() && it != '_')
        .collect();
    let site = Site::new();
    let monitor = site.watch();
    let mut found = BTreeSet::new();
    keys(&status(&site), &mut found);
    for key in &found {
        assert!(documented.contains(key.as_str()), "{key} is not in fimk(1)");
    }
    for key in [
        "version",
        "since",
        "kernel",
        "rules",
        "plan",
        "watched",
        "recorded_about",
        "last_sequence",
        "last_comparison",
        "settling",
        "cursor",
        "bytes",
        "seccomp",
        "answered",
    ] {
        assert!(found.contains(key), "{key} is missing among {found:?}");
    }
    monitor.stop();
}

#[test]
fn every_field_in_the_manual_page_is_one_of_the_answer() {
    let page = include_str!("../../../man/fimk.1");
    let (_, fields) = page.split_once(".Sh FIELDS").expect("a section");
    let (fields, _) = fields.split_once(".Ss The socket").expect("it ends");
    let items = fields
        .lines()
        .filter_map(|line| line.strip_prefix(".It Li "));
    let names = items
        .flat_map(str::split_whitespace)
        .filter(|it| *it != ",");
    let names: Vec<&str> = names.flat_map(|name| name.split('.')).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        let quoted = format!("\"{name}\"");
        let is_there = SOURCES.iter().any(|source| source.contains(&quoted));
        assert!(is_there, "{name} is no field");
    }
}

#[test]
fn whoever_talks_nonsense_or_nothing_disturbs_nobody() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let garbage: [&[u8]; 4] = [
        b"\x00\xff\xfe\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"command\":\"stop\"}\n",
        &[b'['; 4_000],
    ];
    let mut kept = Vec::new();
    for bytes in garbage {
        let mut stream = connect(&site);
        stream.write_all(bytes).expect("it has room for so little");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.contains("\"bad_request\""), "{answer:?}");
    }
    let endless = connect(&site);
    let writer = thread::spawn(move || {
        let mut endless = endless;
        while endless.write_all(&[b'x'; 4_096]).is_ok() {}
    });
    // Those it has no room for are told so; the rest say nothing.
    kept.extend((0..50).map(|_| connect(&site)));

    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    writer.join().expect("it is cut off");
    let answer = await_status(&site, &monitor, |answer| answer["pid"].is_u64());
    let refused = &answer["control"]["refused"];
    for (reason, least) in [("bad_request", 4), ("too_long", 1), ("busy", 1)] {
        assert!(refused[reason].as_u64() >= Some(least), "{answer}");
    }
    drop(kept);
    monitor.stop();
}

#[test]
fn where_no_monitor_runs_it_says_what_to_do() {
    let site = Site::new();
    let monitor = site.watch();
    assert!(site.run_dir().join("control.sock").exists());
    monitor.stop();
    assert!(!site.run_dir().join("control.sock").exists());
    for left_behind in [false, true] {
        if left_behind {
            site.watch().kill9();
            assert!(site.run_dir().join("control.sock").exists());
        }
        let output = ask(&site, "human");
        assert_eq!(output.status.code(), Some(69), "{output:?}");
        let sentence = words(&output.stderr);
        assert!(sentence.contains("start fimk-loader"), "{sentence}");
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
    }
}

#[test]
fn after_an_analyzer_was_killed_the_next_one_answers() {
    let site = Site::new();
    let monitor = site.watch();
    let before = status(&site)["pid"].clone();
    let pid = i32::try_from(before.as_u64().expect("a pid")).expect("pids are small");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    await_status(&site, &monitor, |answer| {
        answer["state"] == "watching" && answer["pid"] != before
    });
    monitor.stop();
}

/// Asks as nobody.
fn ask_as_nobody(site: &Site) -> Output {
    // Where the build lies, nobody may not be able to look.
    let copy = site.outside("fimk");
    fs::copy(site.fimk(), &copy).expect("it is ours");
    Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(copy)
        .args(["status", "--format", "json", "--run-dir"])
        .arg(site.run_dir())
        .output()
        .expect("setpriv is there")
}

#[test]
fn who_cannot_reach_the_socket_is_told_to_ask_as_root() {
    let site = Site::new();
    let monitor = site.watch();
    let output = ask_as_nobody(&site);
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(words(&output.stderr).contains("root"), "{output:?}");
    monitor.stop();
}

#[test]
fn who_may_reach_the_socket_and_is_not_root_is_told_no_name() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    run("chmod", &["755", text(&site.run_dir())]);
    append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).adds("two"));
    let output = ask_as_nobody(&site);
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert!(answer["events"]["last"]["action"].is_string(), "{answer}");
    let printed = words(&output.stdout);
    assert!(!printed.contains(text(&site.files())), "{printed}");
    monitor.stop();
}

#[test]
fn a_wrong_flag_is_a_usage_error() {
    let site = Site::new();
    let output = ask(&site, "yaml");
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(words(&output.stderr).contains("json"), "{output:?}");
}

#[test]
fn a_second_instance_in_the_same_run_directory_is_refused_and_the_first_answers_on() {
    let site = Site::new();
    let config = rule(&[&site.files()]);
    let first = site.start(&config);
    let mut launch = site.launch(&config);
    launch.pins = site.other_pins();
    launch.state = site.outside("state2");
    launch
        .refused()
        .assert(75, &["control.sock", "run directory"]);
    assert!(status(&site)["pid"].is_u64());
    first.stop();
}

#[test]
fn what_lies_in_the_place_of_the_socket_is_not_removed() {
    let site = Site::new();
    let monitor = site.watch();
    monitor.stop();
    let place = site.run_dir().join("control.sock");
    fs::write(&place, "precious").expect("tests run as root");
    site.launch(&rule(&[&site.files()]))
        .refused()
        .assert(74, &["control.sock", "remove it"]);
    assert_eq!(read(&place), "precious");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it is still there")
}
