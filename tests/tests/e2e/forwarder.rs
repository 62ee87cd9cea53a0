//! Events over the network, by fimk-forwarder, to real receivers.

mod bad;
mod batches;
pub mod receivers;
pub mod syslog_ng;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{Event, Expect, Monitor, Site, append_line, deadline, not_run, rule, run, text};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};
use serde_json::Value;

use self::receivers::{Authority, Datagrams, HttpServer, Lines, free_port};
use super::syslog::{Rsyslog, compare, sequence};

const USER: &str = "fimk-forwarder";

/// Names that would forge lines, fields or more, were they taken as they are.
const NAMES: [&[u8]; 6] = [
    b"a\n<13>1 - - - - - - forged",
    b"b\"] [x@1 y=\"z",
    b"c\x1b[2J\r",
    "d\u{2028}\\\u{202e}".as_bytes(),
    b"e\xff\xfe{\"event\":1}",
    b"plain",
];

/// A forwarder that runs. Dropped, it is killed.
pub struct Forwarder(Child);

impl Forwarder {
    pub fn is_possible(test: &str) -> bool {
        let possible = matches!(User::from_name(USER), Ok(Some(_)));
        if !possible {
            not_run(
                test,
                "there is no user fimk-forwarder: scripts/test makes it",
            );
        }
        possible
    }

    /// With the configuration that fimk was started with.
    pub fn start(site: &Site) -> Self {
        let child = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "--reuid",
                USER,
                "--regid",
                USER,
                "--clear-groups",
            ])
            .arg(site.fimk().with_file_name("fimk-forwarder"))
            .arg("--config")
            .arg(site.outside("fimk.toml"))
            .arg("--run-dir")
            .arg(site.run_dir())
            .stdin(Stdio::null())
            .stderr(fs::File::create(site.outside("forwarder.log")).expect("it is ours"))
            .spawn()
            .expect("setpriv is there");
        Self(child)
    }

    /// Lines of its /proc/PID/status, without the spaces.
    fn status(&self) -> Vec<String> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let text = text.unwrap_or_default();
        let plain = |line: &str| line.split_whitespace().collect::<String>();
        text.lines().map(plain).collect()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("it is a pid"));
        kill(pid, signal).expect("it runs");
    }

    pub fn stop(mut self) -> bool {
        self.signal(Signal::SIGTERM);
        self.0.wait().expect("it is ours").success()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn log(site: &Site) -> String {
    fs::read_to_string(site.outside("forwarder.log")).unwrap_or_default()
}

/// Waits for it, as long as any test waits.
pub fn until(what: &str, site: &Site, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + deadline();
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}\n{}", log(site));
        thread::sleep(Duration::from_millis(50));
    }
}

/// What a status says of an output.
fn output(site: &Site, name: &str) -> Value {
    let status = site.status();
    let outputs = status["outputs"].as_array().cloned().unwrap_or_default();
    let found = outputs.into_iter().find(|output| output["name"] == name);
    found.unwrap_or_default()
}

fn await_problem(site: &Site, name: &str, words: &str) {
    until(&format!("{name} says \"{words}\""), site, || {
        let output = output(site, name);
        output["problem"]
            .as_str()
            .is_some_and(|it| it.contains(words))
    });
}

pub fn await_sent(site: &Site, name: &str) {
    until(&format!("{name} has everything"), site, || {
        output(site, name)["lag"] == 0
    });
}

pub fn make_names(site: &Site) {
    use std::os::unix::ffi::OsStrExt as _;
    for name in NAMES {
        let path = site.files().join(std::ffi::OsStr::from_bytes(name));
        fs::write(&path, "one\ntwo\n").expect("it is ours");
    }
}

fn change_plain(site: &Site, monitor: &Monitor, line: &str) {
    let plain = site.file("plain");
    append_line(&plain, line);
    monitor.expect(
        Expect::any_of(&["created", "modified"])
            .of(&plain)
            .adds(line),
    );
}

/// All that was received is what was printed, each number at least once and the same each time.
fn same(printed: &[Event], received: &[Value]) {
    let mut by_number: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for value in received {
        let number = value["event"]["sequence"].as_u64().expect("a number");
        by_number
            .entry(number)
            .or_default()
            .insert(value.to_string());
    }
    for event in printed {
        let got = by_number.remove(&sequence(event)).unwrap_or_default();
        let wanted = event.whole().to_string();
        assert_eq!(got, BTreeSet::from([wanted]));
    }
    assert!(
        by_number.is_empty(),
        "more came than was printed: {by_number:?}"
    );
}

#[test]
fn rsyslog_has_every_event_over_tcp_and_tls_also_of_the_time_in_which_it_was_away_or_not_believed()
{
    let test = "rsyslog over TCP and TLS";
    if !Rsyslog::is_here(test) || !Forwarder::is_possible(test) || !Authority::serves_rsyslog(test)
    {
        return;
    }
    let site = Site::new();
    let authority = Authority::new(&site);
    let (tcp, tls) = (free_port(), free_port());
    let tcp_input = format!(
        "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tcp}\")\n"
    );
    let config = format!(
        "{}{}{}",
        rule(&[&site.files()]),
        format_args!(
            "\n[[output]]\nname = \"tcp\"\ntype = \"syslog\"\naddress = \"127.0.0.1:{tcp}\"\ntransport = \"tcp\"\nfacility = \"local1\"\n"
        ),
        format_args!(
            "\n[[output]]\nname = \"tls\"\ntype = \"syslog\"\naddress = \"127.0.0.1:{tls}\"\ntransport = \"tls\"\nfacility = \"local1\"\n\
             tls_name = \"logs.example\"\ntls_ca = \"{}\"\ntls_certificate = \"{}\"\ntls_key = \"{}\"\n",
            authority.file("ca.pem"),
            authority.file("client.pem"),
            authority.file("client.key")
        )
    );
    let monitor = site.start(&config);
    let forwarder = Forwarder::start(&site);
    make_names(&site);
    change_plain(&site, &monitor, "while nobody listens");
    await_problem(&site, "tcp", "nobody listens");
    let status = forwarder.status();
    for line in [
        "NoNewPrivs:1",
        "Seccomp:2",
        "CapEff:0000000000000000",
        "CapPrm:0000000000000000",
    ] {
        assert!(status.iter().any(|it| it == line), "{line}: {status:?}");
    }

    let plain = Rsyslog::with(site.outside("tcp"), &tcp_input);
    let secret = Rsyslog::with(site.outside("tls"), &authority.input(tls, "expired"));
    plain.await_all(&monitor.events(), &monitor);
    await_problem(&site, "tls", "has expired");
    assert!(secret.messages().0.is_empty());
    drop(secret);
    let secret = Rsyslog::with(site.outside("tls"), &authority.input(tls, "server"));
    secret.await_all(&monitor.events(), &monitor);

    drop((plain, secret));
    change_plain(&site, &monitor, "while they are \"away\" = [x]\\");
    let plain = Rsyslog::with(site.outside("tcp"), &tcp_input);
    let secret = Rsyslog::with(site.outside("tls"), &authority.input(tls, "server"));
    for name in ["tcp", "tls"] {
        await_sent(&site, name);
    }
    let printed = monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
    for rsyslog in [&plain, &secret] {
        let end = Instant::now() + deadline();
        let mut messages = rsyslog.messages().0;
        while messages.len() < printed.len() && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
            messages = rsyslog.messages().0;
        }
        // Also the last, which says that fimk ends.
        assert_eq!(messages.len(), printed.len(), "{}", log(&site));
        for event in &printed {
            compare(event, &messages[&sequence(event)]);
        }
    }
}

#[test]
fn an_http_server_that_fails_at_times_has_every_event_and_so_have_datagrams_and_graphite_its_counters()
 {
    let test = "HTTP, UDP and Graphite";
    if !Forwarder::is_possible(test) || !HttpServer::is_here(test) {
        return;
    }
    let site = Site::new();
    let server = HttpServer::start(&site, 5);
    let (four, six, graphite) = (
        Datagrams::on("127.0.0.1"),
        Datagrams::on("[::1]"),
        Lines::listen(),
    );
    let token = site.outside("token");
    fs::write(&token, "s3cret\n").expect("it is ours");
    run("chgrp", &[USER, text(&token)]);
    run("chmod", &["0644", text(&token)]);
    let config = format!(
        "{}{}{}{}",
        rule(&[&site.files()]),
        format_args!(
            "\n[[output]]\ntype = \"http\"\nurl = \"http://localhost:{}/in\"\ntoken_file = \"{}\"\nbody = \"array\"\n\
             gzip = true\nbatch_events = 5\nbatch_ms = 200\ntimeout_ms = 1000\n",
            server.port,
            text(&token)
        ),
        format_args!(
            "\n[[output]]\ntype = \"udp\"\naddresses = [\"127.0.0.1:{}\", \"[::1]:{}\"]\ndatagram_bytes = 2048\n",
            four.port, six.port
        ),
        format_args!(
            "\n[[output]]\ntype = \"graphite\"\naddress = \"127.0.0.1:{}\"\nprefix = \"sec.fim\"\nrole = \"web\"\ninterval_s = 1\n",
            graphite.port
        )
    );
    let monitor = site.start(&config);
    let forwarder = Forwarder::start(&site);
    await_problem(&site, "http", "chmod 0640");
    run("chmod", &["0640", text(&token)]);
    make_names(&site);
    let large = site.write("large", &"a line of some length\n".repeat(200));
    monitor.expect(Expect::action("created").of(&large));
    for number in 0..20 {
        change_plain(&site, &monitor, &format!("line {number}"));
    }
    await_sent(&site, "http");
    // What was sent and not said to have been taken is sent again by the next.
    drop(forwarder);
    change_plain(&site, &monitor, "nobody sends");
    let forwarder = Forwarder::start(&site);
    await_sent(&site, "http");
    let lines = graphite.lines(&site);
    let host = run("uname", &["-n"]).output.trim().replace('.', "_");
    for name in [
        format!("sec.fim.installed.by_role.web.{host}.count.hourly 1 "),
        format!("sec.fim.installed.by_role.web.{host}.version.hourly "),
        format!("sec.fim.bpf.events_caught.by_role.web.{host}.count.minutely "),
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(&name)),
            "{name}: {lines:?}"
        );
    }
    assert!(output(&site, "udp")["cut"].as_u64() >= Some(1));
    let printed = monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
    same(&printed, &server.events());
    assert!(server.refusals() >= 5, "it failed at times");
    for datagrams in [four, six] {
        check_datagrams(&printed, &datagrams.all());
    }
}

#[test]
fn an_output_over_the_network_goes_elsewhere_once_both_have_read_the_configuration_again() {
    let test = "another receiver";
    if !Forwarder::is_possible(test) {
        return;
    }
    let site = Site::new();
    let (first, second) = (Datagrams::on("127.0.0.1"), Datagrams::on("127.0.0.1"));
    let to = |name: &str, port: u16| {
        format!(
            "\n[[output]]\nname = \"{name}\"\ntype = \"udp\"\naddresses = [\"127.0.0.1:{port}\"]\n"
        )
    };
    let start = rule(&[&site.files()]);
    let monitor = site.start(&(start.clone() + &to("siem", first.port)));
    let forwarder = Forwarder::start(&site);
    change_plain(&site, &monitor, "for the first");
    await_sent(&site, "siem");

    // Until the forwarder knows of it nothing is sent, least of all to the old one.
    let config = site.outside("fimk.toml");
    fs::write(&config, start.clone() + &to("siem", second.port)).expect("it is ours");
    monitor.signal(Signal::SIGHUP);
    monitor.expect(Expect::action("config_reloaded").field("fimk.counts.outputs_changed", 1));
    until("the forwarder is refused", &site, || {
        log(&site).contains("has no output of this name that goes there")
    });
    change_plain(&site, &monitor, "for the second");
    forwarder.signal(Signal::SIGHUP);
    await_sent(&site, "siem");

    // One that comes back by its name begins anew, and is acknowledged by nothing that was said before.
    fs::write(&config, &start).expect("it is ours");
    monitor.signal(Signal::SIGHUP);
    monitor.expect(Expect::action("config_reloaded").field("fimk.counts.outputs_removed", 1));
    fs::write(&config, start + &to("siem", second.port)).expect("it is ours");
    monitor.signal(Signal::SIGHUP);
    monitor.expect(Expect::action("config_reloaded").field("fimk.counts.outputs_added", 1));
    change_plain(&site, &monitor, "after it came back");
    await_sent(&site, "siem");
    let printed = monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
    let numbers = |receiver: &Datagrams| -> Vec<u64> {
        let number = |line: &String| {
            let value: Value = serde_json::from_str(line).expect("JSON");
            value["event"]["sequence"].as_u64().expect("a number")
        };
        receiver.all().iter().map(number).collect()
    };
    let all: Vec<u64> = printed.iter().map(sequence).collect();
    let got = [numbers(&first), numbers(&second)].concat();
    let twice: BTreeSet<u64> = got.iter().copied().collect();
    assert_eq!(twice.len(), got.len(), "none came twice: {got:?}");
    for (event, number) in printed.iter().zip(&all) {
        // While it was no output nothing was for it.
        assert!(
            got.contains(number) || event.action() == "config_reloaded",
            "{event:?} did not come"
        );
    }
}

/// Each is one event, whole, or cut and said to be.
fn check_datagrams(printed: &[Event], datagrams: &[String]) {
    let mut seen = BTreeSet::new();
    for datagram in datagrams {
        assert!(datagram.len() <= 2_048 && !datagram.contains('\n'));
        let value: Value = serde_json::from_str(datagram).expect("JSON");
        let number = value["event"]["sequence"].as_u64().expect("a number");
        let event = printed.iter().find(|event| sequence(event) == number);
        let event = event.expect("it was printed");
        let whole = event.whole();
        let cut = &value["fimk"]["truncated"];
        assert!(value == *whole || !cut.is_null(), "{datagram}");
        assert_eq!(value["event"]["action"], whole["event"]["action"]);
        seen.insert(number);
    }
    assert_eq!(seen.len(), printed.len(), "one came of each");
}

#[test]
fn nobody_but_the_forwarder_is_given_events_to_send_and_it_is_told_nothing_else() {
    let test = "who may ask";
    if !Forwarder::is_possible(test) || !HttpServer::is_here(test) {
        return;
    }
    let site = Site::new();
    let config = format!(
        "{}\n[[output]]\ntype = \"udp\"\naddresses = [\"127.0.0.1:9\"]\n",
        rule(&[&site.files()])
    );
    let monitor = site.start(&config);
    let forward = "{\"command\":\"forward\",\"output\":\"udp\",\"limit\":1}";
    let events = "{\"command\":\"events\"}";
    for (user, request, word) in [
        ("nobody", forward, "not_allowed"),
        ("fimk", forward, "\"records\""),
        (USER, forward, "\"records\""),
        (USER, events, "not_allowed"),
        (
            USER,
            "{\"command\":\"forward\",\"output\":\"stdout\",\"limit\":1}",
            "no_such_output",
        ),
        (
            USER,
            "{\"command\":\"forward\",\"output\":\"udp\",\"done\":9,\"epoch\":\"x\",\"limit\":1}",
            "\"records\"",
        ),
    ] {
        let answer = asked_as(&site, user, request);
        assert!(answer.contains(word), "{user}: {request}: {answer}");
    }
    monitor.stop();
}

fn asked_as(site: &Site, user: &str, request: &str) -> String {
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.sendall(sys.argv[2].encode()+b'\\n')\nprint(s.makefile().readline())";
    let socket = site.run_dir().join("control.sock");
    run(
        "setpriv",
        &[
            "--reuid",
            user,
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            script,
            text(&socket),
            request,
        ],
    )
    .output
}

const FILES: usize = 4_000;

#[test]
fn what_retention_cost_an_output_is_told_with_its_numbers_and_all_else_comes() {
    let test = "what retention costs";
    if !Forwarder::is_possible(test) || !HttpServer::is_here(test) {
        return;
    }
    let site = Site::new();
    let server = HttpServer::start(&site, 500);
    let config = format!(
        "{}\n[[output]]\ntype = \"http\"\nurl = \"http://127.0.0.1:{}/\"\nactions = [\"created\", \"events_removed\"]\n\
         headers = [\"Authorization: Bearer s3cret\"]\nbody = \"array\"\ngzip = true\nbatch_ms = 0\n\
         timeout_ms = 1000\n[store]\nkeep_bytes = 1048576\n",
        rule(&[&site.files()]),
        server.port
    );
    let monitor = site.start(&config);
    // More than waits in memory, and more than is kept.
    for number in 0..FILES {
        site.write(&format!("{number}"), "one\n");
    }
    monitor.wait_until("they are told", |events| {
        let created = events.iter().filter(|event| event.action() == "created");
        created.count() == FILES
    });
    let tells = |event: &Event| event.number("fimk.counts.undelivered").is_some();
    let lost =
        monitor.expect(Expect::action("events_removed").and("of an output".to_owned(), tells));
    let forwarder = Forwarder::start(&site);
    await_sent(&site, "http");
    let printed = monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
    let numbers: BTreeSet<u64> = server
        .events()
        .iter()
        .filter_map(|event| event["event"]["sequence"].as_u64())
        .collect();
    let wanted = |event: &&Event| ["created", "events_removed"].contains(&event.action());
    // The last of what is told of it may come too late to be sent itself.
    let newest = numbers.last().copied().unwrap_or(0);
    let missing: Vec<u64> = printed
        .iter()
        .filter(wanted)
        .map(sequence)
        .filter(|it| *it < newest && !numbers.contains(it))
        .collect();
    let notices: Vec<&Event> = printed.iter().filter(|event| tells(event)).collect();
    let said = |name: &str| {
        let each = notices.iter();
        each.filter_map(|event| event.number(&format!("fimk.counts.undelivered{name}")))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said("").iter().sum::<u64>(),
        u64::try_from(missing.len()).expect("they are few")
    );
    assert_eq!(said("_first").iter().min(), missing.first());
    assert_eq!(said("_last").iter().max(), missing.last());
    assert!(
        numbers.contains(&sequence(&lost)),
        "the output itself is told"
    );
    assert!(
        numbers.len() >= 10,
        "what was on its way, and what is kept, comes"
    );
}
