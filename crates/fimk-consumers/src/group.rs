//! group(5): `name:password:gid:members`.
//!
//! Each member that came or went is a difference of its own: `group sudo member bob`. Names in the list are
//! cut as getgrent(3) cuts them, at commas, without blanks before them. Limits: see [`crate::table`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Password, Tokenize,
    passwd::id,
    pieces::{Numbers, Pieces},
    redact,
    table::{Account, Fault, FieldChange, MAX_FIELD, Part, Table},
};

/// Some thousands of members have room in it; directories of people are kept elsewhere.
pub(crate) const MAX_LINE: usize = 64 << 10;

/// The groups of a group file.
pub type State = Table<Group>;

/// A group, without the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Usually says that gshadow has it.
    pub password: Password,
    /// Decimal.
    pub gid: String,
    /// Those whose group it is not by passwd(5).
    pub members: People,
}

impl Account for Group {
    const FIELDS: usize = 4;
    const HAS_NUMBER: bool = true;
    const NOUN: &str = "group";
    const MAX_LINE: usize = MAX_LINE;

    fn parse(fields: &[&[u8]], tokenize: &dyn Tokenize) -> Result<Self, Fault> {
        let &[password, gid, members] = fields else {
            return Err(Fault::FieldCount);
        };
        Ok(Self {
            password: match password {
                b"x" => Password::InShadow,
                other => Password::parse(other, tokenize),
            },
            gid: id(gid)?,
            members: People::parse(members, tokenize),
        })
    }

    fn has_secrets(&self) -> bool {
        self.password.is_secret() || self.members.has_secrets()
    }

    fn summary(&self, numbers: &mut Numbers) -> String {
        let password = password_words(&self.password.words());
        let summary = format!("gid {}, password {password}", self.gid);
        summary + &self.members.summary("members", numbers)
    }

    fn changes(&self, after: &Self, numbers: &mut Numbers) -> Vec<FieldChange> {
        let mut changes = password_change(&self.password, &after.password, numbers);
        if self.gid != after.gid {
            changes.push(("gid", Some(self.gid.clone()), Some(after.gid.clone())));
        }
        changes.extend(self.members.rewritten("members", &after.members, numbers));
        changes
    }

    fn parts(&self, after: &Self, numbers: &mut Numbers) -> Vec<Part> {
        self.members.parts("member", &after.members, numbers)
    }
}

pub(crate) fn password_change(
    before: &Password,
    after: &Password,
    numbers: &mut Numbers,
) -> Vec<FieldChange> {
    if before == after {
        return Vec::new();
    }
    let (before, after) = before.change(after, numbers);
    let [before, after] = [before, after].map(|words| Some(password_words(&words)));
    vec![("password", before, after)]
}

/// A group without a password lets nobody in but its members, whichever way it has none.
pub(crate) fn password_words(words: &str) -> String {
    words
        .replace("in shadow", "in gshadow")
        .replace("(no password needed)", "(for members only)")
        .replace("(cannot log in by password)", "(for members only)")
}

/// A list of names, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct People(pub Vec<Pieces>);

impl People {
    pub(crate) fn parse(field: &[u8], tokenize: &dyn Tokenize) -> Self {
        let names = field
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty());
        Self(names.map(|name| redact::text(name, tokenize)).collect())
    }

    pub(crate) fn has_secrets(&self) -> bool {
        self.0.iter().any(Pieces::has_secrets)
    }

    /// All of them; none is absent.
    pub(crate) fn words(&self, numbers: &mut Numbers) -> Option<String> {
        let (first, more) = self.0.split_first()?;
        let mut all = first.clone();
        for name in more {
            all.extend(", ", name);
        }
        Some(all.render(numbers, MAX_FIELD).text)
    }

    /// Behind what else is said of the group; nothing if there is nobody.
    pub(crate) fn summary(&self, role: &str, numbers: &mut Numbers) -> String {
        let people = self.words(numbers);
        people.map_or_else(String::new, |people| format!(", {role} {people}"))
    }

    /// The same names in another order, or another number of times.
    pub(crate) fn rewritten(
        &self,
        field: &'static str,
        after: &Self,
        numbers: &mut Numbers,
    ) -> Option<FieldChange> {
        let same = self != after && self.names() == after.names();
        same.then(|| (field, self.words(numbers), after.words(numbers)))
    }

    /// Who came and who went.
    pub(crate) fn parts(&self, role: &str, after: &Self, numbers: &mut Numbers) -> Vec<Part> {
        let (old, new) = (self.names(), after.names());
        let mut part = |name: &Pieces, before: bool| {
            let side = |is: bool| is.then(|| role.to_owned());
            Part {
                name: format!("{role} {}", name.render(numbers, MAX_FIELD).text),
                before: side(before),
                after: side(!before),
            }
        };
        let gone = old.difference(&new).map(|name| part(name, true));
        let mut parts: Vec<Part> = gone.collect();
        parts.extend(new.difference(&old).map(|name| part(name, false)));
        parts
    }

    fn names(&self) -> BTreeSet<&Pieces> {
        self.0.iter().collect()
    }
}
