//! A writer: a process that changes everything below its directory as chance wants, and tells in the end what it did.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fimk_tests::Mapping;

use crate::{
    chance::Chance,
    deed::{Deed, Kind},
};

/// Names in a directory, and directories: few, so that everything happens to the same names again and again.
const NAMES: usize = 12;
const DIRECTORIES: usize = 3;
/// What is done without a pause at most.
const BURST: usize = 40;
/// Between bursts, at most.
const PAUSE_MS: usize = 60;
/// Changes of one writer: an idle machine would else make more than the other side can compare afterwards. An emulated one,
/// which is given more time, makes as much less.
const DEEDS_MAX: usize = 4_000;

/// The storm of one process.
struct Writer {
    home: PathBuf,
    hot: PathBuf,
    chance: Chance,
    deeds: Vec<Deed>,
    /// Makes every content another.
    turn: u64,
}

/// Changes what is below `home`, and appends to `hot`, for so long. Prints a line for each deed.
pub fn run(home: &Path, hot: &Path, seed: u64, time: Duration) {
    let mut writer = Writer {
        home: home.to_owned(),
        hot: hot.to_owned(),
        chance: Chance::new(seed, 1),
        deeds: Vec::new(),
        turn: 0,
    };
    let end = Instant::now() + time;
    let most = DEEDS_MAX / crate::scale() as usize;
    while Instant::now() < end && writer.deeds.len() < most {
        for _ in 0..=writer.chance.below(BURST) {
            writer.turn += 1;
            writer.act().expect("nobody else changes these files");
        }
        let pause = writer.chance.below(PAUSE_MS);
        thread::sleep(Duration::from_millis(pause as u64));
    }
    let mut out = io::stdout().lock();
    for deed in &writer.deeds {
        writeln!(out, "{deed}").expect("the harness reads");
    }
}

/// Nanoseconds since 1970, by the clock that events tell.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}

impl Writer {
    fn act(&mut self) -> io::Result<()> {
        match self.chance.below(20) {
            0..=4 => self.create(),
            5 | 6 => self.append(),
            7 => self.rewrite(),
            8 => self.store(),
            9 => self.chmod(),
            10 => self.link(),
            11 => self.symlink(),
            12..=14 => self.unlink(),
            15 | 16 => self.rename(),
            17 => self.make_directory(),
            18 => self.change_directory(),
            _ => self.append_to_hot(),
        }
    }

    /// `path` is where the object is afterwards; `inode` that of the object.
    fn done(&mut self, kind: Kind, path: &Path, from: Option<&Path>, inode: u64, begun: i64) {
        self.deeds.push(Deed {
            pid: process::id(),
            kind,
            path: path.to_owned(),
            from: from.map(Path::to_owned),
            later: Vec::new(),
            former: Vec::new(),
            stood: Vec::new(),
            directories: Vec::new(),
            inode,
            begun,
            ended: now(),
        });
    }

    /// A name that may be taken or not, in a directory that is there.
    fn name(&mut self) -> PathBuf {
        let number = self.chance.below(NAMES);
        self.directory().join(format!("f{number}"))
    }

    fn directory(&mut self) -> PathBuf {
        let mut all = self.directories();
        all.push(self.home.clone());
        self.chance.one_of(&all).cloned().unwrap_or_default()
    }

    fn directories(&self) -> Vec<PathBuf> {
        let all = (0..2 * DIRECTORIES).map(|it| self.home.join(format!("d{it}")));
        all.filter(|it| it.is_dir()).collect()
    }

    /// A name that is taken, by a regular file if it must be.
    fn taken(&mut self, regular: bool) -> Option<(PathBuf, fs::Metadata)> {
        let directory = self.directory();
        let all: Vec<_> = (0..NAMES)
            .map(|it| directory.join(format!("f{it}")))
            .filter_map(|it| Some((it.clone(), it.symlink_metadata().ok()?)))
            .filter(|(_, it)| !regular || it.is_file())
            .collect();
        self.chance.one_of(&all).cloned()
    }

    fn text(&self) -> String {
        format!("turn {} of {}\n", self.turn, process::id())
    }

    fn create(&mut self) -> io::Result<()> {
        let path = self.name();
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        let begun = now();
        let mut file = File::create_new(&path)?;
        let inode = file.metadata()?.ino();
        file.write_all(self.text().as_bytes())?;
        drop(file);
        self.done(Kind::Create, &path, None, inode, begun);
        Ok(())
    }

    fn append(&mut self) -> io::Result<()> {
        let Some((path, known)) = self.taken(true) else {
            return Ok(());
        };
        let begun = now();
        let mut file = OpenOptions::new().append(true).open(&path)?;
        file.write_all(self.text().as_bytes())?;
        drop(file);
        self.done(Kind::Append, &path, None, known.ino(), begun);
        Ok(())
    }

    /// All writers write to this one.
    fn append_to_hot(&mut self) -> io::Result<()> {
        let (path, text) = (self.hot.clone(), self.text());
        let mut file = OpenOptions::new().append(true).open(&path)?;
        let inode = file.metadata()?.ino();
        for _ in 0..5 {
            let begun = now();
            file.write_all(text.as_bytes())?;
            self.done(Kind::Append, &path, None, inode, begun);
        }
        Ok(())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let Some((path, known)) = self.taken(true) else {
            return Ok(());
        };
        let begun = now();
        fs::write(&path, self.text())?;
        self.done(Kind::Rewrite, &path, None, known.ino(), begun);
        Ok(())
    }

    fn store(&mut self) -> io::Result<()> {
        let Some((path, known)) = self.taken(true) else {
            return Ok(());
        };
        let text = format!("{:04}", self.turn % 10_000);
        if known.len() < text.len() as u64 {
            return Ok(());
        }
        let begun = now();
        let mut mapping = Mapping::new(&path, text.len())?;
        mapping.store(text.as_bytes());
        drop(mapping);
        self.done(Kind::Store, &path, None, known.ino(), begun);
        Ok(())
    }

    fn chmod(&mut self) -> io::Result<()> {
        let Some((path, known)) = self.taken(true) else {
            return Ok(());
        };
        let mode = if known.mode() & 0o777 == 0o640 {
            0o644
        } else {
            0o640
        };
        let begun = now();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        self.done(Kind::Chmod, &path, None, known.ino(), begun);
        Ok(())
    }

    fn link(&mut self) -> io::Result<()> {
        let (Some((old, known)), new) = (self.taken(true), self.name()) else {
            return Ok(());
        };
        if new.symlink_metadata().is_ok() {
            return Ok(());
        }
        let begun = now();
        fs::hard_link(&old, &new)?;
        self.done(Kind::Link, &new, None, known.ino(), begun);
        Ok(())
    }

    fn symlink(&mut self) -> io::Result<()> {
        let path = self.name();
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        let begun = now();
        symlink(format!("nowhere-{}", self.turn), &path)?;
        let inode = path.symlink_metadata()?.ino();
        self.done(Kind::Symlink, &path, None, inode, begun);
        Ok(())
    }

    fn unlink(&mut self) -> io::Result<()> {
        let Some((path, known)) = self.taken(false) else {
            return Ok(());
        };
        let begun = now();
        fs::remove_file(&path)?;
        self.done(Kind::Unlink, &path, None, known.ino(), begun);
        Ok(())
    }

    /// To a free name, or over another.
    fn rename(&mut self) -> io::Result<()> {
        let (Some((old, known)), new) = (self.taken(false), self.name()) else {
            return Ok(());
        };
        // Two names of one object: rename(2) does nothing then.
        if new
            .symlink_metadata()
            .is_ok_and(|it| it.ino() == known.ino())
        {
            return Ok(());
        }
        let begun = now();
        fs::rename(&old, &new)?;
        self.done(Kind::Rename, &new, Some(&old), known.ino(), begun);
        Ok(())
    }

    fn make_directory(&mut self) -> io::Result<()> {
        let number = self.chance.below(2 * DIRECTORIES);
        let path = self.home.join(format!("d{number}"));
        if path.exists() || self.directories().len() >= DIRECTORIES {
            return Ok(());
        }
        let begun = now();
        fs::create_dir(&path)?;
        let inode = path.metadata()?.ino();
        self.done(Kind::Mkdir, &path, None, inode, begun);
        Ok(())
    }

    /// Moves a directory with all that is in it, or removes it.
    fn change_directory(&mut self) -> io::Result<()> {
        let all = self.directories();
        let Some(old) = self.chance.one_of(&all).cloned() else {
            return Ok(());
        };
        let number = self.chance.below(2 * DIRECTORIES);
        let new = self.home.join(format!("d{number}"));
        let inode = old.metadata()?.ino();
        let begun = now();
        if fs::read_dir(&old)?.next().is_none() {
            fs::remove_dir(&old)?;
            self.done(Kind::Rmdir, &old, None, inode, begun);
        } else if !new.exists() {
            fs::rename(&old, &new)?;
            self.done(Kind::Rename, &new, Some(&old), inode, begun);
        }
        Ok(())
    }
}
