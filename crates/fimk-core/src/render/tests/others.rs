//! The renderings beside ECS: each against its own grammar, and none gives a hostile name a line or a field.

use std::collections::BTreeMap;

use super::*;

/// What people put into names to be taken for something else.
pub(super) const HOSTILE: [&str; 14] = [
    "\n<13>1 - - root - - - all is well",
    "\"] [x@1 a=\"b",
    "]",
    "\\",
    "\\\"",
    "\x1b[2J\x1b]0;title\x07",
    "\u{2028}second",
    "\u{85}second",
    "\u{9b}31m",
    "\u{202e}txt.exe",
    "\r\nsecond",
    "\u{7f}\u{0}",
    "a\nFIMK_FORGED=1\nMESSAGE_ID=0",
    "\u{feff}é日本",
];

/// Events in which everything that others choose is this.
pub(super) fn forged(name: &str) -> Vec<Event> {
    let mut one = full();
    one.file.path = BytePath::new(format!("/etc/{name}").as_bytes());
    one.previous_path = Some(BytePath::new(
        &[format!("/etc/{name}").as_bytes(), b"\xff\xfe"].concat(),
    ));
    one.changes = vec![difference(name, name, name)];
    one.diff = Some(name.into());
    one.tags = vec![name.into(), name.into()];
    one.rule = name.into();
    one.unread = Some(name.into());
    one.file.owner = Some(name.into());
    one.actor = Some(Actor {
        process: Process {
            args: vec![name.into(), name.into()],
            name: Some(name.into()),
            ..process(1, name)
        },
        user: Some(name.into()),
        ..Actor::default()
    });
    let mut burst = burst();
    if let Body::Burst(burst) = &mut burst.body {
        burst.directory = one.file.path.clone();
        burst.rules = vec![name.into()];
        burst.root = one.actor.clone().unwrap_or_default();
    }
    let notice = Notice {
        message: name.into(),
        counts: vec![(name.into(), 1)],
        ..notice()
    };
    let attempt = Attempt {
        on: one.clone(),
        error: Some(13),
    };
    let configured = Configured {
        notice: notice.clone(),
        previous_digest: Some(name.into()),
        not_reloaded: vec![name.into()],
        error: Some(name.into()),
    };
    let asked = Asked {
        notice: notice.clone(),
        by: Asker {
            uid: 0,
            user: Some(name.into()),
            login_uid: None,
        },
        rule: Some(name.into()),
        through: None,
        path: Some(name.into()),
        note: Some(name.into()),
    };
    vec![
        event(
            Action::ConfigRejected,
            Body::Configured(Box::new(configured)),
        ),
        event(Action::BaselineAccepted, Body::Asked(Box::new(asked))),
        changed(one),
        burst,
        event(Action::Degraded, Body::Notice(notice)),
        event(Action::Denied, Body::Attempt(Box::new(attempt))),
    ]
}

/// Every event that the tests have, and the forged ones.
pub(super) fn all() -> Vec<Event> {
    let plain = [
        changed(full()),
        changed(change()),
        burst(),
        denied(),
        event(Action::MonitorStarted, Body::Notice(notice())),
        event(Action::Heartbeat, Body::Notice(notice())),
    ];
    let forged = HOSTILE.iter().flat_map(|name| forged(name));
    plain.into_iter().chain(forged).collect()
}

fn is_one_harmless_line(text: &str) -> bool {
    !text.chars().any(|it| it.is_control() || is_active(it))
}

#[test]
fn no_name_gives_a_rendering_another_line_or_acts_on_a_terminal() {
    for event in all() {
        let lines = [
            ecs_line(&event, &host()),
            ocsf_line(&event, &host()),
            text_line(&event),
            table_row(&event),
            sentence(&event),
            syslog_message(&event, &host(), 10, 7, None),
            syslog_message(&event, &host(), 10, 7, Some(&ecs_line(&event, &host()))),
        ];
        for line in lines {
            assert!(is_one_harmless_line(&line), "{line:?}");
        }
    }
}

#[test]
fn no_name_gives_metrics_another_line_or_label() {
    for name in HOSTILE {
        let status = serde_json::json!({
            "version": name,
            "events": { "by_rule": { name: 7 } },
            "outputs": [{ "name": name, "lag": 1 }],
        });
        let text = metrics(&status);
        let escaped = name
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        for line in [
            format!("fimk_events_by_rule_total{{rule=\"{escaped}\"}} 7"),
            format!("fimk_output_lag_events{{output=\"{escaped}\"}} 1"),
        ] {
            assert_eq!(
                text.split('\n').filter(|it| **it == line).count(),
                1,
                "{text}"
            );
        }
        let samples = text
            .split('\n')
            .filter(|it| !it.starts_with('#') && !it.is_empty());
        assert_eq!(samples.count(), 5, "{text}");
    }
}

#[test]
fn a_line_for_a_person_has_the_time_the_severity_the_number_and_the_sentence() {
    assert_eq!(
        text_line(&changed(change())),
        "2026-11-18T11:06:42.000000005Z critical 42 /etc/passwd modified: user alice uid 1000 → 0; \
         by /usr/sbin/usermod (pid 812) ← bash ← sshd, login uid 1000"
    );
}

#[test]
fn columns_stand_below_their_names_whatever_is_in_them() {
    let head = table_head();
    let at = head.find("PATH").expect("the last column");
    for event in all() {
        let row = table_row(&event);
        let before: Vec<char> = row.chars().take(at).collect();
        assert_eq!(before.last(), Some(&' '), "{row}");
        assert!(row.chars().count() > at, "{row}");
    }
    let row = table_row(&changed(change()));
    assert_eq!(
        row,
        "2026-11-18 11:06:42 42       critical modified            root       usermod          /etc/passwd"
    );
}

/// The parts of a message, as RFC 5424 has them; panics where the grammar is not kept.
struct Message {
    priority: u32,
    header: Vec<String>,
    id: String,
    parameters: Vec<(String, String)>,
    words: String,
}

fn parse_syslog(text: &str) -> Message {
    let (priority, rest) = text
        .strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .expect("a priority");
    let rest = rest.strip_prefix("1 ").expect("the version");
    let mut words = rest.splitn(6, ' ');
    let header: Vec<String> = words.by_ref().take(5).map(str::to_owned).collect();
    for word in &header {
        assert!(!word.is_empty() && word.bytes().all(|it| it.is_ascii_graphic()));
    }
    let rest = words.next().expect("structured data");
    let mut message = Message {
        priority: priority.parse().expect("a number"),
        header,
        id: String::new(),
        parameters: Vec::new(),
        words: String::new(),
    };
    if let Some(words) = rest.strip_prefix("- ") {
        message.words = words.to_owned();
        return message;
    }
    parse_element(rest, &mut message);
    message
}

fn parse_element(text: &str, message: &mut Message) {
    let mut rest = text.strip_prefix('[').expect("an element");
    let end = rest.find([' ', ']']).expect("it goes on");
    message.id = rest[..end].to_owned();
    rest = &rest[end..];
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, value) = parameter.split_once("=\"").expect("a parameter");
        assert!((1..=32).contains(&name.len()), "{name}");
        assert!(!name.contains(['=', ' ', ']', '"']), "{name}");
        let (value, length) = unescaped(value);
        message.parameters.push((name.to_owned(), value));
        rest = &parameter[name.len() + 2 + length..];
    }
    rest = rest.strip_prefix(']').expect("the end of the element");
    message.words = rest.strip_prefix(' ').expect("words").to_owned();
}

/// A value up to its closing quote, and how many bytes it took with it.
fn unescaped(text: &str) -> (String, usize) {
    let mut out = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next().expect("a closing quote") {
            (at, '"') => return (out, at + 1),
            (_, '\\') => {
                let (_, next) = characters.next().expect("what is escaped");
                assert!("\"\\]".contains(next), "{next}");
                out.push(next);
            }
            (_, plain) => {
                assert_ne!(plain, ']');
                out.push(plain);
            }
        }
    }
}

#[test]
fn a_message_is_as_rfc_5424_has_it_and_has_fields_of_ours_only() {
    let known: BTreeSet<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    for event in all() {
        let text = syslog_message(&event, &host(), 10, 7, None);
        assert!(text.len() <= SYSLOG_BYTES_MAX, "{}", text.len());
        let message = parse_syslog(&text);
        assert_eq!(message.priority, 8 * 10 + 2);
        assert_eq!(
            message.header,
            [
                "2026-11-18T11:06:42.000000Z",
                "web1",
                "fimk",
                "7",
                event.action.name()
            ]
        );
        assert_eq!(message.id, SYSLOG_ELEMENT);
        for (name, _) in &message.parameters {
            assert!(known.contains(name.as_str()), "{name}");
        }
        assert_eq!(message.words, sentence(&event));
    }
}

#[test]
fn what_a_message_has_is_what_the_json_line_has() {
    let event = changed(change());
    let message = parse_syslog(&syslog_message(&event, &host(), 16, 7, None));
    let line = parsed(&event);
    let of = |name: &str| -> Vec<&str> {
        let all = message.parameters.iter().filter(|(it, _)| it == name);
        all.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(of("file.path"), ["/etc/passwd"]);
    assert_eq!(of("event.sequence"), ["42"]);
    assert_eq!(of("process.args").len(), 5);
    assert_eq!(of("fimk.changes"), [one_line(&line["fimk"]["changes"])]);
    assert!(of("fimk.truncated").is_empty());
}

#[test]
fn a_message_that_would_be_too_long_is_cut_and_says_of_what() {
    let mut long = change();
    long.diff = Some("d\"\\]".repeat(20_000));
    long.file.path = BytePath::new(&[b"/".as_slice(), &b"\xff".repeat(4_000)].concat());
    let text = syslog_message(&changed(long), &host(), 10, 7, None);
    assert!(text.len() <= SYSLOG_BYTES_MAX, "{}", text.len());
    let message = parse_syslog(&text);
    let names: Vec<&str> = message
        .parameters
        .iter()
        .filter(|(name, _)| name == "fimk.truncated")
        .map(|(_, value)| value.as_str())
        .collect();
    assert!(names.contains(&"fimk.diff"), "{names:?}");
    assert!(names.contains(&"file.path"), "{names:?}");
    let has = |name: &str| message.parameters.iter().any(|(it, _)| it == name);
    assert!(has("file.path") && has("event.action") && has("fimk.rule"));
}

#[test]
fn a_host_whose_name_is_no_word_is_not_named() {
    for name in ["", "two words", "é", &"h".repeat(256)] {
        let host = Host { name: name.into() };
        let message = parse_syslog(&syslog_message(&changed(change()), &host, 1, 7, None));
        assert_eq!(message.header[1], "-");
    }
}

/// The fields of an entry, as journald reads them.
fn parse_journal(mut entry: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|it| *it == b'\n').expect("a line");
        let (line, rest) = (&entry[..end], &entry[end + 1..]);
        let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        if let Some(equals) = line.iter().position(|it| *it == b'=') {
            fields.push((name(&line[..equals]), line[equals + 1..].to_vec()));
            entry = rest;
        } else {
            let (length, rest) = rest.split_first_chunk::<8>().expect("a length");
            let length = usize::try_from(u64::from_le_bytes(*length)).expect("small");
            fields.push((name(line), rest[..length].to_vec()));
            assert_eq!(rest[length], b'\n');
            entry = &rest[length + 1..];
        }
    }
    fields
}

#[test]
fn an_entry_of_the_journal_has_fields_of_ours_only() {
    let mut known: BTreeSet<String> = FIELDS
        .iter()
        .filter_map(|(name, _)| journal_name(name))
        .collect();
    assert_eq!(known.len(), FIELDS.len() - 1, "two fields of one name");
    for name in &known {
        assert!(name.len() <= JOURNAL_NAME_BYTES_MAX, "{name}");
        let plain = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_';
        assert!(name.bytes().all(plain), "{name}");
        assert!(
            name.starts_with(|it: char| it.is_ascii_uppercase()),
            "{name}"
        );
    }
    known.extend(["MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"].map(str::to_owned));
    for event in all() {
        let fields = parse_journal(&journal_entry(&event, &host()));
        for (name, _) in &fields {
            assert!(known.contains(name), "{name}");
        }
        for name in ["MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"] {
            let count = fields.iter().filter(|(it, _)| it == name).count();
            assert_eq!(count, 1, "{name}");
        }
    }
}

#[test]
fn an_entry_has_as_many_fields_as_journald_takes_and_says_what_was_cut() {
    let mut many = change();
    let acl = (0..1_500).map(|user| format!("user:{user}:rw-"));
    many.file.further.now.acl = acl.collect();
    if let Some(actor) = &mut many.actor {
        actor.process.args = vec![String::new(); 512];
    }
    many.truncated = vec!["fimk.diff".into()];
    let fields = parse_journal(&journal_entry(&changed(many), &host()));
    assert!(fields.len() <= 1_024, "{}", fields.len());
    let of = |name: &str| fields.iter().filter(|(it, _)| it == name).count();
    assert!(of("FIMK_ACL") > 100 && of("FIMK_PROCESS_ARGS") > 100);
    let cut = fields.iter().filter(|(name, _)| name == "FIMK_TRUNCATED");
    let cut: Vec<&[u8]> = cut.map(|(_, value)| value.as_slice()).collect();
    assert!(cut.contains(&b"fimk.acl".as_slice()) && cut.contains(&b"fimk.diff".as_slice()));
    let usual = parse_journal(&journal_entry(&changed(change()), &host()));
    assert!(usual.iter().all(|(name, _)| name != "FIMK_TRUNCATED"));
}

#[test]
fn an_entry_has_what_the_json_line_has_with_its_newlines() {
    let mut two_lines = change();
    two_lines.diff = Some("-a\n+b\n".into());
    let fields = parse_journal(&journal_entry(&changed(two_lines), &host()));
    let of = |name: &str| -> Vec<String> {
        let all = fields.iter().filter(|(it, _)| it == name);
        all.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    };
    assert_eq!(of("FIMK_FILE_PATH"), ["/etc/passwd"]);
    assert_eq!(of("FIMK_DIFF"), ["-a\n+b\n"]);
    assert_eq!(of("FIMK_PROCESS_ARGS")[0], "usermod");
    assert_eq!(of("FIMK_EVENT_SEQUENCE"), ["42"]);
    assert_eq!(of("PRIORITY"), ["2"]);
    assert_eq!(of("MESSAGE_ID"), [message_id(Action::Modified)]);
}

#[test]
fn the_catalog_explains_every_action_and_names_fields_of_ours_only() {
    let catalog = include_str!("../../../../../packaging/fimk.catalog");
    let ids: Vec<&str> = catalog
        .lines()
        .filter_map(|line| line.strip_prefix("-- "))
        .collect();
    let known: Vec<&str> = Action::ALL.into_iter().map(message_id).collect();
    assert_eq!(ids, known, "in the order of the actions");
    let distinct: BTreeSet<&str> = known.iter().copied().collect();
    assert_eq!(distinct.len(), known.len());
    let names: BTreeSet<String> = FIELDS
        .iter()
        .filter_map(|(name, _)| journal_name(name))
        .chain(["MESSAGE".to_owned()])
        .collect();
    for (at, word) in catalog.split('@').enumerate() {
        assert!(at % 2 == 0 || names.contains(word), "{word}");
    }
}

/// What the schema of OCSF 1.4 wants of an object, by dotted names: `s` string, `i` integer, `o` object, `l` list;
/// with `!` what is required.
const OCSF: [(&str, &str); 45] = [
    ("activity_id", "i!"),
    ("activity_name", "s"),
    ("actor", "o"),
    ("category_name", "s"),
    ("category_uid", "i!"),
    ("class_name", "s"),
    ("class_uid", "i!"),
    ("count", "i"),
    ("device", "o"),
    ("device.hostname", "s"),
    ("device.name", "s"),
    ("device.type_id", "i!"),
    ("end_time", "i"),
    ("file", "o"),
    ("file.hashes", "l"),
    ("file.mode", "i"),
    ("file.modified_time", "i"),
    ("file.name", "s!"),
    ("file.owner", "o"),
    ("file.owner.name", "s"),
    ("file.owner.uid", "s"),
    ("file.parent_folder", "s"),
    ("file.path", "s"),
    ("file.security_descriptor", "s"),
    ("file.size", "i"),
    ("file.type", "s"),
    ("file.type_id", "i!"),
    ("file_result", "o"),
    ("message", "s"),
    ("metadata", "o!"),
    ("metadata.logged_time", "i"),
    ("metadata.product", "o!"),
    ("metadata.product.name", "s"),
    ("metadata.product.vendor_name", "s!"),
    ("metadata.product.version", "s"),
    ("metadata.sequence", "i"),
    ("metadata.uid", "s"),
    ("metadata.version", "s!"),
    ("severity", "s"),
    ("severity_id", "i!"),
    ("start_time", "i"),
    ("status", "s"),
    ("status_id", "i"),
    ("time", "i!"),
    ("type_uid", "i!"),
];

fn check_ocsf(prefix: &str, value: &Value, schema: &BTreeMap<&str, &str>) {
    for (key, value) in value.as_object().expect("an object") {
        let name = format!("{prefix}{key}");
        // Processes and files in processes are held to the rule of their own; `unmapped` is free, and so are names of
        // attributes.
        if matches!(
            name.as_str(),
            "unmapped" | "actor" | "file_result" | "file.xattributes"
        ) {
            continue;
        }
        let kind = schema.get(name.as_str()).copied();
        let kind = kind.unwrap_or_else(|| panic!("{name} is not in the schema"));
        let fits = match &kind[..1] {
            "s" => value.is_string(),
            "i" => value.is_i64() || value.is_u64(),
            "l" => value.is_array(),
            _ => value.is_object(),
        };
        assert!(fits, "{name}: {value}");
        if value.is_object() {
            check_ocsf(&format!("{name}."), value, schema);
        }
    }
}

#[test]
fn an_ocsf_line_is_as_the_schema_of_its_class_has_it() {
    let schema: BTreeMap<&str, &str> = OCSF.into_iter().collect();
    for event in all() {
        let line = ocsf_line(&event, &host());
        assert!(line.len() <= LINE_BYTES_MAX);
        let value: Value = serde_json::from_str(&line).expect("it is JSON");
        check_ocsf("", &value, &schema);
        let of_class = value["class_uid"] == 1001;
        assert_eq!(of_class, event.action.kind() == "event", "{line}");
        for (name, kind) in &schema {
            let pointer = format!("/{}", name.replace('.', "/"));
            let applies = !name.starts_with("file") || of_class;
            let wanted = kind.ends_with('!') && applies;
            assert!(
                !wanted || value.pointer(&pointer).is_some(),
                "{name}: {line}"
            );
        }
        let activity = value["activity_id"].as_u64().expect("a number");
        let class = value["class_uid"].as_u64().expect("a number");
        assert_eq!(value["type_uid"], 100 * class + activity);
        if of_class {
            let actor = value["actor"].as_object().expect("required");
            assert!(actor.contains_key("process") || actor.contains_key("user"));
        }
    }
}

#[test]
fn an_ocsf_file_has_its_access_list_its_attributes_and_what_was_before() {
    let mut told = full();
    (told.previous_path, told.diff) = (None, None);
    let value: Value =
        serde_json::from_str(&ocsf_line(&changed(told), &host())).expect("it is JSON");
    let file = &value["file"];
    assert_eq!(file["hashes"][1]["algorithm"], "MD5");
    assert_eq!(file["security_descriptor"], "user:b:rw-,mask::rw-");
    assert_eq!(
        file["xattributes"],
        serde_json::json!({
            "security.selinux": "system_u:object_r:b_t:s0",
            "security.capability": "cap_b+ep",
            "user.note": "b",
        })
    );
    let unmapped = &value["unmapped"];
    assert_eq!(unmapped["file_attributes"][0], "immutable");
    assert_eq!(unmapped["before"]["selinux"], "system_u:object_r:a_t:s0");
}

#[test]
fn the_flat_renderings_have_every_entry_before_and_after() {
    let event = changed(full());
    let entry = String::from_utf8_lossy(&journal_entry(&event, &host())).into_owned();
    for line in [
        "FIMK_FILE_ATTRIBUTES=flag-b",
        "FIMK_ACL=user:b:rw-",
        "FIMK_BEFORE_ACL=user:a:rw-",
        "FIMK_FILE_SYSTEM=extb",
        "FIMK_BEFORE_CAPABILITIES=cap_a+ep",
        "FIMK_BEFORE_OWNER=bin",
        r#"FIMK_XATTRS=[{"name":"user.note","value":"b"}]"#,
    ] {
        assert!(entry.lines().any(|it| it == line), "{line}");
    }
    let message = syslog_message(&event, &host(), 10, 7, None);
    let told = parse_syslog(&message).parameters;
    for (name, value) in [
        ("file.attributes", "immutable"),
        ("fimk.before.selinux", "system_u:object_r:a_t:s0"),
        ("fimk.default_acl", "group:b:r--"),
    ] {
        let wanted = (name.to_owned(), value.to_owned());
        assert!(told.contains(&wanted), "{name}: {message}");
    }
}

#[test]
fn a_line_with_more_attributes_than_it_takes_loses_those_first() {
    let mut long = full();
    let many = |letter: &str| {
        let name = |at| format!("user.{letter}{at}");
        (0..400).map(|at| (name(at), "\u{1}".repeat(100))).collect()
    };
    long.file.further.now.xattrs = many("b");
    long.file.further.before = Words {
        xattrs: many("a"),
        ..Words::default()
    };
    (long.previous_path, long.file.before) = (None, None);
    (
        long.file.further.owner_before,
        long.file.further.group_before,
    ) = (None, None);
    let line = parsed(&changed(long.clone()));
    let cut = line["fimk"]["truncated"].as_array().expect("it is cut");
    assert!(cut.iter().any(|it| it == "fimk.before.xattrs"), "{cut:?}");
    assert_eq!(line["fimk"]["changes"].as_array().map(Vec::len), Some(1));
    let line = ocsf_line(&changed(long), &host());
    assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
}

#[test]
fn an_ocsf_rename_has_the_file_before_and_after() {
    let mut renamed = change();
    renamed.previous_path = Some(BytePath::new(b"/etc/old"));
    let event = event(Action::Renamed, Body::Change(Box::new(renamed)));
    let value: Value = serde_json::from_str(&ocsf_line(&event, &host())).expect("it is JSON");
    assert_eq!(value["activity_id"], 5);
    assert_eq!(value["file"]["path"], "/etc/old");
    assert_eq!(value["file_result"]["path"], "/etc/passwd");
    let parent = &value["actor"]["process"]["parent_process"];
    assert_eq!(parent["name"], "bash", "{value}");
    assert_eq!(parent["parent_process"]["name"], "sshd", "{value}");
}

#[test]
fn the_list_of_actions_is_whole_and_in_order() {
    for (at, action) in Action::ALL.into_iter().enumerate() {
        assert_eq!(action as usize, at);
        assert_eq!(Action::from_name(action.name()), Some(action));
    }
}
