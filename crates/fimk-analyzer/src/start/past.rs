//! What an earlier run left in the store, and what this one leaves.

use std::sync::Arc;

use fimk_core::{
    config::{Rule, Texts},
    rules::RuleSet,
    time::Timestamp,
};
use fimk_store::Opened;

use crate::{
    age::Age,
    clock,
    engine::{AGE, ALIVE, Engine, Trouble},
    exit::Failure,
    homes::Table,
};

/// The meta key under which the rules of the last run are kept, as the text of their configuration.
const RULES: &str = "rules";

/// The same of the digest of that, which is kept of a longer one too.
const CONFIG: &str = "config_digest";

/// The same of the boot in which everything was last watched: the kernel's id of it.
const BOOT: &str = "boot";

/// Largest value the store takes as meta; a longer configuration is not kept, and what is found new then
/// counts as created.
const RULES_BYTES_MAX: usize = 60 * 1024;

/// What was known before this start.
pub struct Past {
    /// Last time somebody watched; none at the first start.
    pub watched_until: Option<Timestamp>,
    /// Whether the machine was started since.
    pub rebooted: bool,
    /// The rules of then.
    pub rules: Option<Arc<RuleSet>>,
    /// The digest of the configuration of then, and the rules as they stood in it as far as they are known.
    pub config: Option<(String, Vec<Rule>)>,
    /// Everything is read, also what looks as recorded: somebody asked for that.
    pub thorough: bool,
    /// What the store said when it was opened.
    pub opened: Opened,
    /// What is odd about it: sentences.
    pub odd: Vec<String>,
}

impl Engine {
    pub(crate) fn remember_rules(&mut self, config_text: &str) -> Result<(), Trouble> {
        let kept = if config_text.len() <= RULES_BYTES_MAX {
            config_text.as_bytes()
        } else {
            b""
        };
        self.store.set_meta(RULES, kept).map_err(Failure::from)?;
        self.store
            .set_meta(CONFIG, crate::status::digest(config_text).as_bytes())
            .map_err(Failure::from)?;
        let boot = self.boot.as_bytes();
        self.store.set_meta(BOOT, boot).map_err(Failure::from)?;
        Ok(())
    }
}

/// What the ages of events are held against, from where it stood.
pub fn age(store: &fimk_store::Store) -> Result<Age, Failure> {
    let kept = kept_time(store, AGE)?;
    Ok(Age::new(kept, clock::now(), clock::since_boot_ns()))
}

fn kept_time(store: &fimk_store::Store, key: &str) -> Result<Option<Timestamp>, Failure> {
    let bytes = store.meta(key)?;
    let bytes = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    Ok(bytes.map(|bytes| Timestamp(i64::from_be_bytes(bytes))))
}

/// What an earlier run left in the store.
pub fn past(
    store: &fimk_store::Store,
    opened: Opened,
    odd: Vec<String>,
    homes: &Table,
    boot: &str,
) -> Result<Past, Failure> {
    let watched_until = kept_time(store, ALIVE)?;
    let config = store
        .meta(RULES)?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| Texts::split("the last configuration", &text).parse().ok());
    // With the homes of now and the targets of its links, or what came behind one while nobody watched would count as new ground.
    let rules = config
        .as_ref()
        .and_then(|config| crate::compile(config, homes).ok())
        .map(Arc::new);
    let digest = store
        .meta(CONFIG)?
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let config = digest.map(|digest| (digest, config.map_or_else(Vec::new, |config| config.rules)));
    let before = store
        .meta(BOOT)?
        .filter(|before| !before.is_empty() && !boot.is_empty());
    Ok(Past {
        watched_until,
        rebooted: before.is_some_and(|before| before != boot.as_bytes()),
        rules,
        config,
        thorough: false,
        opened,
        odd,
    })
}
