//! The start: watch, then compare with what was known, then say that every watch is in force.

mod notices;
mod past;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use fimk_core::{
    event::{Action, Gap, Notice},
    path::BytePath,
    rules::RuleSet,
};
use fimk_store::{Commit, Opened};
use fimk_wire::raw;

use crate::{
    channel::ChannelError,
    clock,
    configuration::{Rules, other_than_before},
    engine::{Engine, Eyes, Trouble},
    exit::{Failure, log},
    repairs::Done,
    scan::Tally,
    severity,
    walk::Walker,
};

use notices::{baseline_notice, gap_notice, started_notice, unstored_notice};

pub(crate) use notices::plan;
pub use past::{Past, age, past};

/// Records put at once while the baseline is made.
pub(crate) const BASELINE_BATCH: usize = 256;

/// Content of records put at once: with what surrounds it far below what the store takes in one commit.
pub(crate) const BASELINE_BYTES: u64 = 2 << 20;

/// What a record keeps of a content at most.
pub(crate) const TEXT_BYTES_MAX: u64 = 1 << 20;

impl Engine {
    /// Watches everything, compares, and reports; `ready` is the loader's word on what serves.
    pub fn start(
        &mut self,
        ready: &raw::fimk_ready,
        past: &Past,
        config_text: &str,
    ) -> Result<(), Trouble> {
        // What comes meanwhile is only waiting when the start is over: a gap that follows begins where this one does.
        let begun = clock::now();
        self.checkpoint.reach(past.watched_until.unwrap_or(begun));
        self.recall_losses(ready.load)?;
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            bpf.begins_to_walk();
        }
        let found = self.watch_everything()?;
        if matches!(self.eyes, Eyes::Fanotify(_)) {
            self.looks.want();
        }
        // Entries that an earlier analyzer left, and what happened meanwhile: attributed, so not for the comparison.
        self.gather(true)?;
        let gap = past.watched_until.map(crate::report::gap);
        let begun = clock::now();
        let tally = self.compare_all(
            found.iter().filter(|it| it.covered).map(|it| &it.path),
            past,
            gap,
            None,
        )?;
        self.compared = begun;
        self.remember_rules(config_text)?;
        self.report_start(ready, past, gap, &tally)?;
        self.say_other_configuration(past, config_text)
    }

    /// A configuration that was exchanged while nobody watched is as telling as one that was exchanged under our eyes.
    fn say_other_configuration(&mut self, past: &Past, text: &str) -> Result<(), Trouble> {
        let Some((previous, rules)) = past
            .config
            .as_ref()
            .filter(|(digest, _)| *digest != self.about.config_digest)
        else {
            return Ok(());
        };
        let rules = Rules::between(rules, &self.config.rules);
        let configured = other_than_before(rules, text, previous);
        self.say_configured(Action::ConfigReloaded, severity::NOTICE, configured)
    }

    fn watch_everything(&mut self) -> Result<Vec<crate::walk::Found>, Trouble> {
        self.unwatched.count_anew();
        self.beyond.count_anew();
        self.tree.limit(self.config.names_max);
        drop(self.tree.take_refused());
        self.mark_wholes(None);
        let found = self.watch_below(&BytePath::new(b"/"))?;
        self.walked_for_wholes();
        self.unwatched.settle();
        self.beyond.settle();
        Ok(found)
    }

    /// Waits for what the loader still has to say about what was dirty or taken, so that the comparison does
    /// not find it first and without an actor. `all`: until the loader is silent for a moment, because what it
    /// kept comes unasked.
    pub(crate) fn gather(&mut self, all: bool) -> Result<(), Trouble> {
        let deadline = Instant::now() + GATHER_MAX;
        while Instant::now() < deadline {
            if self.receive()? {
                continue;
            }
            let in_flight = matches!(&self.eyes, Eyes::Bpf(bpf) if bpf.takes_in_flight());
            if !in_flight && !all {
                break;
            }
            match self.channel.wait(GATHER_QUIET) {
                Ok(received) => self.stash.push(received),
                Err(ChannelError::Stuck) if !in_flight => break,
                Err(ChannelError::Stuck) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn report_start(
        &mut self,
        ready: &raw::fimk_ready,
        past: &Past,
        gap: Option<Gap>,
        tally: &Tally,
    ) -> Result<(), Trouble> {
        let notice = started_notice(ready, tally);
        let event = self.notice(Action::MonitorStarted, severity::NOTICE, notice);
        let before = self.store.next_sequence();
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })?;
        let mut events = Vec::new();
        if tally.baseline + tally.resumed > 0 {
            events.push(self.notice(
                Action::BaselineCreated,
                severity::NOTICE,
                baseline_notice(tally),
            ));
        }
        if let Some(gap) = gap {
            let done = Done {
                paths: tally.compared,
                ..self.repairs.done()
            };
            let notice = gap_notice(gap, past.rebooted, done);
            events.push(self.notice(Action::Gap, severity::GAP, notice));
        }
        if let Some(lost) = past.opened.lost {
            let notice = Notice {
                message: lost.to_string(),
                gap,
                ..Notice::default()
            };
            events.push(self.notice(Action::EventsLost, severity::LOSS, notice));
        }
        if let Some(numbers) = &past.opened.unstored {
            let notice = unstored_notice(numbers, gap);
            events.push(self.notice(Action::EventsLost, severity::LOSS, notice));
        }
        self.commit(Commit {
            events,
            ..Commit::default()
        })?;
        // Before anybody hears that fimk watches: who dies after that leaves no new ground to the next.
        self.say_alive()?;
        self.started = true;
        self.notify.ready();
        self.notify.status(&crate::source_sentence(ready));
        for event in self
            .store
            .events_after(before - 1, 1)
            .map_err(Failure::from)?
        {
            self.begin_to_write(&event)?;
        }
        for sentence in &past.odd {
            log(sentence);
            self.degraded(sentence)?;
        }
        self.say_homes_left_out()?;
        self.say_unseen_attempts(ready)
    }

    /// Whether changes may come of which no source tells.
    pub(crate) fn compares_at_intervals(&self) -> bool {
        matches!(self.eyes, Eyes::Periodic)
            || self.unwatched.count() > 0
            || self.stalled.overflowed()
    }

    /// Compares everything, when something was lost, or the periodic source's time has come.
    pub(crate) fn scan_if_wanted(&mut self) -> Result<(), Trouble> {
        let interval = std::time::Duration::from_secs(self.config.scan_interval_s);
        let periodic = self.compares_at_intervals() && self.last_scan.elapsed() >= interval;
        // A flood that fills the maps again and again must not keep us scanning.
        let allowed = self.last_scan.elapsed() >= self.scan_pause;
        let Some(reason) = self
            .scan_wanted
            .take_if(|_| allowed)
            .or(periodic.then(String::new))
        else {
            return self.scan_rules_if_wanted(allowed);
        };
        if !reason.is_empty() {
            log(format!("everything is compared, because {reason}"));
        }
        let tally = self.scan(None, false)?;
        self.say_baseline(&tally)
    }

    fn scan_rules_if_wanted(&mut self, allowed: bool) -> Result<(), Trouble> {
        if !allowed || self.repairs.rules().is_empty() {
            return Ok(());
        }
        let rules = self.repairs.take_rules();
        let known = rules.iter().filter_map(|rule| self.rules.rule(rule - 1));
        let names: Vec<&str> = known.map(|rule| rule.name.as_str()).collect();
        log(format!(
            "what {} covers is compared, because the kernel's map of changes was full",
            names.join(", ")
        ));
        let tally = self.scan_rules(&rules, false)?;
        self.say_baseline(&tally)
    }

    /// A link in a rule's own path leads elsewhere: what is there now is watched, and recorded without an
    /// event for each object, as nobody could have recorded it before.
    pub(crate) fn follow_links(&mut self) -> Result<(), Trouble> {
        let rules = Arc::new(crate::compile(&self.config, &self.homes)?);
        let tally = self.change_rules(rules)?;
        self.say_baseline(&tally)
    }

    /// Other rules from now on: what they cover is watched, what none did before is recorded without an event for each object,
    /// and what none does any more is forgotten.
    pub(crate) fn change_rules(&mut self, rules: Arc<RuleSet>) -> Result<Tally, Trouble> {
        let own = crate::own::Directories::of(&self.config);
        self.walker = Walker::new(&rules, &self.homes).sparing(own);
        let before = std::mem::replace(&mut self.rules, rules);
        let tally = self.scan(Some(before), false)?;
        self.let_go()?;
        Ok(tally)
    }

    /// Compares everything, and reads also what looks as recorded.
    pub(crate) fn scan_thoroughly(&mut self) -> Result<Tally, Trouble> {
        self.scan(None, true)
    }

    fn scan(
        &mut self,
        rules_before: Option<Arc<RuleSet>>,
        thorough: bool,
    ) -> Result<Tally, Trouble> {
        let (timer, begun) = (Instant::now(), clock::now());
        // What is lost from here on is not found by this.
        self.repairs.take_rules();
        let found = self.watch_everything()?;
        let tally = self.compare_found(&found, (rules_before, thorough), None)?;
        self.rest_after(timer);
        self.compared = begun;
        Ok(tally)
    }

    /// Compares what these rules cover.
    pub(crate) fn scan_rules(
        &mut self,
        numbers: &BTreeSet<u32>,
        thorough: bool,
    ) -> Result<Tally, Trouble> {
        let timer = Instant::now();
        let tops = self.roots_of(numbers);
        let found: Vec<_> = self
            .watch_trees(tops.iter())?
            .into_iter()
            .flatten()
            .collect();
        let tally = self.compare_found(&found, (None, thorough), Some(&tops))?;
        self.rest_after(timer);
        Ok(tally)
    }

    /// Compares what is on one mount, and below.
    pub(crate) fn compare_mount(
        &mut self,
        point: &BytePath,
        thorough: bool,
    ) -> Result<(), Trouble> {
        let found = self.watch_below(point)?;
        let top = std::slice::from_ref(point);
        let tally = self.compare_found(&found, (None, thorough), Some(top))?;
        self.say_baseline(&tally)
    }

    fn compare_found(
        &mut self,
        found: &[crate::walk::Found],
        (rules_before, thorough): (Option<Arc<RuleSet>>, bool),
        below: Option<&[BytePath]>,
    ) -> Result<Tally, Trouble> {
        self.gather(false)?;
        let past = Past {
            watched_until: Some(clock::now()),
            rebooted: false,
            rules: rules_before,
            config: None,
            thorough,
            opened: Opened {
                created: false,
                lost: None,
                unstored: None,
            },
            odd: Vec::new(),
        };
        let covered = found.iter().filter(|it| it.covered).map(|it| &it.path);
        let tally = self.compare_all(covered, &past, None, below)?;
        if !thorough || self.repairs.next_due().is_some() {
            self.repairs.compared(tally.compared);
        }
        Ok(tally)
    }

    /// Who makes us compare must not keep us at it.
    fn rest_after(&mut self, timer: Instant) {
        self.last_scan = Instant::now();
        self.scan_pause = SCAN_PAUSE.max(timer.elapsed() * PAUSES_A_SCAN);
    }

    pub(crate) fn say_baseline(&mut self, tally: &Tally) -> Result<(), Trouble> {
        if tally.baseline == 0 {
            return Ok(());
        }
        let event = self.notice(
            Action::BaselineCreated,
            severity::NOTICE,
            baseline_notice(tally),
        );
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })
    }

    /// Something is not watched as it should be.
    pub(crate) fn degraded(&mut self, sentence: &str) -> Result<(), Trouble> {
        let notice = Notice {
            message: sentence.to_owned(),
            ..Notice::default()
        };
        let event = self.notice(Action::Degraded, severity::DEGRADED, notice);
        self.commit(Commit {
            events: vec![event],
            ..Commit::default()
        })
    }
}

/// How long a start waits for what the loader kept: a full dirty map takes it a second. A flood must not keep
/// us from starting.
const GATHER_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// The loader has nothing more to say when it was silent for so long; it answers within a tick.
const GATHER_QUIET: std::time::Duration = std::time::Duration::from_millis(30);

/// Between two comparisons of everything that losses ask for, at least.
pub const SCAN_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

/// The same, for each that took long: who provokes losses makes us compare for a tenth of the time.
const PAUSES_A_SCAN: u32 = 9;

/// Whether nobody could have recorded this path before: the first start, or a rule that is new.
pub(crate) fn is_new_ground(path: &BytePath, past: &Past) -> bool {
    past.watched_until.is_none()
        || past
            .rules
            .as_ref()
            .is_some_and(|rules| rules.covers(path).is_none())
}
