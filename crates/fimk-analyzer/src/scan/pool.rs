//! Several threads that read ahead of who compares: answers come in the order of the paths, and at most so many of
//! them wait that a process of 64 MiB can hold them.
//!
//! A thread from which nothing is heard is left behind with its object, as `patience` does with its one worker.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;

use super::{pace::Pace, priority};
use crate::{
    patience::{Heard, Progress},
    read::Reader,
};

/// Paths that are read ahead: enough that a large content holds up only one thread.
const AHEAD_MAX: usize = 256;

/// What answers that wait may take, and again what questions hold. Beyond, only what is waited for is read.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Threads: each has a buffer of 128 KiB and up to a mebibyte of text.
const READERS_MAX: usize = 16;

/// One that waits for the disk leaves its core to another, and a disk that knows of several requests serves them sooner: a
/// baseline of 100,000 files that were not in memory took a quarter less time with four than with one, one of files in memory
/// as long.
const THREADS_A_CORE: usize = 4;

/// Answers that are worth waking who waits for them, where so many are open: less than half of `AHEAD_MAX`, so that
/// the threads have work meanwhile.
const BATCH: usize = 64;

/// Questions that are worth a further thread.
const QUESTIONS_EACH: usize = 8;

/// What is done with an object; gives an answer, and the bytes that it keeps.
type Job<T> = Box<dyn FnOnce(&Reader) -> (T, usize) + Send>;

struct Question<T> {
    number: u64,
    path: BytePath,
    job: Job<T>,
}

/// A question that a thread works on.
struct Running {
    path: BytePath,
    heard: Heard,
    progress: Progress,
    returned: Arc<AtomicBool>,
}

struct State<T> {
    questions: VecDeque<Question<T>>,
    running: BTreeMap<u64, Running>,
    /// None: the job ended in a panic.
    answers: BTreeMap<u64, (Option<T>, usize)>,
    /// Bytes of `answers`.
    kept: usize,
    /// Of older ones nobody wants the answer.
    oldest: u64,
    /// Threads that wait for a question.
    idle: usize,
    /// Somebody waits for this many answers, the oldest among them; 0: nobody does.
    awaited: usize,
    ended: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    asked: Condvar,
    answered: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of waiting.
pub enum Next<T> {
    /// The oldest question was answered.
    Answer(T),
    /// What was asked about this path hangs, be it the oldest question or one that was given up. The flag rises when
    /// the thread returns.
    Hangs(BytePath, Arc<AtomicBool>),
    /// The oldest question, about this path, ended in a panic.
    Failed(BytePath),
    /// Nothing yet.
    Wait,
}

/// The threads, and the questions that they have not answered.
pub struct Pool<T> {
    shared: Arc<Shared<T>>,
    reader: Reader,
    pace: Arc<Pace>,
    threads: usize,
    threads_max: usize,
    /// Of the oldest question, and of the next.
    oldest: u64,
    next: u64,
    /// The open questions, oldest first: what about, and the bytes that they hold.
    open: VecDeque<(BytePath, usize)>,
    held: usize,
}

impl<T: Send + 'static> Pool<T> {
    /// Threads for each core that this process may use (affinity and cgroup), made when they are needed.
    pub fn new(reader: Reader, pace: Arc<Pace>) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let state = State {
            questions: VecDeque::new(),
            running: BTreeMap::new(),
            answers: BTreeMap::new(),
            kept: 0,
            oldest: 0,
            idle: 0,
            awaited: 0,
            ended: false,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                asked: Condvar::new(),
                answered: Condvar::new(),
            }),
            reader,
            pace,
            threads: 0,
            threads_max: (cores * THREADS_A_CORE).min(READERS_MAX),
            oldest: 0,
            next: 0,
            open: VecDeque::new(),
            held: 0,
        }
    }

    /// Whether another question may be asked.
    pub fn has_room(&self) -> bool {
        self.open.len() < AHEAD_MAX && self.held < KEPT_BYTES_MAX
    }

    /// Whether it is time to ask more: not after every answer, which would cost a lock each.
    pub fn wants_more(&self) -> bool {
        self.open.len() <= AHEAD_MAX / 2
    }

    /// How many questions are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no question is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Asks about a path. `held`: the bytes that the job holds.
    pub fn ask(
        &mut self,
        path: BytePath,
        held: usize,
        job: impl FnOnce(&Reader) -> (T, usize) + Send + 'static,
    ) {
        self.open.push_back((path.clone(), held));
        self.held += held;
        let mut state = self.shared.lock();
        state.questions.push_back(Question {
            number: self.next,
            path,
            job: Box::new(job),
        });
        let (waiting, idle) = (state.questions.len(), state.idle);
        drop(state);
        self.next += 1;
        if self.threads < self.threads_max && waiting > self.threads * QUESTIONS_EACH {
            self.add_thread();
        }
        if idle > 0 {
            self.shared.asked.notify_one();
        }
    }

    /// The oldest answer, waited for no longer than `limit`. Who is not heard of for `silence` hangs.
    pub fn next(&mut self, limit: Duration, silence: Duration) -> Next<T> {
        let deadline = Instant::now() + limit;
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if let Some((answer, kept)) = state.answers.remove(&self.oldest) {
                let was_full = state.kept >= KEPT_BYTES_MAX;
                state.kept -= kept;
                state.oldest += 1;
                drop(state);
                if was_full {
                    shared.asked.notify_all();
                }
                let path = self.oldest_is_done();
                let failed = || path.map_or(Next::Wait, Next::Failed);
                return answer.map_or_else(failed, Next::Answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.awaited = self.open.len().clamp(1, BATCH);
            let waited = shared.answered.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.awaited = 0;
        }
        let silent = state.silent(self.oldest, silence);
        if silent
            .as_ref()
            .is_some_and(|(number, _)| *number == self.oldest)
        {
            state.oldest += 1;
            self.oldest_is_done();
        }
        drop(state);
        if silent.is_some() {
            self.threads -= 1;
        }
        if self.threads == 0 && !self.is_empty() {
            self.add_thread();
        }
        silent.map_or(Next::Wait, |(_, it)| Next::Hangs(it.path, it.returned))
    }

    /// Gives up all open questions; their paths, in order. What is read meanwhile is thrown away.
    pub fn give_up(&mut self) -> Vec<BytePath> {
        let mut state = self.shared.lock();
        state.questions.clear();
        state.answers.clear();
        state.kept = 0;
        state.oldest = self.next;
        drop(state);
        self.oldest = self.next;
        self.held = 0;
        self.open.drain(..).map(|(path, _)| path).collect()
    }

    /// Says what it was about.
    fn oldest_is_done(&mut self) -> Option<BytePath> {
        self.oldest += 1;
        let (path, held) = self.open.pop_front()?;
        self.held -= held;
        Some(path)
    }

    fn add_thread(&mut self) {
        let worker = Worker {
            shared: Arc::clone(&self.shared),
            reader: self.reader.paced(&self.pace),
            pace: Arc::clone(&self.pace),
            returned: Arc::new(AtomicBool::new(false)),
        };
        let builder = thread::Builder::new().name("scanner".to_owned());
        // With none at all, the next wait tries again.
        self.threads += usize::from(builder.spawn(move || worker.run()).is_ok());
    }
}

impl<T> State<T> {
    /// The next question. While answers take too much room, only the one that is waited for.
    fn take(&mut self) -> Option<Question<T>> {
        let waited_for = self.questions.front()?.number == self.oldest;
        if self.kept >= KEPT_BYTES_MAX && !waited_for {
            return None;
        }
        self.questions.pop_front()
    }

    /// Whether who waits is to be woken: for each answer by itself it would cost more than to read a small file.
    fn is_enough(&self) -> bool {
        let full = self.answers.len() >= self.awaited || self.kept >= KEPT_BYTES_MAX;
        self.awaited > 0 && full && self.answers.contains_key(&self.oldest)
    }

    /// Takes out a thread of which nothing is heard, if it works on this question or an older one: others may wait
    /// until theirs is the oldest.
    fn silent(&mut self, oldest: u64, silence: Duration) -> Option<(u64, Running)> {
        let mut until_oldest = self.running.range_mut(..=oldest);
        let number = until_oldest.find_map(|(number, it)| {
            let silent = it.heard.is_silent(&it.progress, silence);
            silent.then_some(*number)
        })?;
        let running = self.running.remove(&number)?;
        Some((number, running))
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.questions.clear();
        drop(state);
        self.shared.asked.notify_all();
    }
}

/// A thread that reads.
struct Worker<T> {
    shared: Arc<Shared<T>>,
    reader: Reader,
    pace: Arc<Pace>,
    returned: Arc<AtomicBool>,
}

impl<T> Worker<T> {
    fn run(self) {
        priority::step_back();
        while let Some((number, job)) = self.wait() {
            // A panic must neither make its path seem to hang for ever nor take this thread away from the other questions.
            let done = catch_unwind(AssertUnwindSafe(|| job(&self.reader)));
            let (answer, kept) = done.map_or((None, 0), |(answer, kept)| (Some(answer), kept));
            let mut state = self.shared.lock();
            if state.running.remove(&number).is_none() {
                // It was left behind, and another has its place.
                break;
            }
            if number >= state.oldest {
                state.kept += kept;
                state.answers.insert(number, (answer, kept));
            }
            let enough = state.is_enough();
            if enough {
                state.awaited = 0;
            }
            drop(state);
            if enough {
                self.shared.answered.notify_one();
            }
        }
        self.returned.store(true, Ordering::Release);
    }

    fn wait(&self) -> Option<(u64, Job<T>)> {
        self.pace.wait();
        let mut state = self.shared.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(Question { number, path, job }) = state.take() {
                let running = Running {
                    path,
                    heard: Heard::now(self.reader.progress()),
                    progress: self.reader.progress().clone(),
                    returned: Arc::clone(&self.returned),
                };
                state.running.insert(number, running);
                return Some((number, job));
            }
            state.idle += 1;
            let waited = self.shared.asked.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::sync::{atomic::AtomicUsize, mpsc::channel};

    use super::*;
    use crate::{homes::Homes, key::DigestKey};

    const TURN: Duration = Duration::from_millis(10);
    const SILENCE: Duration = Duration::from_millis(100);

    fn pool<T: Send + 'static>(threads: usize) -> Pool<T> {
        let key = Arc::new(DigestKey::from_bytes([7; 32]));
        let reader = Reader::new(key, 4096, Homes::default());
        let mut pool = Pool::new(reader, Arc::new(Pace::unlimited()));
        pool.threads_max = threads;
        pool
    }

    fn path(number: usize) -> BytePath {
        BytePath::new(format!("/{number}").as_bytes())
    }

    fn answer<T: Send + 'static>(pool: &mut Pool<T>) -> Option<T> {
        loop {
            match pool.next(TURN, SILENCE * 100) {
                Next::Answer(answer) => return Some(answer),
                Next::Hangs(..) | Next::Failed(_) => return None,
                Next::Wait => {}
            }
        }
    }

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        let mut pool = pool(4);
        let mut asked = 0;
        for expected in 0..2_000 {
            while pool.has_room() && asked < 2_000 {
                let number = asked;
                pool.ask(path(number), 0, move |_| (number, 1));
                asked += 1;
            }
            assert_eq!(answer(&mut pool), Some(expected));
        }
        assert!(pool.is_empty());
    }

    #[test]
    fn large_answers_are_fetched_before_more_is_read() {
        let mut pool = pool(4);
        let begun = Arc::new(AtomicUsize::new(0));
        for number in 0..64 {
            let begun = Arc::clone(&begun);
            pool.ask(path(number), 0, move |_| {
                begun.fetch_add(1, Ordering::AcqRel);
                (number, KEPT_BYTES_MAX / 2)
            });
        }
        // None rests before the room is full, for questions wait.
        while pool.shared.lock().idle < pool.threads {
            thread::sleep(TURN);
        }
        let (kept, waiting) = {
            let state = pool.shared.lock();
            (state.kept, state.questions.len())
        };
        // Two fill the room; each of the other three threads may have begun one before.
        let begun_by_now = begun.load(Ordering::Acquire);
        assert!(kept >= KEPT_BYTES_MAX, "{kept}");
        assert!((2..=5).contains(&begun_by_now), "{begun_by_now}");
        assert_eq!(begun_by_now + waiting, 64);
        for number in 0..64 {
            assert_eq!(answer(&mut pool), Some(number));
        }
        assert_eq!(begun.load(Ordering::Acquire), 64);
    }

    #[test]
    fn a_job_that_panics_costs_its_answer_and_nothing_else() {
        let mut pool = pool(1);
        pool.ask(path(0), 3, |_| -> (usize, usize) {
            panic!("this is meant to be")
        });
        pool.ask(path(1), 4, |_| (7, 0));
        let failed = loop {
            match pool.next(TURN, SILENCE * 100) {
                Next::Failed(path) => break path,
                Next::Answer(_) | Next::Hangs(..) => panic!("the first question is the older one"),
                Next::Wait => {}
            }
        };
        assert_eq!(failed, path(0));
        assert_eq!(answer(&mut pool), Some(7), "by the same thread");
        assert_eq!((pool.threads, pool.held), (1, 0));
        assert!(pool.is_empty() && pool.shared.lock().running.is_empty());
    }

    #[test]
    fn who_hangs_is_left_behind_and_the_others_go_on() {
        let mut pool = pool(1);
        let (release, held) = channel::<()>();
        pool.ask(path(0), 0, move |_| (usize::from(held.recv().is_err()), 0));
        pool.ask(path(1), 0, |_| (7, 0));
        let returned = loop {
            match pool.next(TURN, SILENCE) {
                Next::Hangs(at, returned) => break (at, returned),
                Next::Answer(_) | Next::Failed(_) => panic!("the first question is the older one"),
                Next::Wait => {}
            }
        };
        assert_eq!(returned.0, path(0));
        assert_eq!(answer(&mut pool), Some(7));
        release.send(()).expect("it waits");
        while !returned.1.load(Ordering::Acquire) {
            thread::sleep(TURN);
        }
        assert!(pool.is_empty());
    }

    #[test]
    fn what_is_given_up_is_asked_anew_and_no_old_answer_comes() {
        let mut pool = pool(2);
        let (release, held) = channel::<()>();
        pool.ask(path(0), 0, move |_| (usize::from(held.recv().is_err()), 0));
        pool.ask(path(1), 5, |_| (1, 5));
        while pool.shared.lock().running.is_empty() {
            thread::sleep(TURN);
        }
        assert_eq!(pool.give_up(), [path(0), path(1)]);
        assert!(pool.is_empty() && pool.has_room());
        pool.ask(path(2), 0, |_| (2, 0));
        release.send(()).expect("it waits");
        assert_eq!(answer(&mut pool), Some(2));
        assert_eq!(pool.shared.lock().answers.len(), 0);
    }
}
