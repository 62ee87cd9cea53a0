//! gshadow(5): `name:password:administrators:members`.
//!
//! The members are those of group(5) once more; administrators may change the password and the members.
//! Limits: see [`crate::table`].

use serde::{Deserialize, Serialize};

use crate::{
    Password, Tokenize,
    group::{self, People},
    pieces::Numbers,
    table::{Account, Fault, FieldChange, Part, Table},
};

/// The groups of a gshadow file.
pub type State = Table<Group>;

/// A group, without the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Who knows it and is no member gets the group's rights by newgrp(1).
    pub password: Password,
    /// Who may change the group.
    pub administrators: People,
    /// Who needs no password.
    pub members: People,
}

impl Account for Group {
    const FIELDS: usize = 4;
    const NOUN: &str = "group";
    const MAX_LINE: usize = group::MAX_LINE;

    fn parse(fields: &[&[u8]], tokenize: &dyn Tokenize) -> Result<Self, Fault> {
        let &[password, administrators, members] = fields else {
            return Err(Fault::FieldCount);
        };
        Ok(Self {
            password: Password::parse(password, tokenize),
            administrators: People::parse(administrators, tokenize),
            members: People::parse(members, tokenize),
        })
    }

    fn has_secrets(&self) -> bool {
        self.password.is_secret() || self.administrators.has_secrets() || self.members.has_secrets()
    }

    fn summary(&self, numbers: &mut Numbers) -> String {
        let password = group::password_words(&self.password.words());
        let administrators = self.administrators.summary("administrators", numbers);
        let members = self.members.summary("members", numbers);
        format!("password {password}{administrators}{members}")
    }

    fn changes(&self, after: &Self, numbers: &mut Numbers) -> Vec<FieldChange> {
        let mut changes = group::password_change(&self.password, &after.password, numbers);
        changes.extend(self.administrators.rewritten(
            "administrators",
            &after.administrators,
            numbers,
        ));
        changes.extend(self.members.rewritten("members", &after.members, numbers));
        changes
    }

    fn parts(&self, after: &Self, numbers: &mut Numbers) -> Vec<Part> {
        let administrators = &self.administrators;
        let mut parts = administrators.parts("administrator", &after.administrators, numbers);
        parts.extend(self.members.parts("member", &after.members, numbers));
        parts
    }
}
