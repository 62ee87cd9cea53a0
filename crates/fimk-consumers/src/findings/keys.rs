//! Whom a key lets in.

use std::collections::BTreeSet;

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
    findings
}
