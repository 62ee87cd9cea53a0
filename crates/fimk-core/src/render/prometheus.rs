//! A status as metrics, in the text form that Prometheus reads. Every metric is described in fimk(1).

use std::fmt::Write as _;

use serde_json::Value;

use crate::time::Timestamp;

/// One of them.
struct Metric {
    name: &'static str,
    kind: &'static str,
    /// Where its value is in a status. A member of an object or a list at the end of the way is told by a label.
    pointer: &'static str,
    labels: Labels,
    help: &'static str,
}

const fn metric(
    name: &'static str,
    kind: &'static str,
    pointer: &'static str,
    labels: Labels,
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        pointer,
        labels,
        help,
    }
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// All of them that have a place in a status.
const METRICS: [Metric; 30] = [
    metric(
        "fimk_uptime_seconds",
        GAUGE,
        "/uptime_seconds",
        Labels::None,
        "How long the analyzer has run.",
    ),
    metric(
        "fimk_rules",
        GAUGE,
        "/config/rules",
        Labels::None,
        "Rules in force.",
    ),
    metric(
        "fimk_objects_watched",
        GAUGE,
        "/objects/watched",
        Labels::None,
        "Names watched.",
    ),
    metric(
        "fimk_objects_limit",
        GAUGE,
        "/objects/limit",
        Labels::None,
        "Objects that the kernel has room to watch.",
    ),
    metric(
        "fimk_objects_refused",
        GAUGE,
        "/objects/refused",
        Labels::None,
        "Objects for which the kernel had no room.",
    ),
    metric(
        "fimk_objects_recorded_about",
        GAUGE,
        "/objects/recorded_about",
        Labels::None,
        "About how many objects are recorded.",
    ),
    metric(
        "fimk_last_event_sequence",
        GAUGE,
        "/events/last_sequence",
        Labels::None,
        "The number of the newest event.",
    ),
    metric(
        "fimk_events_total",
        COUNTER,
        "/events/since_start",
        Labels::Keys("action"),
        "Events since the start, by action.",
    ),
    metric(
        "fimk_events_by_rule_total",
        COUNTER,
        "/events/by_rule",
        Labels::Keys("rule"),
        "Events since the start, by rule.",
    ),
    metric(
        "fimk_events_by_severity_total",
        COUNTER,
        "/events/by_severity",
        Labels::Keys("severity"),
        "Events since the start, by severity.",
    ),
    metric(
        "fimk_event_latency_seconds",
        "histogram",
        "/events/latency",
        Labels::Histogram,
        "From the last touch of a change to its event.",
    ),
    metric(
        "fimk_kernel_map_bytes",
        GAUGE,
        "/kernel/map_bytes",
        Labels::None,
        "Memory of the kernel that all maps take.",
    ),
    metric(
        "fimk_kernel_skipped_total",
        COUNTER,
        "/counters/skipped",
        Labels::None,
        "Calls for which every program may have been skipped.",
    ),
    metric(
        "fimk_kernel_records_total",
        COUNTER,
        "/counters/hooks",
        Labels::Pairs("hook", "cause"),
        "Touches of watched objects, by hook and what became of them.",
    ),
    metric(
        "fimk_repairs_total",
        COUNTER,
        "/repairs",
        Labels::Keys("repair"),
        "What was done about what was lost.",
    ),
    metric(
        "fimk_file_system_errors_total",
        COUNTER,
        "/file_system_errors",
        Labels::None,
        "Errors that file systems reported.",
    ),
    metric(
        "fimk_scan_objects",
        GAUGE,
        "/scan/of",
        Labels::None,
        "Objects that the comparison under way is about.",
    ),
    metric(
        "fimk_scan_objects_done",
        GAUGE,
        "/scan/done",
        Labels::None,
        "Those of them that are done.",
    ),
    metric(
        "fimk_last_comparison_timestamp_seconds",
        GAUGE,
        "/last_comparison",
        Labels::Time,
        "When everything was last compared.",
    ),
    metric(
        "fimk_queue_length",
        GAUGE,
        "/queues",
        Labels::Member("queue", "length"),
        "What waits.",
    ),
    metric(
        "fimk_queue_limit",
        GAUGE,
        "/queues",
        Labels::Member("queue", "limit"),
        "How much may wait.",
    ),
    metric(
        "fimk_output_lag_events",
        GAUGE,
        "/outputs",
        Labels::Named("output", "lag"),
        "Stored events that an output has still to get.",
    ),
    metric(
        "fimk_output_cursor",
        GAUGE,
        "/outputs",
        Labels::Named("output", "cursor"),
        "The number of the last event that an output has.",
    ),
    metric(
        "fimk_output_lost_total",
        COUNTER,
        "/outputs",
        Labels::Named("output", "lost"),
        "Events that were removed before an output took them.",
    ),
    metric(
        "fimk_output_refused_total",
        COUNTER,
        "/outputs",
        Labels::Named("output", "refused"),
        "Events that the receiver of an output refused for good.",
    ),
    metric(
        "fimk_database_bytes",
        GAUGE,
        "/database/bytes",
        Labels::None,
        "What the database takes on the disk.",
    ),
    metric(
        "fimk_database_events",
        GAUGE,
        "/database/events",
        Labels::None,
        "Events in the database.",
    ),
    metric(
        "fimk_database_event_bytes",
        GAUGE,
        "/database/event_bytes",
        Labels::None,
        "Their size before compression.",
    ),
    metric(
        "fimk_control_answered_total",
        COUNTER,
        "/control/answered",
        Labels::None,
        "Requests that were answered.",
    ),
    metric(
        "fimk_control_refused_total",
        COUNTER,
        "/control/refused",
        Labels::Keys("reason"),
        "Requests that were refused.",
    ),
];

/// Those that are made of several members of it.
const OWN: [(&str, &str); 3] = [
    ("fimk_watching", "Whether everything is watched."),
    ("fimk_well", "Whether nothing is wrong."),
    ("fimk_info", "The version and the source that serves."),
];

#[derive(Clone, Copy)]
enum Labels {
    /// The value itself.
    None,
    /// Each member, by its key.
    Keys(&'static str),
    /// Each member of each member, by both keys.
    Pairs(&'static str, &'static str),
    /// One member of each member, by the key of the latter.
    Member(&'static str, &'static str),
    /// One member of each object of a list, by its `name`.
    Named(&'static str, &'static str),
    /// RFC 3339, as seconds since 1970.
    Time,
    /// `le`, `count` and `sum_us`.
    Histogram,
}

/// All of them that the status has.
pub fn metrics(status: &Value) -> String {
    let well = status["problems"].as_array().is_some_and(Vec::is_empty);
    let watching = status["state"] == "watching";
    let text = |pointer: &str| {
        let text = status.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let info = vec![
        ("version", text("/version")),
        ("source", text("/source/name")),
    ];
    let own = [
        (Vec::new(), u64::from(watching)),
        (Vec::new(), u64::from(well)),
        (info, 1),
    ];
    let mut out = String::new();
    for ((name, help), sample) in OWN.into_iter().zip(own) {
        put(&mut out, (name, GAUGE, help), &[sample]);
    }
    for metric in METRICS {
        let value = status.pointer(metric.pointer).unwrap_or(&Value::Null);
        let about = (metric.name, metric.kind, metric.help);
        match metric.labels {
            Labels::Histogram => put_histogram(&mut out, about, value),
            labels => put(&mut out, about, &samples(value, labels)),
        }
    }
    out
}

type Sample = (Vec<(&'static str, String)>, u64);

/// Name, type and help.
type About = (&'static str, &'static str, &'static str);

fn samples(value: &Value, labels: Labels) -> Vec<Sample> {
    let members = value.as_object().into_iter().flatten();
    match labels {
        Labels::None => value
            .as_u64()
            .map(|it| (Vec::new(), it))
            .into_iter()
            .collect(),
        Labels::Time => {
            let time = value.as_str().and_then(Timestamp::parse);
            let seconds = time.and_then(|time| u64::try_from(time.0 / 1_000_000_000).ok());
            seconds.map(|it| (Vec::new(), it)).into_iter().collect()
        }
        Labels::Histogram => Vec::new(),
        Labels::Keys(label) => members
            .filter_map(|(key, it)| Some((vec![(label, key.clone())], it.as_u64()?)))
            .collect(),
        Labels::Pairs(outer, inner) => members
            .flat_map(|(key, it)| {
                let mut samples = samples(it, Labels::Keys(inner));
                for (labels, _) in &mut samples {
                    labels.insert(0, (outer, key.clone()));
                }
                samples
            })
            .collect(),
        Labels::Member(label, member) => members
            .filter_map(|(key, it)| Some((vec![(label, key.clone())], it.get(member)?.as_u64()?)))
            .collect(),
        Labels::Named(label, member) => {
            let list = value.as_array().into_iter().flatten();
            list.filter_map(|it| {
                let name = it.get("name")?.as_str()?.to_owned();
                Some((vec![(label, name)], it.get(member)?.as_u64()?))
            })
            .collect()
        }
    }
}

/// One metric with all its samples; nothing if it has none.
fn put(out: &mut String, about: About, samples: &[Sample]) {
    if samples.is_empty() {
        return;
    }
    head(out, about);
    for (labels, value) in samples {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(out, "{}{labels} {value}", about.0);
    }
}

/// Writing to a string cannot fail.
fn head(out: &mut String, (name, kind, help): About) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Buckets in the order of their bounds, each with all that is below its own.
fn put_histogram(out: &mut String, about: About, value: &Value) {
    let (Some(count), Some(sum)) = (value["count"].as_u64(), value["sum_us"].as_u64()) else {
        return;
    };
    let members = value["le"].as_object().into_iter().flatten();
    let mut buckets: Vec<(f64, &String, u64)> = members
        .filter_map(|(bound, it)| Some((bound.parse().ok()?, bound, it.as_u64()?)))
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let name = about.0;
    head(out, about);
    for (_, bound, below) in buckets {
        let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {below}", escaped(bound));
    }
    let (seconds, rest) = (sum / 1_000_000, sum % 1_000_000);
    let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{name}_sum {seconds}.{rest:06}\n{name}_count {count}");
}

/// A label's value, in which a backslash, a quote and a newline have a backslash before them.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_told_in_numbers_with_labels() {
        let status = json!({
            "version": "1", "state": "watching", "problems": [], "source": { "name": "bpf" },
            "events": { "since_start": { "created": 3 } },
            "counters": { "hooks": { "write": { "seen": 7 } } },
            "queues": { "output": { "length": 1, "limit": 2 } },
            "outputs": [{ "name": "a\"b", "cursor": 5, "lag": 4, "refused": 2 }],
        });
        let text = metrics(&status);
        for line in [
            "fimk_watching 1",
            "fimk_well 1",
            "fimk_info{version=\"1\",source=\"bpf\"} 1",
            "fimk_events_total{action=\"created\"} 3",
            "fimk_kernel_records_total{hook=\"write\",cause=\"seen\"} 7",
            "fimk_queue_limit{queue=\"output\"} 2",
            "fimk_output_lag_events{output=\"a\\\"b\"} 4",
            "fimk_output_refused_total{output=\"a\\\"b\"} 2",
            "# TYPE fimk_events_total counter",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(!text.contains("fimk_database_bytes"));
        assert!(metrics(&Value::Null).contains("fimk_well 0"));
    }

    #[test]
    fn the_manual_page_has_every_metric_and_no_other() {
        let page = include_str!("../../../../man/fimk.1");
        let described: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".It Li fimk_"))
            .collect();
        let names = METRICS.iter().map(|metric| metric.name);
        let all = OWN.iter().map(|(name, _)| *name).chain(names);
        let all = all.filter_map(|name| name.strip_prefix("fimk_"));
        assert_eq!(described, all.collect());
    }
}
