//! Directories, made without ever following anything that a user could have put there.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, mkdirat};
use nix::unistd::{Uid, fchown};

use crate::error::{Error, Result};
use crate::exit::Status;
use crate::user::Account;

/// Where the database is if nothing else is said.
pub const STATE: &str = "/var/lib/fimk";
/// Where the sockets are if nothing else is said.
pub const RUN: &str = "/run/fimk";

const PRIVATE: Mode = Mode::S_IRWXU;
/// A symbolic link in its place is an error.
const EXISTING: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
const OTHERS_MAY_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Makes `path` a directory of `account` with mode 0700. One that exists is taken if it is that
/// account's already, or root's and empty.
pub fn prepare(path: &Path, account: Account) -> Result<()> {
    let (parent, name) = make_parent(path)?;
    let directory =
        make(&parent, &name, PRIVATE).map_err(|cause| io(path, "cannot be made", cause))?;
    let found = fstat(&directory).map_err(|cause| io(path, "cannot be read", cause))?;
    if found.st_uid == 0 {
        if !is_empty(&directory) {
            return Err(refused(
                path,
                "it is root's and not empty: name another, or chown it to the analyzer's user",
            ));
        }
    } else if found.st_uid != account.uid.as_raw() {
        return Err(refused(
            path,
            &format!(
                "it belongs to uid {}: remove it or name another",
                found.st_uid
            ),
        ));
    }
    fchown(&directory, Some(account.uid), Some(account.gid))
        .and_then(|()| fchmod(&directory, PRIVATE))
        .map_err(|cause| io(path, "cannot be given to the analyzer's user", cause))
}

/// Opens the directory above `path`, made if it is missing, and gives it with `path`'s last name.
/// Every directory on the way must be root's and not writable by others, or sticky.
pub fn make_parent(path: &Path) -> Result<(OwnedFd, PathBuf)> {
    walk(path, |parent, name| {
        make(parent, name, Mode::from_bits_truncate(0o755))
    })
}

/// As [`make_parent`], but a directory that is missing is an error.
pub fn open_parent(path: &Path) -> Result<(OwnedFd, PathBuf)> {
    walk(path, open)
}

/// Opens the directory in which the socket `path` is to lie, and gives it with the socket's name. It is made,
/// of root and the group of `account` with mode 0750, if it is missing; one that exists must be root's, and
/// nobody else may write to it.
pub fn shared_parent(path: &Path, account: Account) -> Result<(OwnedFd, PathBuf)> {
    let name = path
        .file_name()
        .ok_or_else(|| refused(path, "it names no file"))?;
    let above = path.parent().unwrap_or(Path::new("/"));
    let (parent, last) = make_parent(above)?;
    let failed = |cause| io(above, "cannot be made", cause);
    let directory = match open(&parent, &last) {
        Err(Errno::ENOENT) => make_shared(&parent, &last, account).map_err(failed)?,
        opened => opened.map_err(failed)?,
    };
    let found = fstat(&directory).map_err(|cause| io(above, "cannot be read", cause))?;
    if found.st_uid != 0 || found.st_mode & OTHERS_MAY_WRITE != 0 {
        let why = "others than root may write to it: name a directory of root's with mode 750";
        return Err(refused(above, why));
    }
    Ok((directory, PathBuf::from(name)))
}

/// Made under another name until it is whole: a loader that is killed meanwhile would leave one that the group never may enter.
fn make_shared(parent: &OwnedFd, name: &Path, account: Account) -> nix::Result<OwnedFd> {
    let unfinished = PathBuf::from(format!("{}.new", name.display()));
    let made = make(parent, &unfinished, PRIVATE)?;
    // In a directory like /tmp anybody could have made it.
    if fstat(&made)?.st_uid != 0 {
        return Err(Errno::EPERM);
    }
    fchown(&made, Some(Uid::from_raw(0)), Some(account.gid))?;
    fchmod(&made, Mode::from_bits_truncate(0o750))?;
    renameat(parent, unfinished.as_path(), parent, name)?;
    Ok(made)
}

fn walk(
    path: &Path,
    step: impl Fn(&OwnedFd, &Path) -> nix::Result<OwnedFd>,
) -> Result<(OwnedFd, PathBuf)> {
    let absolute =
        std::path::absolute(path).map_err(|cause| io(path, "has no absolute form", cause))?;
    let names = names(&absolute)
        .ok_or_else(|| refused(path, "give it as an absolute path without \"..\""))?;
    let (last, above) = names
        .split_last()
        .ok_or_else(|| refused(path, "it is the root directory"))?;
    let mut directory = openat(
        AT_FDCWD,
        "/",
        OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|cause| io(path, "cannot be reached", cause))?;
    let mut walked = PathBuf::from("/");
    for name in above {
        walked.push(name);
        directory = step(&directory, Path::new(name)).map_err(|cause| {
            io(
                &walked,
                "cannot be opened as a directory that is no symbolic link",
                cause,
            )
        })?;
        let found = fstat(&directory).map_err(|cause| io(&walked, "cannot be read", cause))?;
        if !only_root_renames_in(&found) {
            return Err(refused(
                &walked,
                "others than root may rename what is in it: name a place below root's directories",
            ));
        }
    }
    Ok((directory, PathBuf::from(last)))
}

fn names(absolute: &Path) -> Option<Vec<&OsStr>> {
    let mut components = absolute.components();
    if components.next() != Some(Component::RootDir) {
        return None;
    }
    components
        .map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect()
}

fn only_root_renames_in(found: &FileStat) -> bool {
    found.st_uid == 0 && (found.st_mode & OTHERS_MAY_WRITE == 0 || found.st_mode & STICKY != 0)
}

/// Opens the directory `name` of `parent`.
pub fn open(parent: &OwnedFd, name: &Path) -> nix::Result<OwnedFd> {
    openat(parent, name, EXISTING, Mode::empty())
}

/// Opens the directory `name` of `parent`; makes it, exactly of this mode, if it is missing.
pub fn make(parent: &OwnedFd, name: &Path, mode: Mode) -> nix::Result<OwnedFd> {
    match open(parent, name) {
        Err(Errno::ENOENT) => {}
        opened => return opened,
    }
    match mkdirat(parent, name, PRIVATE) {
        Err(Errno::EEXIST) => return open(parent, name),
        done => done?,
    }
    let directory = open(parent, name)?;
    fchmod(&directory, mode)?;
    Ok(directory)
}

fn is_empty(directory: &OwnedFd) -> bool {
    std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))
        .is_ok_and(|mut entries| entries.next().is_none())
}

fn io(path: &Path, what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Status::Io, format!("{} {what}: {cause}", path.display()))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(Status::Io, format!("{} is not used: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_dots_or_without_a_root_has_no_names() {
        assert_eq!(names(Path::new("/a/../b")), None);
        assert_eq!(names(Path::new("a/b")), None);
        assert_eq!(
            names(Path::new("/a//b/")),
            Some(vec![OsStr::new("a"), OsStr::new("b")])
        );
    }
}
