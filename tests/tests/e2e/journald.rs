//! Events in a real journal: systemd-journald as an instance of its own, with its socket and its files in the test's
//! directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fimk_core::render::{FIELDS, journal_name};
use fimk_tests::{
    Event, Expect, Monitor, Site, append_line, attempt, deadline, not_run, rule, text,
};
use serde_json::Value;

const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// Nobody's machine; the journal's directory is named after it.
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// A journald that runs. Dropped, it ends.
pub struct Journald {
    process: Child,
    directory: PathBuf,
    /// An instance of its own ends when nobody is connected for half a minute.
    _kept: UnixStream,
}

impl Journald {
    pub fn is_here(test: &str) -> bool {
        let here = Path::new(JOURNALD).exists()
            && attempt("journalctl", &["--version"]).succeeded
            && Path::new("/etc/machine-id").exists();
        if !here {
            not_run(test, "there is no systemd-journald");
        }
        here
    }

    pub fn start(site: &Site) -> Self {
        let directory = site.outside("journald");
        for name in ["run", "log/journal"] {
            fs::create_dir_all(directory.join(name)).expect("it is ours");
        }
        fs::write(directory.join("machine-id"), format!("{MACHINE}\n")).expect("it is ours");
        // In a mount namespace, because its journal is in /var/log and nowhere else.
        let script = "mount --make-rprivate / && mount --bind \"$0/log\" /var/log && \
                      mount --bind \"$0/machine-id\" /etc/machine-id && \
                      RUNTIME_DIRECTORY=\"$0/run\" exec \"$1\" fimk-test";
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare"])
            .args(["--mount", "sh", "-c", script, text(&directory), JOURNALD])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare is there");
        let kept = connect(&directory.join("run/stdout"));
        Self {
            process,
            directory,
            _kept: kept,
        }
    }

    pub fn socket(site: &Site) -> PathBuf {
        site.outside("journald/run/socket")
    }

    fn journalctl(&self, output: &str) -> Vec<u8> {
        let journal = format!("log/journal/{MACHINE}.fimk-test");
        let told = Command::new("journalctl")
            .args(["--all", "--no-pager", "SYSLOG_IDENTIFIER=fimk"])
            .arg(format!("--output={output}"))
            .arg("--directory")
            .arg(self.directory.join(journal))
            .output();
        told.expect("journalctl is there").stdout
    }

    /// All bytes of all fields of all entries of fimk.
    pub fn export(&self) -> Vec<u8> {
        self.journalctl("export")
    }

    /// All entries of fimk, by the number of the event.
    fn entries(&self) -> BTreeMap<u64, Value> {
        let output = self.journalctl("json");
        let entries = output.split(|byte| *byte == b'\n');
        entries
            .filter(|line| !line.is_empty())
            .map(|line| {
                let entry: Value = serde_json::from_slice(line).expect("journalctl prints JSON");
                let number = texts(&entry["FIMK_EVENT_SEQUENCE"]).concat();
                (number.parse().expect("a number"), entry)
            })
            .collect()
    }

    /// Waits until every event is there.
    pub fn await_all(&self, events: &[Event], monitor: &Monitor) -> BTreeMap<u64, Value> {
        let end = Instant::now() + deadline();
        loop {
            let entries = self.entries();
            let missing = |event: &&Event| !entries.contains_key(&sequence(event));
            let Some(missing) = events.iter().find(missing) else {
                return entries;
            };
            assert!(
                Instant::now() < end,
                "not in the journal: {missing:?}\n{}",
                monitor.errors()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(socket: &Path) -> UnixStream {
    let end = Instant::now() + deadline();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < end, "journald does not start: {error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn sequence(event: &Event) -> u64 {
    event.number("event.sequence").expect("every event has one")
}

/// A field of journalctl's JSON: a string, several, or bytes that are not text.
fn texts(value: &Value) -> Vec<String> {
    let byte = |it: &Value| u8::try_from(it.as_u64()?).ok();
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => match list.iter().map(byte).collect::<Option<Vec<u8>>>() {
            Some(bytes) => vec![String::from_utf8(bytes).expect("fimk writes UTF-8")],
            None => list.iter().flat_map(texts).collect(),
        },
        Value::Null => Vec::new(),
        other => panic!("journalctl prints {other}"),
    }
}

/// What the entry must have for a value of the printed line. The journal keeps no order of a field's values, and equal
/// ones once.
fn expected(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => [text.clone()].into(),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            list.iter().flat_map(expected).collect()
        }
        value => [fimk_core::render::one_line(value)].into(),
    }
}

/// Holds an entry against what was printed of the same event, field by field.
fn compare(event: &Event, entry: &Value) {
    let mut known = BTreeSet::new();
    for (field, _) in FIELDS {
        let Some(name) = journal_name(field) else {
            continue;
        };
        let found: BTreeSet<String> = texts(&entry[&name]).into_iter().collect();
        let wanted = event.get(field).map(expected).unwrap_or_default();
        assert_eq!(found, wanted, "{field} of {}", event.action());
        known.insert(name);
    }
    for name in entry.as_object().expect("an object").keys() {
        assert!(!name.starts_with("FIMK_") || known.contains(name), "{name}");
    }
    let message = texts(&entry["MESSAGE"]).concat();
    assert!(!message.contains(char::is_control), "{message:?}");
}

fn config(site: &Site) -> String {
    let socket = Journald::socket(site);
    format!(
        "{}\n[[output]]\ntype = \"journald\"\nsocket = \"{}\"\n",
        rule(&[&site.files()]),
        text(&socket)
    )
}

/// Restarts included, the journal must have every event of these, as it was printed.
#[test]
fn the_journal_has_every_event_with_every_field_also_of_the_time_in_which_it_was_away() {
    if !Journald::is_here("the journal") {
        return;
    }
    let site = Site::new();
    let journald = Journald::start(&site);
    let monitor = site.start(&config(&site));
    let names = [
        "a\nMESSAGE=forged\nFIMK_X=1",
        "b\x1b[31m",
        "c\u{2028}d",
        "plain",
    ];
    for name in names {
        append_line(&site.file(name), "one\ntwo");
        let path = site.file(name);
        monitor.expect(
            Expect::action("created").and(format!("of {name:?}"), move |event| {
                let base = event.text("file.path").unwrap_or_default();
                base == fimk_core::path::BytePath::new(path.as_os_str().as_encoded_bytes())
                    .escaped()
            }),
        );
    }
    let plain = site.file("plain");
    append_line(&plain, "\"quoted\" = [x]\\");
    monitor.expect(
        Expect::action("modified")
            .of(&plain)
            .adds("\"quoted\" = [x]\\"),
    );
    let printed = monitor.events();
    let entries = journald.await_all(&printed, &monitor);
    for event in &printed {
        compare(event, &entries[&sequence(event)]);
    }
    let uid = texts(&entries[&sequence(&printed[0])]["_UID"]).concat();
    assert_ne!(uid, "0", "the analyzer is not root");

    // Away: nobody else waits for it, and it is said. Then fimk dies as well.
    drop(journald);
    append_line(&plain, "while it is away");
    monitor.expect(
        Expect::action("modified")
            .of(&plain)
            .adds("while it is away"),
    );
    monitor.expect(
        Expect::action("degraded").and("of the journal".to_owned(), |event| {
            let message = event.text("message").unwrap_or_default();
            message.contains("journald at") && message.contains("cannot be written")
        }),
    );
    let printed = monitor.kill9();

    let journald = Journald::start(&site);
    let monitor = site.start(&config(&site));
    append_line(&plain, "and back");
    monitor.expect(Expect::action("modified").of(&plain).adds("and back"));
    let entries = journald.await_all(&printed, &monitor);
    for event in &printed {
        compare(event, &entries[&sequence(event)]);
    }
    // At the end all is flushed.
    let printed = monitor.stop();
    let entries = journald.entries();
    let missing: Vec<&Event> = printed
        .iter()
        .filter(|event| !entries.contains_key(&sequence(event)))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_catalog_is_taken_and_explains_an_event() {
    if !attempt("journalctl", &["--version"]).succeeded {
        return not_run("the catalog", "there is no journalctl");
    }
    let site = Site::new();
    let root = site.outside("root");
    let place = root.join("usr/lib/systemd/catalog");
    fs::create_dir_all(&place).expect("it is ours");
    fs::create_dir_all(root.join("var/lib/systemd/catalog")).expect("it is ours");
    let catalog = include_str!("../../../packaging/fimk.catalog");
    fs::write(place.join("fimk.catalog"), catalog).expect("it is ours");
    let journalctl = |arguments: &[&str]| {
        let output = Command::new("journalctl")
            .arg(format!("--root={}", root.display()))
            .args(arguments)
            .output()
            .expect("journalctl is there");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    journalctl(&["--update-catalog"]);
    let id = fimk_core::render::message_id(fimk_core::event::Action::Modified);
    let explained = journalctl(&["--dump-catalog", id]);
    assert!(
        explained.contains("Subject: Content differs"),
        "{explained}"
    );
    let listed = journalctl(&["--list-catalog"]);
    assert_eq!(listed.lines().count(), fimk_core::event::Action::ALL.len());
}
