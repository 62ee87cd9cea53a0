//! A place of its own for each test.

use std::{
    env,
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::unistd::{Uid, User};
use serde_json::Value;
use tempfile::TempDir;

use crate::Monitor;

/// Directories of one test: `files` to watch, `state`, `run`, `fimk.toml`. In /var/tmp, which is on a disk,
/// or in `FIMK_TEST_DIR`, for another file system.
pub struct Site {
    root: TempDir,
    pins: PathBuf,
}

impl Site {
    /// Makes the directories; panics with a reason where no test could run at all.
    pub fn new() -> Self {
        assert!(Uid::effective().is_root(), "these tests need root");
        assert!(
            matches!(User::from_name("fimk"), Ok(Some(_))),
            "there is no user fimk: scripts/test makes it"
        );
        let parent =
            env::var_os("FIMK_TEST_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let root = tempfile::Builder::new()
            .prefix("fimk-test-")
            .tempdir_in(parent)
            .expect("the directory for tests can be written");
        // The watched files are like any others: reachable for everyone.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        fs::create_dir(root.path().join("files")).expect("it is ours");
        let pins = PathBuf::from(format!(
            "/sys/fs/bpf/fimk-test-{}-{}",
            process::id(),
            next_number()
        ));
        Self { root, pins }
    }

    /// The directory of watched files.
    pub fn files(&self) -> PathBuf {
        self.root.path().join("files")
    }

    /// A name in the directory of watched files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files().join(name)
    }

    /// A new watched file with this text, its directories too.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::create_dir_all(path.parent().expect("it is below files")).expect("it is ours");
        fs::write(&path, text).expect("it is ours");
        path
    }

    /// A name beside the watched files, which no rule covers.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Puts this text in the place of a file, at once and whole.
    pub fn replace(&self, path: &Path, text: &str) {
        let new = self.outside("new");
        fs::write(&new, text).expect("it is ours");
        fs::rename(&new, path).expect("both are on one file system");
    }

    /// A second pin directory.
    pub fn other_pins(&self) -> PathBuf {
        // bpffs takes no name with a dot.
        let name = format!("{}-other", self.pins.display());
        PathBuf::from(name)
    }

    /// Where fimk keeps its database.
    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// All bytes of all files in the state directory.
    pub fn state_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut directories = vec![self.state()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    directories.push(entry.path());
                } else {
                    bytes.extend(fs::read(entry.path()).unwrap_or_default());
                }
            }
        }
        bytes
    }

    /// Where its control socket is.
    pub fn run_dir(&self) -> PathBuf {
        self.root.path().join("run")
    }

    /// The command `fimk`, which was built beside the loader.
    pub fn fimk(&self) -> PathBuf {
        loader().with_file_name("fimk")
    }

    /// What `fimk status` says of it; nothing where nobody answers.
    pub fn status(&self) -> Value {
        let asked = Command::new(self.fimk())
            .args(["status", "--format", "json", "--run-dir"])
            .arg(self.run_dir())
            .output();
        let answer = asked.expect("fimk is built beside the loader").stdout;
        serde_json::from_slice(&answer).unwrap_or_default()
    }

    /// Starts fimk with one rule on the directory of watched files, and waits until it has started.
    pub fn watch(&self) -> Monitor {
        self.start(&rule(&[&self.files()]))
    }

    /// Starts fimk with this configuration, and waits until it has started.
    pub fn start(&self, config: &str) -> Monitor {
        let monitor = self.launch(config).spawn();
        monitor.await_start();
        monitor
    }

    /// A start that is still to be made, to be varied first.
    pub fn launch(&self, config: &str) -> Launch {
        let file = self.root.path().join("fimk.toml");
        let marks = marks().filter(|_| !config.contains("fanotify_marks"));
        let marks = marks.map_or_else(String::new, |it| format!("fanotify_marks = {it:?}\n"));
        fs::write(&file, marks + config).expect("it is ours");
        Launch {
            loader: loader(),
            config: file,
            pins: self.pins.clone(),
            state: self.state(),
            run: self.run_dir(),
            user: "fimk".to_owned(),
            under: Vec::new(),
            flags: Vec::new(),
            variables: Vec::new(),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for pins in [&self.pins, &self.other_pins()] {
            let _ = fs::remove_dir_all(pins);
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// `FIMK_MARKS`: the `fanotify_marks` of configurations that have none.
pub fn marks() -> Option<String> {
    env::var("FIMK_MARKS")
        .ok()
        .filter(|marks| !marks.is_empty())
}

/// `FIMK_LOADER`, or the one that was built beside this test.
pub fn loader() -> PathBuf {
    env::var_os("FIMK_LOADER").map_or_else(
        || {
            let test = env::current_exe().expect("it runs");
            test.ancestors()
                .nth(2)
                .expect("it is in target/release/deps")
                .join("fimk-loader")
        },
        PathBuf::from,
    )
}

/// Objects that the configuration of a test has room for: more than any touches, and little to make. An emulated
/// guest takes seconds to make what is usual.
pub const OBJECTS_MAX: u32 = 8_192;

/// TOML of one rule named `test` on these paths, with an output to stdout.
pub fn rule(paths: &[&Path]) -> String {
    let mut list = String::new();
    for path in paths {
        let _ = write!(
            list,
            "{:?}, ",
            path.to_str().expect("tests use UTF-8 names")
        );
    }
    format!(
        "objects_max = {OBJECTS_MAX}\n\n[[rule]]\nname = \"test\"\npaths = [{list}]\n\n[[output]]\ntype = \"stdout\"\n"
    )
}

/// How fimk is started: every field may be changed before.
pub struct Launch {
    /// The program.
    pub loader: PathBuf,
    /// `--config`.
    pub config: PathBuf,
    /// `--pin-dir`.
    pub pins: PathBuf,
    /// `--state-dir`.
    pub state: PathBuf,
    /// `--run-dir`.
    pub run: PathBuf,
    /// `--user`.
    pub user: String,
    /// A command to start it under, with its arguments.
    pub under: Vec<String>,
    /// More flags of the loader.
    pub flags: Vec<String>,
    /// Variables of services, beside those of the test.
    pub variables: Vec<(String, PathBuf)>,
}

/// How a start failed.
#[derive(Debug)]
pub struct Refusal {
    /// Its exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// What it logged.
    pub errors: String,
}

impl Launch {
    /// Starts it without waiting for anything.
    pub fn spawn(&self) -> Monitor {
        let mut words = self
            .under
            .iter()
            .map(PathBuf::from)
            .chain([self.loader.clone()]);
        let mut command = Command::new(words.next().expect("there is at least the loader"));
        command.args(words).arg("--run-analyzer");
        command
            .arg("--config")
            .arg(&self.config)
            .arg("--pin-dir")
            .arg(&self.pins);
        command
            .arg("--state-dir")
            .arg(&self.state)
            .arg("--run-dir")
            .arg(&self.run)
            .arg("--user")
            .arg(&self.user)
            .args(&self.flags);
        if let Some(source) = env::var_os("FIMK_SOURCE").filter(|source| !source.is_empty()) {
            command.arg("--source").arg(source);
        }
        Monitor::spawn(command, self.pins.clone())
    }

    /// Starts it and waits until it gives up; panics if it starts after all, or leaves a pin.
    pub fn refused(&self) -> Refusal {
        let mut monitor = self.spawn();
        let status = monitor.await_exit();
        assert!(
            monitor
                .events()
                .iter()
                .all(|event| event.action() != "monitor_started"),
            "it started\n{}",
            monitor.account()
        );
        monitor.assert_no_pin();
        Refusal {
            status: status.code(),
            errors: monitor.errors(),
        }
    }
}

impl Refusal {
    /// Checks the exit status and that the log has every one of these words.
    pub fn assert(&self, status: i32, words: &[&str]) {
        assert_eq!(
            self.status,
            Some(status),
            "exit status; stderr:\n{}",
            self.errors
        );
        for word in words {
            assert!(
                self.errors.contains(word),
                "stderr does not say {word:?}:\n{}",
                self.errors
            );
        }
        assert!(
            !self.errors.contains("panicked at"),
            "it panicked:\n{}",
            self.errors
        );
    }
}
