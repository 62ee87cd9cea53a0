//! The command `fimk`: what happened, what is known of a path, and for whom.

mod baseline;
mod colours;
mod crowd;
mod metrics;
mod scan;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use fimk_tests::{Event, Expect, Site, append_line, attempt, run, text};
use nix::unistd::Group;

fn fimk(site: &Site, words: &[&str]) -> Output {
    let mut command = Command::new(site.fimk());
    command.args(words).arg("--run-dir").arg(site.run_dir());
    command.output().expect("fimk is built beside the loader")
}

/// What it prints, where it succeeds.
fn printed(site: &Site, words: &[&str]) -> String {
    let output = fimk(site, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("it prints UTF-8");
    assert!(!text.contains('\u{1b}'), "{words:?}: {text:?}");
    text
}

fn events(site: &Site, words: &[&str]) -> Vec<Event> {
    let words = [&["events", "--format", "json"], words].concat();
    let text = printed(site, &words);
    text.lines()
        .map(|line| Event::parse(line).unwrap_or_else(|| panic!("no event: {line}")))
        .collect()
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events
        .iter()
        .filter_map(|it| it.number("event.sequence"))
        .collect()
}

#[test]
fn what_happened_is_printed_filtered_and_explained() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let other = site.write("other", "one\n");
    let monitor = site.watch();
    let shell = append_line(&path, "two");
    let modified = monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    append_line(&other, "two");
    monitor.expect(Expect::action("modified").of(&other).adds("two"));

    // What was printed is stored, and is printed again as it was.
    let told = monitor.events();
    let stored = events(&site, &["--limit", "0"]);
    for event in &told {
        assert!(stored.contains(event), "{event:?}");
    }
    let newest = events(&site, &["--limit", "2"]);
    assert_eq!(sequences(&newest), sequences(&stored[stored.len() - 2..]));

    let of_file = [
        "--path",
        text(&path),
        "--action",
        "modified",
        "--rule",
        "test",
    ];
    let found = events(
        &site,
        &[
            &of_file[..],
            &["--process", "sh", "--user", "0", "--since", "1h"],
        ]
        .concat(),
    );
    assert!(found.contains(&modified), "{found:?}");
    assert!(found.iter().all(|event| event.is_about(&path)));
    for none in [
        ["--rule", "none"],
        ["--user", "nobody"],
        ["--until", "2001-01-01"],
        ["--severity", "critical"],
    ] {
        assert_eq!(events(&site, &none), [], "{none:?}");
    }
    let glob = format!("{}/f*", site.files().display());
    assert!(events(&site, &["--path", &glob]).contains(&modified));
    let log = printed(&site, &["log", text(&path)]);
    assert!(
        log.lines().count() >= 1 && log.contains(" modified"),
        "{log}"
    );
    assert!(!log.contains(text(&other)), "{log}");
    let table = printed(&site, &["events", "--format", "table"]);
    assert!(
        table.starts_with("TIME ") && table.contains(text(&path)),
        "{table}"
    );

    let number = modified
        .number("event.sequence")
        .expect("it has one")
        .to_string();
    let shown = printed(&site, &["show", &number]);
    for part in ["+two", "event.action", "process.executable", text(&path)] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let refused = fimk(&site, &["show", "99999999"]);
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no event 99999999"));

    let explained = printed(&site, &["explain", text(&path)]);
    assert!(
        explained.contains("covered by the rule test") && explained.contains("is watched"),
        "{explained}"
    );
    let explained = printed(&site, &["explain", "/nowhere"]);
    assert!(
        explained.contains("no rule") && explained.contains("not watched"),
        "{explained}"
    );
    let rules = printed(&site, &["rules"]);
    assert!(
        rules.starts_with("test: severity 47 (medium)\n") && rules.contains(text(&site.files())),
        "{rules}"
    );
    let metrics = printed(&site, &["status", "--format", "prometheus"]);
    assert!(
        metrics.contains("fimk_watching 1\n")
            && metrics.contains("fimk_events_total{action=\"modified\"}"),
        "{metrics}"
    );
    monitor.stop();
}

/// `fimk events --follow`, which ends with the test, however that ends: it would ask for ever.
struct Follower(Child);

impl Follower {
    fn start(site: &Site, path: &Path) -> Self {
        let words = [
            "events",
            "--follow",
            "--format",
            "json",
            "--path",
            text(path),
        ];
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(site.fimk())
            .args(words)
            .arg("--run-dir")
            .arg(site.run_dir())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv is there, and fimk beside the loader");
        Self(process)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_follows_is_told_of_what_comes() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let mut follower = Follower::start(&site, &path);
    append_line(&path, "two");
    let wanted = monitor.expect(Expect::action("modified").of(&path).adds("two"));
    let lines = BufReader::new(follower.0.stdout.take().expect("it is piped")).lines();
    let mut came = lines
        .map_while(Result::ok)
        .filter_map(|line| Event::parse(&line));
    assert!(
        came.any(|event| event == wanted),
        "it ended before {wanted:?}"
    );
    // Over a restart as well: it asks until somebody answers.
    monitor.stop();
    let monitor = site.watch();
    append_line(&path, "three");
    let wanted = monitor.expect(Expect::action("modified").of(&path).adds("three"));
    assert!(
        came.any(|event| event == wanted),
        "it ended before {wanted:?}"
    );
    monitor.stop();
}

/// The group whose members may read events, made for the test where there is none.
struct Readers(bool);

impl Readers {
    fn new() -> Self {
        let there = matches!(Group::from_name("fimk-readers"), Ok(Some(_)));
        Self(!there && attempt("groupadd", &["--system", "fimk-readers"]).succeeded)
    }

    fn id() -> u32 {
        let group = Group::from_name("fimk-readers").expect("it can be looked up");
        group.expect("it is there").gid.as_raw()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        if self.0 {
            attempt("groupdel", &["fimk-readers"]);
        }
    }
}

fn ask_as(site: &Site, program: &Path, gid: u32, words: &[&str]) -> Output {
    Command::new("setpriv")
        .args([
            "--reuid=65534",
            &format!("--regid={gid}"),
            "--clear-groups",
            "--",
        ])
        .arg(program)
        .args(words)
        .arg("--run-dir")
        .arg(site.run_dir())
        .output()
        .expect("setpriv is there")
}

#[test]
fn events_are_for_root_and_the_readers_and_for_nobody_else() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    run("chmod", &["755", text(&site.run_dir())]);
    append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).adds("two"));
    // Where the build lies, nobody may not be able to look.
    let program = site.outside("fimk");
    fs::copy(site.fimk(), &program).expect("it is ours");
    let _readers = Readers::new();
    let questions: [&[&str]; 4] = [
        &["events"],
        &["show", "1"],
        &["rules"],
        &["explain", "/etc/passwd"],
    ];
    for words in questions {
        let refused = ask_as(&site, &program, 65534, words);
        assert_eq!(refused.status.code(), Some(77), "{words:?}: {refused:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(why.contains("fimk-readers"), "{why}");
        let answered = ask_as(&site, &program, Readers::id(), words);
        assert!(answered.status.success(), "{words:?}: {answered:?}");
    }
    monitor.stop();
}
