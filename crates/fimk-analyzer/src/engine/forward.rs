//! What fimk-forwarder asks: the events of an output that goes over the network, and what it says of those it sent.

use fimk_core::{
    config::Remote,
    event::{Action, Event, Notice},
    request::{FORWARDER, Forward},
};
use fimk_store::Commit;
use serde_json::{Value, json};

use super::{
    Engine, Trouble,
    lane::Lane,
    missed::{Lost, sentence_of_another},
    questions::refusal,
};
use crate::{control::User, exit::log, severity, status::known};

/// An output that takes counters, so that it has no cursor.
pub struct Meter {
    name: String,
    place: String,
    problem: Option<String>,
}

impl Meter {
    /// Of an output, if it is one.
    pub fn of(output: &fimk_core::config::Output) -> Option<Self> {
        let remote = output.kind.remote();
        let remote: &Remote = remote.filter(|it| !it.takes_events())?;
        Some(Self {
            name: output.name.clone(),
            place: remote.place(),
            problem: None,
        })
    }

    /// For a status.
    pub fn value(&self) -> Value {
        known([
            ("name", json!(self.name)),
            ("place", json!(self.place)),
            ("problem", json!(self.problem)),
        ])
    }
}

impl Engine {
    /// Takes note of what was sent, and hands out more. Only the forwarder's user, root and our own may ask: what they
    /// say was sent is never sent again.
    pub(super) fn hand_out(&mut self, user: User, asked: Forward) -> Value {
        let mut is_forwarder = || Some(FORWARDER) == self.peers.user(user.uid).as_deref();
        if !user.trusted && !is_forwarder() {
            return refusal(
                "not_allowed",
                &format!("events are handed out for sending to the user {FORWARDER} only"),
            );
        }
        let problem = asked.problem.as_deref().map(sentence_of_another);
        if let Some(meter) = self.meters.iter_mut().find(|it| it.name == asked.output) {
            meter.problem = problem;
            return json!({ "epoch": "", "records": [], "more": false });
        }
        let lanes = self.lanes.iter_mut().chain(&mut self.leaving);
        let goes_there = |lane: &Lane| {
            let place = asked.place.as_ref();
            lane.output.name == asked.output && place.is_none_or(|it| *it == lane.output.place)
        };
        let mut lane = lanes.filter(|lane| lane.output.is_fetched());
        let Some(lane) = lane.find(|lane| goes_there(lane)) else {
            return refusal(
                "no_such_output",
                "the monitor has no output of this name that goes there over the network: restart both with the same configuration, or have both read it again",
            );
        };
        let epoch = lane.output.epoch.clone();
        if let Some(done) = asked.done
            && asked.epoch.as_ref() == Some(&epoch)
        {
            lane.acknowledge(done, asked.refused);
        }
        if self.started
            && self.store.has_room()
            && let Err(error) = lane.deliver(&mut self.store)
        {
            log(error);
            return refusal("unreadable", "the database cannot be read or written now");
        }
        let handed = lane.output.hand_out(asked.limit, problem);
        json!({ "epoch": epoch, "records": handed.records, "more": handed.more })
    }

    /// Says what receivers refused for good: the first time at once, then once an hour, and `at_last`.
    pub(super) fn say_refused(&mut self, at_last: bool) -> Result<(), Trouble> {
        let lanes = self.lanes.iter_mut();
        let refused: Vec<_> = lanes
            .filter_map(|lane| Some((lane.output.name.clone(), lane.take_refused(at_last)?)))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        let events = refused
            .iter()
            .map(|(output, (lost, why))| self.refused_notice(output, *lost, why))
            .collect();
        self.commit(Commit {
            events,
            ..Commit::default()
        })
    }

    fn refused_notice(&self, output: &str, lost: Lost, why: &str) -> Event {
        let Lost { count, first, last } = lost;
        let notice = Notice {
            message: format!(
                "the receiver of the output \"{output}\" refuses {count} events with numbers from {first} to {last} for good \
                 ({why}): they are not given to it again; see them with fimk show"
            ),
            counts: [
                ("refused", count),
                ("refused_first", first),
                ("refused_last", last),
            ]
            .map(|(name, number)| (name.to_owned(), number))
            .into(),
            ..Notice::default()
        };
        self.notice(Action::EventsRemoved, severity::DEGRADED, notice)
    }
}
