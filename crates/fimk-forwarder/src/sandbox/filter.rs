//! The seccomp filters: the calls that the analyzer may make as well, and what a network and the resolver of names need.
//!
//! What is refused is answered with `ENOSYS`, on which the C library turns to older calls: whoever resolves names for it may
//! load what it likes.

use std::{collections::BTreeMap, process};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is,
    SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};

use super::usual;

/// Beside the usual ones.
const OWN: [i64; 5] = [
    libc::SYS_connect,
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    // Libraries that resolve names are loaded when they are needed.
    libc::SYS_mmap,
    libc::SYS_mprotect,
];

/// The network, local services that resolve names, and the kernel's word on which addresses we have.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_UNIX,
    libc::AF_NETLINK,
];

#[allow(
    clippy::unnecessary_cast,
    reason = "another width with another C library"
)]
/// What may be asked of descriptors: flags, lengths of queues, and, by resolvers, interfaces.
const IOCTL: [u64; 9] = [
    libc::FIOCLEX as u64,
    libc::FIONBIO as u64,
    libc::FIONREAD as u64,
    libc::TCGETS as u64,
    libc::TIOCOUTQ as u64,
    libc::SIOCGIFADDR as u64,
    libc::SIOCGIFFLAGS as u64,
    libc::SIOCGIFINDEX as u64,
    libc::SIOCGIFNAME as u64,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts the filters into force, for this thread and all that it starts.
pub(super) fn apply() -> Result<(), String> {
    let failed = |error: seccompiler::Error| {
        format!("seccomp cannot be set up ({error}); the kernel needs CONFIG_SECCOMP_FILTER")
    };
    let program = permitted().map_err(|error| failed(error.into()))?;
    apply_filter(&program).map_err(failed)
}

fn permitted() -> Result<BpfProgram, BackendError> {
    let whole = usual::WHOLE.iter().chain(&OWN);
    let mut rules: Rules = whole.map(|&call| (call, Vec::new())).collect();
    let thread = bits(libc::CLONE_THREAD);
    let no_pointer = SeccompCondition::new(2, Width::Qword, Is::Eq, 0)?;
    rules.extend([
        // Threads, but no processes. `clone3` hides its flags: told that it does not exist, the C library uses this.
        (
            libc::SYS_clone,
            vec![rule(&[(0, Is::MaskedEq(thread), thread)])?],
        ),
        (
            libc::SYS_socket,
            FAMILIES
                .iter()
                .map(|it| family(*it))
                .collect::<Result<_, _>>()?,
        ),
        (libc::SYS_socketpair, vec![family(libc::AF_UNIX)?]),
        // Signals to ourselves: abort.
        (
            libc::SYS_tgkill,
            vec![rule(&[(0, Is::Eq, u64::from(process::id()))])?],
        ),
        // Limits may be asked for (a null pointer instead of new ones), not changed.
        (
            libc::SYS_prlimit64,
            vec![SeccompRule::new(vec![no_pointer])?],
        ),
        (
            libc::SYS_prctl,
            usual::PRCTL
                .iter()
                .map(|it| rule(&[(0, Is::Eq, bits(*it))]))
                .collect::<Result<_, _>>()?,
        ),
        (
            libc::SYS_ioctl,
            IOCTL
                .iter()
                .map(|it| rule(&[(1, Is::Eq, *it)]))
                .collect::<Result<_, _>>()?,
        ),
    ]);
    let no_such_call = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, no_such_call, SeccompAction::Allow, arch)?.try_into()
}

/// A socket of this family; of netlink only the one protocol, which tells of addresses.
fn family(family: libc::c_int) -> Result<SeccompRule, BackendError> {
    let is = (0, Is::Eq, bits(family));
    if family == libc::AF_NETLINK {
        rule(&[is, (2, Is::Eq, bits(libc::NETLINK_ROUTE))])
    } else {
        rule(&[is])
    }
}

/// Numbers of arguments, and what each is to be.
fn rule(all: &[(u8, Is, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = all.iter().map(|(argument, is, value)| {
        SeccompCondition::new(*argument, Width::Dword, is.clone(), *value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// Constants of the C library, which are signed and never negative here.
fn bits(constant: libc::c_int) -> u64 {
    u64::from(constant.cast_unsigned())
}
