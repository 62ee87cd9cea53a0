//! Which other files a program reads because a file says so, and as what: the includes of sudoers(5), `sshd_config(5)`
//! and ld.so.conf, and the keys that sshd takes from elsewhere than their usual place.
//!
//! Nothing is looked up here, so a name that the program would fill in (a user, a home, a host) stands for any. In a
//! chroot a path means one below it; outside of one it means itself, and which of both is the case cannot be told from
//! a path alone, so both are meant.
//!
//! Limits: the first 256 names of a file, each of at most 1,024 bytes.

use crate::{
    Consumer, State,
    entries::{Entry, Field},
    pieces::{Piece, Pieces},
    sshd,
};

/// Nobody writes more, and each is compared with the paths that are read.
pub const MAX_NAMES: usize = 256;

/// A longer one costs more than it can be worth.
pub const MAX_BYTES: usize = 1024;

/// Files that are read besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// Their paths: a glob, of which `*` matches no slash and a leading `**/` any directory.
    pub glob: String,
    /// As what they are read.
    pub consumer: Consumer,
    /// Names with a dot, or a tilde at their end, are skipped.
    pub skips_backups: bool,
}

/// What is read because of this file.
pub fn reads(path: &[u8], state: &State) -> Vec<Reads> {
    let Ok(path) = str::from_utf8(path) else {
        return Vec::new();
    };
    let (entries, read): (_, fn(&Place<'_>, &Entry) -> Vec<Reads>) = match state {
        State::Sudoers(state) => (&state.entries, of_sudoers),
        State::Sshd(state) => (&state.entries, of_sshd),
        State::LibraryPath(state) => (&state.entries, of_library_path),
        _ => return Vec::new(),
    };
    let place = Place::of(path);
    let all = entries.iter().flat_map(|entry| read(&place, entry));
    let short = all.filter(|reads| reads.glob.len() <= MAX_BYTES);
    short.take(MAX_NAMES).collect()
}

/// Where the file is that says it.
struct Place<'a> {
    /// Its directory, without a slash at the end.
    directory: &'a str,
    /// What stands before `/etc`: empty but in a chroot.
    root: &'a str,
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Self {
        Self {
            directory: path.rsplit_once('/').map_or("", |(directory, _)| directory),
            root: path.rfind("/etc/").map_or("", |at| &path[..at]),
        }
    }

    /// The globs of a path that is a glob already; `from`: what one that is not absolute is relative to.
    fn globs(&self, glob: &str, from: &str) -> Vec<String> {
        if !glob.starts_with('/') {
            return vec![format!("{}/{glob}", escaped(from))];
        }
        let mut globs = vec![glob.to_owned()];
        if !self.root.is_empty() {
            globs.push(format!("{}{glob}", escaped(self.root)));
        }
        globs
    }

    fn reads(&self, consumer: Consumer, glob: &str, from: &str) -> Vec<Reads> {
        let reads = |glob| Reads {
            glob,
            consumer,
            skips_backups: false,
        };
        self.globs(glob, from).into_iter().map(reads).collect()
    }
}

/// sudoers(5): `%h` is the host; quotes and backslashes are for blanks.
fn of_sudoers(place: &Place<'_>, entry: &Entry) -> Vec<Reads> {
    let subject = text(&entry.subject);
    let Some((kind, name)) = subject.split_once(' ') else {
        return Vec::new();
    };
    let name = name.trim_matches('"').replace('\\', "");
    let glob = escaped(&name).replace("%h", "*");
    let glob = glob.trim_end_matches('/');
    match kind {
        "include" => place.reads(Consumer::Sudoers, glob, place.directory),
        "includedir" => {
            let mut all = place.reads(Consumer::Sudoers, &format!("{glob}/*"), place.directory);
            for reads in &mut all {
                reads.skips_backups = true;
            }
            all
        }
        _ => Vec::new(),
    }
}

/// `sshd_config(5)`: of a directive in a block of `Match` as well.
fn of_sshd(place: &Place<'_>, entry: &Entry) -> Vec<Reads> {
    let subject = text(&entry.subject);
    let directive = subject.rsplit(": ").next().unwrap_or_default();
    let values = |text: &str| {
        let words = sshd::values(text.as_bytes())
            .unwrap_or_default()
            .into_iter();
        let words = words.filter_map(|word| String::from_utf8(word).ok());
        words.filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("none"))
    };
    if let Some(globs) = directive.strip_prefix("Include ") {
        // Not in the directory of an included file, but of the first.
        let from = place.directory.strip_suffix("/sshd_config.d");
        let from = from.unwrap_or(place.directory);
        return values(globs)
            .flat_map(|glob| place.reads(Consumer::Sshd, &glob, from))
            .collect();
    }
    let said = entry.field(Field::Value).map(text).unwrap_or_default();
    match directive {
        "AuthorizedKeysFile" => values(&said).flat_map(|name| keys(place, &name)).collect(),
        "TrustedUserCAKeys" => values(&said)
            .flat_map(|name| place.reads(Consumer::AuthorizedKeys, &escaped(&name), "/"))
            .collect(),
        _ => Vec::new(),
    }
}

/// `%u` and `%U` are a user, `%h` his home, below which a name is that is not absolute; `%%` is a percent sign.
fn keys(place: &Place<'_>, name: &str) -> Vec<Reads> {
    let below_home = name
        .strip_prefix("%h/")
        .or(Some(name).filter(|name| !name.starts_with('/')));
    let glob = |name: &str| {
        let mut glob = String::new();
        let mut characters = name.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => match characters.next() {
                    Some('%') => glob.push('%'),
                    _ => glob.push('*'),
                },
                plain => glob.push_str(&escaped(plain.encode_utf8(&mut [0; 4]))),
            }
        }
        glob
    };
    match below_home {
        Some(name) => vec![Reads {
            glob: format!("**/{}", glob(name)),
            consumer: Consumer::AuthorizedKeys,
            skips_backups: false,
        }],
        None => place.reads(Consumer::AuthorizedKeys, &glob(name), "/"),
    }
}

fn of_library_path(place: &Place<'_>, entry: &Entry) -> Vec<Reads> {
    let subject = text(&entry.subject);
    match subject.strip_prefix("include ") {
        Some(glob) => place.reads(Consumer::LibraryPath, glob, place.directory),
        None => Vec::new(),
    }
}

/// So that a glob matches nothing but this text.
fn escaped(text: &str) -> String {
    let mut glob = String::new();
    for character in text.chars() {
        match character {
            '*' | '?' | '[' | ']' | '{' | '}' | '\\' => {
                glob.push('\\');
                glob.push(character);
            }
            plain => glob.push(plain),
        }
    }
    glob
}

/// Nothing, if it is not all text: what is not has no path that could be told.
fn text(pieces: &Pieces) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => Some(text.clone()),
        Piece::Bytes(_) | Piece::Secret(_) => None,
    };
    let all: Option<String> = pieces.0.iter().map(text).collect();
    all.unwrap_or_default()
}
