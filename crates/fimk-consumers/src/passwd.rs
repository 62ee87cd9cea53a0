//! passwd(5): `name:password:uid:gid:gecos:home:shell`.
//!
//! Numbers are kept as they are written, so that `0` and `00` are told apart; what is no decimal number
//! of 32 bits makes the line malformed. Limits: see [`crate::table`].

use serde::{Deserialize, Serialize};

use crate::{
    Password, Tokenize,
    pieces::{Numbers, Pieces},
    table::{Account, Fault, FieldChange, MAX_FIELD, Table},
};

/// The users of a passwd file.
pub type State = Table<User>;

/// A user, without the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Usually says that shadow has it.
    pub password: Password,
    /// Decimal.
    pub uid: String,
    /// Decimal.
    pub gid: String,
    /// Full name and so on.
    pub gecos: Pieces,
    /// Home directory.
    pub home: Pieces,
    /// Login shell; empty is /bin/sh.
    pub shell: Pieces,
}

impl Account for User {
    const FIELDS: usize = 7;
    const HAS_NUMBER: bool = true;

    fn parse(fields: &[&[u8]], tokenize: &dyn Tokenize) -> Result<Self, Fault> {
        let &[password, uid, gid, gecos, home, shell] = fields else {
            return Err(Fault::FieldCount);
        };
        let text = |field| crate::redact::text(field, tokenize);
        Ok(Self {
            password: match password {
                b"x" => Password::InShadow,
                other => Password::parse(other, tokenize),
            },
            uid: id(uid)?,
            gid: id(gid)?,
            gecos: text(gecos),
            home: text(home),
            shell: text(shell),
        })
    }

    fn has_secrets(&self) -> bool {
        let texts = [&self.gecos, &self.home, &self.shell];
        self.password.is_secret() || texts.iter().any(|text| text.has_secrets())
    }

    fn summary(&self, numbers: &mut Numbers) -> String {
        format!(
            "uid {}, gid {}, home {}, shell {}, password {}",
            self.uid,
            self.gid,
            self.home.render(numbers, MAX_FIELD).text,
            self.shell.render(numbers, MAX_FIELD).text,
            self.password.words()
        )
    }

    fn changes(&self, after: &Self, numbers: &mut Numbers) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        if self.password != after.password {
            let (before, after) = self.password.change(&after.password, numbers);
            changes.push(("password", Some(before), Some(after)));
        }
        for (field, before, after) in [
            ("uid", &self.uid, &after.uid),
            ("gid", &self.gid, &after.gid),
        ] {
            if before != after {
                changes.push((field, Some(before.clone()), Some(after.clone())));
            }
        }
        let texts = [
            ("gecos", &self.gecos, &after.gecos),
            ("home", &self.home, &after.home),
            ("shell", &self.shell, &after.shell),
        ];
        for (field, before, after) in texts {
            if before != after {
                changes.push((field, said(before, numbers), said(after, numbers)));
            }
        }
        changes
    }
}

/// A text field; an empty one is absent.
fn said(text: &Pieces, numbers: &mut Numbers) -> Option<String> {
    Some(text.render(numbers, MAX_FIELD).text).filter(|text| !text.is_empty())
}

/// A decimal number of 32 bits, as it is written.
pub(crate) fn id(field: &[u8]) -> Result<String, Fault> {
    let text = str::from_utf8(field).map_err(|_| Fault::Number)?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        // Zeros without end are a number as well, but none that is printed.
        Ok(_) if digits && text.len() <= 20 => Ok(text.to_owned()),
        _ => Err(Fault::Number),
    }
}
