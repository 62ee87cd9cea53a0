//! The key of the analyzer's tokens and digests: made once, never read here again.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstatat};
use nix::unistd::{Uid, UnlinkatFlags, fchown, linkat, unlinkat};

use crate::directories;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::user::Account;

const PATH: &str = "/etc/fimk/digest.key";
/// As long as the hash it keys (SHA-256).
const BYTES: usize = 32;

/// Makes `/etc/fimk/digest.key` (0640, root and the group of `account`) if it is missing.
pub fn ensure(account: Account) -> Result<()> {
    let (directory, name) = directories::make_parent(Path::new(PATH))?;
    if fstatat(&directory, name.as_path(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
        return Ok(());
    }
    make(&directory, &name, account).map_err(|cause| {
        let hint = hint(&cause);
        Error::new(Status::Io, format!("{PATH} cannot be made: {cause}{hint}"))
    })
}

/// A unit may write to nothing below `/etc`: there the key comes with the package.
fn hint(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => {
            "; where a unit keeps the loader from writing there, run /usr/libexec/fimk/prepare, then start it again"
        }
        _ => "",
    }
}

/// Written under another name and then linked: a key that is there is whole, and never replaced.
fn make(directory: &OwnedFd, name: &Path, account: Account) -> std::io::Result<()> {
    let new = format!(".digest.key.{}", std::process::id());
    let new = new.as_str();
    match unlinkat(directory, new, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(cause) => return Err(cause.into()),
    }
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(
        directory,
        new,
        flags,
        Mode::S_IRUSR | Mode::S_IWUSR,
    )?);
    let mut key = [0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    file.write_all(&key)?;
    fchown(file.as_fd(), Some(Uid::from_raw(0)), Some(account.gid))?;
    fchmod(file.as_fd(), Mode::from_bits_truncate(0o640))?;
    file.sync_all()?;
    let linked = linkat(directory, new, directory, name, AtFlags::empty());
    unlinkat(directory, new, UnlinkatFlags::NoRemoveDir)?;
    match linked {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_can_be_written_it_is_said_what_makes_the_key() {
        assert!(hint(&Errno::EROFS.into()).contains("/usr/libexec/fimk/prepare"));
        assert_eq!(hint(&Errno::ENOSPC.into()), "");
    }
}
