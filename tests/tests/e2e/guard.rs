//! Readers that do not read, processes that stand still, and a machine that has nothing left: nothing is lost, and it
//! is said.

use std::{
    collections::HashSet,
    fs,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{
    Event, Expect, MemoryLimit, Monitor, Site, Spinners, append_line, deadline, not_run, rule, run,
    text, which,
};
use fimk_wire::raw;
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::{PollFd, PollFlags, poll},
    sys::{
        signal::{Signal, kill},
        socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair},
    },
    unistd::Pid,
};
use serde_json::Value;

/// Whether everything takes twenty times as long as on a real machine.
fn is_emulated() -> bool {
    deadline() > Duration::from_secs(30)
}

/// An emulated machine has hours for what takes a real one seconds, which a test has not.
fn many(natively: u32) -> u32 {
    if is_emulated() {
        natively / 10
    } else {
        natively
    }
}

/// Asks until the answer holds; gives it.
fn await_status(site: &Site, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + 2 * deadline();
    loop {
        let status = site.status();
        if holds(&status) {
            return status;
        }
        assert!(Instant::now() < end, "not in time: {what}\n{status:#}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn has_problem(status: &Value, code: &str) -> bool {
    let problems = status["problems"].as_array().into_iter().flatten();
    problems.into_iter().any(|problem| problem["code"] == code)
}

fn says(event: &Event, action: &str, words: &str) -> bool {
    let message = event.text("message").unwrap_or_default();
    event.action() == action && message.contains(words)
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("pids are small");
    kill(Pid::from_raw(pid), signal).expect("it is there");
}

/// With room for all of them.
fn for_many(site: &Site) -> String {
    rule(&[&site.files()]).replace("objects_max = 8192", "objects_max = 65536")
}

/// Makes files 1 to `count` in a directory, by one process.
fn make_files(directory: &Path, count: u32) {
    let script = "cd \"$0\" && i=0; while [ $i -lt \"$1\" ]; do i=$((i+1)); echo $i >$i; done";
    run(
        "sh",
        &["-c", script, text(directory), count.to_string().as_str()],
    );
}

/// How many of the files 1 to `count` are told of.
fn told(events: &[Event], directory: &Path, count: u32) -> usize {
    let wanted: HashSet<String> = (1..=count)
        .map(|number| text(&directory.join(number.to_string())).to_owned())
        .collect();
    let told: HashSet<&str> = events
        .iter()
        .filter(|event| ["created", "modified"].contains(&event.action()))
        .filter_map(|event| event.text("file.path"))
        .filter(|path| wanted.contains(*path))
        .collect();
    told.len()
}

fn await_told(monitor: &Monitor, directory: &Path, count: u32) {
    let all = |events: &[Event]| told(events, directory, count) == count as usize;
    let came = monitor.wait_at_most(6 * deadline(), 0, all);
    let told = told(&monitor.events(), directory, count);
    assert!(came, "{told} of {count}\n{}", monitor.account());
}

#[test]
fn events_that_nobody_reads_are_kept_and_written_when_somebody_does() {
    let site = Site::new();
    let rule = rule(&[&site.files()]);
    let config = format!("heartbeat_interval_s = 1\n{rule}severity = 0\n");
    let monitor = site.start(&config);
    let digest = |event: &Event| {
        event
            .text("fimk.config_digest")
            .is_some_and(|it| it.len() == 64)
            && event.number("fimk.counts.objects_watched") > Some(0)
    };
    monitor.expect(Expect::action("heartbeat").and("says of which rules".to_owned(), digest));
    monitor.hold_output();
    let count = many(4_000);
    make_files(&site.files(), count);
    let blocked = await_status(&site, "all is stored and nothing written", |status| {
        status["events"]["since_start"]["created"].as_u64() >= Some(count.into())
            && has_problem(status, "output_blocked")
    });
    let waiting = blocked["queues"]["output"]["length"].as_u64();
    assert!(waiting > Some(0) && waiting <= Some(1_024), "{blocked:#}");
    assert!(
        blocked["outputs"][0]["lag"].as_u64() > Some(100),
        "{blocked:#}"
    );
    monitor.read_output();
    await_told(&monitor, &site.files(), count);
    monitor.expect_logged("standard output is read again");

    // Now nobody will ever read it.
    monitor.close_output();
    await_status(&site, "it is said", |status| {
        has_problem(status, "output_blocked")
    });
    let path = site.file("late");
    let late = append_line(&path, "one");
    await_status(&site, "it is stored", |status| {
        status["events"]["since_start"]["created"].as_u64() > Some(count.into())
    });
    monitor.signal(Signal::SIGTERM);
    let mut first = monitor;
    assert!(first.await_exit().success(), "{}", first.account());
    let before = first.events();
    let said = |event: &&Event| says(event, "degraded", "standard output was not read");
    assert_eq!(before.iter().filter(said).count(), 1, "it is said once");

    let monitor = site.start(&config);
    let changed = Expect::action("created").of(&path);
    monitor.expect(changed.field("fimk.detected_by", "event").by(&late));
    let all: Vec<u64> = before
        .iter()
        .chain(&monitor.stop())
        .filter_map(|event| event.number("event.sequence"))
        .collect();
    let last = all.iter().max().copied().unwrap_or_default();
    let known: HashSet<u64> = all.into_iter().collect();
    let missing = (1..=last).find(|number| !known.contains(number));
    assert_eq!(
        missing, None,
        "each event is written by one run or the next"
    );
}

#[test]
fn an_analyzer_that_was_stopped_for_a_while_misses_nothing() {
    let site = Site::new();
    let monitor = site.start(&for_many(&site));
    let analyzer = monitor.analyzer_pid().expect("it runs");
    let count = many(20_000);
    signal(analyzer, Signal::SIGSTOP);
    make_files(&site.files(), count);
    signal(analyzer, Signal::SIGCONT);
    let path = site.file("next");
    let shell = append_line(&path, "one");
    let next = Expect::any_of(&["created", "modified"]).of(&path);
    monitor.expect(next.by(&shell));
    await_told(&monitor, &site.files(), count);
    assert_eq!(monitor.analyzer_pid(), Some(analyzer), "it is the same");
    if monitor.is_bpf() && count > 10_000 {
        monitor.expect(Expect::action("events_lost"));
    }
    monitor.stop();
}

/// How often fimk started. By number: what one printed and did not remember to have printed, the next prints again.
fn starts(events: &[Event]) -> usize {
    let started = events
        .iter()
        .filter(|event| event.action() == "monitor_started");
    let numbers = started.map(|event| event.number("event.sequence"));
    numbers.collect::<HashSet<_>>().len()
}

#[test]
fn an_analyzer_that_stands_still_for_too_long_is_replaced_and_all_that_changed_meanwhile_is_told() {
    let site = Site::new();
    let [doomed, moving, open] = ["doomed", "moving", "open"].map(|name| site.write(name, "one\n"));
    let moved = site.file("moved");
    let mut launch = site.launch(&for_many(&site));
    launch.flags = ["--stuck-after", "20"].map(str::to_owned).into();
    let monitor = launch.spawn();
    monitor.await_start();
    let analyzer = monitor.analyzer_pid().expect("it runs");
    signal(analyzer, Signal::SIGSTOP);
    let count = many(500);
    make_files(&site.files(), count);
    fs::remove_file(&doomed).expect("it is there");
    fs::rename(&moving, &moved).expect("it is there");
    let shell = append_line(&open, "two");
    let next = |events: &[Event]| starts(events) == 2;
    let came = monitor.wait_at_most(Duration::from_secs(20) + 2 * deadline(), 0, next);
    assert!(came, "nobody took its place\n{}", monitor.account());
    assert_ne!(monitor.analyzer_pid(), Some(analyzer), "it is another");
    await_told(&monitor, &site.files(), count);
    monitor.expect(Expect::action("deleted").of(&doomed));
    monitor.expect(Expect::any_of(&["renamed", "created"]).of(&moved));
    let changed = Expect::action("modified").of(&open).adds("two");
    if monitor.is_bpf() {
        monitor.expect(changed.by(&shell));
    } else {
        monitor.expect(changed.field("fimk.detected_by", "gap"));
        monitor.expect(Expect::action("gap"));
    }
    let shell = append_line(&open, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&open)
            .by(&shell)
            .adds("three"),
    );
    monitor.stop();
}

#[test]
fn a_loader_that_stands_still_is_noticed_and_what_can_be_seen_without_it_is_told() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    monitor.signal(Signal::SIGSTOP);
    let silent = |events: &[Event]| {
        let silent = |event| says(event, "degraded", "the loader has not answered");
        events.iter().any(silent)
    };
    let noticed = monitor.wait_at_most(Duration::from_secs(40) + deadline(), 0, silent);
    assert!(noticed, "{}", monitor.account());
    assert!(has_problem(&site.status(), "loader_silent"));
    let shell = append_line(&path, "two");
    let changed = || Expect::action("modified").of(&path);
    if !monitor.is_bpf() {
        monitor.expect(changed().adds("two"));
    }
    monitor.signal(Signal::SIGCONT);
    monitor.expect_logged("the loader answers again");
    let two = changed().adds("two");
    monitor.expect(if monitor.is_bpf() {
        two.by(&shell)
    } else {
        two
    });
    let shell = append_line(&path, "three");
    monitor.expect(changed().adds("three").by(&shell));
    let again = await_status(&site, "it is well again", |status| {
        !has_problem(status, "loader_silent")
    });
    assert!(again["problems"].is_array());
    monitor.stop();
}

#[test]
fn with_little_memory_and_a_cpu_that_others_use_nothing_is_lost() {
    let name = "with_little_memory_and_a_cpu_that_others_use_nothing_is_lost";
    if is_emulated() {
        not_run(name, "an emulated machine has little enough as it is");
        return;
    }
    let site = Site::new();
    let monitor = site.start(&for_many(&site));
    let analyzer = monitor.analyzer_pid().expect("it runs");
    let both = [monitor.loader_pid(), analyzer];
    let limit = match MemoryLimit::new(64 << 20, &[analyzer]) {
        Ok(limit) => Some(limit),
        Err(error) => {
            not_run(name, &format!("memory cannot be limited here: {error}"));
            None
        }
    };
    let spinners = Spinners::beside(4, &both);
    if spinners.is_none() {
        not_run(name, "there is no taskset to starve fimk of a CPU");
    }
    monitor.hold_output();
    let count = many(5_000);
    make_files(&site.files(), count);
    await_status(&site, "all is stored", |status| {
        status["events"]["since_start"]["created"].as_u64() >= Some(count.into())
    });
    monitor.read_output();
    await_told(&monitor, &site.files(), count);
    let memory = fs::read_to_string(format!("/proc/{analyzer}/status")).unwrap_or_default();
    let peak = memory.lines().find(|line| line.starts_with("VmHWM"));
    println!("peak of the analyzer: {peak:?}");
    assert_eq!(monitor.analyzer_pid(), Some(analyzer), "it lives");
    drop((limit, spinners));
    monitor.stop();
}

/// Opens files for writing and closes them in rounds: so many apart that the kernel does not merge the events of one.
const CHURN: &str = r#"
    chdir $ARGV[0] or die;
    for my $round (1..$ARGV[1]) {
        for (1..30000) { open(my $file, ">>", "file$_") or die; }
    }
"#;

#[test]
fn a_queue_of_fanotify_that_nobody_reads_has_an_end() {
    let name = "a_queue_of_fanotify_that_nobody_reads_has_an_end";
    let site = Site::new();
    let path = site.write("file", "one\n");
    let churn = site.file("churn");
    fs::create_dir(&churn).expect("it is ours");
    let rule = rule(&[&site.files()]);
    let excluded = format!("exclude = [\"{}/file*\"]\n\n[[output]]", text(&churn));
    let monitor = site.start(&rule.replace("[[output]]", &excluded));
    if monitor.is_bpf() || which("perl".as_ref()).is_none() {
        monitor.stop();
        not_run(name, "it needs the source fanotify and perl");
        return;
    }
    let analyzer = monitor.analyzer_pid().expect("it runs");
    run("perl", &["-e", CHURN, text(&churn), "1"]);
    signal(analyzer, Signal::SIGSTOP);
    run("perl", &["-e", CHURN, text(&churn), "10"]);
    signal(analyzer, Signal::SIGCONT);
    let lost = Expect::action("events_lost");
    monitor.expect(lost.and("of the queue".to_owned(), |event| {
        event.number("fimk.counts.fanotify_queue_full") > Some(0)
    }));
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));

    let analyzer = monitor.analyzer_pid().expect("it runs");
    signal(analyzer, Signal::SIGSTOP);
    run("perl", &["-e", CHURN, text(&churn), "20"]);
    monitor.expect_logged("it does not read the");
    monitor.expect_logged("the analyzer is started again");
    monitor.wait_until("the next has started", |events| starts(events) == 2);
    let shell = append_line(&path, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("three"),
    );
    monitor.stop();
}

/// A packet of this kind: its head, and these bytes behind it.
fn packet(kind: u16, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + rest.len()).expect("it is small");
    let head = [3u16.to_ne_bytes(), kind.to_ne_bytes()].concat();
    [&head[..], &length.to_ne_bytes(), rest].concat()
}

/// Says that the source bpf serves, with room for a thousand objects.
fn ready() -> Vec<u8> {
    let mut rest = vec![0; 144];
    rest[0] = 1;
    rest[12..16].copy_from_slice(&1_000u32.to_ne_bytes());
    packet(16, &rest)
}

/// A loader of another kind: the test, over this descriptor.
struct Imposter {
    socket: OwnedFd,
    random: u64,
}

impl Imposter {
    /// And an analyzer that believes in it.
    fn new(site: &Site) -> (Self, Monitor) {
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (ours, theirs) = socketpair(family, kind, None, SockFlag::empty()).expect("sockets");
        fcntl(&ours, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it is ours");
        let launch = site.launch(&rule(&[&site.files()]));
        let analyzer = launch.analyze_over(theirs.as_raw_fd());
        let socket = ours;
        let random = 0x9e37_79b9_7f4a_7c15;
        let imposter = Self { socket, random };
        let hello = imposter.hear(deadline()).expect("it says HELLO");
        assert_eq!(hello[..4], [3, 0, 1, 0]);
        (imposter, analyzer)
    }

    fn say(&self, packet: &[u8]) -> bool {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        send(self.socket.as_raw_fd(), packet, flags).is_ok()
    }

    /// The next request, if one comes in time.
    fn hear(&self, patience: Duration) -> Option<Vec<u8>> {
        let milliseconds = u16::try_from(patience.as_millis()).unwrap_or(u16::MAX);
        let mut readable = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut readable, milliseconds)
            .ok()
            .filter(|&count| count > 0)?;
        let mut request = vec![0; 64];
        let length = recv(self.socket.as_raw_fd(), &mut request, MsgFlags::empty()).ok()?;
        request.truncate(length);
        (length > 0).then_some(request)
    }

    fn number(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// A packet of a kind that exists and of its length, with anything in it.
    fn anything(&mut self) -> Vec<u8> {
        const KINDS: [(u16, usize); 8] = [
            (1, size_of::<raw::fimk_touch>()),
            (2, size_of::<raw::fimk_name>()),
            (3, size_of::<raw::fimk_armed>()),
            (4, size_of::<raw::fimk_actor>()),
            (17, size_of::<raw::fimk_taken>()),
            (18, size_of::<raw::fimk_synced>()),
            (19, size_of::<raw::fimk_counters_packet>()),
            (20, size_of::<raw::fimk_holder>()),
        ];
        let at = usize::try_from(self.number() % 8).expect("it is small");
        let (kind, whole) = KINDS[at];
        let length = whole - size_of::<raw::fimk_header>();
        let mut rest: Vec<u8> = Vec::with_capacity(length + 8);
        while rest.len() < length {
            // Small numbers lead further than large ones.
            let small = !self.number().is_multiple_of(4);
            let number = if small {
                self.number() % 40
            } else {
                self.number()
            };
            rest.extend(number.to_ne_bytes());
        }
        rest.truncate(length);
        packet(kind, &rest)
    }
}

#[test]
fn what_is_no_packet_ends_the_analyzer_with_a_sentence() {
    let other_version = [&[9, 0][..], &packet(18, &[0; 8])[2..]].concat();
    for garbage in [
        b"garbage".to_vec(),
        vec![7; 9_000],
        other_version,
        packet(99, &[]),
    ] {
        let site = Site::new();
        site.write("file", "one\n");
        let (imposter, mut analyzer) = Imposter::new(&site);
        assert!(imposter.say(&garbage));
        let status = analyzer.await_exit();
        assert_eq!(status.code(), Some(70), "{}", analyzer.account());
        let errors = analyzer.errors();
        assert!(
            errors.contains("the loader sent what cannot be read"),
            "{errors}"
        );
    }
}

#[test]
fn whatever_packets_say_the_analyzer_neither_breaks_nor_grows() {
    let site = Site::new();
    site.write("file", "one\n");
    let (mut imposter, mut analyzer) = Imposter::new(&site);
    assert!(imposter.say(&ready()));
    let end = Instant::now() + Duration::from_secs(5);
    let mut said = 0;
    while Instant::now() < end {
        for _ in 0..20 {
            let packet = imposter.anything();
            said += u32::from(imposter.say(&packet));
        }
        // Each SYNC and ARM is answered, so that it goes on; it may have one more for each answer.
        for _ in 0..100 {
            let Some(request) = imposter.hear(Duration::from_millis(1)) else {
                break;
            };
            if [2, 6, 7, 8].contains(&request[2]) {
                while !imposter.say(&packet(18, &request[40..48])) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
    assert!(said > 100, "{said}");
    let pid = analyzer.loader_pid();
    let memory = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let account = analyzer.account();
    assert!(
        peak.is_some_and(|kib| kib < 256 << 10),
        "{peak:?} KiB\n{account}"
    );
    drop(imposter);
    let status = analyzer.await_exit();
    assert!(
        [Some(0), Some(70)].contains(&status.code()),
        "{status}\n{}",
        analyzer.account()
    );
}

#[test]
fn events_that_go_to_a_watched_file_are_no_events_and_what_others_write_there_is() {
    let site = Site::new();
    let out = site.file("events.json");
    let other = site.write("other", "one\n");
    let mut launch = site.launch(&rule(&[&site.files()]));
    let script = "out=$0; exec \"$@\" >>\"$out\"";
    launch.under = ["sh", "-c", script, text(&out)].map(str::to_owned).into();
    let mut monitor = launch.spawn();
    let lines = || {
        let written = fs::read_to_string(&out).unwrap_or_default();
        let lines = written.lines().filter_map(Event::parse);
        lines.collect::<Vec<_>>()
    };
    let until = |what: &str, holds: &dyn Fn(&Event) -> bool| {
        let end = Instant::now() + deadline();
        while !lines().iter().any(holds) {
            assert!(Instant::now() < end, "not in time: {what}\n{:?}", lines());
            thread::sleep(Duration::from_millis(20));
        }
    };
    until("it started", &|event| event.action() == "monitor_started");
    let shell = append_line(&other, "two");
    let changed = Expect::action("modified").of(&other).by(&shell);
    until("a change", &|event| changed.is_met_by(event));
    await_status(&site, "its own writes are counted", |status| {
        status["events"]["own_writes"].as_u64() > Some(1)
    });
    let shell = run("sh", &["-c", "printf '\n' >> \"$0\"", text(&out)]);
    let changed = Expect::action("modified").of(&out).by(&shell);
    until("somebody else's line", &|event| changed.is_met_by(event));
    // Whoever looks again and again finds it other than it was, each time.
    thread::sleep(Duration::from_secs(3));
    monitor.signal(Signal::SIGTERM);
    assert!(monitor.await_exit().success(), "{}", monitor.errors());
    let all = lines();
    let of_itself: Vec<_> = all
        .iter()
        .filter(|event| event.text("file.path") == Some(text(&out)))
        .collect();
    let named = of_itself.iter();
    let named = named.filter(|event| event.number("process.pid").is_some());
    assert_eq!(named.count(), 1, "{all:?}");
    // Where the other's close is read by itself, what we wrote before it may be told of nobody, once.
    assert!(of_itself.len() <= 2, "{all:?}");
}
