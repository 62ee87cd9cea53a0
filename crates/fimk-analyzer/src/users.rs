//! Names of users and groups, from /etc/passwd and /etc/group themselves: no NSS, hence no plug-ins and no network.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use fimk_core::path::{BytePath, escaped};
use nix::fcntl::OFlag;

use crate::host;

/// A file larger than this gives no names. A quarter of a million users fit; the memory must have a bound.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Whose files are meant where fimk runs in a container that sees the host.
#[derive(Debug, Clone, Copy)]
pub enum Whose {
    /// The host's: what is watched belongs to its users.
    Host,
    /// Those that this process sees as everybody does: whoever speaks to it is a user of its container.
    Own,
}

/// The names of users, read again when a file changes.
#[derive(Debug)]
pub struct Users {
    users: Names,
    groups: Names,
}

impl Default for Users {
    fn default() -> Self {
        Self::of(Whose::Host)
    }
}

impl Users {
    /// Those of the host, or of the container.
    pub fn of(whose: Whose) -> Self {
        let names = |path| Names::of(Path::new(path), whose);
        Self {
            users: names("/etc/passwd"),
            groups: names("/etc/group"),
        }
    }

    /// With other files.
    #[cfg(test)]
    pub fn at(passwd: &Path, group: &Path) -> Self {
        Self {
            users: Names::of(passwd, Whose::Host),
            groups: Names::of(group, Whose::Host),
        }
    }

    /// The name of a user; none if no line has that number. The first line counts, as for the C library.
    pub fn user(&mut self, uid: u32) -> Option<Arc<str>> {
        self.users.name(uid)
    }

    /// Whether this user, with this group, is of the group of this name, by /etc/group as it is now.
    pub fn is_in(&mut self, (uid, gid): (u32, u32), group: &str) -> bool {
        if self.group(gid).is_some_and(|name| *name == *group) {
            return true;
        }
        let Some(user) = self.user(uid) else {
            return false;
        };
        let text = self.groups.read().unwrap_or_default();
        members(&text, group).any(|member| member == user.as_bytes())
    }

    /// The number of a user, as of now.
    pub fn number_of(&self, user: &str) -> Option<u32> {
        let names = parse(&self.users.read().ok()?);
        let of_it = |(uid, name): (u32, Arc<str>)| (*name == *user).then_some(uid);
        names.into_iter().find_map(of_it)
    }

    /// The name of a group.
    pub fn group(&mut self, gid: u32) -> Option<Arc<str>> {
        self.groups.name(gid)
    }
}

/// One file of lines `name:x:number:…`.
#[derive(Debug)]
struct Names {
    path: PathBuf,
    whose: Whose,
    seen: Option<Version>,
    by_number: HashMap<u32, Arc<str>>,
}

/// Tells one state of a file from the next.
#[derive(Debug, PartialEq, Eq)]
pub struct Version {
    inode: (u64, u64),
    size: u64,
    ctime: (i64, i64),
}

impl Names {
    fn of(path: &Path, whose: Whose) -> Self {
        Self {
            path: path.into(),
            whose,
            seen: None,
            by_number: HashMap::new(),
        }
    }

    fn name(&mut self, id: u32) -> Option<Arc<str>> {
        let version = Version::of_path(&self.path, self.whose);
        if version.is_none() || version != self.seen {
            self.by_number = self.read().map(|bytes| parse(&bytes)).unwrap_or_default();
            // The version from before the reading: if the file changed meanwhile, it is read again.
            self.seen = version;
        }
        self.by_number.get(&id).cloned()
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        read(&self.path, self.whose)
    }
}

impl Version {
    /// Of the file that is there now, if one is.
    pub fn of_path(path: &Path, whose: Whose) -> Option<Self> {
        let metadata = match whose {
            Whose::Host => host::look_behind(&BytePath::new(path.as_os_str().as_bytes())),
            Whose::Own => std::fs::metadata(path),
        };
        metadata.ok().map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The members that the first line of a group lists.
fn members<'t>(text: &'t [u8], group: &str) -> impl Iterator<Item = &'t [u8]> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        (fields.next() == Some(group.as_bytes())).then(|| fields.nth(2))?
    });
    let members = line.unwrap_or_default().split(|byte| *byte == b',');
    members.filter(|member| !member.is_empty())
}

/// The whole of such a file; nothing if it is too large.
pub fn read(path: &Path, whose: Whose) -> io::Result<Vec<u8>> {
    let file = match whose {
        Whose::Host => host::read(&BytePath::new(path.as_os_str().as_bytes()))?,
        Whose::Own => File::options()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)?,
    };
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bytes.clear();
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> HashMap<u32, Arc<str>> {
    let mut names = HashMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':');
        let (name, id) = (
            fields.next().unwrap_or_default(),
            fields.nth(1).and_then(number),
        );
        // `+` and `-` begin entries of NIS, which name no user.
        if let (Some(id), Some(first)) = (id, name.first())
            && !matches!(first, b'+' | b'-' | b'#')
        {
            names.entry(id).or_insert_with(|| escaped(name).into());
        }
    }
    names
}

/// A number of decimal digits.
pub fn number(field: &[u8]) -> Option<u32> {
    str::from_utf8(field)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
mod tests {
    use std::fs;

    use super::*;

    fn users(passwd: &[u8]) -> (tempfile::TempDir, Users) {
        let directory = tempfile::tempdir().expect("a directory");
        let (passwd_path, group_path) = (
            directory.path().join("passwd"),
            directory.path().join("group"),
        );
        fs::write(&passwd_path, passwd).expect("written");
        fs::write(&group_path, "adm:x:4:syslog\n").expect("written");
        let users = Users::at(&passwd_path, &group_path);
        (directory, users)
    }

    #[test]
    fn users_and_groups_have_the_names_of_their_first_line() {
        let (_directory, mut users) =
            users(b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0:::\nalice:x:1000:1000:::");
        assert_eq!(users.user(0).as_deref(), Some("root"));
        assert_eq!(users.user(1000).as_deref(), Some("alice"));
        assert_eq!(users.user(4), None);
        assert_eq!(
            (users.number_of("alice"), users.number_of("al")),
            (Some(1000), None)
        );
        assert_eq!(users.group(4).as_deref(), Some("adm"));
    }

    #[test]
    fn who_is_in_a_group_is_said_by_its_line_or_its_number() {
        let (directory, _) = users(b"eve:x:1000:1000::/:\nbob:x:1001:1001::/:\n");
        let group = directory.path().join("group");
        let text = "fimk:x:7:bob\nfimk-readers:x:12:ann,eve\nfimk-readers:x:13:bob\n";
        fs::write(&group, text).expect("it is ours");
        let mut users = Users::at(&directory.path().join("passwd"), &group);
        assert!(users.is_in((1000, 1000), "fimk-readers"));
        assert!(users.is_in((1001, 12), "fimk-readers"));
        assert!(!users.is_in((1001, 1001), "fimk-readers"));
        assert!(!users.is_in((1002, 1002), "fimk-readers"));
        assert!(!users.is_in((1000, 1000), "none"));
    }

    #[test]
    fn bad_lines_are_passed_over() {
        let bad: &[u8] = b"\n::\n:x:1:\na:x\na:x::\na:x:-1:\na:x:+2:\na:x:4294967296:\n+nis:x:3:\n\xff\x1b:x:5:\nz:x:6:1:::\0";
        let (_directory, mut users) = users(bad);
        for uid in 1..4 {
            assert_eq!(users.user(uid), None);
        }
        assert_eq!(users.user(5).as_deref(), Some("\\xff\\x1b"));
        assert_eq!(users.user(6).as_deref(), Some("z"));
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_gives_no_name() {
        let (directory, mut users) = users(b"a:x:1:1\n");
        assert_eq!(users.user(1).as_deref(), Some("a"));
        fs::write(directory.path().join("new"), "b:x:1:1\n").expect("written");
        fs::rename(
            directory.path().join("new"),
            directory.path().join("passwd"),
        )
        .expect("renamed");
        assert_eq!(users.user(1).as_deref(), Some("b"));
        fs::remove_file(directory.path().join("passwd")).expect("removed");
        assert_eq!(users.user(1), None);
    }

    #[test]
    fn a_file_too_large_gives_no_name() {
        let (directory, mut users) = users(b"a:x:1:1\n");
        let file = File::options()
            .write(true)
            .open(directory.path().join("passwd"))
            .expect("opened");
        file.set_len(FILE_BYTES_MAX + 1).expect("grown");
        assert_eq!(users.user(1), None);
    }
}
