//! Brings up what happens to files: the programs of a loader before us, or our own once they are tested.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use fimk_wire::plan::{PROGRAMS, Served, Verdict};
use fimk_wire::{HOOK_NAMES, raw};
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, FuncProto};

use super::{Source, attach_and_pin, has_btf, has_hosts_pids, pin_map};
use crate::adopt;
use crate::coverage;
use crate::error::{Error, Result};
use crate::log;
use crate::objects::{self, Copied, File, Size};
use crate::pins::{LINK, Pins};
use crate::plan::{self, Plan, Refusal};
use crate::selftest::{self, Tested};

/// Loads, attaches and tests the file programs that serve on this kernel.
pub(super) fn test_programs(
    source: &mut Source,
    size: Size,
) -> std::result::Result<Tested, Refusal> {
    let refused = |reason| Refusal { reason, error: 0 };
    plan::fill(&mut source.plan, false, source.kinds, Served::Refused);
    let btf = Some(())
        .filter(|()| has_btf())
        .and_then(|()| Btf::from_vmlinux().ok())
        .ok_or(refused(raw::FIMK_REASON_NO_BTF))?;
    let Some(process) = &source.process else {
        return Err(refused(raw::FIMK_REASON_LOAD_FAILED));
    };
    let parameters = parameters(&btf);
    let fitting: BTreeSet<u32> = (0..raw::FIMK_HOOKS)
        .filter(|hook| !plan::PROCESS_HOOKS.contains(hook))
        .filter(|hook| plan::fits(*hook, parameters.get(hook).copied()))
        .collect();
    let copied = coverage::first_copy(source.coverage);
    let tested = selftest::run(process, &fitting, source.kinds, size, copied)
        .map_err(|cause| Refusal::of_trampolines(objects::errno_of(&cause)))?;
    // What walks and what writes is told to the programs by a number, and neither would be known.
    if !has_hosts_pids() {
        return Err(refused(raw::FIMK_REASON_PID_NAMESPACE));
    }
    source.untested.extend(tested.untested.clone());
    Ok(tested)
}

/// Takes over the file programs that a loader before us attached and tested, which is what `found` says. What it
/// says and is not there any more is attached anew; attempts are adapted to what is asked for now. False where there are
/// none, or none that can be used. Programs of another coverage are replaced on the same maps.
fn adopt_file(
    source: &mut Source,
    pins: &mut Pins,
    (found, coverage): (&Plan, u32),
    size: Size,
) -> Result<bool> {
    let mut there = adopt::hooks(pins);
    let parameters = Btf::from_vmlinux().map_or_else(|_| BTreeMap::new(), |btf| parameters(&btf));
    let able = |hook| plan::fits(hook, parameters.get(&hook).copied());
    let served: BTreeSet<u32> = plan::file_programs(found).collect();
    let found = plan::adapted(found, source.kinds, able);
    let wanted: BTreeSet<u32> = plan::file_programs(&found).collect();
    there.retain(|hook| {
        let unasked = plan::is_of_attempts(*hook) && !wanted.contains(hook);
        !plan::PROCESS_HOOKS.contains(hook) && !unasked
    });
    // Asked for only now: nobody has removed these.
    there.extend(&wanted - &served);
    let mut hooks = &there | &wanted;
    let Some(process) = source.process.as_ref().filter(|_| !hooks.is_empty()) else {
        return Ok(false);
    };
    // It is never pinned.
    hooks.insert(raw::FIMK_HOOK_GETATTR);
    let copied = coverage::first_copy(source.coverage);
    let file = match File::load_on(process, &hooks, size, copied, pins) {
        Ok(file) => file,
        Err(cause) => {
            log::line(format_args!(
                "the file programs of the loader before cannot be taken over, and are replaced: {cause:#}\n{}",
                objects::messages()
            ));
            for name in FILE_MAPS {
                pins.give_up(name);
            }
            return Ok(false);
        }
    };
    hooks.remove(&raw::FIMK_HOOK_GETATTR);
    let mut lost = BTreeSet::new();
    let theirs = coverage == source.coverage;
    for &hook in &hooks {
        if !there.contains(&hook) {
            log::line(format_args!(
                "the hook {} is not attached any more: somebody has removed its pin; it is attached again, untested",
                HOOK_NAMES[hook as usize]
            ));
        }
        if !attach_and_pin(source, file.object(), hook, Some(pins), theirs)? {
            lost.insert(hook);
        }
    }
    for (place, row) in plan::rows(false) {
        source.plan[place] = match Served::of(row, found[place]) {
            Served::By(hook, _) if lost.contains(&hook) => Served::Refused.byte(row),
            Served::By(hook, _) if hooks.contains(&hook) && !there.contains(&hook) => {
                Served::By(hook, Verdict::Untested).byte(row)
            }
            _ => found[place],
        };
    }
    pin_file_maps(&file, pins)?;
    source.file = Some(file);
    if copied == Copied::First {
        coverage::attach_again(source, &hooks, pins)?;
    }
    Ok(true)
}

/// The outer error is ours and ends the start; the inner is the kernel's, and the next source is tried.
pub(super) fn bring_up_file(
    source: &mut Source,
    pins: &mut Pins,
    found: Option<(Plan, u32)>,
    size: Size,
) -> Result<std::result::Result<(), Refusal>> {
    coverage::choose(source);
    if let Some((plan, coverage)) = &found
        && pins.adopts
        && adopt_file(source, pins, (plan, *coverage), size)?
    {
        return Ok(Ok(()));
    }
    let mut tested = match test_programs(source, size) {
        Ok(tested) => tested,
        Err(refusal) => return Ok(Err(refusal)),
    };
    tested.forget().map_err(|cause| {
        Error::internal("the maps cannot be cleared after the self-test", cause)
    })?;
    tested.choices.write(&mut source.plan);
    // Attached only while the analyzer walks, but for kernels that attach it only once.
    source.arming = tested.links.remove(&raw::FIMK_HOOK_GETATTR);
    let hooks: BTreeSet<u32> = tested.links.keys().copied().collect();
    for (hook, mut link) in tested.links {
        let name = HOOK_NAMES[hook as usize];
        pins.pin(&format!("{LINK}{name}"), |path| link.pin(path))?;
        source.links.push(link);
    }
    pin_file_maps(&tested.file, pins)?;
    source.file = Some(tested.file);
    if source.coverage == raw::FIMK_COVERAGE_STRICT {
        coverage::attach_again(source, &hooks, pins)?;
    }
    Ok(Ok(()))
}

/// What [`pin_file_maps`] pins.
pub const FILE_MAPS: [&str; 8] = [
    "ring",
    "file_counters",
    "filter",
    "flagged",
    "watch",
    "dirty",
    "attempts",
    "taken",
];

fn pin_file_maps(file: &File, pins: &mut Pins) -> Result<()> {
    for (name, map) in [
        ("ring", file.ring()),
        ("file_counters", file.counters()),
        ("filter", file.variables()),
        ("flagged", file.flagged()),
    ] {
        pin_map(pins, name, map)?;
    }
    pin_map(pins, "watch", file.watch.handle())?;
    pin_map(pins, "dirty", file.dirty.handle())?;
    pin_map(pins, "attempts", file.attempts.handle())?;
    pin_map(pins, "taken", file.taken.handle())
}

/// How many parameters the kernel function of each hook has. In one pass: there are tens of thousands of functions, and
/// libbpf would look through all of them for each.
fn parameters(btf: &Btf<'_>) -> BTreeMap<u32, usize> {
    use libbpf_rs::btf::ReferencesType;
    let mut hooks: BTreeMap<&OsStr, Vec<u32>> = BTreeMap::new();
    for (program, hook) in PROGRAMS.iter().zip(0u32..) {
        let function = OsStr::new(program.function);
        hooks.entry(function).or_default().push(hook);
    }
    let mut found = BTreeMap::new();
    for function in btf.type_by_kind::<Func<'_>>() {
        if let Some(hooks) = function.name().and_then(|name| hooks.get(name))
            && let Ok(prototype) = FuncProto::try_from(function.referenced_type())
        {
            found.extend(hooks.iter().map(|&hook| (hook, prototype.len())));
        }
    }
    found
}
