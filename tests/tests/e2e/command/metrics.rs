//! Metrics: as `fimk status` prints them, and in a file.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{
    Expect, Monitor, Site, append_line, deadline,
    exposition::{Family, parse},
    rule, run, run_with_input, text,
};
use nix::unistd::User;

use super::{fimk, printed};

type Families = BTreeMap<String, Family>;

fn strict(text: &str) -> Families {
    parse(text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// The sum of all samples with this value of a label.
fn sum(families: &Families, name: &str, label: &str, value: &str) -> f64 {
    let family = families.get(name);
    let samples = family.into_iter().flat_map(|it| &it.samples);
    let of = samples.filter(|(_, labels, _)| labels.get(label).is_some_and(|it| it == value));
    of.map(|(.., value)| value).sum()
}

/// Until it says what is wanted; each reading must hold, whenever it comes.
fn await_file(path: &Path, monitor: &Monitor, wanted: impl Fn(&Families) -> bool) {
    let end = Instant::now() + deadline();
    loop {
        if let Ok(text) = fs::read_to_string(path)
            && wanted(&strict(&text))
        {
            return;
        }
        assert!(Instant::now() < end, "{}", monitor.account());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn metrics_are_as_prometheus_reads_them_printed_and_in_a_file() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let directory = site.file("metrics");
    fs::create_dir(&directory).expect("it is ours");
    run("chown", &["fimk", text(&directory)]);
    let file = directory.join("fimk.prom");
    // It lies where a rule covers it, whose name is made to break the form.
    let rule = rule(&[&site.files()]).replace("\"test\"", "\"a\\\\ \\\"b\"");
    let config = format!("{rule}\n[metrics]\npath = {file:?}\ninterval_s = 1\n");
    let monitor = site.start(&config);
    await_file(&file, &monitor, |it| {
        sum(it, "fimk_events_total", "action", "modified") < 1.0
    });
    append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).adds("two"));
    await_file(&file, &monitor, |it| {
        sum(it, "fimk_events_total", "action", "modified") >= 1.0
    });
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);

    let printed = printed(&site, &["status", "--format", "prometheus"]);
    let families = strict(&printed);
    assert!(
        sum(&families, "fimk_events_by_rule_total", "rule", "a\\ \"b") >= 1.0,
        "{printed}"
    );
    assert!(
        sum(
            &families,
            "fimk_events_by_severity_total",
            "severity",
            "medium"
        ) >= 1.0
    );
    assert!(families["fimk_event_latency_seconds"].samples.len() > 10);
    for name in [
        "fimk_output_lag_events",
        "fimk_queue_length",
        "fimk_last_comparison_timestamp_seconds",
    ] {
        assert!(families.contains_key(name), "{name} is not in\n{printed}");
    }
    if Path::new("/usr/bin/promtool").exists() {
        let checked = run_with_input("promtool", &["check", "metrics"], &printed);
        assert!(checked.succeeded, "{checked:?}");
    }
    // Our own writing is nothing that happens.
    let events = monitor.stop();
    assert!(
        events.iter().all(|event| !event.is_about(&file)),
        "{events:?}"
    );
}

#[test]
fn a_file_of_metrics_that_cannot_be_written_is_a_problem_that_says_so_and_passes() {
    let site = Site::new();
    site.write("file", "one\n");
    let directory = site.outside("metrics");
    fs::create_dir(&directory).expect("it is ours");
    let file = directory.join("fimk.prom");
    let config = format!(
        "{}\n[metrics]\npath = {file:?}\ninterval_s = 1\n",
        rule(&[&site.files()])
    );
    let monitor = site.start(&config);
    let await_word = |is_there: bool| {
        let end = Instant::now() + deadline();
        loop {
            let output = fimk(&site, &["status", "--format", "json", "--check"]);
            let said = String::from_utf8_lossy(&output.stdout).contains("metrics_unwritten");
            if said == is_there {
                return output;
            }
            assert!(Instant::now() < end, "{output:?}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    assert_eq!(await_word(true).status.code(), Some(1));
    let user = User::from_name("fimk")
        .expect("it can be looked up")
        .expect("it is there");
    std::os::unix::fs::chown(&directory, Some(user.uid.as_raw()), None).expect("this is root");
    await_word(false);
    await_file(&file, &monitor, |it| it.contains_key("fimk_well"));
    monitor.stop();
}
