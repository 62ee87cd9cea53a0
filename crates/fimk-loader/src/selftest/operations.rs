//! Every operation of the plan table, performed once by a plain system call.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{Error, IoSlice, Result, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FallocateFlags, RenameFlags, copy_file_range, fallocate, renameat2};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, futimens, mknod};
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{pipe, pivot_root};

use super::room::{Room, watch};
use crate::system;
use crate::system::trial::{self, Mapping};

/// Performs an operation. `now` is called when all is prepared, just before. An error says why it cannot be
/// performed here.
pub fn perform(operation: &str, room: &Room, now: &dyn Fn()) -> Result<()> {
    match operation {
        "write" | "writev" | "io_uring" | "aio" | "splice" | "copy_file_range" | "clone"
        | "fallocate" => write(operation, room, now),
        "truncate" | "chmod" | "chown" | "utimes" | "setxattr" | "removexattr" | "setacl"
        | "removeacl" | "setflags" => set(operation, room, now),
        "create" | "mkdir" | "symlink" | "mknod" | "link" | "unlink" | "rmdir" | "rename"
        | "exchange" => name(operation, room, now),
        "mount" | "move_mount" | "umount" | "pivot_root" => cover(operation, room, now),
        "mmap" => {
            let file = room.file()?;
            now();
            Mapping::new(&file, libc::PROT_READ | libc::PROT_WRITE, 4096, 0).map(drop)
        }
        "mprotect" => {
            let mapping = Mapping::new(&room.file()?, libc::PROT_READ, 4096, 0)?;
            now();
            mapping.make_writable()
        }
        "close" => {
            let file = room.file()?;
            now();
            drop(file);
            Ok(())
        }
        "arm" => {
            now();
            room.directory().map(drop)
        }
        other => Err(Error::other(format!("there is no way to perform {other}"))),
    }
}

fn write(operation: &str, room: &Room, now: &dyn Fn()) -> Result<()> {
    let mut file = room.file()?;
    match operation {
        "splice" => {
            let (reader, writer) = pipe()?;
            File::from(writer).write_all(b"x")?;
            now();
            trial::splice(&reader, &file, 1)
        }
        "copy_file_range" => {
            let from = room.file()?;
            now();
            Ok(copy_file_range(&from, None, &file, None, 1).map(drop)?)
        }
        "clone" => {
            let from = room.file()?;
            now();
            trial::clone(&from, &file)
        }
        _ => {
            now();
            match operation {
                "writev" => file
                    .write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")])
                    .map(drop),
                "io_uring" => trial::uring_write(&file, b"x"),
                "aio" => trial::aio_write(&file, b"x"),
                "fallocate" => Ok(fallocate(&file, FallocateFlags::empty(), 0, 8192)?),
                _ => file.write_all(b"x"),
            }
        }
    }
}

/// Where an attribute of ours may be set: tmpfs has the first since 6.6, and the others need `CAP_SYS_ADMIN`.
const ATTRIBUTES: [&CStr; 3] = [c"user.fimk", c"trusted.fimk", c"security.fimk"];
const ACL: &CStr = c"system.posix_acl_access";
/// A version, and entries of tag, permission and id, all little-endian: rw for user 0 beside the usual three.
const ACL_VALUE: [u8; 44] = {
    const NOBODY: u8 = 0xff;
    [
        2, 0, 0, 0, //
        1, 0, 6, 0, NOBODY, NOBODY, NOBODY, NOBODY, //
        2, 0, 6, 0, 0, 0, 0, 0, //
        4, 0, 0, 0, NOBODY, NOBODY, NOBODY, NOBODY, //
        16, 0, 6, 0, NOBODY, NOBODY, NOBODY, NOBODY, //
        32, 0, 0, 0, NOBODY, NOBODY, NOBODY, NOBODY, //
    ]
};
/// `FS_NODUMP_FL`: means nothing to anybody but dump(8).
const NO_DUMP: libc::c_int = 0x40;

fn set(operation: &str, room: &Room, now: &dyn Fn()) -> Result<()> {
    let (path, file) = room.named_file()?;
    match operation {
        "removexattr" => {
            let name = set_some_attribute(&file)?;
            now();
            trial::remove_attribute(&file, name)
        }
        "removeacl" => {
            trial::set_attribute(&file, ACL, &ACL_VALUE)?;
            now();
            trial::remove_attribute(&file, ACL)
        }
        _ => {
            now();
            match operation {
                "truncate" => file.set_len(1),
                "chmod" => file.set_permissions(PermissionsExt::from_mode(0o640)),
                "chown" => chown(&path, Some(0), Some(0)),
                "utimes" => Ok(futimens(&file, &TimeSpec::new(1, 0), &TimeSpec::new(1, 0))?),
                "setacl" => trial::set_attribute(&file, ACL, &ACL_VALUE),
                "setflags" => trial::set_flags(&file, NO_DUMP),
                _ => set_some_attribute(&file).map(drop),
            }
        }
    }
}

fn set_some_attribute(file: &File) -> Result<&'static CStr> {
    let mut last = None;
    for name in ATTRIBUTES {
        match trial::set_attribute(file, name, b"x") {
            Ok(()) => return Ok(name),
            Err(cause) => last = Some(cause),
        }
    }
    Err(last.unwrap_or_else(|| Errno::EOPNOTSUPP.into()))
}

fn name(operation: &str, room: &Room, now: &dyn Fn()) -> Result<()> {
    let new = room.name();
    match operation {
        "rmdir" => {
            let directory = room.directory()?;
            now();
            return fs::remove_dir(directory);
        }
        "create" | "mkdir" | "symlink" | "mknod" => now(),
        _ => {}
    }
    match operation {
        "create" => File::create(new).map(drop),
        "mkdir" => fs::create_dir(new),
        "symlink" => symlink("nowhere", new),
        "mknod" => Ok(mknod(&new, SFlag::S_IFIFO, Mode::S_IRUSR, 0)?),
        _ => {
            let (old, _) = room.named_file()?;
            let other = room.named_file()?.0;
            now();
            match operation {
                "link" => fs::hard_link(old, new),
                "unlink" => fs::remove_file(old),
                "rename" => fs::rename(old, new),
                _ => Ok(renameat2(
                    AT_FDCWD,
                    &old,
                    AT_FDCWD,
                    &other,
                    RenameFlags::RENAME_EXCHANGE,
                )?),
            }
        }
    }
}

/// In a child with a mount namespace of its own, which goes with it. Its status is the errno.
fn cover(operation: &str, room: &Room, now: &dyn Fn()) -> Result<()> {
    let covered = room.directory()?;
    let below = covered.join("old");
    fs::create_dir(&below)?;
    watch(&below)?;
    now();
    let child = system::fork(|| match mounts(operation, &covered, &below) {
        Ok(()) => 0,
        Err(cause) => cause.raw_os_error().unwrap_or(libc::EIO),
    })?;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, errno) => Err(Error::from_raw_os_error(errno)),
        _ => Err(Error::other("its process was killed")),
    }
}

fn mounts(operation: &str, covered: &Path, below: &Path) -> Result<()> {
    const NOTHING: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, private, NOTHING)?;
    if operation == "move_mount" {
        let path = CString::new(covered.as_os_str().as_bytes())?;
        return trial::move_copy(&path, &path);
    }
    mount(Some(covered), covered, NOTHING, MsFlags::MS_BIND, NOTHING)?;
    match operation {
        "umount" => umount2(covered, MntFlags::MNT_DETACH)?,
        "pivot_root" => pivot_root(covered, below)?,
        _ => {}
    }
    Ok(())
}
