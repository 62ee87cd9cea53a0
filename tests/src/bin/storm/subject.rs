//! The fimk that is hurt, over all its lives.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{Disk, Event, Launch, Monitor, deadline};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Analyzers that the loader starts again within a minute before it gives up, less the one that makes it do so.
const ANALYZERS_KILLED_MAX: u32 = 4;

/// What both end with where the database cannot be opened: there is no room for it.
const DATABASE: i32 = 74;

/// Loader and analyzer, in the foreground or as two services, with all who were in their place before.
pub struct Subject {
    launch: Launch,
    /// Of the database; none where nothing can be mounted.
    disk: Option<Disk>,
    /// It was full once, or is.
    was_full: bool,
    /// As services: the loader's runs are here, and the analyzer's in `analyzers`.
    service: bool,
    loaders: Vec<Monitor>,
    analyzers: Vec<Monitor>,
    /// Analyzers that we killed under the loader of now.
    killed: u32,
    /// What nobody asked for: ends with a status that says that something is wrong.
    pub faults: Vec<String>,
}

impl Subject {
    /// Starts it and waits until it watches.
    pub fn start(launch: Launch, disk: Option<Disk>, service: bool) -> Self {
        let mut subject = Self {
            launch,
            disk,
            was_full: false,
            service,
            loaders: Vec::new(),
            analyzers: Vec::new(),
            killed: 0,
            faults: Vec::new(),
        };
        subject.spawn_loader();
        if service {
            subject.spawn_analyzer();
        }
        subject.printer().await_start();
        subject
    }

    /// The run whose events come.
    pub fn printer(&self) -> &Monitor {
        let runs = if self.service {
            &self.analyzers
        } else {
            &self.loaders
        };
        runs.last().expect("it was started")
    }

    /// All events of all lives, as they were printed.
    pub fn events(&self) -> Vec<Event> {
        self.runs().flat_map(Monitor::events).collect()
    }

    /// All lines that are none, but for the last of a life that was cut short: a long one is not written at once, and the next
    /// life tells it again.
    pub fn malformed(&self) -> Vec<String> {
        let last = self.lives();
        let numbered = (1..).zip(self.runs());
        let lines =
            numbered.flat_map(|(life, run)| run.malformed().into_iter().map(move |it| (life, it)));
        lines
            .filter(|(life, line)| *life == last || line.ends_with('\n'))
            .map(|(_, line)| line)
            .collect()
    }

    /// Everything logged.
    pub fn errors(&self) -> String {
        let runs = self.loaders.iter().chain(&self.analyzers);
        runs.map(Monitor::errors).collect::<Vec<_>>().join("--\n")
    }

    /// How many lives there were.
    pub fn lives(&self) -> usize {
        self.runs().count()
    }

    fn runs(&self) -> impl Iterator<Item = &Monitor> {
        if self.service {
            self.analyzers.iter()
        } else {
            self.loaders.iter()
        }
    }

    fn spawn_loader(&mut self) {
        self.killed = 0;
        self.loaders.push(if self.service {
            self.launch.serve_without_waiting()
        } else {
            self.launch.spawn()
        });
    }

    fn spawn_analyzer(&mut self) {
        self.analyzers.push(self.launch.analyze_without_waiting());
    }

    /// Starts again what has ended, as systemd would.
    pub fn keep_up(&mut self) {
        if let Some(status) = self.loaders.last_mut().and_then(Monitor::has_ended) {
            self.note_end("the loader", status);
            self.spawn_loader();
        }
        if let Some(status) = self.analyzers.last_mut().and_then(Monitor::has_ended) {
            self.note_end("the analyzer", status);
            self.spawn_analyzer();
        }
    }

    /// Killed by us, ended with its loader, too early because its predecessor still lives, or started on a full disk: all else
    /// is a fault.
    fn note_end(&mut self, who: &str, status: ExitStatus) {
        let fine = status.signal() == Some(Signal::SIGKILL as i32)
            || (self.service && status.success())
            || status.code() == Some(75)
            || (self.was_full && status.code() == Some(DATABASE));
        if !fine {
            self.faults.push(format!("{who} ended with {status}"));
        }
    }

    /// The pid of the loader.
    pub fn loader(&self) -> Option<u32> {
        self.loaders.last().map(Monitor::loader_pid)
    }

    /// The pid of the analyzer, if there is one now.
    pub fn analyzer(&self) -> Option<u32> {
        if self.service {
            self.analyzers.last().map(Monitor::loader_pid)
        } else {
            self.loaders.last().and_then(Monitor::analyzer_pid)
        }
    }

    /// Kills the analyzer, unless the loader would give up for it.
    pub fn kill_analyzer(&mut self) {
        if self.service || self.killed < ANALYZERS_KILLED_MAX {
            self.killed += 1;
            signal(self.analyzer(), Signal::SIGKILL);
        }
    }

    /// Leaves no room on the disk of the database.
    pub fn fill_disk(&mut self) {
        if let Some(disk) = &self.disk {
            disk.fill();
            self.was_full = true;
        }
    }

    /// Gives it back.
    pub fn empty_disk(&mut self) {
        if let Some(disk) = &self.disk {
            disk.empty();
        }
    }

    /// Asks for an orderly end of everything, and waits for it.
    pub fn stop(&mut self) {
        for run in self
            .analyzers
            .iter_mut()
            .rev()
            .take(1)
            .chain(self.loaders.iter_mut().rev().take(1))
        {
            run.signal(Signal::SIGTERM);
            let status = run.await_exit();
            if !status.success() {
                self.faults.push(format!("it was stopped with {status}"));
            }
        }
        // What earlier lives left behind prints until it ends.
        for run in self.loaders.iter_mut().chain(&mut self.analyzers) {
            run.await_exit();
        }
        if self.service {
            let detached = self.launch.detach();
            if !detached.succeeded {
                self.faults
                    .push(format!("--detach failed: {}", detached.output));
            }
        }
    }

    /// Looks again and again, and starts what has ended, until this holds; whether it did in time.
    pub fn until(&mut self, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = Instant::now() + 3 * deadline();
        while Instant::now() < end {
            if holds(self) {
                return true;
            }
            self.keep_up();
            thread::sleep(crate::scale() * Duration::from_millis(150));
        }
        holds(self)
    }
}

/// Whoever is gone already needs none.
pub fn signal(pid: Option<u32>, signal: Signal) {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
