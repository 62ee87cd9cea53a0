//! Whom a key lets in.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry as Slot};

use super::{Finding, Kind, rights::plain};
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

/// Keys of which all lines had something that restricts them, and one has it no more.
fn less_restricted(
    before: Option<&authorized_keys::State>,
    after: &authorized_keys::State,
) -> Vec<Finding> {
    let mut always: BTreeMap<String, Allowed> = BTreeMap::new();
    for entry in before.map_or(&[][..], |state| &state.keys) {
        let here = Allowed::of(entry);
        match always.entry(entry.key.shown()) {
            Slot::Vacant(slot) => {
                slot.insert(here);
            }
            Slot::Occupied(mut slot) => slot.get_mut().widen(here),
        }
    }
    let mut lost: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in &after.keys {
        let key = entry.key.shown();
        let gone = always
            .get(&key)
            .map(|old| Allowed::of(entry).lacks(old))
            .unwrap_or_default();
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

/// What `restrict` takes away, and an option of the same name without `no-` behind it gives again: sshd(8).
const TAKEN: [&str; 5] = [
    "no-agent-forwarding",
    "no-port-forwarding",
    "no-pty",
    "no-user-rc",
    "no-x11-forwarding",
];

/// What a key is good for, as sshd(8) reads the options of a line: by what restricts it, and from those that list what is
/// allowed by what they list.
#[derive(Default)]
struct Allowed {
    restrictions: BTreeSet<String>,
    listed: BTreeMap<String, BTreeSet<String>>,
}

impl Allowed {
    fn of(entry: &authorized_keys::Entry) -> Self {
        let mut allowed = Self::default();
        if entry.key.kind.starts_with("sk-") {
            allowed.restrict("touch");
        }
        for option in entry.options.each() {
            let option = plain(&option);
            let (name, value) = option.split_once('=').unwrap_or((&option, ""));
            allowed.read(
                &name.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"'),
            );
        }
        allowed
    }

    fn restrict(&mut self, name: &str) {
        self.restrictions.insert(name.to_owned());
    }

    fn read(&mut self, name: &str, value: &str) {
        match name {
            "restrict" => {
                self.restrict(name);
                self.restrictions.extend(TAKEN.map(str::to_owned));
            }
            "no-touch-required" => {
                self.restrictions.remove("touch");
            }
            // Another command is a finding of its own.
            "command" | "verify-required" => self.restrict(name),
            "from" | "principals" | "permitopen" | "permitlisten" | "expiry-time" => {
                self.restrict(name);
                let (refused, listed): (Vec<&str>, Vec<&str>) = value
                    .split(',')
                    .map(str::trim)
                    .partition(|pattern| pattern.starts_with('!'));
                for pattern in refused {
                    self.restrict(&format!("{name} {pattern}"));
                }
                let all = self.listed.entry(name.to_owned()).or_default();
                all.extend(listed.into_iter().map(str::to_owned));
            }
            name if name.starts_with("no-") => self.restrict(name),
            name => {
                self.restrictions.remove(&format!("no-{name}"));
            }
        }
    }

    /// What one of both allows.
    fn widen(&mut self, other: Self) {
        self.restrictions
            .retain(|it| other.restrictions.contains(it));
        for (name, listed) in other.listed {
            self.listed.entry(name).or_default().extend(listed);
        }
    }

    /// What restricted a key by its options before.
    fn lacks(&self, old: &Self) -> Vec<String> {
        let gone = old.restrictions.difference(&self.restrictions).cloned();
        let is_wider = |name: &&String| {
            let (Some(old), Some(new)) = (old.listed.get(*name), self.listed.get(*name)) else {
                return false;
            };
            // A date that comes before what held is no more than that.
            let narrower = |it: &String| *name == "expiry-time" && Some(it) <= old.last();
            new.iter().any(|it| !old.contains(it) && !narrower(it))
        };
        let kept = old.restrictions.intersection(&self.restrictions);
        let wider = kept.filter(is_wider);
        gone.chain(wider.map(|name| format!("the former {name}")))
            .collect()
    }
}
