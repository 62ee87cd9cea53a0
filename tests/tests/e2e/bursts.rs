//! Many changes by one process tree, on an output that asks for a summary.

use std::{collections::HashSet, fmt::Write as _, fs, path::Path};

use fimk_tests::{Event, Expect, Ran, Site, attempt, not_run, run, text, which};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Files of the package.
const FILES: usize = 500;

/// A rule for everything, one for a file of the package of which nothing may be left out, and the output.
fn config(site: &Site, output: &str) -> String {
    let of = |name: &str, path: &Path, severity: &str| {
        format!(
            "[[rule]]\nname = {name:?}\npaths = [{:?}]\nseverity = {severity:?}\n",
            text(path)
        )
    };
    format!(
        "objects_max = 8192\n{}{}[[output]]\ntype = \"stdout\"\n{output}",
        of("all", &site.files(), "medium"),
        of("severe", &site.file("usr/lib/severe"), "high"),
    )
}

/// A package with `FILES` files, of which one is severe, and where dpkg is to write down that it is installed.
fn package(site: &Site) {
    let root = site.outside("package");
    for (name, content) in [
        (
            "DEBIAN/control",
            "Package: storm\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a storm\n",
        ),
        ("usr/lib/severe", "severe\n"),
    ] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it is ours");
        fs::write(path, content).expect("it is ours");
    }
    for number in 1..FILES {
        let directory = root.join(format!("usr/lib/d{}", number % 7));
        fs::create_dir_all(&directory).expect("it is ours");
        fs::write(directory.join(format!("f{number}")), format!("{number}\n")).expect("it is ours");
    }
    for name in ["updates", "info", "triggers"] {
        fs::create_dir_all(site.outside("admin").join(name)).expect("it is ours");
    }
    for name in ["status", "available"] {
        fs::write(site.outside("admin").join(name), "").expect("it is ours");
    }
    let deb = site.outside("storm.deb");
    run("dpkg-deb", &["-Znone", "--build", text(&root), text(&deb)]);
}

fn install(site: &Site) -> Ran {
    let script = format!(
        "dpkg --admindir='{}' --instdir='{}' --force-bad-path --force-unsafe-io --no-triggers -i '{}'; exit $?",
        text(&site.outside("admin")),
        text(&site.files()),
        text(&site.outside("storm.deb"))
    );
    let ran = attempt("sh", &["-c", &script]);
    assert!(ran.succeeded, "dpkg -i:\n{}", ran.output);
    ran
}

fn is_of_package(event: &Event) -> bool {
    event.text("process.name") == Some("dpkg") || event.text("process.name") == Some("dpkg-deb")
}

/// The events that `burst` lines stand for.
fn folded(events: &[Event]) -> u64 {
    let bursts = events.iter().filter(|event| event.action() == "burst");
    bursts
        .filter_map(|event| event.number("fimk.burst.events"))
        .sum()
}

#[test]
fn a_package_of_five_hundred_files_is_one_line_and_its_severe_file_another() {
    if which(Path::new("dpkg-deb")).is_none() {
        not_run("a package as one line", "there is no dpkg here");
        return;
    }
    let site = Site::new();
    package(&site);
    let monitor = site.start(&config(&site, "burst = \"summary\"\n"));
    install(&site);
    let severe = site.file("usr/lib/severe");
    monitor.expect(Expect::any_of(&["created", "renamed", "modified"]).of(&severe));
    let burst = monitor.expect(
        Expect::action("burst").and("of all files".to_owned(), |event| {
            event.number("fimk.burst.events") >= Some(FILES as u64 - 1)
        }),
    );
    assert_eq!(burst.text("process.name"), Some("dpkg"), "{burst:?}");
    assert_eq!(burst.number("event.severity"), Some(47), "{burst:?}");
    assert!(burst.text("file.path").is_none(), "{burst:?}");
    let directory = burst.text("file.directory").map(Path::new);
    assert!(
        directory.is_some_and(|it| it.starts_with(site.files())),
        "{burst:?}"
    );
    let range = ["first", "last"].map(|end| burst.number(&format!("fimk.burst.{end}_sequence")));
    assert!(
        range[1] > range[0].map(|first| first + FILES as u64 - 2),
        "{burst:?}"
    );
    let events = monitor.stop();
    let single = events.iter().filter(|event| {
        is_of_package(event) && event.action() != "burst" && !event.is_about(&severe)
    });
    assert!(
        single.clone().count() < 50,
        "too many by themselves: {:?}",
        single.collect::<Vec<_>>()
    );
}

#[test]
fn the_same_package_is_told_event_by_event_where_nobody_asks_for_a_summary() {
    if which(Path::new("dpkg-deb")).is_none() {
        not_run("a package event by event", "there is no dpkg here");
        return;
    }
    let site = Site::new();
    package(&site);
    let monitor = site.start(&config(&site, ""));
    install(&site);
    let wanted: HashSet<_> = (1..FILES)
        .map(|number| site.file(&format!("usr/lib/d{}/f{number}", number % 7)))
        .collect();
    monitor.wait_until("each file of the package", |events| {
        let told: HashSet<_> = events
            .iter()
            .filter(|event| is_of_package(event))
            .filter_map(|event| event.text("file.path").map(Path::new))
            .collect();
        wanted.iter().all(|path| told.contains(path.as_path()))
    });
    assert_eq!(folded(&monitor.stop()), 0);
}

/// A shell that makes this many files.
fn storm(site: &Site, files: usize) {
    let mut script = String::new();
    for number in 0..files {
        let _ = writeln!(script, "echo {number} >\"$0/{number}\"");
    }
    run("sh", &["-c", &script, text(&site.files())]);
}

#[test]
fn what_no_summary_told_of_before_a_crash_is_told_after_it() {
    const FEW: usize = 40;
    let site = Site::new();
    fs::create_dir_all(site.file("usr/lib")).expect("it is ours");
    let patient = "burst = \"summary\"\nburst_events = 20\nburst_ms = 60000\n";
    let monitor = site.start(&config(&site, patient));
    storm(&site, FEW);
    let severe = site.write("usr/lib/severe", "one\n");
    monitor.expect(Expect::any_of(&["created", "modified"]).of(&severe));
    let told = |events: &[Event]| folded(events) > 0;
    assert!(!told(&monitor.events()), "{}", monitor.account());

    // Of the analyzer alone: one that sees its loader die writes what it has.
    let short = "burst = \"summary\"\nburst_events = 20\nburst_ms = 500\n";
    site.launch(&config(&site, short));
    let analyzer = monitor.analyzer_pid().expect("it runs");
    let analyzer = i32::try_from(analyzer).expect("pids are small");
    kill(Pid::from_raw(analyzer), Signal::SIGKILL).expect("it runs");
    monitor.wait_until("all that was held back", |events| {
        let single = events.iter().filter(|event| event.action() == "created");
        folded(events) + single.count() as u64 >= FEW as u64
    });
    monitor.stop();
}
