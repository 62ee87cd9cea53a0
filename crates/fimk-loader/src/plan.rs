//! Which source serves and how each hook is served: decisions on facts, without a system call.

use fimk_wire::raw;
use nix::libc;

/// The plan of every hook, `FIMK_PLAN_*` by `FIMK_HOOK_*`.
pub type Plan = [u8; raw::FIMK_HOOKS_MAX as usize];

/// The hooks of the file object: all before the first of the process object.
pub const FILE_HOOKS: std::ops::Range<u32> = 0..raw::FIMK_HOOK_EXEC;
/// The hooks of the process object.
pub const PROCESS_HOOKS: std::ops::Range<u32> = raw::FIMK_HOOK_EXEC..raw::FIMK_HOOKS;

/// The kernel's own "not supported", which libc does not know; trampolines are refused with it.
const ENOTSUPP: i32 = 524;

/// Why a better source did not come to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// `FIMK_REASON_*`.
    pub reason: u32,
    /// errno, 0: none.
    pub error: i32,
}

impl Refusal {
    /// What a failure to load or attach the file object means.
    pub fn of_trampolines(error: i32) -> Self {
        let refused = [libc::EPERM, libc::EACCES, libc::EOPNOTSUPP, ENOTSUPP].contains(&error);
        let reason = if refused {
            raw::FIMK_REASON_TRAMPOLINES_REFUSED
        } else {
            raw::FIMK_REASON_LOAD_FAILED
        };
        Self { reason, error }
    }
}

/// What to try, best first. A source that was asked for by name has no substitute.
pub fn candidates(wanted: u32) -> &'static [u32] {
    match wanted {
        raw::FIMK_SOURCE_BPF => &[raw::FIMK_SOURCE_BPF],
        raw::FIMK_SOURCE_FANOTIFY => &[raw::FIMK_SOURCE_FANOTIFY],
        raw::FIMK_SOURCE_PERIODIC => &[raw::FIMK_SOURCE_PERIODIC],
        _ => &[
            raw::FIMK_SOURCE_BPF,
            raw::FIMK_SOURCE_FANOTIFY,
            raw::FIMK_SOURCE_PERIODIC,
        ],
    }
}

/// The reason to state: the last refusal met on the way, or that there was none.
pub fn reason(wanted: u32, refusal: Option<Refusal>) -> Refusal {
    match refusal {
        Some(refusal) => refusal,
        None if wanted == raw::FIMK_SOURCE_AUTO => Refusal {
            reason: raw::FIMK_REASON_BEST,
            error: 0,
        },
        None => Refusal {
            reason: raw::FIMK_REASON_ASKED,
            error: 0,
        },
    }
}

/// Whether a program fits a kernel function with this many parameters (`None`: there is no such function).
pub fn fits(hook: u32, parameters: Option<usize>) -> bool {
    match parameters {
        None => false,
        // Read as (request, issue flags): kernels between 5.10 and 5.12 have a third in front of the result.
        Some(count) if hook == raw::FIMK_HOOK_IO_WRITE => count == 2,
        Some(_) => true,
    }
}

/// How a hook is served once it is attached.
pub fn served(hook: u32) -> u8 {
    let plan = match hook {
        raw::FIMK_HOOK_EXEC | raw::FIMK_HOOK_FORK | raw::FIMK_HOOK_EXIT => {
            raw::FIMK_PLAN_TRACEPOINT
        }
        raw::FIMK_HOOK_TASKS => raw::FIMK_PLAN_ITERATOR,
        _ => raw::FIMK_PLAN_TRAMPOLINE,
    };
    number(plan)
}

/// Sets the plan of several hooks.
pub fn fill(plan: &mut Plan, hooks: std::ops::Range<u32>, with: u32) {
    for hook in hooks {
        plan[hook as usize] = number(with);
    }
}

fn number(plan: u32) -> u8 {
    u8::try_from(plan).unwrap_or(u8::MAX)
}

/// Whether a program that was detached from a trampoline can be attached to it again. Linux 5.10 says
/// ENOENT to that, and there is no way to ask that does not spend a program, so here the version decides.
pub fn reattaches(release: &str) -> bool {
    let mut numbers = release
        .split(|end: char| !end.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 14),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_tries_all_and_a_named_source_has_no_substitute() {
        assert_eq!(candidates(raw::FIMK_SOURCE_AUTO).len(), 3);
        for named in [
            raw::FIMK_SOURCE_BPF,
            raw::FIMK_SOURCE_FANOTIFY,
            raw::FIMK_SOURCE_PERIODIC,
        ] {
            assert_eq!(candidates(named), [named]);
        }
    }

    #[test]
    fn a_refused_trampoline_is_told_from_a_program_that_does_not_load() {
        for error in [libc::EPERM, libc::EACCES, libc::EOPNOTSUPP, 524] {
            assert_eq!(
                Refusal::of_trampolines(error).reason,
                raw::FIMK_REASON_TRAMPOLINES_REFUSED
            );
        }
        assert_eq!(
            Refusal::of_trampolines(libc::EINVAL).reason,
            raw::FIMK_REASON_LOAD_FAILED
        );
    }

    #[test]
    fn a_function_of_another_shape_is_not_hooked() {
        assert!(!fits(raw::FIMK_HOOK_IO_WRITE, Some(3)));
        assert!(fits(raw::FIMK_HOOK_IO_WRITE, Some(2)));
        assert!(!fits(raw::FIMK_HOOK_VFS_WRITE, None));
    }

    #[test]
    fn an_old_or_unreadable_kernel_is_not_trusted_to_attach_again() {
        for release in [
            "5.10.0-46-cloud-amd64",
            "5.13",
            "4.19.1",
            "",
            "linux",
            "6",
            "99999999999.1",
        ] {
            assert!(!reattaches(release), "{release}");
        }
        for release in ["5.14.0", "6.1.0-50-cloud-amd64", "7.2.12+deb14"] {
            assert!(reattaches(release), "{release}");
        }
    }

    #[test]
    fn every_hook_belongs_to_one_object() {
        assert_eq!(FILE_HOOKS.end, PROCESS_HOOKS.start);
        assert_eq!(
            FILE_HOOKS.len() + PROCESS_HOOKS.len(),
            raw::FIMK_HOOKS as usize
        );
    }
}
