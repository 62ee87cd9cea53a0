//! Whom a key lets in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Kind};
use crate::authorized_keys;

pub(super) fn in_keys(
    before: Option<&authorized_keys::State>,
    after: &authorized_keys::State,
) -> Vec<Finding> {
    let commands = |state: Option<&authorized_keys::State>| -> BTreeSet<(String, String)> {
        let keys = state.map_or(&[][..], |state| &state.keys).iter();
        keys.filter_map(|entry| Some((entry.key.shown(), entry.options.command()?)))
            .collect()
    };
    let known: BTreeSet<String> = before
        .map_or(&[][..], |state| &state.keys)
        .iter()
        .map(|entry| entry.key.shown())
        .collect();
    let now: BTreeSet<String> = after.keys.iter().map(|entry| entry.key.shown()).collect();
    let added = now.difference(&known);
    let mut findings: Vec<Finding> = added
        .map(|key| Kind::KeyAdded.finding(format!("whoever has the key {key} is let in")))
        .collect();
    let old = commands(before);
    let new = commands(Some(after));
    findings.extend(new.difference(&old).map(|(key, command)| {
        Kind::KeyCommand.finding(format!("the key {key} runs a command: {command}"))
    }));
    findings.extend(less_restricted(before, after));
    findings
}

/// What is allowed to a key only with its option, or is not with it: sshd(8).
const RESTRICTING: [&str; 8] = [
    "command",
    "expiry-time",
    "from",
    "permitlisten",
    "permitopen",
    "principals",
    "restrict",
    "verify-required",
];

/// Keys of which all lines had an option that restricts, and one has it no more.
fn less_restricted(
    before: Option<&authorized_keys::State>,
    after: &authorized_keys::State,
) -> Vec<Finding> {
    let mut always: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in before.map_or(&[][..], |state| &state.keys) {
        let here = restrictions(&entry.options);
        let all = always.entry(entry.key.shown());
        all.and_modify(|all| all.retain(|it| here.contains(it)))
            .or_insert(here);
    }
    let mut lost: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in &after.keys {
        let key = entry.key.shown();
        let here = restrictions(&entry.options);
        let had = always.get(&key).into_iter().flatten();
        let gone = had.filter(|it| !here.contains(*it)).cloned();
        lost.entry(key).or_default().extend(gone);
    }
    lost.retain(|_, options| !options.is_empty());
    lost.into_iter()
        .map(|(key, options)| {
            let options: Vec<String> = options.into_iter().collect();
            let words = format!("the key {key} is without {} now", options.join(", "));
            Kind::KeyUnrestricted.finding(words)
        })
        .collect()
}

fn restrictions(options: &authorized_keys::Options) -> BTreeSet<String> {
    let restricts = |name: &String| {
        let takes = name.starts_with("no-") && name != "no-touch-required";
        takes || RESTRICTING.contains(&name.as_str())
    };
    options.names().filter(restricts).collect()
}
