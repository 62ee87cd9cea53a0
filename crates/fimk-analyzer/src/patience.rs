//! Reading with a deadline: a file system whose server is slow, dead or hostile (FUSE, NFS) must not hold up the rest.
//!
//! All that looks at a watched object does it in a worker thread, one at a time; comparisons of very much have several of
//! their own (see `scan`). A worker from which nothing is heard is left behind with its object, and another takes its
//! place; nothing else is asked of that file system until the one left behind has returned. Workers are made after the
//! sandbox was entered, and inherit it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use crate::{
    engine::{Engine, Trouble},
    exit::log,
    mounts::Mounts,
    read::Reader,
    scan::Pace,
};

/// Without any progress for so long, it hangs. A disk that has to spin up is seldom slower, and everything else waits
/// meanwhile.
const SILENCE: Duration = Duration::from_secs(5);

/// With progress it may take so long, and then as long as it gives [`BYTES_A_SECOND`] on average: a server that gives
/// a byte now and then hangs as well.
const UNHURRIED: Duration = Duration::from_secs(20);
const BYTES_A_SECOND: u64 = 1 << 20;

/// Workers left behind: each is a thread with up to a mebibyte of text. More than a comparison has of them.
const LEFT_BEHIND_MAX: usize = 24;

/// Between two looks whether one has returned.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What hangs again so soon after it answered is the same trouble, told already: a server that comes back may answer some
/// questions long before it answers all.
const QUIET: Duration = Duration::from_secs(60);

/// Places remembered for that: as many as can hang within it, each for five seconds, to a quarter. Beyond, one may be told again.
const ANSWERED_MAX: usize = 72;

/// File systems without a server that could keep us waiting: of these only the one object is left alone.
const LOCAL: [&str; 16] = [
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "overlay",
    "ramfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// What one request is about: paths that it goes through, at least one, and at which of them it is.
pub struct About<'a> {
    paths: &'a [BytePath],
    at: Arc<AtomicUsize>,
}

impl<'a> About<'a> {
    /// One path.
    pub fn one(path: &'a BytePath) -> Self {
        Self::each(std::slice::from_ref(path), Arc::default())
    }

    /// Several; whoever does it keeps `at`.
    pub fn each(paths: &'a [BytePath], at: Arc<AtomicUsize>) -> Self {
        Self { paths, at }
    }

    /// That which it is at.
    pub fn now(&self) -> &'a BytePath {
        let last = self.paths.len().saturating_sub(1);
        &self.paths[self.at.load(Ordering::Acquire).min(last)]
    }
}

/// Why there is no answer, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hangs(pub String);

type Job = Box<dyn FnOnce(&Reader) + Send>;

/// A thread that reads.
struct Worker {
    jobs: Sender<Job>,
    /// It waits for the next job.
    idle: Arc<AtomicBool>,
}

/// A thread that did not return, and what is left alone because of it.
struct LeftBehind {
    place: BytePath,
    returned: Arc<AtomicBool>,
}

/// The reader, and those who read.
pub struct Patience {
    reader: Reader,
    worker: Option<Worker>,
    left_behind: Vec<LeftBehind>,
    /// Places that answer again, and since when.
    answered: VecDeque<(BytePath, Instant)>,
    looked: Instant,
    /// At most [`LEFT_BEHIND_MAX`] between two turns.
    news: Vec<String>,
    silence: Duration,
    quiet: Duration,
}

impl Patience {
    /// No thread is made yet.
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            worker: None,
            left_behind: Vec::new(),
            answered: VecDeque::new(),
            looked: Instant::now(),
            news: Vec::new(),
            silence: SILENCE,
            quiet: QUIET,
        }
    }

    /// For what lies where no user can make it hang.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// From now on it is read by this one.
    pub fn read_with(&mut self, reader: Reader) {
        self.reader = reader;
        // It waits for a job, gets none any more, and ends.
        self.worker = None;
    }

    /// Has a worker do something with an object. `mounts` knows on which file system it is.
    ///
    /// # Errors
    /// When nothing is heard of it in time, or its place is left alone.
    #[cfg(test)]
    pub fn ask<T: Send + 'static>(
        &mut self,
        path: &BytePath,
        mounts: &Mounts,
        job: impl FnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, Hangs> {
        self.may_ask(path)?;
        self.ask_meanwhile(&About::one(path), mounts, || (), job)
    }

    /// The same about several, of which [`Self::may_ask`] was asked; `alive` is called now and then while it takes long.
    ///
    /// # Errors
    /// As there.
    pub fn ask_meanwhile<T: Send + 'static>(
        &mut self,
        about: &About<'_>,
        mounts: &Mounts,
        mut alive: impl FnMut(),
        job: impl FnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, Hangs> {
        let failed = || Hangs("no thread could read it".to_owned());
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::new(self.reader.clone()).ok_or_else(failed)?,
        };
        let (answer, answered) = mpsc::sync_channel(1);
        let work = move |reader: &Reader| {
            // Who asked may have given up.
            let _ = answer.send(job(reader));
        };
        worker.idle.store(false, Ordering::Release);
        worker.jobs.send(Box::new(work)).map_err(|_| failed())?;
        let mut heard = Heard::now(self.reader.progress());
        loop {
            match answered.recv_timeout(self.silence) {
                Ok(done) => {
                    self.worker = Some(worker);
                    return Ok(done);
                }
                Err(RecvTimeoutError::Disconnected) => return Err(failed()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            alive();
            if heard.is_silent(self.reader.progress(), self.silence) {
                return Err(self.leave_behind(about.now(), mounts, worker.idle));
            }
        }
    }

    /// Whether a path may be looked at; a thread for it may hang like one before.
    ///
    /// # Errors
    /// When its place is left alone, or too much is.
    pub fn may_ask(&mut self, path: &BytePath) -> Result<(), Hangs> {
        self.welcome_back();
        if let Some(left) = self.left_behind.iter().find(|it| path.is_in(&it.place)) {
            return Err(Hangs(format!("{} does not answer", left.place)));
        }
        if self.left_behind.len() >= LEFT_BEHIND_MAX {
            return Err(Hangs("too many readings hang".to_owned()));
        }
        Ok(())
    }

    /// How long nothing may be heard of a reading.
    pub fn silence(&self) -> Duration {
        self.silence
    }

    /// What hangs and was not told yet.
    pub fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Leaves a thread with what it reads, until it has returned. Told once for each place, until that was quiet for a while.
    pub fn leave_behind(
        &mut self,
        path: &BytePath,
        mounts: &Mounts,
        returned: Arc<AtomicBool>,
    ) -> Hangs {
        let place = match mounts.mount_of(path) {
            Some((point, kind)) if !LOCAL.contains(&kind) => point.clone(),
            _ => path.clone(),
        };
        let sentence = format!(
            "reading {path} hangs: {place} is left alone until it answers, and compared then"
        );
        if !self.left_behind.iter().any(|it| it.place == place) && !self.answered_lately(&place) {
            self.news.push(sentence.clone());
        }
        self.left_behind.push(LeftBehind { place, returned });
        Hangs(sentence)
    }

    /// A reading ended in a panic, whose words are on standard error: it is tried again like one that hangs.
    pub fn say_failed(&mut self, path: &BytePath) {
        if self.news.len() < LEFT_BEHIND_MAX {
            self.news.push(format!(
                "no thread could read {path}: this is an error in fimk, please report it with the log; it is tried again"
            ));
        }
    }

    /// Whether a place answered so lately that it was told already. From now on it does not.
    fn answered_lately(&mut self, place: &BytePath) -> bool {
        let quiet = self.quiet;
        self.answered.retain(|(_, since)| since.elapsed() < quiet);
        let before = self.answered.len();
        self.answered.retain(|(it, _)| it != place);
        self.answered.len() < before
    }

    fn welcome_back(&mut self) {
        if self.left_behind.is_empty() || self.looked.elapsed() < LOOK_EVERY.min(self.silence) {
            return;
        }
        self.looked = Instant::now();
        let returned = |it: &mut LeftBehind| it.returned.load(Ordering::Acquire);
        for LeftBehind { place, .. } in self.left_behind.extract_if(.., returned) {
            log(format!("{place} answers again"));
            if self.answered.len() >= ANSWERED_MAX {
                self.answered.pop_front();
            }
            self.answered.push_back((place, self.looked));
        }
    }
}

impl Worker {
    fn new(reader: Reader) -> Option<Self> {
        let (jobs, next) = mpsc::channel::<Job>();
        let idle = Arc::new(AtomicBool::new(true));
        let waits = Arc::clone(&idle);
        let work = move || {
            for job in next {
                job(&reader);
                waits.store(true, Ordering::Release);
            }
        };
        let thread = thread::Builder::new().name("reader".to_owned()).spawn(work);
        thread.ok().map(|_| Self { jobs, idle })
    }
}

impl Engine {
    /// Says what hangs.
    pub(crate) fn say_hanging(&mut self) -> Result<(), Trouble> {
        for sentence in self.patience.news() {
            self.degraded(&sentence)?;
        }
        Ok(())
    }
}

/// Counts bytes that are read, so that slow is told from dead, and keeps their pace.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    counts: Arc<Counts>,
    pace: Option<Arc<Pace>>,
}

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    slept_ms: AtomicU64,
}

impl Progress {
    /// Of a thread that may not be faster than this.
    pub fn paced(pace: Arc<Pace>) -> Self {
        Self {
            pace: Some(pace),
            ..Self::default()
        }
    }

    /// So many came.
    pub fn add(&self, bytes: usize) {
        self.counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(pace) = &self.pace {
            let slept = u64::try_from(pace.take(bytes).as_millis()).unwrap_or(u64::MAX);
            self.counts.slept_ms.fetch_add(slept, Ordering::Relaxed);
        }
    }

    fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    fn slept(&self) -> Duration {
        Duration::from_millis(self.counts.slept_ms.load(Ordering::Relaxed))
    }
}

/// What was heard of one reading.
#[derive(Debug)]
pub struct Heard {
    began: Instant,
    bytes_before: u64,
    slept_before: Duration,
    bytes: u64,
    changed: Instant,
}

impl Heard {
    /// It begins.
    pub fn now(progress: &Progress) -> Self {
        let now = Instant::now();
        let bytes = progress.bytes();
        Self {
            began: now,
            bytes_before: bytes,
            slept_before: progress.slept(),
            bytes,
            changed: now,
        }
    }

    /// Whether nothing came for so long, or as little as if it were to last for ever. To be asked again and again.
    pub fn is_silent(&mut self, progress: &Progress, silence: Duration) -> bool {
        let bytes = progress.bytes();
        if bytes != std::mem::replace(&mut self.bytes, bytes) {
            self.changed = Instant::now();
        }
        let slept = progress.slept().saturating_sub(self.slept_before);
        let took = self.began.elapsed().saturating_sub(slept);
        let least = took.as_secs().saturating_mul(BYTES_A_SECOND);
        let drips = took >= UNHURRIED && bytes.wrapping_sub(self.bytes_before) < least;
        drips || self.changed.elapsed() >= silence
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::sync::mpsc::channel;

    use super::*;
    use crate::{homes::Homes, key::DigestKey};

    /// After which what is meant to hang does.
    const SOON: Duration = Duration::from_millis(20);
    /// Within which what is meant to answer does, however busy the host is.
    const LATE: Duration = Duration::from_secs(60);

    fn patience(silence: Duration) -> Patience {
        let key = Arc::new(DigestKey::from_bytes([7; 32]));
        let mut patience = Patience::new(Reader::new(key, 4096, Homes::default()));
        patience.silence = silence;
        patience
    }

    #[test]
    fn what_hangs_is_left_alone_until_it_answers_and_the_rest_goes_on() {
        let mounts = Mounts::default();
        let mut patience = patience(SOON);
        let (stuck, free) = (BytePath::new(b"/stuck"), BytePath::new(b"/free"));
        let (release, held) = channel::<()>();
        let hang = move |_: &Reader| held.recv().is_ok();
        assert!(patience.ask(&stuck, &mounts, hang).is_err());
        assert_eq!(patience.news().len(), 1);
        let below = stuck.join(b"below");
        for path in [&stuck, &below] {
            assert!(patience.ask(path, &mounts, |_| ()).is_err(), "{path}");
        }
        assert!(patience.news().is_empty(), "it is told once");
        patience.silence = LATE;
        assert_eq!(patience.ask(&free, &mounts, |_| 7), Ok(7));
        release.send(()).expect("it waits");
        while patience.ask(&stuck, &mounts, |_| ()).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is told of a place that hangs, answers, and hangs again.
    fn told_of_a_place_that_hangs_twice(quiet: Duration) -> usize {
        let mounts = Mounts::default();
        let mut patience = patience(SOON);
        patience.quiet = quiet;
        let stuck = BytePath::new(b"/stuck");
        for _ in 0..2 {
            let (release, held) = channel::<()>();
            let hang = move |_: &Reader| held.recv().is_ok();
            assert!(patience.ask(&stuck, &mounts, hang).is_err());
            release.send(()).expect("it waits");
            while patience.may_ask(&stuck).is_err() {
                thread::sleep(Duration::from_millis(5));
            }
        }
        patience.news().len()
    }

    #[test]
    fn what_hangs_again_soon_after_it_answered_is_told_once() {
        assert_eq!(told_of_a_place_that_hangs_twice(QUIET), 1);
        assert_eq!(told_of_a_place_that_hangs_twice(Duration::ZERO), 2);
    }

    #[test]
    fn slow_is_not_dead() {
        let mounts = Mounts::default();
        let mut patience = patience(Duration::from_millis(500));
        let path = BytePath::new(b"/slow");
        let progress = patience.reader.clone();
        let slow = move |_: &Reader| {
            for _ in 0..75 {
                thread::sleep(Duration::from_millis(20));
                progress.read_some(1);
            }
        };
        assert_eq!(patience.ask(&path, &mounts, slow), Ok(()));
    }

    #[test]
    fn no_more_threads_are_left_behind_than_there_may_be() {
        let mounts = Mounts::default();
        let mut patience = patience(Duration::from_millis(2));
        let mut releases = Vec::new();
        for number in 0..LEFT_BEHIND_MAX {
            let path = BytePath::new(format!("/{number}").as_bytes());
            let (release, held) = channel::<()>();
            releases.push(release);
            let hang = move |_: &Reader| held.recv().is_ok();
            assert!(patience.ask(&path, &mounts, hang).is_err());
        }
        let beyond = patience.ask(&BytePath::new(b"/beyond"), &mounts, |_| ());
        assert_eq!(beyond, Err(Hangs("too many readings hang".to_owned())));
    }
}
