//! The pin directory: lock of the instance, and place of what outlives the loader.
//!
//! What a bring-up pins lies under `new_…` until [`Pins::settle`]: then it takes its name, in the place of what a
//! loader before us pinned there. So at no moment is nothing attached.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::MapHandle;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::sys::statfs::{BPF_FS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::directories;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::life;
use crate::log;

/// A directory may be removed by the loader before us between our opening and locking it.
const ATTEMPTS: u32 = 8;
/// Names in the directory that are looked at. Ours are fewer than a hundred, twice that while a build is replaced.
const NAMES_MAX: usize = 1024;
/// What everything is pinned under first. (A name on a BPF file system has no dot.)
pub const NEW: &str = "new_";
/// The map that says whose the pins are; see [`crate::adopt`].
pub const META: &str = "meta";
/// What pins of links begin with.
pub const LINK: &str = "link_";

/// The locked pin directory and the names of what is in it.
pub struct Pins {
    path: PathBuf,
    parent: OwnedFd,
    name: PathBuf,
    directory: File,
    /// Left by a loader that is gone.
    found: BTreeSet<String>,
    /// Taken over, or ours and settled.
    pinned: BTreeSet<String>,
    /// Ours, under `new_…`.
    fresh: BTreeSet<String>,
    /// Set by [`crate::adopt`]: what was found is of this very build, and whole.
    pub adopts: bool,
    /// The ids of the maps that were taken over.
    pub adopted_maps: Vec<u32>,
}

impl Pins {
    /// Makes and locks the directory; what lies in it must be root's alone.
    pub fn lock(path: &Path) -> Result<Self> {
        let (parent, name) = open_parent(path)?;
        for _ in 0..ATTEMPTS {
            let directory = directories::make(&parent, &name, Mode::S_IRWXU)
                .map_err(|cause| io(path, cause))?;
            if let Some(pins) = Self::take(path, &parent, &name, directory)? {
                return Ok(pins);
            }
        }
        Err(io(path, "it is removed again and again"))
    }

    /// Locks the directory if there is one.
    pub fn lock_existing(path: &Path) -> Result<Option<Self>> {
        let (parent, name) = open_parent(path)?;
        match directories::open(&parent, &name) {
            Err(Errno::ENOENT) => Ok(None),
            Err(cause) => Err(io(path, cause)),
            Ok(directory) => Self::take(path, &parent, &name, directory),
        }
    }

    /// `None`: it was removed meanwhile.
    fn take(
        path: &Path,
        parent: &OwnedFd,
        name: &Path,
        directory: OwnedFd,
    ) -> Result<Option<Self>> {
        let found = fstat(&directory).map_err(|cause| io(path, cause))?;
        if found.st_uid != 0 {
            let uid = found.st_uid;
            return Err(io(path, format!("it belongs to uid {uid}; remove it")));
        }
        let directory = File::from(directory);
        directory
            .try_lock()
            .map_err(|cause| not_locked(path, cause))?;
        if fstat(&directory).is_ok_and(|found| found.st_nlink == 0) {
            return Ok(None);
        }
        let mut pins = Self {
            path: path.to_owned(),
            parent: parent.try_clone().map_err(|cause| io(path, cause))?,
            name: name.to_owned(),
            directory,
            found: BTreeSet::new(),
            pinned: BTreeSet::new(),
            fresh: BTreeSet::new(),
            adopts: false,
            adopted_maps: Vec::new(),
        };
        pins.read()?;
        if found.st_mode & 0o7777 != 0o700 {
            // Others could have put things into it; into an empty one nobody has.
            if !pins.found.is_empty() {
                let mode = found.st_mode & 0o7777;
                return Err(io(
                    path,
                    format!("its mode is {mode:o} and not 700; remove it"),
                ));
            }
            fchmod(&pins.directory, Mode::S_IRWXU).map_err(|cause| io(path, cause))?;
        }
        Ok(Some(pins))
    }

    /// Learns what is there; anything that is not root's alone is refused.
    fn read(&mut self) -> Result<()> {
        let entries = std::fs::read_dir(self.reach("")).map_err(|cause| io(&self.path, cause))?;
        for entry in entries {
            let name = entry.map_err(|cause| io(&self.path, cause))?.file_name();
            let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
            let found = fstatat(self.directory.as_fd(), name.as_os_str(), flags)
                .map_err(|cause| io(&self.path, cause))?;
            if let Some(why) = not_a_pin_of_root(&found) {
                let name = name.display();
                return Err(io(&self.path, format!("{name} in it {why}; remove it")));
            }
            match name.into_string() {
                Ok(name) if self.found.len() < NAMES_MAX => self.found.insert(name),
                _ => {
                    return Err(io(
                        &self.path,
                        "it is full of what is not fimk's; remove it",
                    ));
                }
            };
        }
        Ok(())
    }

    /// Pins something by the function given, which is told the path to pin at. What was taken over stays.
    pub fn pin<E: std::fmt::Display>(
        &mut self,
        name: &str,
        pin: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> Result<()> {
        if self.pinned.contains(name) {
            return Ok(());
        }
        pin(&self.reach(&format!("{NEW}{name}"))).map_err(|cause| {
            let path = self.path.display();
            let sentence = format!("{name} cannot be pinned in {path}: {cause}");
            Error::new(Status::Kernel, sentence)
        })?;
        self.fresh.insert(name.to_owned());
        Ok(())
    }

    /// What a loader before us left under this name, and where.
    pub fn found(&self, name: &str) -> Option<PathBuf> {
        self.found.contains(name).then(|| self.reach(name))
    }

    /// The names of all that a loader before us left.
    pub fn names_found(&self) -> impl Iterator<Item = &str> {
        self.found.iter().map(String::as_str)
    }

    /// Opens the map that a loader before us left under this name.
    pub fn found_map(&self, name: &str) -> Option<MapHandle> {
        MapHandle::from_pinned_path(self.found(name)?).ok()
    }

    /// Takes over what was found under this name.
    pub fn keep(&mut self, name: &str) {
        if self.found.remove(name) {
            self.pinned.insert(name.to_owned());
        }
    }

    /// Takes that back: what is pinned under this name is to be replaced.
    pub fn give_up(&mut self, name: &str) {
        if self.pinned.remove(name) {
            self.found.insert(name.to_owned());
        }
    }

    /// How many things are pinned by this loader or taken over by it.
    pub fn len(&self) -> usize {
        self.pinned.len() + self.fresh.len()
    }

    /// Removes what was found, and says how many it was.
    pub fn discard_found(&mut self) -> Result<usize> {
        let found = std::mem::take(&mut self.found);
        self.discard(&found)
    }

    /// Removes what was found of a bring-up that did not come to its end.
    pub fn discard_unfinished(&mut self) -> Result<()> {
        let found = std::mem::take(&mut self.found);
        let (unfinished, found) = found.into_iter().partition(|name| name.starts_with(NEW));
        self.found = found;
        self.discard(&unfinished).map(drop)
    }

    fn discard(&self, names: &BTreeSet<String>) -> Result<usize> {
        for name in links_first(names) {
            self.unlink(name).map_err(|cause| io(&self.path, cause))?;
            life::sign();
        }
        Ok(names.len())
    }

    /// What is ours takes its name, in the place of what was found under it. The rest of that goes.
    pub fn settle(&mut self) -> Result<()> {
        let fresh = std::mem::take(&mut self.fresh);
        // What says whose the pins are comes first, and maps before links: one that is there leads to maps that are.
        let mut names = links_first(&fresh);
        names.reverse();
        names.sort_by_key(|&name| name != META);
        for name in names {
            let new = format!("{NEW}{name}");
            renameat(&self.directory, new.as_str(), &self.directory, name)
                .map_err(|cause| io(&self.path, cause))?;
            self.found.remove(name);
            self.pinned.insert(name.to_owned());
        }
        self.discard_found().map(drop)
    }

    /// Removes every pin that is ours or was taken over, links first, and then the directory. What was found and
    /// never looked at stays as it is.
    pub fn remove(&mut self) {
        let mut names = std::mem::take(&mut self.pinned);
        let fresh = std::mem::take(&mut self.fresh);
        names.extend(fresh.iter().map(|name| format!("{NEW}{name}")));
        for name in links_first(&names) {
            if let Err(cause) = self.unlink(name) {
                let path = self.path.display();
                log::line(format_args!("the pin {name} in {path} stays: {cause}"));
            }
        }
        if !self.found.is_empty() {
            let path = self.path.display();
            log::line(format_args!(
                "what an earlier loader pinned in {path} stays"
            ));
            return;
        }
        if let Err(cause) = unlinkat(&self.parent, self.name.as_path(), UnlinkatFlags::RemoveDir) {
            log::line(format_args!("{} stays: {cause}", self.path.display()));
        }
    }

    /// The directories in which [`Pins::remove`] must be able to unlink.
    pub fn descriptors(&self) -> [i32; 2] {
        [self.directory.as_raw_fd(), self.parent.as_raw_fd()]
    }

    /// As it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn unlink(&self, name: &str) -> nix::Result<()> {
        unlinkat(self.directory.as_fd(), name, UnlinkatFlags::NoRemoveDir)
    }

    /// By our own descriptor: no name on the way can be exchanged under us.
    fn reach(&self, name: &str) -> PathBuf {
        PathBuf::from(format!(
            "/proc/self/fd/{}/{name}",
            self.directory.as_raw_fd()
        ))
    }
}

fn open_parent(path: &Path) -> Result<(OwnedFd, PathBuf)> {
    let (parent, name) = directories::open_parent(path)?;
    let place = fstatfs(&parent).map_err(|cause| io(path, cause))?;
    if place.filesystem_type() == BPF_FS_MAGIC {
        return Ok((parent, name));
    }
    let path = path.display();
    let sentence =
        format!("{path} is not below a BPF file system: mount one (mount -t bpf bpf /sys/fs/bpf)");
    Err(Error::new(Status::Kernel, sentence))
}

/// Programs are detached before the maps go that they fill.
fn links_first(names: &BTreeSet<String>) -> Vec<&str> {
    let (links, maps): (Vec<&str>, Vec<&str>) = names
        .iter()
        .map(String::as_str)
        .partition(|name| name.trim_start_matches(NEW).starts_with(LINK));
    [links, maps].concat()
}

/// On a BPF file system a regular file is a pinned object: nothing else can make one.
fn not_a_pin_of_root(found: &FileStat) -> Option<String> {
    if found.st_uid != 0 {
        return Some(format!("belongs to uid {}", found.st_uid));
    }
    if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Some("is no pinned object".to_owned());
    }
    let mode = found.st_mode & 0o7777;
    (mode != 0o600).then(|| format!("has mode {mode:o} and not 600"))
}

/// What the kernel refuses altogether, as a security module may, is not another instance.
fn not_locked(path: &Path, cause: TryLockError) -> Error {
    match cause {
        TryLockError::WouldBlock => Error::new(
            Status::Second,
            format!(
                "another fimk-loader uses {}: stop it or name another --pin-dir",
                path.display()
            ),
        ),
        TryLockError::Error(cause) => io(path, format!("it cannot be locked ({cause})")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_go_before_maps_under_either_name() {
        let names = ["actors", "link_a", "new_link_b", "new_ring", "zone"].map(String::from);
        assert_eq!(
            links_first(&names.into()),
            ["link_a", "new_link_b", "actors", "new_ring", "zone"]
        );
    }
}
