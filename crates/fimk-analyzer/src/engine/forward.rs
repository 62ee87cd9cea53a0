//! What fimk-forwarder asks: the events of an output that goes over the network, and what it says of those it sent.

use fimk_core::{
    config::Remote,
    render::harmless,
    request::{FORWARDER, Forward},
};
use serde_json::{Value, json};

use super::{Engine, lane::Lane, questions::refusal};
use crate::{control::User, exit::log, status::known};

/// Of what it says: a sentence for a person.
const PROBLEM_CHARACTERS_MAX: usize = 500;

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
        let mut is_forwarder = || Some(FORWARDER) == self.users.user(user.uid).as_deref();
        if !user.trusted && !is_forwarder() {
            return refusal(
                "not_allowed",
                &format!("events are handed out for sending to the user {FORWARDER} only"),
            );
        }
        let problem = asked.problem.map(|text| {
            let beginning: String = text.chars().take(PROBLEM_CHARACTERS_MAX).collect();
            harmless(&beginning)
        });
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
            lane.output.acknowledge(done);
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
}
