//! What differs of flags, access lists, capabilities and extended attributes, in words.

use std::collections::BTreeMap;

use fimk_consumers::Difference;
use fimk_core::{
    event::Words,
    record::{AclEntry, AclWho, Extended, Record, Snapshot, XattrValue},
};

use super::{Verdict, difference_of};
use crate::users::Users;

/// Differences told of one event; the others are counted. A list may have thousands of entries.
const TOLD_MAX: usize = 100;

/// Entries of one list, and attributes, of one state in an event: far more than anybody sets by hand, and with the longest
/// names and values a third of a line.
const STATE_MAX: usize = 32;

const SELINUX: &str = "security.selinux";

/// What all may see of a file whatever its mode is: labels, which are names and no data.
const LABELS: [&str; 3] = [SELINUX, "security.SMACK64", "security.apparmor"];

/// How values are compared and told.
#[derive(Debug, Clone, Copy)]
pub struct Values {
    /// Both digests are of the same key.
    pub comparable: bool,
    /// Texts may be shown: whoever reads the events may read the file.
    pub shown: bool,
}

impl Verdict {
    /// Adds what differs besides the attributes. What is not known on one side does not differ.
    pub fn add_extended(
        &mut self,
        before: Option<&Record>,
        after: Option<&Snapshot>,
        values: Values,
        users: &mut Users,
    ) {
        let Some(new) = after.and_then(|after| after.extended.as_ref()) else {
            return;
        };
        match before.map(|record| record.snapshot.extended.as_ref()) {
            // With a new file comes what it may do; its other attributes are as new as it is.
            None => self.comparison.changes.extend(capabilities(None, new)),
            Some(None) => {}
            Some(Some(old)) => {
                // The kernel takes them from a file that is written: no change of attributes by anybody.
                let taken = self.content_changed() && new.capabilities.is_none();
                let of_content = taken && old.capabilities.is_some();
                let told = differences(old, new, values, users);
                let (content, attributes): (Vec<_>, Vec<_>) = told
                    .into_iter()
                    .partition(|it| of_content && it.field == CAPABILITIES);
                self.comparison.changes.extend(content);
                self.attributes.extend(attributes);
            }
        }
    }
}

const CAPABILITIES: &str = "capabilities";

/// All of it in words, and the fields of which there was more than is told. `shown`: see [`Values`].
pub fn words(
    extended: &Extended,
    shown: bool,
    users: &mut Users,
) -> (Words, impl Iterator<Item = &'static str> + use<>) {
    let list = |entries: &[AclEntry], users: &mut Users| -> Vec<String> {
        let entries = entries.iter().take(STATE_MAX);
        entries.map(|entry| entry_words(*entry, users)).collect()
    };
    let value =
        |name: &str, value: &XattrValue| self::shown(value, shown || LABELS.contains(&name));
    let xattrs = extended.xattrs.iter();
    let (labels, others): (Vec<_>, Vec<_>) = xattrs
        .filter_map(|it| Some((it.name.as_str(), it.value.as_ref()?)))
        .partition(|(name, _)| *name == SELINUX);
    let more = [
        (extended.acl.len() > STATE_MAX, "fimk.acl"),
        (extended.default_acl.len() > STATE_MAX, "fimk.default_acl"),
        (extended.more > 0 || others.len() > STATE_MAX, "fimk.xattrs"),
    ];
    let words = Words {
        file_system: None,
        flags: extended
            .flags
            .iter()
            .map(|it| it.word().to_owned())
            .collect(),
        acl: list(&extended.acl, users),
        default_acl: list(&extended.default_acl, users),
        capabilities: extended.capabilities.clone(),
        selinux: labels.first().map(|(name, it)| value(name, it)),
        xattrs: others
            .into_iter()
            .take(STATE_MAX)
            .map(|(name, it)| (name.to_owned(), value(name, it)))
            .collect(),
    };
    let more = more.into_iter();
    (
        words,
        more.filter_map(|(more, field)| more.then_some(field)),
    )
}

/// As getfacl(1) has it: `user:alice:rw-`.
fn entry_words(entry: AclEntry, users: &mut Users) -> String {
    let who = match entry.who {
        AclWho::Owner => "user:".to_owned(),
        AclWho::OwningGroup => "group:".to_owned(),
        AclWho::Mask | AclWho::Other => whom(entry.who, users) + ":",
        AclWho::User(_) | AclWho::Group(_) => whom(entry.who, users),
    };
    format!("{who}:{}", permissions(entry.permissions))
}

fn differences(
    old: &Extended,
    new: &Extended,
    values: Values,
    users: &mut Users,
) -> Vec<Difference> {
    let mut told: Vec<Difference> = capabilities(Some(old), new).into_iter().collect();
    told.extend(text("flags".to_owned(), flags(old), flags(new)));
    told.extend(lists("acl ", &old.acl, &new.acl, users));
    told.extend(lists(
        "acl default:",
        &old.default_acl,
        &new.default_acl,
        users,
    ));
    told.extend(xattrs(old, new, values));
    let more = |extended: &Extended| (extended.more > 0).then(|| extended.more.to_string());
    told.extend(text("further xattrs".to_owned(), more(old), more(new)));
    if told.len() > TOLD_MAX {
        let more = told.len() - TOLD_MAX;
        told.truncate(TOLD_MAX);
        let field = "further attributes".to_owned();
        told.extend(text(field, None, Some(format!("{more} that differ"))));
    }
    told
}

fn text(field: String, before: Option<String>, after: Option<String>) -> Option<Difference> {
    (before != after).then(|| difference_of(field, before, after))
}

fn capabilities(old: Option<&Extended>, new: &Extended) -> Option<Difference> {
    let old = old.and_then(|old| old.capabilities.clone());
    text(CAPABILITIES.to_owned(), old, new.capabilities.clone())
}

fn flags(extended: &Extended) -> Option<String> {
    let words: Vec<&str> = extended.flags.iter().map(|flag| flag.word()).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn lists(prefix: &str, old: &[AclEntry], new: &[AclEntry], users: &mut Users) -> Vec<Difference> {
    // Of the list of the file itself these two are the mode, which is told as such.
    let is_mode = |who| prefix == "acl " && matches!(who, AclWho::Owner | AclWho::Other);
    let mut both: BTreeMap<AclWho, (Option<String>, Option<String>)> = BTreeMap::new();
    for entry in old.iter().filter(|entry| !is_mode(entry.who)) {
        both.entry(entry.who).or_default().0 = Some(permissions(entry.permissions));
    }
    for entry in new.iter().filter(|entry| !is_mode(entry.who)) {
        both.entry(entry.who).or_default().1 = Some(permissions(entry.permissions));
    }
    both.retain(|_, (before, after)| before != after);
    both.into_iter()
        .map(|(who, (before, after))| {
            difference_of(format!("{prefix}{}", whom(who, users)), before, after)
        })
        .collect()
}

fn whom(who: AclWho, users: &mut Users) -> String {
    let named = |name: Option<std::sync::Arc<str>>, number: u32| {
        name.map_or_else(|| number.to_string(), |name| name.to_string())
    };
    match who {
        AclWho::Owner => "owner".to_owned(),
        AclWho::User(uid) => format!("user:{}", named(users.user(uid), uid)),
        AclWho::OwningGroup => "group".to_owned(),
        AclWho::Group(gid) => format!("group:{}", named(users.group(gid), gid)),
        AclWho::Mask => "mask".to_owned(),
        AclWho::Other => "other".to_owned(),
    }
}

fn permissions(bits: u8) -> String {
    [(4, 'r'), (2, 'w'), (1, 'x')]
        .map(|(bit, letter)| if bits & bit == 0 { '-' } else { letter })
        .iter()
        .collect()
}

fn xattrs(old: &Extended, new: &Extended, values: Values) -> Vec<Difference> {
    let mut both: BTreeMap<&str, (Side<'_>, Side<'_>)> = BTreeMap::new();
    for it in &old.xattrs {
        both.entry(&it.name).or_default().0 = Side::of(it.value.as_ref());
    }
    for it in &new.xattrs {
        both.entry(&it.name).or_default().1 = Side::of(it.value.as_ref());
    }
    both.into_iter()
        .filter_map(|(name, (old, new))| {
            let (before, after) = told(name, &old, &new, values)?;
            Some(difference_of(format!("xattr {name}"), before, after))
        })
        .collect()
}

/// One attribute, before or after.
#[derive(Default)]
enum Side<'a> {
    #[default]
    Absent,
    Unknown,
    Is(&'a XattrValue),
}

impl<'a> Side<'a> {
    fn of(value: Option<&'a XattrValue>) -> Self {
        value.map_or(Self::Unknown, Self::Is)
    }

    fn shown(&self, text: bool) -> Option<String> {
        match self {
            Self::Absent | Self::Unknown => None,
            Self::Is(value) => Some(shown(value, text)),
        }
    }
}

type Sides = (Option<String>, Option<String>);

/// Both sides in words; none if they do not differ, as far as is known.
fn told(name: &str, old: &Side<'_>, new: &Side<'_>, values: Values) -> Option<Sides> {
    let text = values.shown || LABELS.contains(&name);
    let (before, mut after) = (old.shown(text), new.shown(text));
    match (old, new) {
        (Side::Unknown, _) | (_, Side::Unknown) => return None,
        (Side::Is(old), Side::Is(new)) => {
            let same = if values.comparable {
                old.digest == new.digest
            } else {
                (old.bytes, &old.text) == (new.bytes, &new.text)
            };
            if same {
                return None;
            }
        }
        _ => {}
    }
    if before == after {
        after = after.map(|after| format!("{after} (another)"));
    }
    Some((before, after))
}

fn shown(value: &XattrValue, text: bool) -> String {
    match &value.text {
        Some(shown) if text => shown.clone(),
        _ => {
            let start = value.digest.first_chunk().copied();
            let digest = start.map_or(0, u64::from_be_bytes);
            format!("{} bytes, digest {digest:016x}", value.bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use fimk_core::record::{FileFlag, Xattr};

    use super::*;

    const VALUES: Values = Values {
        comparable: true,
        shown: true,
    };

    fn xattr(name: &str, digest: u8, text: Option<&str>) -> Xattr {
        Xattr {
            name: name.to_owned(),
            value: Some(XattrValue {
                bytes: 3,
                digest: [digest; 32],
                text: text.map(str::to_owned),
            }),
        }
    }

    fn with(xattrs: Vec<Xattr>) -> Extended {
        Extended {
            xattrs,
            ..Extended::default()
        }
    }

    fn words(old: &Extended, new: &Extended, values: Values) -> Vec<String> {
        differences(old, new, values, &mut Users::default())
            .into_iter()
            .map(|it| {
                let side = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
                format!("{}: {} → {}", it.field, side(it.before), side(it.after))
            })
            .collect()
    }

    #[test]
    fn an_attribute_that_came_went_or_changed_is_named_with_both_values() {
        let old = with(vec![
            xattr("user.a", 1, Some("x")),
            xattr("user.b", 2, None),
        ]);
        let new = with(vec![
            xattr("user.a", 3, Some("y")),
            xattr("user.c", 4, Some("z")),
        ]);
        assert_eq!(
            words(&old, &new, VALUES),
            [
                "xattr user.a: x → y",
                "xattr user.b: 3 bytes, digest 0202020202020202 → -",
                "xattr user.c: - → z"
            ]
        );
        assert!(words(&old, &old, VALUES).is_empty());
    }

    #[test]
    fn values_of_a_private_file_and_secrets_are_told_apart_and_not_shown() {
        let old = with(vec![
            xattr("security.selinux", 1, Some("a_t")),
            xattr("user.a", 1, Some("[redacted]")),
        ]);
        let new = with(vec![
            xattr("security.selinux", 2, Some("b_t")),
            xattr("user.a", 2, Some("[redacted]")),
        ]);
        assert_eq!(
            words(&old, &new, VALUES)[1],
            "xattr user.a: [redacted] → [redacted] (another)"
        );
        let private = Values {
            shown: false,
            ..VALUES
        };
        assert_eq!(
            words(&old, &new, private),
            [
                "xattr security.selinux: a_t → b_t",
                "xattr user.a: 3 bytes, digest 0101010101010101 → 3 bytes, digest 0202020202020202"
            ]
        );
    }

    #[test]
    fn what_cannot_be_compared_does_not_differ() {
        let old = with(vec![
            xattr("user.a", 1, Some("x")),
            xattr("user.b", 1, None),
        ]);
        let mut new = with(vec![
            xattr("user.a", 2, Some("x")),
            xattr("user.b", 2, None),
        ]);
        let other_key = Values {
            comparable: false,
            shown: true,
        };
        assert!(words(&old, &new, other_key).is_empty());
        new.xattrs[0].value = None;
        assert_eq!(words(&old, &new, VALUES).len(), 1);
    }

    #[test]
    fn flags_lists_and_capabilities_are_told_in_words() {
        let entry = |who, permissions| AclEntry { who, permissions };
        let old = Extended {
            flags: vec![FileFlag::AppendOnly],
            acl: vec![
                entry(AclWho::Owner, 6),
                entry(AclWho::User(4_000_000_000), 6),
                entry(AclWho::Mask, 6),
            ],
            capabilities: Some("cap_net_raw+ep".to_owned()),
            ..Extended::default()
        };
        let new = Extended {
            flags: vec![FileFlag::Immutable, FileFlag::AppendOnly],
            acl: vec![
                entry(AclWho::Owner, 7),
                entry(AclWho::User(4_000_000_000), 4),
                entry(AclWho::Mask, 6),
            ],
            default_acl: vec![entry(AclWho::Group(4_000_000_000), 1)],
            more: 2,
            ..Extended::default()
        };
        assert_eq!(
            words(&old, &new, VALUES),
            [
                "capabilities: cap_net_raw+ep → -",
                "flags: append-only → immutable, append-only",
                "acl user:4000000000: rw- → r--",
                "acl default:group:4000000000: - → --x",
                "further xattrs: - → 2"
            ]
        );
    }

    #[test]
    fn a_list_of_thousands_is_cut_and_the_rest_counted() {
        let new = Extended {
            acl: (0..8000)
                .map(|uid| AclEntry {
                    who: AclWho::User(uid + 4_000_000_000),
                    permissions: 4,
                })
                .collect(),
            ..Extended::default()
        };
        let told = words(&Extended::default(), &new, VALUES);
        assert_eq!(told.len(), TOLD_MAX + 1);
        assert!(
            told[TOLD_MAX].contains("7900 that differ"),
            "{}",
            told[TOLD_MAX]
        );
    }

    #[test]
    fn a_state_is_told_in_words_and_what_is_too_much_is_said() {
        let entry = |who, permissions| AclEntry { who, permissions };
        let mut extended = Extended {
            flags: vec![FileFlag::Immutable],
            acl: vec![
                entry(AclWho::Owner, 6),
                entry(AclWho::User(4_000_000_000), 4),
                entry(AclWho::OwningGroup, 0),
                entry(AclWho::Group(4_000_000_000), 1),
                entry(AclWho::Mask, 7),
                entry(AclWho::Other, 0),
            ],
            capabilities: Some("cap_net_raw+ep".to_owned()),
            xattrs: vec![
                xattr(SELINUX, 1, Some("a_t")),
                xattr("user.a", 1, Some("x")),
            ],
            ..Extended::default()
        };
        let told = |extended: &Extended, shown| {
            let (words, more) = super::words(extended, shown, &mut Users::default());
            (words, more.collect::<Vec<_>>())
        };
        let (words, more) = told(&extended, false);
        assert_eq!(
            words.acl,
            [
                "user::rw-",
                "user:4000000000:r--",
                "group::---",
                "group:4000000000:--x",
                "mask::rwx",
                "other::---"
            ]
        );
        assert_eq!((words.flags, more), (vec!["immutable".to_owned()], vec![]));
        assert_eq!(words.selinux.as_deref(), Some("a_t"), "a label is no data");
        assert!(words.xattrs[0].1.starts_with("3 bytes, digest "));
        assert_eq!(told(&extended, true).0.xattrs[0].1, "x");
        extended.acl = vec![entry(AclWho::Other, 0); STATE_MAX + 1];
        extended.more = 1;
        let (words, more) = told(&extended, true);
        assert_eq!(
            (words.acl.len(), more),
            (STATE_MAX, vec!["fimk.acl", "fimk.xattrs"])
        );
    }
}
