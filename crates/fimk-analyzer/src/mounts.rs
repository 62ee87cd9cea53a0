//! Mounts: what is seen under watched names changes without any record about the objects.
//!
//! The truth is the mount table of our own mount namespace, which the kernel lets us poll; the records of
//! mount calls only say who. A record without a difference of the table (a call that failed, another mount
//! namespace) is no event; a difference without a record is an event without a process.

mod compare;
mod covered;
mod difference;
mod hints;
mod places;
mod report;
mod table;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    io::{self, Seek, SeekFrom},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::{difference::Difference, hints::Hints, report::Seen};
use crate::{
    engine::{Engine, Eyes, Trouble},
    host,
    signal::Touch,
    walk::Found,
};

pub use self::{
    hints::Hint,
    table::{Mount, Table},
};

/// What the kernel says when the mount table changed: proc(5).
pub const CHANGED: PollFlags = PollFlags::POLLPRI.union(PollFlags::POLLERR);

/// How long a difference waits for the record that says who made it.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long it waits for what is known of a process whose record came.
const ACTORS_PATIENCE: Duration = Duration::from_secs(1);

/// Of the time, one part in so many goes into reading the table, however fast mounts come and go.
const SHARE: u32 = 10;

/// Names that wait for the next change of the table to be told, some 200 bytes each. Beyond, everything is compared.
const POSTPONED_MAX: usize = 4_096;

/// The mount table, and what is known of who changed it.
#[derive(Default)]
pub struct Mounts {
    /// None where it cannot be read.
    file: Option<File>,
    table: Table,
    hints: Hints,
    /// The table changed since it was read.
    noticed: bool,
    /// Not to be read again before.
    rest_until: Option<Instant>,
    waiting: Option<Waiting>,
    waiting_covered: covered::Waiting,
    /// What differed from its record when the table had changed again: to be looked at when that is told, see
    /// [`POSTPONED_MAX`].
    postponed: Vec<(BytePath, Vec<Touch>)>,
    /// To be told once: the table cannot be read, or not wholly.
    complaint: Option<String>,
    complained: bool,
}

/// Differences that wait for who made them. What is seen at their places is watched by then.
struct Waiting {
    since: Instant,
    differences: Vec<Difference>,
    /// The places themselves.
    seen: Seen,
    /// Each place where something else is seen now, and what.
    places: Vec<(BytePath, Vec<Found>)>,
}

impl Mounts {
    /// Opens and reads the table. To be called before anything is watched: later differences are events.
    pub fn open() -> Self {
        let mut mounts = Self::default();
        match File::open("/proc/self/mountinfo") {
            Ok(file) => mounts.file = Some(file),
            Err(error) => mounts.complain(format!(
                "mounts are not watched: /proc/self/mountinfo cannot be opened ({error})"
            )),
        }
        mounts.table = mounts.read().unwrap_or_default();
        mounts
    }

    /// To be polled for [`CHANGED`].
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// The last reading.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The table changed: the kernel says so once.
    pub fn notice(&mut self) {
        self.noticed = true;
    }

    /// Where the file system is mounted on which a path is, and of which kind it is; as of the last reading.
    pub fn mount_of(&self, path: &BytePath) -> Option<(&BytePath, &str)> {
        let above = self.table.mounts.values();
        let above = above.filter(|mount| path.is_in(&mount.point));
        let nearest = above.max_by_key(|mount| mount.point.bytes().len())?;
        Some((&nearest.point, &nearest.file_system))
    }

    /// A record of the kernel about a mount call.
    pub fn hint(&mut self, hint: Hint) {
        self.hints.add(hint);
    }

    /// When there is something to do.
    pub fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let read = self.noticed.then(|| self.rest_until.unwrap_or(now));
        let due = match &self.waiting {
            Some(waiting) => Some((waiting.since + PATIENCE).max(now + PATIENCE / 5)),
            None => read,
        };
        let covered = (!self.waiting_covered.is_empty()).then_some(now + PATIENCE);
        due.into_iter()
            .chain(covered)
            .chain(self.hints.next_due())
            .min()
    }

    fn complain(&mut self, sentence: String) {
        if !std::mem::replace(&mut self.complained, true) {
            self.complaint = Some(sentence);
        }
    }

    fn read(&mut self) -> Option<Table> {
        let mut file = self.file.as_ref()?;
        let begun = Instant::now();
        let read = forget_notice(file)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| Table::read(file))
            .map(|table| match host::prefix() {
                Some(root) => table.below(root),
                None => table,
            });
        self.rest_until = Some(Instant::now() + begun.elapsed() * SHARE);
        match read {
            Ok(table) => {
                if table.incomplete {
                    self.complain("not all mounts are watched: /proc/self/mountinfo has more of them, or other lines, than this build takes".to_owned());
                }
                Some(table)
            }
            Err(error) => {
                self.complain(format!(
                    "mounts are not watched: /proc/self/mountinfo cannot be read ({error})"
                ));
                None
            }
        }
    }

    /// Whether nothing waits of what was found already.
    pub fn is_told(&self) -> bool {
        self.waiting.is_none() && self.postponed.is_empty()
    }

    /// Whether the table is not the one that was read any more.
    fn has_changed(&mut self) -> bool {
        if let Some(file) = &self.file
            && !self.noticed
        {
            let mut wanted = [PollFd::new(file.as_fd(), CHANGED)];
            self.noticed = poll(&mut wanted, PollTimeout::ZERO).is_ok_and(|count| count > 0)
                && wanted[0].any().unwrap_or(false);
        }
        self.noticed
    }

    /// Reads the table, if it changed and it is time; gives what differs.
    fn look(&mut self) -> Option<Vec<Difference>> {
        let rests = self.rest_until.is_some_and(|until| until > Instant::now());
        if !self.noticed || rests || self.waiting.is_some() {
            return None;
        }
        self.noticed = false;
        let new = self.read()?;
        let old = std::mem::replace(&mut self.table, new);
        Some(difference::differences(&old, &self.table))
    }

    /// Whether something was unmounted, as it seems, where something is mounted still.
    fn unmounted_without_a_trace(&mut self) -> bool {
        let expired = self.hints.expired();
        let points: HashSet<&BytePath> = expired
            .iter()
            .filter(|hint| hint.unmount)
            .flat_map(|hint| &hint.points)
            .filter(|point| point.parent().is_some())
            .collect();
        let mut mounts = self.table.mounts.values();
        !points.is_empty() && mounts.any(|mount| points.contains(&mount.point))
    }
}

/// What changes while the table is read is to be noticed after: so not what changed before.
fn forget_notice(file: &File) -> io::Result<()> {
    let mut wanted = [PollFd::new(file.as_fd(), CHANGED)];
    poll(&mut wanted, PollTimeout::ZERO)?;
    Ok(())
}

impl Engine {
    /// Looks whether mounts came or went, and does what follows from it.
    pub(crate) fn look_at_mounts(&mut self) -> Result<(), Trouble> {
        self.look_at_the_table()?;
        if !self.mounts.noticed && self.mounts.waiting.is_none() {
            for (path, who) in std::mem::take(&mut self.mounts.postponed) {
                self.found(&path, &who);
            }
        }
        Ok(())
    }

    fn look_at_the_table(&mut self) -> Result<(), Trouble> {
        if let Some(sentence) = self.mounts.complaint.take() {
            self.degraded(&sentence)?;
        }
        if self.mounts.unmounted_without_a_trace() {
            // Unmounted and mounted again with the same number between two looks, perhaps.
            self.scan_wanted = Some("something was unmounted and left no trace".to_owned());
        }
        if let Some(differences) = self.mounts.look() {
            self.mounts_differ(differences)?;
        }
        self.tell_covered()?;
        let Some(waiting) = self.mounts.waiting.take() else {
            return Ok(());
        };
        if self.is_explained(&waiting)? {
            self.tell_mounts(waiting)
        } else {
            self.mounts.waiting = Some(waiting);
            Ok(())
        }
    }

    /// What is seen at the places of those that concern us is watched at once; events and comparison wait for
    /// who did it.
    fn mounts_differ(&mut self, mut differences: Vec<Difference>) -> Result<(), Trouble> {
        if differences.is_empty() {
            self.without_a_trace();
            return Ok(());
        }
        differences.retain(|it| self.concerns(it));
        if differences.is_empty() {
            return Ok(());
        }
        let devices = differences.iter().flat_map(|it| [&it.before, &it.after]);
        let devices: BTreeSet<_> = devices.flatten().map(|mount| mount.device).collect();
        self.mark_wholes(Some(&devices));
        self.walk_for_wholes();
        let seen = self.see_mount_points(&differences)?;
        let points = changed_points(&differences);
        let mut uncovered = Vec::new();
        for point in &points {
            let mut those = differences.iter().filter(|it| it.points().contains(&point));
            let covers =
                those.all(|it| it.after.as_ref().is_some_and(|mount| mount.point == *point));
            uncovered.extend(self.forget_below(point, covers)?);
        }
        self.keep_books()?;
        let mut places = Vec::new();
        for point in points {
            // What is behind an automount that waits is as it was: the records stay.
            if !self.mounts.table.waits_at(&point) {
                let found = self.watch_below(&point)?;
                places.push((point, found));
            }
        }
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            for object in uncovered {
                bpf.forget(&self.tree, object);
            }
        }
        self.keep_books()?;
        self.mounts.waiting = Some(Waiting {
            since: Instant::now(),
            differences,
            seen,
            places,
        });
        Ok(())
    }

    /// The kernel said that the table changed, and it did not: something may have been unmounted and mounted
    /// again. With fanotify its marks are gone then; the BPF programs told us of the calls.
    fn without_a_trace(&mut self) {
        let mut mounts = self.mounts.table.mounts.values();
        let elsewhere =
            mounts.any(|mount| mount.point.parent().is_some() && self.reaches(&mount.point));
        if elsewhere && matches!(self.eyes, Eyes::Fanotify(_)) {
            self.scan_wanted = Some("mounts changed and left no trace".to_owned());
        }
    }

    fn reaches(&self, point: &BytePath) -> bool {
        self.walker.reaches(point, true).is_some()
    }

    fn concerns(&self, difference: &Difference) -> bool {
        let both = difference.before.iter().chain(&difference.after);
        both.into_iter().any(|mount| self.reaches(&mount.point))
    }

    /// Whether it is known who made each of these differences, as far as it will ever be.
    fn is_explained(&mut self, waiting: &Waiting) -> Result<bool, Trouble> {
        if !matches!(self.eyes, Eyes::Bpf(_)) {
            return Ok(true);
        }
        let (mut hinted, mut known) = (true, true);
        for difference in &waiting.differences {
            let touches = self.mounters(difference);
            // The programs do not tell of other options.
            hinted &= !touches.is_empty() || difference.points().is_empty();
            for touch in touches {
                known &= self.want(touch.actor)?;
            }
        }
        let patience = if hinted { ACTORS_PATIENCE } else { PATIENCE };
        Ok(hinted && known || waiting.since.elapsed() >= patience)
    }

    /// Who made a difference: one, or several of whom it was one.
    fn mounters(&self, difference: &Difference) -> Vec<Touch> {
        let unmount = difference.after.is_none();
        let places = difference.after.iter().chain(&difference.before);
        let mut touches = places.map(|mount| {
            let seen = self.tree.get(&mount.point).and_then(|entry| entry.object);
            self.mounts.hints.at(&mount.point, unmount, seen)
        });
        touches.find(|it| !it.is_empty()).unwrap_or_default()
    }

    fn tell_mounts(&mut self, waiting: Waiting) -> Result<(), Trouble> {
        let differences = &waiting.differences;
        let mut touches: HashMap<&BytePath, Vec<Touch>> = HashMap::new();
        for difference in differences {
            let who = self.mounters(difference);
            self.tell_mount(difference, &waiting.seen, &who)?;
            for point in difference.points() {
                touches.entry(point).or_default().extend_from_slice(&who);
            }
        }
        for difference in differences {
            for mount in difference.before.iter().chain(&difference.after) {
                self.mounts.hints.used(&mount.point);
            }
        }
        for (point, found) in waiting.places {
            let who = touches.remove(&point).unwrap_or_default();
            self.compare_mounted(&point, found, &who)?;
        }
        self.mark_other_names(differences);
        Ok(())
    }
}

/// The places where something else is seen now, without those below others of them.
fn changed_points(differences: &[Difference]) -> Vec<BytePath> {
    let mut points: Vec<BytePath> = differences
        .iter()
        .flat_map(Difference::points)
        .cloned()
        .collect();
    // By components: what lies below a path follows it.
    points.sort_by(|one, other| one.as_path().cmp(other.as_path()));
    points.dedup_by(|later, earlier| later.is_in(earlier));
    points
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn places_below_others_are_looked_at_with_them() {
        let lines = "2 1 0:2 / /a rw - t t rw\n3 1 0:3 / /a/b rw - t t rw\n4 1 0:4 / /a-b rw - t t rw\n5 1 0:5 / /a/b/c rw - t t rw\n";
        let table = Table::read(lines.as_bytes()).expect("memory can be read");
        let all = difference::differences(&Table::default(), &table);
        let points: Vec<String> = changed_points(&all)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(points, ["/a", "/a-b"]);
    }

    #[test]
    fn the_table_is_read_once_for_a_notice_and_never_without_one() {
        let mut mounts = Mounts::open();
        assert!(mounts.complaint.is_none() && mounts.fd().is_some());
        assert_eq!(mounts.look(), None);
        mounts.notice();
        mounts.rest_until = None;
        assert!(mounts.next_due().is_some());
        assert!(mounts.look().is_some());
        assert_eq!(mounts.look(), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_once() {
        let mut mounts = Mounts::default();
        mounts.complain("one".to_owned());
        mounts.complain("two".to_owned());
        assert_eq!(mounts.complaint.take().as_deref(), Some("one"));
        mounts.complain("three".to_owned());
        assert_eq!(mounts.complaint, None);
    }
}
