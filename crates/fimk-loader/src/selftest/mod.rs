//! The start-up self-test: performs every operation in a private directory, and sees whether the program that
//! is to serve it counts it. A function may be attached and yet never run, where the compiler has inlined it.
//!
//! It works on the file object before anybody else does, in a directory that nobody else uses. Afterwards
//! [`Tested::forget`] takes out of the maps what it left: no analyzer meets its objects, records or counts.

mod attempts;
mod operations;
mod processes;
mod room;

use std::collections::{BTreeMap, BTreeSet};

use fimk_wire::plan::{PROGRAMS, Row, Verdict};
use fimk_wire::{HOOK_NAMES, raw};
use libbpf_rs::{Link, MapHandle, Result};

use crate::counts;
use crate::life;
use crate::log;
use crate::objects::{self, Copied, File, Process, Size};
use crate::plan::{self, Choices, Lack};
use room::Room;

pub use processes::judge as judge_processes;

/// How often an operation may go unseen before another program has to serve it: the kernel may skip a run, where
/// the same program runs already on that CPU.
const ATTEMPTS: u32 = 3;

/// The file object with the programs that serve, attached.
pub struct Tested {
    /// The object.
    pub file: File,
    /// Which program serves each row.
    pub choices: Choices,
    /// Why a row was not tested, by its place.
    pub untested: BTreeMap<usize, String>,
    /// What holds each program in place, the arming one included.
    pub links: BTreeMap<u32, Link>,
    counters: MapHandle,
}

/// Loads, attaches and tests the programs that serve, of those that fit this kernel, for changes and these kinds of
/// attempts. The error is the kernel's refusal of all of them.
pub fn run(
    process: &Process,
    fitting: &BTreeSet<u32>,
    kinds: u32,
    size: Size,
    copied: Copied,
) -> Result<Tested> {
    let mut choices = Choices::new(kinds);
    for hook in (0..raw::FIMK_HOOKS).filter(|hook| !plan::PROCESS_HOOKS.contains(hook)) {
        if !fitting.contains(&hook) {
            choices.exclude(hook, Lack::Absent);
        }
    }
    // Once more for each program that has to make way for one that was not loaded: seldom.
    loop {
        let mut tested = Tested::load(process, choices, size, copied)?;
        let wanted = tested.choices.programs();
        tested.attach(&wanted);
        if tested.links.is_empty() {
            return Err(std::io::Error::from_raw_os_error(nix::libc::EPERM).into());
        }
        if tested.choices.programs().is_subset(&wanted) {
            tested.test_all();
        }
        if tested.choices.programs().is_subset(&wanted) {
            return Ok(tested);
        }
        choices = tested.choices;
    }
}

impl Tested {
    /// Loads the file object, leaving out each program that the verifier refuses.
    fn load(process: &Process, mut choices: Choices, size: Size, copied: Copied) -> Result<Self> {
        loop {
            let wanted = choices.programs();
            let cause = match File::load(process, &wanted, size, copied) {
                Ok(file) => {
                    return Ok(Self {
                        counters: file.counters()?,
                        file,
                        choices,
                        untested: BTreeMap::new(),
                        links: BTreeMap::new(),
                    });
                }
                Err(cause) => cause,
            };
            let refusal = plan::Refusal::of_trampolines(objects::errno_of(&cause));
            let messages = objects::messages();
            // The verifier refuses single programs by the same numbers, but says why.
            let of_all = !objects::is_of_verifier(&messages);
            if of_all && refusal.reason == raw::FIMK_REASON_TRAMPOLINES_REFUSED {
                return Err(cause);
            }
            let blamed = objects::hook_blamed(&messages).filter(|hook| wanted.contains(hook));
            let Some(hook) = blamed else {
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

    fn attach(&mut self, wanted: &BTreeSet<u32>) {
        for &hook in wanted {
            match objects::attach(self.file.object(), hook) {
                Ok(link) => drop(self.links.insert(hook, link)),
                Err(cause) => {
                    log::line(format_args!(
                        "the hook {} is not served: {cause:#}",
                        HOOK_NAMES[hook as usize]
                    ));
                    self.choices.exclude(hook, Lack::Refused);
                }
            }
        }
    }

    fn test_all(&mut self) {
        let room = match Room::new(&mut self.file) {
            Ok(room) => room,
            Err(cause) => {
                log::line(format_args!(
                    "the self-test has no place to work in: {cause}; the hooks are attached untested"
                ));
                let all = plan::rows(false).map(|(place, _)| (place, cause.to_string()));
                self.untested.extend(all);
                return;
            }
        };
        for (place, row) in plan::rows(false) {
            if !plan::is_wanted(row, self.choices.kinds()) {
                continue;
            }
            if !row.untested.is_empty() {
                self.untested.insert(place, row.untested.to_owned());
            } else if let Some(hook) = self.choices.serving(place) {
                self.test(place, row, hook, &room);
            }
        }
        self.file.set_arming(0, 0, 0);
    }

    fn test(&mut self, place: usize, row: &Row, hook: u32, room: &Room) {
        let mut attempts = (0..ATTEMPTS).map(|_| self.attempt(row, hook, room));
        let answer = attempts.find(|verdict| !matches!(verdict, Ok(Verdict::Unseen)));
        let verdict = answer.unwrap_or(Ok(Verdict::Unseen));
        let verdict = verdict.unwrap_or_else(|cause| {
            self.untested.insert(place, cause.to_string());
            Verdict::Untested
        });
        self.choices.judge(place, hook, verdict);
        life::sign();
        if verdict == Verdict::Unseen {
            say_unseen(row, hook, self.choices.serving(place));
        }
    }

    /// Performs an operation once. The error says why it cannot be.
    fn attempt(&self, row: &Row, hook: u32, room: &Room) -> std::io::Result<Verdict> {
        let before = std::cell::Cell::new(0);
        let now = || before.set(counts::seen(&self.counters, hook));
        let done = match row.kind {
            0 => operations::perform(row.operation, room, &now),
            _ => attempts::perform(row.operation, room, &now),
        };
        if counts::seen(&self.counters, hook) > before.get() {
            return Ok(Verdict::Seen);
        }
        done.map(|()| Verdict::Unseen)
    }

    /// Empties what is empty in a new object: nothing but the test has filled it.
    pub fn forget(&mut self) -> Result<()> {
        self.file.forget_all()?;
        counts::clear(&self.counters)
    }
}

fn say_unseen(row: &Row, hook: u32, next: Option<u32>) {
    let then = match next.filter(|next| row.programs.first() != Some(next)) {
        Some(next) => format!("{} is tried", PROGRAMS[next as usize].words()),
        None => "nothing else is left to try; it stays attached".to_owned(),
    };
    log::line(format_args!(
        "self-test: {} does not see {}: {then}",
        PROGRAMS[hook as usize].words(),
        row.operation
    ));
}
