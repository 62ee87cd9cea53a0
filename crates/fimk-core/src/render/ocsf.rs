//! An event as a JSON object of the Open Cybersecurity Schema Framework: class 1001, File System Activity; what fimk says
//! of itself is a Base Event.

use serde_json::{Value, json};

use super::{
    cut::LINE_BYTES_MAX,
    ecs::{Host, document, hex, message},
    json::{self, Object, length},
    severity::ocsf_severity,
};
use crate::{
    event::{Action, Actor, Body, Change, Event, File, Process, Words},
    path::{BytePath, escaped},
    record::{Digest, FileKind},
    text::head,
    time::Timestamp,
};

/// Whose names and numbers these are.
const VERSION: &str = "1.4.0";

const FILE_SYSTEM_ACTIVITY: u32 = 1001;
const SYSTEM_ACTIVITY: u32 = 1;

/// Of any text in an object: a path. Everything else is shorter, or cut.
const TEXT_BYTES_MAX: usize = 4096;
/// As the kernel names them.
const SELINUX: &str = "security.selinux";
const CAPABILITIES: &str = "security.capability";
/// Of processes above the one who did it.
const ANCESTORS_MAX: usize = 16;

/// One JSON object on one line, without the newline, of at most [`LINE_BYTES_MAX`] bytes.
pub fn ocsf_line(event: &Event, host: &Host) -> String {
    let mut object = base(event, host);
    match &event.body {
        Body::Notice(_) | Body::Configured(_) | Body::Asked(_) => {}
        Body::Change(change) => set_change(&mut object, event, change),
        Body::Attempt(attempt) => set_change(&mut object, event, &attempt.on),
        Body::Burst(burst) => {
            set_class(&mut object, event);
            object.set("file", folder(&burst.directory));
            object.set("actor", actor(Some(&burst.root)));
            object.set("count", burst.events);
        }
    }
    object.set("unmapped", unmapped(event, host));
    if length(&object.0) > LINE_BYTES_MAX {
        object.0.remove("unmapped");
    }
    if length(&object.0) > LINE_BYTES_MAX {
        without_words(&mut object);
    }
    json::line(&object)
}

fn base(event: &Event, host: &Host) -> Object {
    let mut object = Object::default();
    let (severity_id, severity) = ocsf_severity(event.severity);
    let activity = if event.action.kind() == "state" {
        99
    } else {
        0
    };
    object.set("category_uid", 0);
    object.set("class_uid", 0);
    object.set("class_name", "Base Event");
    object.set("activity_id", activity);
    object.set("activity_name", event.action.name());
    object.set("type_uid", activity);
    object.set("severity_id", severity_id);
    object.set("severity", severity);
    object.set("time", milliseconds(event.created));
    object.set("message", message(event));
    object.set("metadata", metadata(event));
    object.set(
        "device",
        json!({ "hostname": host.name, "name": host.name, "type_id": 0 }),
    );
    object
}

fn metadata(event: &Event) -> Value {
    json!({
        "version": VERSION,
        "uid": event.sequence.to_string(),
        "sequence": event.sequence,
        "logged_time": milliseconds(event.created),
        "product": {
            "name": "fimk",
            "vendor_name": "fimk",
            "version": env!("CARGO_PKG_VERSION"),
        },
    })
}

fn milliseconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000)
}

/// `activity_id` of the class, and its name.
fn activity(action: Action) -> (u32, &'static str) {
    match action {
        Action::Created => (1, "Create"),
        Action::Opened => (14, "Open"),
        Action::Modified => (3, "Update"),
        Action::Deleted => (4, "Delete"),
        Action::Renamed => (5, "Rename"),
        Action::AttributesModified => (6, "Set Attributes"),
        Action::Mounted => (12, "Mount"),
        Action::Unmounted => (13, "Unmount"),
        other => (99, other.name()),
    }
}

fn set_class(object: &mut Object, event: &Event) {
    let (activity, name) = activity(event.action);
    object.set("category_uid", SYSTEM_ACTIVITY);
    object.set("category_name", "System Activity");
    object.set("class_uid", FILE_SYSTEM_ACTIVITY);
    object.set("class_name", "File System Activity");
    object.set("activity_id", activity);
    object.set("activity_name", name);
    object.set("type_uid", 100 * FILE_SYSTEM_ACTIVITY + activity);
}

fn set_change(object: &mut Object, event: &Event, change: &Change) {
    set_class(object, event);
    let failed = event.action == Action::Denied;
    object.set("status_id", if failed { 2 } else { 1 });
    object.set("status", if failed { "Failure" } else { "Success" });
    object.set("file", file(&change.file));
    // After a rename `file` is what it was, and this is what it is; OCSF has it so.
    if let Some(old) = &change.previous_path {
        let mut file_before = named(old);
        file_before.set("type_id", kind(&change.file).0);
        object.set("file_result", file(&change.file));
        object.set("file", file_before);
    }
    object.set("actor", actor(change.actor.as_ref()));
    if change.count > 0 {
        object.set("count", change.count);
        object.set("start_time", milliseconds(change.start));
        object.set("end_time", milliseconds(change.end));
    }
}

fn text(text: &str) -> String {
    head(text, TEXT_BYTES_MAX).to_owned()
}

fn named(path: &BytePath) -> Object {
    let mut object = Object::default();
    let name = escaped(path.name());
    object.set(
        "name",
        if name.is_empty() {
            "/".to_owned()
        } else {
            text(&name)
        },
    );
    object.set("path", text(&path.escaped()));
    let parent = path.parent().map(|parent| text(&parent.escaped()));
    object.set("parent_folder", parent);
    object
}

fn folder(path: &BytePath) -> Object {
    let mut object = named(path);
    object.set("type_id", 2);
    object.set("type", "Folder");
    object
}

fn kind(file: &File) -> (u8, &'static str) {
    let kind = file.attributes.as_ref().map(|attributes| attributes.kind);
    match kind {
        Some(FileKind::File) => (1, "Regular File"),
        Some(FileKind::Directory) => (2, "Folder"),
        Some(FileKind::CharacterDevice) => (3, "Character Device"),
        Some(FileKind::BlockDevice) => (4, "Block Device"),
        Some(FileKind::Socket) => (5, "Local Socket"),
        Some(FileKind::Fifo) => (6, "Named Pipe"),
        Some(FileKind::Symlink) => (7, "Symbolic Link"),
        Some(FileKind::Unknown) | None => (0, "Unknown"),
    }
}

fn file(file: &File) -> Object {
    let mut object = named(&file.path);
    let (type_id, name) = kind(file);
    object.set("type_id", type_id);
    object.set("type", name);
    if let Some(attributes) = &file.attributes {
        object.set("size", attributes.size);
        object.set("modified_time", milliseconds(attributes.mtime));
        object.set("mode", attributes.mode & 0o7777);
        let owner = file.owner.as_deref().map(text);
        object.set("owner", user(Some(attributes.uid), owner));
    }
    set_words(&mut object, &file.further.now);
    let digests = file.digest.iter().chain(&file.further.digests);
    object.set("hashes", digests.filter_map(hash).collect::<Vec<Value>>());
    object
}

/// A digest for which the schema has a number.
fn hash(digest: &Digest) -> Option<Value> {
    let (id, name, digest) = match digest {
        Digest::Md5(digest) => (1, "MD5", hex(digest)),
        Digest::Sha1(digest) => (2, "SHA-1", hex(digest)),
        Digest::Plain(digest) => (3, "SHA-256", hex(digest)),
        Digest::Sha512(halves) => (4, "SHA-512", halves.map(|it| hex(&it)).concat()),
        Digest::Keyed(_) | Digest::Blake3(_) => return None,
    };
    Some(json!({ "algorithm_id": id, "algorithm": name, "value": digest }))
}

/// The class has a place for an access list and for extended attributes; the flags are in `unmapped`, as the rest is.
fn set_words(object: &mut Object, words: &Words) {
    object.set("security_descriptor", text(&words.acl.join(",")));
    let label = words.selinux.iter().map(|it| (SELINUX, it));
    let capabilities = words.capabilities.iter().map(|it| (CAPABILITIES, it));
    let others = words.xattrs.iter().map(|(name, value)| (&**name, value));
    let all = label.chain(capabilities).chain(others);
    let named = all.map(|(name, value)| (name.to_owned(), text(value).into()));
    object.set("xattributes", named.collect::<Object>());
}

/// What is longest in a line that is too long even so.
fn without_words(object: &mut Object) {
    for file in ["file", "file_result"] {
        if let Some(Value::Object(file)) = object.0.get_mut(file) {
            file.remove("xattributes");
        }
    }
}

fn user(uid: Option<u32>, name: Option<String>) -> Object {
    let mut object = Object::default();
    object.set("uid", uid.map(|uid| uid.to_string()));
    object.set("name", name);
    object
}

/// Required, with a process or a user at least; who is not known is named so.
fn actor(actor: Option<&Actor>) -> Value {
    let Some(actor) = actor else {
        return json!({ "user": { "name": "Unknown", "type_id": 0, "type": "Unknown" } });
    };
    let mut object = Object::default();
    let mut of = process(&actor.process);
    let above = actor.ancestors.iter().take(ANCESTORS_MAX).rev();
    let parents = above.fold(None, |above: Option<Object>, it| {
        let mut object = process(it);
        object.set("parent_process", above.map(Value::from));
        Some(object)
    });
    of.set("parent_process", parents.map(Value::from));
    object.set("process", of);
    let user = user(actor.uid, actor.user.as_deref().map(text));
    object.set("user", user);
    if object.0.is_empty() {
        return self::actor(None);
    }
    object.into()
}

fn process(process: &Process) -> Object {
    let mut object = Object::default();
    object.set("pid", (process.pid != 0).then_some(process.pid));
    object.set("name", process.name.as_deref().map(text));
    object.set("created_time", process.start.map(milliseconds));
    if let Some(path) = &process.executable {
        let mut program = named(path);
        program.set("type_id", 1);
        object.set("file", program);
    }
    let args: Vec<&str> = process.args.iter().map(String::as_str).collect();
    object.set("cmd_line", text(&args.join(" ")));
    object
}

/// What the class has no place for: our own fields, as in the other rendering.
fn unmapped(event: &Event, host: &Host) -> Value {
    let mut document = document(event, host);
    super::cut::to_fit(&mut document);
    let mut fimk = match document.0.remove("fimk") {
        Some(Value::Object(members)) => Object(members),
        _ => Object::default(),
    };
    let file = event.body.change().map(|change| &change.file);
    let flags = file.map(|file| file.further.now.flags.clone());
    fimk.set("file_attributes", flags);
    fimk.into()
}
