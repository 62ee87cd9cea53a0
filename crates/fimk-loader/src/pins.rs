//! The pin directory: lock of the instance, and place of what outlives it with `--keep`.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, fchmod, fstat, fstatat};
use nix::sys::statfs::{BPF_FS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::directories;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::log;

/// A directory may be removed by the loader before us between our opening and locking it.
const ATTEMPTS: u32 = 8;

/// The locked pin directory and the names of what we pinned in it.
pub struct Pins {
    path: PathBuf,
    parent: OwnedFd,
    name: PathBuf,
    directory: File,
    pinned: Vec<String>,
}

impl Pins {
    /// Makes and locks the directory, and removes what a dead loader left in it.
    pub fn lock(path: &Path) -> Result<Self> {
        let (parent, name) = directories::open_parent(path)?;
        let place = fstatfs(&parent).map_err(|cause| io(path, cause))?;
        if place.filesystem_type() != BPF_FS_MAGIC {
            return Err(Error::new(
                Status::Kernel,
                format!(
                    "{} is not below a BPF file system: mount one (mount -t bpf bpf /sys/fs/bpf)",
                    path.display()
                ),
            ));
        }
        for _ in 0..ATTEMPTS {
            let directory = directories::make(&parent, &name, Mode::S_IRWXU)
                .map_err(|cause| io(path, cause))?;
            let found = fstat(&directory).map_err(|cause| io(path, cause))?;
            if found.st_uid != 0 {
                return Err(io(
                    path,
                    format!("it belongs to uid {}; remove it", found.st_uid),
                ));
            }
            fchmod(&directory, Mode::S_IRWXU).map_err(|cause| io(path, cause))?;
            let directory = File::from(directory);
            if directory.try_lock().is_err() {
                let sentence = format!(
                    "another fimk-loader uses {}: stop it or name another --pin-dir",
                    path.display()
                );
                return Err(Error::new(Status::Second, sentence));
            }
            if fstat(&directory).is_ok_and(|found| found.st_nlink > 0) {
                let pins = Self {
                    path: path.to_owned(),
                    parent,
                    name,
                    directory,
                    pinned: Vec::new(),
                };
                pins.remove_stale()?;
                return Ok(pins);
            }
        }
        Err(io(path, "it is removed again and again"))
    }

    /// Pins something by the function given, which is told the path to pin at.
    pub fn pin<E: std::fmt::Display>(
        &mut self,
        name: &str,
        pin: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> Result<()> {
        pin(&self.reach(name)).map_err(|cause| {
            Error::new(
                Status::Kernel,
                format!(
                    "{} cannot be pinned in {}: {cause}",
                    name,
                    self.path.display()
                ),
            )
        })?;
        self.pinned.push(name.to_owned());
        Ok(())
    }

    /// Removes every pin and the directory.
    pub fn remove(&mut self) {
        for name in std::mem::take(&mut self.pinned) {
            if let Err(cause) = unlinkat(&self.directory, name.as_str(), UnlinkatFlags::NoRemoveDir)
            {
                log::line(format_args!(
                    "the pin {name} in {} stays: {cause}",
                    self.path.display()
                ));
            }
        }
        if let Err(cause) = unlinkat(&self.parent, self.name.as_path(), UnlinkatFlags::RemoveDir) {
            log::line(format_args!("{} stays: {cause}", self.path.display()));
        }
    }

    /// The directories in which [`Pins::remove`] must be able to unlink.
    pub fn descriptors(&self) -> [i32; 2] {
        [self.directory.as_raw_fd(), self.parent.as_raw_fd()]
    }

    /// By our own descriptor: no name on the way can be exchanged under us.
    fn reach(&self, name: &str) -> PathBuf {
        PathBuf::from(format!(
            "/proc/self/fd/{}/{name}",
            self.directory.as_raw_fd()
        ))
    }

    fn remove_stale(&self) -> Result<()> {
        let entries = std::fs::read_dir(self.reach("")).map_err(|cause| io(&self.path, cause))?;
        let mut removed = 0;
        for entry in entries {
            let name = entry.map_err(|cause| io(&self.path, cause))?.file_name();
            let found = fstatat(
                self.directory.as_fd(),
                name.as_os_str(),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            )
            .map_err(|cause| io(&self.path, cause))?;
            if found.st_uid != 0 {
                return Err(io(
                    &self.path,
                    format!(
                        "{} in it belongs to uid {}; remove it",
                        name.display(),
                        found.st_uid
                    ),
                ));
            }
            unlinkat(
                self.directory.as_fd(),
                name.as_os_str(),
                UnlinkatFlags::NoRemoveDir,
            )
            .map_err(|cause| io(&self.path, cause))?;
            removed += 1;
        }
        if removed > 0 {
            log::line(format_args!(
                "{removed} pins of a loader that is gone were removed from {}",
                self.path.display()
            ));
        }
        Ok(())
    }
}

fn io(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::new(
        Status::Io,
        format!(
            "the pin directory {} cannot be used: {cause}",
            path.display()
        ),
    )
}
