//! Outputs in a configuration.

use super::*;
use crate::event::{Action, Body, Event, Notice};

/// The outputs of a configuration with two rules.
fn outputs(lines: &str) -> Result<Vec<Output>, String> {
    let rules =
        "[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n[[rule]]\nname = \"s\"\npaths = [\"/b\"]\n";
    let config = parse(&format!("{rules}{lines}\n"), "x");
    config
        .map(|config| config.outputs)
        .map_err(|error| error.to_string())
}

fn refused(lines: &str, word: &str) {
    let error = outputs(lines).expect_err(lines);
    assert!(error.contains(word), "{lines}: {error}");
}

const STDOUT: &str = "[[output]]\ntype = \"stdout\"\n";
const JOURNALD: &str = "[[output]]\ntype = \"journald\"\n";
const SYSLOG: &str = "[[output]]\ntype = \"syslog\"\n";
const FILE: &str = "[[output]]\ntype = \"file\"\npath = \"/var/log/fimk/events\"\n";

#[test]
fn an_output_that_does_not_exist_names_those_that_do() {
    refused(
        "[[output]]\ntype = \"kafka\"",
        "`type` in [[output]] must be \"stdout\" or \"journald\" or \"syslog\" or \"file\", not",
    );
    refused("[[output]]\nseverity = 3", "no `type`");
}

#[test]
fn there_may_be_several_outputs_but_no_two_of_one_name_or_to_one_place() {
    let four = outputs(&[STDOUT, JOURNALD, SYSLOG, FILE].concat()).expect("four");
    let names: Vec<&str> = four.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["stdout", "journald", "syslog", "file"]);
    refused(&[STDOUT, STDOUT].concat(), "to the same place");
    refused(&[FILE, FILE, "name = \"b\""].concat(), "to the same place");
    refused(&[SYSLOG, SYSLOG].concat(), "named \"syslog\"");
    assert!(outputs(&[SYSLOG, SYSLOG, "name = \"b\""].concat()).is_ok());
    let many: Vec<String> = (0..=OUTPUTS_MAX)
        .map(|number| format!("{SYSLOG}name = \"n{number}\"\n"))
        .collect();
    refused(&many.concat(), "more than 16");
    for name in ["", "a b", "é", &"n".repeat(65)] {
        refused(&format!("{SYSLOG}name = \"{name}\""), "letters, digits");
    }
}

#[test]
fn a_key_of_another_type_is_refused() {
    for (output, key, of) in [
        (STDOUT, "socket = \"/s\"", "\"journald\" and \"syslog\""),
        (JOURNALD, "facility = \"user\"", "\"syslog\""),
        (SYSLOG, "path = \"/p\"", "\"file\""),
        (STDOUT, "rotate_keep = 1", "\"file\""),
    ] {
        refused(&format!("{output}{key}"), of);
    }
    refused(&format!("{JOURNALD}format = \"json\""), "takes fields");
    refused(
        &format!("{SYSLOG}format = \"table\""),
        "columns are for people",
    );
    refused("[[output]]\ntype = \"file\"", "needs a `path`");
    for path in ["relative", "/", "/a/*", "~/x"] {
        refused(
            &format!("[[output]]\ntype = \"file\"\npath = \"{path}\""),
            "`path`",
        );
    }
    refused(&format!("{SYSLOG}socket = \"/{}\"", "s".repeat(107)), "107");
}

#[test]
fn defaults_are_those_of_the_page() {
    let all = outputs(&[JOURNALD, SYSLOG, FILE].concat()).expect("three");
    let kinds: Vec<OutputKind> = all.iter().map(|it| it.kind.clone()).collect();
    let expected = [
        OutputKind::Journald {
            socket: "/run/systemd/journal/socket".into(),
        },
        OutputKind::Syslog {
            socket: "/dev/log".into(),
            facility: 10,
        },
        OutputKind::File {
            path: "/var/log/fimk/events".into(),
            rotate_bytes: 100 << 20,
            rotate_keep: 5,
        },
    ];
    assert_eq!(kinds, expected);
    let formats: Vec<Format> = all.iter().map(|it| it.format).collect();
    assert_eq!(formats, [Format::Text, Format::Text, Format::Json]);
}

#[test]
fn an_event_passes_by_severity_action_and_rule_and_what_fimk_says_of_itself_by_the_first_two() {
    let of = |lines: &str| outputs(&format!("{STDOUT}{lines}")).map(|it| it[0].filter.clone());
    let notice = |action, severity| Event {
        sequence: 1,
        created: crate::time::Timestamp(0),
        boot: String::new(),
        source: None,
        action,
        severity,
        body: Body::Notice(Notice::default()),
    };
    let by_severity = of("severity = \"high\"").expect("valid");
    assert!(by_severity.passes(&notice(Action::Gap, 73)));
    assert!(!by_severity.passes(&notice(Action::Gap, 72)));
    let by_action = of("actions = [\"gap\", \"created\"]").expect("valid");
    assert!(by_action.passes(&notice(Action::Gap, 1)));
    assert!(!by_action.passes(&notice(Action::Degraded, 99)));
    let by_rule = of("rules = [\"s\"]").expect("valid");
    assert!(by_rule.passes(&notice(Action::Gap, 1)));
    for (lines, word) in [
        ("rules = [\"t\"]", "a rule that there is not"),
        ("actions = [\"creatd\"]", "the actions are created, deleted"),
    ] {
        let error = of(lines).expect_err(lines);
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_summary_of_bursts_has_limits_and_its_numbers_are_refused_without_it() {
    let of = |lines: &str| {
        let text = format!(
            "[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n[[output]]\ntype = \"stdout\"\n{lines}\n"
        );
        parse(&text, "x").map(|config| config.outputs[0].burst)
    };
    let burst = |events, within_ms| Some(Burst { events, within_ms });
    assert_eq!(of(""), Ok(None));
    assert_eq!(of("burst = \"events\""), Ok(None));
    assert_eq!(of("burst = \"summary\""), Ok(burst(50, 2_000)));
    let numbers = "burst = \"summary\"\nburst_events = 1000\nburst_ms = 100";
    assert_eq!(of(numbers), Ok(burst(1_000, 100)));
    for (lines, word) in [
        ("burst_ms = 100", "burst = \"summary\""),
        ("burst = \"summary\"\nburst_events = 1", "from 2 to 1000"),
        ("burst = \"summary\"\nburst_ms = 99", "from 100 to 60000"),
        ("burst = \"none\"", "\"events\" or \"summary\""),
    ] {
        let error = of(lines).expect_err(lines).to_string();
        assert!(error.contains(word), "{error}");
    }
}
