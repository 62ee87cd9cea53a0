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
}

fn directory(path: &Path) -> Option<PathBuf> {
    path.parent().map(Path::to_owned)
}

fn to_write() -> BitFlags<AccessFs> {
    AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile
}
