//! The words for the numbers of `bpf/fimk.h`, as status, events and logs show them.

use crate::raw;

/// Of `enum fimk_operation`, by number.
pub const OPERATION_NAMES: [&str; raw::FIMK_OPERATIONS as usize] = [
    "write", "truncate", "allocate", "clone", "map", "close", "chmod", "chown", "utimes",
    "setxattr", "setflags", "create", "link", "unlink", "rename", "exchange", "setacl", "mount",
    "unmount",
];

/// Of `enum fimk_hook`, by number: the kernel function or tracepoint that carries the program.
pub const HOOK_NAMES: [&str; raw::FIMK_HOOKS as usize] = [
    "vfs_write",
    "vfs_writev",
    "vfs_iter_write",
    "io_write",
    "aio_write",
    "iter_file_splice_write",
    "vfs_copy_file_range",
    "vfs_clone_file_range",
    "vfs_fallocate",
    "notify_change",
    "security_d_instantiate",
    "d_move",
    "d_exchange",
    "d_delete",
    "__fput",
    "security_mmap_file",
    "security_file_mprotect",
    "security_inode_getattr",
    "sched_process_exec",
    "sched_process_fork",
    "sched_process_exit",
    "iter/task",
];

/// Of `enum fimk_plan`, by number.
pub const PLAN_NAMES: [&str; 6] = [
    "none",
    "trampoline",
    "tracepoint",
    "iterator",
    "absent",
    "refused",
];

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
];

/// Of `enum fimk_source`, by number.
pub const SOURCE_NAMES: [&str; 4] = ["auto", "bpf", "fanotify", "periodic"];

/// Of `enum fimk_reason`, by number: the end of the sentence "source X serves: …".
pub const REASON_SENTENCES: [&str; 6] = [
    "it is the best there is",
    "it was asked for",
    "this kernel refuses BPF trampolines",
    "this kernel has no BTF (/sys/kernel/btf/vmlinux)",
    "the BPF programs could not be loaded",
    "this kernel refuses fanotify",
];
