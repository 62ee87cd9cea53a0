//! Logs: adding to them is what they are for, everything else is an event, and a rotation is one.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use fimk_tests::{
    Event, Expect, Monitor, OBJECTS_MAX, Site, append_line, myself, run, text, which,
};

/// Events that are printed by default; those that say the same of several processes once.
fn told(events: &[Event]) -> Vec<String> {
    let about = |event: &Event| {
        let severity = event.number("event.severity")?;
        let name = event.text("file.name")?;
        (severity > 0).then(|| format!("{} {name} {severity}", event.action()))
    };
    let mut told: Vec<String> = events.iter().filter_map(about).collect();
    told.dedup();
    told
}

fn start(site: &Site, rotators: &[&Path]) -> Monitor {
    let logs = site.file("log");
    site.start(&format!(
        "objects_max = {OBJECTS_MAX}\n[[rule]]\nname = \"logs\"\npaths = [\"{}\"]\nseverity = \"high\"\n\
         growing = true\nrotators = {rotators:?}\n",
        logs.display()
    ))
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).expect("it is ours");
    file.seek(SeekFrom::Start(at))
        .expect("a file can be sought");
    file.write_all(bytes).expect("it is ours");
}

#[test]
fn adding_to_a_log_is_no_event_and_changing_what_was_there_is() {
    let site = Site::new();
    let log = site.write("log/app.log", "one\ntwo\n");
    let monitor = start(&site, &[]);
    for number in 0..5 {
        append_line(&log, &format!("line {number}"));
    }
    let seen = site.write("log/seen", "");
    monitor.expect(Expect::action("created").of(&seen));
    overwrite(&log, 4, b"TWO");
    monitor.expect(
        Expect::action("modified")
            .of(&log)
            .by(&myself())
            .field("event.severity", 73)
            .field("fimk.content", "changed"),
    );
    append_line(&log, "more");
    let again = site.write("log/again", "");
    monitor.expect(Expect::action("created").of(&again));
    let cut = run("truncate", &["--size=4", text(&log)]);
    monitor.expect(
        Expect::action("modified")
            .of(&log)
            .by(&cut)
            .field("file.size", 4),
    );
    let chmod = run("chmod", &["0666", text(&log)]);
    monitor.expect(Expect::action("attributes_modified").of(&log).by(&chmod));
    let text = fs::read_to_string(&log).expect("it is ours");
    site.replace(&log, &(text + "and more\n"));
    monitor.expect(
        Expect::action("modified")
            .of(&log)
            .by(&myself())
            .field("fimk.replaced", true),
    );
    assert_eq!(
        told(&monitor.stop()),
        [
            "created seen 73",
            "modified app.log 73",
            "created again 73",
            "modified app.log 73",
            "attributes_modified app.log 73",
            "modified app.log 73"
        ]
    );
    // What was added while nobody watched is fine, what was changed is not.
    append_line(&log, "added meanwhile");
    overwrite(&seen, 0, b"and this");
    overwrite(&log, 0, b"O");
    let monitor = start(&site, &[]);
    let gap = monitor.expect(Expect::action("modified").of(&log));
    assert_eq!(gap.text("fimk.detected_by"), Some("gap"));
    assert_eq!(told(&monitor.stop()), ["modified app.log 73"]);
}

/// A program of its own, as a rotator is one: a copy of this.
fn rotator(site: &Site, program: &str) -> PathBuf {
    let original = which(Path::new(program)).expect("every host has it");
    let copy = site.outside(program);
    fs::copy(original, &copy).expect("it is ours");
    copy
}

#[test]
fn a_rotation_by_a_declared_rotator_is_one_event_of_low_severity() {
    let site = Site::new();
    let (mv, truncate) = (rotator(&site, "mv"), rotator(&site, "truncate"));
    let log = site.write("log/app.log", "one\ntwo\n");
    let (first, second) = (site.file("log/app.log.1"), site.file("log/app.log.2"));
    fs::write(&first, "older\n").expect("it is ours");
    let monitor = start(&site, &[&mv, &truncate]);
    run(&mv, &[&first, &second]);
    let moved = run(&mv, &[&log, &first]);
    monitor.expect(Expect::action("renamed").of(&first).by(&moved).says(
        "file",
        "rotated by",
        None,
        Some(text(&mv)),
    ));
    // What the daemon then does is its own affair, and an event.
    fs::write(&log, "three\n").expect("it is ours");
    monitor.expect(Expect::action("created").of(&log));
    append_line(&log, "four");
    let seen = site.write("log/seen", "");
    monitor.expect(Expect::action("created").of(&seen));
    let cut = run(&truncate, &["--size=0", text(&log)]);
    monitor.expect(Expect::action("modified").of(&log).by(&cut).says(
        "file",
        "rotated by",
        None,
        Some(text(&truncate)),
    ));
    append_line(&log, "five");
    assert_eq!(
        told(&monitor.stop()),
        [
            "renamed app.log.1 21",
            "created app.log 73",
            "created seen 73",
            "modified app.log 21"
        ]
    );
}
