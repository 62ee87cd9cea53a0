//! Access lists, capabilities, flags and other attributes beside mode and owner, by the tools that set them.

use std::path::{Path, PathBuf};

use serde_json::json;

use fimk_tests::{Event, Expect, Monitor, Ran, Site, attempt, not_run, run, text};

/// `cap_net_raw+ep`, as `setcap` writes it.
const CAPABILITY: &str = "0x0100000200200000000000000000000000000000";

fn changed(path: &Path, by: &Ran) -> Expect {
    Expect::action("attributes_modified").of(path).by(by)
}

/// A watched file on which this command with this file as its last argument does something; none, with the reason,
/// where the file system cannot.
fn file_for(test: &str, site: &Site, program: &str, arguments: &[&str]) -> Option<PathBuf> {
    let probe = site.outside("probe");
    std::fs::write(&probe, "x").expect("it is ours");
    let ran = attempt(program, &[arguments, &[text(&probe)]].concat());
    if !ran.succeeded {
        not_run(test, &format!("{program}: {}", ran.output.trim()));
        return None;
    }
    Some(site.write("file", "one\n"))
}

#[test]
fn an_extended_attribute_is_named_with_both_values() {
    let site = Site::new();
    let set = ["-n", "user.note", "-v", "one"];
    let test = "an_extended_attribute_is_named_with_both_values";
    let Some(path) = file_for(test, &site, "setfattr", &set) else {
        return;
    };
    let monitor = site.watch();
    let steps = [
        (["-n", "user.note", "-v", "one"], None, Some("one")),
        (["-n", "user.note", "-v", "two"], Some("one"), Some("two")),
    ];
    for (arguments, before, after) in steps {
        let ran = run("setfattr", &[&arguments[..], &[text(&path)]].concat());
        let mut told = changed(&path, &ran).says("file", "xattr user.note", before, after);
        for (field, value) in [("fimk.before.xattrs", before), ("fimk.xattrs", after)] {
            told = match value {
                Some(value) => told.field(field, json!([{ "name": "user.note", "value": value }])),
                None => told.without(field),
            };
        }
        monitor.expect(told);
    }
    let ran = run("setfattr", &["-x", "user.note", text(&path)]);
    monitor.expect(changed(&path, &ran).says("file", "xattr user.note", Some("two"), None));
    run(
        "setfattr",
        &["-n", "user.key", "-v", "password=geheim77x", text(&path)],
    );
    monitor.wait_until("the attribute with a secret is told", |events| {
        events.iter().any(|event| {
            let told = event.changes().iter();
            told.into_iter().any(|it| it["field"] == "xattr user.key")
        })
    });
    let raw = String::from_utf8_lossy(&monitor.raw()).into_owned();
    monitor.stop();
    assert!(!raw.contains("geheim77x"), "the value is redacted");
    let state = site.state_bytes();
    assert!(!state.windows(9).any(|window| window == b"geheim77x"));
}

#[test]
fn a_capability_is_told_in_words_and_that_a_write_takes_it_away() {
    let site = Site::new();
    let set = ["-n", "security.capability", "-v", CAPABILITY];
    let test = "a_capability_is_told_in_words_and_that_a_write_takes_it_away";
    let Some(path) = file_for(test, &site, "setfattr", &set) else {
        return;
    };
    let monitor = site.watch();
    let setfattr = run("setfattr", &[&set[..], &[text(&path)]].concat());
    let words = "cap_net_raw+ep";
    let given = changed(&path, &setfattr).says("file", "capabilities", None, Some(words));
    let given = given.field("fimk.capabilities", words);
    monitor.expect(given.field("event.severity", 73));
    let shell = fimk_tests::append_line(&path, "two");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .says("file", "capabilities", Some(words), None)
            .field("fimk.before.capabilities", words),
    );
    let events = monitor.stop();
    let nobodys = events
        .iter()
        .filter(|event| event.is_about(&path) && event.get("process.pid").is_none());
    assert_eq!(nobodys.count(), 0, "each of them has its process");
}

#[test]
fn an_access_list_is_told_entry_by_entry() {
    let site = Site::new();
    let test = "an_access_list_is_told_entry_by_entry";
    let Some(path) = file_for(test, &site, "setfacl", &["-m", "u:daemon:rw"]) else {
        return;
    };
    let directory = path.parent().expect("it is below files").to_owned();
    let monitor = site.watch();
    let setfacl = |entry: &str, path: &Path| run("setfacl", &["-m", entry, text(path)]);
    let field = "acl user:daemon";
    let given = setfacl("u:daemon:rw", &path);
    let found = |event: &Event| {
        let findings = event.get("fimk.findings").map(ToString::to_string);
        findings.is_some_and(|it| it.contains("acl-writable"))
    };
    let told = changed(&path, &given).says("file", field, None, Some("rw-"));
    monitor.expect(told.and("found".to_owned(), found));
    let lowered = setfacl("u:daemon:r", &path);
    let list = |daemon: &str, mask: &str| {
        let (daemon, mask) = (format!("user:daemon:{daemon}"), format!("mask::{mask}"));
        json!(["user::rw-", daemon, "group::r--", mask, "other::r--"])
    };
    monitor.expect(
        changed(&path, &lowered)
            .says("file", field, Some("rw-"), Some("r--"))
            .field("fimk.before.acl", list("rw-", "rw-"))
            .field("fimk.acl", list("r--", "r--")),
    );
    let taken = run("setfacl", &["-b", text(&path)]);
    monitor.expect(changed(&path, &taken).says("file", field, Some("r--"), None));
    let default = setfacl("d:u:daemon:rwx", &directory);
    let expected = changed(&directory, &default);
    monitor.expect(expected.says("file", "acl default:user:daemon", None, Some("rwx")));
    monitor.stop();
}

/// A flag on a file; taken away again, or the file could not be removed.
struct Flagged(PathBuf);

impl Drop for Flagged {
    fn drop(&mut self) {
        attempt("chattr", &["-ia", text(&self.0)]);
    }
}

#[test]
fn flags_of_a_file_are_told_in_words() {
    let site = Site::new();
    let test = "flags_of_a_file_are_told_in_words";
    let Some(path) = file_for(test, &site, "chattr", &["+d"]) else {
        return;
    };
    let flagged = Flagged(path.clone());
    let mut monitor = site.watch();
    let steps = [
        ("+a", None, Some("append-only")),
        ("+i", Some("append-only"), Some("immutable, append-only")),
        ("-ia", Some("immutable, append-only"), None),
    ];
    for (flag, before, after) in steps {
        let chattr = run("chattr", &[flag, text(&path)]);
        monitor = told_of_flags(&site, monitor, &path, &chattr, (before, after));
    }
    monitor.stop();
    drop(flagged);
}

/// BPF sees a flag being set; fanotify is told nothing of it, so there the next comparison finds it.
fn told_of_flags(
    site: &Site,
    monitor: Monitor,
    path: &Path,
    chattr: &Ran,
    (before, after): (Option<&str>, Option<&str>),
) -> Monitor {
    let monitor = if monitor.is_bpf() {
        monitor.expect(changed(path, chattr).says("file", "flags", before, after));
        monitor
    } else {
        monitor.stop();
        site.watch()
    };
    let told = Expect::action("attributes_modified").of(path);
    let told = told.says("file", "flags", before, after);
    let words = |words: Option<&str>| words.map(|it| json!(it.split(", ").collect::<Vec<_>>()));
    let told = match words(after) {
        Some(now) => told.field("file.attributes", now),
        None => told.without("file.attributes"),
    };
    monitor.expect(match words(before) {
        Some(before) => told.field("fimk.before.attributes", before),
        None => told.without("fimk.before.attributes"),
    });
    monitor
}

#[test]
fn an_event_has_all_that_an_object_has_also_where_nothing_of_it_changed() {
    let site = Site::new();
    let test = "an_event_has_all_that_an_object_has_also_where_nothing_of_it_changed";
    let set = ["-n", "user.note", "-v", "one"];
    let acl = ["-m", "u:daemon:r"];
    let given = file_for(test, &site, "setfattr", &set);
    let Some(path) = given.and_then(|_| file_for(test, &site, "setfacl", &acl)) else {
        return;
    };
    run("setfattr", &[&set[..], &[text(&path)]].concat());
    run("setfacl", &[&acl[..], &[text(&path)]].concat());
    let printed = run("df", &["--output=fstype", text(&path)]).output;
    let file_system = printed.lines().last().expect("df prints it").trim();
    let monitor = site.watch();
    let whole = |expected: Expect| {
        let list = [
            "user::rw-",
            "user:daemon:r--",
            "group::r--",
            "mask::r--",
            "other::r--",
        ];
        expected
            .of(&path)
            .field("fimk.acl", json!(list))
            .field(
                "fimk.xattrs",
                json!([{ "name": "user.note", "value": "one" }]),
            )
            .field("fimk.file_system", file_system)
    };
    let shell = fimk_tests::append_line(&path, "two");
    let written = whole(Expect::action("modified")).by(&shell);
    monitor.expect(
        written
            .without("fimk.before.acl")
            .without("fimk.before.xattrs"),
    );
    let chown = run("chown", &["daemon:daemon", text(&path)]);
    monitor.expect(
        whole(Expect::action("attributes_modified"))
            .by(&chown)
            .field("file.owner", "daemon")
            .field("fimk.before.owner", "root")
            .field("fimk.before.group", "root")
            .field("fimk.before.uid", "0"),
    );
    let rm = run("rm", &[&path]);
    monitor.expect(
        whole(Expect::action("deleted"))
            .by(&rm)
            .field("file.owner", "daemon"),
    );
    monitor.stop();
}

#[test]
fn an_attribute_set_while_nothing_watched_is_found() {
    let site = Site::new();
    let set = ["-n", "user.note", "-v", "one"];
    let test = "an_attribute_set_while_nothing_watched_is_found";
    let Some(path) = file_for(test, &site, "setfattr", &set) else {
        return;
    };
    site.watch().stop();
    run("setfattr", &[&set[..], &[text(&path)]].concat());
    let monitor = site.watch();
    monitor.expect(
        Expect::action("attributes_modified")
            .of(&path)
            .field("fimk.detected_by", "gap")
            .says("file", "xattr user.note", None, Some("one")),
    );
    monitor.stop();
}
