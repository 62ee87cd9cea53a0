//! What the analyzer gives up before it reads a byte of anybody's: each layer holds by itself.
//!
//! | layer | what is left |
//! |---|---|
//! | capabilities | `CAP_DAC_READ_SEARCH`, which reads and marks, and nothing to inherit |
//! | not dumpable, `RLIMIT_CORE` 0 | no core dump, no ptrace by others of the same user, `/proc/self` is root's |
//! | landlock | writing only beneath the state and the run directory and that of an output's file; no TCP, no abstract sockets, no signals to others |
//! | seccomp | the calls listed in `sandbox/usual.rs` and `sandbox/syscalls.rs`; everything else is `EPERM` |
//!
//! Who comes after this can open no connection: sockets to other processes are connected before and kept, and the
//! control socket is bound before. Datagrams may be sent without one, to the sockets of outputs.

mod filter;
mod places;
mod syscalls;
mod usual;

use std::{collections::HashSet, fs, path::Path};

use caps::{CapSet, Capability};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
    },
    unistd::getresuid,
};

pub use self::places::{Permitted, Places};

/// The newest rights that are asked for; an older kernel takes those it knows.
const NEWEST: ABI = ABI::V9;

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The kernel's landlock ABI; none where landlock is missing or switched off.
    pub landlock_abi: Option<u32>,
    /// Whether landlock knows all rights that were asked of it.
    pub landlock_complete: bool,
    /// Whether files of other users can be read. Without it, only what this user may read is watched well.
    pub reads_everything: bool,
    /// Where can be written and sent to.
    pub permitted: Permitted,
}

/// Enters the sandbox, for good. To be called before any thread exists, for threads that exist would stay
/// outside; the two directories must exist.
///
/// # Errors
/// One sentence: it is root or has threads, a directory is missing, or the kernel refused a layer that it has.
pub fn enter(state_dir: &Path, run_dir: &Path, places: &Places) -> Result<Report, String> {
    refuse_threads()?;
    restrict_thread(state_dir, run_dir, places)
}

/// All but the look for other threads.
fn restrict_thread(state_dir: &Path, run_dir: &Path, places: &Places) -> Result<Report, String> {
    refuse_root()?;
    prctl::set_no_new_privs().map_err(|errno| {
        format!("The kernel refused no_new_privs ({errno}); fimk needs Linux 5.10 or newer.")
    })?;
    prctl::set_dumpable(false).map_err(|errno| {
        format!("The kernel refused to protect the process from dumps ({errno}).")
    })?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|errno| format!("The kernel refused to forbid core dumps ({errno})."))?;
    let reads_everything = keep_one_capability()?;
    let (landlock_abi, landlock_complete) = restrict_files(state_dir, run_dir, places)?;
    filter::apply()?;
    Ok(Report {
        landlock_abi,
        landlock_complete,
        reads_everything,
        permitted: places.permitted(landlock_abi, [state_dir, run_dir]),
    })
}

fn refuse_root() -> Result<(), String> {
    let users =
        getresuid().map_err(|errno| format!("The user of this process is not known ({errno})."))?;
    if [users.real, users.effective, users.saved]
        .iter()
        .any(|user| user.is_root())
    {
        return Err("The analyzer does not run as root; start fimk-loader, which starts it as the user fimk.".to_owned());
    }
    Ok(())
}

fn refuse_threads() -> Result<(), String> {
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => Ok(()),
        Ok(count) => Err(format!(
            "The sandbox was entered too late: {count} threads run already; this is an error in fimk."
        )),
        Err(error) => Err(format!(
            "/proc/self/task cannot be read ({error}); mount /proc."
        )),
    }
}

/// Drops every capability but the one; the bounding set was cut by whoever started us, for it takes a privilege.
fn keep_one_capability() -> Result<bool, String> {
    let failed = |error| format!("Capabilities cannot be dropped ({error}).");
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: HashSet<_> = permitted
        .into_iter()
        .filter(|&one| one == Capability::CAP_DAC_READ_SEARCH)
        .collect();
    // Ambient needs inheritable, and effective needs permitted: the dependent set goes first.
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    Ok(!kept.is_empty())
}

/// Reading is not handled at all: a rule that permits it beneath `/` would still refuse what is reached by a
/// handle or lies on a detached mount.
fn restrict_files(
    state_dir: &Path,
    run_dir: &Path,
    places: &Places,
) -> Result<(Option<u32>, bool), String> {
    let handled = AccessFs::from_all(NEWEST) & !(AccessFs::ReadFile | AccessFs::ReadDir);
    let failed = |error| format!("Landlock cannot be set up ({error}).");
    let mut ruleset = Ruleset::default()
        .handle_access(handled)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(failed)?;
    for directory in [state_dir, run_dir] {
        let open = PathFd::new(directory).map_err(|error| {
            format!(
                "The directory {} cannot be opened ({error}); it must exist.",
                directory.display()
            )
        })?;
        ruleset = ruleset
            .add_rule(PathBeneath::new(open, own_files()))
            .map_err(failed)?;
    }
    for (directory, rights) in places.directories() {
        let open = PathFd::new(&directory).map_err(|error| {
            format!(
                "An output goes to the directory {}, which cannot be opened ({error}): make it first, or remove the [[output]].",
                directory.display()
            )
        })?;
        ruleset = ruleset
            .add_rule(PathBeneath::new(open, rights))
            .map_err(failed)?;
    }
    let status = ruleset.restrict_self().map_err(failed)?;
    let abi = match status.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => Some(
            kernel_abi
                .and_then(|abi| u32::try_from(abi).ok())
                .unwrap_or(effective_abi as u32),
        ),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    };
    Ok((abi, status.ruleset == RulesetStatus::FullyEnforced))
}

/// What a database and a control socket need; no devices, fifos, links or programs.
fn own_files() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

#[cfg(test)]
mod tests;
