//! A running fimk.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Event, Expect, deadline};

/// Events in a failure message: enough to see what happened, not a whole burst.
const EVENTS_SHOWN: usize = 60;

#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    /// When each of them was read.
    times: Vec<Instant>,
    malformed: Vec<String>,
    /// Both streams as they came, for searches.
    raw: Vec<u8>,
    errors: String,
    ended: bool,
}

#[derive(Default)]
struct Ear {
    heard: Mutex<Heard>,
    more: Condvar,
    reading: Mutex<Reading>,
    changed: Condvar,
}

/// What becomes of standard output.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Reading {
    #[default]
    On,
    /// It stays in the pipe.
    Held,
    /// The pipe is closed.
    Closed,
}

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear_event(&self, line: &[u8]) {
        let mut heard = self.heard();
        heard.raw.extend_from_slice(line);
        let line = String::from_utf8_lossy(line);
        match Event::parse(&line) {
            Some(event) => {
                heard.events.push(event);
                heard.times.push(Instant::now());
            }
            None => heard.malformed.push(line.into_owned()),
        }
        self.more.notify_all();
    }

    fn hear_error(&self, bytes: &[u8]) {
        let mut heard = self.heard();
        heard.raw.extend_from_slice(bytes);
        heard.errors.push_str(&String::from_utf8_lossy(bytes));
    }

    /// Waits while nothing is to be read; whether something may be.
    fn may_read(&self) -> bool {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |reading: &mut Reading| *reading == Reading::Held;
        let reading = self.changed.wait_while(reading, held);
        *reading.unwrap_or_else(PoisonError::into_inner) == Reading::On
    }

    fn read(&self, reading: Reading) {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = reading;
        self.changed.notify_all();
    }

    fn hear_end(&self) {
        self.heard().ended = true;
        self.more.notify_all();
    }
}

/// `fimk-loader --run-analyzer`, and what it has printed so far. Dropped, it is killed; its pins go with the site.
pub struct Monitor {
    loader: Child,
    ear: Arc<Ear>,
    readers: Vec<JoinHandle<()>>,
    pins: PathBuf,
}

impl Monitor {
    /// Starts the command and reads both its streams; `pins` is its pin directory.
    pub fn spawn(mut command: Command, pins: PathBuf) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut loader = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let ear = Arc::new(Ear::default());
        let (events, errors) = (Arc::clone(&ear), Arc::clone(&ear));
        let mut stdout = BufReader::new(loader.stdout.take().expect("it is piped"));
        let mut stderr = loader.stderr.take().expect("it is piped");
        let readers = vec![
            thread::spawn(move || {
                let mut line = Vec::new();
                while events.may_read()
                    && stdout
                        .read_until(b'\n', &mut line)
                        .is_ok_and(|length| length > 0)
                {
                    events.hear_event(&line);
                    line.clear();
                }
                drop(stdout);
                events.hear_end();
            }),
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                    errors.hear_error(&buffer[..length]);
                }
            }),
        ];
        Self {
            loader,
            ear,
            readers,
            pins,
        }
    }

    /// Waits until `monitor_started`; the source must be the one that is expected here
    /// (`FIMK_EXPECT_SOURCE`), or at least one that sees who did it.
    pub fn await_start(&self) -> Event {
        let started = self.expect(Expect::action("monitor_started"));
        let source = started.text("fimk.source").unwrap_or_default();
        match std::env::var("FIMK_EXPECT_SOURCE") {
            Ok(wanted) if !wanted.is_empty() => assert_eq!(
                source,
                wanted,
                "the wrong source serves\n{}",
                self.account()
            ),
            _ => assert!(
                ["bpf", "fanotify"].contains(&source),
                "source {source:?} does not see who did it\n{}",
                self.account()
            ),
        }
        started
    }

    /// Waits until the log says this.
    pub fn await_log(&self, words: &str) {
        let end = Instant::now() + deadline();
        while !self.errors().contains(words) {
            assert!(
                Instant::now() < end,
                "it does not log {words:?}\n{}",
                self.account()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has started or has given up; its exit status if it has given up.
    pub fn await_start_or_exit(&mut self) -> Option<i32> {
        let started = |heard: &Heard| {
            heard
                .events
                .iter()
                .any(|event| event.action() == "monitor_started")
        };
        let settled = self.wait(|heard| (heard.ended || started(heard)).then_some(started(heard)));
        match settled {
            Some(true) => None,
            Some(false) => Some(self.await_exit().code().expect("no signal ends it")),
            None => panic!("neither started nor gave up\n{}", self.account()),
        }
    }

    /// Whether BPF programs on the file hooks serve: they know things that fanotify cannot.
    pub fn is_bpf(&self) -> bool {
        self.events()
            .iter()
            .any(|event| event.text("fimk.source") == Some("bpf"))
    }

    /// Waits for an event that meets the expectation, among those already seen too.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "an expectation is made for one use"
    )]
    pub fn expect(&self, expectation: Expect) -> Event {
        let mut looked_at = 0;
        self.wait(|heard| {
            let new = heard.events.iter().skip(looked_at);
            looked_at = heard.events.len();
            new.into_iter()
                .find(|event| expectation.is_met_by(event))
                .cloned()
        })
        .unwrap_or_else(|| {
            let events = self.events();
            panic!(
                "no event with: {}\nnearest:\n{}{}",
                expectation.words(),
                expectation.near_misses(&events),
                self.account()
            )
        })
    }

    /// Waits until a condition on all events seen holds.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&[Event]) -> bool) {
        let held = self.wait(|heard| holds(&heard.events).then_some(()));
        assert!(
            held.is_some(),
            "not within {:?}: {what}\n{}",
            deadline(),
            self.account()
        );
    }

    fn wait<T>(&self, look: impl FnMut(&Heard) -> Option<T>) -> Option<T> {
        self.wait_for(deadline(), look)
    }

    fn wait_for<T>(&self, limit: Duration, mut look: impl FnMut(&Heard) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        let mut heard = self.ear.heard();
        loop {
            let begun = Instant::now();
            if let Some(found) = look(&heard) {
                return Some(found);
            }
            let rest = begun.elapsed() * 2;
            let left = end.saturating_duration_since(Instant::now());
            // Nothing more can come once both processes have closed their stdout.
            if left.is_zero() || heard.ended {
                return None;
            }
            heard = self
                .ear
                .more
                .wait_timeout(heard, left)
                .map_or_else(|error| error.into_inner().0, |(heard, _)| heard);
            // Each line wakes us, and all of them may be looked through: whoever reads the next ones is not to wait for that.
            if !heard.ended {
                drop(heard);
                thread::sleep(rest.min(left));
                heard = self.ear.heard();
            }
        }
    }

    /// Everything printed so far.
    pub fn events(&self) -> Vec<Event> {
        self.ear.heard().events.clone()
    }

    /// Waits until this has been logged.
    pub fn expect_logged(&self, words: &str) {
        let end = Instant::now() + deadline();
        while !self.errors().contains(words) {
            assert!(
                Instant::now() < end,
                "not logged: {words:?}\n{}",
                self.account()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything printed so far, with the time at which it was read.
    pub fn timed_events(&self) -> Vec<(Instant, Event)> {
        let heard = self.ear.heard();
        let times = heard.times.iter().copied();
        times.zip(heard.events.iter().cloned()).collect()
    }

    /// Waits until a condition on the events from this number on holds, but no longer than this. Whether it holds.
    pub fn wait_at_most(
        &self,
        limit: Duration,
        from: usize,
        holds: impl Fn(&[Event]) -> bool,
    ) -> bool {
        let look = |heard: &Heard| holds(heard.events.get(from..)?).then_some(());
        self.wait_for(limit, look).is_some()
    }

    /// Leaves standard output unread, from the next line on.
    pub fn hold_output(&self) {
        self.ear.read(Reading::Held);
    }

    /// Reads it again.
    pub fn read_output(&self) {
        self.ear.read(Reading::On);
    }

    /// Closes it: once a line more was printed, whoever writes gets an error.
    pub fn close_output(&self) {
        self.ear.read(Reading::Closed);
    }

    /// How many events were printed so far.
    pub fn event_count(&self) -> usize {
        self.ear.heard().events.len()
    }

    /// Everything logged so far.
    pub fn errors(&self) -> String {
        self.ear.heard().errors.clone()
    }

    /// All bytes printed and logged so far.
    pub fn raw(&self) -> Vec<u8> {
        self.ear.heard().raw.clone()
    }

    /// The root process.
    pub fn loader_pid(&self) -> u32 {
        self.loader.id()
    }

    /// The unprivileged process: the one below the loader that runs `fimk-analyzer`. None while there is none.
    pub fn analyzer_pid(&self) -> Option<u32> {
        descendants(self.loader.id()).into_iter().find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.trim_end() == "fimk-analyzer")
        })
    }

    /// Asks it to stop and checks how it does: status 0, `monitor_stopped` last, no pin left. Returns all events.
    pub fn stop(mut self) -> Vec<Event> {
        self.signal(Signal::SIGTERM);
        let status = self.await_exit();
        assert!(
            status.success(),
            "stopped with {status}\n{}",
            self.account()
        );
        let events = self.events();
        assert_eq!(
            events.last().map(Event::action),
            Some("monitor_stopped"),
            "the last event\n{}",
            self.account()
        );
        self.assert_no_pin();
        let malformed = self.ear.heard().malformed.clone();
        assert!(
            malformed.is_empty(),
            "lines that are no JSON objects: {malformed:?}"
        );
        events
    }

    /// Waits until it ends by itself, or was told to.
    pub fn await_exit(&mut self) -> ExitStatus {
        let end = Instant::now() + deadline();
        let status = loop {
            if let Some(status) = self.loader.try_wait().expect("it is our child") {
                break status;
            }
            assert!(
                Instant::now() < end,
                "still running after {:?}\n{}",
                deadline(),
                self.account()
            );
            thread::sleep(Duration::from_millis(10));
        };
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        status
    }

    /// How its first process ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.loader.try_wait().expect("it is our child")
    }

    /// Lines so far that are no JSON objects.
    pub fn malformed(&self) -> Vec<String> {
        self.ear.heard().malformed.clone()
    }

    /// Panics if anything is left in the pin directory.
    pub fn assert_no_pin(&self) {
        let left: Vec<_> = fs::read_dir(&self.pins)
            .map(|entries| entries.flatten().map(|entry| entry.file_name()).collect())
            .unwrap_or_default();
        assert!(
            left.is_empty(),
            "pins left in {}: {left:?}",
            self.pins.display()
        );
    }

    /// Kills all its processes as a power cut would; returns what had been printed.
    pub fn kill9(mut self) -> Vec<Event> {
        self.kill_all();
        self.await_exit();
        self.events()
    }

    fn kill_all(&self) {
        let below = descendants(self.loader.id());
        self.signal(Signal::SIGKILL);
        for pid in &below {
            kill_pid(*pid, Signal::SIGKILL);
        }
        // Until they are gone they hold the database's lock.
        let end = Instant::now() + deadline();
        while below.iter().any(|pid| is_alive(*pid)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Signals the root process.
    pub fn signal(&self, signal: Signal) {
        kill_pid(self.loader.id(), signal);
    }

    /// What it has said, for a failure message.
    pub fn account(&self) -> String {
        let heard = self.ear.heard();
        let skipped = heard.events.len().saturating_sub(EVENTS_SHOWN);
        let mut text = format!(
            "events seen ({}, the first {skipped} left out):\n",
            heard.events.len()
        );
        for event in &heard.events[skipped..] {
            let _ = writeln!(text, "  {event:?}");
        }
        let _ = write!(text, "stderr:\n{}", heard.errors);
        text
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.read_output();
        if matches!(self.loader.try_wait(), Ok(None)) {
            self.kill_all();
            let _ = self.loader.wait();
        }
    }
}

/// All processes below this one.
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("/proc is mounted")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, parent(child)?)))
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&above) = found.get(at) {
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == above)
                .map(|(child, _)| child),
        );
        at += 1;
    }
    found.split_off(1)
}

/// Not from `task/PID/children`: kernels may be built without it.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(1)?.parse().ok()
}

/// Whether it runs: neither gone nor a zombie, which holds nothing any more.
fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| !text.contains("State:\tZ"))
}

/// Signals one process; that it may be gone already is fine.
fn kill_pid(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("pids are small");
    let _ = kill(Pid::from_raw(pid), signal);
}
