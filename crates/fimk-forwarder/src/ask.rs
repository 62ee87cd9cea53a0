//! Questions to the analyzer over its control socket.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use fimk_core::request::{Forward, Request};
use serde_json::Value;

/// The analyzer answers between two turns of its loop: in milliseconds, or, while it reads a large file, in seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Several times what it hands out at once.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The name in the run directory.
const SOCKET: &str = "control.sock";

/// Who asks. One question at a time, however many outputs there are: the analyzer has few places.
pub struct Analyzer {
    socket: PathBuf,
    turn: Mutex<()>,
}

/// What was handed out of an output's events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// Of this life of the analyzer.
    pub epoch: String,
    /// Each with its ticket.
    pub records: Vec<(u64, String)>,
    /// There are more that it did not hand out at once.
    pub more: bool,
}

impl Analyzer {
    /// That has this run directory.
    pub fn at(run_dir: &Path) -> Self {
        Self {
            socket: run_dir.join(SOCKET),
            turn: Mutex::new(()),
        }
    }

    /// Says what was sent, and gets more.
    ///
    /// # Errors
    /// A sentence: nobody answers, or it refuses.
    pub fn forward(&self, question: Forward) -> Result<Handed, String> {
        let answer = self.ask(&Request::Forward(Box::new(question)))?;
        handed(&answer).ok_or_else(|| {
            "the answer of fimk-analyzer is not understood: install both from the same version"
                .to_owned()
        })
    }

    /// How it is.
    ///
    /// # Errors
    /// A sentence: nobody answers, or it refuses.
    pub fn status(&self) -> Result<Value, String> {
        self.ask(&Request::Status {})
    }

    fn ask(&self, request: &Request) -> Result<Value, String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let text = serde_json::to_string(request).map_err(|error| error.to_string())?;
        let answer = exchange(&self.socket, &(text + "\n")).map_err(|error| {
            format!(
                "fimk-analyzer does not answer at {} ({error}): start fimk-loader(8), or give the --run-dir of the one that runs",
                self.socket.display()
            )
        })?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|_| "the answer of fimk-analyzer is no JSON".to_owned())?;
        match answer.get("error") {
            Some(error) => {
                let message = error.get("message").and_then(Value::as_str);
                Err(format!(
                    "fimk-analyzer refuses: {}",
                    message.unwrap_or("it does not say why")
                ))
            }
            None => Ok(answer),
        }
    }
}

/// The answer's line, without its end.
fn exchange(socket: &Path, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let asked = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let mut bytes = vec![0; 64 << 10];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                let end = bytes[..count].iter().position(|&byte| byte == b'\n');
                answer.extend_from_slice(&bytes[..end.unwrap_or(count)]);
                if end.is_some() {
                    return Ok(answer);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(asked.err().unwrap_or(error)),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

fn handed(answer: &Value) -> Option<Handed> {
    let records = answer.get("records")?.as_array()?.iter().map(|record| {
        let ticket = record.get(0)?.as_u64()?;
        Some((ticket, record.get(1)?.as_str()?.to_owned()))
    });
    Some(Handed {
        epoch: answer.get("epoch")?.as_str()?.to_owned(),
        records: records.collect::<Option<_>>()?,
        more: answer.get("more")?.as_bool()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{os::unix::net::UnixListener, thread};

    use serde_json::json;

    use super::*;

    fn answered(bytes: &'static [u8]) -> Result<Handed, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join(SOCKET)).expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut asked = [0; 1024];
            let count = stream.read(&mut asked).expect("asked");
            stream.write_all(bytes).expect("taken");
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        let answer = Analyzer::at(directory.path()).forward(Forward {
            output: "siem".to_owned(),
            done: Some(7),
            limit: 3,
            ..Forward::default()
        });
        let asked = server.join().expect("it ended");
        let wanted = json!({ "command": "forward", "output": "siem", "done": 7, "limit": 3 });
        let asked: Value = serde_json::from_str(&asked).expect("JSON");
        assert_eq!(asked, wanted);
        answer
    }

    #[test]
    fn an_answer_has_records_with_tickets() {
        let handed =
            answered(b"{\"epoch\":\"e\",\"records\":[[8,\"a\"],[10,\"b\\n\"]],\"more\":true}\n");
        let records = vec![(8, "a".to_owned()), (10, "b\n".to_owned())];
        let epoch = "e".to_owned();
        let more = true;
        assert_eq!(
            handed,
            Ok(Handed {
                epoch,
                records,
                more
            })
        );
    }

    #[test]
    fn what_is_no_answer_says_so() {
        for (bytes, word) in [
            (b"".as_slice(), "does not answer"),
            (b"{\"epoch\":\"e\"", "does not answer"),
            (b"[\n", "no JSON"),
            (b"{}\n", "not understood"),
            (
                b"{\"epoch\":1,\"records\":[],\"more\":true}\n",
                "not understood",
            ),
            (
                b"{\"epoch\":\"\",\"records\":[[1]],\"more\":true}\n",
                "not understood",
            ),
            (b"{\"error\":{\"message\":\"busy\"}}\n", "refuses: busy"),
        ] {
            let error = answered(bytes).expect_err("no answer");
            assert!(error.contains(word), "{error}");
        }
    }
}
