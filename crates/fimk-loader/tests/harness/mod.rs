//! A place for the real loader to run in, and the loader.
#![allow(dead_code, reason = "each test program uses a part of it")]

// As all tests say it.
#[path = "../../../../tests/src/not_run.rs"]
mod not_run;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};

pub use not_run::not_run;

/// A directory with a BPF file system, a script, and a copy of the analyzer that anybody may execute.
pub struct Place {
    root: tempfile::TempDir,
    /// The loader makes this one; ours would be readable by the wrong group.
    key_is_ours: bool,
}

const KEY: &str = "/etc/fimk/digest.key";

/// A loader that runs.
pub struct Loader {
    pub child: Child,
    pub output: BufReader<ChildStdout>,
    pub log: BufReader<ChildStderr>,
}

impl Place {
    /// `None`, with a word, where the test cannot run.
    pub fn new(script: &str) -> Option<Self> {
        if !Uid::effective().is_root() {
            not_run(
                "the loader",
                "needs root, a BPF file system and the loader's real privileges",
            );
            return None;
        }
        let place = Self {
            root: tempfile::tempdir().expect("a directory"),
            key_is_ours: !Path::new(KEY).exists(),
        };
        std::fs::set_permissions(place.root.path(), PermissionsExt::from_mode(0o755))
            .expect("ours");
        std::fs::create_dir(place.path("bpf")).expect("a new directory");
        let mounted = Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(place.path("bpf"))
            .status();
        assert!(
            mounted.expect("mount").success(),
            "a BPF file system can be mounted"
        );
        std::fs::copy(built("examples/fake_analyzer"), place.path("analyzer"))
            .expect("the example is built");
        std::fs::write(place.path("script"), script).expect("a new file");
        Some(place)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fimk-loader"));
        command.arg("--run-analyzer").args(["--user", "nobody"]);
        for (flag, name) in [
            ("--config", "script"),
            ("--analyzer", "analyzer"),
            ("--pin-dir", "bpf/fimk"),
            ("--state-dir", "state"),
            ("--run-dir", "run"),
        ] {
            command.arg(flag).arg(self.path(name));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The loader as a service.
    pub fn service(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fimk-loader"));
        command.args(["--user", "nobody"]);
        command.arg("--handover").arg(self.socket());
        command.arg("--pin-dir").arg(self.path("bpf/fimk"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a service and waits until it listens.
    pub fn serve(&self) -> Loader {
        let mut service = Loader::from(self.service());
        let mut line = String::new();
        service.log.read_line(&mut line).expect("text");
        while !line.contains("waits for an analyzer") {
            let length = service.log.read_line(&mut line).expect("text");
            assert!(length > 0, "it does not listen: {line}");
        }
        service
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.path("hand/over.sock")
    }

    /// An analyzer that asks a service for a channel, and what it does then.
    pub fn analyzer(&self, script: &str) -> Loader {
        let nobody = User::from_name("nobody")
            .unwrap()
            .expect("every system has it");
        let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
        let state = self.path("state");
        let _ = std::fs::create_dir(&state);
        chown(&state, Some(uid), Some(gid)).expect("we are root");
        let config = self.path("service-script");
        std::fs::write(&config, script).expect("ours");
        let mut command = Command::new(self.path("analyzer"));
        command.arg("--handover").arg(self.socket());
        command.arg("--config").arg(config);
        command.arg("--state-dir").arg(state);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .uid(uid)
            .gid(gid);
        Loader::from(command)
    }

    pub fn start(&self) -> Loader {
        Loader::from(self.command())
    }

    pub fn pins(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path("bpf/fimk")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path("bpf")).status();
        if self.key_is_ours {
            let _ = std::fs::remove_file(KEY);
            let _ = std::fs::remove_dir("/etc/fimk");
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Loader {
    pub fn from(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the loader is built");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let log = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, output, log }
    }

    /// The analyzer's lines up to and with the first that starts so.
    pub fn until(&mut self, start: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.output.by_ref().lines() {
            lines.push(line.expect("text"));
            if lines.last().is_some_and(|line| line.starts_with(start)) {
                return lines;
            }
        }
        let mut log = String::new();
        let _ = self.log.read_to_string(&mut log);
        panic!("no line starts with {start:?}: {lines:#?}\n{log}");
    }

    pub fn stop(&self) {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .expect("it runs");
    }

    /// Of a command whose streams are not piped yet.
    pub fn from_piped(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self::from(command)
    }

    /// Ends it as nothing in it can prevent.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("our child");
    }

    /// Waits for a line of the log that says this.
    pub fn until_logged(&mut self, words: &str) {
        let mut log = String::new();
        while !log.contains(words) {
            let length = self.log.read_line(&mut log).expect("text");
            assert!(length > 0, "nothing logged says {words:?}: {log}");
        }
    }

    /// The exit status and what was logged.
    pub fn end(mut self) -> (i32, String) {
        let began = Instant::now();
        let mut log = String::new();
        self.log.read_to_string(&mut log).expect("text");
        let status = self.child.wait().expect("our child");
        assert!(began.elapsed() < Duration::from_secs(30), "it ends in time");
        (status.code().unwrap_or(-1), log)
    }
}

/// A file beside the loader's executable.
pub fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_fimk-loader"))
        .with_file_name("")
        .join(name)
}
