//! Lines in a file that is ours alone, and that another takes the place of when it is full.
//!
//! What was written is on the disk before it counts as delivered. A line that was cut off by a crash is taken away at the
//! next start, and comes again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use fimk_core::config::numbered;
use nix::unistd::geteuid;

use super::Sink;

/// Of a file that is made: a group may read it. The umask of `main` lets it.
const MODE: u32 = 0o640;

/// What nobody but us may do with a file that is there already.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Read at a time on the way back to the last line end.
const PIECE: u64 = 64 << 10;

/// The file and its successors.
pub struct Lines {
    path: PathBuf,
    rotate_bytes: u64,
    rotate_keep: u32,
    open: Option<Open>,
}

struct Open {
    file: File,
    bytes: u64,
    identity: (u64, u64),
}

impl Lines {
    /// Nothing is opened yet.
    pub fn new(path: PathBuf, rotate_bytes: u64, rotate_keep: u32) -> Self {
        Self {
            path,
            rotate_bytes,
            rotate_keep,
            open: None,
        }
    }

    /// Opens it, and makes it if it is not there.
    pub fn open(&mut self) -> io::Result<()> {
        self.ready(0).map(drop)
    }

    /// The file under its name, with room for this much: the one that is open, or another if somebody moved that away or it
    /// is full.
    fn ready(&mut self, bytes: u64) -> io::Result<&mut Open> {
        let under_name = fs::symlink_metadata(&self.path)
            .ok()
            .map(|it| identity(&it));
        let mut open = match self.open.take() {
            Some(open) if under_name == Some(open.identity) => open,
            _ => self.open_file()?,
        };
        if open.bytes > 0 && open.bytes.saturating_add(bytes) > self.rotate_bytes {
            self.rotate()?;
            open = self.open_file()?;
        }
        Ok(self.open.insert(open))
    }

    fn open_file(&self) -> io::Result<Open> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            // A fifo without a reader would hold us up for ever.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(&self.path)?;
        let meta = file.metadata()?;
        refuse_strange(&meta)?;
        let bytes = whole_lines(&mut file, meta.len())?;
        if bytes < meta.len() {
            file.set_len(bytes)?;
        }
        Ok(Open {
            identity: identity(&meta),
            file,
            bytes,
        })
    }

    /// Each takes the place of the next older one; the oldest goes.
    fn rotate(&self) -> io::Result<()> {
        for number in (1..self.rotate_keep).rev() {
            rename(
                &numbered(&self.path, number),
                &numbered(&self.path, number + 1),
            )?;
        }
        rename(&self.path, &numbered(&self.path, 1))
    }
}

impl Sink for Lines {
    fn take(&mut self, records: &[&[u8]], moved: &mut dyn FnMut()) -> io::Result<usize> {
        let mut text = Vec::new();
        let mut count = 0;
        for record in records {
            let longer = text.len() + record.len();
            if count > 0 && longer as u64 > self.rotate_bytes {
                break;
            }
            text.extend_from_slice(record);
            count += 1;
        }
        let open = self.ready(text.len() as u64)?;
        let written = open
            .file
            .write_all(&text)
            .and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // What is there of it is taken away when the file is opened again.
            let whole = open.bytes;
            let _ = open.file.set_len(whole);
            self.open = None;
            return Err(error);
        }
        open.bytes += text.len() as u64;
        moved();
        Ok(count)
    }
}

fn identity(meta: &fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn rename(from: &PathBuf, to: &PathBuf) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A file that another may have put there for us to write to.
fn refuse_strange(meta: &fs::Metadata) -> io::Result<()> {
    let why = if !meta.is_file() {
        "it is no regular file"
    } else if meta.uid() != geteuid().as_raw() {
        "it belongs to another user"
    } else if meta.nlink() != 1 {
        "it has another name as well"
    } else if meta.mode() & WRITABLE_BY_OTHERS != 0 {
        "others may write to it"
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!("{why}; move it away")))
}

/// How long it is without the beginning of a line in its end.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(PIECE);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        file.take(end - begin).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use nix::sys::stat::Mode;
    use tempfile::TempDir;

    use super::*;

    fn place() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("events");
        (directory, path)
    }

    fn take(lines: &mut Lines, text: &str) -> io::Result<usize> {
        lines.take(&[text.as_bytes()], &mut || {})
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).expect("it is there")
    }

    #[test]
    fn a_full_file_is_kept_under_a_number_and_the_oldest_goes() {
        let (_directory, path) = place();
        let mut lines = Lines::new(path.clone(), 8, 2);
        for text in ["1111\n", "222\n", "333\n", "4444\n", "55555555555\n", "6\n"] {
            assert_eq!(take(&mut lines, text).expect("written"), 1);
        }
        assert_eq!(read(path.clone()), "6\n");
        assert_eq!(read(numbered(&path, 1)), "55555555555\n");
        assert_eq!(read(numbered(&path, 2)), "4444\n");
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn of_many_records_as_many_are_taken_as_a_file_holds() {
        let (_directory, path) = place();
        let mut lines = Lines::new(path.clone(), 8, 2);
        let records: [&[u8]; 3] = [b"111\n", b"222\n", b"333\n"];
        assert_eq!(lines.take(&records, &mut || {}).expect("written"), 2);
        assert_eq!(lines.take(&records[2..], &mut || {}).expect("written"), 1);
        assert_eq!(read(numbered(&path, 1)), "111\n222\n");
        assert_eq!(read(path), "333\n");
    }

    #[test]
    fn a_line_that_was_cut_off_is_taken_away() {
        let (_directory, path) = place();
        let long = "x".repeat(100_000);
        for (before, after) in [
            ("one\ntw".to_owned(), "one\nnew\n"),
            ("tw".to_owned(), "new\n"),
            (format!("one\n{long}"), "one\nnew\n"),
        ] {
            fs::write(&path, before).expect("it is ours");
            let mut lines = Lines::new(path.clone(), 1 << 20, 2);
            take(&mut lines, "new\n").expect("written");
            assert_eq!(read(path.clone()), after);
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_followed_by_another() {
        let (directory, path) = place();
        let mut lines = Lines::new(path.clone(), 1 << 20, 2);
        take(&mut lines, "one\n").expect("written");
        fs::rename(&path, directory.path().join("elsewhere")).expect("it is ours");
        take(&mut lines, "two\n").expect("written");
        assert_eq!(read(path), "two\n");
        assert_eq!(read(directory.path().join("elsewhere")), "one\n");
    }

    #[test]
    fn what_is_not_ours_alone_is_refused() {
        let (directory, path) = place();
        let other = directory.path().join("other");
        let refused = |word: &str| {
            let error = take(&mut Lines::new(path.clone(), 1 << 20, 2), "x\n");
            let error = error.expect_err("refused").to_string();
            assert!(error.contains(word), "{error}");
            fs::remove_file(&path).expect("it is ours");
        };
        fs::write(&other, "").expect("it is ours");
        symlink(&other, &path).expect("it is ours");
        refused("symbolic links");
        fs::hard_link(&other, &path).expect("it is ours");
        refused("another name");
        fs::write(&path, "").expect("it is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o662)).expect("it is ours");
        refused("others may write");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("it is ours");
        refused("no regular file");
        assert_eq!(read(other), "");
    }
}
