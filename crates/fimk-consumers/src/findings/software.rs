//! Where software comes from, and who is believed about it.

use std::collections::BTreeSet;

use super::{
    Finding, Kind,
    rights::{Rule, plain, shown, value},
};
use crate::{
    entries::{Entry, Field, State},
    pieces::Pieces,
};

/// Words that mean yes to apt.
const YES: [&str; 6] = ["yes", "true", "with", "on", "enable", "1"];

/// And no.
const NO: [&str; 6] = ["no", "false", "without", "off", "disable", "0"];

/// Options by which apt believes whoever answers: sources.list(5).
const UNSIGNED: [&str; 4] = [
    "trusted",
    "allow-insecure",
    "allow-weak",
    "allow-downgrade-to-insecure",
];

pub(super) const APT: &[Rule] = &[
    (
        Kind::RepositoryAdded,
        ": packages come from there",
        is_enabled,
    ),
    (
        Kind::RepositoryUnsigned,
        ": whoever answers there is believed",
        |entry| is_enabled(entry) && UNSIGNED.iter().any(|name| says(entry, name, YES)),
    ),
];

fn is_enabled(entry: &Entry) -> bool {
    !says(entry, "enabled", NO)
}

/// Whether an option has one of these values: the last one that it is given holds.
fn says(entry: &Entry, name: &str, words: [&str; 6]) -> bool {
    let options = value(entry, Field::Options);
    let given = options.split(' ').filter_map(|it| it.split_once('='));
    let mut given = given.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    given
        .next_back()
        .is_some_and(|(_, value)| words.iter().any(|word| word.eq_ignore_ascii_case(value)))
}

/// Keys of dnf.conf(5) that name a place, and those whose `no` believes whoever answers.
const PLACES: [&str; 3] = ["baseurl", "mirrorlist", "metalink"];
const CHECKS: [&str; 5] = [
    "gpgcheck",
    "pkg_gpgcheck",
    "repo_gpgcheck",
    "localpkg_gpgcheck",
    "sslverify",
];

/// The values count here, not only which keys there are.
pub(super) fn in_yum(before: Option<&State>, after: &State) -> Vec<Finding> {
    let said = |state: Option<&State>| -> BTreeSet<(Pieces, Pieces)> {
        let entries = state.map_or(&[][..], |state| &state.entries).iter();
        let both =
            |entry: &Entry| Some((entry.subject.clone(), entry.field(Field::Value)?.clone()));
        entries.filter_map(both).collect()
    };
    let old = said(before);
    let finding = |(subject, value): &(Pieces, Pieces)| {
        let name = plain(subject);
        let key = name.rsplit(' ').next().unwrap_or_default();
        let said = format!("{} {}", shown(subject), shown(value));
        if PLACES.contains(&key) {
            return Some(
                Kind::RepositoryAdded.finding(format!("{said}: packages come from there")),
            );
        }
        let off = ["0", "no", "false", "off"].contains(&plain(value).to_ascii_lowercase().as_str());
        let believes = || format!("{said}: whoever answers there is believed");
        (off && CHECKS.contains(&key)).then(|| Kind::RepositoryUnsigned.finding(believes()))
    };
    said(Some(after))
        .difference(&old)
        .filter_map(finding)
        .collect()
}

pub(super) const KEYRING: &[Rule] = &[(
    Kind::TrustedKeyAdded,
    ": packages that it signed are believed",
    |_| true,
)];
