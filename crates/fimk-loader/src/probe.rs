//! Brings up the best source that this kernel gives.

mod file;
mod process;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use fimk_wire::{HOOK_NAMES, HOSTS_PIDS, REASON_SENTENCES, raw};
use libbpf_rs::Link;
use nix::sys::fanotify::Fanotify;

use crate::adopt;
use crate::coverage;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::fanotify;
use crate::flags::source_name;
use crate::holders::Holders;
use crate::log;
use crate::marker::Marker;
use crate::memory;
use crate::objects::{self, File, Process, Size};
use crate::pins::{LINK, Pins};
use crate::plan::{self, Plan, Refusal};
use crate::requests::Wanted;

pub use file::FILE_MAPS;
pub use process::PROCESS_MAPS;

use file::{bring_up_file, test_programs};
use process::{bring_up_holders, bring_up_process};

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
    /// Who marks file systems for that group; absent where it could not be started.
    pub marker: Option<Marker>,
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
            marker: None,
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
                source.marker = source.fanotify.as_ref().and_then(start_marker);
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

/// Whether processes have the numbers here that the programs see.
fn has_hosts_pids() -> bool {
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    namespace.is_ok_and(|namespace| namespace.as_os_str() == HOSTS_PIDS)
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

/// Last of all: it has the memory that we have then.
fn start_marker((group, _): &(Fanotify, u32)) -> Option<Marker> {
    Marker::fork(group)
        .inspect_err(|cause| {
            log::line(format_args!(
                "no whole file system is marked for fanotify, for who does that cannot be started: {cause}"
            ));
        })
        .ok()
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
