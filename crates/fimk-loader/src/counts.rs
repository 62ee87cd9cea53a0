//! The counters of both objects, summed.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use fimk_wire::raw;
use libbpf_rs::{MapCore, MapFlags, MapHandle, Result};
use zerocopy::FromBytes;

use crate::log;
use crate::plan::PROCESS_HOOKS;
use crate::system;

/// Sums by hook and cause.
pub type Sums = [raw::fimk_counters; raw::FIMK_HOOKS_MAX as usize];

/// Where the counters lie, and the programs whose skipped runs count.
#[derive(Default)]
pub struct Counts {
    maps: Vec<MapHandle>,
    functions: Vec<Function>,
    said: Option<Instant>,
}

/// A kernel function with the programs on it, each with how often it was known to be skipped.
struct Function {
    name: String,
    programs: Vec<(OwnedFd, u64)>,
    /// Calls that no program of them may have seen.
    missed: u64,
    /// Of them, those that were logged.
    said: u64,
}

/// Between two logs of skipped programs: on a busy preemptible kernel there are always some.
const SAY_EVERY: Duration = Duration::from_secs(60);

impl Counts {
    /// Adds an object's counters.
    pub fn add(&mut self, map: MapHandle) {
        self.maps.push(map);
    }

    /// Adds programs, each by its function; in the place of one that was taken over that one, which is attached.
    pub fn watch(
        &mut self,
        programs: Vec<(String, OwnedFd)>,
        adopted: &mut Vec<(String, OwnedFd)>,
    ) {
        for (name, own) in programs {
            let theirs = adopted.extract_if(.., |(function, _)| *function == name);
            let program = theirs.last().map_or(own, |(_, program)| program);
            self.functions.push(Function {
                name,
                programs: vec![(program, 0)],
                missed: 0,
                said: 0,
            });
        }
    }

    /// Adds a second program for each of these functions.
    pub fn watch_again(&mut self, programs: Vec<(String, OwnedFd)>) {
        for (name, program) in programs {
            if let Some(function) = self.functions.iter_mut().find(|it| it.name == name) {
                function.programs.push((program, 0));
            }
        }
    }

    /// Over all maps and CPUs.
    pub fn sums(&self) -> Result<Sums> {
        let mut sums = [raw::fimk_counters {
            of: [0; raw::FIMK_COUNTS as usize],
        }; raw::FIMK_HOOKS_MAX as usize];
        for map in &self.maps {
            for hook in 0..raw::FIMK_HOOKS {
                let values = map.lookup_percpu(&hook.to_ne_bytes(), MapFlags::ANY)?;
                for value in values.into_iter().flatten() {
                    if let Ok(counters) = raw::fimk_counters::read_from_bytes(&value) {
                        add(&mut sums[hook as usize], &counters);
                    }
                }
            }
        }
        Ok(sums)
    }

    /// Calls that every program on their function may have been skipped for, all functions together, and logs them.
    pub fn skipped(&mut self) -> u64 {
        let sum = self.functions.iter_mut().map(Function::look).sum();
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            for function in &mut self.functions {
                if function.say() {
                    self.said = Some(Instant::now());
                }
            }
        }
        sum
    }
}

impl Function {
    /// What grew for all of them since the last look can have been the same calls; how often it was, nobody says.
    fn look(&mut self) -> u64 {
        let grown = self.programs.iter_mut().map(|(program, known)| {
            let skipped = system::recursion_misses(program);
            skipped - std::mem::replace(known, skipped).min(skipped)
        });
        self.missed += grown.min().unwrap_or(0);
        self.missed
    }

    fn say(&mut self) -> bool {
        let grown = self.missed - self.said;
        if grown > 0 {
            log::line(format_args!(
                "the kernel skipped the program {} {grown} times: what it did not see is looked for",
                self.name
            ));
        }
        self.said = self.missed;
        grown > 0
    }
}

/// Sets everything in one map to 0.
pub fn clear(map: &MapHandle) -> Result<()> {
    let zeros = vec![vec![0; size_of::<raw::fimk_counters>()]; libbpf_rs::num_possible_cpus()?];
    (0..raw::FIMK_HOOKS)
        .try_for_each(|hook| map.update_percpu(&hook.to_ne_bytes(), &zeros, MapFlags::ANY))
}

/// How often the program of a hook saw a watched object touched: in one map, over all CPUs.
pub fn seen(map: &MapHandle, hook: u32) -> u64 {
    let values = map.lookup_percpu(&hook.to_ne_bytes(), MapFlags::ANY);
    let values = values.ok().flatten().unwrap_or_default();
    values
        .iter()
        .filter_map(|value| raw::fimk_counters::read_from_bytes(value).ok())
        .map(|counters| counters.of[raw::FIMK_COUNT_SEEN as usize])
        .sum()
}

/// A cause (`FIMK_COUNT_*`) over the hooks of the file object: those of processes count something else.
pub fn counted(sums: &Sums, cause: u32) -> u64 {
    let hooks = sums.iter().zip(0u32..);
    hooks
        .filter(|(_, hook)| !PROCESS_HOOKS.contains(hook))
        .map(|(sums, _)| sums.of[cause as usize])
        .sum()
}

fn add(sum: &mut raw::fimk_counters, counters: &raw::fimk_counters) {
    for (sum, count) in sum.of.iter_mut().zip(counters.of) {
        *sum = sum.saturating_add(count);
    }
}
