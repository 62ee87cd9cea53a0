//! A disk of a test's own, which can be filled.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{attempt, deadline, not_run, run, text};

/// A file system of its own at a place; gone when dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// For the state directory; none where nothing can be mounted.
    pub fn at(point: &Path, test: &str) -> Option<Self> {
        fs::create_dir_all(point).expect("it is ours");
        let options = ["-t", "tmpfs", "-o", "size=48m,mode=0700", "fimk-test"];
        let words: Vec<_> = options.iter().copied().chain([text(point)]).collect();
        if !attempt("mount", &words).succeeded {
            not_run(test, "nothing can be mounted here");
            return None;
        }
        run("chown", &["fimk:", text(point)]);
        Some(Self(point.to_owned()))
    }

    /// ext4 in this file, which is made if need be.
    pub fn of_image(image: &Path, point: &Path, test: &str) -> Option<Self> {
        fs::create_dir_all(point).expect("it is ours");
        if !image.exists() {
            let file = fs::File::create(image).expect("it is ours");
            file.set_len(64 << 20).expect("it has no blocks");
            if !attempt("mkfs.ext4", &["-q", "-F", text(image)]).succeeded {
                not_run(test, "there is no mkfs.ext4");
                return None;
            }
        }
        if !attempt("mount", &["-o", "loop", text(image), text(point)]).succeeded {
            not_run(test, "no image can be mounted here");
            return None;
        }
        run("chown", &["fimk:", text(point)]);
        run("chmod", &["700", text(point)]);
        Some(Self(point.to_owned()))
    }

    /// As the kernel does when it finds the file system damaged.
    pub fn make_read_only(&self) {
        run("mount", &["-o", "remount,abort", text(&self.0)]);
    }

    /// Once nobody uses it any more.
    pub fn unmount(self) {
        let end = Instant::now() + deadline();
        while !attempt("umount", &[text(&self.0)]).succeeded {
            assert!(Instant::now() < end, "it is still used");
            thread::sleep(Duration::from_millis(100));
        }
        std::mem::forget(self);
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// To the last block.
    pub fn fill(&self) {
        let mut filler = fs::File::create(self.filler()).expect("it is ours");
        for size in [1 << 20, 4 << 10] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Gives back what [`Disk::fill`] took.
    pub fn empty(&self) {
        fs::remove_file(self.filler()).expect("it is ours");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        attempt("umount", &["-l", text(&self.0)]);
    }
}
