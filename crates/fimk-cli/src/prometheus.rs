//! A status as metrics, in the text form that Prometheus reads. Every metric is described in fimk(1).

use std::fmt::Write as _;

use serde_json::Value;

/// Name, type, and where its value is in a status. A member of an object or a list at the end of the way is told by a label.
const METRICS: [(&str, &str, &str, Labels); 19] = [
    (
        "fimk_uptime_seconds",
        "gauge",
        "/uptime_seconds",
        Labels::None,
    ),
    (
        "fimk_objects_watched",
        "gauge",
        "/objects/watched",
        Labels::None,
    ),
    (
        "fimk_objects_limit",
        "gauge",
        "/objects/limit",
        Labels::None,
    ),
    (
        "fimk_objects_refused",
        "gauge",
        "/objects/refused",
        Labels::None,
    ),
    (
        "fimk_last_event_sequence",
        "counter",
        "/events/last_sequence",
        Labels::None,
    ),
    (
        "fimk_events_total",
        "counter",
        "/events/since_start",
        Labels::Keys("action"),
    ),
    (
        "fimk_kernel_map_bytes",
        "gauge",
        "/kernel/map_bytes",
        Labels::None,
    ),
    (
        "fimk_kernel_skipped_total",
        "counter",
        "/counters/skipped",
        Labels::None,
    ),
    (
        "fimk_kernel_records_total",
        "counter",
        "/counters/hooks",
        Labels::Pairs("hook", "cause"),
    ),
    (
        "fimk_repairs_total",
        "counter",
        "/repairs",
        Labels::Keys("repair"),
    ),
    (
        "fimk_queue_length",
        "gauge",
        "/queues",
        Labels::Member("queue", "length"),
    ),
    (
        "fimk_queue_limit",
        "gauge",
        "/queues",
        Labels::Member("queue", "limit"),
    ),
    (
        "fimk_output_lag_events",
        "gauge",
        "/outputs",
        Labels::Named("output", "lag"),
    ),
    (
        "fimk_output_cursor",
        "counter",
        "/outputs",
        Labels::Named("output", "cursor"),
    ),
    (
        "fimk_database_bytes",
        "gauge",
        "/database/bytes",
        Labels::None,
    ),
    (
        "fimk_database_events",
        "gauge",
        "/database/events",
        Labels::None,
    ),
    (
        "fimk_database_event_bytes",
        "gauge",
        "/database/event_bytes",
        Labels::None,
    ),
    (
        "fimk_control_answered_total",
        "counter",
        "/control/answered",
        Labels::None,
    ),
    (
        "fimk_control_refused_total",
        "counter",
        "/control/refused",
        Labels::Keys("reason"),
    ),
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
}

/// All of them that the status has.
pub fn metrics(status: &Value) -> String {
    let well = status["problems"].as_array().is_some_and(Vec::is_empty);
    let watching = status["state"] == "watching";
    let mut out = String::new();
    put(
        &mut out,
        "fimk_watching",
        "gauge",
        &[(Vec::new(), u64::from(watching))],
    );
    put(
        &mut out,
        "fimk_well",
        "gauge",
        &[(Vec::new(), u64::from(well))],
    );
    let text = |pointer: &str| {
        let text = status.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let info = vec![
        ("version", text("/version")),
        ("source", text("/source/name")),
    ];
    put(&mut out, "fimk_info", "gauge", &[(info, 1)]);
    for (name, kind, pointer, labels) in METRICS {
        let value = status.pointer(pointer).unwrap_or(&Value::Null);
        put(&mut out, name, kind, &samples(value, labels));
    }
    out
}

type Sample = (Vec<(&'static str, String)>, u64);

fn samples(value: &Value, labels: Labels) -> Vec<Sample> {
    let members = value.as_object().into_iter().flatten();
    match labels {
        Labels::None => value
            .as_u64()
            .map(|it| (Vec::new(), it))
            .into_iter()
            .collect(),
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
fn put(out: &mut String, name: &str, kind: &str, samples: &[Sample]) {
    if samples.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# TYPE {name} {kind}");
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
        let _ = writeln!(out, "{name}{labels} {value}");
    }
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
            "outputs": [{ "name": "a\"b", "cursor": 5, "lag": 4 }],
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
        let page = include_str!("../../../man/fimk.1");
        let described: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".It Li fimk_"))
            .collect();
        let first = ["watching", "well", "info"];
        let others = METRICS
            .iter()
            .filter_map(|(name, ..)| name.strip_prefix("fimk_"));
        assert_eq!(described, others.chain(first).collect());
    }
}
