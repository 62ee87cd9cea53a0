//! The exact model: what a writer did, when, to what.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// What was done. The names are those of [`Deed`]'s lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    Append,
    Rewrite,
    Store,
    Chmod,
    Link,
    Symlink,
    Unlink,
    Rename,
    Mkdir,
    Rmdir,
}

use Kind::{Append, Chmod, Create, Link, Mkdir, Rename, Rewrite, Rmdir, Store, Symlink, Unlink};

const NAMES: [(Kind, &str); 11] = [
    (Create, "create"),
    (Append, "append"),
    (Rewrite, "rewrite"),
    (Store, "store"),
    (Chmod, "chmod"),
    (Link, "link"),
    (Symlink, "symlink"),
    (Unlink, "unlink"),
    (Rename, "rename"),
    (Mkdir, "mkdir"),
    (Rmdir, "rmdir"),
];

/// One successful change by one process.
#[derive(Clone, Debug)]
pub struct Deed {
    pub pid: u32,
    pub kind: Kind,
    pub path: PathBuf,
    /// Where it was before: of a rename.
    pub from: Option<PathBuf>,
    /// Other names of `path` soon after, because it or a directory above it was moved.
    pub later: Vec<PathBuf>,
    /// Names that `path` and `from` would have had a moment before, because a directory above them was moved: what fanotify
    /// merges is told as what waited first.
    pub former: Vec<PathBuf>,
    /// What stood under that name of that directory a moment before: by one of the former names it may be told together with
    /// this, and with its number.
    pub stood: Vec<u64>,
    /// The directories in which it was done, except the writer's own.
    pub directories: Vec<Directory>,
    pub inode: u64,
    /// Nanoseconds since 1970: before the first call, after the last one.
    pub begun: i64,
    pub ended: i64,
}

/// A directory that the writer made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directory {
    pub inode: u64,
    /// Nanoseconds since 1970: before it was made.
    pub made: i64,
}

/// fanotify has no clock: a change has the time at which it was read. Whoever reads is stopped for a second at most (see
/// `saboteur`); as long again is for a busy machine.
pub const READ_WITHIN_NS: i64 = 2_000_000_000;

/// What is told a moment later has the names of then; of an emulated machine's moments, see [`crate::scale`].
const MOMENT_NS: i64 = 5_000_000_000;

/// The directories that stand, and under which names they stood until when.
#[derive(Default)]
struct Standing {
    now: HashMap<PathBuf, Directory>,
    /// Which object has which name.
    names: HashMap<PathBuf, u64>,
    left: HashMap<u64, Vec<(i64, PathBuf)>>,
    /// What has left a name of a directory, and when.
    gone: HashMap<(u64, OsString), Vec<(i64, u64)>>,
}

/// Fills in `later`, `former` and `directories`, of the deeds of one writer in their order.
pub fn follow_directories(deeds: &mut [Deed]) {
    let steps: Vec<Step> = deeds.iter().filter_map(Step::of).collect();
    let mut standing = Standing::default();
    for deed in deeds {
        let sides = [Some(&deed.path), deed.from.as_ref()].into_iter().flatten();
        let above = sides.clone().filter_map(|path| standing.above(path));
        deed.directories = above.copied().collect();
        let since = deed.begun - READ_WITHIN_NS;
        deed.former = sides
            .clone()
            .flat_map(|path| standing.former(path, since))
            .collect();
        deed.stood = sides.flat_map(|path| standing.stood(path, since)).collect();
        standing.keep(deed);
        let from = steps.partition_point(|it| it.begun <= deed.begun);
        let soon = steps[from..]
            .iter()
            .take_while(|it| it.begun < deed.ended + i64::from(crate::scale()) * MOMENT_NS);
        deed.later = later_names(deed, standing.others(deed), soon);
    }
}

/// A name that came to be, went, or both: what becomes of the names of an object.
struct Step {
    begun: i64,
    inode: u64,
    old: Option<PathBuf>,
    new: Option<PathBuf>,
}

impl Step {
    fn of(deed: &Deed) -> Option<Self> {
        let path = Some(deed.path.clone());
        let (old, new) = match deed.kind {
            Rename => (deed.from.clone(), path),
            Link => (None, path),
            Unlink => (path, None),
            _ => return None,
        };
        Some(Self {
            begun: deed.begun,
            inode: deed.inode,
            old,
            new,
        })
    }
}

/// Where this deed may be told of, soon after, if the object has these names besides.
fn later_names<'a>(
    deed: &Deed,
    others: Vec<PathBuf>,
    soon: impl Iterator<Item = &'a Step>,
) -> Vec<PathBuf> {
    let mut later = others.clone();
    // Each with whether it stands.
    let all = [deed.path.clone()].into_iter().chain(others);
    let mut names: Vec<(PathBuf, bool)> = all.map(|name| (name, true)).collect();
    for step in soon {
        // Another may have the name by then. What waits of an object is told with its move, and how it came by the name that
        // it had under that name.
        let same = step.inode == deed.inode;
        match (&step.old, &step.new) {
            (Some(old), Some(new)) => {
                let has = |path: &PathBuf| names.iter().any(|(name, _)| name == path);
                if same && has(old) {
                    if !has(new) {
                        names.push((new.clone(), true));
                    }
                    later.push(new.clone());
                }
                for (name, _) in &mut names {
                    if name != old
                        && let Ok(rest) = name.strip_prefix(old)
                    {
                        *name = new.join(rest);
                        later.push(name.clone());
                    }
                }
            }
            // What waits of an object is told under each of its names, or if it went meanwhile under the last. Once it is
            // gone its number may serve another.
            (None, Some(new)) if same && names.iter().any(|(_, stands)| *stands) => {
                names.push((new.clone(), true));
                later.push(new.clone());
            }
            (Some(old), None) if same => {
                let gone = names.iter_mut().filter(|(name, _)| name == old);
                gone.for_each(|(_, stands)| *stands = false);
            }
            _ => {}
        }
    }
    later
}

impl Standing {
    fn above(&self, path: &Path) -> Option<&Directory> {
        self.now.get(path.parent()?)
    }

    /// Names that this one would have had since then.
    fn former(&self, path: &Path, since: i64) -> Vec<PathBuf> {
        let left = self.above(path).and_then(|it| self.left.get(&it.inode));
        let lately = left
            .into_iter()
            .flatten()
            .filter(|(when, _)| *when >= since);
        let name = path.file_name().unwrap_or_default();
        lately.map(|(_, directory)| directory.join(name)).collect()
    }

    /// What has stood under this name of its directory since then.
    fn stood(&self, path: &Path, since: i64) -> Vec<u64> {
        let gone = self.place(path).and_then(|place| self.gone.get(&place));
        let lately = gone
            .into_iter()
            .flatten()
            .filter(|(when, _)| *when >= since);
        lately.map(|(_, inode)| *inode).collect()
    }

    /// A name in a directory, whatever that is called.
    fn place(&self, path: &Path) -> Option<(u64, OsString)> {
        Some((self.above(path)?.inode, path.file_name()?.to_owned()))
    }

    /// What other names the object of this deed has.
    fn others(&self, deed: &Deed) -> Vec<PathBuf> {
        let all = self.names.iter();
        let same = all.filter(|(name, inode)| **inode == deed.inode && **name != deed.path);
        same.map(|(name, _)| name.clone()).collect()
    }

    /// What the deed takes a name from: by a removal, by a move away, or by a move to it.
    fn keep_gone(&mut self, deed: &Deed) {
        let left = match (deed.kind, &deed.from) {
            (Unlink, _) => vec![&deed.path],
            (Rename, Some(from)) => vec![from, &deed.path],
            _ => return,
        };
        for path in left {
            if let (Some(place), Some(inode)) = (self.place(path), self.names.get(path)) {
                let gone = self.gone.entry(place).or_default();
                gone.push((deed.ended, *inode));
            }
        }
    }

    fn keep_names(&mut self, deed: &Deed) {
        match (deed.kind, &deed.from) {
            (Unlink | Rmdir, _) => drop(self.names.remove(&deed.path)),
            (Rename, Some(from)) => {
                let moved = self.names.iter().filter_map(|(name, inode)| {
                    let rest = name.strip_prefix(from).ok()?;
                    let new = if rest.as_os_str().is_empty() {
                        deed.path.clone()
                    } else {
                        deed.path.join(rest)
                    };
                    Some((name.clone(), new, *inode))
                });
                for (old, new, inode) in moved.collect::<Vec<_>>() {
                    self.names.remove(&old);
                    self.names.insert(new, inode);
                }
            }
            (Create | Symlink | Mkdir | Link, _) => {
                self.names.insert(deed.path.clone(), deed.inode);
            }
            _ => {}
        }
    }

    /// Which directory stands where after this deed.
    fn keep(&mut self, deed: &Deed) {
        self.keep_gone(deed);
        self.keep_names(deed);
        match deed.kind {
            Mkdir => {
                let directory = Directory {
                    inode: deed.inode,
                    made: deed.begun,
                };
                self.left.remove(&deed.inode);
                self.now.insert(deed.path.clone(), directory);
            }
            Rmdir => {
                self.now.remove(&deed.path);
            }
            Rename => {
                let Some(from) = &deed.from else { return };
                if let Some(directory) = self.now.remove(from) {
                    let left = self.left.entry(directory.inode).or_default();
                    left.push((deed.ended, from.clone()));
                    self.now.insert(deed.path.clone(), directory);
                }
            }
            _ => {}
        }
    }
}

impl Kind {
    /// Operations of `fimk.operations` of which one tells it.
    pub fn told_by(self, fanotify: bool) -> &'static [&'static str] {
        match self {
            // fanotify tells a link from what is new by the links of what stands there when it is read.
            Create | Symlink if fanotify => &["create", "link"],
            Link if fanotify => &["link", "create"],
            Create | Symlink | Mkdir => &["create"],
            Append => &["write"],
            Rewrite => &["write", "truncate"],
            Store => &["map", "write", "close"],
            // It tells no more.
            Chmod if fanotify => &["attributes"],
            Chmod => &["chmod"],
            Link => &["link"],
            Unlink | Rmdir => &["unlink"],
            Rename => &["rename"],
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(kind, _)| *kind == self.kind);
        let from = self.from.as_deref().unwrap_or(Path::new(""));
        write!(
            f,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            self.pid,
            name.map_or("", |(_, name)| name),
            self.path.display(),
            from.display(),
            self.inode,
            self.begun,
            self.ended
        )
    }
}

impl FromStr for Deed {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let read = || -> Option<Self> {
            let mut words = line.split('\t');
            let pid = words.next()?.parse().ok()?;
            let name = words.next()?;
            Some(Self {
                pid,
                kind: NAMES.iter().find(|(_, it)| *it == name)?.0,
                path: words.next()?.into(),
                from: words.next().filter(|it| !it.is_empty()).map(PathBuf::from),
                later: Vec::new(),
                former: Vec::new(),
                stood: Vec::new(),
                directories: Vec::new(),
                inode: words.next()?.parse().ok()?,
                begun: words.next()?.parse().ok()?,
                ended: words.next()?.parse().ok()?,
            })
        };
        read().ok_or_else(|| format!("not a deed: {line:?}"))
    }
}
