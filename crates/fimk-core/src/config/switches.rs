//! `events`: which changes are events of a rule.

use super::{ConfigError, RULE, error::shown, section::Section};
use crate::event::Action;

/// What can be switched, in the order of the manual.
const CHANGES: [Action; 8] = [
    Action::Created,
    Action::Deleted,
    Action::Renamed,
    Action::Modified,
    Action::AttributesModified,
    Action::Linked,
    Action::Mounted,
    Action::Unmounted,
];

/// Other names for them: those that the rules of Kubescape's node agent have, and the same as words are written here.
const ALIASES: [([&str; 2], &[Action]); 6] = [
    (
        ["onCreate", "on_create"],
        &[Action::Created, Action::Linked],
    ),
    (["onChange", "on_change"], &[Action::Modified]),
    (["onRemove", "on_remove"], &[Action::Deleted]),
    (["onRename", "on_rename"], &[Action::Renamed]),
    (["onMove", "on_move"], &[Action::Renamed]),
    (["onChmod", "on_chmod"], &[Action::AttributesModified]),
];

/// A set of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switches(u8);

impl Default for Switches {
    /// All of them.
    fn default() -> Self {
        Self(u8::MAX)
    }
}

impl Switches {
    fn bit(action: Action) -> u8 {
        let at = CHANGES.iter().position(|change| *change == action);
        at.map_or(0, |at| 1 << at)
    }

    /// Whether an event of this action is wanted. What is no change is always.
    #[must_use]
    pub fn has(self, action: Action) -> bool {
        let bit = Self::bit(action);
        bit == 0 || self.0 & bit != 0
    }

    /// Whether everything is.
    #[must_use]
    pub fn is_all(self) -> bool {
        self == Self::default()
    }

    fn named(word: &str) -> Option<u8> {
        let own = CHANGES.into_iter().find(|change| change.name() == word);
        let alias = ALIASES.into_iter().find(|(names, _)| names.contains(&word));
        own.map(Self::bit).or(alias.map(|(_, changes)| {
            changes
                .iter()
                .fold(0, |bits, &change| bits | Self::bit(change))
        }))
    }
}

pub(super) fn switches(section: &Section<'_>) -> Result<Switches, ConfigError> {
    let words = section.strings("events")?;
    if words.is_empty() {
        if section.has("events") {
            return Err(section.error(
                "`events` is empty, so the rule would tell nothing; name what is to be told, or remove it",
            ));
        }
        return Ok(Switches::default());
    }
    let mut bits = 0;
    for word in words {
        bits |= Switches::named(word.text).ok_or_else(|| {
            let known = CHANGES.map(Action::name).join(", ");
            let aliases = ALIASES.map(|([alias, _], _)| alias).join(", ");
            let message = format!(
                "`events` in {RULE} may hold {known}, or {aliases}, not \"{}\"",
                shown(word.text)
            );
            section.error_at(word, message)
        })?;
    }
    Ok(Switches(bits))
}
