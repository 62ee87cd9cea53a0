//! The slow look: the net below what fanotify tells. Whatever is recorded is looked at again and again, a few objects at a
//! time: stores to a mapping, file flags, writes to the layers below an overlay, through a loop device, or by the kernel itself.
//!
//! What it finds, and what a round that reads all content finds (`scan::rounds`), waits a moment for the event that explains it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use fimk_core::{
    path::BytePath,
    record::{Content, FileKind, Record, Snapshot},
    time::Timestamp,
};

use crate::{
    clock,
    engine::{Engine, Eyes, Trouble},
    exit::Failure,
    patience::About,
    pending::Found,
    read::Reader,
    scan::text_bytes,
};

/// From the beginning of one round to that of the next, if there is little to look at.
const ROUND: Duration = Duration::from_secs(10);
/// The same, if there is much: a round then begins after two thousand times what the last one cost, so that a host at rest
/// is left alone. Shorter than [`YOUNG`].
const ROUND_MAX: Duration = Duration::from_secs(50);
const ROUND_SHARE: u32 = 2_000;
/// Of a step: longer, and events would wait.
const STEP: Duration = Duration::from_millis(2);
/// Objects of a step. Each costs some ten microseconds: more would not be reached in the time.
const STEP_OBJECTS: usize = 64;
/// Texts of their records, which are in memory meanwhile.
const STEP_TEXT_BYTES: usize = 1 << 20;
/// Between two steps. With [`REST`] it keeps the look below a twentieth of one CPU.
const PAUSE: Duration = Duration::from_millis(50);
/// Of those that changed a while ago the content is read at once after the step, while events wait: no more than a few.
const YOUNG_AT_ONCE: usize = 8;
/// Between two steps if there were so many: as many are read in the time as if a whole step were of them.
const PAUSE_OF_YOUNG: Duration = Duration::from_millis(6);
/// The pause after a step that cost much, in times of what it cost.
const REST: u32 = 20;
/// The same in times of how long the step was on its way: a disk, too, is left alone most of the time.
const WAITED_REST: u32 = 4;
/// How long a difference waits for the event that explains it, before it is nobody's.
const DOUBT: Duration = Duration::from_secs(1);
/// Differences that wait. What is beyond is found in the next round; one that reads content waits until there is room.
const DOUBTS_MAX: usize = 4_096;
/// A store to a page that is dirty already changes no time, and a page is written back after 35 seconds at the latest
/// (`vm.dirty_expire_centisecs` and `vm.dirty_writeback_centisecs`): so long after a change, content may differ though nothing shows it.
const YOUNG: Duration = Duration::from_secs(60);

/// What a step looks at.
struct Batch {
    records: Vec<(BytePath, Record)>,
    /// The last path that it comes past; none at the end of everything.
    last: Option<BytePath>,
}

/// How an object looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Appearance {
    /// As recorded.
    Same,
    /// As recorded, and its content may differ all the same: see [`YOUNG`].
    Young,
    /// It differs.
    Different,
}

/// What came of a step.
struct Step {
    /// Where it ended; none: the round is over.
    reached: Option<BytePath>,
    /// It ended for what changed a while ago.
    many_young: bool,
}

impl Step {
    fn to(reached: Option<BytePath>) -> Self {
        Self {
            reached,
            many_young: false,
        }
    }
}

/// Where the look is.
pub struct Look {
    /// The last path of the last step; none at the beginning of a round.
    after: Option<BytePath>,
    begun: Instant,
    /// What this round has cost so far, in time of a CPU: a host that is busy with other things is not looked at less
    /// often for it.
    spent: Duration,
    /// None: there is nothing to look for.
    due: Option<Instant>,
    /// What did not look as recorded, and when that was seen.
    doubts: Vec<(Instant, BytePath)>,
}

impl Look {
    /// The first round begins when the first comparison is over, after a pause.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            after: None,
            begun: now,
            spent: Duration::ZERO,
            due: Some(now + ROUND),
            doubts: Vec::new(),
        }
    }

    /// When there is something to do.
    pub fn next_due(&self) -> Option<Instant> {
        let doubt = self.doubts.first().map(|(since, _)| *since + DOUBT);
        [doubt, self.due].into_iter().flatten().min()
    }

    /// Whether a difference more can wait.
    pub fn has_room(&self) -> bool {
        self.doubts.len() < DOUBTS_MAX
    }

    /// A step was made that cost so much.
    fn stepped(&mut self, began: Instant, cost: Duration, step: Step) {
        let now = Instant::now();
        self.spent += cost;
        // What was waited for, a disk or a CPU, counts less than what was used.
        let rest = cost.saturating_mul(REST).max((now - began) * WAITED_REST);
        let pause = if step.many_young {
            PAUSE_OF_YOUNG
        } else {
            PAUSE
        };
        let rest = now + rest.max(pause);
        self.due = Some(if step.reached.is_some() {
            rest
        } else {
            let every = self.spent.saturating_mul(ROUND_SHARE);
            rest.max(self.begun + every.clamp(ROUND, ROUND_MAX))
        });
        self.after = step.reached;
    }

    fn doubt(&mut self, path: BytePath) {
        if self.has_room() && self.doubts.iter().all(|(_, it)| *it != path) {
            self.doubts.push((Instant::now(), path));
        }
    }

    /// Those that have waited long enough.
    fn ripe(&mut self) -> Vec<BytePath> {
        let ripe = self
            .doubts
            .partition_point(|(since, _)| since.elapsed() >= DOUBT);
        self.doubts.drain(..ripe).map(|(_, path)| path).collect()
    }
}

impl Engine {
    /// Looks at a few objects, if it is time.
    pub(crate) fn look_around(&mut self) -> Result<(), Trouble> {
        self.settle_doubts()?;
        let began = Instant::now();
        if self.look.due.is_none_or(|due| began < due) {
            return Ok(());
        }
        // Only fanotify leaves so much unsaid that a look at times alone is worth it.
        if !matches!(self.eyes, Eyes::Fanotify(_)) {
            self.look.due = None;
            return Ok(());
        }
        if self.look.after.is_none() {
            (self.look.begun, self.look.spent) = (began, Duration::ZERO);
        }
        let used = clock::cpu_used();
        let step = self.step(began)?;
        let cost = clock::cpu_used().saturating_sub(used);
        self.look.stepped(began, cost, step);
        Ok(())
    }

    /// One step from where the last ended.
    fn step(&mut self, began: Instant) -> Result<Step, Trouble> {
        let Batch { records, last } = self.next_batch()?;
        let paths: Vec<BytePath> = records.iter().map(|(path, _)| path.clone()).collect();
        if paths.is_empty() {
            return Ok(Step::to(last));
        }
        let at = Arc::new(AtomicUsize::new(0));
        let about = About::each(&paths, Arc::clone(&at));
        let wanted = records.len();
        // All in one request: to wake a thread for each costs as much as to look.
        let job = move |reader: &Reader| look_at(&reader.for_many(), records, began, &at);
        let Ok((looked, many_young)) = self.ask_about(&about, job) else {
            // It is compared when it answers; those before it in the next round.
            let hangs = about.now().clone();
            self.stalled.add(&hangs);
            return Ok(Step::to(Some(hangs)));
        };
        let is_all = looked.len() == wanted;
        let reached = looked.last().map(|(path, _)| path.clone());
        for (path, what) in looked {
            match what {
                Appearance::Same => {}
                Appearance::Young => self.found_late(&path),
                Appearance::Different => self.look.doubt(path),
            }
        }
        Ok(Step {
            reached: if is_all { last } else { reached },
            many_young,
        })
    }

    fn next_batch(&mut self) -> Result<Batch, Trouble> {
        let (mut texts, mut last) = (0, None);
        let mut records = Vec::new();
        let after = self.store.records_after(None, self.look.after.as_ref());
        for item in after.take(STEP_OBJECTS) {
            let (path, record) = item.map_err(Failure::from)?;
            last = Some(path.clone());
            if self.settle.waits(&path) {
                continue;
            }
            if self.patience.may_ask(&path).is_err() {
                self.stalled.add(&path);
                continue;
            }
            texts += text_bytes(&record.snapshot);
            records.push((path, record));
            if texts >= STEP_TEXT_BYTES {
                break;
            }
        }
        Ok(Batch { records, last })
    }

    /// It was read, and differs. What shows at a look is a doubt; else no event explains it.
    pub(crate) fn differs_late(&mut self, path: &BytePath) -> Result<(), Trouble> {
        if self.settle.waits(path) {
            return Ok(());
        }
        if self.is_as_recorded(path)? {
            self.found_late(path);
        } else {
            self.look.doubt(path.clone());
        }
        Ok(())
    }

    /// What still differs, and is explained by nothing that happened meanwhile, is examined.
    fn settle_doubts(&mut self) -> Result<(), Trouble> {
        for path in self.look.ripe() {
            let record = self.store.record(&path).map_err(Failure::from)?;
            let Some(record) = record.filter(|_| !self.settle.waits(&path)) else {
                continue;
            };
            if self.is_as_recorded(&path)? {
                continue;
            }
            if record.snapshot.attributes.kind == FileKind::Directory {
                self.compare_directory(&path, &[])?;
            }
            self.found_late(&path);
        }
        Ok(())
    }

    fn found_late(&mut self, path: &BytePath) {
        let pending = self.settle.entry(path, false);
        pending.found.get_or_insert(Found::Late);
        pending.sighted = true;
    }
}

/// How these look, as many as there is time for; and whether it ended for those that are read.
fn look_at(
    reader: &Reader,
    records: Vec<(BytePath, Record)>,
    began: Instant,
    at: &AtomicUsize,
) -> (Vec<(BytePath, Appearance)>, bool) {
    let (now, mut young, mut looked) = (clock::now(), 0, Vec::new());
    for (number, (path, record)) in records.into_iter().enumerate() {
        at.store(number, Ordering::Release);
        let appearance = if !reader.looks_like(&path, &record.snapshot) {
            Appearance::Different
        } else if is_young(&record.snapshot, now) {
            Appearance::Young
        } else {
            Appearance::Same
        };
        young += usize::from(appearance == Appearance::Young);
        looked.push((path, appearance));
        if young >= YOUNG_AT_ONCE || began.elapsed() >= STEP {
            break;
        }
    }
    (looked, young >= YOUNG_AT_ONCE)
}

/// Whether a page of it may still be dirty.
fn is_young(snapshot: &Snapshot, now: Timestamp) -> bool {
    let young = i64::try_from(YOUNG.as_nanos()).unwrap_or(i64::MAX);
    matches!(snapshot.content, Content::Read { .. })
        && snapshot.attributes.ctime.0.saturating_add(young) > now.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    #[test]
    fn a_step_that_took_long_is_followed_by_a_long_rest() {
        let mut look = Look::new();
        let second = Duration::from_secs(1);
        let began = Instant::now();
        if let Some(long_ago) = began.checked_sub(second) {
            let reached = Some(path("/a"));
            let step = Step {
                reached,
                many_young: true,
            };
            look.stepped(long_ago, second, step);
            assert!(look.due >= Some(began + second * (REST - 1)));
        }
        look.stepped(Instant::now(), Duration::ZERO, Step::to(None));
        // A second was spent: the next round waits as long as it may.
        assert!(look.due >= Some(look.begun + ROUND_MAX) && look.after.is_none());
    }

    #[test]
    fn a_doubt_is_kept_once_waits_and_has_a_limit() {
        let mut look = Look::new();
        for number in 0..2 * DOUBTS_MAX {
            look.doubt(path(&format!("/{}", number % (DOUBTS_MAX + 7))));
        }
        assert_eq!(look.doubts.len(), DOUBTS_MAX);
        assert!(!look.has_room() && look.next_due() <= Some(Instant::now() + DOUBT));
        assert!(look.ripe().is_empty(), "they are of this moment");
        if let (Some(first), Some(long_ago)) =
            (look.doubts.first_mut(), Instant::now().checked_sub(DOUBT))
        {
            first.0 = long_ago;
            assert_eq!(look.ripe(), [path("/0")]);
            assert!(look.has_room());
        }
    }
}
