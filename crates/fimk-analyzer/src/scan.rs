//! Comparisons of everything: the first baseline, the comparison at a start, and those that losses or the periodic
//! source ask for.
//!
//! Several threads read ahead (`pool`), in the order of the paths; the engine takes in what they found, and between two
//! hundred paths and a tenth of a second lets everything else have its turn. A thread only says whether an object is as
//! recorded: what is not is read again by the engine itself, after all that was recorded of it until then was taken in.
//!
//! The comparison at `compare_interval_s` (`rounds`) has the same threads do the same, and holds up nothing.

mod absent;
mod inspect;
mod moves;
mod pace;
mod pool;
mod priority;
mod progress;
mod rounds;

use std::{
    collections::VecDeque,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use fimk_core::{
    event::Gap,
    path::BytePath,
    record::{Record, Snapshot},
    time::Timestamp,
};
use fimk_store::Commit;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::{
    inspect::{Inspected, inspect},
    moves::{Moves, found_by_scan},
    pool::{Next, Pool},
};
use crate::{
    channel::ChannelError,
    clock,
    engine::{Engine, Eyes, Trouble},
    examine::is_leased,
    exit::Failure,
    pending::Pending,
    read::Reader,
    start::{BASELINE_BATCH, BASELINE_BYTES, Past, is_new_ground},
};

pub(crate) use self::inspect::text_bytes;
pub use self::{
    pace::Pace,
    progress::{Kind, Progress, clear_line},
    rounds::Rounds,
};

/// Paths compared before others get their turn.
const MEANWHILE_EVERY: u64 = 256;

/// The longest that others wait for their turn.
const TURN: Duration = Duration::from_millis(100);

/// How often it is written down how far a comparison has come.
const REMEMBER_EVERY: Duration = Duration::from_secs(2);

/// The meta key of the last path of a comparison that was not finished: what is before it was read, content and all.
const COMPARED_TO: &str = "compared_to";

/// What a comparison came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Recorded for the first time.
    pub baseline: u64,
    /// Recorded already by a first baseline that was cut short, and not changed since.
    pub resumed: u64,
    /// All.
    pub compared: u64,
    /// Records of what no rule covers any more.
    pub dropped: u64,
    /// Changes that nothing had told of before.
    pub differences: u64,
}

/// A comparison that is under way.
struct Scan<'a> {
    /// In the order of their bytes, so that records are found beside each other.
    paths: Vec<&'a BytePath>,
    /// How many of them were given to the pool.
    at: usize,
    /// Given to it, and to be given again.
    again: VecDeque<BytePath>,
    pool: Pool<(BytePath, Inspected)>,
    past: &'a Past,
    gap: Option<Gap>,
    /// Content is read of what looks as recorded too, but for what comes no later than this.
    reads_all: bool,
    /// Its way is written down.
    remembers: bool,
    compared_to: Option<BytePath>,
    /// The last path that is done.
    last: Option<BytePath>,
    baseline: Baseline,
    differing: Vec<BytePath>,
    moves: Moves,
    tally: Tally,
    turned: Instant,
    remembered: Instant,
}

impl Scan<'_> {
    fn next_path(&mut self) -> Option<BytePath> {
        if let Some(path) = self.again.pop_front() {
            return Some(path);
        }
        let path = *self.paths.get(self.at)?;
        self.at += 1;
        Some(path.clone())
    }

    fn read_again(&mut self) {
        let mut again: VecDeque<_> = self.pool.give_up().into();
        again.append(&mut self.again);
        self.again = again;
    }

    fn only_looks_at(&self, path: &BytePath) -> bool {
        !self.reads_all || self.compared_to.as_ref().is_some_and(|to| path <= to)
    }

    fn is_turn(&self) -> bool {
        self.tally.compared.is_multiple_of(MEANWHILE_EVERY) || self.turned.elapsed() >= TURN
    }
}

impl Engine {
    /// Compares these paths with what is known of them, and what is known with these paths: all, or what is `below` these.
    pub(crate) fn compare_all<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a BytePath>,
        past: &Past,
        gap: Option<Gap>,
        below: Option<&[BytePath]>,
    ) -> Result<Tally, Trouble> {
        let mut scan = self.begin_scan(paths.collect(), past, gap, below.is_none())?;
        let kind = if past.watched_until.is_none() {
            Kind::Baseline
        } else {
            Kind::Comparison
        };
        // One within another: the inner one is told, and then none.
        self.scanning = Some(Progress::new(kind, scan.paths.len()));
        let compared = self.run_scan(&mut scan);
        self.scanning = None;
        compared?;
        self.put_baseline(&mut scan.baseline, true)?;
        self.compare_differing(&mut scan)?;
        self.compare_newcomers(&mut scan, below)?;
        self.compare_absent(&scan.paths, gap, below, &mut scan.tally)?;
        if scan.remembers {
            self.store
                .set_meta(COMPARED_TO, b"")
                .map_err(Failure::from)?;
        }
        scan.tally.compared = scan.paths.len() as u64;
        Ok(scan.tally)
    }

    fn begin_scan<'a>(
        &mut self,
        mut paths: Vec<&'a BytePath>,
        past: &'a Past,
        gap: Option<Gap>,
        whole: bool,
    ) -> Result<Scan<'a>, Trouble> {
        paths.sort_unstable();
        self.read_includes(&paths);
        let config = &self.config;
        let pace = Arc::new(Pace::new(config.cpu_quota, config.scan_bytes_per_s));
        // While somebody watches, a comparison looks for what was lost: what has its old time of change and size
        // is not read, so that a flood that provokes losses cannot make us read everything again and again. What a
        // first baseline that was cut short has recorded is as new as its record.
        let periodic = matches!(self.eyes, Eyes::Periodic);
        let reads_all =
            past.watched_until.is_some() && (gap.is_some() || periodic || past.thorough);
        let compared_to = self.store.meta(COMPARED_TO).map_err(Failure::from)?;
        let compared_to = compared_to.filter(|path| whole && !past.thorough && !path.is_empty());
        let now = Instant::now();
        Ok(Scan {
            paths,
            at: 0,
            again: VecDeque::new(),
            pool: Pool::new(self.patience.reader().clone(), pace),
            past,
            gap,
            reads_all,
            // Who asks for one wants it whole.
            remembers: whole && reads_all && !past.thorough,
            compared_to: compared_to.map(|path| BytePath::new(&path)),
            last: None,
            baseline: Baseline::default(),
            differing: Vec::new(),
            moves: Moves::default(),
            tally: Tally::default(),
            turned: now,
            remembered: now,
        })
    }

    fn run_scan(&mut self, scan: &mut Scan<'_>) -> Result<(), Trouble> {
        loop {
            self.feed(scan)?;
            if scan.pool.is_empty() {
                return Ok(());
            }
            match scan.pool.next(TURN, self.patience.silence()) {
                Next::Answer((path, found)) => self.take_in(scan, path, found)?,
                Next::Hangs(path, returned) => {
                    let _ = self.patience.leave_behind(&path, &self.mounts, returned);
                    // What lies beside it must not keep the others too.
                    scan.read_again();
                    self.leave_out(scan, &path)?;
                }
                Next::Failed(path) => {
                    self.patience.say_failed(&path);
                    self.leave_out(scan, &path)?;
                }
                Next::Wait => {}
            }
            if scan.is_turn() {
                self.turn_of_others(scan)?;
            }
        }
    }

    /// Gives the pool as much as it takes.
    fn feed(&mut self, scan: &mut Scan<'_>) -> Result<(), Trouble> {
        if !scan.pool.wants_more() {
            return Ok(());
        }
        while scan.pool.has_room()
            && let Some(path) = scan.next_path()
        {
            if self.patience.may_ask(&path).is_err() {
                self.leave_out(scan, &path)?;
                continue;
            }
            let record = self.store.record(&path).map_err(Failure::from)?;
            if record.is_none() && !is_new_ground(&path, scan.past) {
                scan.tally.compared += 1;
                scan.differing.push(path);
                continue;
            }
            let looks = scan.only_looks_at(&path);
            let rules = Arc::clone(&self.rules);
            let held = record.as_ref().map_or(0, |it| text_bytes(&it.snapshot));
            let at = path.clone();
            let job = move |reader: &Reader| {
                let found = inspect(reader, &at, &rules, record, looks);
                let kept = match &found {
                    Inspected::New(Some(snapshot), _) => text_bytes(snapshot),
                    _ => 0,
                };
                ((at, found), kept)
            };
            scan.pool.ask(path, held, job);
        }
        Ok(())
    }

    /// What hangs is compared when it answers.
    fn leave_out(&mut self, scan: &mut Scan<'_>, path: &BytePath) -> Result<(), Trouble> {
        scan.tally.compared += 1;
        let known = self.store.record(path).map_err(Failure::from)?.is_some();
        if known || !is_new_ground(path, scan.past) {
            self.stalled.add(path);
        } else {
            self.stalled.add_unrecorded(path);
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        scan: &mut Scan<'_>,
        path: BytePath,
        found: Inspected,
    ) -> Result<(), Trouble> {
        scan.tally.compared += 1;
        self.tell_what_was_kept(&path);
        match found {
            Inspected::AsRecorded => {
                scan.tally.resumed += u64::from(scan.past.watched_until.is_none());
            }
            Inspected::New(snapshot, begun) if !self.settle.waits(&path) => {
                if let Some(snapshot) = snapshot {
                    if is_leased(&snapshot) {
                        self.stalled.add_unrecorded(&path);
                    }
                    scan.baseline
                        .add((path.clone(), self.new_record(*snapshot, begun)));
                    scan.tally.baseline += 1;
                }
                self.put_baseline(&mut scan.baseline, false)?;
            }
            Inspected::New(..) | Inspected::Differs => scan.differing.push(path.clone()),
        }
        scan.last = Some(path);
        Ok(())
    }

    /// Everything else has its turn; what was read ahead is read again if any of it may be older than what was told
    /// meanwhile.
    fn turn_of_others(&mut self, scan: &mut Scan<'_>) -> Result<(), Trouble> {
        scan.turned = Instant::now();
        self.refuse_if_ended()?;
        // What is examined meanwhile must find these, and not be overwritten by them.
        self.put_baseline(&mut scan.baseline, true)?;
        if let Some(progress) = &mut self.scanning {
            progress.reach(scan.tally.compared);
        }
        let commits = self.commits;
        if scan.remembers && scan.remembered.elapsed() >= REMEMBER_EVERY {
            self.remember(scan)?;
        }
        self.meanwhile()?;
        if self.commits != commits {
            scan.read_again();
        }
        Ok(())
    }

    /// Writes down how far it has come, so that a start after a kill need not read the same again. What differs up to
    /// here is examined before.
    fn remember(&mut self, scan: &mut Scan<'_>) -> Result<(), Trouble> {
        scan.remembered = Instant::now();
        self.compare_differing(scan)?;
        let Some(last) = scan
            .last
            .as_ref()
            .filter(|it| scan.compared_to.as_ref() < Some(*it))
        else {
            return Ok(());
        };
        self.store
            .set_meta(COMPARED_TO, last.bytes())
            .map_err(Failure::from)?;
        Ok(())
    }

    /// First what looks as recorded; what does not is compared after all records until then were taken in, because
    /// most of it is somebody's doing that a record tells. Left out is what waits with the name of who did it.
    fn compare_differing(&mut self, scan: &mut Scan<'_>) -> Result<(), Trouble> {
        let paths = std::mem::take(&mut scan.differing);
        if !paths.is_empty() {
            self.catch_up()?;
        }
        for (compared, path) in (1u64..).zip(&paths) {
            if compared.is_multiple_of(MEANWHILE_EVERY) {
                self.serve_control();
                self.breathe();
            }
            if self.settle.waits(path) {
                self.expect_to_be_told(scan, path)?;
            } else if !self.is_newcomer(scan, path)? {
                self.examine_found(path, scan.gap, &mut scan.tally)?;
            }
        }
        Ok(())
    }

    /// Something waits about what a comparison found: where it may be the rest of a story whose beginning nobody heard, it is
    /// told as found.
    fn expect_to_be_told(&mut self, scan: &Scan<'_>, path: &BytePath) -> Result<(), Trouble> {
        if scan.gap.is_some()
            && !is_new_ground(path, scan.past)
            && self.store.record(path).map_err(Failure::from)?.is_none()
        {
            self.settle.found_by_comparing(path);
        }
        Ok(())
    }

    /// Counts what it finds.
    fn examine_found(
        &mut self,
        path: &BytePath,
        gap: Option<Gap>,
        tally: &mut Tally,
    ) -> Result<(), Trouble> {
        self.examine_counted(path, &found_by_scan(), gap, tally)
    }

    fn examine_counted(
        &mut self,
        path: &BytePath,
        pending: &Pending,
        gap: Option<Gap>,
        tally: &mut Tally,
    ) -> Result<(), Trouble> {
        let before = self.repairs.done().differences;
        self.examine_in(path, pending, gap)?;
        tally.differences += self.repairs.done().differences - before;
        Ok(())
    }

    fn put_baseline(&mut self, baseline: &mut Baseline, all: bool) -> Result<(), Trouble> {
        if !baseline.records.is_empty() && (all || baseline.is_full()) {
            self.commit(Commit {
                put: std::mem::take(baseline).records,
                ..Commit::default()
            })?;
        }
        Ok(())
    }

    /// Everything else has its turn between two slices of what is passed in one go.
    fn between_slices(&mut self) -> Result<(), Trouble> {
        self.refuse_if_ended()?;
        self.meanwhile()
    }

    /// Whoever wants us to end need not wait for a comparison.
    fn refuse_if_ended(&self) -> Result<(), Trouble> {
        if self.is_ended() {
            return Err(ChannelError::Closed.into());
        }
        Ok(())
    }

    /// What a comparison of very much must not hold up: signs of life, answers, and changes that have a source.
    fn meanwhile(&mut self) -> Result<(), Trouble> {
        self.serve_control();
        self.write_metrics();
        self.breathe();
        if !self.started {
            return Ok(());
        }
        self.receive()?;
        self.look()?;
        self.overdue(Instant::now())?;
        self.examine_due()?;
        self.deliver()?;
        self.sync_if_due(false)
    }

    /// Whether somebody wants us to end: a comparison may take hours.
    fn is_ended(&self) -> bool {
        let mut ends = [
            PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.channel.as_fd(), PollFlags::empty()),
        ];
        let polled = poll(&mut ends, PollTimeout::ZERO);
        polled.is_ok_and(|_| ends.iter().any(|it| it.any().unwrap_or(false)))
    }

    pub(crate) fn first_record(&mut self, path: &BytePath) -> Option<(BytePath, Record)> {
        let rules = Arc::clone(&self.rules);
        let matched = rules.covers(path)?;
        let begun = clock::now();
        let looked = self.snapshot(path, matched.rule, None, false);
        if looked.is_stalled() {
            self.stalled.add_unrecorded(path);
        }
        let snapshot = looked.snapshot()?;
        Some((path.clone(), self.new_record(snapshot, begun)))
    }

    /// `seen`: when reading it began. What was done before shows in it.
    pub(crate) fn new_record(&self, snapshot: Snapshot, seen: Timestamp) -> Record {
        Record {
            snapshot,
            seen,
            key_id: self.key_id,
        }
    }
}

/// First records that are still to be put.
#[derive(Default)]
struct Baseline {
    records: Vec<(BytePath, Record)>,
    bytes: u64,
}

impl Baseline {
    fn add(&mut self, record: (BytePath, Record)) {
        let kept = text_bytes(&record.1.snapshot) as u64;
        self.bytes = self.bytes.saturating_add(kept);
        self.records.push(record);
    }

    fn is_full(&self) -> bool {
        self.records.len() >= BASELINE_BATCH || self.bytes >= BASELINE_BYTES
    }
}
