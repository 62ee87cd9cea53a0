//! From a path to the object that is meant, without being led astray by those who own directories on the way.
//!
//! Who may write a directory chooses what its names lead to. So below a home nothing is reached through a link, and
//! elsewhere a user's link leads only to that user's files. An object is opened as a mere place, and everything that
//! is asked of it and read from it goes through that one descriptor: what the name leads to later does not matter.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use fimk_core::path::BytePath;
use nix::{
    errno::Errno,
    fcntl::{OFlag, ResolveFlag, openat, readlinkat},
    sys::stat::{FileStat, Mode, SFlag, fstat},
};

use super::open::{PATH_MAX, PIECE_MAX, open_path};
use crate::{homes::Table, host};

/// Links on the way: as many as the kernel follows.
const LINKS_MAX: usize = 40;

const PLACE: OFlag = OFlag::O_PATH
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// What a path leads to.
pub(super) struct Place {
    /// The object, opened as a place.
    pub object: OwnedFd,
    /// Why it may not be read.
    pub refusal: Option<Refusal>,
}

/// Why a user's name is not followed to what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A link on the way, below this home.
    Link { link: BytePath, home: BytePath },
    /// A link of one user that leads to a file of another.
    Foreign { link: BytePath, uid: u32, of: u32 },
    /// A file of another user, below this home.
    Owner { uid: u32, home: BytePath },
    /// A file of root's with further names, below this home.
    Links { count: u64, home: BytePath },
}

/// Finds it.
///
/// # Errors
/// As `openat`, when there is nothing or a directory cannot be passed.
pub(super) fn find(path: &BytePath, homes: &Table) -> nix::Result<Place> {
    if path.bytes().len() > PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if homes.above(path).is_none() && path.bytes().len() <= PIECE_MAX {
        match without_links(path) {
            Err(Errno::ELOOP) => {}
            found => {
                return found.map(|object| Place {
                    object,
                    refusal: None,
                });
            }
        }
    }
    match Walk::new(path)?.run(homes)? {
        Walked::Object(object, refusal) => Ok(Place { object, refusal }),
        // Its attributes still tell that it changes.
        Walked::Stopped(refusal) => Ok(Place {
            object: open_path(path, PLACE)?,
            refusal: Some(refusal),
        }),
    }
}

/// The usual path: no link is on it.
fn without_links(path: &BytePath) -> nix::Result<OwnedFd> {
    host::open(path, PLACE, ResolveFlag::RESOLVE_NO_SYMLINKS)
}

enum Walked {
    Object(OwnedFd, Option<Refusal>),
    Stopped(Refusal),
}

/// Step by step: each name is opened in the directory that was looked at, so nobody can put another one there.
struct Walk {
    names: VecDeque<Vec<u8>>,
    at: OwnedFd,
    /// Who owns `at`.
    owner: u32,
    /// Where `at` is, without links.
    real: BytePath,
    /// The innermost home on the way, and the owners of all.
    home: Option<BytePath>,
    at_home: Vec<u32>,
    /// A link of a user, and whose it is.
    lead: Option<(BytePath, u32)>,
    links: usize,
}

impl Walk {
    fn new(path: &BytePath) -> nix::Result<Self> {
        let (at, owner) = root()?;
        Ok(Self {
            names: names(path.bytes()).collect(),
            at,
            owner,
            real: BytePath::new(b"/"),
            home: None,
            at_home: Vec::new(),
            lead: None,
            links: 0,
        })
    }

    fn run(mut self, homes: &Table) -> nix::Result<Walked> {
        while let Some(name) = self.names.pop_front() {
            if name == b".." {
                self.ascend()?;
                continue;
            }
            let next = openat(&self.at, OsStr::from_bytes(&name), PLACE, Mode::empty())?;
            let stat = fstat(&next)?;
            if self.names.is_empty() {
                let refusal = self.judge(&stat);
                return Ok(Walked::Object(next, refusal));
            }
            let path = self.real.join(&name);
            if is(&stat, SFlag::S_IFLNK) {
                if let Some(refusal) = self.follow(path, &next, stat.st_uid)? {
                    return Ok(Walked::Stopped(refusal));
                }
                continue;
            }
            if is(&stat, SFlag::S_IFDIR) && homes.is_home(&path, stat.st_uid) {
                self.home = Some(path.clone());
                self.at_home.push(stat.st_uid);
            }
            (self.at, self.owner, self.real) = (next, stat.st_uid, path);
        }
        Ok(Walked::Object(self.at, None))
    }

    fn ascend(&mut self) -> nix::Result<()> {
        if self.real.parent().is_none() {
            return Ok(());
        }
        self.at = openat(&self.at, "..", PLACE, Mode::empty())?;
        self.owner = fstat(&self.at)?.st_uid;
        self.real = self.real.parent().unwrap_or_else(|| BytePath::new(b"/"));
        Ok(())
    }

    /// Goes where a link leads, unless a user could have made it to lead us.
    fn follow(
        &mut self,
        link: BytePath,
        object: &OwnedFd,
        uid: u32,
    ) -> nix::Result<Option<Refusal>> {
        if let Some(home) = &self.home {
            let home = home.clone();
            return Ok(Some(Refusal::Link { link, home }));
        }
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::ELOOP);
        }
        // Who owns the directory may have moved a link of root's there.
        let user = if uid == 0 { self.owner } else { uid };
        match &self.lead {
            _ if user == 0 => {}
            Some((_, of)) if *of != user => {
                let of = *of;
                return Ok(Some(Refusal::Foreign {
                    link,
                    uid: user,
                    of,
                }));
            }
            _ => self.lead = Some((link, user)),
        }
        let target = readlinkat(object, "")?;
        if target.as_bytes().starts_with(b"/") {
            (self.at, self.owner) = root()?;
            self.real = BytePath::new(b"/");
        }
        names(target.as_bytes())
            .rev()
            .for_each(|name| self.names.push_front(name));
        if self.names.iter().map(Vec::len).sum::<usize>() > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(None)
    }

    /// Whether what was found may be read. Of what is no regular file nothing is read but a link's target.
    fn judge(&self, stat: &FileStat) -> Option<Refusal> {
        let uid = stat.st_uid;
        if let Some((link, of)) = &self.lead
            && *of != uid
        {
            let link = link.clone();
            return Some(Refusal::Foreign { link, uid, of: *of });
        }
        let home = self.home.clone()?;
        // Its width differs between architectures.
        #[allow(clippy::useless_conversion, reason = "a width of this architecture")]
        let count = u64::from(stat.st_nlink);
        if !is(stat, SFlag::S_IFREG) || self.at_home.contains(&uid) {
            None
        } else if uid != 0 {
            Some(Refusal::Owner { uid, home })
        } else {
            (count > 1).then_some(Refusal::Links { count, home })
        }
    }
}

fn root() -> nix::Result<(OwnedFd, u32)> {
    let (root, flags) = (BytePath::new(b"/"), PLACE | OFlag::O_DIRECTORY);
    let root = host::open(&root, flags, ResolveFlag::empty())?;
    let owner = fstat(root.as_fd())?.st_uid;
    Ok((root, owner))
}

fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> + '_ {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

impl Refusal {
    /// The sentence that an event tells; `name` knows the names of users.
    pub(super) fn sentence(&self, mut name: impl FnMut(u32) -> Option<String>) -> String {
        let mut user = |uid: u32| match name(uid) {
            Some(name) => format!("uid {uid} ({name})"),
            None => format!("uid {uid}"),
        };
        match self {
            Self::Link { link, home } => {
                format!("{link} is a link, and below the home {home} none is followed")
            }
            Self::Foreign { link, uid, of } => format!(
                "the link {link} leads from {} to what belongs to {}",
                user(*of),
                user(*uid)
            ),
            Self::Owner { uid, home } => format!(
                "it belongs to {}, neither to root nor to the owner of the home {home}",
                user(*uid)
            ),
            Self::Links { count, home } => format!(
                "it belongs to root and has {count} links, so that its name below the home {home} may be anybody's"
            ),
        }
    }
}
