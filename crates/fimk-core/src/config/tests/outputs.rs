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
        "\"syslog\" or \"file\" or \"udp\" or \"http\" or \"graphite\", not",
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

/// Its one output.
fn remote(lines: &str) -> Remote {
    let outputs = outputs(&format!("[[output]]\n{lines}")).expect(lines);
    outputs[0].kind.remote().expect("over the network").clone()
}

fn address(host: &str, port: u16) -> Address {
    let host = host.to_owned();
    Address { host, port }
}

#[test]
fn syslog_goes_over_the_network_where_it_has_an_address() {
    let over = |lines: &str| {
        let remote = remote(&format!("type = \"syslog\"\n{lines}"));
        assert_eq!(remote.timeout_ms, 10_000);
        match remote.way {
            Way::Syslog(syslog) => *syslog,
            other => panic!("{other:?}"),
        }
    };
    let udp = over("address = \"[2001:db8::1]:514\"\ntransport = \"udp\"\nfacility = \"local7\"");
    let there = Transport::Udp(address("2001:db8::1", 514));
    assert_eq!((udp.transport, udp.facility), (there, 23));
    for (lines, path) in [("", "/dev/log"), ("socket = \"/run/s\"", "/run/s")] {
        let stream = over(&format!("transport = \"stream\"\n{lines}"));
        assert_eq!(stream.transport, Transport::Stream(path.into()));
    }
    let tls = over(
        "address = \"logs.example.org:6514\"\ntransport = \"tls\"\ntls_ca = \"/ca\"\n\
         tls_certificate = \"/c\"\ntls_key = \"/k\"\ntls_name = \"other\"",
    );
    let keys = Tls {
        ca: Some("/ca".into()),
        own: Some(("/c".into(), "/k".into())),
        name: Some("other".to_owned()),
    };
    let there = address("logs.example.org", 6514);
    assert_eq!(tls.transport, Transport::Tls(there, keys));
    let at = "address = \"a:1\"\n";
    for (lines, word) in [
        (at.to_owned(), "needs a `transport`"),
        ("transport = \"tcp\"".to_owned(), "write an `address` too"),
        ("tls_ca = \"/ca\"".to_owned(), "write an `address` too"),
        (
            format!("{at}transport = \"stream\""),
            "for a `socket` on this host",
        ),
        (
            "transport = \"stream\"\ntls_ca = \"/ca\"".to_owned(),
            "transport = \"tls\"",
        ),
        (
            format!("{at}transport = \"tcp\"\nsocket = \"/s\""),
            "not to both",
        ),
        (
            format!("{at}transport = \"tcp\"\ntls_ca = \"/ca\""),
            "for TLS only",
        ),
        (
            format!("{at}transport = \"tls\"\ntls_key = \"/k\""),
            "belong together",
        ),
        (
            format!("{at}transport = \"tls\"\ntls_ca = \"ca\""),
            "`tls_ca`",
        ),
        (
            format!("{at}transport = \"tls\"\ntls_name = \"a b\""),
            "no host's name",
        ),
        (
            format!("{at}transport = \"quic\""),
            "\"udp\" or \"tcp\" or \"tls\"",
        ),
        (
            format!("{at}transport = \"udp\"\nformat = \"ocsf\""),
            "too large for a datagram",
        ),
        (
            format!("{at}transport = \"tcp\"\nformat = \"table\""),
            "columns are for people",
        ),
    ] {
        refused(&format!("{SYSLOG}{lines}"), word);
    }
    for bad in [
        "a", "a:0", "a:65536", "a:+1", ":1", "::1:1", "[::1]", "[::1]1", "[::g]:1", "a b:1",
        "a..b:1", "u@a:1", "a:1/x",
    ] {
        refused(
            &format!("{SYSLOG}transport = \"tcp\"\naddress = \"{bad}\""),
            "x:10:11: `address`",
        );
    }
}

#[test]
fn datagrams_go_to_several_addresses() {
    let lines = "type = \"udp\"\naddresses = [\"127.0.0.1:1\", \"[::1]:2\"]\n";
    let Way::Udp(udp) = remote(lines).way else {
        panic!("it is of that type");
    };
    assert_eq!(udp.addresses, [address("127.0.0.1", 1), address("::1", 2)]);
    assert_eq!(udp.bytes_max, 65_507);
    for (more, word) in [
        ("format = \"text\"", "`format` is \"json\""),
        ("datagram_bytes = 1023", "from 1024 to 65507"),
        ("url = \"http://a\"", "\"http\" only"),
    ] {
        refused(&format!("[[output]]\n{lines}{more}"), word);
    }
    refused("[[output]]\ntype = \"udp\"", "needs `addresses`");
}

#[test]
fn batches_are_posted_to_a_url() {
    let http = |lines: &str| match remote(&format!("type = \"http\"\n{lines}")).way {
        Way::Http(http) => *http,
        other => panic!("{other:?}"),
    };
    let plain = http("url = \"http://logs.example.org\"");
    assert_eq!(
        (plain.address, plain.path),
        (address("logs.example.org", 80), "/".to_owned())
    );
    assert_eq!(
        (plain.batch_events, plain.batch_ms, plain.gzip),
        (500, 1_000, false)
    );
    let all = http(
        "url = \"https://[::1]:8443/a/b?c=d\"\nheaders = [\"X-A: b c\"]\ntoken_file = \"/t\"\n\
         token_scheme = \"Splunk\"\nbody = \"array\"\ngzip = true\nbatch_events = 7\nbatch_ms = 0\ntimeout_ms = 100",
    );
    assert_eq!(all.place(), "https://[::1]:8443/a/b");
    assert_eq!(all.path, "/a/b?c=d");
    assert_eq!(all.headers, [("X-A".to_owned(), "b c".to_owned())]);
    assert_eq!(
        (all.body, all.gzip, all.batch_events),
        (HttpBody::Array, true, 7)
    );
    assert_eq!(all.tls, Some(Tls::default()));
    let url = "[[output]]\ntype = \"http\"\nurl = \"https://a/\"\n";
    for (more, word) in [
        ("headers = [\"none\"]", "\"Name: value\""),
        ("headers = [\"A B: c\"]", "name that is none"),
        ("headers = [\"A: b\\nC: d\"]", "not printable ASCII"),
        ("headers = [\"content-length: 3\"]", "sets itself"),
        ("token_file = \"t\"", "`token_file`"),
        ("token_scheme = \"Splunk\"", "write a `token_file`"),
        (
            "token_file = \"/t\"\nheaders = [\"authorization: x\"]",
            "say the same",
        ),
        ("format = \"text\"", "`format` is \"json\" or \"ocsf\""),
    ] {
        refused(&format!("{url}{more}"), word);
    }
    for bad in [
        "ftp://a",
        "http://",
        "http://a b",
        "http://u:p@a/",
        "http://a:b/",
        "http://a/#x",
        "http://a/\\u00e9",
    ] {
        refused(
            &format!("[[output]]\ntype = \"http\"\nurl = \"{bad}\""),
            "`url`",
        );
    }
    let token = "\ntoken_file = \"/t\"";
    refused(
        &format!("[[output]]\ntype = \"http\"\nurl = \"http://a/\"{token}"),
        "everybody on the way",
    );
    http(&format!("url = \"http://127.0.0.1:1/\"{token}"));
    refused(
        "[[output]]\ntype = \"http\"\nurl = \"http://a/\"\ntls_ca = \"/c\"",
        "for TLS only",
    );
    refused("[[output]]\ntype = \"http\"", "needs a `url`");
}

#[test]
fn graphite_gets_counters_and_no_events() {
    let lines = "[[output]]\ntype = \"graphite\"\naddress = \"g:2003\"\n";
    let all = outputs(&format!("{lines}prefix = \"a.b\"\nrole = \"web\"")).expect("valid");
    assert!(!all[0].takes_events());
    for (more, word) in [
        ("severity = 3", "not events"),
        ("prefix = \"a..b\"", "`prefix`"),
        ("role = \"a.b\"", "`role`"),
        ("interval_s = 0", "from 1 to 86400"),
    ] {
        refused(&format!("{lines}{more}"), word);
    }
    refused("[[output]]\ntype = \"graphite\"", "needs an `address`");
}
