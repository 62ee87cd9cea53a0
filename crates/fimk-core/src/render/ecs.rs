//! An event as a JSON object in the fields of ECS, and of our own below `fimk`.

use base64::{Engine, engine::general_purpose::STANDARD};
use fimk_consumers::{Difference, Finding};
use serde_json::Value;

use super::{
    cut, further,
    json::{self, Object},
    message::{MESSAGE_BYTES_MAX, attempt_sentence, burst_sentence, sentence},
    process::{actor, ancestors, container, process, set_circumstances, user},
};
use crate::{
    event::{
        Action, Asked, Body, Burst, Change, ContentVerdict, DetectedBy, Event, File, Gap, Notice,
        Source,
    },
    path::{BytePath, escaped},
    record::{Attributes, Digest, FileKind},
    text::{head, shown},
    time::Timestamp,
};

const ECS_VERSION: &str = "8.17.0";
/// What others said they cut: more, or longer ones, are no names of fields.
const TRUNCATED_MAX: usize = 32;
const TRUNCATED_BYTES_MAX: usize = 64;

/// What a line says of the machine. The boot is the event's own: it may be of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// As `hostname` prints it.
    pub name: String,
}

/// One JSON object on one line, without the newline, of at most [`cut::LINE_BYTES_MAX`] bytes.
/// No field is null or empty; [`super::FIELDS`] lists them all.
pub fn ecs_line(event: &Event, host: &Host) -> String {
    let mut document = document(event, host);
    cut::to_fit(&mut document);
    json::line(&document)
}

/// The same, for receivers that take less: at most `bytes_max` bytes, of which there is a KiB at least.
pub fn ecs_line_within(event: &Event, host: &Host, bytes_max: usize) -> String {
    let mut document = document(event, host);
    cut::to_fit_in(&mut document, bytes_max);
    let line = json::line(&document);
    if line.len() <= bytes_max {
        return line;
    }
    json::line(&cut::essence(&document, bytes_max))
}

/// The sentence of an event, which may still hold what acts on a terminal.
pub(super) fn message(event: &Event) -> String {
    match &event.body {
        Body::Change(change) => sentence(event.action, change),
        Body::Attempt(attempt) => {
            let error = attempt.error.map(error_name);
            attempt_sentence(event.action, &attempt.on, error.as_deref())
        }
        Body::Burst(burst) => burst_sentence(burst),
        Body::Notice(notice) => shown(&notice.message, MESSAGE_BYTES_MAX),
        Body::Configured(configured) => shown(&configured.notice.message, MESSAGE_BYTES_MAX),
        Body::Asked(asked) => shown(&asked.notice.message, MESSAGE_BYTES_MAX),
    }
}

/// All that is said of an event, however long.
pub(super) fn document(event: &Event, host: &Host) -> Object {
    let mut fimk = Object::default();
    fimk.set("source", event.source.map(Source::name));
    let mut document = Object::default();
    match &event.body {
        Body::Change(change) => set_object(&mut document, &mut fimk, change),
        Body::Attempt(attempt) => {
            if let Some(error) = attempt.error {
                document.set("error", nested("code", error_name(error)));
            }
            set_object(&mut document, &mut fimk, &attempt.on);
        }
        Body::Burst(burst) => set_burst(&mut document, &mut fimk, burst),
        Body::Notice(notice) => set_notice(&mut fimk, notice),
        Body::Configured(configured) => {
            if let Some(error) = &configured.error {
                document.set("error", nested("message", shown(error, MESSAGE_BYTES_MAX)));
            }
            set_notice(&mut fimk, &configured.notice);
            fimk.set("previous_config_digest", configured.previous_digest.clone());
            fimk.set("not_reloaded", configured.not_reloaded.clone());
        }
        Body::Asked(asked) => set_asked(&mut document, &mut fimk, asked),
    }
    document.set("message", message(event));
    let times = times(event);
    document.set("@timestamp", times.end.rfc3339());
    document.set("event", event_fields(event, &times));
    document.set("fimk", fimk);
    document.set("ecs", nested("version", ECS_VERSION));
    let mut of_host = nested("name", host.name.clone());
    of_host.set("boot", nested("id", event.boot.clone()));
    document.set("host", of_host);
    let mut agent = nested("name", "fimk");
    agent.set("version", env!("CARGO_PKG_VERSION"));
    document.set("agent", agent);
    document
}

/// What an event about a watched object says beside its sentence.
fn set_object(document: &mut Object, fimk: &mut Object, change: &Change) {
    document.set("file", of_file(&change.file));
    document.set("tags", change.tags.clone());
    if let Some(actor) = &change.actor {
        document.set("process", process(actor));
        document.set("user", user(actor));
        document.set("container", container(actor));
    }
    set_change(fimk, change);
}

/// What a burst says beside its sentence.
fn set_burst(document: &mut Object, fimk: &mut Object, burst: &Burst) {
    document.set("file", nested("directory", burst.directory.escaped()));
    document.set("process", process(&burst.root));
    document.set("user", user(&burst.root));
    document.set("container", container(&burst.root));
    fimk.set("ancestors", ancestors(&burst.root));
    set_circumstances(fimk, &burst.root);
    fimk.set("rules", burst.rules.clone());
    fimk.set("count", (burst.count > 0).then_some(burst.count));
    fimk.set("bytes", (burst.bytes > 0).then_some(burst.bytes));
    fimk.set("counts", integers(&burst.actions));
    let mut of = nested("events", burst.events);
    of.set("first_sequence", burst.first);
    of.set("last_sequence", burst.last);
    fimk.set("burst", of);
}

/// What somebody asked for says beside its sentence.
fn set_asked(document: &mut Object, fimk: &mut Object, asked: &Asked) {
    set_notice(fimk, &asked.notice);
    let mut user = nested("id", asked.by.uid.to_string());
    user.set("name", asked.by.user.clone());
    document.set("user", user);
    fimk.set("login_uid", asked.by.login_uid);
    fimk.set("rule", asked.rule.clone());
    let mut accepted = Object::default();
    accepted.set("through", asked.through);
    accepted.set("path", asked.path.clone());
    fimk.set("accepted", accepted);
    fimk.set("note", asked.note.clone());
}

/// `EACCES`: of those with which a call is refused.
fn error_name(errno: u32) -> String {
    match errno {
        1 => "EPERM".to_owned(),
        13 => "EACCES".to_owned(),
        26 => "ETXTBSY".to_owned(),
        30 => "EROFS".to_owned(),
        other => format!("errno {other}"),
    }
}

pub(super) fn nested(key: &str, value: impl Into<Value>) -> Object {
    let mut object = Object::default();
    object.set(key, value);
    object
}

/// First and last touch; for what was found and not seen, the time of detection.
struct Times {
    start: Option<Timestamp>,
    end: Timestamp,
}

fn times(event: &Event) -> Times {
    if let Body::Burst(burst) = &event.body {
        return Times {
            start: Some(burst.start),
            end: burst.end,
        };
    }
    match event.body.change() {
        None => Times {
            start: None,
            end: event.created,
        },
        Some(change) => match change.detected_by {
            DetectedBy::Event | DetectedBy::Late => Times {
                start: Some(change.start),
                end: change.end,
            },
            DetectedBy::Scan | DetectedBy::Gap => Times {
                start: Some(event.created),
                end: event.created,
            },
        },
    }
}

fn event_fields(event: &Event, times: &Times) -> Object {
    let action: Action = event.action;
    let mut object = Object::default();
    object.set("kind", action.kind());
    object.set("category", vec![action.category()]);
    object.set("type", vec![action.ecs_type()]);
    object.set("action", action.name());
    let failed = matches!(action, Action::Denied | Action::ConfigRejected);
    object.set("outcome", failed.then_some("failure"));
    object.set("sequence", event.sequence);
    object.set("severity", event.severity);
    object.set("created", event.created.rfc3339());
    if let Some(start) = times.start {
        object.set("start", start.rfc3339());
        object.set("end", times.end.rfc3339());
    }
    object
}

pub(super) fn of_file(file: &File) -> Object {
    let mut object = Object::default();
    object.set("path", file.path.escaped());
    object.set(
        "directory",
        file.path.parent().map(|parent| parent.escaped()),
    );
    object.set("name", escaped(file.path.name()));
    object.set("extension", extension(file.path.name()).map(escaped));
    if let Some(attributes) = &file.attributes {
        for (key, value) in attribute_members(attributes) {
            object.set(key, value);
        }
        // `fimk.links`, `fimk.mode_symbolic`: ECS has no fields for them.
        object.0.remove("links");
        object.0.remove("mode_symbolic");
    }
    object.set("attributes", file.further.now.flags.clone());
    object.set("owner", file.owner.clone());
    object.set("group", file.group.clone());
    object.set("target_path", file.target.as_ref().map(BytePath::escaped));
    let digests = file.digest.iter().chain(&file.further.digests);
    object.set("hash", digests.filter_map(hash).collect::<Object>());
    object
}

/// A digest for which ECS has a field, with its name.
fn hash(digest: &Digest) -> Option<(String, Value)> {
    let (name, digest) = match digest {
        Digest::Plain(digest) => ("sha256", hex(digest)),
        Digest::Sha512(halves) => ("sha512", halves.map(|it| hex(&it)).concat()),
        Digest::Sha1(digest) => ("sha1", hex(digest)),
        Digest::Md5(digest) => ("md5", hex(digest)),
        Digest::Keyed(_) | Digest::Blake3(_) => return None,
    };
    Some((name.to_owned(), digest.into()))
}

/// What follows the last dot, unless the name begins with it.
fn extension(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    (dot > 0).then(|| &name[dot + 1..])
}

fn attribute_members(attributes: &Attributes) -> [(&'static str, Value); 11] {
    let (major, minor) = attributes.device;
    [
        (
            "type",
            (attributes.kind != FileKind::Unknown)
                .then(|| attributes.kind.ecs())
                .into(),
        ),
        ("mode", format!("{:04o}", attributes.mode & 0o7777).into()),
        ("mode_symbolic", symbolic(attributes).into()),
        ("uid", attributes.uid.to_string().into()),
        ("gid", attributes.gid.to_string().into()),
        ("size", attributes.size.into()),
        ("links", attributes.links.into()),
        ("inode", attributes.inode.to_string().into()),
        ("device", format!("{major}:{minor}").into()),
        ("mtime", attributes.mtime.rfc3339().into()),
        ("ctime", attributes.ctime.rfc3339().into()),
    ]
}

/// Type and mode as `ls -l` has them: `-rw-r-----`.
pub(super) fn symbolic(attributes: &Attributes) -> String {
    let kind = match attributes.kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::CharacterDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Unknown => '?',
    };
    let mode = attributes.mode;
    let mut out = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        out.push(if bits & 4 == 0 { '-' } else { 'r' });
        out.push(if bits & 2 == 0 { '-' } else { 'w' });
        out.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    out
}

/// Those that were other before; all of them when nothing is there to compare with.
fn before(file: &File) -> Object {
    let now = file.attributes.as_ref().map(attribute_members);
    let members = file.before.as_ref().map(attribute_members);
    let mut before: Object = members
        .into_iter()
        .flatten()
        .filter(|member| now.as_ref().is_none_or(|now| !now.contains(member)))
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    further::set_before(&mut before, &file.further);
    before
}

fn set_change(fimk: &mut Object, change: &Change) {
    fimk.set("rule", change.rule.clone());
    fimk.set("rules", change.rules.clone());
    fimk.set("detected_by", change.detected_by.name());
    fimk.set("operations", change.operations.clone());
    // Nothing was counted where nothing was seen.
    fimk.set("count", (change.count > 0).then_some(change.count));
    fimk.set("bytes", change.bytes);
    fimk.set(
        "changes",
        change
            .changes
            .iter()
            .map(difference)
            .collect::<Vec<Value>>(),
    );
    fimk.set(
        "findings",
        change.findings.iter().map(finding).collect::<Vec<Value>>(),
    );
    fimk.set("diff", change.diff.clone());
    fimk.set("content", change.content.map(ContentVerdict::name));
    fimk.set("unread", change.unread.clone());
    fimk.set("observed", (!change.observed).then_some(false));
    fimk.set("replaced", change.replaced.then_some(true));
    fimk.set("gap", gap(change.gap));
    fimk.set("before", before(&change.file));
    fimk.set(
        "links",
        change
            .file
            .attributes
            .as_ref()
            .map(|attributes| attributes.links),
    );
    let attributes = change.file.attributes.as_ref();
    fimk.set("mode_symbolic", attributes.map(symbolic));
    further::set_words(fimk, &change.file.further.now);
    for digest in change
        .file
        .digest
        .iter()
        .chain(&change.file.further.digests)
    {
        match digest {
            Digest::Keyed(digest) => fimk.set("digest", hex(digest)),
            // ECS has no field for it.
            Digest::Blake3(digest) => fimk.set("hash", nested("blake3", hex(digest))),
            Digest::Plain(_) | Digest::Sha512(_) | Digest::Sha1(_) | Digest::Md5(_) => {}
        }
    }
    set_paths(fimk, change);
    set_actor(fimk, change);
    let truncated = change.truncated.iter().take(TRUNCATED_MAX);
    fimk.set(
        "truncated",
        truncated
            .map(|name| head(name, TRUNCATED_BYTES_MAX))
            .collect::<Vec<_>>(),
    );
}

fn set_paths(fimk: &mut Object, change: &Change) {
    let file = &change.file;
    fimk.set("path_bytes", lossless(&file.path));
    fimk.set("target_path_bytes", file.target.as_ref().and_then(lossless));
    for (key, path) in [
        ("previous_path", &change.previous_path),
        ("new_path", &change.new_path),
        ("accessed_path", &change.accessed_path),
    ] {
        if let Some(path) = path {
            fimk.set(key, path.escaped());
            fimk.set(&format!("{key}_bytes"), lossless(path));
        }
    }
}

/// The bytes of a path that could not be written as it is.
pub(super) fn lossless(path: &BytePath) -> Option<String> {
    path.needs_escape().then(|| STANDARD.encode(path.bytes()))
}

fn set_actor(fimk: &mut Object, change: &Change) {
    // Beside the one who is named they did not do it in its place, but at the same time.
    let key = if change.actor.is_some() {
        "shared_with"
    } else {
        "actors"
    };
    fimk.set(key, change.actors.iter().map(actor).collect::<Vec<Value>>());
    let Some(one) = &change.actor else { return };
    fimk.set("ancestors", ancestors(one));
    set_circumstances(fimk, one);
}

fn finding(one: &Finding) -> Value {
    let mut object = Object::default();
    object.set("id", one.id.clone());
    object.set("severity", one.severity);
    object.set("message", one.message.clone());
    object.into()
}

fn difference(one: &Difference) -> Value {
    let mut object = Object::default();
    object.set("subject", one.subject.clone());
    object.set("field", one.field.clone());
    object.set("before", one.before.clone());
    object.set("after", one.after.clone());
    object.into()
}

fn gap(gap: Option<Gap>) -> Object {
    let mut object = Object::default();
    if let Some(gap) = gap {
        object.set("from", gap.from.rfc3339());
        object.set("to", gap.to.rfc3339());
    }
    object
}

fn set_notice(fimk: &mut Object, notice: &Notice) {
    let plan = notice
        .plan
        .iter()
        .map(|(hook, plan)| (hook.clone(), plan.clone().into()));
    fimk.set("plan", plan.collect::<Object>());
    fimk.set("counts", integers(&notice.counts));
    let lost = notice
        .lost
        .iter()
        .map(|(hook, causes)| (hook.clone(), integers(causes).into()));
    fimk.set("lost", lost.collect::<Object>());
    fimk.set("gap", gap(notice.gap));
    fimk.set("config_digest", notice.config_digest.clone());
}

/// Named numbers.
fn integers(named: &[(String, u64)]) -> Object {
    let members = named.iter().map(|(name, it)| (name.clone(), (*it).into()));
    members.collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}
