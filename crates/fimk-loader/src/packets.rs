//! The packets that the loader makes itself.
#![allow(
    clippy::cast_possible_truncation,
    reason = "constants of the wire and lengths below FIMK_PACKET_MAX fit their fields"
)]

use fimk_wire::{NUMBERS_OF, raw};
use zerocopy::{FromZeros, IntoBytes};

use crate::counts::Sums;
use crate::probe::Source;

/// A bit for each rule.
pub const RULES_BYTES: usize = raw::FIMK_RULES_MAX as usize / 8;

/// A header for a packet of `length` bytes.
fn header(kind: u32, length: usize) -> raw::fimk_header {
    raw::fimk_header {
        version: raw::FIMK_WIRE_VERSION as u16,
        kind: kind as u16,
        length: length as u32,
    }
}

/// Every record up to here was forwarded.
pub fn synced(cookie: u64) -> raw::fimk_synced {
    raw::fimk_synced {
        header: header(raw::FIMK_PACKET_SYNCED, size_of::<raw::fimk_synced>()),
        cookie,
    }
}

/// An entry is the analyzer's; with `entry.count` 0 there was none.
pub fn taken(key: raw::fimk_key, entry: raw::fimk_entry) -> raw::fimk_taken {
    raw::fimk_taken {
        header: header(raw::FIMK_PACKET_TAKEN, size_of::<raw::fimk_taken>()),
        key,
        entry,
    }
}

/// What serves, and how.
pub fn ready(source: &Source, objects_kept: u32) -> raw::fimk_ready {
    raw::fimk_ready {
        header: header(raw::FIMK_PACKET_READY, size_of::<raw::fimk_ready>()),
        source: source.number,
        reason: source.refusal.reason,
        error: source.refusal.error,
        watch_max: source.objects(),
        fanotify_flags: source.fanotify.as_ref().map_or(0, |(_, flags)| *flags),
        objects_kept,
        plan: source.plan,
        map_bytes: source.map_bytes,
        load: source.load,
        coverage: source.coverage,
        preempts: u32::from(source.preempts),
        reserved: 0,
    }
}

/// Announces a dirty entry that the ring could not: no path, and no hook, for it is not known which.
pub fn touch(key: raw::fimk_key, entry: &raw::fimk_entry) -> Vec<u8> {
    let mut touch = raw::fimk_touch::new_zeroed();
    touch.header = header(raw::FIMK_PACKET_TOUCH, NUMBERS_OF::TOUCH);
    touch.key = key;
    touch.time_ns = entry.last_ns;
    touch.operation = entry
        .operations
        .iter()
        .position(|&done| done != 0)
        .unwrap_or(0) as u32;
    touch.hook = raw::FIMK_HOOKS;
    touch.uid = entry.uid;
    touch.as_bytes()[..NUMBERS_OF::TOUCH].to_vec()
}

/// A process as the map has it: its numbers and the used part of its tail.
pub fn actor(mut actor: raw::fimk_actor) -> Vec<u8> {
    let end = |span: raw::fimk_span| usize::from(span.start) + usize::from(span.length);
    let used = end(actor.executable)
        .max(end(actor.arguments))
        .max(end(actor.cgroup_path))
        .min(actor.tail.len());
    let length = NUMBERS_OF::ACTOR + used;
    actor.header = header(raw::FIMK_PACKET_ACTOR, length);
    actor.as_bytes()[..length].to_vec()
}

/// Nobody of that key is known.
pub fn unknown_actor(key: raw::fimk_actor_key) -> Vec<u8> {
    let mut nobody = raw::fimk_actor::new_zeroed();
    nobody.key = key;
    nobody.flags = raw::FIMK_ACTOR_UNKNOWN;
    nobody.login_uid = raw::FIMK_NO_LOGIN;
    nobody.session = raw::FIMK_NO_LOGIN;
    actor(nobody)
}

/// Who holds what; about nobody and nothing: what was looked for, and how long it took.
pub fn holder(key: raw::fimk_key, flags: u32, milliseconds: u32) -> raw::fimk_holder {
    raw::fimk_holder {
        header: header(raw::FIMK_PACKET_HOLDER, size_of::<raw::fimk_holder>()),
        key,
        flags,
        milliseconds,
    }
}

/// The sums of all counters, and the rules of which entries were lost.
pub fn counters(
    skipped: u64,
    swept: u64,
    hooks: &Sums,
    rules: [u8; RULES_BYTES],
) -> raw::fimk_counters_packet {
    raw::fimk_counters_packet {
        header: header(
            raw::FIMK_PACKET_COUNTERS,
            size_of::<raw::fimk_counters_packet>(),
        ),
        skipped,
        swept,
        hooks: *hooks,
        rules,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fimk_wire::Packet;

    #[test]
    fn what_is_made_decodes() {
        let key = raw::fimk_key::new_zeroed();
        let mut entry = raw::fimk_entry::new_zeroed();
        entry.operations[raw::FIMK_OP_CHMOD as usize] = 1;
        let Ok(Packet::Touch(made)) = Packet::decode(&touch(key, &entry)) else {
            panic!("not a touch")
        };
        assert_eq!(made.operation, raw::FIMK_OP_CHMOD);
        assert!(matches!(
            Packet::decode(taken(key, entry).as_bytes()),
            Ok(Packet::Taken(_))
        ));
        assert!(matches!(
            Packet::decode(synced(7).as_bytes()),
            Ok(Packet::Synced(_))
        ));
        let Ok(Packet::Actor(nobody)) = Packet::decode(&unknown_actor(key.actor)) else {
            panic!("not an actor")
        };
        assert_eq!(nobody.flags, raw::FIMK_ACTOR_UNKNOWN);
    }

    #[test]
    fn an_actor_is_sent_with_the_used_part_of_its_tail() {
        let mut known = raw::fimk_actor::new_zeroed();
        known.executable = raw::fimk_span {
            start: 0,
            length: 5,
        };
        known.arguments = raw::fimk_span {
            start: 5,
            length: 7,
        };
        assert_eq!(actor(known).len(), NUMBERS_OF::ACTOR + 12);
        known.arguments = raw::fimk_span {
            start: u16::MAX,
            length: u16::MAX,
        };
        assert_eq!(actor(known).len(), size_of::<raw::fimk_actor>());
    }
}
