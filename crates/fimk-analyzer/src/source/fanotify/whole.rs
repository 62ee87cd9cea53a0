//! Marks on whole file systems, which the loader's marker makes for us.

use std::{os::fd::AsFd as _, os::fd::OwnedFd, time::Duration};

use libc::{major, minor};
use nix::errno::Errno;

use super::Fanotify;
use crate::{
    exit::log,
    fanotify::{FileSystem, Group, Whole},
};

impl Fanotify {
    /// Whether there is who marks file systems.
    pub fn has_marker(&self) -> bool {
        self.marker.is_some()
    }

    /// Whether enough is told for changes of one to be told as a whole.
    pub fn takes_wholes(&self) -> bool {
        self.has_marker() && self.group.takes_wholes()
    }

    /// Everything that changes on the file system of this directory is told: nothing on it needs a mark of its own.
    ///
    /// # Errors
    /// What the kernel says; nothing is marked then.
    pub fn begin_whole(&mut self, directory: &OwnedFd) -> nix::Result<FileSystem> {
        let id = Group::file_system_of(directory)?;
        match self.ask(Whole::Changes, directory) {
            Ok(()) => self.group.begin_whole(id),
            Err(errno) => {
                if errno == Errno::ETIMEDOUT {
                    // It may be made yet.
                    self.group.stray_whole(id);
                }
                return Err(errno);
            }
        }
        Ok(id)
    }

    /// What is on it is to be marked by the next walk, though all of it is still told.
    pub fn leave_whole(&mut self, id: FileSystem) {
        self.group.leave_whole(id);
    }

    /// It was walked, and is not to be told as a whole any more.
    ///
    /// # Errors
    /// What the kernel says; it is still marked then, which costs time and nothing else.
    pub fn end_whole(&mut self, id: FileSystem, directory: &OwnedFd) -> nix::Result<()> {
        match self.ask(Whole::NoChanges, directory) {
            // It was unmounted meanwhile, and another one has its number.
            Ok(()) | Err(Errno::ENOENT) => self.group.end_whole(id),
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// The file system is mounted here no more. Where it is mounted elsewhere, or somebody uses it still, so is its mark.
    pub fn lost_whole(&mut self, id: FileSystem) {
        self.group.stray_whole(id);
    }

    /// The number of the file system of this directory, if that may be marked as a whole.
    pub fn may_be_whole(&self, directory: &OwnedFd) -> Option<FileSystem> {
        let id = Group::file_system_of(directory).ok()?;
        self.group.may_be_whole(id).then_some(id)
    }

    /// Whether events of this directory's file system are not taken for those of another.
    pub fn is_unlike_others(&mut self, directory: &OwnedFd) -> bool {
        // Where this cannot be asked, no mark can be made either.
        self.group.is_unlike_others(directory).unwrap_or(true)
    }

    /// Only these are mounted now.
    pub fn retain_devices(&mut self, mounted: impl Fn((u32, u32)) -> bool) {
        self.group
            .retain_devices(|device| mounted((major(device), minor(device))));
    }

    /// The errors that the file system of this directory reports are told.
    ///
    /// # Errors
    /// What the kernel says: not every kernel and file system tells of them.
    pub fn tell_errors(&mut self, directory: &OwnedFd) -> nix::Result<FileSystem> {
        let id = Group::file_system_of(directory)?;
        self.ask(Whole::Errors, directory)?;
        Ok(id)
    }

    /// Those of which too much is told that is none of ours: how many events in how long.
    pub fn costly_wholes(&self) -> Vec<(FileSystem, u64, Duration)> {
        self.group.costly_wholes()
    }

    fn ask(&mut self, whole: Whole, directory: &OwnedFd) -> nix::Result<()> {
        let marker = self.marker.as_mut().ok_or(Errno::ESRCH)?;
        let asked = marker.mark(whole, directory.as_fd());
        if let Err(Errno::ETIMEDOUT | Errno::EPIPE | Errno::ECONNRESET | Errno::EAGAIN) = asked {
            log(
                "the loader's process that marks file systems does not answer: objects are marked one by one until the loader is started anew",
            );
            self.marker = None;
        }
        asked
    }
}
