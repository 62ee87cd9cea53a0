//! Storms: several processes change files as chance wants, while fimk is killed, stopped and starved, and its disk is full; afterwards what
//! it told and what it keeps is held against what really happened.
//!
//! `storm [rounds=N | minutes=N] [seed=N] [seconds=N] [mode=foreground|service] [keep=DIRECTORY]`, or
//! `storm judge=DIRECTORY/SEED` for one that was kept: needs root, the user fimk and the built
//! programs. Without a mode, odd seeds are in the foreground and even ones two services; without words, two rounds and the
//! replacement of one build by another. A round is repeated by its seed and mode: what is done is the same, the moments at
//! which it hits are not quite.

mod again;
mod chance;
mod deed;
mod replace;
mod round;
mod saboteur;
mod state;
mod subject;
mod verdict;
mod writer;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use fimk_tests::deadline;

use round::Outcome;

/// What the command line says.
struct Words {
    rounds: u64,
    /// Rounds go on for so long, however many there are.
    time: Option<Duration>,
    seed: u64,
    seconds: u64,
    mode: Option<String>,
    /// Where the deeds and events of rounds that fail are kept.
    keep: Option<PathBuf>,
    /// Nothing was asked for: the short form.
    all: bool,
}

/// What came of the tests so far.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if play_a_part(&words) {
        return ExitCode::SUCCESS;
    }
    if let Some(base) = words.iter().find_map(|word| word.strip_prefix("judge=")) {
        return ExitCode::from(u8::from(!again::judge(Path::new(base))));
    }
    let tally = run(&Words::new(&words));
    let verdict = if tally.failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out",
        tally.passed, tally.failed
    );
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether this is a process of a round, which is over then.
fn play_a_part(words: &[String]) -> bool {
    let number = |text: &String| text.parse().expect("the harness wrote it");
    match words {
        [word, home, hot, seed, milliseconds] if word == round::WRITER => {
            let time = Duration::from_millis(number(milliseconds));
            writer::run(Path::new(home), Path::new(hot), number(seed), time);
            true
        }
        [word, directory] if word == replace::COUNTER => {
            replace::count(Path::new(directory));
            true
        }
        _ => false,
    }
}

impl Words {
    /// A guest gives all its programs the same words: those that are none of ours are passed over.
    fn new(words: &[String]) -> Self {
        let value = |name: &str| {
            words
                .iter()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let number = |name: &str| value(name).and_then(|text| text.parse().ok());
        let minutes: Option<u64> = number("minutes");
        Self {
            rounds: number("rounds").unwrap_or(2),
            time: minutes.map(|minutes| Duration::from_secs(minutes * 60)),
            seed: number("seed").unwrap_or(1),
            seconds: number("seconds").unwrap_or(5),
            mode: value("mode").map(str::to_owned),
            keep: value("keep").map(PathBuf::from),
            all: number("rounds").is_none() && minutes.is_none() && value("mode").is_none(),
        }
    }

    fn is_service(&self, seed: u64) -> bool {
        match &self.mode {
            Some(mode) => mode == "service",
            None => seed.is_multiple_of(2),
        }
    }
}

/// An emulated guest is given more time for everything: by as much it gets more of a storm.
pub fn scale() -> u32 {
    u32::try_from(deadline().as_secs() / 20).unwrap_or(1).max(1)
}

fn run(words: &Words) -> Tally {
    let begun = Instant::now();
    let mut tally = Tally::default();
    match words.time {
        Some(time) => println!("\nrunning tests for {} s", time.as_secs()),
        None => println!("\nrunning {} tests", words.rounds + u64::from(words.all)),
    }
    let goes_on = |round: u64| match words.time {
        Some(time) => begun.elapsed() < time,
        None => round < words.rounds,
    };
    for seed in (0..)
        .take_while(|round| goes_on(*round))
        .map(|round| words.seed + round)
    {
        let service = words.is_service(seed);
        let mode = if service { "service" } else { "foreground" };
        let outcome = round::run(seed, service, words.seconds, scale());
        tally.note(&format!("{mode}_with_seed_{seed}"), &outcome);
        if !outcome.wrong.is_empty() {
            let seconds = words.seconds;
            println!("    again: storm rounds=1 seed={seed} seconds={seconds} mode={mode}");
            if let Some(directory) = &words.keep {
                keep(directory, seed, &outcome);
            }
        }
    }
    if words.all {
        let outcome = replace::run();
        tally.note("another_build_takes_over_and_no_change_is_missed", &outcome);
    }
    tally
}

/// Keeps all that was done and all that was told.
fn keep(directory: &Path, seed: u64, outcome: &Outcome) {
    for (what, lines) in [("deeds", &outcome.deeds), ("events", &outcome.events)] {
        let path = directory.join(format!("{seed}.{what}"));
        if let Err(error) = fs::write(&path, lines.join("\n") + "\n") {
            println!("    {} is not kept: {error}", path.display());
        }
    }
}

impl Tally {
    /// As libtest would say it.
    fn note(&mut self, name: &str, outcome: &Outcome) {
        let is_well = outcome.wrong.is_empty();
        let verdict = if is_well { "ok" } else { "FAILED" };
        println!("test storm::{name} ... {verdict}, {}", outcome.summary);
        if is_well {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("{}", outcome.account());
        }
    }
}
