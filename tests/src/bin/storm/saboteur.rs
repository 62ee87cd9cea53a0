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

/// All of them. One that needs more than signals (a full disk) is a line and a function.
const ACTS: [(&str, Act); 7] = [
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
];

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
        while Instant::now() < next.min(end) {
            subject.keep_up();
            thread::sleep(Duration::from_millis(10));
        }
        let pause = scale * Duration::from_millis(100 + chance.below(900) as u64);
        let (name, act) = ACTS[chance.below(ACTS.len())];
        done.push(format!("{:.2} {name}", begun.elapsed().as_secs_f64()));
        act(subject, pause);
    }
    done
}
