//! What the forwarder gives up before it hears a byte from the network.
//!
//! | layer | what is left |
//! |---|---|
//! | user | one of its own; never root |
//! | capabilities | none |
//! | not dumpable | no core dump, no ptrace by others of the same user |
//! | landlock | no writing to files, no programs, no TCP listening, no signals to others |
//! | seccomp | no programs, processes, looks into others, mounts, namespaces, modules, BPF, keys, other users or modes |

use std::collections::BTreeMap;

use caps::CapSet;
use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, Scope};
use nix::{sys::prctl, unistd::getresuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

/// The newest rights that are asked for; an older kernel takes those it knows.
const NEWEST: ABI = ABI::V8;

/// Enters the sandbox, for good. To be called before any thread exists.
///
/// # Errors
/// One sentence: it is root, or the kernel refused a layer that it has.
pub fn enter() -> Result<(), String> {
    let users =
        getresuid().map_err(|errno| format!("the user of this process is not known ({errno})"))?;
    let all = [users.real, users.effective, users.saved];
    if all.iter().any(|user| user.is_root()) {
        return Err(
            "fimk-forwarder does not run as root: start it as the user fimk-forwarder".to_owned(),
        );
    }
    prctl::set_no_new_privs()
        .map_err(|errno| format!("the kernel refused no_new_privs ({errno})"))?;
    prctl::set_dumpable(false).map_err(|errno| {
        format!("the kernel refused to protect the process from dumps ({errno})")
    })?;
    for set in [
        CapSet::Ambient,
        CapSet::Effective,
        CapSet::Permitted,
        CapSet::Inheritable,
    ] {
        caps::clear(None, set)
            .map_err(|error| format!("capabilities cannot be dropped ({error})"))?;
    }
    restrict_files()?;
    let failed = |error: seccompiler::Error| format!("seccomp cannot be set up ({error})");
    apply_filter(&forbidden().map_err(|error| failed(error.into()))?).map_err(failed)
}

/// Reading stays: certificates, tokens, and what resolves names.
fn restrict_files() -> Result<(), String> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST) & !read)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::BindTcp))
        .and_then(|ruleset| ruleset.scope(Scope::Signal))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map(drop)
        .map_err(|error| format!("landlock cannot be set up ({error})"))
}

/// A list of what is refused, not of what is permitted: whoever resolves names for the C library may load what it likes.
fn forbidden() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        FORBIDDEN.iter().map(|&call| (call, Vec::new())).collect();
    // Threads stay. `clone3` hides its flags: told that it does not exist, the C library uses `clone`.
    let no_thread = SeccompCondition::new(
        0,
        Width::Qword,
        Is::MaskedEq(u64::from(libc::CLONE_THREAD.cast_unsigned())),
        0,
    )?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![no_thread])?]);
    let errno = |number: libc::c_int| SeccompAction::Errno(number.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, errno(libc::ENOSYS), arch)?.try_into()
}

const FORBIDDEN: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_personality,
    libc::SYS_fanotify_init,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_memfd_create,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    // Older forms of the above.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
];
