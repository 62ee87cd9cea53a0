//! Files that are what they are because a configuration file says so: what sudoers includes, and where sshd takes keys
//! from (see [`fimk_consumers::includes`]). Whenever such a file is read, what it says is kept here.
//!
//! Only files that rules cover are read, so what is included by one that no rule covers is not known.

mod reread;

pub(crate) use self::reread::read_as_new;

use std::collections::BTreeMap;

use fimk_consumers::{
    Consumer, State,
    includes::{self, Reads},
};
use fimk_core::path::BytePath;
use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::exit::log;

/// Files that say something. A host has a few, each with a few names.
const FILES_MAX: usize = 256;

/// What is known of them.
#[derive(Debug, Default)]
pub struct Included {
    files: BTreeMap<BytePath, File>,
    /// That there are too many was logged.
    full: bool,
}

/// A file that has others read.
#[derive(Debug)]
struct File {
    /// In the order of the globs.
    reads: Vec<Reads>,
    globs: GlobSet,
    /// It is read itself: by its path, or because another that is read says so.
    counts: bool,
}

impl Included {
    /// Who understands what has this path.
    pub fn consumer(&self, path: &BytePath) -> Consumer {
        match Consumer::for_path(path.bytes()) {
            Consumer::Text => self.said_to_be(path).unwrap_or(Consumer::Text),
            known => known,
        }
    }

    /// Takes in what a file says now; nothing, if it is gone.
    pub fn learn(&mut self, path: &BytePath, state: Option<&State>) {
        let reads = state.map_or_else(Vec::new, |state| includes::reads(path.bytes(), state));
        let known = self.files.get(path).map_or(&[][..], |file| &file.reads);
        if known == reads {
            return;
        }
        let is_known = self.files.contains_key(path);
        if self.files.len() >= FILES_MAX && !is_known {
            if !std::mem::replace(&mut self.full, true) {
                log(format!(
                    "more than {FILES_MAX} files include others; what {path} and further ones include is taken for any text"
                ));
            }
            return;
        }
        if reads.is_empty() {
            self.files.remove(path);
        } else {
            self.files.insert(path.clone(), File::new(reads));
        }
        self.follow();
    }

    /// Which files count: from those that are known by their path to what these have read.
    fn follow(&mut self) {
        let by_path = |path: &BytePath| Consumer::for_path(path.bytes()) != Consumer::Text;
        for (path, file) in &mut self.files {
            file.counts = by_path(path);
        }
        // Each turn finds one more at least, or it is the last.
        loop {
            let more: Vec<BytePath> = self
                .files
                .iter()
                .filter(|(path, file)| !file.counts && self.said_to_be(path).is_some())
                .map(|(path, _)| path.clone())
                .collect();
            if more.is_empty() {
                return;
            }
            for path in more {
                if let Some(file) = self.files.get_mut(&path) {
                    file.counts = true;
                }
            }
        }
    }

    fn said_to_be(&self, path: &BytePath) -> Option<Consumer> {
        if self.files.is_empty() {
            return None;
        }
        let candidate = Candidate::from_bytes(path.bytes());
        let mut files = self.files.values().filter(|file| file.counts);
        files.find_map(|file| file.consumer(path, &candidate))
    }
}

impl File {
    fn new(reads: Vec<Reads>) -> Self {
        let glob = |text: &str| {
            GlobBuilder::new(text)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
        };
        let mut builder = GlobSetBuilder::new();
        for reads in &reads {
            // What is no glob for us may be one for the program: its files stay text. An empty one matches nothing.
            let glob = glob(&reads.glob).or_else(|_| glob(""));
            if let Ok(glob) = glob {
                builder.add(glob);
            }
        }
        Self {
            globs: builder.build().unwrap_or_default(),
            reads,
            counts: false,
        }
    }

    fn consumer(&self, path: &BytePath, candidate: &Candidate<'_>) -> Option<Consumer> {
        let name = path.name();
        let is_backup = name.contains(&b'.') || name.ends_with(b"~");
        let matching = self.globs.matches_candidate(candidate).into_iter();
        matching
            .filter_map(|index| self.reads.get(index))
            .find(|reads| !(reads.skips_backups && is_backup))
            .map(|reads| reads.consumer)
    }
}

#[cfg(test)]
mod tests {
    use fimk_consumers::{Token, Tokenize, read};

    use super::*;

    struct Unkeyed;

    impl Tokenize for Unkeyed {
        fn token(&self, _: &[u8]) -> Token {
            Token([0; 16])
        }
    }

    fn path(text: &str) -> BytePath {
        BytePath::new(text.as_bytes())
    }

    /// As if the file were read.
    fn read_in(included: &mut Included, at: &str, content: &str) {
        let at = path(at);
        let consumer = included.consumer(&at);
        let reading = read(consumer, content.as_bytes(), &Unkeyed);
        included.learn(&at, Some(&reading.state));
    }

    #[test]
    fn what_an_included_file_includes_is_known_too_and_forgotten_with_it() {
        let mut included = Included::default();
        read_in(&mut included, "/etc/sudoers", "@include /opt/a\n");
        assert_eq!(included.consumer(&path("/opt/a")), Consumer::Sudoers);
        read_in(&mut included, "/opt/a", "@includedir sub\n");
        assert_eq!(included.consumer(&path("/opt/sub/x")), Consumer::Sudoers);
        for no in ["/opt/sub/x.bak", "/opt/sub/x~", "/opt/sub/x/y", "/opt/b"] {
            assert_eq!(included.consumer(&path(no)), Consumer::Text, "{no}");
        }
        read_in(&mut included, "/etc/sudoers", "# none\n");
        assert_eq!(included.consumer(&path("/opt/a")), Consumer::Text);
        assert_eq!(included.consumer(&path("/opt/sub/x")), Consumer::Text);
    }

    #[test]
    fn a_loop_of_includes_ends_and_files_that_nobody_includes_say_nothing() {
        let mut included = Included::default();
        read_in(&mut included, "/etc/sudoers", "@include /a\n");
        read_in(&mut included, "/a", "@include /b\n");
        read_in(&mut included, "/b", "@include /a\n@include /b\n");
        assert_eq!(included.consumer(&path("/b")), Consumer::Sudoers);
        included.learn(&path("/etc/sudoers"), None);
        assert_eq!(included.consumer(&path("/a")), Consumer::Text);
        assert_eq!(included.consumer(&path("/b")), Consumer::Text);
    }

    #[test]
    fn keys_that_sshd_takes_from_elsewhere_are_keys() {
        let mut included = Included::default();
        let config = "AuthorizedKeysFile .keys/ssh /srv/keys/%u\nInclude /opt/ssh.conf\n";
        read_in(&mut included, "/etc/ssh/sshd_config", config);
        for keys in ["/home/a/.keys/ssh", "/root/.keys/ssh", "/srv/keys/a"] {
            assert_eq!(included.consumer(&path(keys)), Consumer::AuthorizedKeys);
        }
        assert_eq!(included.consumer(&path("/opt/ssh.conf")), Consumer::Sshd);
        // What is known by its path stays that.
        let silly = "AuthorizedKeysFile /etc/shadow\n";
        read_in(&mut included, "/etc/ssh/sshd_config", silly);
        assert_eq!(included.consumer(&path("/etc/shadow")), Consumer::Shadow);
        assert_eq!(included.consumer(&path("/srv/keys/a")), Consumer::Text);
    }

    #[test]
    fn files_beyond_the_limit_say_nothing() {
        let mut included = Included::default();
        for number in 0..FILES_MAX + 10 {
            let at = format!("/srv/{number}/etc/sudoers");
            read_in(&mut included, &at, &format!("@include /opt/{number}\n"));
        }
        let last = format!("/opt/{}", FILES_MAX + 9);
        assert_eq!(included.consumer(&path("/opt/0")), Consumer::Sudoers);
        assert_eq!(included.consumer(&path(&last)), Consumer::Text);
    }
}
