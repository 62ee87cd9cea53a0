//! Brings up the best source that this kernel gives.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use fimk_wire::plan::{PROGRAMS, Served, Verdict};
use fimk_wire::{HOOK_NAMES, REASON_SENTENCES, raw};
use libbpf_rs::Link;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, FuncProto};
use nix::sys::fanotify::Fanotify;

use crate::adopt;
use crate::coverage;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::fanotify;
use crate::flags::source_name;
use crate::holders::Holders;
use crate::log;
use crate::memory;
use crate::objects::{self, Copied, File, Process, Size};
use crate::pins::{LINK, Pins};
use crate::plan::{self, Plan, Refusal};
use crate::requests::Wanted;
use crate::selftest::{self, Tested};

/// What serves.
pub struct Source {
    /// `FIMK_SOURCE_*`.
    pub number: u32,
    /// The kinds of attempts that it was asked for: `FIMK_WATCH_*`.
    pub kinds: u32,
    /// Why not a better one.
    pub refusal: Refusal,
    /// How each operation is served.
    pub plan: Plan,
    /// Why an operation could not be tested, by its row.
    pub untested: BTreeMap<usize, String>,
    /// Who runs; absent where BPF does not load at all.
    pub process: Option<Process>,
    /// What happens to files; only with bpf.
    pub file: Option<File>,
    /// The second copy of its programs; only with strict coverage.
    pub second: Option<File>,
    /// `FIMK_COVERAGE_*`; only with bpf.
    pub coverage: u32,
    /// Whether this kernel may preempt a program.
    pub preempts: bool,
    /// The group and its flags; only with fanotify.
    pub fanotify: Option<(Fanotify, u32)>,
    /// Who holds a file; absent where this kernel has none of the iterators.
    pub holders: Option<Holders>,
    /// The arming program, still attached from the self-test.
    pub arming: Option<Link>,
    /// What holds the programs in place.
    pub links: Vec<Link>,
    /// The programs of those links that were taken over: not the ones that we loaded, but like them.
    pub adopted: Vec<(String, OwnedFd)>,
    /// Kernel memory of all maps.
    pub map_bytes: u64,
    /// See `fimk_ready.load`.
    pub load: u32,
}

impl Source {
    fn new(wanted: u32) -> Self {
        Self {
            number: raw::FIMK_SOURCE_PERIODIC,
            kinds: 0,
            refusal: plan::reason(wanted, None),
            plan: [0; raw::FIMK_HOOKS_MAX as usize],
            untested: BTreeMap::new(),
            process: None,
            file: None,
            second: None,
            coverage: raw::FIMK_COVERAGE_AUTO,
            preempts: false,
            fanotify: None,
            holders: None,
            arming: None,
            links: Vec::new(),
            adopted: Vec::new(),
            map_bytes: 0,
            load: 0,
        }
    }

    /// How many objects can be on the watch; 0 where no map limits it.
    pub fn objects(&self) -> u32 {
        self.file.as_ref().map_or(0, |file| file.watch.capacity())
    }

    /// While files may still be opened: what the kernel says of the maps once they are made.
    fn weigh(&mut self) {
        let process = self.process.as_ref().map(Process::object);
        let file = self.file.as_ref().map(File::object);
        let second = self.second.as_ref().map(File::object);
        let objects = || [process, second, file].into_iter().flatten();
        self.map_bytes = memory::of_maps(objects());
        self.load = memory::load_of(objects());
    }
}

/// Loads, tests, attaches and pins the source that was asked for.
pub fn bring_up(wanted: &Wanted, pins: &mut Pins) -> Result<Source> {
    objects::keep_messages();
    let mut source = Source {
        kinds: wanted.kinds,
        coverage: wanted.coverage,
        ..Source::new(wanted.source)
    };
    let Wanted {
        source: wanted,
        objects,
        ..
    } = *wanted;
    let mut takeover = adopt::begin(pins, objects)?;
    if wanted != raw::FIMK_SOURCE_PERIODIC {
        bring_up_process(&mut source, Some(pins))?;
    }
    let mut refusal = None;
    for &candidate in plan::candidates(wanted) {
        let attempt = match candidate {
            raw::FIMK_SOURCE_BPF => {
                let found = takeover.found;
                bring_up_file(&mut source, pins, found, Size::Objects(objects))?
            }
            raw::FIMK_SOURCE_FANOTIFY => open_fanotify(&mut source),
            _ => Ok(()),
        };
        match attempt {
            Ok(()) => {
                source.number = candidate;
                source.refusal = plan::reason(wanted, refusal);
                if source.file.is_none() {
                    source.coverage = raw::FIMK_COVERAGE_AUTO;
                }
                bring_up_holders(&mut source);
                if let (Some(process), Some(file)) = (&source.process, &mut source.file) {
                    takeover.carry(process, file)?;
                }
                takeover.finish(pins, source.plan, source.coverage)?;
                source.weigh();
                return Ok(source);
            }
            Err(cause) => refusal = Some(cause),
        }
    }
    Err(none_serves(wanted, refusal))
}

/// What [`bring_up`] would do, with everything gone again when the result is dropped: nothing is pinned, and no
/// file program is attached when this returns.
pub fn examine() -> Result<Source> {
    objects::keep_messages();
    let mut source = Source {
        kinds: raw::FIMK_WATCH_KINDS,
        ..Source::new(raw::FIMK_SOURCE_AUTO)
    };
    bring_up_process(&mut source, None)?;
    coverage::choose(&mut source);
    let refusal = match test_programs(&mut source, Size::Trial) {
        Ok(tested) => {
            tested.choices.write(&mut source.plan);
            source.number = raw::FIMK_SOURCE_BPF;
            bring_up_holders(&mut source);
            return Ok(source);
        }
        Err(refusal) => refusal,
    };
    source.refusal = match open_fanotify(&mut source) {
        Ok(()) => {
            source.number = raw::FIMK_SOURCE_FANOTIFY;
            refusal
        }
        Err(refusal) => refusal,
    };
    bring_up_holders(&mut source);
    Ok(source)
}

/// Without it no program of ours can be loaded.
const BTF: &str = "/sys/kernel/btf/vmlinux";

fn has_btf() -> bool {
    std::path::Path::new(BTF).exists()
}

fn bring_up_process(source: &mut Source, mut pins: Option<&mut Pins>) -> Result<()> {
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
fn bring_up_holders(source: &mut Source) {
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

/// Loads, attaches and tests the file programs that serve on this kernel.
fn test_programs(source: &mut Source, size: Size) -> std::result::Result<Tested, Refusal> {
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
fn bring_up_file(
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

/// The maps of the process object that are pinned.
pub const PROCESS_MAPS: [&str; 4] = ["exits", "process_counters", "actors", "pids"];

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

fn open_fanotify(source: &mut Source) -> std::result::Result<(), Refusal> {
    match fanotify::open() {
        Ok(group) => {
            source.fanotify = Some(group);
            Ok(())
        }
        Err(cause) => Err(Refusal {
            reason: raw::FIMK_REASON_FANOTIFY_REFUSED,
            error: cause as i32,
        }),
    }
}

/// Whether it is attached: a hook that the kernel refuses is told and left out; the plan says so to everybody.
fn attach_and_pin(
    source: &mut Source,
    object: &libbpf_rs::Object,
    hook: u32,
    mut pins: Option<&mut Pins>,
    may_adopt: bool,
) -> Result<bool> {
    let name = HOOK_NAMES[hook as usize];
    if let Some(pins) = pins.as_deref_mut().filter(|_| may_adopt)
        && let Ok(program) = objects::program(object, hook)
        && let Some((link, theirs)) = adopt::link(pins, name, program.as_fd())
    {
        source.links.push(link);
        source.adopted.push((name.to_owned(), theirs));
        return Ok(true);
    }
    match objects::attach(object, hook) {
        Ok(mut link) => {
            if let Some(pins) = pins {
                pins.pin(&format!("{LINK}{name}"), |path| link.pin(path))?;
            }
            source.links.push(link);
            Ok(true)
        }
        Err(cause) => {
            log::line(format_args!("the hook {name} is not served: {cause:#}"));
            Ok(false)
        }
    }
}

fn pin_map(
    pins: &mut Pins,
    name: &str,
    map: libbpf_rs::Result<libbpf_rs::MapHandle>,
) -> Result<()> {
    let mut map = map.map_err(|cause| Error::internal(name, cause))?;
    pins.pin(name, |path| map.pin(path))
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

fn none_serves(wanted: u32, refusal: Option<Refusal>) -> Error {
    let refusal = plan::reason(wanted, refusal);
    let why = REASON_SENTENCES
        .get(refusal.reason as usize)
        .copied()
        .unwrap_or_default();
    let errno = match refusal.error {
        0 => String::new(),
        error => format!(" ({})", std::io::Error::from_raw_os_error(error)),
    };
    Error::new(
        Status::Kernel,
        format!(
            "the source {} cannot serve: {why}{errno}; use --source auto",
            source_name(wanted)
        ),
    )
}
