//! Brings up the best source that this kernel gives.

use std::os::fd::{AsFd, OwnedFd};

use fimk_wire::{HOOK_NAMES, REASON_SENTENCES, raw};
use libbpf_rs::Link;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, FuncProto};
use nix::sys::fanotify::Fanotify;

use crate::adopt;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::fanotify;
use crate::flags::source_name;
use crate::log;
use crate::objects::{self, File, Process};
use crate::pins::{LINK, Pins};
use crate::plan::{self, Plan, Refusal};

/// What serves.
pub struct Source {
    /// `FIMK_SOURCE_*`.
    pub number: u32,
    /// Why not a better one.
    pub refusal: Refusal,
    /// How each hook is served.
    pub plan: Plan,
    /// Who runs; absent where BPF does not load at all.
    pub process: Option<Process>,
    /// What happens to files; only with bpf.
    pub file: Option<File>,
    /// The group and its flags; only with fanotify.
    pub fanotify: Option<(Fanotify, u32)>,
    /// What holds the programs in place.
    links: Vec<Link>,
    /// The programs of those links that were taken over: not the ones that we loaded, but like them.
    pub adopted: Vec<OwnedFd>,
}

/// Loads, attaches and pins the source that was asked for.
pub fn bring_up(wanted: u32, pins: &mut Pins) -> Result<Source> {
    objects::keep_messages();
    let mut source = Source {
        number: raw::FIMK_SOURCE_PERIODIC,
        refusal: plan::reason(wanted, None),
        plan: [0; raw::FIMK_HOOKS_MAX as usize],
        process: None,
        file: None,
        fanotify: None,
        links: Vec::new(),
        adopted: Vec::new(),
    };
    let takeover = adopt::begin(pins)?;
    if wanted != raw::FIMK_SOURCE_PERIODIC {
        if has_btf() {
            bring_up_process(&mut source, pins)?;
        } else {
            log::line(format_args!(
                "events will not say who: this kernel has no BTF ({BTF}); boot one built with CONFIG_DEBUG_INFO_BTF"
            ));
            plan::fill(
                &mut source.plan,
                plan::PROCESS_HOOKS,
                raw::FIMK_PLAN_REFUSED,
            );
        }
    }
    let mut refusal = None;
    for &candidate in plan::candidates(wanted) {
        let attempt = match candidate {
            raw::FIMK_SOURCE_BPF => bring_up_file(&mut source, pins)?,
            raw::FIMK_SOURCE_FANOTIFY => open_fanotify(&mut source),
            _ => Ok(()),
        };
        match attempt {
            Ok(()) => {
                source.number = candidate;
                source.refusal = plan::reason(wanted, refusal);
                takeover.finish(pins)?;
                return Ok(source);
            }
            Err(cause) => refusal = Some(cause),
        }
    }
    Err(none_serves(wanted, refusal))
}

/// Without it no program of ours can be loaded.
const BTF: &str = "/sys/kernel/btf/vmlinux";

fn has_btf() -> bool {
    std::path::Path::new(BTF).exists()
}

fn bring_up_process(source: &mut Source, pins: &mut Pins) -> Result<()> {
    match Process::load(pins) {
        Ok(process) => {
            for (name, map) in [
                ("exits", process.exits()),
                ("process_counters", process.counters()),
            ] {
                pin_map(pins, name, map)?;
            }
            pin_map(pins, "actors", process.actors.handle())?;
            pin_map(pins, "pids", process.pids.handle())?;
            for hook in [
                raw::FIMK_HOOK_EXEC,
                raw::FIMK_HOOK_FORK,
                raw::FIMK_HOOK_EXIT,
            ] {
                attach_and_pin(source, process.object(), hook, pins)?;
            }
            source.plan[raw::FIMK_HOOK_TASKS as usize] = match process.gather_running() {
                Ok(()) => plan::served(raw::FIMK_HOOK_TASKS),
                Err(_) => refused(),
            };
            source.process = Some(process);
        }
        Err(cause) => {
            log::line(format_args!(
                "events will not say who: the process programs cannot be loaded: {cause:#}\n{}",
                objects::messages()
            ));
            plan::fill(
                &mut source.plan,
                plan::PROCESS_HOOKS,
                raw::FIMK_PLAN_REFUSED,
            );
        }
    }
    Ok(())
}

/// The outer error is ours and ends the start; the inner is the kernel's, and the next source is tried.
fn bring_up_file(source: &mut Source, pins: &mut Pins) -> Result<std::result::Result<(), Refusal>> {
    if !has_btf() {
        plan::fill(&mut source.plan, plan::FILE_HOOKS, raw::FIMK_PLAN_REFUSED);
        return Ok(Err(Refusal {
            reason: raw::FIMK_REASON_NO_BTF,
            error: 0,
        }));
    }
    let Some(process) = &source.process else {
        return Ok(Err(Refusal {
            reason: raw::FIMK_REASON_LOAD_FAILED,
            error: 0,
        }));
    };
    let Ok(btf) = Btf::from_vmlinux() else {
        return Ok(Err(Refusal {
            reason: raw::FIMK_REASON_NO_BTF,
            error: 0,
        }));
    };
    let fitting: Vec<u32> = plan::FILE_HOOKS
        .filter(|&hook| plan::fits(hook, parameters(&btf, hook)))
        .collect();
    let file = match File::load(process, pins, |hook| fitting.contains(&hook)) {
        Ok(file) => file,
        Err(cause) => return Ok(Err(refused_trampolines(source, &cause))),
    };
    plan::fill(&mut source.plan, plan::FILE_HOOKS, raw::FIMK_PLAN_ABSENT);
    let before = pins.len();
    for hook in fitting {
        if hook == raw::FIMK_HOOK_GETATTR {
            source.plan[hook as usize] = plan::served(hook);
            continue;
        }
        attach_and_pin(source, file.object(), hook, pins)?;
    }
    if pins.len() == before {
        let cause = libbpf_rs::Error::from(std::io::Error::from_raw_os_error(nix::libc::EPERM));
        return Ok(Err(refused_trampolines(source, &cause)));
    }
    pin_file_maps(&file, pins)?;
    source.file = Some(file);
    Ok(Ok(()))
}

fn pin_file_maps(file: &File, pins: &mut Pins) -> Result<()> {
    for (name, map) in [
        ("ring", file.ring()),
        ("file_counters", file.counters()),
        ("filter", file.variables()),
    ] {
        pin_map(pins, name, map)?;
    }
    pin_map(pins, "watch", file.watch.handle())?;
    pin_map(pins, "dirty", file.dirty.handle())?;
    pin_map(pins, "taken", file.taken.handle())
}

fn refused_trampolines(source: &mut Source, cause: &libbpf_rs::Error) -> Refusal {
    let refusal = Refusal::of_trampolines(objects::errno_of(cause));
    if refusal.reason == raw::FIMK_REASON_LOAD_FAILED {
        log::line(format_args!(
            "the file programs cannot be loaded: {cause:#}\n{}",
            objects::messages()
        ));
    }
    plan::fill(&mut source.plan, plan::FILE_HOOKS, raw::FIMK_PLAN_REFUSED);
    refusal
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

/// A hook that the kernel refuses is told and left out; the plan says so to everybody.
fn attach_and_pin(
    source: &mut Source,
    object: &libbpf_rs::Object,
    hook: u32,
    pins: &mut Pins,
) -> Result<()> {
    let name = HOOK_NAMES[hook as usize];
    if let Ok(program) = objects::program(object, hook)
        && let Some((link, theirs)) = adopt::link(pins, name, program.as_fd())
    {
        source.links.push(link);
        source.adopted.push(theirs);
        source.plan[hook as usize] = plan::served(hook);
        return Ok(());
    }
    match objects::attach(object, hook) {
        Ok(mut link) => {
            pins.pin(&format!("{LINK}{name}"), |path| link.pin(path))?;
            source.links.push(link);
            source.plan[hook as usize] = plan::served(hook);
        }
        Err(cause) => {
            log::line(format_args!("the hook {name} is not served: {cause:#}"));
            source.plan[hook as usize] = refused();
        }
    }
    Ok(())
}

fn pin_map(
    pins: &mut Pins,
    name: &str,
    map: libbpf_rs::Result<libbpf_rs::MapHandle>,
) -> Result<()> {
    let mut map = map.map_err(|cause| Error::internal(name, cause))?;
    pins.pin(name, |path| map.pin(path))
}

/// How many parameters the kernel function of a hook has.
fn parameters(btf: &Btf<'_>, hook: u32) -> Option<usize> {
    use libbpf_rs::btf::ReferencesType;
    let function = btf.type_by_name::<Func<'_>>(HOOK_NAMES[hook as usize])?;
    FuncProto::try_from(function.referenced_type())
        .ok()
        .map(|prototype| prototype.len())
}

fn refused() -> u8 {
    u8::try_from(raw::FIMK_PLAN_REFUSED).unwrap_or(u8::MAX)
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
