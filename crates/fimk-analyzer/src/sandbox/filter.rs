//! The seccomp filters, from the lists in `usual` and `syscalls`.

use std::{collections::BTreeMap, process};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

use super::{syscalls, usual};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Namespaces that a new thread must not come with.
const NAMESPACES: libc::c_int = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// Puts the filters into force, for this thread and all that it starts.
pub(super) fn apply() -> Result<(), String> {
    let failed = |error: seccompiler::Error| {
        format!("Seccomp cannot be set up ({error}); the kernel needs CONFIG_SECCOMP_FILTER.")
    };
    let backend = |error: seccompiler::BackendError| failed(error.into());
    apply_filter(&no_clone3().map_err(backend)?).map_err(failed)?;
    apply_filter(&permitted().map_err(backend)?).map_err(failed)
}

/// `clone3` hides its flags in memory, where no filter can look. Told that it does not exist, the C library uses `clone`.
fn no_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    program(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno(libc::ENOSYS)),
    )
}

fn permitted() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: Rules = usual::WHOLE
        .iter()
        .chain(syscalls::OWN)
        .map(|&call| (call, Vec::new()))
        .collect();
    // Where both filters answer with an error, the one put into force last decides; so this one must let it pass.
    rules.insert(libc::SYS_clone3, Vec::new());
    rules.extend(restricted()?);
    program(
        rules,
        SeccompAction::Errno(errno(libc::EPERM)),
        SeccompAction::Allow,
    )
}

/// Calls of which only some uses are permitted.
fn restricted() -> Result<Rules, seccompiler::BackendError> {
    let any = |argument, values: &[u64]| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        values
            .iter()
            .map(|&value| one(argument, Width::Dword, Is::Eq, value))
            .collect()
    };
    let own_thread = |kind| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        let is = |argument, value| SeccompCondition::new(argument, Width::Dword, Is::Eq, value);
        Ok(vec![SeccompRule::new(vec![is(0, kind)?, is(1, 0)?])?])
    };
    let threads_only = Is::MaskedEq(bits(NAMESPACES | libc::CLONE_THREAD));
    let not_executable = || one(2, Width::Dword, Is::MaskedEq(bits(libc::PROT_EXEC)), 0);
    Ok(Rules::from([
        // Threads, but neither processes nor namespaces.
        (
            libc::SYS_clone,
            vec![one(
                0,
                Width::Qword,
                threads_only,
                bits(libc::CLONE_THREAD),
            )?],
        ),
        // Nothing becomes executable any more: all libraries are loaded.
        (libc::SYS_mmap, vec![not_executable()?]),
        (libc::SYS_mprotect, vec![not_executable()?]),
        (libc::SYS_socket, any(0, &[bits(libc::AF_UNIX)])?),
        (libc::SYS_socketpair, any(0, &[bits(libc::AF_UNIX)])?),
        // Signals to ourselves: abort.
        (libc::SYS_tgkill, any(0, &[u64::from(process::id())])?),
        // Limits may be asked for (a null pointer instead of new ones), not changed.
        (libc::SYS_prlimit64, vec![one(2, Width::Qword, Is::Eq, 0)?]),
        // Priorities of the thread that asks: `PRIO_PROCESS` and `IOPRIO_WHO_PROCESS`, of which 0 is itself.
        (libc::SYS_setpriority, own_thread(0)?),
        (libc::SYS_ioprio_set, own_thread(1)?),
        // Entries of the journal that are too large for a datagram; nothing of them can be executed, as nothing can.
        (
            libc::SYS_memfd_create,
            any(1, &[u64::from(crate::output::MEMORY_FILE.bits())])?,
        ),
        (libc::SYS_prctl, any(0, &usual::PRCTL.map(bits))?),
        (libc::SYS_ioctl, any(1, &syscalls::IOCTL)?),
    ]))
}

fn one(
    argument: u8,
    width: Width,
    is: Is,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, width, is, value)?])
}

fn program(
    rules: Rules,
    others: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(rules, others, listed, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// Constants of the C library, which are signed and never negative here.
fn bits(constant: libc::c_int) -> u64 {
    u64::from(constant.cast_unsigned())
}

fn errno(constant: libc::c_int) -> u32 {
    constant.cast_unsigned()
}
