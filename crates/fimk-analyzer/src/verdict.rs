//! What differs between the record of a path and a new reading of it.

use fimk_consumers::{Comparison, State, compare};
use fimk_core::{
    event::ContentVerdict,
    record::{Attributes, Content, FileKind, Record, Snapshot},
};

/// The differences, sorted by what causes them.
#[derive(Debug, Default)]
pub struct Verdict {
    /// None for what has no content.
    pub content: Option<ContentVerdict>,
    /// Mode, owner, group, type or file identity differ.
    pub attributes: bool,
    /// Only times differ (of what has content).
    pub times: bool,
    /// The content's difference in words.
    pub comparison: Comparison,
}

impl Verdict {
    /// Whether the content is another, for certain.
    pub fn content_changed(&self) -> bool {
        self.content == Some(ContentVerdict::Changed)
    }
}

/// Compares. `tokens_fit`: both were read with the same digest key; if not, what was redacted cannot be compared,
/// and size, times and identity decide.
pub fn judge(before: Option<&Record>, after: Option<&Snapshot>, tokens_fit: bool) -> Verdict {
    let old = before.map(|record| &record.snapshot);
    let state =
        |snapshot: Option<&Snapshot>| snapshot.and_then(|it| state_of(&it.content).cloned());
    let (Some(old), Some(new)) = (old, after) else {
        return Verdict {
            content: after.and_then(|new| content_alone(&new.content)),
            comparison: compare(state(old).as_ref(), state(after).as_ref()),
            ..Verdict::default()
        };
    };
    let content = content_verdict(old, new, tokens_fit);
    let comparison = if content == Some(ContentVerdict::Changed) {
        compare(state_of(&old.content), state_of(&new.content))
    } else {
        Comparison::default()
    };
    Verdict {
        content,
        attributes: attributes_differ(&old.attributes, &new.attributes),
        times: new.attributes.kind != FileKind::Directory
            && old.attributes.mtime != new.attributes.mtime,
        comparison,
    }
}

fn state_of(content: &Content) -> Option<&State> {
    match content {
        Content::Read { state, .. } => state.as_ref(),
        _ => None,
    }
}

fn content_alone(content: &Content) -> Option<ContentVerdict> {
    match content {
        Content::Unread(_) => Some(ContentVerdict::Unread),
        Content::Read { .. } | Content::Link(_) => None,
    }
}

fn content_verdict(old: &Snapshot, new: &Snapshot, tokens_fit: bool) -> Option<ContentVerdict> {
    use fimk_core::record::Digest::{Keyed, Plain};
    let changed = match (&old.content, &new.content) {
        (
            Content::Read {
                digest: Plain(old), ..
            },
            Content::Read {
                digest: Plain(new), ..
            },
        ) => old != new,
        (
            Content::Read {
                digest: Keyed(one), ..
            },
            Content::Read {
                digest: Keyed(two), ..
            },
        ) if tokens_fit => one != two,
        (
            Content::Read {
                digest: Keyed(_), ..
            },
            Content::Read {
                digest: Keyed(_), ..
            },
        ) => {
            old.attributes.size != new.attributes.size
                || old.attributes.mtime != new.attributes.mtime
        }
        (Content::Link(old), Content::Link(new)) => old != new,
        (_, Content::Unread(_)) if new.attributes.kind != FileKind::File => {
            return (old.attributes.kind != new.attributes.kind).then_some(ContentVerdict::Changed);
        }
        // Not read now: the attributes are all there is, and a change of size is a change.
        (_, Content::Unread(_)) if old.attributes.size == new.attributes.size => {
            return Some(ContentVerdict::Unread);
        }
        // Not read before, or something else altogether.
        (Content::Unread(_), _) if old.attributes == new.attributes => {
            return Some(ContentVerdict::Unread);
        }
        _ => true,
    };
    Some(if changed {
        ContentVerdict::Changed
    } else {
        ContentVerdict::Same
    })
}

fn attributes_differ(old: &Attributes, new: &Attributes) -> bool {
    (old.kind, old.mode, old.uid, old.gid) != (new.kind, new.mode, new.uid, new.gid)
}
