//! A thread that gives records to a sink, so that a receiver who is slow or gone holds up nothing else.
//!
//! It is given a few records at a time. Those beyond stay in the database and are fetched once there is room.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    handed::Fetched,
    sink::{Record, Sink},
};

/// Records given and not yet written: a burst that a receiver who keeps up takes in at once.
pub const RECORDS_MAX: usize = 1_024;

/// Their bytes: beyond, nothing more is taken. A record is at most some 64 KiB.
const BYTES_MAX: usize = 1 << 20;

/// Given by one call, so that many short records cost few.
const AT_ONCE: usize = 64 << 10;

/// After a failed attempt, and each time twice as long up to the other: a receiver may come back to its socket, room to a
/// file system.
const RETRY_AFTER: Duration = Duration::from_millis(250);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(8);

#[derive(Default)]
pub(super) struct State {
    pub(super) records: VecDeque<Record>,
    pub(super) bytes: usize,
    /// The thread has taken these and is not done with them.
    writing: usize,
    /// The thread is to write to this from now on.
    next: Option<Box<dyn Sink>>,
    /// The thread is to end.
    closed: bool,
    /// The highest sequence written.
    pub(super) written: u64,
    /// When something was written last, or when there was nothing to write.
    pub(super) moved: Option<Instant>,
    pub(super) error: Option<String>,
    /// Where no thread of ours writes.
    pub(super) fetched: Option<Fetched>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

/// What keeps records from being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// For so long nothing was written.
    pub since: Duration,
    /// What the system says; none if the receiver only does not take it.
    pub error: Option<String>,
}

/// Our side of the thread.
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// Starts the thread. It ends when this is dropped, unless a call blocks, for nothing but its receiver ends that.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(sink: Box<dyn Sink>) -> std::io::Result<Self> {
        let writer = Self::idle();
        let theirs = Arc::clone(&writer.shared);
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || serve(&theirs, sink))?;
        Ok(writer)
    }

    pub(super) fn idle() -> Self {
        let shared = Arc::default();
        Self { shared }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Gives it a record; an empty one only stands for its sequence. False: there is no room now.
    pub fn offer(&self, record: Record) -> bool {
        let mut state = self.shared.state();
        if !state.has_room() {
            return false;
        }
        if state.is_idle() {
            state.moved = Some(Instant::now());
            if record.bytes.is_empty() {
                state.written = state.written.max(record.sequence);
                return true;
            }
        }
        state.bytes += record.bytes.len();
        state.records.push_back(record);
        drop(state);
        self.shared.more.notify_one();
        true
    }

    /// What is not being written yet goes to this.
    pub fn exchange(&self, sink: Box<dyn Sink>) {
        self.shared.state().next = Some(sink);
    }

    /// Whether a record would be taken.
    pub fn has_room(&self) -> bool {
        self.shared.state().has_room()
    }

    /// The highest sequence that was written; 0 before the first.
    pub fn written(&self) -> u64 {
        self.shared.state().written
    }

    /// Whether nothing is left to be written.
    pub fn is_idle(&self) -> bool {
        self.shared.state().is_idle()
    }

    /// Records given and not yet written.
    pub fn waiting(&self) -> usize {
        let state = self.shared.state();
        state.records.len() + state.writing
    }

    /// What keeps it from writing, if some wait.
    pub fn blocked(&self) -> Option<Blocked> {
        let state = self.shared.state();
        let moved = state.moved.filter(|_| !state.is_idle())?;
        let since = moved.elapsed();
        let error = state.error.clone();
        let Some(fetched) = &state.fetched else {
            return Some(Blocked { since, error });
        };
        // Who fetches may keep events together for a while, and says when it cannot send.
        let error = error.or_else(|| fetched.problem())?;
        Some(Blocked {
            since,
            error: Some(error),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.records.clear();
        drop(state);
        self.shared.more.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for records and takes some; none when it is closed.
    fn take(&self) -> Vec<Record> {
        let mut state = self.state();
        while state.records.is_empty() && !state.closed {
            state = self
                .more
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < AT_ONCE
            && let Some(record) = state.records.pop_front()
        {
            bytes += record.bytes.len();
            taken.push(record);
        }
        state.writing = taken.len();
        taken
    }

    /// These were taken.
    fn done(&self, records: &[Record]) {
        let mut state = self.state();
        for record in records {
            state.bytes = state.bytes.saturating_sub(record.bytes.len());
            state.written = state.written.max(record.sequence);
        }
        state.writing = state.writing.saturating_sub(records.len());
        state.error = None;
        state.moved = Some(Instant::now());
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.records.len() < RECORDS_MAX && self.bytes < BYTES_MAX
    }

    fn is_idle(&self) -> bool {
        self.records.is_empty() && self.writing == 0
    }
}

fn serve(shared: &Shared, mut sink: Box<dyn Sink>) {
    loop {
        let mut records = shared.take();
        if records.is_empty() {
            return;
        }
        let mut pause = RETRY_AFTER;
        while !records.is_empty() {
            if let Some(next) = shared.state().next.take() {
                sink = next;
            }
            match give(shared, sink.as_mut(), &records) {
                Ok(count) => {
                    shared.done(&records[..count]);
                    records.drain(..count);
                    pause = RETRY_AFTER;
                }
                Err(error) => {
                    let mut state = shared.state();
                    if state.closed {
                        return;
                    }
                    state.error = Some(error.to_string());
                    drop(state);
                    thread::sleep(pause);
                    pause = (2 * pause).min(RETRY_AFTER_MAX);
                }
            }
        }
    }
}

/// Gives records to the sink as far as it takes them, and says how many are done with; those that only stand for their
/// sequence are passed over.
fn give(shared: &Shared, sink: &mut dyn Sink, records: &[Record]) -> std::io::Result<usize> {
    let filled = |(_, record): &(usize, &Record)| !record.bytes.is_empty();
    let (places, bytes): (Vec<usize>, Vec<&[u8]>) = records
        .iter()
        .enumerate()
        .filter(filled)
        .map(|(at, record)| (at, record.bytes.as_slice()))
        .unzip();
    if bytes.is_empty() {
        return Ok(records.len());
    }
    let mut moved = || shared.state().moved = Some(Instant::now());
    let taken = sink.take(&bytes, &mut moved)?;
    Ok(places.get(taken).copied().unwrap_or(records.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{
        cell::Cell,
        io::{self, Read as _, Write},
        os::unix::net::UnixStream,
    };

    use super::{super::sink::Stream, *};

    fn start(out: impl Write + Send + 'static) -> Writer {
        Writer::start(Box::new(Stream::new(out))).expect("a thread")
    }

    fn offer(writer: &Writer, sequence: u64, bytes: Vec<u8>) -> bool {
        writer.offer(Record {
            sequence,
            event: sequence,
            bytes,
        })
    }

    fn until(what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < end, "not in time: {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_reader_who_does_not_read_fills_the_queue_and_then_gets_every_line_in_order() {
        let (mut reader, out) = UnixStream::pair().expect("two sockets");
        let writer = start(out);
        let line = |sequence: u64| format!("{sequence} {}\n", "x".repeat(1_000));
        let given = Cell::new(0);
        // A full queue has room again while the socket still takes something.
        until("nothing more is taken", || {
            while offer(&writer, given.get() + 1, line(given.get() + 1).into_bytes()) {
                given.set(given.get() + 1);
            }
            writer.blocked().is_some() && !writer.has_room()
        });
        let given = given.get();
        let most = 4 * u64::try_from(RECORDS_MAX).expect("it is small");
        assert!((1_000..most).contains(&given), "{given}");
        let mut expected = String::new();
        (1..=given).for_each(|sequence| expected.push_str(&line(sequence)));
        let mut got = vec![0; expected.len()];
        reader.read_exact(&mut got).expect("all of it");
        assert!(got == expected.as_bytes());
        until("all is written", || writer.is_idle());
        assert_eq!((writer.written(), writer.blocked()), (given, None));
    }

    /// Refuses, as a pipe that nobody reads, until it is told to take.
    struct Gate(UnixStream, Arc<Mutex<bool>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if *self.1.lock().expect("it is not poisoned") {
                self.0.write(bytes)
            } else {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cannot_be_written_is_tried_again_until_it_can() {
        let (mut reader, out) = UnixStream::pair().expect("two sockets");
        let open = Arc::new(Mutex::new(false));
        let writer = start(Gate(out, Arc::clone(&open)));
        assert!(offer(&writer, 7, b"seven\n".to_vec()));
        let refused = || writer.blocked().is_some_and(|it| it.error.is_some());
        until("it says why", refused);
        assert_eq!(writer.written(), 0);
        *open.lock().expect("it is not poisoned") = true;
        let mut got = [0; 6];
        reader.read_exact(&mut got).expect("a line");
        assert_eq!(&got, b"seven\n");
        until("it is written", || writer.written() == 7);
    }

    #[test]
    fn another_sink_gets_what_the_first_did_not_take_and_both_are_let_go_in_the_end() {
        let (mut old, out) = UnixStream::pair().expect("two sockets");
        let writer = start(Gate(out, Arc::default()));
        assert!(offer(&writer, 1, b"one\n".to_vec()));
        until("it is refused", || {
            writer.blocked().is_some_and(|it| it.error.is_some())
        });
        let (mut new, out) = UnixStream::pair().expect("two sockets");
        writer.exchange(Box::new(Stream::new(out)));
        let mut got = [0; 4];
        new.read_exact(&mut got).expect("a line");
        assert_eq!(&got, b"one\n");
        drop(writer);
        let mut rest = Vec::new();
        new.read_to_end(&mut rest).expect("it is closed");
        old.read_to_end(&mut rest).expect("it is closed");
        assert_eq!(rest, b"");
    }

    #[test]
    fn an_event_that_is_passed_over_counts_as_written_in_its_turn() {
        let (_reader, out) = UnixStream::pair().expect("two sockets");
        let writer = start(out);
        assert!(offer(&writer, 3, Vec::new()));
        assert_eq!(writer.written(), 3);
        assert!(offer(&writer, 4, b"four\n".to_vec()) && offer(&writer, 5, Vec::new()));
        until("both", || writer.written() == 5);
    }
}
