//! What attributes came to mean: what a file may do, and who may write to it.

use fimk_consumers::findings::{Finding, Kind};
use fimk_core::record::{AclWho, FileFlag, FileKind, Snapshot};

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const GROUP_EXECUTES: u32 = 0o010;
const WORLD_WRITES: u32 = 0o002;

/// What is so now and was not before; of a new file all of it.
pub(super) fn of_attributes(before: Option<&Snapshot>, after: Option<&Snapshot>) -> Vec<Finding> {
    let Some(after) = after else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    // What others do with their own files endangers them only, and must not look grave at their will.
    let of_root = after.attributes.uid == 0;
    let newly = |is: fn(&Snapshot) -> bool| is(after) && !before.is_some_and(is);
    if of_root && newly(sets_user) {
        findings.push(Kind::SetUserId.finding("whoever executes it becomes root"));
    }
    if of_root && newly(sets_group) {
        findings.push(Kind::SetGroupId.finding("whoever executes it gets its group"));
    }
    if of_root && newly(world_writable) {
        findings.push(Kind::WorldWritable.finding("everybody may write to it"));
    }
    let known = before.map(writers_by_list).unwrap_or_default();
    let mut new = writers_by_list(after).into_iter();
    if of_root && let Some(who) = new.find(|who| !known.contains(who)) {
        let words = format!("by its access list {} may write to it", named(who));
        findings.push(Kind::AclWritable.finding(words));
    }
    let capabilities = capabilities(after);
    if let Some(now) = capabilities
        && before.and_then(|before| self::capabilities(before)) != Some(now)
    {
        findings.push(Kind::CapabilityAdded.finding(format!("whoever executes it has {now}")));
    }
    if before.is_some_and(|before| lost_protection(before, after)) {
        findings.push(Kind::ProtectionRemoved.finding("it can be changed and removed again"));
    }
    findings
}

fn sets_user(it: &Snapshot) -> bool {
    it.attributes.kind == FileKind::File && it.attributes.mode & SET_USER_ID != 0
}

/// Without the bit for execution it once meant mandatory locks, and means nothing now.
fn sets_group(it: &Snapshot) -> bool {
    let both = SET_GROUP_ID | GROUP_EXECUTES;
    it.attributes.kind == FileKind::File && it.attributes.mode & both == both
}

/// A sticky directory, as /tmp, is meant to be.
fn world_writable(it: &Snapshot) -> bool {
    let mode = it.attributes.mode;
    match it.attributes.kind {
        FileKind::File => mode & WORLD_WRITES != 0,
        FileKind::Directory => mode & WORLD_WRITES != 0 && mode & STICKY == 0,
        _ => false,
    }
}

const WRITE: u8 = 2;

/// Users and groups but root's whom the access list lets write, as far as its mask lets them.
fn writers_by_list(it: &Snapshot) -> Vec<AclWho> {
    let entries = it.extended.as_ref().map_or(&[][..], |it| &it.acl);
    let mask = entries.iter().find(|entry| entry.who == AclWho::Mask);
    let mask = mask.map_or(u8::MAX, |entry| entry.permissions);
    let is_other = |who| matches!(who, AclWho::User(1..) | AclWho::Group(1..));
    entries
        .iter()
        .filter(|entry| is_other(entry.who) && entry.permissions & mask & WRITE != 0)
        .map(|entry| entry.who)
        .collect()
}

fn named(who: AclWho) -> String {
    match who {
        AclWho::User(uid) => format!("the user with uid {uid}"),
        AclWho::Group(gid) => format!("the group with gid {gid}"),
        _ => "somebody".to_owned(),
    }
}

fn capabilities(it: &Snapshot) -> Option<&str> {
    it.extended.as_ref()?.capabilities.as_deref()
}

fn lost_protection(before: &Snapshot, after: &Snapshot) -> bool {
    let (Some(old), Some(new)) = (&before.extended, &after.extended) else {
        return false;
    };
    [FileFlag::Immutable, FileFlag::AppendOnly]
        .iter()
        .any(|flag| old.flags.contains(flag) && !new.flags.contains(flag))
}
