//! What the loader can no longer do once everything is attached, and what its marker can do.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::capabilities;
use crate::error::{Error, Result};

/// What forwarding needs: the channel and the spawner, the rings, memory, time, standard error, the end.
const CALLS: [libc::c_long; 28] = [
    libc::SYS_bpf,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Makes this process unable to do anything but forward: capabilities cut to those of
/// [`capabilities::keep_for_forwarding`], and a seccomp filter without open, exec, rename, chmod or socket.
///
/// What the filter does not list fails with EPERM. The process is not killed: a C library that calls
/// something new must not blind the monitor, and who has taken over the process gains nothing by an errno.
///
/// `service`: analyzers come to us, and are given channels.
pub fn enter(unlink_in: [i32; 2], service: bool) -> Result<()> {
    let internal = |cause: &dyn std::fmt::Display| {
        Error::internal("the loader's privileges cannot be cut", cause)
    };
    capabilities::keep_for_forwarding().map_err(|cause| internal(&cause))?;
    let program = filter(unlink_in, service).map_err(|cause| internal(&cause))?;
    seccompiler::apply_filter(&program).map_err(|cause| internal(&cause))
}

/// What marking file systems needs: one socket, memory, the end.
const MARKERS_CALLS: [libc::c_long; 11] = [
    libc::SYS_brk,
    libc::SYS_close,
    libc::SYS_exit_group,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_ppoll,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_sendto,
];

/// Makes this process unable to do anything but mark file systems, or take such marks off, for this group.
pub fn enter_to_mark(group: i32) -> std::result::Result<(), Box<dyn std::error::Error>> {
    Ok(seccompiler::apply_filter(&filter_to_mark(group)?)?)
}

fn filter_to_mark(group: i32) -> std::result::Result<BpfProgram, Box<dyn std::error::Error>> {
    let mut rules = calls(&MARKERS_CALLS)?;
    let mut marks = Vec::new();
    for action in [
        libc::FAN_MARK_ADD,
        libc::FAN_MARK_REMOVE,
        libc::FAN_MARK_FLUSH,
    ] {
        let flags = (action | libc::FAN_MARK_FILESYSTEM).cast_signed();
        // By a descriptor alone: no path.
        let no_path = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
        let of_group = is(0, SeccompCmpOp::Eq, group)?;
        marks.push(SeccompRule::new(vec![
            of_group,
            is(1, SeccompCmpOp::Eq, flags)?,
            no_path,
        ])?);
    }
    rules.insert(libc::SYS_fanotify_mark, marks);
    program(rules)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// These calls, and memory in which nothing is executed.
fn calls(listed: &[libc::c_long]) -> std::result::Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = listed.iter().map(|&call| (call, Vec::new())).collect();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![masked_equal(2, libc::PROT_EXEC, 0)?]);
    }
    Ok(rules)
}

fn program(rules: Rules) -> std::result::Result<BpfProgram, Box<dyn std::error::Error>> {
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(
        rules,
        refuse,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

fn filter(
    unlink_in: [i32; 2],
    service: bool,
) -> std::result::Result<BpfProgram, Box<dyn std::error::Error>> {
    program(to_forward(unlink_in, service)?)
}

fn to_forward(
    unlink_in: [i32; 2],
    service: bool,
) -> std::result::Result<Rules, Box<dyn std::error::Error>> {
    let mut rules = calls(&CALLS)?;
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_poll, Vec::new());
    let in_pins = unlink_in
        .into_iter()
        .map(|directory| equal(0, directory))
        .collect::<std::result::Result<_, _>>()?;
    rules.insert(libc::SYS_unlinkat, in_pins);
    let queries = [libc::F_GETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC];
    let queries = queries
        .into_iter()
        .map(|query| equal(1, query))
        .collect::<std::result::Result<_, _>>()?;
    rules.insert(libc::SYS_fcntl, queries);
    // How much waits in the queue of fanotify; and marks are taken off a group that nobody reads, none is added.
    let how_much = i32::try_from(libc::FIONREAD)?;
    rules.insert(libc::SYS_ioctl, vec![equal(1, how_much)?]);
    let no_mark = equal(1, libc::FAN_MARK_FLUSH.cast_signed())?;
    rules.insert(libc::SYS_fanotify_mark, vec![no_mark]);
    if service {
        rules.extend(handing_over()?);
    }
    Ok(rules)
}

/// What a service needs besides: it answers callers, asks who they are and makes channels.
fn handing_over() -> std::result::Result<Rules, seccompiler::BackendError> {
    let credentials = SeccompRule::new(vec![
        is(1, SeccompCmpOp::Eq, libc::SOL_SOCKET)?,
        is(2, SeccompCmpOp::Eq, libc::SO_PEERCRED)?,
    ])?;
    Ok(Rules::from([
        (libc::SYS_accept4, Vec::new()),
        (libc::SYS_getsockopt, vec![credentials]),
        (libc::SYS_socketpair, vec![equal(0, libc::AF_UNIX)?]),
    ]))
}

fn equal(argument: u8, value: i32) -> std::result::Result<SeccompRule, seccompiler::BackendError> {
    condition(argument, SeccompCmpOp::Eq, value)
}

fn masked_equal(
    argument: u8,
    mask: i32,
    value: i32,
) -> std::result::Result<SeccompRule, seccompiler::BackendError> {
    condition(
        argument,
        SeccompCmpOp::MaskedEq(u64::from(mask.cast_unsigned())),
        value,
    )
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: i32,
) -> std::result::Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![is(argument, operator, value)?])
}

fn is(
    argument: u8,
    operator: SeccompCmpOp,
    value: i32,
) -> std::result::Result<SeccompCondition, seccompiler::BackendError> {
    let value = u64::from(value.cast_unsigned());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Another machine has no poll.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_readme_says_how_many_calls_are_listed() {
        let listed = |service| to_forward([3, 4], service).map(|rules| rules.len()).ok();
        let alone = listed(false).unwrap_or_default();
        let besides = listed(true).unwrap_or_default() - alone;
        let page = include_str!("../../../README.md");
        let sentence = format!("a list of {alone} calls (a service has {besides} more,");
        assert!(page.contains(&sentence), "{sentence}");
    }

    #[test]
    fn the_filter_compiles_and_lists_no_call_that_makes_or_starts_anything() {
        assert!(filter([3, 4], false).is_ok() && filter([3, 4], true).is_ok());
        assert!(filter_to_mark(3).is_ok());
        for forbidden in [
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_renameat2,
            libc::SYS_fchmod,
            libc::SYS_socket,
            libc::SYS_clone,
            libc::SYS_ptrace,
            libc::SYS_setresuid,
            libc::SYS_accept4,
            libc::SYS_socketpair,
        ] {
            assert!(!CALLS.contains(&forbidden), "{forbidden}");
            assert!(!MARKERS_CALLS.contains(&forbidden), "{forbidden}");
        }
    }
}
