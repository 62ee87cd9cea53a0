//! A record of the baseline as a JSON object: what an event says of a file, and what else is on record.

use serde_json::Value;

use super::{
    ecs::{hex, lossless, nested, of_file, symbolic},
    json::Object,
};
use crate::{
    event::{File, Further},
    path::BytePath,
    record::{AclEntry, AclWho, Content, Digest, Extended, Record, Xattr},
};

/// Names of the owner and the group.
pub type Names = (Option<String>, Option<String>);

/// What is recorded of a path, and the rule that decides on it; texts are not among it, only their digests.
pub fn record_value(path: &BytePath, record: &Record, rule: Option<&str>, names: Names) -> Value {
    let snapshot = &record.snapshot;
    let (digest, target, unread) = match &snapshot.content {
        Content::Read { digest, .. } => (Some(*digest), None, None),
        Content::Link(target) => (None, Some(target.clone()), None),
        Content::Unread(why) => (None, None, Some(why.clone())),
    };
    let (owner, group) = names;
    let file = File {
        path: path.clone(),
        attributes: Some(snapshot.attributes.clone()),
        before: None,
        digest,
        owner,
        group,
        target,
        further: Further::default(),
    };
    let mut fimk = Object::default();
    fimk.set("rule", rule);
    fimk.set("path_bytes", lossless(path));
    fimk.set("target_path_bytes", file.target.as_ref().and_then(lossless));
    fimk.set("links", snapshot.attributes.links);
    fimk.set("mode_symbolic", symbolic(&snapshot.attributes));
    fimk.set("unread", unread);
    match digest {
        Some(Digest::Keyed(digest)) => fimk.set("digest", hex(&digest)),
        Some(Digest::Blake3(digest)) => fimk.set("hash", nested("blake3", hex(&digest))),
        _ => {}
    }
    if let Some(extended) = &snapshot.extended {
        set_extended(&mut fimk, extended);
    }
    let mut document = Object::default();
    document.set("@timestamp", record.seen.rfc3339());
    document.set("file", of_file(&file));
    document.set("fimk", fimk);
    document.into()
}

fn set_extended(fimk: &mut Object, extended: &Extended) {
    let flags: Vec<&str> = extended.flags.iter().map(|flag| flag.word()).collect();
    fimk.set("flags", flags);
    let list = |entries: &[AclEntry]| entries.iter().map(acl_entry).collect::<Vec<_>>();
    fimk.set("acl", list(&extended.acl));
    fimk.set("default_acl", list(&extended.default_acl));
    fimk.set("capabilities", extended.capabilities.clone());
    let xattrs: Vec<Value> = extended.xattrs.iter().map(xattr).collect();
    fimk.set("xattrs", xattrs);
}

/// In the short text form of acl(5), with numbers: `user:1000:rw-`.
fn acl_entry(entry: &AclEntry) -> String {
    let who = match entry.who {
        AclWho::Owner => "user:".to_owned(),
        AclWho::User(uid) => format!("user:{uid}"),
        AclWho::OwningGroup => "group:".to_owned(),
        AclWho::Group(gid) => format!("group:{gid}"),
        AclWho::Mask => "mask:".to_owned(),
        AclWho::Other => "other:".to_owned(),
    };
    let bit = |bit: u8, letter: char| {
        if entry.permissions & bit == 0 {
            '-'
        } else {
            letter
        }
    };
    let rights: String = [bit(4, 'r'), bit(2, 'w'), bit(1, 'x')].iter().collect();
    format!("{who}:{rights}")
}

/// Its value by a keyed digest: a short one could be guessed at.
fn xattr(xattr: &Xattr) -> Value {
    let mut object = nested("name", xattr.name.clone());
    if let Some(value) = &xattr.value {
        object.set("bytes", value.bytes);
        object.set("digest", hex(&value.digest));
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use fimk_consumers::Token;
    use serde_json::json;

    use super::*;
    use crate::{
        record::{Attributes, FileFlag, FileKind, Snapshot},
        time::Timestamp,
    };

    fn record(content: Content, extended: Option<Extended>) -> Record {
        let attributes = Attributes {
            kind: FileKind::File,
            mode: 0o4755,
            uid: 0,
            gid: 8,
            size: 3,
            links: 1,
            inode: 7,
            device: (8, 1),
            mtime: Timestamp(0),
            ctime: Timestamp(0),
        };
        let snapshot = Snapshot {
            attributes,
            content,
            extended,
        };
        Record {
            snapshot,
            seen: Timestamp(0),
            key_id: Token([0; 16]),
        }
    }

    #[test]
    fn attributes_hashes_and_what_else_is_recorded_are_told_and_no_text() {
        let extended = Extended {
            flags: vec![FileFlag::Immutable],
            acl: vec![AclEntry {
                who: AclWho::User(1000),
                permissions: 6,
            }],
            capabilities: Some("cap_net_raw+ep".into()),
            xattrs: vec![Xattr {
                name: "user.note".into(),
                value: None,
            }],
            ..Extended::default()
        };
        let content = Content::Read {
            digest: Digest::Plain([0xab; 32]),
            state: None,
        };
        let names = (Some("root".to_owned()), None);
        let path = BytePath::new(b"/a\n\xff");
        let value = record_value(&path, &record(content, Some(extended)), Some("r"), names);
        assert_eq!(value["file"]["path"], "/a\\x0a\\xff");
        assert_eq!(value["file"]["hash"]["sha256"], "ab".repeat(32));
        assert_eq!(value["file"]["mode"], "4755");
        assert_eq!(value["file"]["owner"], "root");
        assert_eq!(
            value["fimk"],
            json!({
                "rule": "r", "path_bytes": "L2EK/w==", "links": 1, "mode_symbolic": "-rwsr-xr-x", "flags": ["immutable"],
                "acl": ["user:1000:rw-"], "capabilities": "cap_net_raw+ep", "xattrs": [{ "name": "user.note" }],
            })
        );
        let unread = Content::Unread("too large".into());
        let value = record_value(&path, &record(unread, None), None, (None, None));
        assert_eq!(value["fimk"]["unread"], "too large");
        assert!(value["file"].get("hash").is_none());
    }
}
