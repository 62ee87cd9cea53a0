//! What is seen now where something was mounted or unmounted: watched, and compared with the records.

use std::collections::HashSet;

use fimk_core::{
    event::{Action, Notice},
    path::BytePath,
    record::Record,
};
use fimk_store::Commit;

use super::{POSTPONED_MAX, difference::Difference};
use crate::{
    engine::{Engine, Eyes, Trouble},
    exit::Failure,
    identity::Object,
    severity,
    signal::Touch,
    start::{BASELINE_BATCH, BASELINE_BYTES, TEXT_BYTES_MAX},
    walk::Found,
};

/// So many new objects are told one by one; more of them nobody would read: they are counted.
const NEW_MAX: usize = 100;

impl Engine {
    /// The objects known below a place are not seen there any more: those that are only covered stay watched. Gives
    /// what was covered there, and is not any more.
    pub(super) fn forget_below(
        &mut self,
        point: &BytePath,
        covers: bool,
    ) -> Result<Vec<Object>, Trouble> {
        let (mut uncovered, mut refused) = (Vec::new(), 0);
        match &mut self.eyes {
            Eyes::Bpf(bpf) if covers => refused = bpf.cover(&mut self.tree, point),
            Eyes::Bpf(bpf) => {
                bpf.drop_names(&mut self.tree, point, crate::clock::since_boot_ns());
                uncovered = bpf.covered.uncover(point);
            }
            Eyes::Fanotify(fanotify) => fanotify.forget(&mut self.tree, point),
            Eyes::Periodic => drop(self.tree.remove_below(point)),
        }
        self.held.moved(point, None);
        if refused > 0 {
            self.degraded(&format!(
                "{refused} objects that the mount at {point} covers are not watched until it is gone: too many are covered"
            ))?;
        }
        Ok(uncovered)
    }

    /// What was found there and has a record is compared with it, and few new objects are events as any. Many
    /// are recorded without one each.
    pub(super) fn compare_mounted(
        &mut self,
        point: &BytePath,
        found: Vec<Found>,
        who: &[Touch],
    ) -> Result<(), Trouble> {
        let (mut present, mut new) = (HashSet::new(), Vec::new());
        for it in found {
            if it.covered {
                match self.store.record(&it.path).map_err(Failure::from)? {
                    None => new.push(it.path.clone()),
                    Some(_) if self.is_as_recorded(&it.path)? => {}
                    Some(_) => self.differs(&it.path, who),
                }
            }
            present.insert(it.path);
        }
        let mut recorded = self.recorded_below(point)?;
        if self.store.record(point).map_err(Failure::from)?.is_some() {
            recorded.push(point.clone());
        }
        for path in recorded.iter().filter(|path| !present.contains(*path)) {
            self.differs(path, who);
        }
        if new.len() > NEW_MAX {
            return self.record_anew(point, &new);
        }
        for path in &new {
            self.differs(path, who);
        }
        Ok(())
    }

    /// What was read while the next mount or unmount was made belongs to that, which is told first.
    fn differs(&mut self, path: &BytePath, who: &[Touch]) {
        if !self.mounts.has_changed() {
            self.found(path, who);
        } else if self.mounts.postponed.len() < POSTPONED_MAX {
            self.mounts.postponed.push((path.clone(), who.to_vec()));
        } else {
            self.scan_wanted = Some("mounts changed while what they show was compared".to_owned());
        }
    }

    fn record_anew(&mut self, point: &BytePath, new: &[BytePath]) -> Result<(), Trouble> {
        let mut put: Vec<(BytePath, Record)> = Vec::new();
        let (mut bytes, mut count) = (0_u64, 0_u64);
        for path in new {
            // What waits has a record of the kernel, and is told.
            if !self.settle.waits(path)
                && let Some((path, record)) = self.first_record(path)
            {
                bytes += record.snapshot.attributes.size.min(TEXT_BYTES_MAX);
                count += 1;
                put.push((path, record));
            }
            if put.len() >= BASELINE_BATCH || bytes >= BASELINE_BYTES {
                bytes = 0;
                self.commit(Commit {
                    put: std::mem::take(&mut put),
                    ..Commit::default()
                })?;
            }
        }
        let notice = Notice {
            message: format!(
                "{count} objects below the mount point {point} were recorded for the first time"
            ),
            counts: vec![("objects".to_owned(), count)],
            ..Notice::default()
        };
        let event = self.notice(Action::BaselineCreated, severity::NOTICE, notice);
        self.commit(Commit {
            put,
            events: vec![event],
            ..Commit::default()
        })
    }

    /// A mark of fanotify has one path, that of the last mount by which its object was reached. What was
    /// unmounted may still be seen at another place: there it is marked again.
    pub(super) fn mark_other_names(&mut self, differences: &[Difference]) {
        let went = differences.iter().filter(|it| !it.points().is_empty());
        let mut devices = went.filter_map(|it| it.before.as_ref()).map(|it| it.device);
        if matches!(self.eyes, Eyes::Fanotify(_))
            && devices.any(|device| self.mounts.table.has_device(device))
        {
            self.scan_wanted = Some("what was unmounted is also mounted elsewhere".to_owned());
        }
    }
}
