//! What is done to fimk while the storm goes on.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    chance::Chance,
    subject::{Subject, signal},
};

/// A way to hurt fimk; `pause` is about as long as a few hundred changes take.
type Act = fn(&mut Subject, pause: Duration);

/// All of them.
const ACTS: [(&str, Act); 9] = [
    ("kill the loader", |subject, _| {
        signal(subject.loader(), Signal::SIGKILL);
    }),
    ("kill the analyzer", |subject, _| subject.kill_analyzer()),
    ("kill loader, then analyzer", |subject, _| {
        let analyzer = subject.analyzer();
        signal(subject.loader(), Signal::SIGKILL);
        signal(analyzer, Signal::SIGKILL);
    }),
    ("kill analyzer, then loader", |subject, _| {
        signal(subject.analyzer(), Signal::SIGKILL);
        signal(subject.loader(), Signal::SIGKILL);
    }),
    ("stop the analyzer", |subject, pause| {
        halt(subject.analyzer(), pause);
    }),
    (
        "stop the loader, so that nobody empties the ring",
        |subject, pause| {
            halt(subject.loader(), pause);
        },
    ),
    (
        "stop the loader and kill the analyzer meanwhile",
        |subject, pause| {
            let loader = subject.loader();
            signal(loader, Signal::SIGSTOP);
            subject.kill_analyzer();
            thread::sleep(pause);
            signal(loader, Signal::SIGCONT);
        },
    ),
    ("fill the disk of the database", |subject, pause| {
        subject.fill_disk();
        keep_up_for(subject, pause);
        subject.empty_disk();
    }),
    (
        "fill the disk of the database and kill the analyzer meanwhile",
        |subject, pause| {
            subject.fill_disk();
            keep_up_for(subject, pause);
            subject.kill_analyzer();
            keep_up_for(subject, pause);
            subject.empty_disk();
        },
    ),
];

fn keep_up_for(subject: &mut Subject, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        subject.keep_up();
        thread::sleep(Duration::from_millis(10));
    }
}

fn halt(pid: Option<u32>, pause: Duration) {
    signal(pid, Signal::SIGSTOP);
    thread::sleep(pause);
    signal(pid, Signal::SIGCONT);
}

/// Hurts fimk again and again until `end`. Gives what was done and when: seconds since the beginning.
pub fn run(subject: &mut Subject, seed: u64, scale: u32, end: Instant) -> Vec<String> {
    let mut chance = Chance::new(seed, 2);
    let begun = Instant::now();
    let mut done = Vec::new();
    while Instant::now() < end {
        let next = Instant::now() + scale * Duration::from_millis(50 + chance.below(1_000) as u64);
        keep_up_for(
            subject,
            next.min(end).saturating_duration_since(Instant::now()),
        );
        let pause = scale * Duration::from_millis(100 + chance.below(900) as u64);
        let (name, act) = ACTS[chance.below(ACTS.len())];
        done.push(format!("{:.2} {name}", begun.elapsed().as_secs_f64()));
        act(subject, pause);
    }
    done
}
