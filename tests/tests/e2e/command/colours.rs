//! Colours, on a terminal only, and only where they are wanted.

use std::process::Command;

use fimk_tests::{Expect, Site, append_line, not_run, rule, text};

use super::printed;

/// What it prints on a terminal, which script(1) makes.
fn on_a_terminal(site: &Site, words: &str, no_color: &str) -> String {
    let line = format!(
        "{} {words} --run-dir {}",
        text(&site.fimk()),
        text(&site.run_dir())
    );
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("NO_COLOR", no_color)
        .output()
        .expect("script is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn there_are_colours_on_a_terminal_unless_no_color_is_set_and_nowhere_else() {
    if !fimk_tests::attempt("script", &["--version"]).succeeded {
        not_run("colours", "there is no script(1)");
        return;
    }
    let site = Site::new();
    let path = site.write("file", "one\n");
    let critical = "name = \"test\"\nseverity = \"critical\"";
    let monitor = site.start(&rule(&[&site.files()]).replace("name = \"test\"", critical));
    append_line(&path, "two");
    let event = monitor.expect(Expect::action("modified").of(&path).adds("two"));
    let number = event.number("event.sequence").expect("every event has one");
    let show = format!("show {number}");
    for (words, coloured) in [
        ("events --format table", "\u{1b}[1;31mcritical\u{1b}[0m"),
        ("events", "\u{1b}[1;31mcritical\u{1b}[0m"),
        (show.as_str(), "\u{1b}[32m+two\u{1b}[0m"),
    ] {
        let text = on_a_terminal(&site, words, "");
        assert!(text.contains(coloured), "{words}: {text:?}");
        let text = on_a_terminal(&site, words, "1");
        assert!(
            !text.is_empty() && !text.contains('\u{1b}'),
            "{words}: {text:?}"
        );
        // That it has none in a pipe is looked at there.
        let words: Vec<&str> = words.split(' ').collect();
        assert!(!printed(&site, &words).is_empty());
    }
    let lines = on_a_terminal(&site, "events --format json", "");
    assert!(!lines.contains('\u{1b}'), "programs read these");
    monitor.stop();
}
