//! One question over the control socket, within limits.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use fimk_core::request::Request;
use serde_json::Value;

use fimk_core::exit::{Failure, Status};

/// In the run directory.
const SOCKET: &str = "control.sock";

/// From connecting to the last byte. The monitor answers between two turns of its loop: in milliseconds, or, while
/// it reads a large file, in seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of an answer: a hundred times what a status takes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Asks the monitor whose run directory this is.
pub fn ask(run_dir: &Path, request: &Request) -> Result<Value, Failure> {
    let answer = ask_within(run_dir, request, PATIENCE)?;
    answer
        .get("error")
        .map_or(Ok(()), |error| Err(refused(error)))?;
    Ok(answer)
}

/// In a thread of its own: connecting cannot be given a time limit, and an answer that drips would outlive one
/// on each read.
fn ask_within(run_dir: &Path, request: &Request, patience: Duration) -> Result<Value, Failure> {
    let path = run_dir.join(SOCKET);
    let (done, answer) = mpsc::channel();
    let mut request = serde_json::to_string(request)
        .map_err(|error| Failure::new(Status::Io, error.to_string()))?;
    request.push('\n');
    let at = path.clone();
    thread::Builder::new()
        .spawn(move || {
            // Whoever waited may have given up.
            let _ = done.send(exchange(&at, &request));
        })
        .map_err(|error| not_asked(&path, &error))?;
    match answer.recv_timeout(patience) {
        Ok(text) => parse(&path, &text.map_err(|error| not_asked(&path, &error))?),
        Err(RecvTimeoutError::Timeout) => Err(silent(&path, patience)),
        Err(RecvTimeoutError::Disconnected) => Err(not_asked(&path, &ErrorKind::BrokenPipe.into())),
    }
}

/// What the monitor says instead of an answer.
fn refused(error: &Value) -> Failure {
    let text = |key| error.get(key).and_then(Value::as_str);
    let status = match text("code") {
        Some("busy" | "too_slow" | "no_such_scan") => Status::Unavailable,
        Some("not_allowed") => Status::Permission,
        Some("bad_query" | "no_such_event") => Status::Usage,
        _ => Status::Io,
    };
    let message = text("message").unwrap_or("the monitor does not say why it refuses");
    match status {
        Status::Unavailable => {
            Failure::new(status, format!("the monitor does not answer: {message}"))
        }
        status => Failure::new(status, message),
    }
}

/// The answer's line, without its end where one came.
fn exchange(path: &Path, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    // Who is refused at once may find the connection closed before it has asked: the reason is still there to read.
    let asked = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let mut bytes = [0; 16 << 10];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                answer.extend_from_slice(&bytes[..count]);
                if bytes[..count].contains(&b'\n') {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if answer.is_empty() => return Err(asked.err().unwrap_or(error)),
            Err(_) => break,
        }
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
    if answer.is_empty() {
        asked?;
    }
    Ok(answer)
}

fn parse(path: &Path, answer: &[u8]) -> Result<Value, Failure> {
    let line = answer.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    serde_json::from_slice(line)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            let why = if line.is_empty() {
                "the monitor closed the connection without an answer: ask again, and look at its log"
            } else {
                "the answer is not one of fimk's: see who listens there"
            };
            Failure::new(Status::Io, format!("{}: {why}", path.display()))
        })
}

fn silent(path: &Path, patience: Duration) -> Failure {
    Failure::new(
        Status::Unavailable,
        format!(
            "the monitor at {} has not answered for {} s: it may be starting, reading a slow file system, or waiting \
             for somebody to read its output; look at its log, or ask again",
            path.display(),
            patience.as_secs()
        ),
    )
}

fn not_asked(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    let (status, sentence) = match error.kind() {
        // A reset: it died, or was killed, while it was asked.
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => (
            Status::Unavailable,
            format!(
                "fimk-analyzer is not running: no monitor answers at {at}; start fimk-loader(8) (systemctl start fimk-analyzer), or name the run directory of the one that runs with --run-dir"
            ),
        ),
        ErrorKind::PermissionDenied => (
            Status::Permission,
            format!("{at} is not for this user: ask as root"),
        ),
        // What sun_path of unix(7) takes.
        ErrorKind::InvalidInput => (
            Status::Usage,
            format!(
                "{at} is too long for a socket, which has at most 107 bytes: give another --run-dir"
            ),
        ),
        ErrorKind::FileTooLarge => (
            Status::Io,
            format!(
                "the answer from {at} is longer than {ANSWER_BYTES_MAX} bytes: see who listens there"
            ),
        ),
        _ => (
            Status::Io,
            format!("the monitor at {at} cannot be asked ({error}): look at its log, or ask again"),
        ),
    };
    Failure::new(status, sentence)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::net::UnixListener,
        path::PathBuf,
    };

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    /// A monitor that answers once, with these bytes.
    fn monitor(answer: &'static [u8]) -> TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join(SOCKET)).expect("bound");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("asked");
            assert_eq!(line, "{\"command\":\"status\"}\n");
            // Whoever asked may have had enough.
            let _ = stream.write_all(answer);
        });
        directory
    }

    fn failure(directory: &TempDir) -> Failure {
        ask(directory.path(), &Request::Status {}).expect_err("no answer")
    }

    #[test]
    fn an_answer_is_one_object_on_one_line() {
        let answer =
            ask(monitor(b"{\"a\":1}\nmore").path(), &Request::Status {}).expect("an answer");
        assert_eq!(answer, json!({ "a": 1 }));
        let answer = ask(monitor(b"{\"a\":1}").path(), &Request::Status {}).expect("an answer");
        assert_eq!(answer, json!({ "a": 1 }));
    }

    #[test]
    fn what_is_no_answer_says_so() {
        for bytes in [b"".as_slice(), b"\n", b"[]\n", b"{\"a\":\n", b"\x1b[2J\n"] {
            assert_eq!(failure(&monitor(bytes)).status, Status::Io);
        }
    }

    #[test]
    fn an_endless_answer_is_cut_off() {
        static ENDLESS: [u8; 4 << 20] = [b' '; 4 << 20];
        let failed = failure(&monitor(&ENDLESS));
        assert_eq!(failed.status, Status::Io);
        assert!(
            failed.sentence.contains("longer than 1048576"),
            "{failed:?}"
        );
    }

    #[test]
    fn where_nobody_is_or_somebody_died_no_monitor_answers() {
        let directory = tempfile::tempdir().expect("a directory");
        for _ in 0..2 {
            let failed = failure(&directory);
            assert_eq!(failed.status, Status::Unavailable);
            assert!(failed.sentence.contains("start fimk-loader"), "{failed:?}");
            // The second time, with a socket that nobody serves.
            let _ = UnixListener::bind(directory.path().join(SOCKET));
        }
    }

    #[test]
    fn who_is_silent_or_does_not_even_accept_is_waited_for_no_longer_than_that() {
        let directory = tempfile::tempdir().expect("a directory");
        let _listener = UnixListener::bind(directory.path().join(SOCKET)).expect("bound");
        let failed = ask_within(
            directory.path(),
            &Request::Status {},
            Duration::from_millis(50),
        );
        let failed = failed.expect_err("no answer");
        assert_eq!(failed.status, Status::Unavailable);
        assert!(failed.sentence.contains("has not answered"), "{failed:?}");
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_a_wrong_flag() {
        let long = PathBuf::from("/").join("d".repeat(200));
        let failed = ask(&long, &Request::Status {}).expect_err("too long");
        assert_eq!(failed.status, Status::Usage);
    }
}
