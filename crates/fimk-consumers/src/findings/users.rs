//! Who may log in, and as whom.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Kind};
use crate::{
    Password, passwd,
    pieces::Numbers,
    shadow,
    table::{MAX_FIELD, Row, Table, by_name},
};

/// All lines of each name: any of them may be the one that counts for somebody.
fn users<U>(table: Option<&Table<U>>) -> BTreeMap<&str, Vec<&U>> {
    table.map_or_else(BTreeMap::new, |table| by_name(table).0)
}

/// Users of whom something is true now and was not before, each once.
pub(super) fn newly<'a, U>(
    before: Option<&Table<U>>,
    after: &'a Table<U>,
    is: impl Fn(&U) -> bool,
) -> Vec<&'a str> {
    let old = users(before);
    let had = |name: &str| {
        old.get(name)
            .is_some_and(|lines| lines.iter().any(|user| is(user)))
    };
    let now = users(Some(after)).into_iter();
    now.filter(|(name, lines)| lines.iter().any(|user| is(user)) && !had(name))
        .map(|(name, _)| name)
        .collect()
}

pub(super) fn in_passwd(before: Option<&passwd::State>, after: &passwd::State) -> Vec<Finding> {
    // The C library reads 00 as 0.
    let is_root = |user: &passwd::User| user.uid.bytes().all(|digit| digit == b'0');
    let roots = newly(before, after, is_root).into_iter();
    let mut findings: Vec<Finding> = roots
        .filter(|&name| name != "root")
        .map(|name| Kind::PasswdUidZero.finding(format!("user {name} is another root: uid 0")))
        .collect();
    let of_roots = |user: &passwd::User| user.gid.bytes().all(|digit| digit == b'0');
    let of_roots = newly(before, after, of_roots).into_iter();
    findings.extend(of_roots.filter(|&name| name != "root").map(|name| {
        let words = format!("user {name} is in the group of root: gid 0");
        Kind::GroupPrivilegedMember.finding(words)
    }));
    let is_open = |user: &passwd::User| user.password == Password::Empty;
    findings.extend(
        newly(before, after, is_open).into_iter().map(|name| {
            Kind::PasswdEmptyPassword.finding(format!("user {name} needs no password"))
        }),
    );
    let has_hash = |user: &passwd::User| user.password.is_usable();
    findings.extend(newly(before, after, has_hash).into_iter().map(|name| {
        let words = format!("user {name} has a password in passwd, whatever shadow says");
        Kind::PasswdHash.finding(words)
    }));
    findings.extend(opened(before, after));
    findings.extend(new_nis(before, after));
    findings
}

/// Users of before who could not log in, and now have a shell.
fn opened(before: Option<&passwd::State>, after: &passwd::State) -> Vec<Finding> {
    let old = users(before);
    let now = users(Some(after)).into_iter();
    let closed = |lines: &[&passwd::User]| lines.iter().all(|user| is_no_shell(&shell(user)));
    now.filter(|(name, lines)| old.get(name).is_some_and(|old| closed(old)) && !closed(lines))
        .map(|(name, lines)| {
            let shell = lines.first().map(|user| shell(user)).unwrap_or_default();
            Kind::PasswdLoginShell.finding(format!("user {name} can log in now: shell {shell}"))
        })
        .collect()
}

fn shell(user: &passwd::User) -> String {
    user.shell.render(&mut Numbers::default(), MAX_FIELD).text
}

/// What ends at once, by the names that it has on all systems.
fn is_no_shell(shell: &str) -> bool {
    matches!(shell.rsplit('/').next(), Some("nologin" | "false"))
}

fn new_nis(before: Option<&passwd::State>, after: &passwd::State) -> Vec<Finding> {
    let names = |table: Option<&passwd::State>| -> BTreeSet<String> {
        let rows = table.map_or(&[][..], |table| &table.rows).iter();
        rows.filter_map(|row| match row {
            Row::Nis { name, .. } if name.starts_with('+') => Some(name.clone()),
            _ => None,
        })
        .collect()
    };
    let old = names(before);
    names(Some(after))
        .into_iter()
        .filter(|name| !old.contains(name))
        .map(|name| Kind::PasswdNis.finding(format!("the network may add users: {name}")))
        .collect()
}

pub(super) fn in_shadow(before: Option<&shadow::State>, after: &shadow::State) -> Vec<Finding> {
    let is_open = |user: &shadow::User| user.password == Password::Empty;
    let mut findings: Vec<Finding> = newly(before, after, is_open)
        .into_iter()
        .map(|name| Kind::ShadowEmptyPassword.finding(format!("user {name} needs no password")))
        .collect();
    let old = users(before);
    for (name, lines) in users(Some(after)) {
        let (Some(new), Some(old)) = (lines.first(), old.get(name).and_then(|it| it.first()))
        else {
            continue;
        };
        let (new, old) = (&new.password, &old.password);
        if is_locked(old) && matches!(new, Password::Set { .. }) {
            let message = format!("user {name} can log in by password now");
            findings.push(Kind::ShadowUnlocked.finding(message));
        }
        if new.is_weaker_than(old) {
            let message = format!("the password of user {name} is hashed by a weaker algorithm");
            findings.push(Kind::ShadowWeakerHash.finding(message));
        }
    }
    findings
}

/// By a mark before a hash, or as accounts of services are; not what merely waits for its first password (`!`).
fn is_locked(password: &Password) -> bool {
    match password {
        Password::Locked { .. } => true,
        Password::None(marks) => marks.contains('*'),
        _ => false,
    }
}
