//! A running `evade`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

/// The program, see `tests/build.rs`.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/evade"));

/// What it says.
pub enum Word {
    /// It has prepared.
    Ready,
    /// It has acted: the process that did, one that holds what it wrote to (or 0), and when we read that.
    Done(u32, u32, Instant),
    /// It cannot be done here.
    Cannot(String),
    /// It went wrong.
    Broken(String),
}

/// One process for one case. Dropped, it is told to end, and awaited.
pub struct Helper {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts it.
    pub fn start(program: &Path, technique: &str, watched: &Path, out: &Path) -> Self {
        let mut child = Command::new(program)
            .arg(technique)
            .args([watched, out])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was just written");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            child,
            input,
            output,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to act. Words that it does not read any more are none of our concern.
    pub fn go(&mut self) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(b"go\n");
        }
    }

    /// The next thing it says. It ends itself if it takes too long.
    pub fn hear(&mut self) -> Word {
        let mut line = String::new();
        let _ = self.output.read_line(&mut line);
        let now = Instant::now();
        let (word, rest) = line
            .trim_end()
            .split_once(' ')
            .unwrap_or((line.trim_end(), ""));
        match word {
            "ready" => Word::Ready,
            "done" => {
                let mut pids = rest.split(' ').map(|pid| pid.parse().unwrap_or_default());
                let mut next = || pids.next().unwrap_or_default();
                Word::Done(next(), next(), now)
            }
            "cannot" => Word::Cannot(rest.to_owned()),
            "broken" => Word::Broken(rest.to_owned()),
            _ => Word::Broken("it ended without a word".to_owned()),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
