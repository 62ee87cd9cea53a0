//! What the upper bits of a pid say in the key of an attempt. See `struct fimk_key`.

use crate::raw;

/// The actor alone.
#[must_use]
pub fn actor_of_attempt(actor: raw::fimk_actor_key) -> raw::fimk_actor_key {
    raw::fimk_actor_key {
        pid: actor.pid & raw::FIMK_PID_MASK,
        ..actor
    }
}

/// `FIMK_KIND_*`: 0 for a change.
#[must_use]
pub fn kind_of(actor: raw::fimk_actor_key) -> u32 {
    actor.pid >> raw::FIMK_KIND_SHIFT & raw::FIMK_KIND_MASK
}

/// The errno with which it was refused; 0: it was not.
#[must_use]
pub fn error_of(actor: raw::fimk_actor_key) -> u32 {
    actor.pid >> raw::FIMK_ERROR_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_attempts_pid_are_told_apart() {
        let actor = raw::fimk_actor_key {
            pid: raw::FIMK_PID_MASK
                | raw::FIMK_KIND_DENIED << raw::FIMK_KIND_SHIFT
                | 30 << raw::FIMK_ERROR_SHIFT,
            image: 1,
            start_ns: 2,
        };
        assert_eq!(kind_of(actor), raw::FIMK_KIND_DENIED);
        assert_eq!(error_of(actor), 30);
        let alone = actor_of_attempt(actor);
        assert_eq!(
            (alone.pid, alone.image, alone.start_ns),
            (raw::FIMK_PID_MASK, 1, 2)
        );
        assert_eq!((kind_of(alone), error_of(alone)), (0, 0));
    }
}
