//! A thread that writes lines, so that a reader who is slow or gone holds up nothing else.
//!
//! It is given a few lines at a time. Those beyond stay in the database and are fetched once there is room.

use std::{
    collections::VecDeque,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Lines given and not yet written: a burst that a reader who keeps up takes in at once.
pub const LINES_MAX: usize = 1_024;

/// Their bytes: beyond, nothing more is taken. A line is at most 64 KiB.
const BYTES_MAX: usize = 1 << 20;

/// Written by one call, so that many short lines cost few.
const AT_ONCE: usize = 64 << 10;

/// Between two attempts at what cannot be written: a reader may come back to a named pipe, room to a file system.
const RETRY_EVERY: Duration = Duration::from_secs(1);

struct Line {
    sequence: u64,
    text: String,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Line>,
    bytes: usize,
    /// The writer has taken these and is not done with them.
    writing: usize,
    /// The highest sequence written.
    written: u64,
    /// When something was written last, or when there was nothing to write.
    moved: Option<Instant>,
    error: Option<String>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

/// What keeps lines from being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// For so long nothing was written.
    pub since: Duration,
    /// What the system says; none if the reader only does not read.
    pub error: Option<String>,
}

/// Our side of the thread.
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// Starts the thread; it ends with the process, for nothing else ends a write that blocks.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || write_lines(&theirs, out))?;
        Ok(Self { shared })
    }

    /// Gives it a line, with its line end; an empty one only stands for its sequence. False: there is no room now.
    pub fn offer(&self, sequence: u64, text: String) -> bool {
        let mut state = self.shared.state();
        if !state.has_room() {
            return false;
        }
        if state.is_idle() {
            state.moved = Some(Instant::now());
            if text.is_empty() {
                state.written = state.written.max(sequence);
                return true;
            }
        }
        state.bytes += text.len();
        state.lines.push_back(Line { sequence, text });
        drop(state);
        self.shared.more.notify_one();
        true
    }

    /// Whether a line would be taken.
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

    /// Lines given and not yet written.
    pub fn waiting(&self) -> usize {
        let state = self.shared.state();
        state.lines.len() + state.writing
    }

    /// What keeps it from writing, if lines wait.
    pub fn blocked(&self) -> Option<Blocked> {
        let state = self.shared.state();
        let moved = state.moved.filter(|_| !state.is_idle())?;
        Some(Blocked {
            since: moved.elapsed(),
            error: state.error.clone(),
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines; gives the text of some, how many, and the highest sequence among them.
    fn take(&self) -> (String, usize, u64) {
        let mut state = self.state();
        while state.lines.is_empty() {
            state = self
                .more
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (mut text, mut sequence) = (String::new(), 0);
        while text.len() < AT_ONCE
            && let Some(line) = state.lines.pop_front()
        {
            state.writing += 1;
            sequence = sequence.max(line.sequence);
            text.push_str(&line.text);
        }
        (text, state.writing, sequence)
    }

    fn done(&self, bytes: usize, sequence: u64) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.written = state.written.max(sequence);
        (state.writing, state.error) = (0, None);
        state.moved = Some(Instant::now());
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.lines.len() < LINES_MAX && self.bytes < BYTES_MAX
    }

    fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.writing == 0
    }
}

fn write_lines(shared: &Shared, mut out: impl Write) {
    loop {
        let (text, _, sequence) = shared.take();
        while let Err(error) = write_some(shared, &mut out, text.as_bytes()) {
            shared.state().error = Some(error.to_string());
            thread::sleep(RETRY_EVERY);
        }
        shared.done(text.len(), sequence);
    }
}

/// Writes all of it. After an error it is written anew from its beginning: whoever reads then has not seen it.
fn write_some(shared: &Shared, out: &mut impl Write, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match out.write(&bytes[..whole_lines(bytes)]) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                shared.state().moved = Some(Instant::now());
            }
            // Somebody else made the description that we share with him not wait for its reader.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                thread::sleep(RETRY_EVERY / 100);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How much is written in one call: lines that a pipe takes together or not at all (pipe(7), `PIPE_BUF`), even of a process
/// that is killed meanwhile. Whoever prints next begins a line then. A line that is longer goes alone.
fn whole_lines(bytes: &[u8]) -> usize {
    let end_of = |newline: usize| newline + 1;
    let first = &bytes[..bytes.len().min(libc::PIPE_BUF)];
    let last = first.iter().rposition(|byte| *byte == b'\n');
    let next = || bytes.iter().position(|byte| *byte == b'\n');
    last.or_else(next).map_or(bytes.len(), end_of)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{
        io::{self, Read as _},
        os::unix::net::UnixStream,
    };

    use super::*;

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
        let writer = Writer::start(out).expect("a thread");
        let line = |sequence: u64| format!("{sequence} {}\n", "x".repeat(1_000));
        let mut given = 0;
        while writer.offer(given + 1, line(given + 1)) {
            given += 1;
        }
        let most = 4 * u64::try_from(LINES_MAX).expect("it is small");
        assert!((1_000..most).contains(&given), "{given}");
        assert!(writer.blocked().is_some() && !writer.has_room());
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
    fn lines_that_a_pipe_takes_whole_are_written_together_and_a_long_one_alone() {
        let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
        let short = [line(3_000), line(1_096), line(10)].concat();
        assert_eq!(whole_lines(&short), libc::PIPE_BUF);
        assert_eq!(whole_lines(&[line(5_000), line(10)].concat()), 5_000);
        assert_eq!(whole_lines(b"no end"), 6);
    }

    #[test]
    fn what_cannot_be_written_is_tried_again_until_it_can() {
        let (mut reader, out) = UnixStream::pair().expect("two sockets");
        let open = Arc::new(Mutex::new(false));
        let writer = Writer::start(Gate(out, Arc::clone(&open))).expect("a thread");
        assert!(writer.offer(7, "seven\n".to_owned()));
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
    fn an_event_that_is_passed_over_counts_as_written_in_its_turn() {
        let (_reader, out) = UnixStream::pair().expect("two sockets");
        let writer = Writer::start(out).expect("a thread");
        assert!(writer.offer(3, String::new()));
        assert_eq!(writer.written(), 3);
        assert!(writer.offer(4, "four\n".to_owned()) && writer.offer(5, String::new()));
        until("both", || writer.written() == 5);
    }
}
