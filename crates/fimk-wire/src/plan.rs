//! The plan table: how each operation is served, and by what else where a kernel does not give that.
//!
//! A [`Program`] is one BPF program on one kernel function. A [`Row`] is an operation as people know it, with
//! the programs that can serve it, best first. `fimk_ready.plan` has one byte a row; [`words`] says it.
//! Rows with one program have no other because the function has had the same name and arguments on every
//! kernel measured, 5.10 to 7.3, and is reached only after success, which no function in front of it tells.

use crate::raw;

/// How a program hangs on its kernel function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Attach {
    Fentry,
    Fexit,
    Tracepoint,
    Iterator,
}

/// Whether the program runs after the change or before it. What is read because of one that runs before
/// may still be the old: it is read again when the file is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum When {
    After,
    Before,
}

/// One BPF program.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its own name; the program itself has `fimk_` in front.
    pub name: &'static str,
    /// The kernel function or tracepoint: mostly of the same name.
    pub function: &'static str,
    /// How it hangs there.
    pub attach: Attach,
    /// When it runs.
    pub when: When,
    /// How many parameters the program can make sense of (`bpf/args.h`); empty: any number.
    pub parameters: &'static [usize],
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// As people know it.
    pub operation: &'static str,
    /// `FIMK_HOOK_*`, best first.
    pub programs: &'static [u32],
    /// What sees the operation where none of these can; empty: nothing.
    pub else_seen_by: &'static str,
    /// Why the self-test does not perform it; empty: it does.
    pub untested: &'static str,
    /// The kind of attempts (`FIMK_WATCH_*`) without which nothing of it is loaded; 0: a change, always loaded.
    pub kind: u32,
}

const fn fentry(function: &'static str, when: When) -> Program {
    Program {
        name: function,
        function,
        attach: Attach::Fentry,
        when,
        parameters: &[],
    }
}

const fn fexit(function: &'static str, parameters: &'static [usize]) -> Program {
    Program {
        name: function,
        function,
        attach: Attach::Fexit,
        when: After,
        parameters,
    }
}

const fn tracepoint(function: &'static str) -> Program {
    Program {
        name: function,
        function,
        attach: Attach::Tracepoint,
        when: After,
        parameters: &[],
    }
}

const fn iterator(function: &'static str) -> Program {
    Program {
        name: function,
        function,
        attach: Attach::Iterator,
        when: After,
        parameters: &[],
    }
}

use When::{After, Before};

/// Every program, by `FIMK_HOOK_*`.
pub const PROGRAMS: [Program; raw::FIMK_HOOKS as usize] = [
    fexit("vfs_write", &[4]),
    fexit("vfs_writev", &[5]),
    fexit("vfs_iter_write", &[4]),
    // Three on kernels between 5.10 and 5.12, which fall to the next plan.
    fexit("io_write", &[2]),
    fexit("aio_write", &[4]),
    fexit("iter_file_splice_write", &[5]),
    fexit("vfs_copy_file_range", &[6]),
    fexit("vfs_clone_file_range", &[6]),
    fexit("vfs_fallocate", &[4]),
    fexit("notify_change", &[3, 4]),
    fentry("security_d_instantiate", After),
    fentry("d_move", After),
    fentry("d_exchange", After),
    fentry("d_delete", After),
    fentry("__fput", After),
    fentry("security_mmap_file", Before),
    fentry("security_file_mprotect", Before),
    fentry("security_inode_getattr", Before),
    tracepoint("sched_process_exec"),
    tracepoint("sched_process_fork"),
    tracepoint("sched_process_exit"),
    iterator("iter/task"),
    fentry("security_inode_post_setxattr", After),
    fexit("__vfs_setxattr_noperm", &[5, 6]),
    fentry("security_inode_post_removexattr", After),
    fexit("__vfs_removexattr_locked", &[3, 4]),
    fexit("vfs_set_acl", &[4]),
    fexit("vfs_remove_acl", &[3]),
    fexit("vfs_fileattr_set", &[3]),
    fentry("security_inode_file_setattr", Before),
    fentry("security_file_ioctl", Before),
    fexit("path_mount", &[5]),
    fentry("security_move_mount", Before),
    fentry("security_sb_umount", Before),
    fentry("security_sb_pivotroot", Before),
    fentry("security_file_permission", Before),
    Program {
        parameters: &[3],
        ..fentry("security_inode_post_setattr", After)
    },
    Program {
        parameters: &[2, 3],
        ..fentry("security_inode_setattr", Before)
    },
    fentry("security_file_release", After),
    iterator("iter/task_file"),
    iterator("iter/task_vma"),
    fentry("security_file_open", Before),
    Program {
        name: "executed",
        ..tracepoint("sched_process_exec")
    },
    fentry("security_bprm_check", Before),
    fexit("path_openat", &[3]),
    fexit("chmod_common", &[2]),
    fexit("chown_common", &[3]),
    fexit("vfs_utimes", &[2]),
    fexit("vfs_truncate", &[2]),
    fexit("vfs_setxattr", &[5, 6]),
    fexit("vfs_removexattr", &[2, 3]),
    fexit("vfs_unlink", &[3, 4]),
    fexit("vfs_rmdir", &[2, 3, 4]),
    fexit("vfs_rename", &[1]),
    fexit("vfs_link", &[4, 5]),
    fexit("vfs_mkdir", &[3, 4, 5]),
    fexit("vfs_symlink", &[3, 4, 5]),
    fexit("vfs_mknod", &[4, 5, 6]),
    fexit("may_delete", &[3, 4]),
];

const fn row(operation: &'static str, programs: &'static [u32]) -> Row {
    Row {
        operation,
        programs,
        else_seen_by: "",
        untested: "",
        kind: 0,
    }
}

/// A write, which the release of the file tells of in the end.
const fn write(operation: &'static str, programs: &'static [u32]) -> Row {
    Row {
        else_seen_by: "close",
        ..row(operation, programs)
    }
}

/// What is loaded only if somebody asks.
const fn of_kind(kind: u32, operation: &'static str, programs: &'static [u32]) -> Row {
    Row {
        kind,
        ..row(operation, programs)
    }
}

const fn denied(operation: &'static str, programs: &'static [u32]) -> Row {
    of_kind(raw::FIMK_WATCH_DENIED, operation, programs)
}

const ATTRIBUTES: &[u32] = &[
    raw::FIMK_HOOK_NOTIFY_CHANGE,
    raw::FIMK_HOOK_POST_SETATTR,
    raw::FIMK_HOOK_SETATTR,
];

/// The table. A row's place is its byte in `fimk_ready.plan`.
pub const ROWS: [Row; 58] = [
    write(
        "write",
        &[raw::FIMK_HOOK_VFS_WRITE, raw::FIMK_HOOK_FILE_PERMISSION],
    ),
    write(
        "writev",
        &[raw::FIMK_HOOK_VFS_WRITEV, raw::FIMK_HOOK_FILE_PERMISSION],
    ),
    Row {
        untested: "it needs an overlay file system",
        ..write(
            "overlay write",
            &[
                raw::FIMK_HOOK_VFS_ITER_WRITE,
                raw::FIMK_HOOK_FILE_PERMISSION,
            ],
        )
    },
    write(
        "io_uring",
        &[raw::FIMK_HOOK_IO_WRITE, raw::FIMK_HOOK_FILE_PERMISSION],
    ),
    write(
        "aio",
        &[raw::FIMK_HOOK_AIO_WRITE, raw::FIMK_HOOK_FILE_PERMISSION],
    ),
    write(
        "splice",
        &[raw::FIMK_HOOK_SPLICE_WRITE, raw::FIMK_HOOK_FILE_PERMISSION],
    ),
    write(
        "copy_file_range",
        &[
            raw::FIMK_HOOK_COPY_FILE_RANGE,
            raw::FIMK_HOOK_FILE_PERMISSION,
        ],
    ),
    write(
        "clone",
        &[
            raw::FIMK_HOOK_CLONE_FILE_RANGE,
            raw::FIMK_HOOK_FILE_PERMISSION,
        ],
    ),
    write(
        "fallocate",
        &[raw::FIMK_HOOK_FALLOCATE, raw::FIMK_HOOK_FILE_PERMISSION],
    ),
    row("truncate", ATTRIBUTES),
    row("chmod", ATTRIBUTES),
    row("chown", ATTRIBUTES),
    row("utimes", ATTRIBUTES),
    row("create", &[raw::FIMK_HOOK_INSTANTIATE]),
    row("mkdir", &[raw::FIMK_HOOK_INSTANTIATE]),
    row("symlink", &[raw::FIMK_HOOK_INSTANTIATE]),
    row("mknod", &[raw::FIMK_HOOK_INSTANTIATE]),
    row("link", &[raw::FIMK_HOOK_INSTANTIATE]),
    row("unlink", &[raw::FIMK_HOOK_DELETE]),
    row("rmdir", &[raw::FIMK_HOOK_DELETE]),
    row("rename", &[raw::FIMK_HOOK_MOVE]),
    row("exchange", &[raw::FIMK_HOOK_EXCHANGE]),
    row(
        "setxattr",
        &[raw::FIMK_HOOK_POST_SETXATTR, raw::FIMK_HOOK_SETXATTR],
    ),
    row(
        "removexattr",
        &[raw::FIMK_HOOK_POST_REMOVEXATTR, raw::FIMK_HOOK_REMOVEXATTR],
    ),
    // Kernels before 6.2 have no such functions: there an ACL is an extended attribute.
    Row {
        else_seen_by: "setxattr",
        ..row("setacl", &[raw::FIMK_HOOK_SET_ACL])
    },
    Row {
        else_seen_by: "removexattr",
        ..row("removeacl", &[raw::FIMK_HOOK_REMOVE_ACL])
    },
    row(
        "setflags",
        &[
            raw::FIMK_HOOK_FILEATTR_SET,
            raw::FIMK_HOOK_FILE_SETATTR,
            raw::FIMK_HOOK_FILE_IOCTL,
        ],
    ),
    row("mmap", &[raw::FIMK_HOOK_MMAP]),
    row("mprotect", &[raw::FIMK_HOOK_MPROTECT]),
    row("close", &[raw::FIMK_HOOK_FPUT, raw::FIMK_HOOK_FILE_RELEASE]),
    row("mount", &[raw::FIMK_HOOK_PATH_MOUNT]),
    row("move_mount", &[raw::FIMK_HOOK_MOVE_MOUNT]),
    row("umount", &[raw::FIMK_HOOK_UMOUNT]),
    row("pivot_root", &[raw::FIMK_HOOK_PIVOT_ROOT]),
    row("arm", &[raw::FIMK_HOOK_GETATTR]),
    row("exec", &[raw::FIMK_HOOK_EXEC]),
    row("fork", &[raw::FIMK_HOOK_FORK]),
    row("exit", &[raw::FIMK_HOOK_EXIT]),
    row("running processes", &[raw::FIMK_HOOK_TASKS]),
    // Since 5.8, and 5.12. Without them nobody is named for a mapping that is older than fimk.
    Row {
        untested: "it needs a process that holds a file",
        ..row("open files", &[raw::FIMK_HOOK_OPEN_FILES])
    },
    Row {
        untested: "it needs a process that holds a file",
        ..row("mappings", &[raw::FIMK_HOOK_MAPPINGS])
    },
    of_kind(
        raw::FIMK_WATCH_OPENED,
        "opened",
        &[raw::FIMK_HOOK_FILE_OPEN],
    ),
    of_kind(
        raw::FIMK_WATCH_EXECUTED,
        "executed",
        &[raw::FIMK_HOOK_EXECUTED],
    ),
    of_kind(
        raw::FIMK_WATCH_EXECUTED,
        "executed script",
        &[raw::FIMK_HOOK_BPRM_CHECK],
    ),
    denied("denied open", &[raw::FIMK_HOOK_PATH_OPENAT]),
    denied("denied chmod", &[raw::FIMK_HOOK_CHMOD_COMMON]),
    denied("denied chown", &[raw::FIMK_HOOK_CHOWN_COMMON]),
    denied("denied utimes", &[raw::FIMK_HOOK_VFS_UTIMES]),
    denied("denied truncate", &[raw::FIMK_HOOK_VFS_TRUNCATE]),
    denied("denied setxattr", &[raw::FIMK_HOOK_VFS_SETXATTR]),
    denied("denied removexattr", &[raw::FIMK_HOOK_VFS_REMOVEXATTR]),
    denied("denied unlink", &[raw::FIMK_HOOK_VFS_UNLINK]),
    denied(
        "denied rmdir",
        &[raw::FIMK_HOOK_VFS_RMDIR, raw::FIMK_HOOK_MAY_DELETE],
    ),
    denied("denied rename", &[raw::FIMK_HOOK_VFS_RENAME]),
    denied("denied link", &[raw::FIMK_HOOK_VFS_LINK]),
    denied("denied mkdir", &[raw::FIMK_HOOK_VFS_MKDIR]),
    denied("denied symlink", &[raw::FIMK_HOOK_VFS_SYMLINK]),
    denied("denied mknod", &[raw::FIMK_HOOK_VFS_MKNOD]),
];

/// What became of a row, as its byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The source that serves has no part of it.
    NotPart,
    /// By this program, `FIMK_HOOK_*`.
    By(u32, Verdict),
    /// This kernel lacks the functions.
    Absent,
    /// The kernel refused to load or attach the programs.
    Refused,
}

/// What the self-test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The operation was performed and the program counted it.
    Seen,
    /// The operation was performed and the program did not count it.
    Unseen,
    /// The operation could not be performed.
    Untested,
}

impl Served {
    /// From a row's byte; a number that the row does not have is `NotPart`.
    pub fn of(row: &Row, byte: u8) -> Self {
        let bits = u32::from(byte);
        if bits & raw::FIMK_PLAN_ABSENT != 0 {
            return Self::Absent;
        }
        if bits & raw::FIMK_PLAN_REFUSED != 0 {
            return Self::Refused;
        }
        let number = (bits & raw::FIMK_PLAN_NUMBER) as usize;
        let Some(&program) = number.checked_sub(1).and_then(|at| row.programs.get(at)) else {
            return Self::NotPart;
        };
        let verdict = if bits & raw::FIMK_PLAN_SEEN != 0 {
            Verdict::Seen
        } else if bits & raw::FIMK_PLAN_UNSEEN != 0 {
            Verdict::Unseen
        } else {
            Verdict::Untested
        };
        Self::By(program, verdict)
    }

    /// The row's byte. A program that is none of the row's is `NotPart`.
    pub fn byte(self, row: &Row) -> u8 {
        let bits = match self {
            Self::NotPart => raw::FIMK_PLAN_NONE,
            Self::Absent => raw::FIMK_PLAN_ABSENT,
            Self::Refused => raw::FIMK_PLAN_REFUSED,
            Self::By(program, verdict) => {
                let place = row.programs.iter().position(|&its| its == program);
                let number = place.map_or(raw::FIMK_PLAN_NONE, |place| {
                    1 + u32::try_from(place).unwrap_or(0)
                });
                number
                    | match verdict {
                        Verdict::Seen => raw::FIMK_PLAN_SEEN,
                        Verdict::Unseen => raw::FIMK_PLAN_UNSEEN,
                        Verdict::Untested => 0,
                    }
            }
        };
        u8::try_from(bits).unwrap_or(0)
    }

    /// In words: `fexit vfs_write`, `absent: …`; none for what is not part of the source.
    pub fn words(self, row: &Row) -> Option<String> {
        match self {
            Self::NotPart => None,
            Self::Absent => {
                let lacking = "absent: this kernel lacks the function";
                Some(match row.else_seen_by {
                    "" => lacking.to_owned(),
                    other => format!("{lacking}; {other} sees it"),
                })
            }
            Self::Refused => Some("refused by this kernel".to_owned()),
            Self::By(program, verdict) => {
                let program = PROGRAMS.get(program as usize)?;
                let unseen = match verdict {
                    Verdict::Unseen => ", attached, but not seen in the self-test",
                    _ => "",
                };
                Some(format!("{}{unseen}", program.words()))
            }
        }
    }
}

impl Program {
    /// As `fentry security_file_permission (before the change)`.
    pub fn words(&self) -> String {
        let when = match self.when {
            After => "",
            Before => " (before the change)",
        };
        format!("{}{when}", self.attached())
    }

    /// As `fentry security_file_permission`.
    pub fn attached(&self) -> String {
        let attach = match self.attach {
            Attach::Fentry => "fentry ",
            Attach::Fexit => "fexit ",
            Attach::Tracepoint => "tracepoint ",
            Attach::Iterator => "",
        };
        format!("{attach}{}", self.function)
    }
}

/// Every row that is part of the source with how it is served, from `fimk_ready.plan`.
pub fn in_words(plan: &[u8]) -> Vec<(&'static str, String)> {
    ROWS.iter()
        .zip(plan)
        .filter_map(|(row, &byte)| Some((row.operation, Served::of(row, byte).words(row)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_as_it_was_written() {
        for row in &ROWS {
            for &program in row.programs {
                for verdict in [Verdict::Seen, Verdict::Unseen, Verdict::Untested] {
                    let served = Served::By(program, verdict);
                    assert_eq!(Served::of(row, served.byte(row)), served);
                    assert!(served.words(row).is_some());
                }
            }
            for served in [Served::NotPart, Served::Absent, Served::Refused] {
                assert_eq!(Served::of(row, served.byte(row)), served);
            }
        }
    }

    #[test]
    fn no_byte_is_too_strange_to_be_read() {
        for row in &ROWS {
            for byte in 0..=u8::MAX {
                let _ = Served::of(row, byte).words(row);
            }
        }
        assert_eq!(Served::of(&ROWS[0], 0x0f), Served::NotPart);
    }

    #[test]
    fn every_operation_has_one_row_and_there_is_room_for_all() {
        assert!(ROWS.len() <= raw::FIMK_HOOKS_MAX as usize);
        for (at, row) in ROWS.iter().enumerate() {
            assert!(!row.programs.is_empty(), "{}", row.operation);
            assert!(row.programs.len() <= raw::FIMK_PLAN_NUMBER as usize);
            assert!(
                ROWS[..at]
                    .iter()
                    .all(|other| other.operation != row.operation)
            );
            assert!(
                row.else_seen_by.is_empty()
                    || ROWS.iter().any(|it| it.operation == row.else_seen_by),
                "{}",
                row.operation
            );
        }
    }

    #[test]
    fn every_program_serves_a_row() {
        for program in 0..raw::FIMK_HOOKS {
            assert!(
                ROWS.iter().any(|row| row.programs.contains(&program)),
                "{program}"
            );
        }
    }

    #[test]
    fn a_plan_is_said_with_its_weakness() {
        let write = &ROWS[0];
        let before = Served::By(raw::FIMK_HOOK_FILE_PERMISSION, Verdict::Seen);
        assert_eq!(
            before.words(write).as_deref(),
            Some("fentry security_file_permission (before the change)")
        );
        assert_eq!(
            Served::Absent.words(write).as_deref(),
            Some("absent: this kernel lacks the function; close sees it")
        );
    }
}
