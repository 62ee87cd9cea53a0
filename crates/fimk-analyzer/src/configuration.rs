//! The configuration: where it comes from, and what another one in its place means for who runs.

use std::path::{Path, PathBuf};

use fimk_consumers::redact;
use fimk_core::{
    config::{Config, Rule, Texts},
    event::{Configured, Notice},
};

use crate::{args::Args, config_files, engine::OutputCounts, status::digest};

/// Where it comes from, to be read again at any time.
#[derive(Debug, Clone)]
pub struct Origin {
    path: PathBuf,
    state_dir: Option<PathBuf>,
    run_dir: Option<PathBuf>,
}

/// One that was read, and its texts.
pub struct Configuration {
    /// What it says, and what flags say in its place.
    pub config: Config,
    /// See [`Texts::joined`].
    pub text: String,
}

impl Origin {
    /// As the command line says. The path holds wherever this process is.
    pub fn of(args: &Args) -> Self {
        Self {
            path: std::path::absolute(&args.config).unwrap_or_else(|_| args.config.clone()),
            state_dir: args.state_dir.clone(),
            run_dir: args.run_dir.clone(),
        }
    }

    /// Of the file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it.
    ///
    /// # Errors
    /// One sentence: a file cannot be read, or is no configuration.
    pub fn read(&self) -> Result<Configuration, String> {
        let texts: Texts = config_files::read(&self.path)?;
        let mut config = texts.parse().map_err(|error| error.to_string())?;
        if let Some(directory) = &self.state_dir {
            config.state_dir.clone_from(directory);
        }
        if let Some(directory) = &self.run_dir {
            config.run_dir.clone_from(directory);
        }
        Ok(Configuration {
            config,
            text: texts.joined(),
        })
    }
}

/// Has secrets of these looks replaced from now on, by all threads.
pub fn redact(config: &Config) {
    // Tried by parse.
    let patterns = Some(&config.redact).filter(|patterns| !patterns.is_empty());
    redact::configure(patterns.and_then(|patterns| redact::Patterns::new(patterns).ok()));
}

/// Puts back into a new configuration what a running fimk cannot change, and names it: what was asked for at HELLO, and what the
/// sandbox was made for.
pub fn keep_what_stands(new: &mut Config, old: &Config) -> Vec<String> {
    let mut kept = Vec::new();
    let mut keep = |key: &str, differs: bool| {
        if differs {
            kept.push(key.to_owned());
        }
    };
    keep("source", new.source != old.source);
    keep("coverage", new.coverage != old.coverage);
    keep("state_dir", new.state_dir != old.state_dir);
    keep("run_dir", new.run_dir != old.run_dir);
    keep("host_root", new.host_root != old.host_root);
    keep("objects_max", new.objects_max != old.objects_max);
    new.source = old.source;
    new.coverage = old.coverage;
    new.state_dir.clone_from(&old.state_dir);
    new.run_dir.clone_from(&old.run_dir);
    new.host_root.clone_from(&old.host_root);
    new.objects_max = old.objects_max;
    kept
}

/// How many rules came, went and became others, by their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    now: u64,
    added: u64,
    removed: u64,
    changed: u64,
}

impl Rules {
    /// From these to those.
    pub fn between(old: &[Rule], new: &[Rule]) -> Self {
        let by_name = |rules: &[Rule]| {
            let named = rules.iter().map(|rule| (rule.name.clone(), rule.clone()));
            named.collect::<std::collections::BTreeMap<_, _>>()
        };
        let (before, after) = (by_name(old), by_name(new));
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let added = after.keys().filter(|name| !before.contains_key(*name));
        let removed = before.keys().filter(|name| !after.contains_key(*name));
        let changed = after
            .iter()
            .filter(|(name, rule)| before.get(*name).is_some_and(|before| before != *rule));
        Self {
            now: count(new.len()),
            added: count(added.count()),
            removed: count(removed.count()),
            changed: count(changed.count()),
        }
    }

    fn words(self) -> String {
        match (self.added, self.removed, self.changed) {
            (0, 0, 0) => "its rules are the same".to_owned(),
            (added, removed, changed) => {
                format!("rules: {added} added, {removed} removed, {changed} changed")
            }
        }
    }

    fn counts(self) -> Vec<(String, u64)> {
        [
            ("rules", self.now),
            ("rules_added", self.added),
            ("rules_removed", self.removed),
            ("rules_changed", self.changed),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into()
    }
}

/// What objects another configuration has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Objects {
    /// Covered by its rules.
    pub watched: u64,
    /// Of these, those that were recorded for the first time.
    pub added: u64,
    /// Covered before, and not now.
    pub dropped: u64,
}

/// That one has taken the place of another while fimk runs. `previous` is the digest of that.
pub fn reloaded(
    (rules, outputs): (Rules, OutputCounts),
    objects: Objects,
    text: &str,
    previous: &str,
    not_reloaded: Vec<String>,
) -> Configured {
    let mut message = format!(
        "the configuration was read again and is in force; {}{}; {} objects are watched, {} of them are new, {} are no longer",
        rules.words(),
        words_of(outputs),
        objects.watched,
        objects.added,
        objects.dropped
    );
    if !not_reloaded.is_empty() {
        message += "; what was changed and holds only after a start: ";
        message += &not_reloaded.join(", ");
    }
    let mut counts = rules.counts();
    for (name, count) in [
        ("outputs_added", outputs.added),
        ("outputs_removed", outputs.removed),
        ("outputs_changed", outputs.changed),
        ("objects_watched", objects.watched),
        ("objects_added", objects.added),
        ("objects_dropped", objects.dropped),
    ] {
        counts.push((name.to_owned(), count));
    }
    configured(message, counts, text, previous, not_reloaded)
}

/// Nothing where they are the same.
fn words_of(outputs: OutputCounts) -> String {
    let OutputCounts {
        added,
        removed,
        changed,
    } = outputs;
    match (added, removed, changed) {
        (0, 0, 0) => String::new(),
        _ => format!("; outputs: {added} added, {removed} removed, {changed} changed"),
    }
}

/// That a start found another than the last run had.
pub fn other_than_before(rules: Rules, text: &str, previous: &str) -> Configured {
    let message = format!(
        "the configuration is another than that of the last run; {}",
        rules.words()
    );
    configured(message, rules.counts(), text, previous, Vec::new())
}

fn configured(
    message: String,
    counts: Vec<(String, u64)>,
    text: &str,
    previous: &str,
    not_reloaded: Vec<String>,
) -> Configured {
    let now = digest(text);
    Configured {
        previous_digest: (previous != now).then(|| previous.to_owned()),
        notice: Notice {
            message,
            counts,
            config_digest: Some(now),
            ..Notice::default()
        },
        not_reloaded,
        error: None,
    }
}

/// That one was refused; `digest` is that of the one that stays.
pub fn rejected(error: String, digest: &str) -> Configured {
    Configured {
        notice: Notice {
            message: format!("the new configuration is refused, and the old one stays: {error}"),
            config_digest: Some(digest.to_owned()),
            ..Notice::default()
        },
        previous_digest: None,
        not_reloaded: Vec::new(),
        error: Some(error),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
mod tests {
    use fimk_core::config::parse;

    use super::*;

    fn config(text: &str) -> Config {
        parse(text, "test").expect("valid")
    }

    const ONE: &str = "[[rule]]\nname = \"a\"\npaths = [\"/a\"]\n";

    #[test]
    fn rules_are_counted_by_their_names() {
        let old = config(&format!("{ONE}[[rule]]\nname = \"b\"\npaths = [\"/b\"]\n"));
        let new = config(
            "[[rule]]\nname = \"c\"\npaths = [\"/c\"]\n[[rule]]\nname = \"b\"\npaths = [\"/b\", \"/x\"]\n",
        );
        let rules = Rules::between(&old.rules, &new.rules);
        let (now, added, removed, changed) = (2, 1, 1, 1);
        assert_eq!(
            rules,
            Rules {
                now,
                added,
                removed,
                changed
            }
        );
        let same = Rules::between(&old.rules, &old.rules);
        assert_eq!((same.added, same.removed, same.changed), (0, 0, 0));
    }

    #[test]
    fn what_cannot_be_changed_while_running_keeps_its_value_and_is_named() {
        let old = config(ONE);
        let mut new = config(&format!(
            "objects_max = 2048\nstate_dir = \"/s\"\nsettle_ms = 7\n{ONE}"
        ));
        let kept = keep_what_stands(&mut new, &old);
        assert_eq!(kept, ["state_dir", "objects_max"]);
        let settle_ms = 7;
        assert_eq!(new, Config { settle_ms, ..old });
    }

    #[test]
    fn the_event_says_before_and_after_only_where_they_differ() {
        let rules = Rules::default();
        let event = reloaded(
            (rules, OutputCounts::default()),
            Objects::default(),
            ONE,
            &digest("x"),
            vec!["source".into()],
        );
        assert_eq!(event.previous_digest, Some(digest("x")));
        assert!(event.notice.message.ends_with("after a start: source"));
        let event = other_than_before(rules, ONE, &digest(ONE));
        assert_eq!(event.previous_digest, None);
    }
}
