//! Mounts that the source does not serve, or not wholly: they are compared at intervals, and everybody may see which.
//!
//! Not by inotify, where fanotify takes no marks: it would need a watch for each directory, loses who did it, and has a queue
//! that overflows; what it would tell sooner, a comparison tells with the same words a little later.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;
use serde_json::{Value, json};

use crate::{
    engine::{Engine, Eyes, Trouble},
    mounts::Mount,
    status,
    wholes::told,
};

/// Mounts told in a status: a line each. More than that reads nobody.
const TOLD_MAX: usize = 256;

/// File systems of which another host, or a process, changes files and the kernel is not told: what is done here is seen as on
/// any other.
const REMOTE: [&str; 16] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse",
    "gfs2",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "vboxsf",
    "virtiofs",
];

pub fn is_remote(file_system: &str) -> bool {
    // `fuse.sshfs`: the kind behind the dot is a name that the server gave.
    let kind = file_system.split('.').next();
    kind.is_some_and(|kind| REMOTE.contains(&kind))
}

/// What the source refused to watch, by the point of its mount.
#[derive(Default)]
pub struct Apart {
    refused: BTreeMap<BytePath, Refused>,
    compared: Option<Instant>,
}

struct Refused {
    why: String,
    /// As of the last walk.
    names: u64,
}

impl Apart {
    /// One name was refused; whether it is the first of its mount.
    fn refuse(&mut self, point: &BytePath, why: &str) -> bool {
        let news = !self.refused.contains_key(point);
        let refused = self
            .refused
            .entry(point.clone())
            .or_insert_with(|| Refused {
                why: why.to_owned(),
                names: 0,
            });
        refused.names += 1;
        news
    }

    /// What is mounted there is about to be walked.
    fn count_anew(&mut self, point: &BytePath) {
        if let Some(refused) = self.refused.get_mut(point) {
            refused.names = 0;
        }
    }

    /// It was: what had no refusal is served.
    fn settle(&mut self, point: &BytePath) {
        self.refused
            .retain(|at, refused| at != point || refused.names > 0);
    }
}

impl Engine {
    /// The source cannot watch what is here: its mount is compared at intervals, which is said once.
    pub(crate) fn set_apart(&mut self, path: &BytePath, why: &str) -> Result<(), Trouble> {
        let Some((mount, _)) = self.mounts.table().place_of(path) else {
            return self.degraded(&format!("{path} is not watched: {why}"));
        };
        let (point, kind) = (mount.point.clone(), mount.file_system.clone());
        if !self.apart.refuse(&point, why) {
            return Ok(());
        }
        self.degraded(&format!(
            "{path} is not watched: {why}; what is on {point} ({kind}) is compared every {} s, and who changes it is not seen",
            self.config.scan_interval_s
        ))
    }

    /// Whether what is here is only found by comparing.
    pub(crate) fn is_apart(&self, path: &BytePath) -> bool {
        let refused = &self.apart.refused;
        let is_refused = || {
            let mount = self.mounts.table().place_of(path);
            mount.is_some_and(|(mount, _)| refused.contains_key(&mount.point))
        };
        matches!(self.eyes, Eyes::Periodic) || !refused.is_empty() && is_refused()
    }

    /// Whether a name may go from here of which no source tells.
    pub(crate) fn goes_untold(&self, path: &BytePath) -> bool {
        let mut remote = self.remote_mounts();
        self.is_apart(path) || remote.any(|point| path.is_in(point))
    }

    fn remote_mounts(&self) -> impl Iterator<Item = &BytePath> {
        let remote = self.mounts.table().remote().iter();
        remote.filter(|point| self.tree.get(point).is_some())
    }

    /// Mounts of names that are watched, in the order of their points.
    fn watched_mounts(&self) -> impl Iterator<Item = &Mount> {
        let mounts = self.mounts.table().seen().into_iter();
        mounts.filter(|mount| self.tree.get(&mount.point).is_some())
    }

    /// When the next comparison of these mounts is due; none where everything is compared as often, or nothing need be.
    pub(crate) fn apart_due(&self) -> Option<Instant> {
        if !self.started || matches!(self.eyes, Eyes::Periodic) {
            return None;
        }
        let any = !self.apart.refused.is_empty() || self.remote_mounts().next().is_some();
        let interval = Duration::from_secs(self.config.scan_interval_s);
        let since = self.apart.compared.unwrap_or(self.last_scan);
        any.then(|| since + interval)
    }

    /// Compares them, if it is time to. What is refused is read; of what only others change that a look does not show is left
    /// to the comparison of all content.
    pub(crate) fn compare_apart(&mut self) -> Result<(), Trouble> {
        if self.apart_due().is_none_or(|due| Instant::now() < due) {
            return Ok(());
        }
        let mut points: BTreeMap<BytePath, bool> = self
            .remote_mounts()
            .map(|point| (point.clone(), false))
            .collect();
        points.extend(self.apart.refused.keys().map(|point| (point.clone(), true)));
        for (point, refused) in points {
            if !self.answers(&point) {
                continue;
            }
            self.apart.count_anew(&point);
            self.compare_mount(&point, refused)?;
            self.apart.settle(&point);
        }
        self.apart.compared = Some(Instant::now());
        Ok(())
    }

    /// Whether the server behind a mount answers; one that does not is compared once it does.
    fn answers(&mut self, point: &BytePath) -> bool {
        let at = point.clone();
        let asked = self.ask(point, move |reader| reader.attributes(&at));
        if asked.is_err() {
            self.stalled.add_directory(point);
        }
        asked.is_ok()
    }

    /// Which source serves which mount, and why.
    pub(crate) fn mounts_told(&self) -> Value {
        let source = self.source().name();
        let told = self.watched_mounts().take(TOLD_MAX).map(|mount| {
            let refused = self.apart.refused.get(&mount.point);
            let remote = is_remote(&mount.file_system) && source != "periodic";
            let (sources, why) = match refused {
                Some(refused) => (vec!["periodic"], refused.why.clone()),
                None if remote => (
                    vec![source, "periodic"],
                    "others may change it, of which this kernel is not told".to_owned(),
                ),
                None => (vec![source], self.why_all(mount)),
            };
            let marks = self.marks_on(mount).filter(|_| refused.is_none());
            status::known([
                ("path", json!(status::path(&mount.point))),
                ("file_system", json!(mount.file_system)),
                ("sources", json!(sources)),
                ("reason", json!(why)),
                ("marks", json!(marks.map(|(marks, _)| marks))),
                ("errors", json!(self.wholes.ailing.errors_of(mount.device))),
                ("refused", json!(refused.map(|refused| refused.names))),
            ])
        });
        told.collect()
    }

    fn why_all(&self, mount: &Mount) -> String {
        match self.eyes {
            Eyes::Bpf(_) => "its objects are known to the BPF programs".to_owned(),
            Eyes::Fanotify(_) => self
                .marks_on(mount)
                .map_or_else(String::new, |(_, why)| why),
            Eyes::Periodic => "no other source serves".to_owned(),
        }
    }

    /// How fanotify is to tell of what is there, and why so.
    fn marks_on(&self, mount: &Mount) -> Option<(&'static str, String)> {
        let marked = matches!(self.eyes, Eyes::Fanotify(_));
        marked.then(|| told(&self.wholes, mount.device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_change_is_known_by_its_type() {
        for kind in ["nfs4", "fuse", "fuse.sshfs", "9p", "cifs"] {
            assert!(is_remote(kind), "{kind}");
        }
        for kind in ["ext4", "fuseblk", "nfsd", "tmpfs", ""] {
            assert!(!is_remote(kind), "{kind}");
        }
    }

    #[test]
    fn a_mount_is_apart_until_a_walk_met_no_refusal_in_it() {
        let point = BytePath::new(b"/mnt");
        let mut apart = Apart::default();
        assert!(apart.refuse(&point, "EXDEV") && !apart.refuse(&point, "EXDEV"));
        apart.count_anew(&point);
        assert!(!apart.refuse(&point, "EXDEV"));
        apart.settle(&point);
        assert_eq!(apart.refused.get(&point).map(|it| it.names), Some(1));
        apart.count_anew(&point);
        apart.settle(&point);
        assert!(apart.refused.is_empty());
    }
}
