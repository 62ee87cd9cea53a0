//! The private directory of the self-test.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::Result;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fimk_wire::raw;
use nix::unistd::{getpid, gettid, mkdtemp};

use crate::objects;

/// Root's, and gone at the next boot. A hardened unit can write only in the first.
const PLACES: [&str; 2] = ["/run/fimk-loader", "/run"];

/// What the names of our directories begin with.
const NAME: &str = "fimk-selftest.";
/// A self-test takes seconds, and minutes on an emulated machine: a directory older than this is nobody's.
const LEFT_AFTER: Duration = Duration::from_secs(3600);

/// A directory of mode 0700, removed with all in it when dropped. What this thread stats is watched by the
/// trial's programs.
pub struct Room {
    path: PathBuf,
    made: Cell<u32>,
}

impl Room {
    /// Makes the directory and has it watched.
    pub fn new(file: &mut objects::File) -> Result<Self> {
        // mkdtemp(3) puts letters of its own in the place of the last six.
        let template = format!("{NAME}{}", "X".repeat(6));
        let mut made = Err(nix::errno::Errno::ENOENT);
        for place in PLACES.map(Path::new) {
            remove_left(place, SystemTime::now());
            made = made.or_else(|_| mkdtemp(&place.join(&template)));
        }
        let room = Self {
            path: made?,
            made: Cell::new(0),
        };
        let (process, thread) = (getpid().as_raw(), gettid().as_raw());
        let thread = u64::from(process.cast_unsigned()) << 32 | u64::from(thread.cast_unsigned());
        let inherited = raw::FIMK_WATCH_KINDS << raw::FIMK_WATCH_INHERITED_SHIFT;
        let flags = raw::FIMK_WATCH_CHILDREN | raw::FIMK_WATCH_KINDS | inherited;
        file.set_arming(thread, 0, flags);
        watch(&room.path)?;
        Ok(room)
    }

    /// A name that is not taken.
    pub fn name(&self) -> PathBuf {
        self.made.set(self.made.get() + 1);
        self.path.join(self.made.get().to_string())
    }

    /// A new watched file of one page, open for reading and writing.
    pub fn file(&self) -> Result<File> {
        self.named_file().map(|(_, file)| file)
    }

    /// The same with its name.
    pub fn named_file(&self) -> Result<(PathBuf, File)> {
        let path = self.name();
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        file.set_len(4096)?;
        watch(&path)?;
        Ok((path, file))
    }

    /// A new watched directory.
    pub fn directory(&self) -> Result<PathBuf> {
        let path = self.name();
        fs::create_dir(&path)?;
        watch(&path)?;
        Ok(path)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(cause) = fs::remove_dir_all(&self.path) {
            crate::log::line(format_args!(
                "the self-test's {} stays: {cause}",
                self.path.display()
            ));
        }
    }
}

/// Removes the directories of self-tests that were killed.
fn remove_left(place: &Path, now: SystemTime) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_ours = |found: &fs::Metadata| found.is_dir() && found.uid() == 0;
        let age = |found: fs::Metadata| now.duration_since(found.modified().ok()?).ok();
        let found = entry.metadata().ok().filter(is_ours);
        let is_left = found.and_then(age).is_some_and(|age| age > LEFT_AFTER);
        if is_left
            && entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(NAME.as_bytes())
        {
            // Its mounts were in a namespace of their own. What cannot be removed is untidy, and no more.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Arms by touch.
pub fn watch(path: &Path) -> Result<()> {
    fs::symlink_metadata(path).map(drop)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;
    use crate::not_run::not_run;

    #[test]
    fn only_old_directories_of_self_tests_are_removed() {
        if !nix::unistd::Uid::effective().is_root() {
            not_run(
                "old directories of self-tests",
                "needs root, whose directories are looked for",
            );
            return;
        }
        let place = tempfile::tempdir().expect("a directory");
        let make = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.join("inner")).expect("it is ours");
            path
        };
        let (ours, other) = (make("fimk-selftest.abcdef"), make("other"));
        let named = place.path().join("fimk-selftest.link");
        std::os::unix::fs::symlink(&other, &named).expect("it is ours");
        remove_left(place.path(), SystemTime::now());
        assert!(ours.exists());
        remove_left(place.path(), SystemTime::now() + 2 * LEFT_AFTER);
        assert!(!ours.exists() && other.join("inner").exists() && named.exists());
    }
}
