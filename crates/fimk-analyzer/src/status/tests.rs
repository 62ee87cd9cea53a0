#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
use fimk_core::event::Notice;
use zerocopy::FromZeros as _;

use super::*;

fn notice(action: Action, message: &str) -> Event {
    Event {
        sequence: 7,
        created: Timestamp(0),
        boot: String::new(),
        source: None,
        action,
        severity: 60,
        body: Body::Notice(Notice {
            message: message.to_owned(),
            ..Notice::default()
        }),
    }
}

fn codes(signs: &Signs<'_>) -> Vec<String> {
    let found = problems(signs);
    let code = |problem: &Value| problem["code"].as_str().expect("a word").to_owned();
    found.iter().map(code).collect()
}

fn well(activity: &Activity) -> Signs<'_> {
    Signs {
        periodic: None,
        reads_everything: true,
        watched: 10,
        limit: Some(11),
        unwatched: 0,
        activity,
        lost: 0,
        comparing: None,
        output: None,
        alone: None,
        unstored: None,
        unmeasured: None,
    }
}

#[test]
fn what_is_well_has_no_problem_and_each_sign_is_one() {
    let mut activity = Activity::default();
    assert_eq!(codes(&well(&activity)), Vec::<String>::new());
    activity.note(&notice(Action::Degraded, "/mnt takes no marks"));
    activity.note(&notice(Action::EventsLost, "lost"));
    let ill = Signs {
        periodic: Some(Duration::from_secs(300)),
        reads_everything: false,
        watched: 11,
        lost: 2,
        comparing: Some("records were lost"),
        output: Some("nobody reads".to_owned()),
        alone: Some("nobody answers".to_owned()),
        unstored: Some("no space is left".to_owned()),
        unmeasured: Some("refused".to_owned()),
        ..well(&activity)
    };
    assert_eq!(
        codes(&ill),
        [
            "periodic",
            "unprivileged",
            "unstored",
            "full",
            "degraded",
            "events_lost",
            "loader_silent",
            "output_blocked",
            "metrics_unwritten",
            "comparing"
        ]
    );
    let texts = json!(problems(&ill)).to_string();
    assert!(texts.contains("/mnt takes no marks"), "{texts}");
}

#[test]
fn a_gap_is_counted_and_is_no_problem() {
    let mut activity = Activity::default();
    activity.note(&notice(Action::Gap, "nobody watched"));
    activity.note(&notice(Action::Gap, "nobody watched"));
    assert_eq!(activity.counts(), json!({ "gap": 2 }));
    assert_eq!(codes(&well(&activity)), Vec::<String>::new());
}

#[test]
fn an_event_in_short_has_no_unknown_members_and_no_endless_ones() {
    let short = event(&notice(Action::Gap, &"é\n".repeat(10_000)));
    assert_eq!(short["action"], "gap");
    assert_eq!(short.get("path"), None);
    let message = short["message"].as_str().expect("text");
    assert!(message.len() < 4 * TEXT_BYTES_MAX && !message.contains('\n'));
}

#[test]
fn counters_name_hook_and_cause_and_leave_out_zeros() {
    let mut packet = raw::fimk_counters_packet::new_zeroed();
    packet.skipped = 2;
    packet.hooks[raw::FIMK_HOOK_VFS_WRITE as usize].of[raw::FIMK_COUNT_RING_FULL as usize] = 5;
    assert_eq!(
        counters(&packet),
        json!({ "skipped": 2, "hooks": { "vfs_write": { "ring_full": 5 } } })
    );
}

#[test]
fn the_source_says_why_it_serves_and_what_the_kernel_answered() {
    let mut ready = raw::fimk_ready::new_zeroed();
    ready.source = raw::FIMK_SOURCE_FANOTIFY;
    ready.reason = raw::FIMK_REASON_TRAMPOLINES_REFUSED;
    let told = source(&ready, "fanotify");
    assert_eq!(
        told,
        json!({ "name": "fanotify", "message": crate::source_sentence(&ready) })
    );
    ready.error = Errno::EBUSY as i32;
    ready.plan[0] = 1;
    let told = source(&ready, "fanotify");
    assert_eq!(told["error"], Errno::EBUSY.desc());
    assert_eq!(told["plan"], json!({ "write": "fexit vfs_write" }));
}

#[test]
fn what_others_are_told_names_no_file() {
    let mut status = json!({
        "config": { "path": "/etc/secret", "rules": 2 },
        "events": {
            "last": { "path": "/secret", "message": "/secret", "action": "gap" },
            "last_degraded": { "message": "/secret" },
        },
        "problems": [{ "code": "degraded", "message": "/secret" }],
    });
    leave_out_names(&mut status);
    assert!(!status.to_string().contains("secret"), "{status}");
    assert_eq!(status["config"], json!({ "rules": 2 }));
    assert_eq!(status["events"], json!({ "last": { "action": "gap" } }));
    assert_eq!(status["problems"][0]["code"], "degraded");
    leave_out_names(&mut json!({}));
}
