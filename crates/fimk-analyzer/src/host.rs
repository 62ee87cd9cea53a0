//! From the name of a file to the file, wherever the host's root is seen.
//!
//! Rules, records and events name files as the host does. Where fimk runs in a container, the host's root is seen in a directory
//! of the container (`host_root`): this module leads there, and back from what the kernel names as this process sees it. Nobody else
//! knows. A link leads where it leads on the host, an absolute one too: for the kernel that directory is the root of these names.

use std::{
    fs::{self, File, Metadata, ReadDir},
    io::{self, Read as _},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
    sync::OnceLock,
};

use fimk_core::path::BytePath;
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2, readlink},
    sys::stat::Mode,
};

use crate::tree::rebased;

/// A place, whatever it is.
const PLACE: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// A rename anywhere may make the kernel unsure whether `..` in a link leads out of the root; it asks to be asked again.
const TRIES_MAX: usize = 100;

/// Of /etc/hostname, a name of 64 bytes at most after comments.
const NAME_BYTES_MAX: u64 = 4_096;

/// Where the host's root is, if it is not this process's own.
static ROOT: OnceLock<Root> = OnceLock::new();

/// A directory that others take for the root.
struct Root {
    directory: OwnedFd,
    /// As this process's mount table spells it.
    name: BytePath,
}

/// From now on names are those of the host whose root is seen in this directory. To be called once, before there is a second thread.
///
/// # Errors
/// One sentence: it is no directory that can be used.
pub fn enter(directory: &Path) -> Result<(), String> {
    let root = Root::at(directory).map_err(|error| {
        let name = BytePath::new(directory.as_os_str().as_bytes()).escaped();
        format!("host_root: {name} cannot be used ({error}); mount the host's root there")
    })?;
    if let Some(root) = root {
        // Nobody else sets it.
        let _ = ROOT.set(root);
    }
    Ok(())
}

/// Opens what has this name.
///
/// # Errors
/// As `openat2` with these flags and conditions.
pub fn open(path: &BytePath, flags: OFlag, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
    match ROOT.get() {
        Some(root) => root.open(path, flags, resolve),
        None => open_at(AT_FDCWD, path, flags, resolve),
    }
}

/// What stands under this name, a link itself.
///
/// # Errors
/// As `lstat`.
pub fn look(path: &BytePath) -> io::Result<Metadata> {
    match ROOT.get() {
        Some(root) => root.metadata(path, PLACE | OFlag::O_NOFOLLOW),
        None => fs::symlink_metadata(path.as_path()),
    }
}

/// What this name leads to.
///
/// # Errors
/// As `stat`.
pub fn look_behind(path: &BytePath) -> io::Result<Metadata> {
    match ROOT.get() {
        Some(root) => root.metadata(path, PLACE),
        None => fs::metadata(path.as_path()),
    }
}

/// The names in a directory.
///
/// # Errors
/// As `opendir`.
pub fn entries(directory: &BytePath) -> io::Result<ReadDir> {
    match ROOT.get() {
        Some(root) => root.entries(directory),
        None => fs::read_dir(directory.as_path()),
    }
}

/// This name without links; none where there is nothing.
pub fn real(path: &BytePath) -> Option<BytePath> {
    if let Some(root) = ROOT.get() {
        return root.real(path);
    }
    let real = fs::canonicalize(path.as_path()).ok()?;
    Some(BytePath::new(real.as_os_str().as_bytes()))
}

/// Opens a file of the host's to be read as a whole, which nobody's pipe may hold up.
///
/// # Errors
/// As `open`.
pub fn read(path: &BytePath) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    Ok(open(path, flags, ResolveFlag::empty())?.into())
}

/// The name that the host gives itself, where that is not for the kernel to say: a container has another.
pub fn name() -> Option<Vec<u8>> {
    ROOT.get()?;
    let mut text = Vec::new();
    let file = read(&BytePath::new(b"/etc/hostname")).ok()?;
    file.take(NAME_BYTES_MAX).read_to_end(&mut text).ok()?;
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let name = lines.find(|line| !matches!(line.first(), None | Some(b'#')))?;
    Some(name.to_vec())
}

/// Where this process sees the host's root, if not in its own.
pub fn prefix() -> Option<&'static BytePath> {
    ROOT.get().map(|root| &root.name)
}

impl Root {
    /// None for the root itself.
    fn at(directory: &Path) -> io::Result<Option<Self>> {
        let name = fs::canonicalize(directory)?;
        let flags = PLACE | OFlag::O_DIRECTORY;
        let directory = openat(AT_FDCWD, &name, flags, Mode::empty())?;
        let name = BytePath::new(name.as_os_str().as_bytes());
        let elsewhere = name.parent().is_some();
        Ok(elsewhere.then_some(Self { directory, name }))
    }

    fn open(&self, path: &BytePath, flags: OFlag, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
        let resolve = resolve | ResolveFlag::RESOLVE_IN_ROOT;
        let attempt = || open_at(&self.directory, path, flags, resolve);
        let mut opened = attempt();
        for _ in 1..TRIES_MAX {
            match opened {
                Err(Errno::EAGAIN) => opened = attempt(),
                _ => break,
            }
        }
        opened
    }

    /// With one `statx`, of the object itself: the arming program is to be asked of no other.
    fn metadata(&self, path: &BytePath, flags: OFlag) -> io::Result<Metadata> {
        File::from(self.open(path, flags, ResolveFlag::empty())?).metadata()
    }

    fn entries(&self, directory: &BytePath) -> io::Result<ReadDir> {
        let flags = PLACE | OFlag::O_DIRECTORY;
        let directory = self.open(directory, flags, ResolveFlag::empty())?;
        fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))
    }

    fn real(&self, path: &BytePath) -> Option<BytePath> {
        let object = self.open(path, PLACE, ResolveFlag::empty()).ok()?;
        let name = readlink(format!("/proc/self/fd/{}", object.as_raw_fd()).as_str()).ok()?;
        let name = self.on_host(&BytePath::new(name.as_bytes()))?;
        // What was removed meanwhile has a name that is not its own.
        let there = self.metadata(&name, PLACE | OFlag::O_NOFOLLOW).ok()?;
        let found = File::from(object).metadata().ok()?;
        ((there.dev(), there.ino()) == (found.dev(), found.ino())).then_some(name)
    }

    fn on_host(&self, name: &BytePath) -> Option<BytePath> {
        let root = BytePath::new(b"/");
        name.is_in(&self.name)
            .then(|| rebased(name, &self.name, &root))
    }
}

fn open_at(
    directory: impl std::os::fd::AsFd,
    path: &BytePath,
    flags: OFlag,
    resolve: ResolveFlag,
) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(resolve);
    openat2(directory, path.as_path(), how)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A root in a directory, with a file, a link to it with an absolute target, one that climbs as high as it can, and one to
    /// what only this process has.
    fn scene() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("etc/sub")).expect("made");
        fs::write(at("etc/file"), "four").expect("written");
        symlink("/etc/file", at("absolute")).expect("linked");
        symlink(
            "../../../../../../../../../../../../etc",
            at("etc/climbing"),
        )
        .expect("linked");
        symlink(directory.path().join("etc/file"), at("outside")).expect("linked");
        let root = Root::at(directory.path()).expect("it is there");
        (directory, root.expect("it is not the root itself"))
    }

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    #[test]
    fn links_lead_where_they_lead_on_the_host() {
        let (_directory, root) = scene();
        for name in [
            "/etc/file",
            "/absolute",
            "/etc/climbing/file",
            "/etc/sub/../file",
        ] {
            let found = root.metadata(&path(name), PLACE).expect(name);
            assert_eq!(found.len(), 4, "{name}");
            assert_eq!(root.real(&path(name)), Some(path("/etc/file")), "{name}");
        }
        let link = root.metadata(&path("/absolute"), PLACE | OFlag::O_NOFOLLOW);
        assert!(link.expect("it is there").is_symlink());
        assert!(root.metadata(&path("/outside"), PLACE).is_err());
        assert_eq!(
            (root.real(&path("/outside")), root.real(&path("/"))),
            (None, Some(path("/")))
        );
    }

    #[test]
    fn a_directory_lists_what_the_host_has_there() {
        let (_directory, root) = scene();
        let entries = root.entries(&path("/etc/climbing")).expect("a directory");
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, ["climbing", "file", "sub"]);
        assert!(root.entries(&path("/etc/file")).is_err());
    }

    #[test]
    fn what_was_removed_has_no_name() {
        let (directory, root) = scene();
        let gone = directory.path().join("etc/gone");
        fs::write(&gone, "").expect("written");
        let open = File::open(&gone).expect("it is there");
        fs::remove_file(&gone).expect("removed");
        assert_eq!(root.real(&path("/etc/gone")), None);
        drop(open);
    }

    #[test]
    fn the_root_itself_is_no_other() {
        assert!(Root::at(Path::new("/")).expect("it is there").is_none());
        assert!(Root::at(Path::new("/proc/self/comm")).is_err());
    }
}
