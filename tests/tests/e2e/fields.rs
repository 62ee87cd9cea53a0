//! The fields that readers of other monitors look for.

use std::{collections::BTreeSet, fs};

use fimk_tests::{Event, Expect, Site, append_line, rule, run, text};

const PAGE: &str = include_str!("../../../man/fimk-events.7");

/// The lines of its tables: a field of others, and ours.
fn parity() -> Vec<(&'static str, &'static str)> {
    let rows = PAGE.lines().filter_map(|line| {
        let (theirs, ours) = line.strip_prefix(".It Li ")?.split_once(" Ta Va ")?;
        Some((theirs, ours))
    });
    rows.collect()
}

#[test]
fn every_field_that_others_have_is_in_a_real_event_under_the_name_of_the_manual() {
    let site = Site::new();
    let config = rule(&[&site.files()]);
    let monitor = site.start(&format!("hash = [\"sha256\", \"md5\"]\n{config}"));
    let (path, moved) = (site.file("file"), site.file("moved"));
    let shell = append_line(&path, "one");
    monitor.expect(Expect::action("created").of(&path).by(&shell));
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell));
    run("mv", &[&path, &moved]);
    monitor.expect(Expect::action("renamed").of(&moved));
    fs::remove_file(&moved).expect("it is ours");
    monitor.expect(Expect::action("deleted").of(&moved));
    let events = monitor.stop();
    let has = |field: &str| {
        events
            .iter()
            .any(|event: &Event| event.get(field).is_some())
    };
    let rows = parity();
    let missing: Vec<_> = rows.iter().filter(|(_, ours)| !has(ours)).collect();
    assert!(missing.is_empty(), "{missing:?}\n{events:?}");
    // That the tables are read at all, and have what was counted in those monitors' sources.
    let theirs: BTreeSet<&str> = rows.iter().map(|(theirs, _)| *theirs).collect();
    assert_eq!((rows.len(), theirs.len()), (53, 53), "{rows:?}");
    let path = text(&path);
    let renamed = events.iter().find(|event| event.action() == "renamed");
    assert_eq!(
        renamed.and_then(|it| it.text("fimk.previous_path")),
        Some(path)
    );
}
