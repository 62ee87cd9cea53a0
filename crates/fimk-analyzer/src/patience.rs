//! Reading with a deadline: a file system whose server is slow, dead or hostile (FUSE, NFS) must not hold up the rest.
//!
//! All that looks at a watched object does it in a worker thread, one at a time. A worker from which nothing is heard
//! is left behind with its object, and another takes its place; nothing else is asked of that file system until
//! the one left behind has returned. Workers are made after the sandbox was entered, and inherit it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
};

/// Without any progress for so long, it hangs. A disk that has to spin up is seldom slower, and everything else waits
/// meanwhile.
const SILENCE: Duration = Duration::from_secs(5);

/// With progress it may take so long, and then as long as it gives [`BYTES_A_SECOND`] on average: a server that gives
/// a byte now and then hangs as well.
const UNHURRIED: Duration = Duration::from_secs(20);
const BYTES_A_SECOND: u64 = 1 << 20;

/// Workers left behind: each is a thread with up to a mebibyte of text.
const LEFT_BEHIND_MAX: usize = 16;

/// Between two looks whether one has returned.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// File systems without a server that could keep us waiting: of these only the one object is left alone.
const LOCAL: [&str; 16] = [
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "overlay",
    "ramfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

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

/// A worker that did not return, and what is left alone because of it.
struct LeftBehind {
    place: BytePath,
    worker: Worker,
}

/// The reader, and those who read.
pub struct Patience {
    reader: Reader,
    worker: Option<Worker>,
    left_behind: Vec<LeftBehind>,
    looked: Instant,
    /// At most [`LEFT_BEHIND_MAX`] between two turns.
    news: Vec<String>,
    silence: Duration,
}

impl Patience {
    /// No thread is made yet.
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            worker: None,
            left_behind: Vec::new(),
            looked: Instant::now(),
            news: Vec::new(),
            silence: SILENCE,
        }
    }

    /// For what lies where no user can make it hang.
    pub fn reader(&self) -> &Reader {
        &self.reader
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
        self.ask_meanwhile(path, mounts, || (), job)
    }

    /// The same; `alive` is called now and then while it takes long.
    ///
    /// # Errors
    /// As there.
    pub fn ask_meanwhile<T: Send + 'static>(
        &mut self,
        path: &BytePath,
        mounts: &Mounts,
        mut alive: impl FnMut(),
        job: impl FnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, Hangs> {
        self.welcome_back();
        if let Some(left) = self.left_behind.iter().find(|it| path.is_in(&it.place)) {
            return Err(Hangs(format!("{} does not answer", left.place)));
        }
        if self.left_behind.len() >= LEFT_BEHIND_MAX {
            return Err(Hangs("too many readings hang".to_owned()));
        }
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
        let began = Instant::now();
        let at_first = self.reader.progress();
        let mut progress = at_first;
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
            let before = std::mem::replace(&mut progress, self.reader.progress());
            let took = began.elapsed();
            let least = took.as_secs().saturating_mul(BYTES_A_SECOND);
            let drips = took >= UNHURRIED && progress.wrapping_sub(at_first) < least;
            if progress == before || drips {
                return Err(self.leave_behind(path, mounts, worker));
            }
        }
    }

    /// What hangs and was not told yet.
    pub fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    fn leave_behind(&mut self, path: &BytePath, mounts: &Mounts, worker: Worker) -> Hangs {
        let place = match mounts.mount_of(path) {
            Some((point, kind)) if !LOCAL.contains(&kind) => point.clone(),
            _ => path.clone(),
        };
        let sentence = format!(
            "reading {path} hangs: {place} is left alone until it answers, and compared then"
        );
        self.news.push(sentence.clone());
        self.left_behind.push(LeftBehind { place, worker });
        Hangs(sentence)
    }

    fn welcome_back(&mut self) {
        if self.left_behind.is_empty() || self.looked.elapsed() < LOOK_EVERY.min(self.silence) {
            return;
        }
        self.looked = Instant::now();
        self.left_behind.retain(|it| {
            let returned = it.worker.idle.load(Ordering::Acquire);
            if returned {
                log(format!("{} answers again", it.place));
            }
            !returned
        });
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

/// Counts bytes that are read, so that slow is told from dead.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// So many came.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::sync::mpsc::channel;

    use super::*;
    use crate::{homes::Homes, key::DigestKey};

    fn patience(silence: Duration) -> Patience {
        let key = Arc::new(DigestKey::from_bytes([7; 32]));
        let mut patience = Patience::new(Reader::new(key, 4096, Homes::default()));
        patience.silence = silence;
        patience
    }

    #[test]
    fn what_hangs_is_left_alone_until_it_answers_and_the_rest_goes_on() {
        let mounts = Mounts::default();
        let mut patience = patience(Duration::from_millis(20));
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
        assert_eq!(patience.ask(&free, &mounts, |_| 7), Ok(7));
        release.send(()).expect("it waits");
        while patience.ask(&stuck, &mounts, |_| ()).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn slow_is_not_dead() {
        let mounts = Mounts::default();
        let mut patience = patience(Duration::from_millis(50));
        let path = BytePath::new(b"/slow");
        let progress = patience.reader.clone();
        let slow = move |_: &Reader| {
            for _ in 0..30 {
                thread::sleep(Duration::from_millis(10));
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
