//! What `paths` and `exclude` may hold: a literal path, a glob of paths, or a glob of names.

use globset::{Glob, GlobBuilder};

use crate::path::BytePath;

/// Of a literal path, in bytes: the kernel's own limit (`PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4096;
/// Of a glob, in bytes: each of its prefixes is compiled as well, so its cost grows with the square.
pub const GLOB_BYTES_MAX: usize = 1024;
/// Components of a glob: see [`GLOB_BYTES_MAX`].
pub const GLOB_COMPONENTS_MAX: usize = 64;

/// One entry of `paths`, or of `exclude` where it begins with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A path without wildcards, normalised.
    Path(BytePath),
    /// A path with wildcards.
    Glob(PathGlob),
}

/// A glob of absolute paths. `*`, `?` and classes do not match a slash, `**` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGlob {
    glob: Glob,
    base: BytePath,
    literal_bytes: usize,
    approaches: Vec<Glob>,
    below: Glob,
}

impl Pattern {
    /// Reads one entry; the error is the end of a sentence that begins with the entry.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_bytes(text)?;
        if text.split('/').any(|part| part == "~") {
            return Err("has a `~` where it means no home: that it does only at the beginning, as in ~/.ssh; write the path".into());
        }
        if !text.starts_with('/') {
            return Err("is not absolute; write the whole path from /".into());
        }
        if is_glob(text) {
            return PathGlob::parse(text).map(Self::Glob);
        }
        let components: Vec<&str> = components(text.split('/'))?;
        let path = format!("/{}", components.join("/"));
        Ok(Self::Path(BytePath::new(path.as_bytes())))
    }

    /// The path itself, or the directory that holds everything the glob can match.
    pub fn base(&self) -> &BytePath {
        match self {
            Self::Path(path) => path,
            Self::Glob(glob) => &glob.base,
        }
    }
}

impl PathGlob {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > GLOB_BYTES_MAX {
            return Err(format!(
                "is longer than {GLOB_BYTES_MAX} bytes; write a shorter glob"
            ));
        }
        guard_classes(text)?;
        let parts = components(split(text).into_iter())?;
        if parts.len() > GLOB_COMPONENTS_MAX {
            return Err(format!(
                "is deeper than {GLOB_COMPONENTS_MAX} directories; write a shallower glob"
            ));
        }
        let whole = format!("/{}", parts.join("/"));
        let literal = parts.iter().take_while(|part| !is_glob(part)).count();
        let base = format!("/{}", parts[..literal].join("/"));
        Ok(Self {
            glob: compile(&whole)?,
            base: BytePath::new(unescape(&base).as_bytes()),
            literal_bytes: unescape(&whole[..literal_end(&whole)]).len(),
            approaches: approaches(&parts, literal)?,
            below: compile(&format!("{whole}/**"))?,
        })
    }

    /// The directory that holds everything it can match.
    pub fn base(&self) -> &BytePath {
        &self.base
    }

    /// Matches the paths meant.
    pub fn glob(&self) -> &Glob {
        &self.glob
    }

    /// Matches everything below a path meant.
    pub fn below(&self) -> &Glob {
        &self.below
    }

    /// Match the directories below the base through which a match may be reached.
    pub fn approaches(&self) -> &[Glob] {
        &self.approaches
    }

    /// Bytes before the first wildcard.
    pub fn literal_bytes(&self) -> usize {
        self.literal_bytes
    }
}

/// A path below every home: `~/.ssh/authorized_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomePath(String);

impl HomePath {
    /// Reads one entry; for errors see [`Pattern::parse`].
    ///
    /// Wildcards are refused: there are many homes, and each glob is a part of one automaton.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_bytes(text)?;
        let Some(below) = text.strip_prefix("~/") else {
            return Err("names the home of one user, which is not supported; write the path itself, or ~/ for the homes of all".into());
        };
        if is_glob(below) {
            return Err("has wildcards below ~/, which is not supported; name the files, or their directory".into());
        }
        let parts = components(below.split('/'))?;
        if parts.contains(&"~") {
            return Err("has a second `~`; write the path".into());
        }
        if parts.is_empty() {
            return Err("is every home as a whole, those of daemons such as /usr/sbin too; name what is meant in them".into());
        }
        Ok(Self(parts.join("/")))
    }

    /// The path below this home.
    pub fn below(&self, home: &BytePath) -> BytePath {
        home.join(self.0.as_bytes())
    }
}

/// A glob of a single name, wherever it occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameGlob(Glob);

impl NameGlob {
    /// Reads one entry of `exclude` without a slash; for errors see [`Pattern::parse`].
    pub fn parse(text: &str) -> Result<Self, String> {
        check_bytes(text)?;
        if text.contains('/') {
            return Err(
                "begins with no slash but has one; write a path from /, or a single name".into(),
            );
        }
        if text == "." || text == ".." {
            return Err("is no name; write the path or the name to leave out".into());
        }
        if text.len() > GLOB_BYTES_MAX {
            return Err(format!(
                "is longer than {GLOB_BYTES_MAX} bytes; write a shorter glob"
            ));
        }
        if is_glob(text) {
            return compile(text).map(Self);
        }
        compile(&text.replace('\\', "\\\\")).map(Self)
    }

    /// Matches the names meant.
    pub fn glob(&self) -> &Glob {
        &self.0
    }
}

fn check_bytes(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty; write a path or remove it".into());
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(format!(
            "is longer than {PATH_BYTES_MAX} bytes, which no path can be"
        ));
    }
    if text.contains('\0') {
        return Err("holds a NUL, which no path can".into());
    }
    Ok(())
}

/// A closing bracket or brace alone is an ordinary character.
fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Without the empty ones, that is, without double and trailing slashes.
fn components<'t>(parts: impl Iterator<Item = &'t str>) -> Result<Vec<&'t str>, String> {
    parts
        .filter(|part| !part.is_empty() && *part != ".")
        .map(|part| match part {
            ".." => Err("has a `..`; write the path without it".to_owned()),
            part => Ok(part),
        })
        .collect()
}

fn compile(text: &str) -> Result<Glob, String> {
    GlobBuilder::new(&guard_classes(text)?)
        .literal_separator(true)
        .build()
        .map_err(|error| format!("is not a glob: {}", error.kind()))
}

/// globset lets a negated class match a slash, and reads other than ASCII in a class as single bytes.
fn guard_classes(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        out.push(character);
        if character == '\\' {
            out.extend(rest.next());
        } else if character == '[' {
            let class = class(rest.as_str())?;
            match class.strip_prefix(['!', '^']) {
                Some(members) => out.extend(["!/", members]),
                None => out.push_str(class),
            }
            out.push(']');
            rest = rest.as_str()[class.len() + 1..].chars();
        }
    }
    Ok(out)
}

/// What stands before the bracket that closes a class.
fn class(rest: &str) -> Result<&str, String> {
    let first = usize::from(rest.starts_with(['!', '^']));
    let end = rest
        .char_indices()
        .find(|&(at, character)| character == ']' && at > first)
        .map(|(at, _)| at)
        .ok_or("is not a glob: a `[` is not closed; write `\\[` for the character itself")?;
    let class = &rest[..end];
    if ["!-", "!]", "^-", "^]"]
        .iter()
        .any(|start| class.starts_with(start))
    {
        return Err("has a class like [!-] or [!]]; put another character first".into());
    }
    let bytes = class.as_bytes();
    let spans_slash = bytes
        .windows(3)
        .any(|range| range[1] == b'-' && (range[0]..=range[2]).contains(&b'/'));
    if !class.is_ascii() || class.contains('/') || spans_slash {
        return Err("has a class with a slash or with other than ASCII; use `?` or `{a,b}`".into());
    }
    Ok(class)
}

/// At the slashes outside of braces; classes hold none.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut escape) = (Vec::new(), 0, 0_usize, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escape => escape = false,
            b'\\' => escape = true,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'/' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Where the first wildcard stands.
fn literal_end(glob: &str) -> usize {
    let mut escape = false;
    for (at, byte) in glob.bytes().enumerate() {
        match byte {
            _ if escape => escape = false,
            b'\\' => escape = true,
            b'*' | b'?' | b'[' | b'{' => return at,
            _ => {}
        }
    }
    glob.len()
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        out.extend(if character == '\\' {
            rest.next()
        } else {
            Some(character)
        });
    }
    out
}

/// One glob for each level between the base and the last component. From a component on that may
/// itself span levels, everything below is one of them.
fn approaches(parts: &[&str], literal: usize) -> Result<Vec<Glob>, String> {
    let mut globs = Vec::new();
    for level in literal..parts.len() {
        let above = format!("/{}", parts[..level].join("/"));
        if level > literal {
            globs.push(compile(&above)?);
        }
        let part = parts[level];
        if part.contains("**") || part.contains('/') {
            globs.push(compile(&format!("{}/**", above.trim_end_matches('/')))?);
            break;
        }
    }
    Ok(globs)
}

#[cfg(test)]
#[allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    fn glob(text: &str) -> PathGlob {
        match Pattern::parse(text).expect("valid") {
            Pattern::Glob(glob) => glob,
            Pattern::Path(path) => panic!("{path} is no glob"),
        }
    }

    fn matches(text: &str, path: &[u8]) -> bool {
        glob(text)
            .glob()
            .compile_matcher()
            .is_match_candidate(&globset::Candidate::from_bytes(path))
    }

    #[test]
    fn double_and_trailing_slashes_and_dots_are_dropped() {
        for text in ["/etc//ssh/", "//etc/ssh", "/etc/./ssh/."] {
            assert_eq!(
                Pattern::parse(text),
                Ok(Pattern::Path(BytePath::new(b"/etc/ssh")))
            );
        }
        assert_eq!(Pattern::parse("/"), Ok(Pattern::Path(BytePath::new(b"/"))));
        assert_eq!(glob("/home//*/.ssh/").glob().glob(), "/home/*/.ssh");
    }

    #[test]
    fn a_wildcard_does_not_cross_a_slash() {
        assert!(matches("/a/*", b"/a/b"));
        assert!(!matches("/a/*", b"/a/b/c"));
        assert!(!matches("/a?b", b"/a/b"));
        assert!(!matches("/a[!x]b", b"/a/b"));
        assert!(matches("/a[!x]b", b"/ayb"));
        assert!(matches("/a/**/d", b"/a/b/c/d"));
        assert!(matches("/a/**/d", b"/a/d"));
    }

    #[test]
    fn any_byte_of_a_name_is_matched() {
        assert!(matches("/a/*", b"/a/\xff\n\x1b"));
        assert!(matches("/a/**", b"/a/\xff\n/\xfe"));
        assert!(matches("/a/?", b"/a/\xff"));
    }

    #[test]
    fn the_base_is_where_wildcards_begin() {
        assert_eq!(glob("/home/*/.ssh").base, BytePath::new(b"/home"));
        assert_eq!(glob("/*").base, BytePath::new(b"/"));
        assert_eq!(glob("/a/b*").literal_bytes(), 4);
        let escaped = glob("/odd\\[/x*");
        assert_eq!(
            (escaped.base.bytes(), escaped.literal_bytes()),
            (&b"/"[..], 7)
        );
        assert!(matches("/odd\\[/x*", b"/odd[/xy"));
    }

    #[test]
    fn approaches_stop_where_depth_is_unknown() {
        let texts = |text| {
            glob(text)
                .approaches
                .iter()
                .map(|glob| glob.glob().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(texts("/home/*/.ssh/keys"), ["/home/*", "/home/*/.ssh"]);
        assert_eq!(
            texts("/home/*/x/**/keys"),
            ["/home/*", "/home/*/x", "/home/*/x/**"]
        );
        assert_eq!(texts("/a/{b,c/d}/e"), ["/a/**"]);
        assert_eq!(texts("/**/e"), ["/**"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, part) in [
            ("", "empty"),
            ("etc", "not absolute"),
            ("/a/../b", ".."),
            ("/a\0b", "NUL"),
            ("/a[b", "`[` is not closed"),
            ("/a{b", "not a glob"),
            ("/a[b/c]", "class with a slash"),
            ("/a[+-9]", "class with a slash"),
            ("/a[é]", "ASCII"),
            ("/a[!-x]", "[!-]"),
        ] {
            let error = Pattern::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Pattern::parse(&"/a".repeat(2049)).is_err());
        assert!(Pattern::parse(&"/*".repeat(65)).is_err());
        assert!(NameGlob::parse("a/b").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "/?[a*?\\[\\]{}!^,/\\\\.é-]{0,40}") {
            let _ = Pattern::parse(&text);
            let _ = NameGlob::parse(&text);
        }
    }
}
