//! Lines on a pipe, a terminal or whatever standard output is.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use super::Sink;

/// Between two attempts at a description that somebody made non-blocking.
const AGAIN: Duration = Duration::from_millis(10);

/// A stream that is never flushed and never forgets what it refused.
pub struct Stream<W> {
    out: W,
    text: Vec<u8>,
}

impl Stream<File> {
    /// Past the buffer of the standard library, which knows of no attempt that is made again.
    pub fn stdout() -> io::Result<Self> {
        Ok(Self::new(File::from(
            io::stdout().as_fd().try_clone_to_owned()?,
        )))
    }
}

impl<W: Write> Stream<W> {
    /// Onto anything that can be written.
    pub fn new(out: W) -> Self {
        Self {
            out,
            text: Vec::new(),
        }
    }
}

impl<W: Write + Send> Sink for Stream<W> {
    /// All of them together. After an error they are written anew from the beginning: whoever reads then has not seen it.
    fn take(&mut self, records: &[&[u8]], moved: &mut dyn FnMut()) -> io::Result<usize> {
        self.text.clear();
        for record in records {
            self.text.extend_from_slice(record);
        }
        let mut bytes = self.text.as_slice();
        while !bytes.is_empty() {
            match self.out.write(&bytes[..whole_lines(bytes)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    moved();
                }
                // Somebody else made the description that we share with him not wait for its reader.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(AGAIN),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records.len())
    }
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
    use super::*;

    #[test]
    fn lines_that_a_pipe_takes_whole_are_written_together_and_a_long_one_alone() {
        let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
        let short = [line(3_000), line(1_096), line(10)].concat();
        assert_eq!(whole_lines(&short), libc::PIPE_BUF);
        assert_eq!(whole_lines(&[line(5_000), line(10)].concat()), 5_000);
        assert_eq!(whole_lines(b"no end"), 6);
    }
}
