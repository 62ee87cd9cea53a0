//! SIGHUP: another configuration takes the place of the one in force, whole, or not at all.

use std::{io::Read as _, sync::Arc, time::Duration};

use fimk_core::{
    config::Config,
    event::{Action, Body, Configured},
    path::BytePath,
    rules::RuleSet,
};

use super::{Engine, Eyes, Trouble, outputs::Exchange};
use crate::{
    clock,
    configuration::{self, Configuration, Objects, Rules},
    exit::log,
    pending::Times,
    severity,
    status::digest,
};

/// Signals that are taken in at once: each is a byte in a pipe.
const SIGNALS_AT_ONCE: usize = 64;

impl Engine {
    /// Reads the configuration again if somebody asked for it, however often.
    pub(super) fn reload_if_asked(&mut self) -> Result<(), Trouble> {
        let mut asked = false;
        while matches!(self.hangup.read(&mut [0; SIGNALS_AT_ONCE]), Ok(1..)) {
            asked = true;
        }
        if !asked {
            return Ok(());
        }
        let read = self.origin.read().and_then(|read| self.prepare(read));
        match read {
            Ok(prepared) => self.exchange(prepared),
            Err(error) => self.reject(error),
        }
    }

    /// Everything that can fail comes before anything is changed.
    fn prepare(&self, read: Configuration) -> Result<Prepared, String> {
        let Configuration { mut config, text } = read;
        let not_reloaded = configuration::keep_what_stands(&mut config, &self.config);
        let rules = crate::compile(&config, &self.homes).map_err(|error| error.to_string())?;
        let outputs = self.prepare_outputs(&config)?;
        Ok(Prepared {
            outputs,
            config,
            text,
            rules: Arc::new(rules),
            not_reloaded,
        })
    }

    fn reject(&mut self, error: String) -> Result<(), Trouble> {
        log(format!(
            "the new configuration is refused, and the old one stays: {error}"
        ));
        let configured = configuration::rejected(error, &self.about.config_digest);
        self.say_configured(Action::ConfigRejected, severity::DEGRADED, configured)
    }

    fn exchange(&mut self, prepared: Prepared) -> Result<(), Trouble> {
        self.examine_what_goes(&prepared.rules)?;
        let Prepared {
            config,
            text,
            rules,
            outputs,
            not_reloaded,
        } = prepared;
        let counts = Rules::between(&self.config.rules, &config.rules);
        self.heed(&config);
        let outputs = self.exchange_outputs(outputs, &config)?;
        self.config = config;
        let tally = self.change_rules(rules)?;
        self.remember_rules(&text)?;
        let objects = Objects {
            watched: tally.compared,
            added: tally.baseline,
            dropped: tally.dropped,
        };
        let previous = std::mem::replace(&mut self.about.config_digest, digest(&text));
        let configured =
            configuration::reloaded((counts, outputs), objects, &text, &previous, not_reloaded);
        log(&configured.notice.message);
        self.say_configured(Action::ConfigReloaded, severity::NOTICE, configured)?;
        self.say_baseline(&tally)?;
        self.say_homes_left_out()?;
        let ready = self.about.ready;
        self.say_unseen_attempts(&ready)?;
        self.close_outputs();
        Ok(())
    }

    /// What happened so far to what the new rules do not cover is told by the old ones.
    fn examine_what_goes(&mut self, rules: &RuleSet) -> Result<(), Trouble> {
        self.catch_up()?;
        for path in self.settle.paths() {
            if rules.covers(&path).is_none()
                && let Some(pending) = self.settle.take(&path)
            {
                self.examine_at_last(&path, pending)?;
            }
        }
        Ok(())
    }

    /// Takes what the rules of today do not reach off the watch: the kernel need not tell of it any more. Marks of fanotify stay
    /// until their objects go; what they tell is not heard.
    pub(crate) fn let_go(&mut self) -> Result<(), Trouble> {
        for path in self.unreached() {
            match &mut self.eyes {
                Eyes::Bpf(bpf) => bpf.drop_names(&mut self.tree, &path, clock::since_boot_ns()),
                Eyes::Fanotify(fanotify) => fanotify.forget(&mut self.tree, &path),
                Eyes::Periodic => drop(self.tree.remove_below(&path)),
            }
            self.held.moved(&path, None);
        }
        self.keep_books()
    }

    /// The names that the walk would not come to, without those below them.
    fn unreached(&self) -> Vec<BytePath> {
        let is_reached =
            |path: &BytePath, directory| self.walker.reaches(path, directory).is_some();
        let names = self.tree.iter();
        let unreached = names.filter(|(path, entry)| {
            let above = || path.parent().is_none_or(|above| is_reached(&above, true));
            !is_reached(path, entry.directory) && above()
        });
        unreached.map(|(path, _)| path.clone()).collect()
    }

    /// What is not asked for again and again, but was handed out.
    fn heed(&mut self, config: &Config) {
        if config.redact != self.config.redact {
            configuration::redact(config);
            // What is on record is read again, and then replaced.
            self.rounds.begin_anew();
        }
        self.rounds.reconsider();
        self.settle.wait_for(Times::of(config));
        self.attempts
            .gather_for(Duration::from_millis(config.settle_ms));
        let reader = self.patience.reader().clone().heeding(config);
        self.patience.read_with(reader);
    }

    /// Says of a configuration what is to be said.
    pub(crate) fn say_configured(
        &mut self,
        action: Action,
        severity: u8,
        configured: Configured,
    ) -> Result<(), Trouble> {
        self.say(action, severity, Body::Configured(Box::new(configured)))
    }
}

/// A configuration that will be in force.
struct Prepared {
    config: Config,
    text: String,
    rules: Arc<RuleSet>,
    outputs: Exchange,
    not_reloaded: Vec<String>,
}
