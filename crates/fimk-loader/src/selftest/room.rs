//! The private directory of the self-test.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::Result;
use std::path::{Path, PathBuf};

use fimk_wire::raw;
use nix::unistd::{getpid, gettid, mkdtemp};

use crate::objects;

/// Root's, and gone at the next boot. A hardened unit can write only in the first.
const PLACES: [&str; 2] = ["/run/fimk-loader", "/run"];

/// A directory of mode 0700, removed with all in it when dropped. What this thread stats is watched by the
/// trial's programs.
pub struct Room {
    path: PathBuf,
    made: Cell<u32>,
}

impl Room {
    /// Makes the directory and has it watched.
    pub fn new(file: &mut objects::File) -> Result<Self> {
        let mut made = Err(nix::errno::Errno::ENOENT);
        for place in PLACES {
            made = made.or_else(|_| mkdtemp(&Path::new(place).join("fimk-selftest.XXXXXX")));
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

/// Arms by touch.
pub fn watch(path: &Path) -> Result<()> {
    fs::symlink_metadata(path).map(drop)
}
