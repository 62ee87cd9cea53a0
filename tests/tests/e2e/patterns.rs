//! Secrets that only the configuration knows: replaced before anything is stored, compared or printed.

use std::fs;

use fimk_tests::{Expect, OBJECTS_MAX, Site, run, text};
use nix::sys::signal::Signal;

/// Each piece alone would be found.
const SECRETS: [&str; 3] = ["EMP-417653", "EMP-904411", "EMP-228890"];

fn config(site: &Site, patterns: &str) -> String {
    format!(
        "objects_max = {OBJECTS_MAX}\n{patterns}\n[[rule]]\nname = \"r\"\npaths = [\"{}\"]\n",
        site.files().display()
    )
}

#[test]
fn what_a_pattern_matches_is_in_no_output_and_not_in_the_database() {
    let site = Site::new();
    let path = site.write("notes", &format!("first {}\n", SECRETS[0]));
    let patterns = "redact = [\"EMP-[0-9]{6}\"]";
    let monitor = site.start(&config(&site, patterns));
    let add = format!("echo second {} >> {}", SECRETS[1], text(&path));
    let shell = run("sh", &["-c", &add]);
    let event = monitor.expect(Expect::action("modified").of(&path).by(&shell).and(
        "a redacted line".to_owned(),
        |event| {
            let diff = event.text("fimk.diff");
            diff.is_some_and(|diff| diff.contains("+second [redacted"))
        },
    ));
    assert!(
        event
            .text("process.command_line")
            .is_some_and(|line| line.contains("second [redacted")),
        "{event:?}"
    );
    let printed = monitor.raw();
    monitor.stop();
    for secret in SECRETS {
        for (what, bytes) in [("output", &printed), ("database", &site.state_bytes())] {
            let found = bytes
                .windows(secret.len())
                .any(|it| it == secret.as_bytes());
            assert!(!found, "{secret} is in the {what}");
        }
    }
}

#[test]
fn a_pattern_that_comes_later_hides_what_was_recorded_before_and_reports_no_change() {
    let site = Site::new();
    let path = site.write("notes", &format!("first {}\n", SECRETS[2]));
    let monitor = site.start(&config(&site, ""));
    let file = site.outside("fimk.toml");
    fs::write(&file, config(&site, "redact = [\"EMP-[0-9]{6}\"]")).expect("it is ours");
    monitor.signal(Signal::SIGHUP);
    monitor.expect(Expect::action("config_reloaded"));
    let shell = run("sed", &["-i", "s/first/last/", text(&path)]);
    let event = monitor.expect(Expect::action("modified").of(&path).by(&shell));
    assert_eq!(event.text("fimk.content"), Some("changed"));
    let printed = monitor.raw();
    let events = monitor.stop();
    let found = printed
        .windows(SECRETS[2].len())
        .any(|it| it == SECRETS[2].as_bytes());
    assert!(!found, "the secret is printed");
    let told = events.iter().filter(|it| it.is_about(&path)).count();
    assert_eq!(told, 1);
}
