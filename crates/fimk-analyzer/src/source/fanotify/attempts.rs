//! What fanotify knows of attempts: what is opened, and what is opened to be executed.

use fimk_core::{
    config::{Kind, Report},
    path::BytePath,
};
use fimk_wire::raw;

use crate::{
    actors::Actors,
    fanotify::{FanotifyEvent, MaskFlags},
    identity::ActorKey,
    signal::{Attempted, OPEN, Operations, Signal, Touch},
};

/// What is to be marked for these kinds. A program is executed by opening it, which only both masks together tell
/// from opening it otherwise.
pub(super) fn marks(report: Report) -> MaskFlags {
    let mut mask = MaskFlags::empty();
    mask.set(MaskFlags::FAN_OPEN, report.has(Kind::Opened));
    let executed = report.has(Kind::Opened) || report.has(Kind::Executed);
    mask.set(MaskFlags::FAN_OPEN_EXEC, executed);
    mask
}

/// Whether nothing else happened than what may be an attempt.
pub(super) fn is_attempt_only(event: &FanotifyEvent) -> bool {
    let attempts = MaskFlags::FAN_OPEN | MaskFlags::FAN_OPEN_EXEC | MaskFlags::FAN_ONDIR;
    event.mask & !attempts.bits() == 0
}

/// As the BPF source tells them: no directories, and not what was just made.
pub(super) fn attempt(
    mask: MaskFlags,
    pid: u32,
    path: &BytePath,
    touch: &Touch,
    actors: &Actors,
) -> Option<Signal> {
    let executed = mask.intersects(MaskFlags::FAN_OPEN_EXEC);
    let opened = mask.intersects(MaskFlags::FAN_OPEN);
    let other = mask.intersects(MaskFlags::FAN_ONDIR | MaskFlags::FAN_CREATE);
    if !(executed || opened) || other || pid == std::process::id() {
        return None;
    }
    let (kind, operation) = if executed {
        (Kind::Executed, raw::FIMK_OP_EXECUTE)
    } else {
        (Kind::Opened, OPEN)
    };
    let mut attempted = Attempted {
        kind,
        error: None,
        touch: Touch {
            operations: Operations::of(&[operation]),
            ..touch.clone()
        },
        or_else: None,
    };
    if let Some(now) = touch.actor.filter(|_| executed)
        && !actors.runs(now, path)
    {
        // It was opened to be executed, and the new image, whose number is the next, comes later. Unless it is
        // here already, and is the interpreter of a script.
        attempted.or_else = Some(now);
        attempted.touch.actor = Some(ActorKey {
            image: now.image.wrapping_add(1),
            ..now
        });
    }
    Some(Signal::Attempted(path.clone(), attempted))
}
