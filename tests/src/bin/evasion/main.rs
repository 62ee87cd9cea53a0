//! The evasion suite: every way around a monitor, done by a process of its own, and what fimk told of it.
//!
//! One fimk serves all cases of a run. `evasion [WORDS…]` runs the cases whose name or technique has one of the words;
//! it needs root, the user fimk and the built programs: `scripts/evasion` sees to that. Prints what libtest prints, then the
//! table that `scripts/evasion` keeps. `evasion --reasons` prints why a source does not tell everything at once.

mod case;
mod cases;
mod helper;
mod reasons;
mod run;
mod verdict;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    if env::args().skip(1).eq(["--reasons"]) {
        print!("{}", reasons::table());
        return ExitCode::SUCCESS;
    }
    // A guest gives all its programs the same words: those with colons name tests of another.
    let words: Vec<String> = env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--") && !word.contains("::"))
        .collect();
    let chosen: Vec<_> = cases::all()
        .into_iter()
        .filter(|it| {
            words.is_empty()
                || words
                    .iter()
                    .any(|word| it.technique == word || it.name.contains(word.as_str()))
        })
        .collect();
    if run::run(&chosen) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
