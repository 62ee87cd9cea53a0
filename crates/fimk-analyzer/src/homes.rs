//! The homes of this host's users, from /etc/passwd: where paths that begin with `~/` lie, and where a user chooses
//! what a name leads to.

mod watch;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use fimk_core::{config::home, path::BytePath};

use crate::{
    host,
    users::{self, Version, Whose},
};

/// Where the users are.
pub const PASSWD: &str = "/etc/passwd";

/// Homes that are known at once, as few bytes each. Hosts with more users have them in a directory service, not in a file.
const HOMES_MAX: usize = 10_000;

/// Paths that homes and rules may come to together: measured at 1.3 KiB each, twice while rules are exchanged, 26 MiB
/// of the process's 64.
const PATHS_MAX: usize = 10_000;

/// Users who share a home: daemons share `/` or a directory of root's, where none of them is at home.
const OWNERS_MAX: usize = 64;

/// Where homes are made: what stands right below is one, whether or not passwd names it, for users may come from a
/// directory service.
const HOMES: &[u8] = b"/home";

/// The homes of one state of passwd.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// As passwd spells them, in the order of its lines.
    paths: Vec<BytePath>,
    /// Each home, as spelled and as it is without links, and whose it is.
    owners: HashMap<BytePath, Vec<u32>>,
    /// Of the longest of them, in bytes.
    longest: usize,
    /// Homes beyond the limit.
    pub left_out: usize,
}

impl Table {
    fn add(&mut self, home: BytePath, uids: &[u32]) {
        for path in [real(&home), home.clone()] {
            self.longest = self.longest.max(path.bytes().len());
            self.owners.entry(path).or_default().extend(uids);
        }
        self.paths.push(home);
    }

    /// The homes, no more than the rules can take when each is worth so many paths; and how many that leaves out.
    pub fn for_rules(&self, paths_of_each: usize) -> (&[BytePath], usize) {
        let count = self.paths.len().min(PATHS_MAX / paths_of_each.max(1));
        let left_out = self.paths.len() - count + self.left_out;
        (&self.paths[..count], left_out)
    }

    /// The outermost directory on this path that may be a home: whether it is depends on its owner.
    pub fn above(&self, path: &BytePath) -> Option<BytePath> {
        let bytes = path.bytes();
        let slashes = bytes.iter().enumerate().skip(1);
        slashes
            .filter(|&(_, &byte)| byte == b'/')
            .map(|(at, _)| &bytes[..at])
            // No home is longer, and a path may have thousands of slashes.
            .take_while(|above| above.len() <= self.longest.max(512))
            .map(BytePath::new)
            .find(|above| self.owners.contains_key(above) || is_in_homes(above))
    }

    /// Whether a directory is the home of the user that it belongs to.
    pub fn is_home(&self, directory: &BytePath, owner: u32) -> bool {
        let named = self.owners.get(directory);
        named.is_some_and(|uids| uids.contains(&owner)) || owner != 0 && is_in_homes(directory)
    }
}

fn is_in_homes(path: &BytePath) -> bool {
    path.parent().is_some_and(|above| above.bytes() == HOMES)
}

/// Without links; of a home that does not exist, as far as its directory does.
fn real(path: &BytePath) -> BytePath {
    host::real(path).unwrap_or_else(|| {
        let above = path.parent().and_then(|above| host::real(&above));
        above.map_or_else(|| path.clone(), |above| above.join(path.name()))
    })
}

/// The homes of this host, read again when passwd changes.
#[derive(Debug)]
pub struct Homes {
    passwd: PathBuf,
    seen: Option<Version>,
    looked: Option<Instant>,
    table: Arc<Table>,
}

impl Default for Homes {
    fn default() -> Self {
        Self::at(Path::new(PASSWD))
    }
}

impl Homes {
    /// With another file.
    pub fn at(passwd: &Path) -> Self {
        Self {
            passwd: passwd.into(),
            seen: None,
            looked: None,
            table: Arc::default(),
        }
    }

    /// The homes as they were no longer than this ago.
    pub fn within(&mut self, age: Duration) -> Arc<Table> {
        if self.looked.is_some_and(|at| at.elapsed() < age) {
            return Arc::clone(&self.table);
        }
        self.now()
    }

    /// The homes now. Those that were known stay, for what lies in them does: a user who is removed loses the line
    /// in passwd first, and the files after.
    pub fn now(&mut self) -> Arc<Table> {
        self.looked = Some(Instant::now());
        let version = Version::of_path(&self.passwd, Whose::Host);
        if version.is_some()
            && version != self.seen
            && let Ok(bytes) = users::read(&self.passwd, Whose::Host)
        {
            self.seen = version;
            let table = merged(&bytes, &self.table);
            if table != *self.table {
                self.table = Arc::new(table);
            }
        }
        Arc::clone(&self.table)
    }
}

fn merged(passwd: &[u8], known: &Table) -> Table {
    let mut order = Vec::new();
    let mut owners: HashMap<BytePath, Vec<u32>> = HashMap::new();
    let current = passwd.split(|&byte| byte == b'\n').filter_map(user);
    let former = known.paths.iter().flat_map(|path| {
        let owners = known.owners.get(path).into_iter().flatten();
        owners.map(|&uid| (path.clone(), uid))
    });
    for (path, uid) in current.chain(former) {
        let uids = owners.entry(path.clone()).or_default();
        if uids.is_empty() {
            order.push(path);
        }
        if !uids.contains(&uid) && uids.len() < OWNERS_MAX {
            uids.push(uid);
        }
    }
    let mut table = Table {
        left_out: order.len().saturating_sub(HOMES_MAX),
        ..Table::default()
    };
    for path in order.into_iter().take(HOMES_MAX) {
        let uids = owners.remove(&path).unwrap_or_default();
        table.add(path, &uids);
    }
    table
}

/// Home and number of a line of passwd(5).
fn user(line: &[u8]) -> Option<(BytePath, u32)> {
    let mut fields = line.split(|&byte| byte == b':');
    let name = fields.next()?;
    // `+` and `-` begin entries of NIS, which name no user.
    if matches!(name.first(), None | Some(b'+' | b'-' | b'#')) {
        return None;
    }
    let uid = fields.nth(1).and_then(users::number)?;
    Some((home(fields.nth(2)?)?, uid))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
mod tests {
    use std::{
        fs,
        os::unix::{ffi::OsStrExt as _, fs::symlink},
    };

    use super::*;

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    #[test]
    fn only_homes_that_can_be_looked_into_count() {
        let passwd = b"root:x:0:0:root:/root:/bin/bash\n\
            a:x:1:1::/srv//a/:\nb:x:2:2::/:\nc:x:3:3::/proc/1:\nd:x:4:4::home:\ne:x:5:5::/srv/a:\n\
            +nis:x:6:6::/srv/nis:\nbad:x:y:7::/srv/bad:\nshort:x:8:8\n:x:9:9::/srv/nobody:\nf:x:10:10::/x/../y:\n\
            missing:x:11:11::/nonexistent/at/all:/bin/sh";
        let table = merged(passwd, &Table::default());
        assert_eq!(
            table.paths,
            ["/root", "/srv/a", "/nonexistent/at/all"].map(path)
        );
        assert!(table.is_home(&path("/srv/a"), 1) && table.is_home(&path("/srv/a"), 5));
        assert!(!table.is_home(&path("/srv/a"), 0) && !table.is_home(&path("/srv/b"), 2));
        assert!(!table.is_home(&path("/"), 2));
    }

    #[test]
    fn whoever_owns_a_directory_right_below_slash_home_is_at_home_there() {
        let table = Table::default();
        assert!(table.is_home(&path("/home/ldap"), 70_000));
        assert!(!table.is_home(&path("/home/shared"), 0));
        assert!(!table.is_home(&path("/home/ldap/x"), 70_000));
        assert_eq!(
            table.above(&path("/home/ldap/.ssh/rc")),
            Some(path("/home/ldap"))
        );
        assert_eq!(table.above(&path("/home/ldap")), None);
        assert_eq!(table.above(&path("/etc/passwd")), None);
    }

    #[test]
    fn a_home_behind_a_link_is_known_by_both_its_names() {
        let directory = tempfile::tempdir().expect("a directory");
        let (straight, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::create_dir_all(straight.join("eve")).expect("made");
        symlink(&straight, &link).expect("linked");
        let spelled = BytePath::new(link.as_os_str().as_bytes());
        for name in ["eve", "later"] {
            let entry = format!("eve:x:7:7::{spelled}/{name}:/bin/sh\n");
            let table = merged(entry.as_bytes(), &Table::default());
            assert_eq!(table.paths, [spelled.join(name.as_bytes())]);
            for directory in [&straight, &link] {
                let home = BytePath::new(directory.join(name).as_os_str().as_bytes());
                assert!(table.is_home(&home, 7), "{home}");
            }
        }
    }

    #[test]
    fn a_removed_user_keeps_the_home_and_a_broken_file_removes_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let passwd = directory.path().join("passwd");
        fs::write(&passwd, "a:x:1:1::/srv/a:\nb:x:2:2::/srv/b:\n").expect("written");
        let mut homes = Homes::at(&passwd);
        let first = homes.now();
        assert!(Arc::ptr_eq(&first, &homes.now()));
        fs::write(&passwd, "b:x:2:2::/srv/b:/bin/false\n").expect("written");
        assert_eq!(homes.now().paths, ["/srv/b", "/srv/a"].map(path));
        assert!(homes.now().is_home(&path("/srv/a"), 1));
        fs::remove_file(&passwd).expect("removed");
        assert_eq!(homes.now().paths.len(), 2);
    }

    #[test]
    fn more_homes_than_the_limit_are_counted() {
        let lines = (0..HOMES_MAX + 3).map(|n| format!("u{n}:x:{n}:{n}::/nowhere/{n}:\n"));
        let table = merged(lines.collect::<String>().as_bytes(), &Table::default());
        assert_eq!((table.paths.len(), table.left_out), (HOMES_MAX, 3));
        assert_eq!(table.for_rules(1).1, 3);
        let (some, left_out) = table.for_rules(4);
        assert_eq!(
            (some.len(), left_out),
            (PATHS_MAX / 4, HOMES_MAX + 3 - PATHS_MAX / 4)
        );
    }
}
