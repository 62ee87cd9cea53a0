//! The words for the numbers of `bpf/fimk.h`, as status, events and logs show them.

use crate::plan::PROGRAMS;
use crate::raw;

/// Of `enum fimk_operation`, by number.
pub const OPERATION_NAMES: [&str; raw::FIMK_OPERATIONS as usize] = [
    "write",
    "truncate",
    "allocate",
    "clone",
    "map",
    "close",
    "chmod",
    "chown",
    "utimes",
    "setxattr",
    "setflags",
    "create",
    "link",
    "unlink",
    "rename",
    "exchange",
    "setacl",
    "mount",
    "unmount",
    "open_read",
    "open_write",
    "execute",
    "search",
    "settrusted",
];

/// Of `enum fimk_hook`, by number: the kernel function or tracepoint that carries the program, or where one carries
/// two, a name of its own.
pub const HOOK_NAMES: [&str; raw::FIMK_HOOKS as usize] = {
    let mut names = [""; raw::FIMK_HOOKS as usize];
    let mut hook = 0;
    while hook < names.len() {
        names[hook] = PROGRAMS[hook].name;
        hook += 1;
    }
    names
};

/// Of `enum fimk_count`, by number.
pub const COUNT_NAMES: [&str; raw::FIMK_COUNTS as usize] = [
    "seen",
    "announced",
    "coalesced",
    "ring_full",
    "dirty_full",
    "watch_full",
    "actors_full",
    "path_cut",
    "crowded",
];

/// Of `enum fimk_source`, by number.
pub const SOURCE_NAMES: [&str; 4] = ["auto", "bpf", "fanotify", "periodic"];

/// Of `enum fimk_reason`, by number: the end of the sentence "source X serves: …".
pub const REASON_SENTENCES: [&str; 7] = [
    "it is the best there is",
    "it was asked for",
    "this kernel refuses BPF trampolines",
    "this kernel has no BTF (/sys/kernel/btf/vmlinux)",
    "the BPF programs could not be loaded",
    "this kernel refuses fanotify",
    "processes have other numbers here than on the host: give the container the host's pid namespace",
];
