//! Another syslog daemon than rsyslog, with a parser of its own: what it understood, field by field.

use std::path::{Path, PathBuf};

use fimk_core::render::{FIELDS, SYSLOG_ELEMENT};

use super::{super::syslog::expected, *};

/// Where `scripts/setup` unpacks it: Debian does not install it beside rsyslog.
fn unpacked() -> PathBuf {
    let cache = std::env::var_os("FIMK_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/fimk");
    cache.unwrap_or_else(home).join("syslog-ng")
}

/// Where its libraries are then.
const LIBRARIES: [&str; 5] = [
    "usr/lib/syslog-ng",
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "lib/aarch64-linux-gnu",
];

/// A syslog-ng that writes what it understood as JSON lines. Dropped, it ends.
pub struct SyslogNg {
    process: Child,
    directory: PathBuf,
}

impl SyslogNg {
    pub fn is_here(test: &str) -> bool {
        let here = unpacked().join("usr/sbin/syslog-ng").exists();
        if !here {
            not_run(test, "there is no syslog-ng: scripts/setup unpacks it");
        }
        here
    }

    /// That reads from this source of its configuration.
    pub fn start(directory: PathBuf, source: &str) -> Self {
        let at = text(&directory).to_owned();
        Self::with_config(
            directory,
            &format!(
                "options {{ frac-digits(6); keep-hostname(yes); log-msg-size(65536); stats-freq(0); }};\n\
                 source in {{ {source}; }};\n\
                 destination out {{ file(\"{at}/out\" template(\"$(format-json --leave-initial-dot --key .SDATA.* msg=$MSG \
                 time=$ISODATE name=$PROGRAM id=$MSGID facility=int($FACILITY_NUM) severity=int($LEVEL_NUM))\\n\")); }};\n\
                 log {{ source(in); destination(out); }};\n"
            ),
        )
    }

    /// With this configuration, but for its first line.
    pub fn with_config(directory: PathBuf, config: &str) -> Self {
        let root = unpacked();
        fs::create_dir_all(&directory).expect("it is ours");
        let libraries = LIBRARIES.map(|it| text(&root.join(it)).to_owned());
        let config = format!("@version: 3.35\n{config}");
        fs::write(directory.join("conf"), config).expect("it is ours");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(root.join("usr/sbin/syslog-ng"))
            .args(["--foreground", "--no-caps", "--module-path"])
            .arg(modules(&root))
            .arg("--cfgfile")
            .arg(directory.join("conf"))
            .arg("--persist-file")
            .arg(directory.join("persist"))
            .arg("--control")
            .arg(directory.join("control"))
            .arg("--pidfile")
            .arg(directory.join("pid"))
            .env("LD_LIBRARY_PATH", libraries.join(":"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("log")).expect("it is ours"))
            .spawn()
            .expect("setpriv is there");
        Self { process, directory }
    }

    /// What came, each message by the number of its event: it may come again, and is the same then.
    fn messages(&self) -> BTreeMap<u64, Value> {
        let text = fs::read_to_string(self.directory.join("out")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut messages = BTreeMap::new();
        for line in whole.lines() {
            let message: Value = serde_json::from_str(line).expect("syslog-ng writes JSON");
            let number = field(&message, "event.sequence").and_then(|it| it.parse().ok());
            let number = number.expect("a name made another line");
            let before = messages.insert(number, message.clone());
            assert!(before.is_none_or(|it| it == message), "{line}");
        }
        messages
    }

    pub fn await_all(&self, events: &[Event], site: &Site) -> BTreeMap<u64, Value> {
        let mut messages = BTreeMap::new();
        until("syslog-ng has everything", site, || {
            messages = self.messages();
            let mut all = events.iter();
            all.all(|event| messages.contains_key(&sequence(event)))
        });
        messages
    }
}

impl Drop for SyslogNg {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The directory below its own that is called as its version.
fn modules(root: &Path) -> PathBuf {
    let all = fs::read_dir(root.join("usr/lib/syslog-ng")).expect("it is unpacked");
    let mut all = all.flatten().map(|entry| entry.path());
    all.find(|path| path.is_dir()).expect("it has modules")
}

/// A parameter as it understood it: dots in names are levels to it, and of several of one name it has the last.
fn field<'m>(message: &'m Value, name: &str) -> Option<&'m str> {
    let element = &message[".SDATA"][SYSLOG_ELEMENT];
    let found = name
        .split('.')
        .try_fold(element, |value, part| value.get(part));
    found?.as_str()
}

/// Holds a message against what was printed of the same event, field by field.
pub fn compare(event: &Event, message: &Value) {
    assert_eq!(message["name"], "fimk");
    assert_eq!(message["id"], event.action());
    assert_eq!(message["facility"], 17);
    let created = event.text("event.created").expect("every event has it");
    let time = message["time"].as_str().expect("it has a time");
    assert_eq!(time[..26], created[..26]);
    let words = message["msg"].as_str().unwrap_or_default();
    assert!(
        !words.is_empty() && !words.contains(char::is_control),
        "{words:?}"
    );
    for (name, _) in FIELDS {
        if matches!(name, "message" | "host.name") {
            continue;
        }
        let wanted = event.get(name).map(expected).unwrap_or_default();
        let found = field(message, name);
        assert_eq!(
            found,
            wanted.last().map(String::as_str),
            "{name} of {}",
            event.action()
        );
    }
}

#[test]
fn syslog_ng_understands_every_event_and_field_also_of_the_time_in_which_it_was_away() {
    let test = "syslog-ng";
    if !SyslogNg::is_here(test) || !Forwarder::is_possible(test) {
        return;
    }
    let site = Site::new();
    let port = free_port();
    let source = format!("syslog(ip(\"127.0.0.1\") port({port}) transport(\"tcp\"))");
    let config = format!(
        "{}\n[[output]]\ntype = \"syslog\"\naddress = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nfacility = \"local1\"\n",
        rule(&[&site.files()])
    );
    let monitor = site.start(&config);
    let forwarder = Forwarder::start(&site);
    make_names(&site);
    change_plain(&site, &monitor, "while nobody listens");
    await_problem(&site, "syslog", "nobody listens");
    let daemon = SyslogNg::start(site.outside("syslog-ng"), &source);
    daemon.await_all(&monitor.events(), &site);
    drop(daemon);
    change_plain(&site, &monitor, "while it is \"away\" = [x]\\");
    let daemon = SyslogNg::start(site.outside("syslog-ng"), &source);
    await_sent(&site, "syslog");
    let printed = monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
    let messages = daemon.await_all(&printed, &site);
    assert_eq!(messages.len(), printed.len());
    for event in &printed {
        compare(event, &messages[&sequence(event)]);
    }
}
