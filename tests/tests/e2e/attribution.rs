//! Who did it: right, or not at all.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{
    Event, Expect, Monitor, Ran, Site, append_line, attempt, deadline, myself, not_run, rule, run,
    text,
};

const WRITERS: usize = 1000;
const AT_ONCE: usize = 4;
const PROGRAMS: usize = 10;

/// Copies of one shell under several names: a writer mistaken for another shows.
fn programs(site: &Site) -> Vec<PathBuf> {
    let shell = fs::canonicalize("/bin/sh").expect("every system has one");
    let directory = site.outside("bin");
    fs::create_dir(&directory).expect("it is ours");
    let names = (0..PROGRAMS).map(|number| directory.join(format!("writer{number}")));
    names
        .inspect(|program| {
            fs::copy(&shell, program).expect("it is ours");
        })
        .collect()
}

/// Runs all writers, some at once; each makes one file. The path of each file and who made it.
fn write_all(site: &Site, programs: &[PathBuf]) -> HashMap<String, Ran> {
    let part = |lane: usize| -> Vec<(String, Ran)> {
        (lane..WRITERS)
            .step_by(AT_ONCE)
            .map(|number| {
                let path = text(&site.file(&format!("f{number}"))).to_owned();
                let writer = run(
                    &programs[number % PROGRAMS],
                    &["-c", "echo x > \"$0\"", &path],
                );
                (path, writer)
            })
            .collect()
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..AT_ONCE)
            .map(|lane| scope.spawn(move || part(lane)))
            .collect();
        lanes
            .into_iter()
            .flat_map(|lane| lane.join().expect("no writer failed"))
            .collect()
    })
}

#[test]
fn short_lived_writers_are_named_right_or_not_at_all() {
    let site = Site::new();
    let programs = programs(&site);
    let monitor = site.watch();
    let all_are_known = monitor.is_bpf();
    let writers = write_all(&site, &programs);
    let created = |event: &Event| {
        let path = event
            .text("file.path")
            .filter(|_| event.action() == "created")?;
        writers.get(path)
    };
    monitor.wait_until("1,000 files created", |events| {
        events
            .iter()
            .filter(|event| created(event).is_some())
            .count()
            >= WRITERS
    });
    let mut named = 0;
    for event in monitor.stop() {
        let Some(writer) = created(&event) else {
            continue;
        };
        let Some(pid) = event.number("process.pid") else {
            continue;
        };
        assert_eq!(pid, u64::from(writer.pid), "another pid: {event:?}");
        if let Some(executable) = event.text("process.executable") {
            assert_eq!(
                executable,
                text(&writer.executable),
                "another program: {event:?}"
            );
            named += 1;
        }
    }
    // The BPF source takes each writer at the write itself. With fanotify a pid may serve another by the time it is
    // looked up; not a single one named would pass as "not at all", and would be no monitor.
    let enough = if all_are_known {
        WRITERS
    } else {
        WRITERS * 9 / 10
    };
    assert!(
        named >= enough,
        "only {named} of {WRITERS} writers were named"
    );
}

#[test]
fn a_change_has_the_ancestors_of_its_process() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    append_line(&path, "two");
    let me = myself();
    let expected = Expect::action("modified")
        .of(&path)
        .adds("two")
        .field("process.parent.pid", me.pid);
    let event = monitor.expect(expected.field("process.parent.executable", text(&me.executable)));
    let ancestors = event
        .get("fimk.ancestors")
        .and_then(serde_json::Value::as_array)
        .expect("there are ancestors");
    assert_eq!(
        ancestors.first().and_then(|parent| parent["pid"].as_u64()),
        Some(u64::from(me.pid)),
        "parent first: {ancestors:?}"
    );
    monitor.stop();
}

/// A session of its own, logged in as nobody who exists, in which a shell of a shell writes. The first shell waits:
/// else it would become the second.
const SESSION: &str = "echo \"$1\" > /proc/self/loginuid || exit 1
sh -c 'sh -c \"echo two >> $0; true\"; true' \"$0\"; true";
const LOGIN_UID: u32 = 4242;

#[test]
fn a_change_tells_the_login_and_every_ancestor_up_to_the_leader_of_the_session() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let login = LOGIN_UID.to_string();
    let session = attempt(
        "setsid",
        &["--fork", "--wait", "sh", "-c", SESSION, text(&path), &login],
    );
    if !session.succeeded {
        let why = format!(
            "there are no login uids (CONFIG_AUDIT), or they are fixed: {}",
            session.output
        );
        not_run("the login of a change", &why);
        return;
    }
    let expected = Expect::action("modified").of(&path).adds("two");
    let event = monitor.expect(expected.field("fimk.login_uid", LOGIN_UID));
    assert!(
        event.number("fimk.session").is_some(),
        "a login opens an audit session: {event:?}"
    );
    let ancestors = event
        .get("fimk.ancestors")
        .and_then(serde_json::Value::as_array)
        .expect("there are ancestors");
    // Two shells above the writing one, then setsid, which made the session, then this process.
    let names: Vec<_> = ancestors
        .iter()
        .filter_map(|ancestor| ancestor["name"].as_str())
        .collect();
    assert_eq!(
        names.get(..3),
        Some(&["sh", "sh", "setsid"][..]),
        "{event:?}"
    );
    assert_eq!(
        ancestors
            .get(2)
            .and_then(|ancestor| ancestor["pid"].as_u64()),
        Some(u64::from(session.pid)),
        "{event:?}"
    );
    monitor.stop();
}

#[test]
fn a_process_that_ran_before_fimk_is_named() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    // This process is older than the monitor.
    let monitor = site.watch();
    fs::write(&path, "one\ntwo\n").expect("it is ours");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&myself())
            .adds("two"),
    );
    monitor.stop();
}

/// Whether fanotify gives descriptors of processes (`FAN_REPORT_PIDFD`, Linux 5.15).
fn has_pidfds() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    let version: [u32; 2] = [0; 2].map(|_| numbers.next().unwrap_or(0));
    version >= [5, 15]
}

#[test]
fn an_event_tells_by_what_its_process_is_known() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    // By this process, which lives when the event is read.
    fs::write(&path, "one\ntwo\n").expect("it is ours");
    let by = match (monitor.is_bpf(), has_pidfds()) {
        (true, _) => vec!["program", "process_table"],
        (false, true) => vec!["fanotify", "pidfd", "process_table"],
        (false, false) => vec!["fanotify", "process_table"],
    };
    let expected = Expect::action("modified").of(&path).by(&myself());
    let event = monitor.expect(expected.field("fimk.attributed_by", by.clone()));
    // From the database it comes with the same words.
    let asked = Command::new(site.fimk())
        .args(["events", "--limit", "0", "--format", "json", "--run-dir"])
        .arg(site.run_dir())
        .output();
    let asked = asked.expect("fimk is built beside the loader").stdout;
    let stored = String::from_utf8(asked).expect("JSON is text");
    let mut stored = stored.lines().filter_map(Event::parse);
    let same = |it: &Event| it.number("event.sequence") == event.number("event.sequence");
    let stored = stored.find(same).expect("it is stored");
    assert_eq!(stored.get("fimk.attributed_by"), Some(&by.into()));
    monitor.stop();
}

#[test]
fn arguments_of_the_process_are_told() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let sed = run("sed", &["-i", "s/one/two/", text(&path)]);
    let event = monitor.expect(Expect::action("modified").of(&path).by(&sed));
    let arguments = event
        .get("process.args")
        .and_then(serde_json::Value::as_array)
        .expect("arguments are known");
    let words: Vec<_> = arguments
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    assert_eq!(words.get(1..), Some(&["-i", "s/one/two/", text(&path)][..]));
    monitor.stop();
}

#[test]
fn what_is_made_in_a_new_directory_is_not_put_on_whoever_made_the_directory() {
    const ROUNDS: usize = 50;
    let site = Site::new();
    let monitor = site.watch();
    let script = format!(
        "i=0; while [ $i -lt {ROUNDS} ]; do mkdir \"$0/d$i\"; echo x > \"$0/d$i/f\"; i=$((i + 1)); done"
    );
    let shell = run("sh", &["-c", &script, text(&site.files())]);
    let of_files = |events: &[Event]| -> Vec<Event> {
        let is_one = |event: &&Event| {
            event.action() == "created"
                && event
                    .text("file.path")
                    .is_some_and(|path| path.ends_with("/f"))
        };
        events.iter().filter(is_one).cloned().collect()
    };
    monitor.wait_until("all files are reported", |events| {
        of_files(events).len() >= ROUNDS
    });
    for event in of_files(&monitor.stop()) {
        let pid = event.number("process.pid");
        assert!(
            pid.is_none() || pid == Some(u64::from(shell.pid)),
            "{event:?}"
        );
        let found = event.text("fimk.detected_by") == Some("scan");
        assert_eq!(found, event.text("fimk.gap.from").is_some(), "{event:?}");
    }
}

/// Reading this takes long enough for another process to write meanwhile.
const LONG: u64 = 128 << 20;

/// Waits until the analyzer reads the file, or has told of it.
fn await_reading(monitor: &Monitor, path: &Path) {
    let descriptors = monitor.analyzer_pid().map(|pid| format!("/proc/{pid}/fd"));
    let is_open = || {
        let all = descriptors.iter().filter_map(|it| fs::read_dir(it).ok());
        let mut links = all.flatten().flatten().map(|it| fs::read_link(it.path()));
        links.any(|it| it.is_ok_and(|it| it == path))
    };
    let end = Instant::now() + deadline();
    while !is_open() && Instant::now() < end && !monitor.events().iter().any(|it| it.is_about(path))
    {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_another_process_wrote_while_a_file_was_read_is_not_put_on_the_first_alone() {
    let site = Site::new();
    let path = site.file("long");
    let file = fs::File::create(&path).expect("it is ours");
    file.set_len(LONG).expect("it has no blocks");
    let monitor = site.watch();
    let first = append_line(&path, "one");
    await_reading(&monitor, &path);
    let second = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&first));
    monitor.expect(Expect::action("modified").of(&path).by(&second));
    monitor.stop();
}

/// A pid namespace with fimk, and a process there that waits for a number in a file, and then has one of this number write. In the
/// words of the shell: what it writes to, where the number is, then what is to be run there.
const NAMESPACE: &str = r#"
(
    until [ -s "$1" ]; do sleep 0.1; done
    number=$(cat "$1")
    echo $((number - 1)) >/proc/sys/kernel/ns_last_pid
    sh -c 'echo two >>"$0"; sleep 60' "$0"
    exit
) &
shift
exec "$@"
"#;

#[test]
fn whoever_has_a_number_in_another_namespace_is_not_taken_for_who_has_it_on_the_host() {
    let test = "a number of another namespace";
    if !Path::new("/proc/sys/kernel/ns_last_pid").exists() {
        not_run(
            test,
            "this kernel gives no process a number of one's choice",
        );
        return;
    }
    let site = Site::new();
    let (path, number) = (site.write("file", "one\n"), site.outside("number"));
    let mut launch = site.launch(&rule(&[&site.files()]));
    let words = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c"];
    let words = words
        .into_iter()
        .chain([NAMESPACE, text(&path), text(&number)]);
    launch.under = words.map(str::to_owned).collect();
    let monitor = launch.spawn();
    // The programs see other numbers, so they do not serve.
    let started = Expect::action("monitor_started");
    monitor.expect(started.field("fimk.source", "fanotify"));
    // Of the table of processes, for it began later.
    let mut other = Command::new("sleep")
        .arg("60")
        .spawn()
        .expect("it is there");
    site.replace(&number, &other.id().to_string());
    let modified = Expect::action("modified").of(&path).adds("two");
    let event = monitor.expect(modified.field("process.pid", other.id()));
    for name in ["process.name", "process.executable", "process.start"] {
        assert_eq!(event.get(name), None, "{event:?}");
    }
    let _ = other.kill();
    let _ = other.wait();
    monitor.kill9();
}
