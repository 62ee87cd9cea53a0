//! Who may do what, and what runs as root.

use std::collections::BTreeSet;

use super::{Finding, Kind};
use crate::{
    entries::{Entry, Field, State},
    pieces::{Numbers, Piece, Pieces},
    table::MAX_FIELD,
};

/// What is to be found in entries: the kind, what is said behind the subject, and of which entries.
pub(super) type Rule = (Kind, &'static str, fn(&Entry) -> bool);

pub(super) const SUDOERS: &[Rule] = &[
    (
        Kind::SudoersNopasswd,
        ": sudo asks for no password",
        is_without_password,
    ),
    (Kind::SudoersAll, " as root", is_everything),
    (
        Kind::SudoersNoAuthentication,
        " is off: sudo asks for no password",
        |entry| {
            let subject = plain(&entry.subject);
            let is_setting = subject.starts_with("Defaults") && subject.ends_with(" authenticate");
            is_setting && value(entry, Field::Value) == "off"
        },
    ),
];

pub(super) const SSHD: &[Rule] = &[
    (
        Kind::SshdRootLogin,
        " yes: root may log in by a password",
        |entry| is_set(entry, "PermitRootLogin", "yes"),
    ),
    (
        Kind::SshdEmptyPasswords,
        " yes: who has no password needs none",
        |entry| is_set(entry, "PermitEmptyPasswords", "yes"),
    ),
    (
        Kind::SshdPasswordAuthentication,
        " yes: a password lets in",
        |entry| is_set(entry, "PasswordAuthentication", "yes"),
    ),
    (
        Kind::SshdKeysCommand,
        ": a program says whose keys are good",
        |entry| {
            let value = value(entry, Field::Value);
            directive(entry) == "AuthorizedKeysCommand" && !value.eq_ignore_ascii_case("none")
        },
    ),
];

pub(super) const PAM: &[Rule] = &[
    (
        Kind::PamPermit,
        " is sufficient: whoever comes so far is let in",
        |entry| {
            let asks = plain(&entry.subject).starts_with("auth ");
            asks && is_module(entry, "pam_permit.so")
                && value(entry, Field::Control).eq_ignore_ascii_case("sufficient")
        },
    ),
    (Kind::PamExec, " runs a program", |entry| {
        is_module(entry, "pam_exec.so")
    }),
];

pub(super) const CRONTAB: &[Rule] = &[(Kind::CronRootJob, " is run as root", |entry| {
    value(entry, Field::User) == "root"
})];

pub(super) const PRELOAD: &[Rule] = &[(
    Kind::PreloadEntry,
    ": every program loads it before all else",
    |_| true,
)];

/// By each rule the subjects of which it holds now and did not before, each once.
pub(super) fn in_entries(rules: &[Rule], before: Option<&State>, after: &State) -> Vec<Finding> {
    let subjects = |state: Option<&State>, is: fn(&Entry) -> bool| -> BTreeSet<Pieces> {
        let entries = state.map_or(&[][..], |state| &state.entries).iter();
        let those = entries.filter(|entry| is(entry));
        those.map(|entry| entry.subject.clone()).collect()
    };
    let mut findings = Vec::new();
    for &(kind, words, is) in rules {
        let (old, new) = (subjects(before, is), subjects(Some(after), is));
        findings.extend(
            new.difference(&old)
                .map(|subject| kind.finding(format!("{}{words}", shown(subject)))),
        );
    }
    findings
}

/// The text without what is secret in it: whole, for a long one must not hide how it ends.
pub(super) fn plain(pieces: &Pieces) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Bytes(_) | Piece::Secret(_) => "?".to_owned(),
    };
    pieces.0.iter().map(text).collect()
}

/// For a person.
pub(super) fn shown(pieces: &Pieces) -> String {
    pieces.render(&mut Numbers::default(), MAX_FIELD).text
}

pub(super) fn value(entry: &Entry, field: Field) -> String {
    entry.field(field).map(plain).unwrap_or_default()
}

fn is_without_password(entry: &Entry) -> bool {
    let tags = value(entry, Field::Tags);
    tags.split(' ').any(|tag| tag == "NOPASSWD")
}

/// Somebody who is not root may run whatever he likes as root.
fn is_everything(entry: &Entry) -> bool {
    let subject = plain(&entry.subject);
    let users = subject.strip_suffix(" may run ALL");
    let run_as = value(entry, Field::As);
    let run_as = run_as.split(':').next().unwrap_or_default();
    let is_root = |who: &str| matches!(who.trim(), "ALL" | "root" | "#0" | "root by default");
    users.is_some_and(|users| users != "root") && run_as.split(',').any(is_root)
}

/// Its name, in a block of `Match` or not.
fn directive(entry: &Entry) -> String {
    let subject = plain(&entry.subject);
    subject.rsplit(": ").next().unwrap_or_default().to_owned()
}

fn is_set(entry: &Entry, name: &str, wanted: &str) -> bool {
    directive(entry) == name && value(entry, Field::Value).eq_ignore_ascii_case(wanted)
}

fn is_module(entry: &Entry, name: &str) -> bool {
    plain(&entry.subject).rsplit(['/', ' ']).next() == Some(name)
}
