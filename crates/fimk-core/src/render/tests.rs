#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod limits;
mod others;
mod published;
mod rfc5424;
mod siem;

use std::collections::BTreeSet;

use fimk_consumers::{Difference, findings};
use serde_json::Value;

use super::*;
use crate::{
    attribution::Attribution,
    event::{
        Action, Actor, Asked, Asker, Attempt, Body, Burst, Change, Configured, ContentVerdict,
        DetectedBy, Event, File, Further, Gap, Notice, Process, Source, Words,
    },
    path::BytePath,
    record::{Attributes, Digest, FileKind},
    time::Timestamp,
};

fn host() -> Host {
    Host {
        name: "web1".into(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_parts(1_795_000_000 + second, 5)
}

fn process(pid: u32, executable: &str) -> Process {
    Process {
        pid,
        executable: Some(BytePath::new(executable.as_bytes())),
        name: executable.rsplit('/').next().map(str::to_owned),
        args: Vec::new(),
        start: Some(at(-60)),
        executable_gone: false,
        executable_in_memory: false,
        kernel: false,
    }
}

fn attributes() -> Attributes {
    Attributes {
        kind: FileKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 1716,
        links: 1,
        inode: 262_158,
        device: (8, 1),
        mtime: at(0),
        ctime: at(0),
    }
}

fn difference(field: &str, before: &str, after: &str) -> Difference {
    let side = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Difference {
        subject: "user alice".into(),
        field: field.into(),
        before: side(before),
        after: side(after),
    }
}

fn change() -> Change {
    let mut usermod = process(812, "/usr/sbin/usermod");
    usermod.args = ["usermod", "-u", "0", "-o", "alice"]
        .map(str::to_owned)
        .into();
    Change {
        file: File {
            path: BytePath::new(b"/etc/passwd"),
            attributes: Some(attributes()),
            before: Some(Attributes {
                size: 1719,
                ..attributes()
            }),
            digest: Some(Digest::Plain([0xab; 32])),
            owner: Some("root".into()),
            group: Some("root".into()),
            target: None,
            further: Further::default(),
        },
        actor: Some(Actor {
            process: usermod,
            ancestors: vec![
                process(700, "/usr/bin/bash"),
                process(650, "/usr/sbin/sshd"),
            ],
            uid: Some(0),
            user: Some("root".into()),
            login_uid: Some(1000),
            session: Some(3),
            container: Some("0123456789abcdef".repeat(4)),
            cgroup: Some("/system.slice/docker.service".to_owned()),
            pid_in_namespace: Some(7),
            attribution: Attribution::PROGRAM.with(Attribution::TABLE),
        }),
        actors: Vec::new(),
        operations: vec!["rename".into()],
        start: at(0),
        end: at(1),
        count: 2,
        bytes: None,
        rule: "identity".into(),
        rules: vec!["identity".into(), "etc".into()],
        tags: vec!["pci-dss-11.5.2".into()],
        detected_by: DetectedBy::Event,
        gap: None,
        changes: vec![difference("uid", "1000", "0")],
        findings: vec![findings::Kind::PasswdUidZero.finding("user alice is another root: uid 0")],
        diff: None,
        truncated: Vec::new(),
        observed: true,
        content: Some(ContentVerdict::Changed),
        previous_path: None,
        new_path: None,
        accessed_path: None,
        unread: None,
        replaced: false,
    }
}

fn event(action: Action, body: Body) -> Event {
    Event {
        sequence: 42,
        created: at(2),
        boot: "0f8fad5b-d9cb-469f-a165-70867728950e".into(),
        source: Some(Source::Bpf),
        action,
        severity: 99,
        body,
    }
}

fn changed(change: Change) -> Event {
    event(Action::Modified, Body::Change(Box::new(change)))
}

/// All that an object can have beside its attributes, told apart by a letter.
fn words(letter: &str) -> Words {
    Words {
        file_system: Some(format!("ext{letter}")),
        flags: vec!["immutable".into(), format!("flag-{letter}")],
        acl: vec![format!("user:{letter}:rw-"), "mask::rw-".into()],
        default_acl: vec![format!("group:{letter}:r--")],
        capabilities: Some(format!("cap_{letter}+ep")),
        selinux: Some(format!("system_u:object_r:{letter}_t:s0")),
        xattrs: vec![("user.note".into(), letter.into())],
    }
}

/// A change with every field that can stand beside the others.
fn full() -> Change {
    let mut full = change();
    let odd = || Some(BytePath::new(b"/odd\xff"));
    full.file.path = BytePath::new(b"/etc/odd\n.conf");
    full.file.target = odd();
    full.file.before = Some(Attributes {
        kind: FileKind::Symlink,
        mode: 0o777,
        uid: 1,
        gid: 1,
        size: 0,
        links: 2,
        inode: 1,
        device: (0, 30),
        mtime: at(-9),
        ctime: at(-9),
    });
    (full.previous_path, full.new_path, full.accessed_path) = (odd(), odd(), odd());
    full.file.further = Further {
        now: words("b"),
        before: words("a"),
        owner_before: Some("bin".into()),
        group_before: Some("bin".into()),
        digests: vec![Digest::Md5([5; 16])],
    };
    full.gap = Some(Gap {
        from: at(-100),
        to: at(0),
    });
    full.diff = Some("--- a\n+++ b\n".into());
    full.bytes = Some(0);
    full.observed = false;
    full.replaced = true;
    full.unread = Some("it is a link".into());
    full.truncated = vec!["process.args".into()];
    full.actors = full.actor.iter().cloned().collect();
    if let Some(actor) = &mut full.actor {
        actor.process.executable_gone = true;
        actor.process.executable_in_memory = true;
        actor.process.kernel = true;
    }
    full
}

fn notice() -> Notice {
    Notice {
        message: "fimk watches 12 objects".into(),
        plan: vec![
            ("vfs_write".into(), "trampoline".into()),
            ("d_move".into(), "absent".into()),
        ],
        counts: vec![("watched".into(), 12), ("lost".into(), 0)],
        lost: vec![("vfs_write".into(), vec![("ring_full".into(), 3)])],
        gap: Some(Gap {
            from: at(-100),
            to: at(0),
        }),
        config_digest: Some("ab".repeat(32)),
    }
}

fn parsed(event: &Event) -> Value {
    let line = ecs_line(event, &host());
    assert!(line.len() <= LINE_BYTES_MAX, "{} bytes", line.len());
    assert!(
        !line.contains(|character: char| character.is_control()
            || "\u{2028}\u{2029}\u{202e}".contains(character))
    );
    let value = serde_json::from_str(&line).expect("valid JSON");
    check(&value);
    value
}

/// The dotted names of a line, after a check that each is known and of its kind.
fn check(line: &Value) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    check_members("", line, &mut seen);
    seen
}

fn check_members(prefix: &str, value: &Value, seen: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().expect(prefix) {
        assert!(!key.contains('.'), "{prefix}{key} is dotted");
        let name = format!("{prefix}{key}");
        if let Some((_, kind)) = FIELDS.iter().find(|(field, _)| *field == name) {
            assert!(is_of(*kind, value), "{name} is {value}");
            seen.insert(name);
        } else {
            assert!(value.is_object(), "{name} is no known field");
            check_members(&format!("{name}."), value, seen);
        }
    }
}

fn is_of(kind: Kind, value: &Value) -> bool {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let list = |of: &dyn Fn(&Value) -> bool| {
        value
            .as_array()
            .is_some_and(|list| !list.is_empty() && list.iter().all(of))
    };
    let map = |of: &dyn Fn(&Value) -> bool| {
        value
            .as_object()
            .is_some_and(|map| !map.is_empty() && map.values().all(of))
    };
    match kind {
        Kind::Text => text(value),
        Kind::Time => value
            .as_str()
            .is_some_and(|time| time.len() == 30 && time.ends_with('Z')),
        Kind::Integer => value.is_u64(),
        Kind::Flag => value.is_boolean(),
        // An argument may well be empty.
        Kind::Texts => list(&|item: &Value| item.is_string()),
        Kind::Objects => list(&has_no_gaps),
        Kind::TextMap => map(&text),
        Kind::IntegerMap => map(&|item: &Value| item.is_u64()),
        Kind::IntegerMaps => map(&|item: &Value| {
            item.as_object()
                .is_some_and(|inner| !inner.is_empty() && inner.values().all(Value::is_u64))
        }),
    }
}

fn has_no_gaps(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty() && members.values().all(has_no_gaps),
        _ => true,
    }
}

#[test]
fn a_change_is_one_line_of_nested_fields() {
    let line = ecs_line(&changed(change()), &host());
    let expected = concat!(
        r#"{"@timestamp":"2026-11-18T11:06:41.000000005Z","agent":{"name":"fimk","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""},"container":{"id":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},"#,
        r#""ecs":{"version":"8.17.0"},"event":{"action":"modified","category":["file"],"#,
        r#""created":"2026-11-18T11:06:42.000000005Z","end":"2026-11-18T11:06:41.000000005Z","kind":"event","#,
        r#""sequence":42,"severity":99,"start":"2026-11-18T11:06:40.000000005Z","type":["change"]},"#,
        r#""file":{"ctime":"2026-11-18T11:06:40.000000005Z","device":"8:1","directory":"/etc","gid":"0","#,
        r#""group":"root","hash":{"sha256":"abababababababababababababababababababababababababababababababab"},"#,
        r#""inode":"262158","mode":"0644","mtime":"2026-11-18T11:06:40.000000005Z","name":"passwd","#,
        r#""owner":"root","path":"/etc/passwd","size":1716,"type":"file","uid":"0"},"#,
        r#""fimk":{"ancestors":[{"executable":"/usr/bin/bash","name":"bash","pid":700,"start":"2026-11-18T11:05:40.000000005Z"},"#,
        r#"{"executable":"/usr/sbin/sshd","name":"sshd","pid":650,"start":"2026-11-18T11:05:40.000000005Z"}],"#,
        r#""attributed_by":["program","process_table"],"before":{"size":1719},"cgroup":"/system.slice/docker.service","changes":[{"after":"0","before":"1000","field":"uid","subject":"user alice"}],"#,
        r#""content":"changed","count":2,"detected_by":"event","#,
        r#""findings":[{"id":"passwd-uid-zero","message":"user alice is another root: uid 0","severity":99}],"#,
        r#""links":1,"login_uid":1000,"mode_symbolic":"-rw-r--r--","operations":["rename"],"#,
        r#""pid_in_namespace":7,"rule":"identity","rules":["identity","etc"],"session":3,"source":"bpf"},"#,
        r#""host":{"boot":{"id":"0f8fad5b-d9cb-469f-a165-70867728950e"},"name":"web1"},"#,
        r#""message":"/etc/passwd modified: user alice uid 1000 → 0; by /usr/sbin/usermod (pid 812) ← bash ← sshd, login uid 1000","#,
        r#""process":{"args":["usermod","-u","0","-o","alice"],"command_line":"usermod -u 0 -o alice","#,
        r#""executable":"/usr/sbin/usermod","name":"usermod","parent":{"executable":"/usr/bin/bash","name":"bash","#,
        r#""pid":700,"start":"2026-11-18T11:05:40.000000005Z"},"pid":812,"start":"2026-11-18T11:05:40.000000005Z"},"#,
        r#""tags":["pci-dss-11.5.2"],"user":{"id":"0","name":"root"}}"#,
    );
    assert_eq!(line, expected);
    check(&serde_json::from_str(&line).expect("valid JSON"));
}

#[test]
fn a_notice_is_a_state_of_the_host() {
    let line = parsed(&event(Action::MonitorStarted, Body::Notice(notice())));
    assert_eq!(line["event"]["kind"], "state");
    assert_eq!(
        (&line["event"]["category"][0], &line["event"]["type"][0]),
        (&"host".into(), &"start".into())
    );
    assert_eq!(line["@timestamp"], line["event"]["created"]);
    assert_eq!(line["fimk"]["plan"]["vfs_write"], "trampoline");
    assert_eq!(line["fimk"]["counts"]["lost"], 0);
    assert_eq!(line["message"], "fimk watches 12 objects");
}

#[test]
fn what_is_unknown_is_absent() {
    let mut gone = change();
    gone.file.attributes = None;
    gone.file.before = None;
    gone.file.digest = None;
    gone.actor = Some(Actor::default());
    gone.count = 0;
    gone.changes = vec![difference("password", "", "")];
    let line = parsed(&changed(gone));
    for pointer in [
        "/file/size",
        "/file/hash",
        "/process",
        "/user",
        "/fimk/count",
        "/fimk/login_uid",
        "/fimk/before",
        "/fimk/links",
    ] {
        assert_eq!(line.pointer(pointer), None, "{pointer}");
    }
    assert_eq!(
        line["fimk"]["changes"][0],
        serde_json::json!({"subject": "user alice", "field": "password"})
    );
}

#[test]
fn a_mode_is_told_as_ls_does() {
    for (kind, mode, text) in [
        (FileKind::File, 0o4755, "-rwsr-xr-x"),
        (FileKind::File, 0o6644, "-rwSr-Sr--"),
        (FileKind::Directory, 0o1777, "drwxrwxrwt"),
        (FileKind::Symlink, 0o777, "lrwxrwxrwx"),
    ] {
        let mut told = change();
        let before = Attributes {
            mode: 0o600,
            ..attributes()
        };
        told.file.before = Some(before);
        told.file.attributes = Some(Attributes {
            kind,
            mode,
            ..attributes()
        });
        let line = parsed(&changed(told));
        assert_eq!(line["fimk"]["mode_symbolic"], text);
        assert_eq!(line["fimk"]["before"]["mode_symbolic"], "-rw-------");
    }
}

#[test]
fn what_an_object_has_is_told_as_now_and_as_before() {
    let line = parsed(&changed(full()));
    assert_eq!(
        line["file"]["attributes"],
        serde_json::json!(["immutable", "flag-b"])
    );
    let now = &line["fimk"];
    let before = &now["before"];
    for (side, letter) in [(now, "b"), (before, "a")] {
        assert_eq!(side["file_system"], format!("ext{letter}"));
        assert_eq!(side["acl"][0], format!("user:{letter}:rw-"));
        assert_eq!(side["default_acl"][0], format!("group:{letter}:r--"));
        assert_eq!(side["capabilities"], format!("cap_{letter}+ep"));
        assert_eq!(side["selinux"], format!("system_u:object_r:{letter}_t:s0"));
        assert_eq!(
            side["xattrs"],
            serde_json::json!([{ "name": "user.note", "value": letter }])
        );
    }
    let hashes = line["file"]["hash"].as_object().map(serde_json::Map::len);
    assert_eq!(
        (hashes, before["attributes"][1].as_str()),
        (Some(2), Some("flag-a"))
    );
    assert_eq!(
        (&before["owner"], &before["group"]),
        (&"bin".into(), &"bin".into())
    );
}

#[test]
fn every_known_field_occurs_and_no_other() {
    let mut seen = check(&parsed(&changed(full())));
    let mut keyed = change();
    keyed.file.digest = Some(Digest::Keyed([1; 32]));
    // One of several, and nobody in particular.
    keyed.actors = keyed.actor.take().into_iter().collect();
    seen.append(&mut check(&parsed(&changed(keyed))));
    for digest in [
        Digest::Blake3([2; 32]),
        Digest::Sha512([[3; 32]; 2]),
        Digest::Sha1([4; 20]),
        Digest::Md5([5; 16]),
    ] {
        let mut other_hash = change();
        other_hash.file.digest = Some(digest);
        seen.append(&mut check(&parsed(&changed(other_hash))));
    }
    seen.append(&mut check(&parsed(&event(
        Action::MonitorStarted,
        Body::Notice(notice()),
    ))));
    seen.append(&mut check(&parsed(&denied())));
    seen.append(&mut check(&parsed(&burst())));
    seen.append(&mut check(&parsed(&rejected())));
    seen.append(&mut check(&parsed(&accepted())));
    let known: BTreeSet<String> = FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, known);
}

fn rejected() -> Event {
    let configured = Configured {
        notice: notice(),
        previous_digest: Some("cd".into()),
        not_reloaded: vec!["objects_max".into()],
        error: Some("fimk.toml:1:1: unknown key".into()),
    };
    event(
        Action::ConfigRejected,
        Body::Configured(Box::new(configured)),
    )
}

fn accepted() -> Event {
    let asked = Asked {
        notice: notice(),
        by: Asker {
            uid: 0,
            user: Some("root".into()),
            login_uid: Some(1000),
        },
        rule: Some("accounts".into()),
        through: Some(42),
        path: Some("/etc/*".into()),
        note: Some("CHG-1".into()),
    };
    event(Action::BaselineAccepted, Body::Asked(Box::new(asked)))
}

fn burst() -> Event {
    let one = full();
    let burst = Burst {
        root: one.actor.unwrap_or_default(),
        events: 503,
        first: 1_001,
        last: 2_235,
        start: one.start,
        end: one.end,
        count: 2_000,
        bytes: 70_000,
        actions: vec![("created".into(), 500), ("attributes_modified".into(), 3)],
        directory: BytePath::new(b"/usr"),
        rules: vec!["programs".into()],
    };
    event(Action::Burst, Body::Burst(Box::new(burst)))
}

#[test]
fn a_burst_is_a_change_of_many_files_told_by_its_directory_and_its_process() {
    let line = parsed(&burst());
    assert_eq!(line["file"], serde_json::json!({ "directory": "/usr" }));
    assert_eq!(line["event"]["kind"], "event");
    let message = line["message"].as_str().unwrap_or_default();
    let beginning =
        "503 changes below /usr: 500 created, 3 attributes modified; stored as 1001 to 2235; by ";
    assert!(message.starts_with(beginning), "{message}");
}

fn denied() -> Event {
    let on = Change {
        operations: vec!["open_write".into()],
        content: None,
        changes: Vec::new(),
        findings: Vec::new(),
        ..change()
    };
    let attempt = Attempt {
        on,
        error: Some(13),
    };
    event(Action::Denied, Body::Attempt(Box::new(attempt)))
}

#[test]
fn what_was_denied_says_with_which_error_and_that_it_failed() {
    let line = parsed(&denied());
    assert_eq!(line["event"]["action"], "denied");
    assert_eq!(line["event"]["outcome"], "failure");
    assert_eq!(line["event"]["kind"], "event");
    assert_eq!(line["error"]["code"], "EACCES");
    assert_eq!(
        line["message"],
        "/etc/passwd denied: open_write (EACCES), 2 times; by /usr/sbin/usermod (pid 812) ← bash ← sshd, \
         login uid 1000"
    );
    let on = change();
    let executed = Attempt { on, error: None };
    let line = parsed(&event(Action::Executed, Body::Attempt(Box::new(executed))));
    assert_eq!(line["event"]["category"][0], "process");
    assert_eq!(line["event"]["type"][0], "start");
    assert!(line.get("error").is_none() && line["event"].get("outcome").is_none());
}

#[test]
fn a_finding_bears_the_time_of_detection() {
    for (detected_by, expected) in [
        (DetectedBy::Gap, at(2)),
        (DetectedBy::Scan, at(2)),
        (DetectedBy::Late, at(1)),
    ] {
        let line = parsed(&changed(Change {
            detected_by,
            ..change()
        }));
        assert_eq!(line["@timestamp"], expected.rfc3339());
        assert_eq!(line["event"]["end"], expected.rfc3339());
    }
}

#[test]
fn names_made_to_forge_lines_stay_within_theirs() {
    for name in [
        "\n{\"event\":1}",
        "\"},\"x\":{\"",
        "\x1b[2J",
        "\u{2028}",
        "\u{85}",
        "\u{202e}txt.exe",
        "\\x0a",
        "\r\n",
        "\u{7f}",
    ] {
        let mut forged = change();
        forged.file.path = BytePath::new(format!("/etc/{name}").as_bytes());
        forged.previous_path = Some(forged.file.path.clone());
        forged.changes = vec![difference(name, name, name)];
        forged.diff = Some(name.into());
        forged.actor = Some(Actor {
            process: Process {
                args: vec![name.into()],
                name: Some(name.into()),
                ..process(1, name)
            },
            user: Some(name.into()),
            ..Actor::default()
        });
        let line = parsed(&changed(forged));
        assert_eq!(line["process"]["args"][0], *name);
        assert_eq!(line["fimk"]["diff"], *name);
    }
}

#[test]
fn a_path_that_is_not_text_is_escaped_and_given_in_full() {
    let mut odd = change();
    odd.file.path = BytePath::new(b"/etc/\xff\n.c\xfe");
    let line = parsed(&changed(odd));
    assert_eq!(line["file"]["path"], "/etc/\\xff\\x0a.c\\xfe");
    assert_eq!(line["file"]["extension"], "c\\xfe");
    assert_eq!(line["fimk"]["path_bytes"], "L2V0Yy//Ci5j/g==");
    assert_eq!(parsed(&changed(change()))["fimk"].get("path_bytes"), None);
}

#[test]
fn what_is_worth_least_is_cut_first() {
    let mut long = change();
    long.diff = Some("+ é\n".repeat(50_000));
    let line = parsed(&changed(long));
    assert_eq!(line["fimk"]["truncated"], serde_json::json!(["fimk.diff"]));
    assert!(line["fimk"]["diff"].as_str().expect("a part is left").len() > 40_000);
    assert_eq!(line["process"]["args"].as_array().map(Vec::len), Some(5));

    let mut long = change();
    long.changes = vec![difference("uid", "1000", "0"); 5_000];
    let line = parsed(&changed(long));
    assert_eq!(
        line["fimk"]["truncated"],
        serde_json::json!(["fimk.changes"])
    );
    assert!(
        line["fimk"]["changes"]
            .as_array()
            .expect("a part is left")
            .len()
            > 500
    );
}

#[test]
fn the_message_is_short_and_plain() {
    let mut long = change();
    long.file.path = BytePath::new(&b"/\x01".repeat(10_000));
    long.changes = vec![difference("uid", &"x\n".repeat(1000), "y"); 10];
    let sentence = message::sentence(Action::Modified, &long);
    assert!(
        sentence.len() <= 1024 && !sentence.contains(char::is_control),
        "{sentence}"
    );
    assert!(
        sentence.contains(" and 6 more; by /usr/sbin/usermod (pid 812) ← bash"),
        "{sentence}"
    );
}

#[test]
fn the_message_says_how_and_by_whom() {
    let mut renamed = change();
    renamed.previous_path = Some(BytePath::new(b"/etc/old"));
    renamed.changes = vec![
        difference("", "", "x"),
        difference("", "x", ""),
        difference("shell", "", "/bin/sh"),
    ];
    renamed.actors = vec![Actor::default(), Actor::default()];
    renamed.actor = None;
    renamed.detected_by = DetectedBy::Gap;
    assert_eq!(
        message::sentence(Action::Renamed, &renamed),
        "/etc/passwd renamed from /etc/old: user alice added, user alice removed, user alice shell set to /bin/sh; \
         by one of 2 processes; happened while nothing was watching"
    );
}

#[test]
fn the_manual_describes_exactly_the_fields_there_are() {
    let page = include_str!("../../../../man/fimk-events.7");
    let described: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".It Va "))
        .collect();
    assert_eq!(described, FIELDS.iter().map(|(name, _)| *name).collect());
}

#[test]
fn the_manual_describes_every_action() {
    let page = include_str!("../../../../man/fimk-events.7");
    for action in Action::ALL {
        assert!(
            page.lines()
                .any(|line| line == format!(".It Ql {}", action.name())),
            "{}",
            action.name()
        );
    }
}
