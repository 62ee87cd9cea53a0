//! Events in a real rsyslog, and in a file.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fimk_core::render::{FIELDS, SYSLOG_ELEMENT, harmless, one_line};
use fimk_tests::{
    Event, Expect, Monitor, Site, append_line, attempt, deadline, not_run, rule, run, text,
};
use serde_json::Value;

/// An rsyslogd that writes what it understood as JSON lines. Dropped, it ends.
pub struct Rsyslog {
    process: Child,
    directory: PathBuf,
}

impl Rsyslog {
    pub fn is_here(test: &str) -> bool {
        let here = attempt("rsyslogd", &["-v"]).succeeded;
        if !here {
            not_run(test, "there is no rsyslogd");
        }
        here
    }

    /// That reads a socket.
    pub fn start(site: &Site) -> Self {
        let directory = site.outside("rsyslog");
        let socket = directory.join("log");
        let input = format!(
            "module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{}\" UseSpecialParser=\"off\" IgnoreTimestamp=\"off\" RateLimit.Interval=\"0\")\n",
            text(&socket)
        );
        let this = Self::with(directory, &input);
        let end = Instant::now() + deadline();
        while !socket.exists() {
            assert!(Instant::now() < end, "rsyslogd does not start");
            thread::sleep(Duration::from_millis(20));
        }
        this
    }

    /// That reads from where these lines of its configuration say.
    pub fn with(directory: PathBuf, input: &str) -> Self {
        fs::create_dir_all(&directory).expect("it is ours");
        let at = text(&directory).to_owned();
        let property = |name: &str| {
            format!(
                "constant(value=\"\\\",\\\"{name}\\\":\\\"\") property(name=\"{name}\" format=\"json\")\n"
            )
        };
        let names = [
            "syslogfacility",
            "syslogseverity",
            "hostname",
            "app-name",
            "procid",
            "msgid",
            "structured-data",
        ];
        let properties: String = names.into_iter().map(property).collect();
        let config = format!(
            "global(workDirectory=\"{at}\" maxMessageSize=\"64k\")\n\
             {input}template(name=\"fields\" type=\"list\") {{\n\
             constant(value=\"{{\\\"msg\\\":\\\"\") property(name=\"msg\" format=\"json\")\n\
             constant(value=\"\\\",\\\"time\\\":\\\"\") property(name=\"timereported\" dateFormat=\"rfc3339\")\n\
             {properties}constant(value=\"\\\"}}\\n\")\n}}\n\
             action(type=\"omfile\" file=\"{at}/out\" template=\"fields\")\n"
        );
        Self::with_config(directory, &config)
    }

    /// With this configuration.
    pub fn with_config(directory: PathBuf, config: &str) -> Self {
        fs::write(directory.join("conf"), config).expect("it is ours");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "rsyslogd", "-n"])
            .arg("-f")
            .arg(directory.join("conf"))
            .arg("-i")
            .arg(directory.join("pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rsyslogd is there");
        Self { process, directory }
    }

    /// Where it reads, if it was started so.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// What came, each message by the number of its event; and how many lines that is.
    pub fn messages(&self) -> (BTreeMap<u64, Message>, usize) {
        let text = fs::read_to_string(self.directory.join("out")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<&str> = whole.lines().collect();
        let of = |line: &&str| {
            let message = Message::parse(line);
            let number = message.parameters["event.sequence"].concat();
            (number.parse().expect("a number"), message)
        };
        (lines.iter().map(of).collect(), lines.len())
    }

    /// What came behind the structured data of each message.
    pub fn words(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join("out")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let fields = whole
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        fields
            .filter_map(|it| Some(it["msg"].as_str()?.to_owned()))
            .collect()
    }

    pub fn await_all(
        &self,
        events: &[Event],
        monitor: &Monitor,
    ) -> (BTreeMap<u64, Message>, usize) {
        let end = Instant::now() + deadline();
        loop {
            let (messages, lines) = self.messages();
            let missing = |event: &&Event| !messages.contains_key(&sequence(event));
            let Some(missing) = events.iter().find(missing) else {
                return (messages, lines);
            };
            assert!(
                Instant::now() < end,
                "rsyslog does not have {missing:?}\n{}",
                monitor.errors()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(self.directory.join("log"));
    }
}

/// What rsyslog made of a message.
pub struct Message {
    fields: Value,
    parameters: BTreeMap<String, Vec<String>>,
}

impl Message {
    fn parse(line: &str) -> Self {
        let fields: Value = serde_json::from_str(line).expect("rsyslog writes JSON");
        let element = fields["structured-data"].as_str().expect("a string");
        let parameters = parameters(element);
        Self { fields, parameters }
    }

    fn text(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap_or_default()
    }
}

/// The parameters of the one element that there is, RFC 5424, 6.3.
fn parameters(element: &str) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let rest = element.strip_prefix(&format!("[{SYSLOG_ELEMENT}"));
    let mut rest = rest.unwrap_or_else(|| panic!("it begins otherwise: {element}"));
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, value) = parameter.split_once("=\"").expect("a parameter");
        let mut escaped = false;
        let end = value.find(|it| {
            let closes = it == '"' && !escaped;
            escaped = it == '\\' && !escaped;
            closes
        });
        let end = end.expect("a closing quote");
        let value_text = &value[..end];
        let plain = ["\\]", "\\\"", "\\\\"].iter().zip(["]", "\"", "\u{0}"]);
        let value_text = plain.fold(value_text.replace("\\\\", "\u{0}"), |text, (from, to)| {
            text.replace(from, to)
        });
        let value_text = value_text.replace('\u{0}', "\\");
        all.entry(name.to_owned()).or_default().push(value_text);
        rest = &value[end + 1..];
    }
    assert_eq!(rest, "]", "{element}");
    all
}

pub fn sequence(event: &Event) -> u64 {
    event.number("event.sequence").expect("every event has one")
}

pub fn expected(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![harmless(text)],
        Value::Array(list) if list.iter().all(Value::is_string) => {
            list.iter().flat_map(expected).collect()
        }
        value => vec![one_line(value)],
    }
}

/// Holds a message against what was printed of the same event, field by field.
pub fn compare(event: &Event, message: &Message) {
    for (name, value) in [
        ("app-name", "fimk"),
        ("msgid", event.action()),
        ("syslogfacility", "17"),
    ] {
        assert_eq!(message.text(name), value, "{name}");
    }
    let created = event.text("event.created").expect("every event has it");
    assert_eq!(message.text("time")[..26], created[..26]);
    let words = message.text("msg");
    assert!(!words.contains(char::is_control), "{words:?}");
    assert!(!message.parameters.contains_key("fimk.truncated"));
    for (field, _) in FIELDS {
        if matches!(field, "message" | "host.name") {
            continue;
        }
        let found = message.parameters.get(field).cloned().unwrap_or_default();
        let wanted = event.get(field).map(expected).unwrap_or_default();
        assert_eq!(found, wanted, "{field} of {}", event.action());
    }
    for name in message.parameters.keys() {
        assert!(FIELDS.iter().any(|(field, _)| field == name), "{name}");
    }
}

fn with_syslog(site: &Site) -> String {
    format!(
        "{}\n[[output]]\ntype = \"syslog\"\nsocket = \"{}\"\nfacility = \"local1\"\nrules = [\"test\"]\n",
        rule(&[&site.files()]),
        text(&site.outside("rsyslog/log"))
    )
}

#[test]
fn rsyslog_has_every_event_with_every_field_also_of_the_time_in_which_it_was_away() {
    if !Rsyslog::is_here("rsyslog") {
        return;
    }
    let site = Site::new();
    let rsyslog = Rsyslog::start(&site);
    let monitor = site.start(&with_syslog(&site));
    for name in [
        "a\n<13>1 - - - - - - forged",
        "b\"] [x@1 y=\"z",
        "c\x1b[2J",
        "d\u{2028}\\",
        "plain",
    ] {
        append_line(&site.file(name), "one\ntwo");
    }
    let plain = site.file("plain");
    monitor.expect(Expect::action("created").of(&plain));
    append_line(&plain, "\"quoted\" = [x]\\");
    monitor.expect(
        Expect::action("modified")
            .of(&plain)
            .adds("\"quoted\" = [x]\\"),
    );
    let printed = monitor.events();
    let (messages, lines) = rsyslog.await_all(&printed, &monitor);
    assert_eq!(lines, messages.len(), "a name made another line");
    for event in &printed {
        compare(event, &messages[&sequence(event)]);
    }

    drop(rsyslog);
    append_line(&plain, "while it is away");
    monitor.expect(
        Expect::action("modified")
            .of(&plain)
            .adds("while it is away"),
    );
    let rsyslog = Rsyslog::start(&site);
    let printed = monitor.events();
    rsyslog.await_all(&printed, &monitor);
    monitor.stop();
}

/// Lines of a file, each an event.
fn events_in(path: &Path) -> Vec<Event> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let parse = |line: &str| Event::parse(line).unwrap_or_else(|| panic!("no event: {line}"));
    text.lines().map(parse).collect()
}

#[test]
fn a_file_that_a_rule_covers_is_written_and_never_tells_of_itself() {
    let site = Site::new();
    let directory = site.file("log");
    run("install", &["-d", "-o", "fimk", text(&directory)]);
    let path = directory.join("events");
    let config = format!(
        "{}\n[[output]]\ntype = \"file\"\npath = \"{}\"\nactions = [\"created\", \"modified\"]\nrotate_bytes = 131072\n",
        rule(&[&site.files()]),
        text(&path)
    );
    let monitor = site.start(&config);
    monitor.await_log("nothing there is watched");
    let file = site.file("file");
    append_line(&file, "one");
    monitor.expect(Expect::action("created").of(&file));
    append_line(&file, "two");
    monitor.expect(Expect::action("modified").of(&file).adds("two"));
    let printed = monitor.stop();
    let written = events_in(&path);
    let wanted: Vec<u64> = printed
        .iter()
        .filter(|event| ["created", "modified"].contains(&event.action()))
        .map(sequence)
        .collect();
    assert_eq!(written.iter().map(sequence).collect::<Vec<_>>(), wanted);
    assert!(printed.iter().all(|event| !event.is_about(&path)));
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o640);
}
