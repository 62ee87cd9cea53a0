//! Whether fanotify is to tell of a whole file system by one mark, or of each watched object by a mark of its own; and that
//! file systems tell of their errors.
//!
//! A mark on the whole needs no room for each object and has no window in which a new directory is not marked yet. But
//! everything that happens there is told then, also of what no rule covers: so it is made where rules cover all of it, unless what
//! they exclude comes to cost more than the marks that it spares. See `fanotify_marks` in fimk.toml(5).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    os::fd::OwnedFd,
};

use fimk_core::{config::Marks, path::BytePath, rules::RuleSet};
use nix::{errno::Errno, fcntl::OFlag};

use crate::{
    ailing::Ailing,
    apart::is_remote,
    engine::{Engine, Eyes},
    fanotify::FileSystem,
    mounts::{Mount, Table},
    read::open_path,
    walk::Walker,
};

/// As the kernel and the mount table have it: major, minor.
pub type Device = (u32, u32);

/// Those that were measured to take such marks, and whose handles are of one file system. Not btrfs: its subvolumes are told
/// under other ids than the mark's.
const KINDS: [&str; 5] = ["ext2", "ext3", "ext4", "tmpfs", "xfs"];

/// Why a file system is marked as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// As a whole or not: the configuration says so.
    Asked,
    /// As a whole: rules cover all of it.
    Covered,
    /// There is nobody who could make the mark.
    Unaided,
    /// Too little would be told of new directories.
    Untold,
    /// Its type is none of [`KINDS`].
    Kind,
    /// Rules cover a part of it.
    Part,
    /// A directory of it is mounted, not the topmost.
    Piece,
    /// Another that is watched has the same number in its events.
    Twin,
    /// The kernel refused the mark.
    Refused(Errno),
    /// So many events of a whole one, in so many seconds, were none of ours.
    Costly(u64, u64),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("fanotify_marks asks for that"),
            Self::Covered => f.write_str("rules cover all of it"),
            Self::Unaided => f.write_str("the loader has nobody who could mark the whole"),
            Self::Untold => f.write_str("this kernel does not tell which directory is new"),
            Self::Kind => f.write_str("its type is not known to be told of well as a whole"),
            Self::Part => f.write_str("rules cover a part of it"),
            Self::Piece => f.write_str("a part of it is mounted here"),
            Self::Twin => f.write_str("another that is watched has the same number, as a copy has"),
            Self::Refused(errno) => {
                write!(f, "the kernel refuses to mark the whole ({})", errno.desc())
            }
            Self::Costly(events, seconds) => write!(
                f,
                "the whole told of {events} events in {seconds} s that were of nothing watched"
            ),
        }
    }
}

/// What is known of a file system.
#[derive(Debug)]
struct Known {
    /// With what its events begin, where it was marked.
    id: Option<FileSystem>,
    /// Marked as a whole, or not, and why.
    whole: Result<Why, Why>,
}

/// All on which anything is watched.
#[derive(Debug, Default)]
pub struct Wholes {
    known: BTreeMap<Device, Known>,
    costly: BTreeMap<Device, Why>,
    /// Those that a walk of everything is to mark one by one, before they are no longer marked as a whole.
    leaving: BTreeMap<Device, FileSystem>,
    pub(crate) ailing: Ailing,
}

impl Wholes {
    /// Whether what is on this device is marked as a whole, and why.
    pub fn of(&self, device: Device) -> Option<(bool, &Why)> {
        match &self.known.get(&device)?.whole {
            Ok(why) => Some((true, why)),
            Err(why) => Some((false, why)),
        }
    }

    fn device_of(&self, id: FileSystem) -> Option<Device> {
        let known = self.known.iter().find(|(_, known)| known.id == Some(id));
        known.map(|(device, _)| *device)
    }
}

/// For each file system on which anything is watched and that no other host may change: one of its mounts, that with which
/// it is marked as a whole if any is, and whether.
fn watched<'a>(
    table: &'a Table,
    walker: &Walker,
    judge: impl Fn(&Mount) -> Result<Why, Why>,
) -> BTreeMap<Device, (&'a Mount, Result<Why, Why>)> {
    let mut watched: BTreeMap<Device, (&Mount, Result<Why, Why>)> = BTreeMap::new();
    for mount in table.seen() {
        if walker.reaches(&mount.point, true).is_none()
            || is_remote(&mount.file_system)
            || mount.file_system == "autofs"
        {
            continue;
        }
        let judged = judge(mount);
        let known = watched.get(&mount.device);
        if known.is_none_or(|(_, known)| known.is_err() && judged.is_ok()) {
            watched.insert(mount.device, (mount, judged));
        }
    }
    watched
}

/// What the mount and the rules say.
fn judge(mount: &Mount, rules: &RuleSet, marks: Marks) -> Result<Why, Why> {
    if marks == Marks::Objects {
        return Err(Why::Asked);
    }
    if !KINDS.contains(&&*mount.file_system) {
        return Err(Why::Kind);
    }
    if marks == Marks::FileSystem {
        return Ok(Why::Asked);
    }
    if !rules.covers_all_below(&mount.point) {
        return Err(Why::Part);
    }
    if mount.root.parent().is_some() {
        return Err(Why::Piece);
    }
    Ok(Why::Covered)
}

impl Engine {
    /// Has file systems marked as a whole, or no longer, as mounts and rules are now; and their errors told. `changed`: those of
    /// which mounts came or went, if it is not known of all that they stand as they did.
    pub(crate) fn mark_wholes(&mut self, changed: Option<&BTreeSet<Device>>) {
        let Eyes::Fanotify(fanotify) = &self.eyes else {
            return;
        };
        let refused = if !fanotify.has_marker() {
            Some(Why::Unaided)
        } else if !fanotify.takes_wholes() {
            Some(Why::Untold)
        } else {
            None
        };
        let marks = self.config.fanotify_marks;
        let costly = &self.wholes.costly;
        let judged = |mount: &Mount| match (&refused, costly.get(&mount.device)) {
            (Some(why), _) if marks != Marks::Objects => Err(why.clone()),
            (_, Some(why)) if marks == Marks::Auto => Err(why.clone()),
            _ => judge(mount, &self.rules, marks),
        };
        let wanted = watched(self.mounts.table(), &self.walker, judged);
        let wanted: BTreeMap<Device, (BytePath, Result<Why, Why>)> = wanted
            .into_iter()
            .map(|(device, (mount, whole))| (device, (mount.point.clone(), whole)))
            .collect();
        self.forget_unmounted(&wanted);
        for (device, (point, whole)) in wanted {
            let stands = changed.is_some_and(|changed| !changed.contains(&device));
            let same = self.wholes.known.get(&device).is_some_and(|known| {
                known.whole == whole || matches!(known.whole, Err(Why::Refused(_) | Why::Twin))
            });
            if !(stands && same) {
                self.mark_whole(device, &point, whole);
            }
        }
    }

    /// Those that are mounted nowhere, or where nothing is watched.
    fn forget_unmounted(&mut self, wanted: &BTreeMap<Device, (BytePath, Result<Why, Why>)>) {
        let Eyes::Fanotify(fanotify) = &mut self.eyes else {
            return;
        };
        let table = self.mounts.table();
        fanotify.retain_devices(|device| table.has_device(device));
        self.wholes
            .ailing
            .forget(|device| !wanted.contains_key(&device));
        self.wholes
            .costly
            .retain(|device, _| table.has_device(*device));
        let known = std::mem::take(&mut self.wholes.known);
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = known
            .into_iter()
            .partition(|(device, _)| wanted.contains_key(device));
        self.wholes.known = kept;
        for (device, known) in gone {
            let Some(id) = known.id.filter(|_| known.whole.is_ok()) else {
                continue;
            };
            if table.has_device(device) {
                fanotify.leave_whole(id);
                self.wholes.leaving.insert(device, id);
            } else {
                fanotify.lost_whole(id);
            }
        }
        self.wholes
            .leaving
            .retain(|device, _| table.has_device(*device));
    }

    fn mark_whole(&mut self, device: Device, point: &BytePath, whole: Result<Why, Why>) {
        let before = self.wholes.known.remove(&device);
        let before = before.and_then(|known| known.id.filter(|_| known.whole.is_ok()));
        let Some(top) = self.open_top(point) else {
            // It hangs, or is gone: then it is told of, and marked as what is on it is.
            return self.leave_whole(device, before);
        };
        let Eyes::Fanotify(fanotify) = &mut self.eyes else {
            return;
        };
        let twin = !fanotify.is_unlike_others(&top);
        // It came back, from where its mark could not be taken off.
        let before = before.or_else(|| fanotify.may_be_whole(&top).filter(|_| !twin));
        let whole = match whole {
            Ok(_) if twin => Err(Why::Twin),
            whole => whole,
        };
        let marked = whole.and_then(|why| match fanotify.begin_whole(&top) {
            Ok(id) => Ok((id, why)),
            Err(_) if !fanotify.has_marker() => Err(Why::Unaided),
            Err(errno) => Err(Why::Refused(errno)),
        });
        if marked.is_ok() {
            self.wholes.leaving.remove(&device);
        }
        if let (Ok((id, _)), Some(before)) = (&marked, before)
            && *id != before
        {
            fanotify.lost_whole(before);
        }
        let errors = if twin {
            None
        } else {
            fanotify.tell_errors(&top).ok()
        };
        self.wholes.ailing.heed(errors, device, point);
        let known = match marked {
            Ok((id, why)) => Known {
                id: Some(id),
                whole: Ok(why),
            },
            Err(why) => {
                self.leave_whole(device, before);
                Known {
                    id: None,
                    whole: Err(why),
                }
            }
        };
        self.wholes.known.insert(device, known);
    }

    /// Everything is walked, and what is on it marked one by one, before its own mark goes.
    fn leave_whole(&mut self, device: Device, before: Option<FileSystem>) {
        if let (Some(id), Eyes::Fanotify(fanotify)) = (before, &mut self.eyes) {
            fanotify.leave_whole(id);
            self.wholes.leaving.insert(device, id);
        }
    }

    /// Where something is mounted, opened as it must be to be marked.
    fn open_top(&mut self, point: &BytePath) -> Option<OwnedFd> {
        let at = point.clone();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let opened = self.ask(point, move |_| open_path(&at, flags));
        opened.ok()?.ok()
    }

    /// Whether a walk of everything is due, so that those are marked one by one that are no longer told of as a whole.
    pub(crate) fn walk_for_wholes(&mut self) {
        if !self.wholes.leaving.is_empty() && self.scan_wanted.is_none() {
            self.scan_wanted = Some("a file system is no longer marked as a whole".to_owned());
        }
    }

    /// Everything was walked: whatever was to be marked one by one is.
    pub(crate) fn walked_for_wholes(&mut self) {
        for (device, id) in std::mem::take(&mut self.wholes.leaving) {
            let mounts = self.mounts.table().seen();
            let mount = mounts.into_iter().find(|it| it.device == device);
            let top = mount
                .map(|it| it.point.clone())
                .and_then(|it| self.open_top(&it));
            if let (Some(top), Eyes::Fanotify(fanotify)) = (top, &mut self.eyes) {
                // What is left of the mark costs time, and nothing else.
                let _ = fanotify.end_whole(id, &top);
            }
        }
    }

    /// Gives up those of which too much is told that is none of ours.
    pub(crate) fn judge_wholes(&mut self) {
        if self.config.fanotify_marks != Marks::Auto {
            return;
        }
        let costly = match &self.eyes {
            Eyes::Fanotify(fanotify) => fanotify.costly_wholes(),
            Eyes::Bpf(_) | Eyes::Periodic => Vec::new(),
        };
        for (id, events, span) in costly {
            let Some(device) = self.wholes.device_of(id) else {
                continue;
            };
            let why = Why::Costly(events, span.as_secs().max(1));
            self.wholes.costly.insert(device, why.clone());
            let whole = Err(why);
            self.wholes.known.insert(device, Known { id: None, whole });
            self.leave_whole(device, Some(id));
        }
        self.walk_for_wholes();
    }
}

/// How what is on a mount is told of, for the status: whether as a whole, and a reason.
pub fn told(wholes: &Wholes, device: Device) -> (&'static str, String) {
    match wholes.of(device) {
        Some((true, why)) => (
            "filesystem",
            format!("one mark tells of the whole, because {why}"),
        ),
        Some((false, why)) => (
            "objects",
            format!("its objects are marked one by one, because {why}"),
        ),
        None => ("objects", "its objects are marked one by one".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
    use std::sync::Arc;

    use fimk_core::config;

    use super::*;
    use crate::homes::Homes;

    const TABLE: &str = "1 0 8:1 / / rw - ext4 /dev/a rw
2 1 8:2 / /srv rw - ext4 /dev/b rw
3 1 8:3 / /var rw - btrfs /dev/c rw
4 1 0:30 / /run rw - tmpfs tmpfs rw
5 1 8:2 /part /piece rw - ext4 /dev/b rw
6 1 0:31 / /home rw - nfs4 server:/home rw
7 1 8:4 /sub /only rw - xfs /dev/d rw
8 1 0:40 / /far rw - tmpfs tmpfs rw
";

    fn judged(paths: &str, marks: Marks) -> Vec<(Device, String, Result<Why, Why>)> {
        let text = format!("[[rule]]\nname = \"r\"\npaths = [{paths}]\nexclude = [\"/srv/log\"]\n");
        let config = config::parse(&text, "test").expect("valid");
        let rules = Arc::new(RuleSet::new(&config).expect("simple"));
        let walker = Walker::new(&rules, &Homes::default().now());
        let table = Table::read(TABLE.as_bytes()).expect("memory can be read");
        let watched = watched(&table, &walker, |mount| judge(mount, &rules, marks));
        let watched = watched.into_iter();
        watched
            .map(|(device, (mount, whole))| (device, mount.point.to_string(), whole))
            .collect()
    }

    #[test]
    fn a_file_system_is_marked_as_a_whole_where_rules_cover_all_of_it() {
        let paths = "\"/etc\", \"/srv\", \"/var\", \"/run\", \"/piece\", \"/home\", \"/only\"";
        let expected = [
            ((0, 30), "/run", Ok(Why::Covered)),
            ((8, 1), "/", Err(Why::Part)),
            ((8, 2), "/srv", Ok(Why::Covered)),
            ((8, 3), "/var", Err(Why::Kind)),
            ((8, 4), "/only", Err(Why::Piece)),
        ];
        let expected = expected.map(|(device, at, whole)| (device, at.to_owned(), whole));
        assert_eq!(judged(paths, Marks::Auto), expected);
    }

    #[test]
    fn one_that_is_covered_at_one_of_its_mounts_is_covered() {
        let of_b = |paths: &str| {
            let judged = judged(paths, Marks::Auto).into_iter();
            judged.filter(|it| it.0 == (8, 2)).collect::<Vec<_>>()
        };
        let whole = ((8, 2), "/srv".to_owned(), Ok(Why::Covered));
        assert_eq!(of_b("\"/srv\", \"/piece\""), [whole]);
        let part = ((8, 2), "/piece".to_owned(), Err(Why::Piece));
        assert_eq!(of_b("\"/piece\""), [part]);
        assert!(matches!(&of_b("\"/srv/a\"")[..], [(.., Err(Why::Part))]));
    }

    #[test]
    fn the_configuration_decides_where_it_says_anything() {
        let paths = "\"/etc\", \"/srv\", \"/var\"";
        let of = |marks| judged(paths, marks).into_iter().map(|it| it.2);
        assert!(of(Marks::Objects).all(|it| it == Err(Why::Asked)));
        let all: Vec<_> = of(Marks::FileSystem).collect();
        assert_eq!(all, [Ok(Why::Asked), Ok(Why::Asked), Err(Why::Kind)]);
    }
}
