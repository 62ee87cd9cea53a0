//! The exact model: what a writer did, when, to what.

use std::{
    collections::HashMap,
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

/// What is told a moment later has the names of then.
const MOMENT_NS: i64 = 5_000_000_000;

/// Fills in `later` and `directories`, of the deeds of one writer in their order.
pub fn follow_directories(deeds: &mut [Deed]) {
    let moves: Vec<(i64, u64, PathBuf, PathBuf)> = deeds
        .iter()
        .filter_map(|it| Some((it.begun, it.inode, it.from.clone()?, it.path.clone())))
        .collect();
    let mut standing: HashMap<PathBuf, Directory> = HashMap::new();
    for deed in deeds {
        let sides = [Some(&deed.path), deed.from.as_ref()].into_iter().flatten();
        let above = sides.filter_map(|path| standing.get(path.parent()?));
        deed.directories = above.copied().collect();
        keep_standing(&mut standing, deed);
        let mut name = deed.path.clone();
        let from = moves.partition_point(|(begun, ..)| *begun <= deed.begun);
        let soon = moves[from..]
            .iter()
            .take_while(|(begun, ..)| *begun < deed.ended + MOMENT_NS);
        for (_, inode, old, new) in soon {
            let Ok(rest) = name.strip_prefix(old) else {
                continue;
            };
            // Another may have the name by then. What waits of an object is told with its move.
            let itself = rest == Path::new("");
            if !itself || *inode == deed.inode {
                name = if itself { new.clone() } else { new.join(rest) };
                deed.later.push(name.clone());
            }
        }
    }
}

/// Which directory stands where after this deed.
fn keep_standing(standing: &mut HashMap<PathBuf, Directory>, deed: &Deed) {
    match deed.kind {
        Mkdir => {
            let directory = Directory {
                inode: deed.inode,
                made: deed.begun,
            };
            standing.insert(deed.path.clone(), directory);
        }
        Rmdir => {
            standing.remove(&deed.path);
        }
        Rename => {
            if let Some(directory) = deed.from.as_ref().and_then(|from| standing.remove(from)) {
                standing.insert(deed.path.clone(), directory);
            }
        }
        _ => {}
    }
}

impl Kind {
    /// Operations of `fimk.operations` of which one tells it.
    pub fn told_by(self) -> &'static [&'static str] {
        match self {
            // fanotify tells a link from what is new by the links of what stands there when it is read.
            Create | Symlink => &["create", "link"],
            Mkdir => &["create"],
            Append => &["write"],
            Rewrite => &["write", "truncate"],
            Store => &["map", "write", "close"],
            // fanotify tells no more.
            Chmod => &["chmod", "attributes"],
            Link => &["link", "create"],
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
                directories: Vec::new(),
                inode: words.next()?.parse().ok()?,
                begun: words.next()?.parse().ok()?,
                ended: words.next()?.parse().ok()?,
            })
        };
        read().ok_or_else(|| format!("not a deed: {line:?}"))
    }
}
