//! Who gets the rights of a group.

use std::collections::BTreeSet;

use super::{Finding, Kind, users::newly};
use crate::{
    Password,
    group::{self, People},
    gshadow,
    pieces::Numbers,
    table::{MAX_FIELD, Row, Table},
};

/// Whose members are root, or as good as: by sudo and su, by the disk and the memory below all files, by the hashes of
/// passwords, or by a daemon of root's that mounts whatever it is told.
const PRIVILEGED: [&str; 10] = [
    "root",
    "wheel",
    "sudo",
    "admin",
    "disk",
    "kmem",
    "shadow",
    "docker",
    "lxd",
    "incus-admin",
];

pub(super) fn in_group(before: Option<&group::State>, after: &group::State) -> Vec<Finding> {
    let is_root = |group: &group::Group| group.gid.bytes().all(|digit| digit == b'0');
    let roots = newly(before, after, is_root).into_iter();
    let mut findings: Vec<Finding> = roots
        .filter(|&name| name != "root")
        .map(|name| Kind::GroupGidZero.finding(format!("group {name} is that of root: gid 0")))
        .collect();
    findings.extend(opened(before, after, |group| &group.password));
    findings.extend(joined(before, after, |group| vec![&group.members]));
    findings
}

pub(super) fn in_gshadow(before: Option<&gshadow::State>, after: &gshadow::State) -> Vec<Finding> {
    let mut findings = opened(before, after, |group| &group.password);
    findings.extend(joined(before, after, |group| {
        vec![&group.administrators, &group.members]
    }));
    findings
}

/// Groups whose password became empty. Of a new file that may be how the distribution writes it.
fn opened<G>(
    before: Option<&Table<G>>,
    after: &Table<G>,
    password: impl Fn(&G) -> &Password,
) -> Vec<Finding> {
    let is_empty = |group: &G| *password(group) == Password::Empty;
    let names = before.map_or_else(Vec::new, |before| newly(Some(before), after, is_empty));
    let finding = |name| {
        let words = format!("the password of group {name} is empty");
        Kind::GroupEmptyPassword.finding(words)
    };
    names.into_iter().map(finding).collect()
}

/// Who is in a privileged group now, and was not before.
fn joined<G>(
    before: Option<&Table<G>>,
    after: &Table<G>,
    people: impl Fn(&G) -> Vec<&People>,
) -> Vec<Finding> {
    let pairs = |table: Option<&Table<G>>| -> BTreeSet<(String, String)> {
        let mut pairs = BTreeSet::new();
        for row in table.map_or(&[][..], |table| &table.rows) {
            let Row::User { name, user } = row else {
                continue;
            };
            if !PRIVILEGED.contains(&name.as_str()) {
                continue;
            }
            for person in people(user).into_iter().flat_map(|people| &people.0) {
                let person = person.render(&mut Numbers::default(), MAX_FIELD).text;
                pairs.insert((name.clone(), person));
            }
        }
        pairs
    };
    let now = pairs(Some(after));
    let new = now.difference(&pairs(before)).cloned().collect::<Vec<_>>();
    new.into_iter()
        .filter(|(_, person)| person != "root")
        .map(|(group, person)| {
            Kind::GroupPrivilegedMember.finding(format!("{person} is in group {group} now"))
        })
        .collect()
}
