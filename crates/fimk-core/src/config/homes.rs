//! Paths that begin with `~/`: from the homes there are to the paths that are meant.

use super::{Config, is_pseudo};
use crate::{
    path::BytePath,
    pattern::{PATH_BYTES_MAX, Pattern},
};

impl Config {
    /// This configuration with the `home_paths` of each rule, below each of these homes, among its `paths`.
    #[must_use]
    pub fn with_homes(mut self, homes: &[BytePath]) -> Self {
        for rule in &mut self.rules {
            let below = |home: &BytePath| {
                let paths = rule.home_paths.iter().map(|path| path.below(home));
                paths.map(Pattern::Path).collect::<Vec<_>>()
            };
            rule.paths.extend(homes.iter().flat_map(below));
        }
        self
    }

    /// How many paths each home is worth.
    pub fn paths_of_a_home(&self) -> usize {
        self.rules.iter().map(|rule| rule.home_paths.len()).sum()
    }
}

/// The home in a field of passwd(5), if it is one that fimk looks into: absolute, without `..`, and neither `/` nor
/// on a pseudo file system. What is there now does not matter: a home may be made later.
pub fn home(field: &[u8]) -> Option<BytePath> {
    if !field.starts_with(b"/") || field.len() > PATH_BYTES_MAX || field.contains(&0) {
        return None;
    }
    let parts: Vec<&[u8]> = field
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.is_empty() || parts.contains(&&b".."[..]) {
        return None;
    }
    let path = BytePath::new(&[b"/", parts.join(&b'/').as_slice()].concat());
    (!is_pseudo(&path)).then_some(path)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{config::parse, rules::RuleSet};

    #[test]
    fn a_home_is_absolute_and_neither_the_root_nor_a_pseudo_file_system() {
        for (field, path) in [
            (&b"/home/alice"[..], &b"/home/alice"[..]),
            (b"/home//alice/", b"/home/alice"),
            (b"/./srv/.", b"/srv"),
            (b"/home/\xff", b"/home/\xff"),
            (b"/devel", b"/devel"),
        ] {
            assert_eq!(home(field), Some(BytePath::new(path)));
        }
        let long = [&b"/"[..], &[b'x'; 5000]].concat();
        for field in [
            &b""[..],
            b"/",
            b"//",
            b"/.",
            b"home/alice",
            b"~",
            b"/home/../etc",
            b"/proc",
            b"/proc/self",
            b"//sys/kernel",
            b"/dev/null",
            b"/home/a\0b",
            &long,
        ] {
            assert_eq!(home(field), None, "{field:?}");
        }
    }

    #[test]
    fn a_path_of_homes_is_a_path_below_each() {
        let text = "[[rule]]\nname = \"keys\"\npaths = [\"/etc/a\", \"~/.ssh//keys/\"]\n\
                    [[rule]]\nname = \"all\"\npaths = [\"/home\"]\n";
        let config = parse(text, "x").expect("valid");
        assert_eq!(config.paths_of_a_home(), 1);
        let none = RuleSet::new(&config).expect("compiles");
        let alice = BytePath::new(b"/home/alice/.ssh/keys");
        assert_eq!(none.covers(&alice).expect("by /home").rule.name, "all");
        let homes = [b"/home/alice".as_slice(), b"/srv/\xff"].map(BytePath::new);
        let set = RuleSet::new(&config.with_homes(&homes)).expect("compiles");
        for path in [alice, BytePath::new(b"/srv/\xff/.ssh/keys/one")] {
            assert_eq!(set.covers(&path).expect("by ~/").rule.name, "keys");
        }
        assert!(set.covers(&BytePath::new(b"/srv/.ssh/keys")).is_none());
    }
}
