//! Every kind of attempt of the plan table, made once.

use std::fs::{self, File, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Uid, fchdir, setgid, setgroups, setuid, truncate};

use super::room::{Room, watch};
use crate::system;
use crate::system::trial;

/// The user who is refused: owns nothing, by convention.
const NOBODY: u32 = 65534;

/// Makes an attempt. `now` is called when all is prepared, just before. An error says why it cannot be made here.
pub fn perform(operation: &str, room: &Room, now: &dyn Fn()) -> Result<()> {
    match operation {
        "opened" => {
            let (path, _) = room.named_file()?;
            now();
            File::open(path).map(drop)
        }
        // Our own program: the directory may be on a file system from which nothing is executed.
        "executed" | "executed script" => {
            fs::metadata("/proc/self/exe")?;
            now();
            let mut command = Command::new("/proc/self/exe");
            command.arg("--version");
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.status().map(drop)
        }
        denied => refused(denied, &Scene::new(room)?, now),
    }
}

/// A watched directory that everybody may search, with a file in it that only root may touch.
struct Scene {
    directory: File,
    file: File,
}

const FILE: &str = "file";
const NEW: &str = "new";
const DIRECTORY: &str = "directory";

impl Scene {
    fn new(room: &Room) -> Result<Self> {
        let path = room.directory()?;
        fs::set_permissions(&path, Permissions::from_mode(0o711))?;
        let inside = |name: &str| -> PathBuf { path.join(name) };
        let file = File::create(inside(FILE))?;
        // Who may read and write a file may ask for another name of it.
        file.set_permissions(Permissions::from_mode(0o666))?;
        fs::create_dir(inside(DIRECTORY))?;
        watch(&inside(FILE))?;
        watch(&inside(DIRECTORY))?;
        Ok(Self {
            directory: File::open(&path)?,
            file,
        })
    }
}

/// In a child that is nobody and works in the directory. Its status is the errno of what went wrong.
fn refused(operation: &str, scene: &Scene, now: &dyn Fn()) -> Result<()> {
    if operation != "denied link" {
        scene.file.set_permissions(Permissions::from_mode(0o600))?;
    }
    now();
    let child = system::fork(|| {
        let done = become_nobody(&scene.directory)
            .map_err(|cause| cause.raw_os_error().unwrap_or(libc::EIO))
            .map(|()| attempt(operation, &scene.file));
        match done {
            Err(errno) => errno,
            Ok(Err(cause)) if cause.kind() == ErrorKind::PermissionDenied => 0,
            Ok(Err(cause)) => cause.raw_os_error().unwrap_or(libc::EIO),
            Ok(Ok(())) => libc::EISCONN,
        }
    })?;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, libc::EISCONN) => Err(Error::other("it was not refused")),
        WaitStatus::Exited(_, errno) => Err(Error::from_raw_os_error(errno)),
        _ => Err(Error::other("its process was killed")),
    }
}

fn become_nobody(directory: &File) -> Result<()> {
    fchdir(directory)?;
    setgroups(&[])?;
    setgid(Gid::from_raw(NOBODY))?;
    Ok(setuid(Uid::from_raw(NOBODY))?)
}

fn attempt(operation: &str, file: &File) -> Result<()> {
    let path = Path::new(FILE);
    match operation {
        "denied open" => File::open(path).map(drop),
        "denied chmod" => fs::set_permissions(path, Permissions::from_mode(0o644)),
        "denied chown" => chown(path, Some(NOBODY), None),
        "denied utimes" => {
            let (times, follow) = (TimeSpec::new(1, 0), UtimensatFlags::FollowSymlink);
            Ok(utimensat(AT_FDCWD, path, &times, &times, follow)?)
        }
        "denied truncate" => Ok(truncate(path, 1)?),
        "denied setxattr" => trial::set_attribute(file, c"user.fimk", b"x"),
        "denied removexattr" => trial::remove_attribute(file, c"user.fimk"),
        "denied unlink" => fs::remove_file(path),
        "denied rmdir" => fs::remove_dir(DIRECTORY),
        "denied rename" => fs::rename(path, NEW),
        "denied link" => fs::hard_link(path, NEW),
        "denied mkdir" => fs::create_dir(NEW),
        "denied symlink" => symlink("nowhere", NEW),
        "denied mknod" => Ok(mknod(NEW, SFlag::S_IFIFO, Mode::S_IRUSR, 0)?),
        other => Err(Error::other(format!("there is no way to attempt {other}"))),
    }
}
