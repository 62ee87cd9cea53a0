//! By which name a process in a container sees what it touched.
//!
//! An event of fanotify names the object as we see it. The mount table of the process, read while it lives, says where
//! it sees the same place of the same file system. Of a process that is in no container nothing is read.
//!
//! Nothing here waits for anybody: `/proc/PID/mountinfo` is made under the lock that our own table is made under, which is
//! one for all namespaces, and asks neither the memory of the process nor a file system.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
};

use fimk_core::path::BytePath;
use nix::{
    fcntl::{AT_FDCWD, OFlag, openat},
    sys::stat::Mode,
};

use crate::{
    actors::Actors,
    host,
    identity::ActorKey,
    mounts::Table,
    signal::{Signal, Touch},
    tree::Tree,
    walk::Walker,
};

/// Of one mount table: some 1,500 mounts, where a container has some dozens. It says how many it has, so they must not cost us
/// more; of a table that is longer nothing is believed, for what is not read may cover what is.
const TABLE_BYTES: u64 = 256 << 10;

/// Of all the tables for one reading of the queue: eight of the longest, so that it does not take long. Beyond, events lack the name.
const TABLES_BYTES: u64 = 2 << 20;

/// `/proc/PID/stat` has 52 numbers and a name of at most 64 bytes.
const STAT_BYTES: u64 = 4_096;

/// Where the time of the start is in it, behind the name: `starttime` of `proc_pid_stat(5)`.
const STARTED: usize = 19;

/// Nanoseconds of its unit: `USER_HZ` is 100 on every machine that fimk is built for.
const TICK_NS: u64 = 10_000_000;

/// What is at hand to tell of one reading of the queue.
pub(super) struct Here<'a> {
    pub tree: &'a Tree,
    pub walker: &'a Walker,
    pub actors: &'a Actors,
    pub table: &'a Table,
}

/// The mount tables of processes in containers, for one reading of the queue: later they may be others.
#[derive(Default)]
pub(super) struct Views {
    known: HashMap<ActorKey, Option<Table>>,
    /// Directories without links in their names.
    real: HashMap<BytePath, Option<BytePath>>,
    read: u64,
}

impl Views {
    /// Enters the names by which processes in containers see what they touched.
    pub fn name(&mut self, signals: &mut [Signal], here: &Here<'_>) {
        for signal in signals {
            match signal {
                Signal::Touched(path, touch) => self.name_one(path, touch, here),
                Signal::Attempted(path, it) => self.name_one(path, &mut it.touch, here),
                Signal::Moved {
                    old,
                    new,
                    directory,
                    touch,
                    ..
                } => {
                    // It is told under the new name only where that is covered.
                    let covered = |path: &BytePath| {
                        let found = here.walker.reaches(path, *directory);
                        found.is_some_and(|it| it.covered)
                    };
                    let new = new.as_ref().filter(|path| covered(path));
                    if let Some(path) = new.or(old.as_ref()) {
                        self.name_one(path, touch, here);
                    }
                }
                _ => {}
            }
        }
    }

    fn name_one(&mut self, path: &BytePath, touch: &mut Touch, here: &Here<'_>) {
        let Some(process) = touch.actor else {
            return;
        };
        if !here.actors.is_in_container(process) {
            return;
        }
        let used = touch.accessed.as_ref().unwrap_or(path);
        let Some(used) = self.real(used, here.tree) else {
            return;
        };
        if let Some(seen) = self
            .of(process)
            .and_then(|view| seen_as(&used, here.table, view))
        {
            touch.accessed = (seen != *path).then_some(seen);
        }
    }

    fn of(&mut self, process: ActorKey) -> Option<&Table> {
        if !self.known.contains_key(&process) {
            let text = (self.read < TABLES_BYTES).then(|| mountinfo_of(process));
            let text = text.and_then(Result::ok).unwrap_or_default();
            self.read += text.len() as u64;
            self.known.insert(process, view(&text));
        }
        self.known.get(&process)?.as_ref()
    }

    /// A watched name without links on the way: mount tables have none. Behind a name that is watched as a directory, what
    /// it leads to is meant; else the name itself.
    fn real(&mut self, path: &BytePath, tree: &Tree) -> Option<BytePath> {
        let is_directory = tree.get(path).is_some_and(|entry| entry.directory);
        let above = path.parent().filter(|_| !is_directory);
        let directory = above.as_ref().unwrap_or(path);
        let known = self.real.entry(directory.clone());
        let real = known.or_insert_with(|| host::real(directory)).clone()?;
        Some(match above {
            Some(_) => real.join(path.name()),
            None => real,
        })
    }
}

/// None of one that is not whole, or has lines that are not understood.
fn view(mountinfo: &[u8]) -> Option<Table> {
    if mountinfo.is_empty() || mountinfo.len() as u64 > TABLE_BYTES {
        return None;
    }
    let table = Table::read(mountinfo).ok()?;
    (!table.incomplete).then_some(table)
}

/// Where the process of this mount table sees what has this name in ours: under the same name, or the shortest of others.
fn seen_as(path: &BytePath, ours: &Table, view: &Table) -> Option<BytePath> {
    let (mount, inside) = ours.place_of(path)?;
    let same = view
        .place_of(path)
        .is_some_and(|(it, at)| it.device == mount.device && at == inside);
    if same {
        return Some(path.clone());
    }
    view.path_on(mount.device, &inside)
}

/// The mount table of a process as the kernel writes it, relative to its root; one byte more than is believed, if it is longer.
fn mountinfo_of(process: ActorKey) -> io::Result<Vec<u8>> {
    // Of this very process until it is gone, whoever has the number then.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let name = format!("/proc/{}", process.pid);
    let process_directory = openat(AT_FDCWD, name.as_str(), flags, Mode::empty())?;
    let stat = read(&process_directory, "stat", STAT_BYTES)?;
    if started(&stat) != Some(process.start_ns / TICK_NS) {
        return Err(io::ErrorKind::NotFound.into());
    }
    read(&process_directory, "mountinfo", TABLE_BYTES + 1)
}

fn read(directory: &OwnedFd, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    let mut text = Vec::new();
    file.take(bytes_max).read_to_end(&mut text)?;
    Ok(text)
}

/// When a process began, in ticks since the boot. Its name is in parentheses, and may have some itself.
fn started(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(STARTED)?.parse().ok()
}

#[cfg(test)]
mod tests;
