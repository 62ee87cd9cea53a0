//! What outputs need of the file system: directories of files that they write, and of sockets that they send to.

use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags};

/// As configured.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Files that are written, and take another name when they are full.
    pub files: Vec<PathBuf>,
    /// Sockets that datagrams are sent to. Whoever listens there may make them anew, so it is their directories that count.
    pub sockets: Vec<PathBuf>,
}

impl Places {
    /// Each directory with what may be done in it.
    pub(super) fn directories(&self) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
        let files = self.files.iter().filter_map(|path| directory(path));
        // From landlock ABI 9 on, which other kernels do not ask about.
        let to_send: BitFlags<AccessFs> = AccessFs::ResolveUnix.into();
        let sockets = self.sockets.iter().filter_map(|path| {
            // What is sent to a link is judged by where it leads: /dev/log is one with systemd.
            directory(&path.canonicalize().unwrap_or_else(|_| path.clone()))
        });
        let files = files.map(|directory| (directory, to_write()));
        files
            .chain(sockets.map(|directory| (directory, to_send)))
            .collect()
    }

    /// Where what is permitted for them lets this process write and send, with an ABI of landlock.
    pub(super) fn permitted(&self, abi: Option<u32>, own: [&Path; 2]) -> Permitted {
        let of = |paths: &[PathBuf]| -> Vec<PathBuf> {
            paths
                .iter()
                .filter_map(|path| real_directory(path))
                .collect()
        };
        let own = own.into_iter().filter_map(|path| path.canonicalize().ok());
        Permitted {
            files: abi.map(|_| of(&self.files).into_iter().chain(own).collect()),
            sockets: abi
                .filter(|&abi| abi >= ABI_OF_SOCKETS)
                .map(|_| of(&self.sockets)),
        }
    }
}

/// The first that asks where datagrams go.
const ABI_OF_SOCKETS: u32 = 9;

/// The directories in which this process may write and send from now on, whatever its configuration becomes; none: in any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permitted {
    files: Option<Vec<PathBuf>>,
    sockets: Option<Vec<PathBuf>>,
}

impl Permitted {
    /// Whether a file can be made at this path.
    ///
    /// # Errors
    /// One sentence: it cannot.
    pub fn file(&self, path: &Path) -> Result<(), String> {
        permits(self.files.as_ref(), path, "write")
    }

    /// Whether something can be sent to this socket.
    ///
    /// # Errors
    /// One sentence: it cannot.
    pub fn socket(&self, path: &Path) -> Result<(), String> {
        permits(self.sockets.as_ref(), path, "send")
    }
}

fn permits(directories: Option<&Vec<PathBuf>>, path: &Path, what: &str) -> Result<(), String> {
    let Some(directories) = directories else {
        return Ok(());
    };
    let real = real_directory(path).ok_or_else(|| {
        let parent = directory(path).unwrap_or_default();
        format!(
            "the directory {} is not there: make it first",
            parent.display()
        )
    })?;
    if directories.iter().any(|it| real.starts_with(it)) {
        return Ok(());
    }
    Err(format!(
        "at its start fimk gave up the right to {what} in {}: restart it with this configuration",
        real.display()
    ))
}

/// That of the path, or of what it links to, without links.
fn real_directory(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    directory(&path)?.canonicalize().ok()
}

fn directory(path: &Path) -> Option<PathBuf> {
    path.parent().map(Path::to_owned)
}

fn to_write() -> BitFlags<AccessFs> {
    AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_new_place_is_permitted_where_one_was_at_the_start_and_nowhere_else() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        for name in ["log/below", "logs", "state", "run"] {
            fs::create_dir_all(at(name)).expect("it is ours");
        }
        symlink(at("log"), at("link")).expect("it is ours");
        let places = Places {
            files: vec![at("log/events")],
            sockets: vec![at("run/socket")],
        };
        let (state, run) = (at("state"), at("run"));
        let permitted = |abi| places.permitted(abi, [&state, &run]);
        let newest = permitted(Some(ABI_OF_SOCKETS));
        for name in ["log/other", "log/below/x", "link/x", "state/x", "run/x"] {
            assert_eq!(newest.file(&at(name)), Ok(()), "{name}");
        }
        let refused = newest.file(&at("logs/x")).expect_err("it is another");
        assert!(refused.contains("restart it"), "{refused}");
        let missing = newest.file(&at("none/x")).expect_err("it is not there");
        assert!(missing.contains("make it first"), "{missing}");
        assert_eq!(newest.socket(&at("run/other")), Ok(()));
        assert!(newest.socket(&at("log/x")).is_err());
        // Older kernels do not ask about sockets, and without landlock nobody asks about anything.
        assert_eq!(permitted(Some(1)).socket(&at("log/x")), Ok(()));
        assert_eq!(permitted(None).file(&at("logs/x")), Ok(()));
    }
}
