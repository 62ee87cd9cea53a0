//! What attributes came to mean: what a file may do, and who may write to it.

use fimk_consumers::findings::{Finding, Kind};
use fimk_core::record::{FileFlag, FileKind, Snapshot};

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
