//! The fanotify source: a group that the loader made, with marks that the analyzer sets itself.
//!
//! An event names a directory by its file handle and an entry of it by name. Handles are turned into paths by our
//! own table, filled when a directory is marked: overlayfs handles cannot be opened, and the path of an opened one may be wrong.

mod decode;
mod devices;
mod event;
mod handle;
mod marker;
mod order;
mod paths;
mod resolve;
mod sys;
mod wholes;

use std::{
    collections::BTreeSet,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    time::Duration,
};

use fimk_core::path::BytePath;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        fanotify::{Fanotify, MarkFlags},
        stat::fstat,
    },
    unistd,
};
use thiserror::Error;

use self::{
    decode::Events,
    devices::Devices,
    order::{Move, Order},
    paths::{Known, Paths},
    resolve::{aliases, resolve},
    wholes::Wholes,
};
use crate::{host, read::open_path};

pub use nix::sys::fanotify::MaskFlags;

pub use self::{
    event::{FanotifyEvent, PidState, Reported},
    marker::{Marker, Whole},
    wholes::FileSystem,
};

/// One read. About 700 events fit; each may bring a pidfd that is open until the read is decoded, so
/// `RLIMIT_NOFILE` must leave room for so many.
const BUFFER_BYTES: usize = 64 << 10;

/// What FIONREAD counts for each event: the size of its head.
const HEAD_BYTES: u64 = 24;

/// Reads of what an analyzer before us left in the queue: a million events and more.
const DISCARDED_READS_MAX: usize = 2_048;

/// Marks of one group. A mark pins an inode of about 1.3 kB in the kernel, which nothing else limits.
const MARKS_MAX: usize = 200_000;

/// What a mark on a directory tells of what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// Which names come, go and move: it only leads to what is of interest.
    Names,
    /// And what is done to what has them.
    Everything,
}

/// Why something could not be marked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MarkError {
    /// Nothing has this path now.
    #[error("nothing is there any more")]
    Gone,
    /// A link or something else lies where a directory was expected.
    #[error("it is not a directory")]
    NotDirectory,
    /// It, or a directory above it, may not be opened.
    #[error("it may not be opened ({0})")]
    Denied(String),
    /// The file system has no handles or takes no marks (`EXDEV`, `ENODEV`, `EOPNOTSUPP`).
    #[error("its file system cannot be watched by fanotify ({0})")]
    Unsupported(String),
    /// A limit: ours, or the kernel's (`fs.fanotify.max_user_marks`).
    #[error("no more marks can be set")]
    Full,
    /// Anything else, in the kernel's words.
    #[error("it could not be marked ({0})")]
    Other(String),
}

impl From<Errno> for MarkError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT | Errno::ESTALE => Self::Gone,
            Errno::ENOTDIR | Errno::ELOOP => Self::NotDirectory,
            Errno::EACCES | Errno::EPERM => Self::Denied(errno.to_string()),
            Errno::EXDEV | Errno::ENODEV | Errno::EOPNOTSUPP | Errno::EOVERFLOW => {
                Self::Unsupported(errno.to_string())
            }
            Errno::ENOSPC => Self::Full,
            _ => Self::Other(errno.to_string()),
        }
    }
}

/// A group, its marks, and the paths of what is marked.
#[derive(Debug)]
pub struct Group {
    fanotify: Fanotify,
    paths: Paths,
    order: Order,
    wholes: Wholes,
    devices: Devices,
    /// Whether objects are told beside names.
    tells_objects: bool,
    /// Whether the group takes `FAN_RENAME`; learnt at the first mark, for no version tells.
    rename: bool,
    buffer: Vec<u8>,
}

impl Group {
    /// From a descriptor of `fanotify_init` with `FAN_REPORT_DFID_NAME` among its `flags`. Makes it non-blocking.
    ///
    /// # Errors
    /// If it names no entries, or cannot be made non-blocking.
    pub fn new(fd: OwnedFd, flags: u32) -> io::Result<Self> {
        if flags & libc::FAN_REPORT_DFID_NAME != libc::FAN_REPORT_DFID_NAME {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the fanotify group does not report names",
            ));
        }
        let status = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(status | OFlag::O_NONBLOCK))?;
        Ok(Self {
            fanotify: sys::group(fd),
            paths: Paths::new(MARKS_MAX),
            order: Order::default(),
            wholes: Wholes::default(),
            devices: Devices::default(),
            tells_objects: flags & libc::FAN_REPORT_TARGET_FID != 0,
            rename: true,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Watches a directory and what is in it, not the directories below; `attempts` are events beside changes. Marking again is
    /// harmless; a directory marked under another path has the new path from then on.
    ///
    /// # Errors
    /// See [`MarkError`]. Nothing is marked then.
    pub fn mark_directory(
        &mut self,
        path: &BytePath,
        within: Within,
        attempts: MaskFlags,
    ) -> Result<(), MarkError> {
        let directory = open_path(
            path,
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK,
        )?;
        let handle = handle::of(&directory)?;
        if !self.devices.is_one(&handle, fstat(&directory)?.st_dev) {
            let why = "another that is watched has the same number, as a copy has";
            return Err(MarkError::Unsupported(why.to_owned()));
        }
        self.paths.room_for(&handle)?;
        let changes = match within {
            Within::Names => names_mask(),
            Within::Everything => names_mask() | content_mask() | MaskFlags::FAN_EVENT_ON_CHILD,
        };
        self.mark(&directory, &handle, None, changes, attempts)?;
        self.wholes.leads(&handle, within == Within::Names);
        if let Known::Path(known) = self.paths.get(&handle)
            && known != path
            && !is_at(&directory, known)
        {
            self.order.found_elsewhere(&handle, known);
        }
        self.paths.insert(handle, path);
        Ok(())
    }

    /// Watches an object by itself, whatever name it is changed under. It is not opened for reading; a link is marked itself.
    ///
    /// # Errors
    /// See [`MarkError`]. Nothing is marked then.
    pub fn mark_file(&mut self, path: &BytePath, attempts: MaskFlags) -> Result<(), MarkError> {
        let place = open_path(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        let handle = handle::of(&place)?;
        self.paths.room_for(&handle)?;
        let name = format!("/proc/self/fd/{}", place.as_raw_fd());
        self.mark(&place, &handle, Some(&name), content_mask(), attempts)?;
        self.paths.insert_name(handle, path);
        Ok(())
    }

    /// Of a directory there is no `path`. Where the file system is marked, only attempts are left to be asked for.
    fn mark(
        &mut self,
        object: &OwnedFd,
        handle: &[u8],
        path: Option<&str>,
        mask: MaskFlags,
        attempts: MaskFlags,
    ) -> nix::Result<()> {
        let directory = path.is_none();
        let add = |mask| {
            self.fanotify
                .mark(MarkFlags::FAN_MARK_ADD, mask, object, path)
        };
        if self.wholes.serve(handle) {
            return match attempts.is_empty() {
                true => Ok(()),
                false if directory => {
                    add(attempts | MaskFlags::FAN_ONDIR | MaskFlags::FAN_EVENT_ON_CHILD)
                }
                false => add(attempts),
            };
        }
        let mask = mask | attempts;
        if !directory {
            return add(mask);
        }
        if self.rename {
            match add(mask | MaskFlags::FAN_RENAME) {
                Err(Errno::EINVAL) => self.rename = false,
                done => return done,
            }
        }
        self.fanotify.mark(
            MarkFlags::FAN_MARK_ADD,
            mask | MaskFlags::FAN_MOVE,
            object,
            path,
        )
    }

    /// Whether enough is told for file systems to be marked as a whole: of a new directory, which one it is.
    pub fn takes_wholes(&self) -> bool {
        self.tells_objects && self.rename
    }

    /// Which file system this is on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn file_system_of(directory: &OwnedFd) -> nix::Result<FileSystem> {
        handle::file_system(directory)
    }

    /// A file system was marked: what is on it needs no mark of its own.
    pub fn begin_whole(&mut self, id: FileSystem) {
        self.wholes.begin(id);
    }

    /// What is on it is to be marked, though it is still marked itself.
    pub fn leave_whole(&mut self, id: FileSystem) {
        self.wholes.leave(id);
    }

    /// It is not marked any more.
    pub fn end_whole(&mut self, id: FileSystem) {
        self.wholes.end(id);
    }

    /// It may be marked still, though it is not mounted here any more, or nobody answered.
    pub fn stray_whole(&mut self, id: FileSystem) {
        self.wholes.stray(id);
    }

    /// Whether this file system may be marked as a whole.
    pub fn may_be_whole(&self, id: FileSystem) -> bool {
        self.wholes.has(&id)
    }

    /// Whether no other file system that is watched has handles that look like those of this directory: ext4 takes the number
    /// that they begin with from what is on the disk, and so a copy of it has the same.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_unlike_others(&mut self, directory: &OwnedFd) -> nix::Result<bool> {
        let handle = handle::of(directory)?;
        Ok(self.devices.is_one(&handle, fstat(directory)?.st_dev))
    }

    /// Lets go of what is known of file systems on other devices than these.
    pub fn retain_devices(&mut self, mounted: impl Fn(libc::dev_t) -> bool) {
        self.devices.retain(mounted);
    }

    /// Those that tell of too much that is none of ours: how many events, and in how long.
    pub fn costly_wholes(&self) -> Vec<(FileSystem, u64, Duration)> {
        self.wholes.costly(self.marked())
    }

    /// A directory that no walk has met has another name, out of sight if it has none; or it is gone.
    pub fn moved_newborn(&mut self, event: &FanotifyEvent, reached: bool) {
        if let Some(object) = event.handles.object.as_deref() {
            let above = event.handles.new.as_deref().filter(|_| reached);
            let to = above.map(|above| (above, event.name.as_slice()));
            self.wholes.moved(object, to);
        }
    }

    /// Whether renames come as one event with both names.
    #[cfg(test)]
    pub fn reports_renames(&self) -> bool {
        self.rename
    }

    /// A marked directory has another path now, and so has all that is marked below it. What was at the new path is forgotten.
    pub fn moved(&mut self, old: &BytePath, new: &BytePath) {
        self.paths.moved(old, new);
    }

    /// Whether what an event tells of the object at this path is over: the object was marked elsewhere since, or another there.
    pub fn is_over(&self, event: &FanotifyEvent, path: &BytePath) -> bool {
        let object = event.handles.object.as_deref();
        object.is_some_and(|handle| self.paths.has_moved_on(handle, path))
    }

    /// Takes note of what an event tells of a directory, before anything is done about it. `old`: where it was; `new`: where it
    /// is, unless it is no more, or out of sight.
    pub fn heard(&mut self, event: &FanotifyEvent, old: Option<&BytePath>, new: Option<&BytePath>) {
        let (Some(object), Some(old)) = (event.handles.object.as_deref(), old) else {
            return;
        };
        let known = match self.paths.get(object) {
            Known::Path(known) => Some(known),
            Known::Forgotten | Known::No => None,
        };
        let above = event.handles.old.as_deref();
        let it = Move {
            object,
            above: above.or(event.handles.new.as_deref()),
            old,
            new,
        };
        self.order.moved(&it, known);
    }

    /// A directory comes to where another is, which the kernel lets happen only to one that goes with that.
    pub fn displaces(&mut self, event: &FanotifyEvent, path: &BytePath) {
        if let Some(handle) = self.paths.at(path)
            && event.handles.object.is_some()
            && event.handles.object.as_deref() != Some(handle)
        {
            self.order.displaced(handle, path);
        }
    }

    /// Whether all that was heard of directories agrees so far.
    pub fn is_certain(&self) -> bool {
        self.order.is_certain()
    }

    /// Nothing waits in the queue, and all that was read was told, and what it names walked. What is gone is let go; gives the
    /// places of directories of which what was heard does not agree. Doubts of this moment are left, unless it is `now` or never.
    pub fn at_rest(&mut self, now: bool) -> BTreeSet<BytePath> {
        let broken = self.order.judge(&self.paths, now);
        self.paths.bury();
        self.wholes.at_rest();
        broken
    }

    /// What an event tells of a directory's move holds for it also where another stands at its former path by now; whether
    /// it has another path for it.
    pub fn follow(&mut self, event: &FanotifyEvent, new: Option<&BytePath>) -> bool {
        let object = event.handles.object.as_deref();
        object.is_some_and(|handle| self.paths.follow(handle, new))
    }

    /// A name of a file is gone.
    pub fn lost_name(&mut self, path: &BytePath) {
        self.paths.lost_name(path);
    }

    /// A path and all below it is not watched any more. Marks of what still exists elsewhere stay in the kernel; their events are dropped.
    pub fn forget(&mut self, path: &BytePath) {
        self.paths.forget(path);
    }

    /// Gives an event the paths of today: since it was read, what it names may have moved. What has none now keeps the one it had.
    pub fn refresh(&self, event: &mut FanotifyEvent) {
        let now = |handle: &Option<Box<[u8]>>| {
            let handle = handle.as_deref()?;
            match self.paths.get(handle) {
                Known::Path(path) => Some(path.clone()),
                Known::Forgotten => None,
                Known::No => self.wholes.path(handle, &self.paths),
            }
        };
        if let Some(path) = now(&event.handles.new) {
            event.directory = Some(path);
        }
        if let Some((old, path)) = event.old.as_mut().zip(now(&event.handles.old)) {
            old.0 = path;
        }
        let object = event.handles.object.as_ref();
        if let Some(path) = object.and_then(|it| self.paths.path(it)) {
            event.object = Some(path);
            event.aliases = aliases(event.handles.object.as_deref(), &self.paths);
        }
    }

    /// How many events wait to be read; 0 if the kernel does not say.
    pub fn queued(&self) -> u64 {
        sys::readable(&self.fanotify) / HEAD_BYTES
    }

    /// How many objects are marked.
    pub fn marked(&self) -> usize {
        self.paths.len()
    }

    /// Adds the events of one read to `out`; false when the queue is empty. `reaches`: whether a directory of this path is to be
    /// watched.
    ///
    /// # Errors
    /// What `read` says, or that the kernel speaks another version of the interface.
    pub fn read(
        &mut self,
        reaches: &dyn Fn(&BytePath) -> bool,
        out: &mut Vec<FanotifyEvent>,
    ) -> io::Result<bool> {
        let count = match unistd::read(&self.fanotify, &mut self.buffer) {
            Ok(count) => count,
            Err(Errno::EAGAIN) => return Ok(false),
            Err(Errno::EINTR) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        let mut events = Events::of(&self.buffer[..count]);
        for raw in &mut events {
            close(raw.fd);
            close(raw.pidfd.unwrap_or(-1));
            out.extend(resolve(&raw, &mut self.paths, &mut self.wholes, reaches));
        }
        if events.malformed() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the kernel's fanotify events are of an unknown form",
            ));
        }
        Ok(count > 0)
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fanotify.as_fd()
    }
}

impl Group {
    /// Throws away what waits in the queue of a group that an analyzer before us read. The first comparison finds it;
    /// by the time it could be examined, another may have written, and would be taken for the one in the queue.
    ///
    /// # Errors
    /// When the group cannot be read.
    pub fn discard_queue(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        // Whoever fills it faster than it is read must not keep us from starting.
        for _ in 0..DISCARDED_READS_MAX {
            events.clear();
            if !self.read(&|_| false, &mut events)? {
                break;
            }
        }
        Ok(())
    }
}

/// The kernel installed these descriptors in this process with the read; nobody else knows of them.
fn close(fd: i32) {
    if fd >= 0 {
        // It fails only for a number that is not open, and then there is nothing to close.
        let _ = unistd::close(fd);
    }
}

/// Whether a directory that was found under another name stands there as well: by a link that a rule spells out, or a bind
/// mount.
fn is_at(directory: &OwnedFd, path: &BytePath) -> bool {
    let (Ok(found), Ok(there)) = (fstat(directory), host::look_behind(path)) else {
        return false;
    };
    (found.st_dev, found.st_ino) == (there.dev(), there.ino())
}

/// What becomes of the content and attributes of an object.
fn content_mask() -> MaskFlags {
    MaskFlags::FAN_MODIFY | MaskFlags::FAN_ATTRIB | MaskFlags::FAN_CLOSE_WRITE | itself_mask()
}

/// What becomes of an object itself.
fn itself_mask() -> MaskFlags {
    MaskFlags::FAN_DELETE_SELF | MaskFlags::FAN_MOVE_SELF
}

/// What becomes of a directory and of the names in it.
fn names_mask() -> MaskFlags {
    MaskFlags::FAN_CREATE | MaskFlags::FAN_DELETE | MaskFlags::FAN_ONDIR | itself_mask()
}

#[cfg(test)]
mod tests;
