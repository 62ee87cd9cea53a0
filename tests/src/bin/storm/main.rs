//! Storms: several processes change files as chance wants, while fimk is killed, stopped and starved; afterwards what
//! it told and what it keeps is held against what really happened.
//!
//! `storm [rounds=N] [seed=N] [seconds=N] [mode=foreground|service]`: needs root, the user fimk and the built programs.
//! A round is repeated by its seed and mode: what is done is the same, the moments at which it hits are not quite.

mod chance;
mod deed;
mod round;
mod saboteur;
mod state;
mod subject;
mod verdict;
mod writer;

use std::{env, path::Path, process::ExitCode, time::Duration};

use fimk_tests::deadline;

/// What the command line says.
struct Words {
    rounds: u64,
    seed: u64,
    seconds: u64,
    mode: Option<String>,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [word, home, hot, seed, milliseconds] = words.as_slice()
        && word == round::WRITER
    {
        let number = |text: &String| text.parse().expect("the harness wrote it");
        let time = Duration::from_millis(number(milliseconds));
        writer::run(Path::new(home), Path::new(hot), number(seed), time);
        return ExitCode::SUCCESS;
    }
    let words = Words::new(&words);
    if run(&words) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
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
        Self {
            rounds: number("rounds").unwrap_or(2),
            seed: number("seed").unwrap_or(1),
            seconds: number("seconds").unwrap_or(5),
            mode: value("mode").map(str::to_owned),
        }
    }
}

/// An emulated guest is given more time for everything: by as much it gets more of a storm.
fn scale() -> u32 {
    u32::try_from(deadline().as_secs() / 20).unwrap_or(1).max(1)
}

fn run(words: &Words) -> bool {
    println!("\nrunning {} tests", words.rounds);
    let mut failed = 0;
    for seed in words.seed..words.seed + words.rounds {
        let service = words
            .mode
            .as_ref()
            .map_or(seed.is_multiple_of(2), |mode| mode == "service");
        let mode = if service { "service" } else { "foreground" };
        let outcome = round::run(seed, service, words.seconds, scale());
        let verdict = if outcome.wrong.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        println!(
            "test storm::{mode}_with_seed_{seed} ... {verdict}, {}",
            outcome.summary
        );
        if !outcome.wrong.is_empty() {
            failed += 1;
            println!("{}", outcome.account());
            println!(
                "    again: storm rounds=1 seed={seed} seconds={} mode={mode}",
                words.seconds
            );
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out",
        words.rounds - failed
    );
    failed == 0
}
