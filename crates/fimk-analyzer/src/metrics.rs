//! `[metrics]`: the status as metrics in a file, again and again, for the textfile collector of `node_exporter`.
//!
//! A thread of its own writes them: a file system that hangs holds up nothing else. What it has no time for is dropped,
//! for the next is newer.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use fimk_core::config;
use serde_json::{Value, json};

use crate::status::{known, path};

/// Others may read it: the collector is another user. The umask of `main` lets it.
const MODE: u32 = 0o644;

/// What became of them.
#[derive(Debug, Default)]
struct Counts {
    written: u64,
    failed: u64,
    /// Why the last one could not be written.
    error: Option<String>,
}

/// The file, and when it is to be written next.
pub struct Metrics {
    config: config::Metrics,
    due: Instant,
    texts: SyncSender<String>,
    counts: Arc<Mutex<Counts>>,
    /// The thread was not done with the one before.
    dropped: u64,
}

impl Metrics {
    /// Begins at once.
    pub fn start(config: config::Metrics) -> io::Result<Self> {
        let (texts, wanted) = sync_channel::<String>(1);
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (shared, at) = (Arc::clone(&counts), config.clone());
        thread::Builder::new()
            .name("fimk-metrics".to_owned())
            .spawn(move || {
                for text in wanted {
                    let done = write(&at, &text);
                    let mut counts = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    counts.note(done);
                }
            })?;
        Ok(Self {
            config,
            due: Instant::now(),
            texts,
            counts,
            dropped: 0,
        })
    }

    /// When they are to be written.
    pub fn next_due(&self) -> Instant {
        self.due
    }

    /// Has them written, soon.
    pub fn offer(&mut self, text: String) {
        self.due = Instant::now() + Duration::from_secs(self.config.interval_s);
        if let Err(TrySendError::Full(_)) = self.texts.try_send(text) {
            self.dropped += 1;
        }
    }

    /// That they cannot be written, and what to do.
    pub fn problem(&self) -> Option<String> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let error = counts.error.as_ref()?;
        Some(format!(
            "the metrics in {} cannot be written ({error}): let the analyzer's user write to its directory",
            self.config.path.display()
        ))
    }

    /// For the status.
    pub fn value(&self) -> Value {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.config.path.as_os_str().as_encoded_bytes();
        known([
            ("path", json!(path(&fimk_core::path::BytePath::new(bytes)))),
            ("written", json!(counts.written)),
            ("failed", json!(counts.failed)),
            ("dropped", json!(self.dropped)),
        ])
    }
}

impl Counts {
    fn note(&mut self, done: io::Result<()>) {
        match done {
            Ok(()) => {
                self.written += 1;
                self.error = None;
            }
            Err(error) => {
                self.failed += 1;
                self.error = Some(error.to_string());
            }
        }
    }
}

/// Whole, or not at all: who reads meanwhile has the one before.
fn write(config: &config::Metrics, text: &str) -> io::Result<()> {
    let new = config.new_path();
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&new, &config.path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_takes_the_place_of_the_one_before_and_no_link_is_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = config::Metrics {
            path: directory.path().join("fimk.prom"),
            interval_s: 1,
        };
        let other = directory.path().join("other");
        fs::write(&other, "precious").expect("it is ours");
        symlink(&other, config.new_path()).expect("it is ours");
        for text in ["a 1\n", "a 2\n"] {
            write(&config, text).expect("written");
            assert_eq!(fs::read_to_string(&config.path).expect("there"), text);
        }
        assert_eq!(fs::read_to_string(&other).expect("there"), "precious");
        let mode = fs::metadata(&config.path).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, MODE);
        assert!(!config.new_path().exists());
        let nowhere = config::Metrics {
            path: directory.path().join("none/fimk.prom"),
            interval_s: 1,
        };
        let mut counts = Counts::default();
        counts.note(write(&nowhere, ""));
        assert!(counts.failed == 1 && counts.error.is_some());
        counts.note(write(&config, ""));
        assert!(counts.written == 1 && counts.error.is_none());
    }
}
