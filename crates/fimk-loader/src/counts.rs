//! The counters of both objects, summed.

use std::os::fd::OwnedFd;

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
    programs: Vec<Watched>,
}

/// A program and how often it was known to be skipped.
struct Watched {
    name: String,
    program: OwnedFd,
    skipped: u64,
}

impl Counts {
    /// Adds an object's counters and programs.
    pub fn add(&mut self, map: MapHandle, programs: Vec<(String, OwnedFd)>) {
        self.maps.push(map);
        self.add_programs(programs);
    }

    /// Adds programs by themselves.
    pub fn add_programs(&mut self, programs: impl IntoIterator<Item = (String, OwnedFd)>) {
        let watched = programs.into_iter().map(|(name, program)| Watched {
            name,
            program,
            skipped: 0,
        });
        self.programs.extend(watched);
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

    /// Runs that the recursion guard refused, all programs together; each program's growth is logged.
    pub fn skipped(&mut self) -> u64 {
        let mut sum: u64 = 0;
        for watched in &mut self.programs {
            let skipped = system::recursion_misses(&watched.program);
            if skipped > watched.skipped {
                log::line(format_args!(
                    "the kernel skipped the program {} {} times: what it did not see is looked for",
                    watched.name,
                    skipped - watched.skipped
                ));
                watched.skipped = skipped;
            }
            sum = sum.saturating_add(skipped);
        }
        sum
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
