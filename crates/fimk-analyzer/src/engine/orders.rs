//! Comparisons that somebody asked for: `fimk scan`.
//!
//! They are made one after the other, by the loop, when its turn comes; who asked looks how far it is.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};

use fimk_core::{
    event::{Action, Asked, Asker, Body, Notice},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{Engine, Trouble, questions::refusal};
use crate::{clock, scan::Tally, severity, status::known};

/// That wait at once: each may be of another rule.
const WAITING_MAX: usize = 4;

/// Of which is remembered what they came to.
const DONE_MAX: usize = 8;

/// A comparison that was asked for.
#[derive(Debug, Clone)]
struct Order {
    number: u64,
    /// Of what this rule covers; none: of everything.
    rule: Option<String>,
    by: Asker,
}

/// What one came to.
#[derive(Debug)]
struct Done {
    order: Order,
    tally: Tally,
    /// The events meanwhile: from this one on,
    first: u64,
    /// up to this one.
    last: u64,
    at: Timestamp,
    /// Why it was not made.
    error: Option<String>,
}

/// Those that wait, the one that is made, and those that were.
#[derive(Debug, Default)]
pub struct Orders {
    newest: u64,
    waiting: VecDeque<Order>,
    running: Option<Order>,
    done: VecDeque<Done>,
}

impl Orders {
    /// When the next is to be made: now, if one waits.
    pub(super) fn next_due(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then(Instant::now)
    }

    /// The number of the comparison: of one that waits, if it is of the same. Numbers are not used again after a
    /// start, for they are the milliseconds since 1970.
    fn take(&mut self, rule: Option<String>, by: Asker, now: Timestamp) -> Option<u64> {
        if let Some(same) = self.waiting.iter().find(|it| it.rule == rule) {
            return Some(same.number);
        }
        if self.waiting.len() >= WAITING_MAX {
            return None;
        }
        let now = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
        self.newest = now.max(self.newest + 1);
        let number = self.newest;
        self.waiting.push_back(Order { number, rule, by });
        Some(number)
    }

    fn remember(&mut self, done: Done) {
        self.running = None;
        self.done.push_back(done);
        if self.done.len() > DONE_MAX {
            self.done.pop_front();
        }
    }

    /// The last that was made, for the status.
    pub(super) fn last(&self) -> Option<Value> {
        self.done.back().map(Done::json)
    }
}

impl Done {
    fn json(&self) -> Value {
        let made = self.error.is_none();
        known([
            ("scan", json!(self.order.number)),
            ("state", json!(if made { "done" } else { "failed" })),
            ("rule", json!(self.order.rule)),
            ("user", json!(self.order.by.user)),
            ("compared", json!(made.then_some(self.tally.compared))),
            ("differences", json!(made.then_some(self.tally.differences))),
            ("recorded", json!(made.then_some(self.tally.baseline))),
            ("first_sequence", json!(made.then_some(self.first))),
            ("last_sequence", json!(made.then_some(self.last))),
            ("finished", json!(self.at.rfc3339())),
            ("message", json!(self.error)),
        ])
    }
}

impl Engine {
    /// Puts a comparison in the queue; under which number it is known.
    pub(super) fn order_scan(&mut self, rule: Option<String>, by: Asker) -> Value {
        if let Some(rule) = rule.as_ref().filter(|rule| self.number_of(rule).is_none()) {
            let rule = fimk_core::path::escaped(rule.as_bytes());
            let sentence = format!("there is no rule named {rule}: `fimk rules` names them");
            return refusal("bad_query", &sentence);
        }
        match self.orders.take(rule, by, clock::now()) {
            Some(number) => json!({ "scan": number }),
            None => refusal(
                "busy",
                &format!(
                    "{WAITING_MAX} comparisons wait already: try again when one of them is done"
                ),
            ),
        }
    }

    /// How far one has come.
    pub(super) fn scan_state(&self, number: u64) -> Value {
        let orders = &self.orders;
        if let Some(done) = orders.done.iter().find(|it| it.order.number == number) {
            return done.json();
        }
        let is_it = |order: &&Order| order.number == number;
        let running = orders.running.as_ref().filter(is_it);
        let Some(order) = running.or(orders.waiting.iter().find(is_it)) else {
            let sentence = format!(
                "nothing is known of the comparison {number}: fimk was started again meanwhile, or many others were made"
            );
            return refusal("no_such_scan", &sentence);
        };
        let progress = self.scanning.as_ref().filter(|_| running.is_some());
        let progress = progress.map(crate::scan::Progress::value);
        let progress = progress.unwrap_or_default();
        let state = if running.is_some() {
            "running"
        } else {
            "waiting"
        };
        known([
            ("scan", json!(number)),
            ("state", json!(state)),
            ("rule", json!(order.rule)),
            ("done", progress["done"].clone()),
            ("of", progress["of"].clone()),
        ])
    }

    /// Makes the next one, if one waits.
    pub(super) fn scan_if_ordered(&mut self) -> Result<(), Trouble> {
        let Some(order) = self.orders.waiting.pop_front() else {
            return Ok(());
        };
        self.orders.running = Some(order.clone());
        let first = self.store.next_sequence();
        let Some(tally) = self.scan_as_ordered(&order)? else {
            self.orders.remember(Done {
                error: Some("the rule is no longer in force".to_owned()),
                tally: Tally::default(),
                last: first,
                at: clock::now(),
                order,
                first,
            });
            return Ok(());
        };
        let last = self.store.next_sequence().saturating_sub(1);
        self.say_baseline(&tally)?;
        self.say_scanned(&order, &tally)?;
        self.orders.remember(Done {
            order,
            tally,
            first,
            last,
            at: clock::now(),
            error: None,
        });
        Ok(())
    }

    /// None if there is no such rule any more.
    fn scan_as_ordered(&mut self, order: &Order) -> Result<Option<Tally>, Trouble> {
        // Who asks must not make those wait that losses ask for.
        let (pause, last) = (self.scan_pause, self.last_scan);
        let tally = match &order.rule {
            None => self.scan_thoroughly()?,
            Some(rule) => {
                let Some(number) = self.number_of(rule) else {
                    return Ok(None);
                };
                self.scan_rules(&BTreeSet::from([number]), true)?
            }
        };
        self.scan_pause = pause;
        if order.rule.is_some() {
            // It was no comparison of everything.
            self.last_scan = last;
        }
        Ok(Some(tally))
    }

    /// As it is counted from 1.
    fn number_of(&self, rule: &str) -> Option<u32> {
        let mut numbered = (1u32..).zip(&self.config.rules);
        let found = numbered.find(|(_, it)| it.name == rule);
        found.map(|(number, _)| number)
    }

    fn say_scanned(&mut self, order: &Order, tally: &Tally) -> Result<(), Trouble> {
        let what = match &order.rule {
            Some(rule) => format!("what the rule {rule} covers"),
            None => "everything".to_owned(),
        };
        let notice = Notice {
            message: format!(
                "{what} was compared, because {} asked for it: {} objects, {} differences found",
                name(&order.by),
                tally.compared,
                tally.differences
            ),
            counts: vec![
                ("paths_compared".to_owned(), tally.compared),
                ("differences_found".to_owned(), tally.differences),
            ],
            ..Notice::default()
        };
        self.say_asked(
            Action::ScanFinished,
            Asked {
                notice,
                by: order.by.clone(),
                rule: order.rule.clone(),
                through: None,
                path: None,
                note: None,
            },
        )
    }

    /// Says what somebody asked for.
    pub(super) fn say_asked(&mut self, action: Action, asked: Asked) -> Result<(), Trouble> {
        self.say(action, severity::NOTICE, Body::Asked(Box::new(asked)))
    }
}

/// In a sentence.
pub(super) fn name(by: &Asker) -> String {
    let user = by.user.clone();
    let user = user.unwrap_or_else(|| format!("user {}", by.uid));
    match by.login_uid.filter(|login| *login != by.uid) {
        Some(login) => format!("{user} (login uid {login})"),
        None => user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Asker {
        Asker {
            uid: 0,
            user: Some("root".to_owned()),
            login_uid: Some(1000),
        }
    }

    #[test]
    fn who_asks_for_the_same_shares_it_and_there_is_a_limit() {
        let mut orders = Orders::default();
        let now = Timestamp(5_000_000_000);
        assert_eq!(orders.take(None, root(), now), Some(5_000));
        assert_eq!(orders.take(None, root(), now), Some(5_000));
        for number in 1..WAITING_MAX as u64 {
            let rule = Some(number.to_string());
            assert_eq!(
                orders.take(rule, root(), Timestamp(0)),
                Some(5_000 + number)
            );
        }
        assert_eq!(orders.take(Some("more".to_owned()), root(), now), None);
        assert!(orders.next_due().is_some());
        assert_eq!(name(&root()), "root (login uid 1000)");
    }
}
