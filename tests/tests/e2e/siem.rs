//! The recipes in packaging/siem that can be run here, with another host, directory and certificate: what was printed comes
//! out of a receiver behind them.

use std::{fs, path::Path};

use fimk_tests::{Event, Site, rule, text};
use serde_json::Value;

use super::{
    forwarder::{
        Forwarder, make_names,
        receivers::{Authority, free_port},
        syslog_ng::SyslogNg,
        until,
    },
    syslog::{Rsyslog, sequence},
};

/// A file of packaging/siem.
fn recipe(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/siem");
    fs::read_to_string(root.join(name)).expect("it is there")
}

/// The recipe with other words; each must stand in it.
fn adapted(recipe: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(recipe.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the recipe");
        text.replace(from, to)
    })
}

/// The `[[output]]` that it begins with.
fn output(recipe: &str) -> String {
    let lines = recipe.lines().filter_map(|line| line.strip_prefix("#   "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// A receiver of syslog over TLS, which keeps the words of messages as they are: JSON objects.
fn receiver(site: &Site, authority: &Authority, port: u16) -> Rsyslog {
    let input = format!(
        "global(DefaultNetstreamDriver=\"gtls\" DefaultNetstreamDriverCAFile=\"{}\"\n\
         DefaultNetstreamDriverCertFile=\"{}\" DefaultNetstreamDriverKeyFile=\"{}\")\n\
         module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n",
        authority.file("ca.pem"),
        authority.file("server.pem"),
        authority.file("server.key")
    );
    Rsyslog::with(site.outside("receiver"), &input)
}

fn await_all(site: &Site, receiver: &Rsyslog, printed: &[Event]) {
    let mut found: Vec<Value> = Vec::new();
    until("everything comes out", site, || {
        // syslog-ng says by a byte order mark that it is UTF-8, as RFC 5424 has it.
        let words = receiver.words();
        let objects = words.iter().map(|it| it.trim_start_matches('\u{feff}'));
        found = objects
            .filter_map(|it| serde_json::from_str(it).ok())
            .collect();
        printed.iter().all(|event| found.contains(event.whole()))
    });
    let numbers = |value: &Value| value["event"]["sequence"].as_u64();
    let known: Vec<u64> = printed.iter().map(sequence).collect();
    for value in &found {
        assert!(
            numbers(value).is_some_and(|it| known.contains(&it)),
            "{value}"
        );
    }
}

#[test]
fn that_of_rsyslog_passes_every_event_on_by_tls() {
    let test = "the recipe for rsyslog";
    if !Rsyslog::is_here(test) || !Authority::serves_rsyslog(test) {
        return;
    }
    let site = Site::new();
    let authority = Authority::new(&site);
    let port = free_port();
    let daemon = site.outside("daemon");
    fs::create_dir(&daemon).expect("it is ours");
    let socket = daemon.join("fimk");
    let recipe = recipe("rsyslog/50-fimk.conf");
    let config = adapted(
        &recipe,
        &[
            ("target=\"logs.example.org\"", "target=\"127.0.0.1\""),
            ("\"logs.example.org\"", "\"logs.example\""),
            ("6514", &port.to_string()),
            // Half a minute is long for a test.
            (
                "action.resumeRetryCount=\"-1\"",
                "action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\"",
            ),
            ("/var/spool/rsyslog", text(&daemon)),
            (
                "/etc/ssl/certs/ca-certificates.crt",
                &authority.file("ca.pem"),
            ),
            ("/run/rsyslog/fimk", text(&socket)),
        ],
    );
    let config = format!("module(load=\"imuxsock\" SysSock.Use=\"off\")\n{config}");
    let path = daemon.join("conf");
    fs::write(&path, &config).expect("it is ours");
    let checked = fimk_tests::attempt("rsyslogd", &["-N1", "-f", text(&path)]);
    assert!(checked.succeeded, "{checked:?}");
    let _daemon = Rsyslog::with_config(daemon, &config);
    until("it listens", &site, || socket.exists());

    let output = adapted(&output(&recipe), &[("/run/rsyslog/fimk", text(&socket))]);
    let monitor = site.start(&format!("{}\n{output}", rule(&[&site.files()])));
    make_names(&site);
    // Nobody is there yet: the daemon keeps it.
    let receiver = receiver(&site, &authority, port);
    let printed = monitor.stop();
    await_all(&site, &receiver, &printed);
}

#[test]
fn that_of_syslog_ng_passes_every_event_on_by_tls() {
    let test = "the recipe for syslog-ng";
    if !Rsyslog::is_here(test)
        || !Authority::serves_rsyslog(test)
        || !SyslogNg::is_here(test)
        || !Forwarder::is_possible(test)
    {
        return;
    }
    let site = Site::new();
    let authority = Authority::new(&site);
    let port = free_port();
    let directory = site.outside("daemon");
    fs::create_dir(&directory).expect("it is ours");
    let socket = directory.join("fimk");
    let recipe = recipe("syslog-ng/fimk.conf");
    let config = adapted(
        &recipe,
        &[
            // The certificate is for a name that this system does not resolve.
            ("required-trusted", "optional-untrusted"),
            ("logs.example.org", "127.0.0.1"),
            ("6514", &port.to_string()),
            (
                "/etc/ssl/certs/ca-certificates.crt",
                &authority.file("ca.pem"),
            ),
            ("/var/lib/syslog-ng/fimk", text(&socket)),
        ],
    );
    // A minute is long for a test.
    let config = format!("options {{ time-reopen(1); }};\n{config}");
    let _daemon = SyslogNg::with_config(directory, &config);
    until("it listens", &site, || socket.exists());
    let output = adapted(
        &output(&recipe),
        &[("/var/lib/syslog-ng/fimk", text(&socket))],
    );
    let monitor = site.start(&format!("{}\n{output}", rule(&[&site.files()])));
    let forwarder = Forwarder::start(&site);
    make_names(&site);
    let receiver = receiver(&site, &authority, port);
    let printed = monitor.stop();
    assert!(forwarder.stop());
    await_all(&site, &receiver, &printed);
}
