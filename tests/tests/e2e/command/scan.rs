//! `fimk scan`: a comparison that somebody asks for.

use std::{fs, path::Path};

use fimk_tests::{Expect, Site, append_line, rule, run, text};
use serde_json::Value;

use super::{ask_as, fimk, printed};

/// The last line, which is JSON.
fn answer(bytes: &[u8]) -> Value {
    let printed = String::from_utf8_lossy(bytes);
    serde_json::from_str(printed.trim_end()).expect("it is one object")
}

#[test]
fn what_nothing_noticed_is_found_when_somebody_asks_and_only_once() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let gone = site.write("gone", "one\n");
    let quiet = site.write("quiet\n\u{1b}[2J", "one\n");
    // Nobody looks but who is asked.
    let periodic = format!(
        "source = \"periodic\"\nscan_interval_s = 604800\n{}",
        rule(&[&site.files()])
    );
    let monitor = site.launch(&periodic).spawn();
    monitor.expect(Expect::action("monitor_started").field("fimk.source", "periodic"));
    let nothing = fimk(&site, &["scan"]);
    assert_eq!(nothing.status.code(), Some(0), "{nothing:?}");
    assert!(String::from_utf8_lossy(&nothing.stdout).starts_with("No change was found in "));

    append_line(&path, "two");
    append_line(&quiet, "two");
    fs::remove_file(&gone).expect("it is ours");
    let found = fimk(&site, &["scan", "test"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let told = String::from_utf8_lossy(&found.stdout);
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(
        told.contains(text(&path)) && told.contains(text(&gone)),
        "{told}"
    );
    assert!(
        told.contains("3 changes found") && !told.contains('\u{1b}'),
        "{told}"
    );
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .field("fimk.detected_by", "scan"),
    );
    monitor.expect(
        Expect::action("deleted")
            .of(&gone)
            .field("fimk.detected_by", "scan"),
    );
    let scanned = monitor.expect(
        Expect::action("scan_finished")
            .field("fimk.rule", "test")
            .field("user.id", "0")
            .field("fimk.counts.differences_found", 3),
    );
    assert!(
        scanned
            .text("message")
            .is_some_and(|it| it.contains("3 differences"))
    );

    let again = fimk(&site, &["scan", "--format", "json"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let again = answer(&again.stdout);
    assert_eq!(again["state"], "done", "{again}");
    assert_eq!(again["differences"], 0, "{again}");
    assert!(again["compared"].as_u64() >= Some(3), "{again}");
    let status = answer(printed(&site, &["status", "--format", "json"]).as_bytes());
    assert_eq!(status["last_scan"], again, "{status}");
    monitor.stop();
}

#[test]
fn only_root_has_anything_compared_or_accepted() {
    let site = Site::new();
    site.write("file", "one\n");
    let monitor = site.watch();
    run("chmod", &["755", text(&site.run_dir())]);
    let unknown = fimk(&site, &["scan", "other\u{1b}"]);
    assert_eq!(unknown.status.code(), Some(64), "{unknown:?}");
    assert!(!unknown.stderr.contains(&0x1b), "{unknown:?}");
    let program = site.outside("fimk");
    fs::copy(site.fimk(), &program).expect("it is ours");
    let _readers = super::Readers::new();
    let questions: [&[&str]; 3] = [
        &["scan"],
        &["baseline", "accept", "1"],
        &["baseline", "list"],
    ];
    for gid in [65534, super::Readers::id()] {
        for words in questions {
            let status = status(&site, &program, gid, words);
            let reads = gid != 65534 && words.ends_with(&["list"]);
            assert_eq!(status, Some(if reads { 0 } else { 77 }), "{words:?}");
        }
    }
    let events = monitor.stop();
    let done = ["scan_finished", "baseline_accepted"];
    assert!(
        events.iter().all(|event| !done.contains(&event.action())),
        "{events:?}"
    );
}

fn status(site: &Site, program: &Path, gid: u32, words: &[&str]) -> Option<i32> {
    ask_as(site, program, gid, words).status.code()
}
