//! The start-up self-test: performs every operation in a private directory, and sees whether the program that
//! is to serve it counts it. A function may be attached and yet never run, where the compiler has inlined it.
//!
//! It works on programs and maps of its own, which are gone when it ends: no analyzer meets its objects, its
//! records or its counts.

mod operations;
mod processes;
mod room;

use std::collections::{BTreeMap, BTreeSet};

use fimk_wire::plan::{PROGRAMS, ROWS, Row, Verdict};
use fimk_wire::{HOOK_NAMES, raw};
use libbpf_rs::{Link, MapHandle};

use crate::counts;
use crate::log;
use crate::objects::{self, File, Process, Size};
use crate::plan::{self, Choices, Lack};
use room::Room;

pub use processes::judge as judge_processes;

/// What was found.
#[derive(Default)]
pub struct Findings {
    /// Which program is to serve each row.
    pub choices: Choices,
    /// Why a row was not tested, by its place.
    pub untested: BTreeMap<usize, String>,
}

/// Finds out which of the `fitting` programs serve. The error is the kernel's refusal of all of them.
pub fn choose(process: &Process, fitting: &BTreeSet<u32>) -> libbpf_rs::Result<Findings> {
    let mut findings = Findings::default();
    for hook in (0..raw::FIMK_HOOKS).filter(|hook| !plan::PROCESS_HOOKS.contains(hook)) {
        if !fitting.contains(&hook) {
            findings.choices.exclude(hook, Lack::Absent);
        }
    }
    let file = load(process, fitting.clone(), &mut findings.choices)?;
    let counters = file.counters()?;
    let mut trial = Trial {
        file,
        counters,
        links: BTreeMap::new(),
    };
    trial.attach_chosen(&mut findings.choices);
    if trial.links.is_empty() {
        return Err(std::io::Error::from_raw_os_error(nix::libc::EPERM).into());
    }
    match Room::new(&mut trial.file) {
        Ok(room) => trial.test_all(&room, &mut findings),
        Err(cause) => {
            log::line(format_args!(
                "the self-test has no place to work in: {cause}; the hooks are attached untested"
            ));
            for (place, _) in plan::rows(false) {
                findings.untested.insert(place, cause.to_string());
            }
        }
    }
    Ok(findings)
}

/// Loads the file object, leaving out each program that the verifier refuses.
fn load(
    process: &Process,
    mut wanted: BTreeSet<u32>,
    choices: &mut Choices,
) -> libbpf_rs::Result<File> {
    loop {
        let cause = match File::load(process, &wanted, Size::Trial) {
            Ok(file) => return Ok(file),
            Err(cause) => cause,
        };
        let refusal = plan::Refusal::of_trampolines(objects::errno_of(&cause));
        if refusal.reason == raw::FIMK_REASON_TRAMPOLINES_REFUSED {
            return Err(cause);
        }
        let messages = objects::messages();
        let Some(hook) = objects::hook_blamed(&messages).filter(|hook| wanted.remove(hook)) else {
            log::line(format_args!(
                "the file programs cannot be loaded: {cause:#}\n{messages}"
            ));
            return Err(cause);
        };
        log::line(format_args!(
            "the program on {} is left out: the kernel does not accept it: {cause:#}\n{messages}",
            HOOK_NAMES[hook as usize]
        ));
        choices.exclude(hook, Lack::Refused);
    }
}

struct Trial {
    file: File,
    counters: MapHandle,
    links: BTreeMap<u32, Link>,
}

impl Trial {
    /// Until all programs that are to serve are attached; one that cannot be makes way for the next.
    fn attach_chosen(&mut self, choices: &mut Choices) {
        loop {
            let missing = choices
                .programs()
                .into_iter()
                .find(|hook| !self.links.contains_key(hook));
            let Some(hook) = missing else { return };
            match objects::attach(self.file.object(), hook) {
                Ok(link) => drop(self.links.insert(hook, link)),
                Err(cause) => {
                    log::line(format_args!(
                        "the hook {} is not served: {cause:#}",
                        HOOK_NAMES[hook as usize]
                    ));
                    choices.exclude(hook, Lack::Refused);
                }
            }
        }
    }

    fn test_all(&mut self, room: &Room, findings: &mut Findings) {
        for (place, row) in plan::rows(false) {
            if !row.untested.is_empty() {
                findings.untested.insert(place, row.untested.to_owned());
                continue;
            }
            // Each turn spends one of the row's programs.
            while let Some(hook) = findings.choices.serving(place) {
                let verdict = self.test(row, hook, room);
                if let Err(cause) = &verdict {
                    findings.untested.insert(place, cause.to_string());
                }
                let verdict = verdict.unwrap_or(Verdict::Untested);
                findings.choices.judge(place, hook, verdict);
                if verdict != Verdict::Unseen {
                    break;
                }
                let next = findings.choices.serving(place);
                say_unseen(row, hook, next);
                self.attach_chosen(&mut findings.choices);
                if next.is_none_or(|next| ROWS[place].programs.first() == Some(&next)) {
                    break;
                }
            }
        }
    }

    /// An error: the operation cannot be performed here.
    fn test(&self, row: &Row, hook: u32, room: &Room) -> std::io::Result<Verdict> {
        let before = std::cell::Cell::new(0);
        let done = operations::perform(row.operation, room, &|| {
            before.set(counts::seen(&self.counters, hook));
        });
        if counts::seen(&self.counters, hook) > before.get() {
            return Ok(Verdict::Seen);
        }
        done.map(|()| Verdict::Unseen)
    }
}

fn say_unseen(row: &Row, hook: u32, next: Option<u32>) {
    let then = match next.filter(|&next| next != hook && row.programs.first() != Some(&next)) {
        Some(next) => format!("{} is tried", PROGRAMS[next as usize].words()),
        None => "nothing else is left to try; it stays attached".to_owned(),
    };
    log::line(format_args!(
        "self-test: {} does not see {}: {then}",
        PROGRAMS[hook as usize].words(),
        row.operation
    ));
}
