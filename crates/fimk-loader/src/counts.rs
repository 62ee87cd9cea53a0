//! The counters of both objects, summed.

use std::os::fd::OwnedFd;

use fimk_wire::raw;
use libbpf_rs::{MapCore, MapFlags, MapHandle, Result};
use zerocopy::FromBytes;

use crate::system;

/// Sums by hook and cause.
pub type Sums = [raw::fimk_counters; raw::FIMK_HOOKS_MAX as usize];

/// Where the counters lie, and the programs whose skipped runs count.
#[derive(Default)]
pub struct Counts {
    maps: Vec<MapHandle>,
    programs: Vec<OwnedFd>,
}

impl Counts {
    /// Adds an object's counters and programs.
    pub fn add(&mut self, map: MapHandle, programs: Vec<OwnedFd>) {
        self.maps.push(map);
        self.programs.extend(programs);
    }

    /// Adds programs by themselves.
    pub fn add_programs(&mut self, programs: &mut Vec<OwnedFd>) {
        self.programs.append(programs);
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

    /// Runs that the recursion guard refused.
    pub fn skipped(&self) -> u64 {
        self.programs.iter().map(system::recursion_misses).sum()
    }
}

/// A cause (`FIMK_COUNT_*`) over the hooks of the file object: those of processes count something else.
pub fn counted(sums: &Sums, cause: u32) -> u64 {
    let hooks = &sums[..raw::FIMK_HOOK_EXEC as usize];
    hooks.iter().map(|hook| hook.of[cause as usize]).sum()
}

fn add(sum: &mut raw::fimk_counters, counters: &raw::fimk_counters) {
    for (sum, count) in sum.of.iter_mut().zip(counters.of) {
        *sum = sum.saturating_add(count);
    }
}
