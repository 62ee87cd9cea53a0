//! What the kernel says of an event → paths.

use fimk_core::path::BytePath;

use super::{
    MaskFlags,
    decode::Raw,
    event::{FanotifyEvent, Handles, PidState, Reported},
    paths::{Known, Paths},
    wholes::Wholes,
};

/// Handles to paths. None for an event on what was forgotten, or is none of ours.
pub(super) fn resolve(
    raw: &Raw<'_>,
    paths: &mut Paths,
    wholes: &mut Wholes,
    reaches: &dyn Fn(&BytePath) -> bool,
) -> Option<FanotifyEvent> {
    let mut event = FanotifyEvent {
        mask: raw.mask,
        pid: u32::try_from(raw.pid).unwrap_or(0),
        pidfd: raw.pidfd.and_then(pid_state),
        overflow: raw.mask & MaskFlags::FAN_Q_OVERFLOW.bits() != 0,
        error: reported(raw),
        ..FanotifyEvent::default()
    };
    if event.error.is_some() {
        event.object = raw.object.and_then(|handle| paths.path(handle));
        return Some(event);
    }
    let mut path_of = |handle: &[u8]| match paths.get(handle) {
        Known::Path(path) => Some(path.clone()),
        Known::Forgotten => None,
        Known::No => {
            let newborn = wholes.path(handle, paths);
            event.unknown |= newborn.is_none() && !wholes.has(handle);
            newborn
        }
    };
    let (old, new) = raw.sides();
    event.old = old.and_then(|side| path_of(side.handle).map(|path| (path, side.name.to_vec())));
    if let Some(side) = new {
        event.directory = path_of(side.handle);
        event.name = side.name.to_vec();
    }
    // Every object has a handle, but only those marked themselves are in the table.
    event.object = raw.object.and_then(|handle| paths.path(handle));
    let named = event.directory.is_some() || event.old.is_some() || event.object.is_some();
    let any = raw.object.or(new.or(old).map(|side| side.handle));
    // To what only has a name in a directory that leads to others.
    let beside = event.object.is_none()
        && !is_of_a_name(raw.mask)
        && new.is_some_and(|side| !side.name.is_empty() && wholes.only_lead(side.handle));
    if let Some(strange) = any.filter(|it| (!named || beside) && wholes.has(it)) {
        // What goes from a watched directory is told under its name, and then once more without one, as of nothing known.
        if new.or(old).is_some_and(|side| !side.name.is_empty()) {
            wholes.strange(strange);
        }
        return None;
    }
    event.aliases = aliases(raw.object, paths);
    event.handles = Handles {
        old: old.map(|side| side.handle.into()),
        new: new.map(|side| side.handle.into()),
        object: raw.object.map(Into::into),
    };
    newborn(&event, paths, wholes, reaches);
    if raw.mask & MaskFlags::FAN_DELETE_SELF.bits() != 0 {
        let itself = new
            .filter(|side| side.name.is_empty())
            .map(|side| side.handle);
        raw.object
            .into_iter()
            .chain(itself)
            .for_each(|handle| paths.died(handle));
    }
    let lost = event.unknown && is_of_a_name(raw.mask);
    (named || lost || event.overflow).then_some(event)
}

/// A directory that comes to where everything is told of is known from then on, by where it came.
fn newborn(
    event: &FanotifyEvent,
    paths: &Paths,
    wholes: &mut Wholes,
    reaches: &dyn Fn(&BytePath) -> bool,
) {
    let came = MaskFlags::FAN_CREATE | MaskFlags::FAN_RENAME;
    let mask = MaskFlags::from_bits_retain(event.mask);
    let handles = &event.handles;
    if let (Some(object), Some(above)) = (&handles.object, &handles.new)
        && mask.intersects(came)
        && mask.intersects(MaskFlags::FAN_ONDIR)
        && wholes.has(object)
        && matches!(paths.get(object), Known::No)
        && let Some(directory) = &event.directory
        && reaches(&directory.join(&event.name))
    {
        wholes.born(object, above, &event.name);
    }
}

fn reported(raw: &Raw<'_>) -> Option<Reported> {
    let (error, count) = raw.error?;
    Some(Reported {
        file_system: *raw.object?.first_chunk()?,
        error,
        count: u64::from(count),
    })
}

/// Whether it is about a name in a directory: such events come for marked directories only, so one that is not known was
/// lost track of. All others come for objects that are marked, or lie in a marked directory: one of which neither is known
/// is not watched, or no longer, since what is watched is marked before it is read.
pub(super) fn is_of_a_name(mask: u64) -> bool {
    let names =
        MaskFlags::FAN_CREATE | MaskFlags::FAN_DELETE | MaskFlags::FAN_MOVE | MaskFlags::FAN_RENAME;
    mask & names.bits() != 0
}

/// The names of an object but the latest.
pub(super) fn aliases(object: Option<&[u8]>, paths: &Paths) -> Vec<BytePath> {
    let names = object.map_or(&[][..], |handle| paths.names(handle));
    names
        .split_last()
        .map_or_else(Vec::new, |(_, others)| others.to_vec())
}

/// Below zero: no process has this number any more (`FAN_NOPIDFD`), or no pidfd could be made.
fn pid_state(pidfd: i32) -> Option<PidState> {
    match pidfd {
        0.. => Some(PidState::AliveOrZombie),
        libc::FAN_NOPIDFD => Some(PidState::Reaped),
        _ => None,
    }
}
