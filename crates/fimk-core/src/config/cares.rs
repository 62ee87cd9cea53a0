//! `attributes`: what of an object a rule cares about.

use super::{ConfigError, RULE, error::shown, section::Section};

/// One attribute, or kind of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Attribute {
    Content,
    Type,
    Mode,
    Owner,
    Group,
    Times,
    Acl,
    Capabilities,
    Label,
    Xattrs,
    Flags,
}

use Attribute::{
    Acl, Capabilities, Content, Flags, Group, Label, Mode, Owner, Times, Type, Xattrs,
};

const WORDS: [(&str, Attribute); 11] = [
    ("content", Content),
    ("type", Type),
    ("mode", Mode),
    ("owner", Owner),
    ("group", Group),
    ("times", Times),
    ("acl", Acl),
    ("capabilities", Capabilities),
    ("label", Label),
    ("xattrs", Xattrs),
    ("flags", Flags),
];

/// Names for several.
const GROUPS: [(&str, &[Attribute]); 2] = [
    (
        "all",
        &[
            Content,
            Type,
            Mode,
            Owner,
            Group,
            Times,
            Acl,
            Capabilities,
            Label,
            Xattrs,
            Flags,
        ],
    ),
    (
        "permissions",
        &[Type, Mode, Owner, Group, Acl, Capabilities, Label, Flags],
    ),
];

/// Extended attributes that are labels of security modules.
const LABELS: [&str; 3] = ["security.selinux", "security.SMACK64", "security.apparmor"];

/// A set of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cares(u16);

impl Default for Cares {
    /// All of them.
    fn default() -> Self {
        Self(
            WORDS
                .iter()
                .fold(0, |bits, (_, one)| bits | 1 << *one as u16),
        )
    }
}

impl Cares {
    /// Whether it is in it.
    #[must_use]
    pub fn about(self, attribute: Attribute) -> bool {
        self.0 & 1 << attribute as u16 != 0
    }

    /// Whether a difference that an event has under this field is; one that is of no known kind always is.
    #[must_use]
    pub fn about_field(self, field: &str) -> bool {
        let kind = match field {
            "type" => Type,
            "mode" => Mode,
            "uid" => Owner,
            "gid" => Group,
            "capabilities" => Capabilities,
            "flags" => Flags,
            "further xattrs" => Xattrs,
            field if field.starts_with("acl ") => Acl,
            field => match field.strip_prefix("xattr ") {
                Some(name) if LABELS.contains(&name) => Label,
                Some(_) => Xattrs,
                None => return true,
            },
        };
        self.about(kind)
    }

    /// Whether everything is.
    #[must_use]
    pub fn is_all(self) -> bool {
        self == Self::default()
    }

    fn named(word: &str) -> Option<u16> {
        let one = WORDS.iter().find(|(name, _)| *name == word);
        let group = GROUPS.iter().find(|(name, _)| *name == word);
        one.map(|(_, one)| 1 << *one as u16)
            .or(group.map(|(_, all)| all.iter().fold(0, |bits, one| bits | 1 << *one as u16)))
    }
}

pub(super) fn cares(section: &Section<'_>) -> Result<Cares, ConfigError> {
    let words = section.strings("attributes")?;
    if words.is_empty() {
        if section.has("attributes") {
            return Err(section.error(
                "`attributes` is empty, so the rule would care about nothing; name some, or remove it",
            ));
        }
        return Ok(Cares::default());
    }
    let mut bits = 0;
    for word in words {
        bits |= Cares::named(word.text).ok_or_else(|| {
            let groups = GROUPS.map(|(name, _)| name).join(", ");
            let known = WORDS.map(|(name, _)| name).join(", ");
            let message = format!(
                "`attributes` in {RULE} may hold {known}, or the groups {groups}, not \"{}\"",
                shown(word.text)
            );
            section.error_at(word, message)
        })?;
    }
    Ok(Cares(bits))
}
