//! What a file says that is not understood: the program that reads it may take a line that is of no known form here, and
//! reads on where this stops. Who wants to be overlooked writes such a line.

use std::collections::BTreeSet;

use super::{Finding, Kind};
use crate::{
    State, Token,
    lines::Rest,
    others::Malformed,
    table::{Fault, Row, Table},
};

/// Lines with their numbers, and what was not kept.
#[derive(Default)]
struct Unknown<'a> {
    lines: Vec<(u64, Token)>,
    rest: Option<&'a Rest>,
}

pub(super) fn find(before: Option<&State>, after: &State) -> Vec<Finding> {
    let Some(new) = Unknown::of(after) else {
        return Vec::new();
    };
    let old = before.and_then(Unknown::of).unwrap_or_default();
    let known: BTreeSet<Token> = old.lines.iter().map(|(_, token)| *token).collect();
    let mut come = new.lines.iter().filter(|(_, token)| !known.contains(token));
    let mut findings = Vec::new();
    if let Some((line, _)) = come.next() {
        let more = match come.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let words = format!("line {line}{more} is not understood, and may be by what reads it");
        findings.push(Kind::NotUnderstood.finding(words));
    }
    if new.rest.is_some() && new.rest != old.rest {
        let words = "more follows the first 20,000 lines or the first MiB, and is not understood";
        findings.push(Kind::NotUnderstood.finding(words));
    }
    findings
}

impl<'a> Unknown<'a> {
    /// Of files about which something can be found. Of the others what is not understood means nothing either: a name in
    /// hosts(5), or a key of which sshd says that it is none.
    fn of(state: &'a State) -> Option<Self> {
        Some(match state {
            State::Passwd(table) => Self::of_table(table),
            State::Shadow(table) => Self::of_table(table),
            State::Group(table) => Self::of_table(table),
            State::Gshadow(table) => Self::of_table(table),
            State::AuthorizedKeys(keys) => Self {
                lines: Vec::new(),
                rest: keys.rest.as_ref(),
            },
            State::Shell(text) => Self {
                lines: Vec::new(),
                rest: text.rest.as_ref(),
            },
            State::Sudoers(state)
            | State::Sshd(state)
            | State::Crontab(state)
            | State::Preload(state)
            | State::Pam(state)
            | State::Systemd(state)
            | State::LibraryPath(state)
            | State::Nsswitch(state)
            | State::Environment(state)
            | State::Apt(state)
            | State::Yum(state)
            | State::Modprobe(state)
            | State::ModulesLoad(state)
            | State::Sysctl(state)
            | State::TrustedKeys(state) => Self {
                lines: state.malformed.iter().map(numbered).collect(),
                rest: state.rest.as_ref(),
            },
            State::Text(_)
            | State::Binary
            | State::Access(_)
            | State::Hosts(_)
            | State::PrivateKey(_)
            | State::PublicKey(_)
            | State::KnownHosts(_) => return None,
        })
    }

    /// A blank line and a comment are no user to the C library either.
    fn of_table<U>(table: &'a Table<U>) -> Self {
        let lines = (1..).zip(&table.rows).filter_map(|(line, row)| match row {
            Row::Malformed {
                fault: Fault::Blank | Fault::Comment,
                ..
            }
            | Row::User { .. }
            | Row::Nis { .. } => None,
            Row::Malformed { token, .. } => Some((line, *token)),
        });
        Self {
            lines: lines.collect(),
            rest: table.rest.as_ref(),
        }
    }
}

fn numbered<F>(line: &Malformed<F>) -> (u64, Token) {
    (line.line.into(), line.token)
}
