//! What an object has beside its attributes, as now and as before, in words.

use std::collections::BTreeSet;

use fimk_consumers::redact;
use fimk_core::{
    event::{File, Words},
    record::Snapshot,
};

use super::Case;
use crate::{engine::Engine, users::Users, verdict::words};

/// Adds it, but for the file system; the fields of which more is known than is told. `gone`: what was last known is
/// what it has; `private`: values are not shown.
pub(super) fn add(
    file: &mut File,
    case: &Case<'_>,
    (gone, private): (bool, bool),
    users: &mut Users,
) -> BTreeSet<&'static str> {
    // What is on record may be what took the place of one that is gone: then nothing is known of that.
    let recorded = case.before.filter(|_| !gone || file.attributes.is_some());
    let recorded = recorded.map(|record| &record.snapshot);
    let (now, before) = if gone {
        (recorded, None)
    } else {
        (case.after, recorded)
    };
    let mut cut = BTreeSet::new();
    let mut told = |snapshot: &Snapshot| {
        let (words, more) = words(snapshot.extended.as_ref()?, !private, users);
        cut.extend(more);
        Some(without_configured(words))
    };
    let further = &mut file.further;
    if !gone {
        further.digests = case.digests.to_vec();
    }
    further.now = now.and_then(&mut told).unwrap_or_default();
    // What is not known now is not gone.
    let known = now.is_some_and(|now| now.extended.is_some());
    let before_words = before.filter(|_| known).and_then(&mut told);
    further.before = other(before_words.unwrap_or_default(), &further.now);
    if let (Some(old), Some(new)) = (before, now) {
        let (old, new) = (&old.attributes, &new.attributes);
        let owner = (old.uid != new.uid).then(|| users.user(old.uid)).flatten();
        let group = (old.gid != new.gid).then(|| users.group(old.gid)).flatten();
        further.owner_before = owner.map(|name| name.to_string());
        further.group_before = group.map(|name| name.to_string());
    }
    cut
}

/// Of what is on record, values hidden.
pub(crate) fn as_recorded(snapshot: &Snapshot, users: &mut Users) -> Words {
    let extended = snapshot.extended.as_ref();
    extended.map_or_else(Words::default, |it| words(it, false, users).0)
}

/// Those that are other than now.
fn other(before: Words, now: &Words) -> Words {
    fn unlike<T: Default + PartialEq>(before: T, now: &T) -> T {
        if before == *now { T::default() } else { before }
    }
    Words {
        file_system: unlike(before.file_system, &now.file_system),
        flags: unlike(before.flags, &now.flags),
        acl: unlike(before.acl, &now.acl),
        default_acl: unlike(before.default_acl, &now.default_acl),
        capabilities: unlike(before.capabilities, &now.capabilities),
        selinux: unlike(before.selinux, &now.selinux),
        xattrs: unlike(before.xattrs, &now.xattrs),
    }
}

/// What is on record may be older than the pattern that makes a secret of it.
fn without_configured(mut words: Words) -> Words {
    for (name, value) in &mut words.xattrs {
        *name = redact::configured_lines(name);
        *value = redact::configured_lines(value);
    }
    words
}

impl Engine {
    /// Adds on which file system it is, and was if that is another.
    pub(crate) fn tell_file_system(&self, file: &mut File) {
        let table = self.mounts.table();
        let of = |device| table.file_system_at(&file.path, device);
        let now = file.attributes.as_ref().map(|it| it.device);
        file.further.now.file_system = now.and_then(of).map(str::to_owned);
        let before = file.before.as_ref().map(|it| it.device);
        let before = before.filter(|before| now.is_some_and(|now| now != *before));
        let before = before.and_then(|device| table.file_system_of(device));
        file.further.before.file_system = before.map(str::to_owned);
    }
}
