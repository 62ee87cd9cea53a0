//! Which events an output gets.

use super::super::{ConfigError, Rule, section::Section, severity::severity};
use crate::event::{Action, Body, Event};

const SEVERITY_DEFAULT: u8 = 1;

/// `severity`, `rules` and `actions`: an event must pass all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Events below do not pass.
    pub severity: u8,
    /// Of these rules only; empty: of any. What fimk says of itself is of none, and passes.
    pub rules: Vec<String>,
    /// These actions only; empty: any.
    pub actions: Vec<Action>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            severity: SEVERITY_DEFAULT,
            rules: Vec::new(),
            actions: Vec::new(),
        }
    }
}

impl Filter {
    /// Whether this event passes.
    pub fn passes(&self, event: &Event) -> bool {
        event.severity >= self.severity
            && (self.actions.is_empty() || self.actions.contains(&event.action))
            && (self.rules.is_empty() || self.passes_rules(event))
    }

    fn passes_rules(&self, event: &Event) -> bool {
        let wanted = |rule: &String| self.rules.contains(rule);
        match &event.body {
            Body::Notice(_) | Body::Configured(_) | Body::Asked(_) => true,
            Body::Burst(burst) => burst.rules.iter().any(wanted),
            Body::Change(_) | Body::Attempt(_) => {
                let change = event.body.change();
                change.is_some_and(|change| wanted(&change.rule) || change.rules.iter().any(wanted))
            }
        }
    }
}

pub(super) fn filter(section: &Section<'_>, rules: &[Rule]) -> Result<Filter, ConfigError> {
    Ok(Filter {
        severity: severity(section)?.unwrap_or(SEVERITY_DEFAULT),
        rules: names_of_rules(section, rules)?,
        actions: actions(section)?,
    })
}

fn names_of_rules(section: &Section<'_>, rules: &[Rule]) -> Result<Vec<String>, ConfigError> {
    let names = section.strings("rules")?.into_iter().map(|name| {
        let known = rules.iter().any(|rule| rule.name == name.text);
        known.then(|| name.text.to_owned()).ok_or_else(|| {
            section.error_at(
                name,
                "`rules` names a rule that there is not: write the `name` of a [[rule]]",
            )
        })
    });
    names.collect()
}

fn actions(section: &Section<'_>) -> Result<Vec<Action>, ConfigError> {
    let actions = section.strings("actions")?.into_iter().map(|word| {
        Action::from_name(word.text).ok_or_else(|| {
            let known: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
            let message = format!(
                "`actions` has a word that is no action; the actions are {}",
                known.join(", ")
            );
            section.error_at(word, message)
        })
    });
    actions.collect()
}
