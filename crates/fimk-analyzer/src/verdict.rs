//! What differs between the record of a path and a new reading of it.

mod extended;
mod findings;

use fimk_consumers::{
    Comparison, Difference, Finding, State, compare,
    findings::{Kind, find},
    redact,
};
use fimk_core::{
    config::{Attribute, Cares},
    event::ContentVerdict,
    path::BytePath,
    record::{Attributes, Content, FileKind, Record, Snapshot},
};

pub use self::extended::{Values, words};

use crate::read::is_too_large;

/// The differences, sorted by what causes them.
#[derive(Debug, Default)]
pub struct Verdict {
    /// None for what has no content.
    pub content: Option<ContentVerdict>,
    /// What differs of mode, owner, group, type, flags, access lists and extended attributes, in words.
    pub attributes: Vec<Difference>,
    /// Only times differ (of what has content).
    pub times: bool,
    /// Another object stands under the name.
    pub replaced: bool,
    /// The content's difference in words.
    pub comparison: Comparison,
    /// It came from where it was of another kind: all that it says is new, whether its bytes are or not.
    pub means_more: bool,
    /// What the content came to mean.
    pub content_findings: Vec<Finding>,
    /// What the attributes came to mean.
    pub attribute_findings: Vec<Finding>,
}

impl Verdict {
    /// Whether the content is another, for certain.
    pub fn content_changed(&self) -> bool {
        self.content == Some(ContentVerdict::Changed)
    }

    /// Whether there is something that somebody did.
    pub fn differs(&self) -> bool {
        self.content_changed() || !self.attributes.is_empty() || self.replaced
    }
}

impl Verdict {
    /// Leaves out what a rule does not care about; whether there was any.
    pub fn leave_out(&mut self, cares: Cares) -> bool {
        if cares.is_all() {
            return false;
        }
        let told = self.attributes.len();
        self.attributes.retain(|it| cares.about_field(&it.field));
        let mut left_out = self.attributes.len() < told;
        if !cares.about(Attribute::Content) && self.content.is_some() {
            left_out |= self.content_changed();
            self.forget_content();
        }
        if !cares.about(Attribute::Times) {
            left_out |= std::mem::take(&mut self.times);
        }
        left_out
    }

    /// The content is not a matter: nothing is said of it.
    pub fn forget_content(&mut self) {
        self.content = None;
        self.comparison = Comparison::default();
        self.content_findings.clear();
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
            content_findings: find(state(old).as_ref(), state(after).as_ref()),
            attribute_findings: findings::of_attributes(old, after),
            ..Verdict::default()
        };
    };
    let content = content_verdict(old, new, tokens_fit);
    let (comparison, content_findings) = if content == Some(ContentVerdict::Changed) {
        let (old_state, new_state) = (state(Some(old)), state(Some(new)));
        let mut found = find(old_state.as_ref(), new_state.as_ref());
        found.extend(out_of_sight(old_state.as_ref(), &new.content));
        (content_differences(old, new), found)
    } else {
        Default::default()
    };
    Verdict {
        content,
        means_more: false,
        attributes: attribute_differences(&old.attributes, &new.attributes),
        replaced: (old.attributes.inode, old.attributes.device)
            != (new.attributes.inode, new.attributes.device),
        times: new.attributes.kind != FileKind::Directory
            && old.attributes.mtime != new.attributes.mtime,
        comparison,
        content_findings,
        attribute_findings: findings::of_attributes(Some(old), Some(new)),
    }
}

/// What was understood before and is too large to be read now says what nobody here knows.
fn out_of_sight(before: Option<&State>, after: &Content) -> Option<Finding> {
    let Content::Unread(why) = after else {
        return None;
    };
    let was_understood =
        before.is_some_and(|state| !matches!(state, State::Text(_) | State::Binary));
    (was_understood && is_too_large(why)).then(|| {
        let words = format!("it is {why} and was not read, and may be by what it is for");
        Kind::NotUnderstood.finding(words)
    })
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
    use fimk_core::record::Digest::Keyed;
    let changed = match (&old.content, &new.content) {
        (Content::Read { digest: one, .. }, Content::Read { digest: two, .. }) => {
            match (one, two) {
                (Keyed(_), Keyed(_)) if !tokens_fit => {
                    old.attributes.size != new.attributes.size
                        || old.attributes.mtime != new.attributes.mtime
                }
                // Of another kind only if a secret came or went: that the hash is another was seen to before.
                _ => one != two,
            }
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

fn attribute_differences(old: &Attributes, new: &Attributes) -> Vec<Difference> {
    let fields = [
        ("type", old.kind.ecs().to_owned(), new.kind.ecs().to_owned()),
        ("mode", octal(old.mode), octal(new.mode)),
        ("uid", old.uid.to_string(), new.uid.to_string()),
        ("gid", old.gid.to_string(), new.gid.to_string()),
    ];
    fields
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(field, before, after)| difference("file", field, before, after))
        .collect()
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// Of the file itself.
fn difference_of(field: String, before: Option<String>, after: Option<String>) -> Difference {
    Difference {
        subject: "file".to_owned(),
        field,
        before,
        after,
    }
}

fn difference(subject: &str, field: &str, before: String, after: String) -> Difference {
    Difference {
        subject: subject.to_owned(),
        field: field.to_owned(),
        before: Some(before),
        after: Some(after),
    }
}

/// A target is a text of the owner's choice: what looks like a secret is not printed.
fn shown(target: &BytePath) -> String {
    redact::line(&target.escaped())
}

/// Content in words: what the consumers say, or where a link leads.
fn content_differences(old: &Snapshot, new: &Snapshot) -> Comparison {
    if matches!(new.content, Content::Unread(_)) && new.attributes.kind == FileKind::File {
        // Not known is not empty.
        return Comparison::default();
    }
    if let (Content::Link(old), Content::Link(new)) = (&old.content, &new.content) {
        return Comparison {
            changes: vec![difference("link", "target", shown(old), shown(new))],
            ..Comparison::default()
        };
    }
    compare(state_of(&old.content), state_of(&new.content))
}

#[cfg(test)]
mod tests;
