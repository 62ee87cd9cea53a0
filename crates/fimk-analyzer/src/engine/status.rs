//! How fimk is, for who asks over the control socket.

use std::{
    fs,
    time::{Duration, Instant},
};

use fimk_core::{event::Action, path::BytePath, render::metrics};
use fimk_store::{CLASSES, KEPT_BYTES_MAX};
use fimk_wire::raw;
use serde_json::{Map, Value, json};

use super::{Engine, Eyes, Lane, Meter};
use crate::{
    channel::OUTBOX_MAX,
    control::CONNECTIONS_MAX,
    held::HELD_MAX,
    metrics::Metrics,
    output::RECORDS_MAX,
    scan::Progress,
    source::takes::TAKEN_MAX,
    stalled::STALLED_MAX,
    stash::PACKETS_MAX,
    status::{self, known, queue},
};

impl Engine {
    /// How fimk is. The fields are those of fimk(1).
    pub(super) fn status(&self) -> Value {
        let about = &self.about;
        let state = if self.started { "watching" } else { "starting" };
        let compared = self.started.then(|| self.compared.rfc3339());
        known([
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("wire", json!(raw::FIMK_WIRE_VERSION)),
            ("pid", json!(std::process::id())),
            ("state", json!(state)),
            ("since", json!(about.since.rfc3339())),
            (
                "uptime_seconds",
                json!(about.since_instant.elapsed().as_secs()),
            ),
            ("problems", json!(self.problems())),
            ("host", self.host()),
            ("config", self.configured()),
            ("source", status::source(&about.ready, self.source().name())),
            ("mounts", self.mounts_told()),
            ("objects", self.objects()),
            (
                "kernel",
                known([("map_bytes", json!(self.about.map_bytes()))]),
            ),
            ("events", self.reported()),
            ("last_comparison", json!(compared)),
            ("last_scan", json!(self.orders.last())),
            ("accepted", json!(self.accepted_told())),
            ("metrics", json!(self.metrics.as_ref().map(Metrics::value))),
            ("scan", json!(self.scan_under_way().map(Progress::value))),
            ("counters", json!(self.losses.last().map(status::counters))),
            ("repairs", self.repairs.done().json()),
            ("file_system_errors", json!(self.wholes.ailing.errors())),
            ("queues", self.queues()),
            ("outputs", json!(self.outputs())),
            ("database", self.database()),
            ("sandbox", status::sandbox(&about.sandbox)),
            ("control", self.connections()),
        ])
    }

    /// Has the status written as metrics, if it is time to.
    pub(crate) fn write_metrics(&mut self) {
        let now = Instant::now();
        if self.metrics.as_ref().is_none_or(|it| now < it.next_due()) {
            return;
        }
        let text = metrics(&self.status());
        if let Some(metrics) = &mut self.metrics {
            metrics.offer(text);
        }
    }

    /// The one that all else waits for comes first.
    fn scan_under_way(&self) -> Option<&Progress> {
        self.scanning.as_ref().or_else(|| self.rounds.progress())
    }

    fn problems(&self) -> Vec<Value> {
        let interval = Duration::from_secs(self.config.scan_interval_s);
        status::problems(&status::Signs {
            periodic: matches!(self.eyes, Eyes::Periodic).then_some(interval),
            reads_everything: self.about.sandbox.reads_everything,
            watched: self.tree.len(),
            limit: self.watch_max(),
            unwatched: self.unwatched.count(),
            activity: &self.activity,
            lost: self
                .activity
                .count(Action::EventsLost)
                .saturating_sub(self.repairs.said()),
            comparing: self.scan_wanted.as_deref(),
            output: self.outputs_blocked(),
            alone: self.alone_sentence(),
            unstored: self.storing_problem(),
            unmeasured: self.metrics.as_ref().and_then(Metrics::problem),
        })
    }

    fn host(&self) -> Value {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let boot = Some(&self.boot).filter(|id| !id.is_empty());
        known([
            ("name", json!(self.about.host)),
            ("boot_id", json!(boot)),
            ("kernel", json!(kernel.as_deref().map(str::trim))),
        ])
    }

    fn configured(&self) -> Value {
        let path = BytePath::new(self.about.config.as_os_str().as_encoded_bytes());
        json!({
            "path": status::path(&path),
            "rules": self.config.rules.len(),
            "digest": self.about.config_digest,
        })
    }

    fn objects(&self) -> Value {
        known([
            ("watched", json!(self.tree.len())),
            (
                "left_out",
                json!(Some(self.beyond.count()).filter(|&count| count > 0)),
            ),
            (
                "moves_left_out",
                json!(Some(self.moves_left_out).filter(|&count| count > 0)),
            ),
            ("limit", json!(self.watch_max())),
            (
                "refused",
                json!(self.watch_max().map(|_| self.unwatched.count())),
            ),
            (
                "recorded_about",
                json!(self.store.records_about().ok().flatten()),
            ),
        ])
    }

    /// What the kernel's map takes; the other sources have none.
    fn watch_max(&self) -> Option<u32> {
        let limit = self.about.ready.watch_max;
        (matches!(self.eyes, Eyes::Bpf(_)) && limit > 0).then_some(limit)
    }

    fn reported(&self) -> Value {
        let range = self.store.event_range().ok().flatten();
        let last = range.and_then(|(_, last)| {
            let events = self.store.events_after(last.checked_sub(1)?, 1).ok()?;
            events.first().map(status::event)
        });
        known([
            ("first_sequence", json!(range.map(|(first, _)| first))),
            ("last_sequence", json!(range.map(|(_, last)| last))),
            ("last", json!(last)),
            ("since_start", self.activity.counts()),
            ("by_rule", self.activity.by_rule()),
            ("by_severity", self.activity.by_severity()),
            ("latency", self.activity.latency()),
            ("own_writes", json!(self.own.writes)),
            ("last_degraded", json!(self.activity.last_degraded())),
        ])
    }

    /// Each output: where it goes, its cursor, how many stored events are behind it, and what keeps it from writing.
    fn outputs(&self) -> Option<Vec<Value>> {
        let newest = self.store.event_range().ok()?.map_or(0, |(_, last)| last);
        let some = |count: u64| Some(count).filter(|&count| count > 0);
        let output = |lane: &Lane| {
            let (lost, refused) = lane.missed();
            known([
                ("name", json!(lane.output.name)),
                ("place", json!(lane.output.place)),
                ("cursor", json!(lane.cursor())),
                ("lag", json!(newest.saturating_sub(lane.cursor()))),
                ("cut", json!(some(lane.output.cut()))),
                ("lost", json!(some(lost))),
                ("refused", json!(some(refused))),
                ("problem", json!(lane.blocked())),
            ])
        };
        let lanes = self.lanes.iter().map(output);
        Some(lanes.chain(self.meters.iter().map(Meter::value)).collect())
    }

    fn database(&self) -> Value {
        let (events, event_bytes) = self.store.stored_events();
        let removed = self.store.removed();
        let by_class = |counts: [u64; 4]| {
            let counts = CLASSES.iter().zip(counts).filter(|(_, count)| *count > 0);
            let counts: Map<String, Value> = counts
                .map(|(class, count)| (class.name().to_owned(), json!(count)))
                .collect();
            Value::Object(counts)
        };
        known([
            ("bytes", json!(self.store.disk_bytes().ok())),
            ("events", json!(events)),
            ("event_bytes", json!(event_bytes)),
            ("event_bytes_max", json!(self.config.store.keep_bytes)),
            ("removed_by_age", by_class(removed.by_age)),
            ("removed_by_size", by_class(removed.by_size)),
            (
                "in_memory",
                queue(self.store.kept_bytes(), Some(KEPT_BYTES_MAX)),
            ),
            ("failed", json!(self.storing.failed)),
            ("recovered", json!(self.storing.recovered)),
            ("stood_still", json!(self.storing.full)),
        ])
    }

    fn queues(&self) -> Value {
        let undone =
            matches!(self.eyes, Eyes::Bpf(_)).then(|| queue(self.done.len(), Some(TAKEN_MAX)));
        known([
            ("settling", queue(self.settle.len(), None)),
            ("held", self.held_files()),
            ("stalled", self.stalled_paths()),
            ("stash", queue(self.stash.len(), Some(PACKETS_MAX))),
            ("outbox", queue(self.channel.waiting(), Some(OUTBOX_MAX))),
            ("asked", queue(self.asked.len(), None)),
            ("fanotify", self.fanotify_queue()),
            ("output", self.output_queue()),
            ("undone", json!(undone)),
        ])
    }

    /// What waits in the kernel, and how often that was too much.
    fn fanotify_queue(&self) -> Value {
        let Eyes::Fanotify(fanotify) = &self.eyes else {
            return Value::Null;
        };
        known([
            ("length", json!(fanotify.queued())),
            ("limit", json!(crate::source::fanotify::QUEUE_MAX)),
            ("overflowed", json!(self.losses.queue_full)),
        ])
    }

    /// Of all outputs together.
    fn output_queue(&self) -> Value {
        let waiting = self.lanes.iter().map(|lane| lane.output.waiting()).sum();
        queue(waiting, Some(RECORDS_MAX * self.lanes.len()))
    }

    fn held_files(&self) -> Value {
        let held = queue(self.held.len(), Some(HELD_MAX));
        with_losses(held, [("left_out", self.held.left_out)])
    }

    fn stalled_paths(&self) -> Value {
        let stalled = queue(self.stalled.len(), Some(STALLED_MAX));
        let losses = [
            ("left_out", self.stalled.left_out),
            ("changes_lost", self.stalled.touches_lost),
        ];
        with_losses(stalled, losses)
    }

    fn connections(&self) -> Value {
        let counts = self.control.counts();
        json!({
            "connections_max": CONNECTIONS_MAX,
            "answered": counts.answered,
            "refused": {
                "busy": counts.busy,
                "too_long": counts.too_long,
                "bad_request": counts.bad_request,
                "too_slow": counts.too_slow,
            },
        })
    }
}

/// A queue with those of these counts that are not 0.
fn with_losses<const N: usize>(mut queue: Value, losses: [(&str, u64); N]) -> Value {
    for (name, count) in losses {
        if count > 0 {
            queue[name] = json!(count);
        }
    }
    queue
}
