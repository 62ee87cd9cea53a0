#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
use serde_json::json;

use super::*;

fn answer() -> Value {
    json!({
        "version": "0.1.0", "wire": 2, "pid": 4711, "state": "watching",
        "since": "2026-11-21T14:50:03.123456789Z", "uptime_seconds": 7_500,
        "problems": [],
        "host": { "name": "web1", "kernel": "6.12.57+deb13-amd64" },
        "config": { "path": "/etc/fimk/fimk.toml", "rules": 12 },
        "source": {
            "name": "bpf", "message": "source bpf serves: it is the best there is",
            "plan": {
                "vfs_write": "trampoline", "vfs_writev": "trampoline", "vfs_iter_write": "trampoline",
                "iter_file_splice_write": "trampoline", "d_exchange": "absent", "sched_process_exec": "tracepoint",
            },
        },
        "objects": { "watched": 1_234, "limit": 262_144, "recorded_about": 1_230 },
        "events": {
            "first_sequence": 1, "last_sequence": 1_012,
            "last": {
                "sequence": 1_012, "time": "2026-11-21T16:54:00.000000000Z", "action": "attributes_modified",
                "severity": 99, "path": "/etc/passwd",
            },
            "since_start": { "attributes_modified": 2, "monitor_started": 1 },
        },
        "last_comparison": "2026-11-21T14:50:04.000000000Z",
        "counters": { "skipped": 0, "hooks": { "vfs_write": { "seen": 7, "announced": 5, "coalesced": 2 }, "d_move": { "seen": 1, "announced": 1 } } },
        "kernel": { "map_bytes": 61_000_000 },
        "queues": { "settling": { "length": 0 }, "held": { "length": 0, "limit": 1_024 } },
        "outputs": [ { "name": "stdout", "cursor": 1_012, "lag": 0 } ],
        "database": { "bytes": 1_600_000 },
        "sandbox": { "landlock_abi": 6, "landlock_complete": false, "seccomp": true, "reads_everything": true },
        "control": { "answered": 3, "refused": { "busy": 0, "too_slow": 0 } },
    })
}

#[test]
fn all_is_well_comes_first_and_the_rest_is_aligned() {
    assert_eq!(
        status(&answer()),
        "\
All is well: watching 1,234 objects with the source bpf since 2026-11-21 14:50:03 UTC (2 h 5 min).

source       bpf: it is the best there is
plan         absent: d_exchange
             tracepoint: sched_process_exec
             trampoline: iter_file_splice_write vfs_iter_write vfs_write
               vfs_writev
objects      1,234 of at most 262,144 watched; about 1,230 recorded
last event   2026-11-21 16:54:00 UTC: attributes modified /etc/passwd (severity 99)
events       numbers 1 to 1,012 stored
             since the start: 2 attributes modified, 1 monitor started
hooks        seen by d_move 1, vfs_write 7
kernel       8 seen, 6 announced, 2 coalesced
             lost: nothing
memory       58.1 MiB in the maps of the kernel
queues       empty
outputs      stdout has all up to 1,012
compared     everything, last at 2026-11-21 14:50:04 UTC
database     1.5 MiB
rules        12 rules in /etc/fimk/fimk.toml
sandbox      landlock (ABI 6), as far as this kernel has it; seccomp
host         web1, Linux 6.12.57+deb13-amd64
process      fimk-analyzer 0.1.0, pid 4711, wire format 2
"
    );
}

#[test]
fn what_is_wrong_comes_first() {
    let mut answer = answer();
    answer["problems"] = json!([{ "code": "events_lost", "message": "records were lost" }]);
    answer["counters"]["skipped"] = json!(2);
    answer["counters"]["hooks"]["vfs_write"]["ring_full"] = json!(5);
    answer["repairs"] =
        json!({ "entries_swept": 5, "directories_compared": 0, "differences_found": 1_001 });
    answer["queues"]["held"]["length"] = json!(3);
    answer["outputs"][0]["lag"] = json!(4);
    answer["control"]["refused"]["too_slow"] = json!(1);
    let text = status(&answer);
    let (first, _) = text.split_once("\n\n").expect("a verdict");
    assert!(
        first.starts_with("Not all is well: watching 1,234 objects"),
        "{first}"
    );
    assert!(first.ends_with(", but\n  - records were lost"), "{first}");
    for line in [
        "             lost: 5 ring_full, 2 skipped\n",
        "repaired     5 swept, 1,001 differences found\n",
        "queues       held 3 of 1,024\n",
        "outputs      stdout has all up to 1,012, and 4 to come\n",
        "refused      connections to the control socket: 1 too slow\n",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let starting =
        json!({ "state": "starting", "since": "2026-11-21T14:50:03.1Z", "uptime_seconds": 0 });
    assert_eq!(
        status(&starting),
        "Starting since 2026-11-21 14:50:03 UTC (0 s): not everything is compared yet, and new events are printed after that.\n\n"
    );
    for odd in [
        json!({}),
        json!({ "problems": 1, "source": [], "queues": { "a": 1 }, "events": { "since_start": {} }, "outputs": [1], "counters": { "hooks": { "a": { "b": "c" } } } }),
    ] {
        assert!(status(&odd).starts_with("Starting"));
    }
}

/// Puts what terminals act on into all texts, and into copies of all keys.
fn poison(value: &mut Value) {
    match value {
        Value::String(text) => text.push_str("\u{1b}]0;x\u{7}\u{202e}\r\n"),
        Value::Array(list) => list.iter_mut().for_each(poison),
        Value::Object(members) => {
            members.values_mut().for_each(poison);
            let copy = |(key, value): (&String, &Value)| (format!("{key}\u{9b}"), value.clone());
            let copies: Vec<_> = members.iter().map(copy).collect();
            members.extend(copies);
        }
        _ => {}
    }
}

#[test]
fn a_hostile_answer_does_not_act_on_the_terminal() {
    let mut answer = answer();
    poison(&mut answer);
    answer["state"] = json!("watching");
    let text = status(&answer);
    assert!(
        text.contains("\\u{1b}") && text.contains("d_exchange\\u{9b}"),
        "{text}"
    );
    let acts = |it: char| it != '\n' && (it.is_control() || it == '\u{202e}');
    assert!(!text.contains(acts), "{text:?}");
}
