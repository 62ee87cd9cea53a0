//! `fimk baseline`, and `fimk top`: what is recorded, what was accepted, who is busy.

use std::fs;

use fimk_tests::{Expect, Site, append_line, rule, run, text};
use serde_json::Value;

use super::{events, fimk, printed, sequences};

/// More than an answer holds.
const FILES: usize = 700;

#[test]
fn all_that_is_recorded_is_listed_a_page_at_a_time_whatever_its_name_is() {
    let site = Site::new();
    for number in 0..FILES {
        site.write(&format!("many/file{number:03}"), "one\n");
    }
    // It lies between the directory and what is in it, in the order of their bytes.
    site.write("many-others", "one\n");
    let odd = site.write("odd\n\u{1b}[2J\u{2028}", "one\n");
    let monitor = site.watch();
    let exported = printed(
        &site,
        &["baseline", "export", "--path", text(&site.file("many"))],
    );
    let records: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is an object"))
        .collect();
    assert_eq!(records.len(), FILES + 1, "the directory, and what is in it");
    let file = &records[1]["file"];
    assert_eq!(file["path"], text(&site.file("many/file000")), "{file}");
    // What sha256sum says of "one\n".
    assert_eq!(
        file["hash"]["sha256"], "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806",
        "{file}"
    );
    assert_eq!(
        (&file["mode"], &file["size"]),
        (&"0644".into(), &4.into()),
        "{file}"
    );
    assert_eq!(records[1]["fimk"]["rule"], "test");

    let listed = printed(&site, &["baseline", "list", "--rule", "test"]);
    assert_eq!(listed.lines().count(), FILES + 4, "each record is one line");
    assert!(listed.contains("odd\\x0a\\x1b[2J"), "{odd:?}");
    let glob = format!("{}/many/file?00", site.files().display());
    assert_eq!(
        printed(&site, &["baseline", "list", "--path", &glob])
            .lines()
            .count(),
        7
    );
    for none in [["--rule", "none"], ["--path", "/nowhere"]] {
        let words = [&["baseline", "list"], &none[..]].concat();
        assert_eq!(printed(&site, &words), "", "{none:?}");
    }
    monitor.stop();
}

#[test]
fn what_was_accepted_is_remembered_over_a_restart_and_told() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let other = site.write("other", "one\n");
    let monitor = site.watch();
    append_line(&path, "two");
    let first = monitor.expect(Expect::action("modified").of(&path).adds("two"));
    append_line(&other, "two");
    let second = monitor.expect(Expect::action("modified").of(&other).adds("two"));
    every_list_is_json(&site);
    let busy = printed(&site, &["top", "--once"]);
    for part in [
        "OPERATIONS",
        "PROCESS",
        text(&path),
        text(&other),
        "queues ",
    ] {
        assert!(busy.contains(part), "{part} is not in\n{busy}");
    }

    let number = |event: &fimk_tests::Event| event.number("event.sequence").unwrap_or(0);
    let through = number(&first).to_string();
    let note = "CHG-1\u{1b}[2J\nforged";
    printed(&site, &["baseline", "accept", &through, "--note", note]);
    let told = monitor.expect(
        Expect::action("baseline_accepted")
            .field("user.id", "0")
            .field("fimk.accepted.through", number(&first)),
    );
    let written = told.text("fimk.note").unwrap_or_default();
    assert!(written.starts_with("CHG-1\\x1b"), "{written}");
    for wrong in [&through[..], "99999999", "0"] {
        let refused = fimk(&site, &["baseline", "accept", wrong]);
        assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    }
    printed(&site, &["baseline", "accept", "--path", text(&other)]);
    monitor.stop();

    let monitor = site.watch();
    let left = sequences(&events(&site, &["--unaccepted", "--limit", "0"]));
    assert!(
        !left.contains(&number(&first)) && !left.contains(&number(&second)),
        "{left:?}"
    );
    assert!(left.contains(&number(&told)), "{left:?}");
    let shown = printed(&site, &["show", &through]);
    assert!(shown.contains("\nAccepted by root"), "{shown}");
    let status = printed(&site, &["status"]);
    assert!(
        status.contains(&format!("events up to {through}, by root")),
        "{status}"
    );
    monitor.stop();
}

#[test]
fn a_link_is_listed_with_where_it_leads_and_what_is_not_read_with_why() {
    let site = Site::new();
    let link = site.file("link");
    std::os::unix::fs::symlink("/nowhere\u{1b}", &link).expect("it is ours");
    let large = site.write("large", &"x".repeat(8_192));
    let config = format!("read_bytes_max = 4096\n{}", rule(&[&site.files()]));
    let monitor = site.start(&config);
    let of = |name: &str| {
        let path = site.file(name);
        let exported = printed(&site, &["baseline", "export", "--path", text(&path)]);
        serde_json::from_str::<Value>(exported.trim_end()).expect("one record")
    };
    assert_eq!(of("link")["file"]["target_path"], "/nowhere\\x1b");
    assert!(of("large")["fimk"]["unread"].is_string());
    assert!(of("large")["file"].get("hash").is_none());
    assert!(fs::metadata(large).is_ok());
    monitor.stop();
}

const AS_JSON: &[&str] = &["--format", "json"];

/// Whatever prints a list can print it for programs: objects or arrays.
fn every_list_is_json(site: &Site) {
    let file = site.file("file");
    for words in [
        &["status"][..],
        &["events"],
        &["log", text(&file)],
        &["rules"],
        &["explain", text(&file)],
        &["baseline", "list"],
        &["top"],
    ] {
        check_json(&printed(site, &[words, AS_JSON].concat()));
    }
    // It has no other form.
    check_json(&printed(site, &["baseline", "export"]));
    check_json(&run(site.fimk(), &[&["legend"], AS_JSON].concat()).output);
}

fn check_json(text: &str) {
    let mut values = serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .peekable();
    assert!(values.peek().is_some(), "nothing is printed");
    for value in values {
        assert!(
            value.is_ok_and(|it| it.is_object() || it.is_array()),
            "{text}"
        );
    }
}
