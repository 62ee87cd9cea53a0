//! Brings up who runs, and who holds what.

use fimk_wire::plan::{Served, Verdict};
use fimk_wire::raw;

use super::{BTF, Source, attach_and_pin, has_btf, pin_map};
use crate::error::Result;
use crate::holders::Holders;
use crate::log;
use crate::objects::{self, Process};
use crate::pins::Pins;
use crate::plan;
use crate::selftest;

pub(super) fn bring_up_process(source: &mut Source, mut pins: Option<&mut Pins>) -> Result<()> {
    if !has_btf() {
        log::line(format_args!(
            "events will not say who: this kernel has no BTF ({BTF}); boot one built with CONFIG_DEBUG_INFO_BTF"
        ));
        plan::fill(&mut source.plan, true, 0, Served::Refused);
        return Ok(());
    }
    let process = match Process::load(pins.as_deref_mut()) {
        Ok(process) => process,
        Err(cause) => {
            log::line(format_args!(
                "events will not say who: the process programs cannot be loaded: {cause:#}\n{}",
                objects::messages()
            ));
            plan::fill(&mut source.plan, true, 0, Served::Refused);
            return Ok(());
        }
    };
    if let Some(pins) = pins.as_deref_mut() {
        for (name, map) in [
            ("exits", process.exits()),
            ("process_counters", process.counters()),
        ] {
            pin_map(pins, name, map)?;
        }
        pin_map(pins, "actors", process.actors.handle())?;
        pin_map(pins, "pids", process.pids.handle())?;
    }
    plan::fill(&mut source.plan, true, 0, Served::Refused);
    for (place, row) in plan::rows(true) {
        for &hook in row.programs {
            let served = match hook {
                raw::FIMK_HOOK_TASKS => process.gather_running().is_ok(),
                _ => attach_and_pin(source, process.object(), hook, pins.as_deref_mut(), true)?,
            };
            if served {
                source.plan[place] = Served::By(hook, Verdict::Untested).byte(row);
            }
        }
    }
    let untested = selftest::judge_processes(&process, &mut source.plan);
    source.untested.extend(untested);
    source.process = Some(process);
    Ok(())
}

/// Without it a change to what is held is still found, and nobody is named for it.
pub(super) fn bring_up_holders(source: &mut Source) {
    if source.number == raw::FIMK_SOURCE_PERIODIC || !has_btf() {
        return;
    }
    let holders = match Holders::load(source.file.as_ref()) {
        Ok(holders) => Some(holders),
        Err(cause) => {
            log::line(format_args!(
                "who holds a file cannot be told: {cause:#}\n{}",
                objects::messages()
            ));
            None
        }
    };
    for (place, row) in plan::holder_rows() {
        let serves = |holders: &&Holders| row.programs.iter().any(|&hook| holders.has(hook));
        source.plan[place] = match holders.as_ref().filter(serves) {
            Some(_) => Served::By(row.programs[0], Verdict::Untested).byte(row),
            None => Served::Absent.byte(row),
        };
        source.untested.insert(place, row.untested.to_owned());
    }
    source.holders = holders;
}

/// The maps of the process object that are pinned.
pub const PROCESS_MAPS: [&str; 4] = ["exits", "process_counters", "actors", "pids"];
