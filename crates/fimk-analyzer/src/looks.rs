//! Asks the kernel, through the loader, who holds files mapped or open for writing, and what follows from it.
//!
//! With the BPF source a look is taken when something is held already that is to be watched, when a held file is
//! found changed, and now and then while anything is held. With fanotify, which says nothing of mappings, it is
//! taken all the time, as often as its cost permits.

use std::{
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use fimk_core::{attribution::Attribution, path::BytePath};
use fimk_wire::raw;

use crate::{
    engine::{EXPLAINED_WITHIN, Engine, Eyes, Trouble},
    exit::log,
    held::How,
    host,
    identity::{ActorKey, Object, device_of},
    pending::{Found, Pending},
    signal::{Operations, Touch},
};

/// Between two looks with fanotify while anything is held: as often as that is read.
const EVERY: Duration = Duration::from_secs(2);
/// The same while nothing is: a look goes over all processes, and a host at rest is left alone. What is changed by somebody
/// whom no look saw is told all the same, and a look is taken then.
const EVERY_AT_REST: Duration = Duration::from_secs(6);
/// Between two looks with BPF while anything is held: they only find what the records of mappings do not say, that
/// a child inherited one or that one of several ended.
const EVERY_WHILE_HELD: Duration = Duration::from_secs(30);
/// The time from one look to the next, in times that the look took: a hundredth of a CPU at most.
const REST: u32 = 100;
/// After a look that the loader refused, because it rests.
const AGAIN: Duration = Duration::from_millis(500);
/// How long something found changed waits to hear who holds it: a look takes milliseconds, on a huge host seconds.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The look that is under way, and what is known of them.
#[derive(Default)]
pub struct Looks {
    cookie: Option<u64>,
    found: Vec<(Object, ActorKey, How)>,
    /// `FIMK_HOLDS_*`: what the look that is under way looks for.
    told: u32,
    took: Duration,
    /// None: nothing asks for one.
    due: Option<Instant>,
    /// What was found changed, and waits for the answer of the next look.
    waiting: Vec<BytePath>,
    /// What waits for the answer of the one that is under way.
    answered: Vec<BytePath>,
    /// Whether a look can tell of mappings. Unknown before the first.
    pub tells_mappings: bool,
    said_cut: bool,
}

impl Looks {
    /// One is wanted at once.
    pub fn want(&mut self) {
        self.due = Some(Instant::now());
    }

    /// When the next is to be taken.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.filter(|_| self.cookie.is_none())
    }

    /// A packet of the answer.
    pub fn note(&mut self, packet: &raw::fimk_holder) {
        let (Some(object), Some(who)) = (
            Object::of(packet.key.object),
            ActorKey::of(packet.key.actor),
        ) else {
            self.told = packet.flags;
            self.took = Duration::from_millis(packet.milliseconds.into());
            return;
        };
        let mapped = packet.flags & raw::FIMK_HOLDS_MAPPED != 0;
        let how = if mapped { How::Mapped } else { How::Open };
        self.found.push((object, who, how));
    }

    fn ways(&self) -> Vec<How> {
        [
            (raw::FIMK_HOLDS_OPEN, How::Open),
            (raw::FIMK_HOLDS_MAPPED, How::Mapped),
        ]
        .into_iter()
        .filter(|(flag, _)| self.told & flag != 0)
        .map(|(_, how)| how)
        .collect()
    }
}

impl Engine {
    /// Takes a look if one is due.
    pub(crate) fn look_at_holders(&mut self) -> Result<(), Trouble> {
        if self
            .looks
            .next_due()
            .is_some_and(|due| due <= Instant::now())
        {
            self.looks.due = None;
            self.looks.told = 0;
            self.looks.found.clear();
            self.looks.answered = std::mem::take(&mut self.looks.waiting);
            self.held.begin_look();
            self.looks.cookie = Some(self.channel.holders()?);
        }
        Ok(())
    }

    /// Something that is held was found changed: who holds it is asked behind all that other processes are on
    /// record for.
    pub(crate) fn ask_who_holds(&mut self, path: &BytePath) -> Result<(), Trouble> {
        self.look()?;
        self.looks.waiting.push(path.clone());
        self.looks.want();
        self.look_at_holders()
    }

    /// A SYNCED came; if it ends a look, its answer is used.
    pub(crate) fn holders_told(&mut self, cookie: u64) {
        let ends = self.looks.cookie.take_if(|asked| *asked == cookie);
        if ends.is_none() {
            return;
        }
        let ways = self.looks.ways();
        let found = std::mem::take(&mut self.looks.found);
        if ways.is_empty() {
            // The loader rests from the last look. What waits for an answer has none yet, and waits for the next.
            let mut unanswered = std::mem::take(&mut self.looks.answered);
            unanswered.append(&mut self.looks.waiting);
            unanswered.retain(|path| self.settle.waits(path));
            self.looks.due = if unanswered.is_empty() {
                self.next_look()
            } else {
                Some(Instant::now() + AGAIN)
            };
            self.looks.waiting = unanswered;
            return;
        }
        self.looks.tells_mappings = ways.contains(&How::Mapped);
        let found = self.paths_of(&found);
        for (path, holders) in self.held.end_look(&found, &ways) {
            self.reread_released(&path, &holders);
        }
        self.say_cut();
        self.looks.due = self.next_look();
        for path in std::mem::take(&mut self.looks.answered) {
            self.settle.hasten(&path);
        }
        if !self.looks.waiting.is_empty() {
            self.looks.want();
        }
    }

    fn next_look(&self) -> Option<Instant> {
        let rest = match &self.eyes {
            Eyes::Fanotify(_) if self.held.len() > 0 => EVERY,
            Eyes::Fanotify(_) => EVERY_AT_REST,
            Eyes::Bpf(_) if self.held.len() > 0 => EVERY_WHILE_HELD,
            _ => return None,
        };
        let rest = rest.max(self.looks.took * REST);
        Some(Instant::now() + rest)
    }

    /// The watched names of what is held. Who maps a file of an overlay holds what lies below.
    fn paths_of(&self, found: &[(Object, ActorKey, How)]) -> Vec<(BytePath, ActorKey, How)> {
        let exact = matches!(self.eyes, Eyes::Bpf(_));
        let mut held = Vec::new();
        for (object, who, how) in found {
            let key = if exact {
                *object
            } else {
                object.without_generation()
            };
            let watched = |path: &&BytePath| self.rules.covers(path).is_some();
            let merged = self.tree.merged_names_of(key);
            let names = self.tree.names_of(key).iter().chain(merged);
            let paths = names.filter(watched);
            held.extend(
                paths
                    .filter(|path| exact || stands_under(path, key))
                    .map(|path| (path.clone(), *who, *how)),
            );
        }
        held
    }

    fn say_cut(&mut self) {
        if self.looks.told & raw::FIMK_HOLDS_CUT != 0 && !self.looks.said_cut {
            self.looks.said_cut = true;
            log(format!(
                "more than {} files are open for writing or mapped by somebody: for some nobody can be named if they \
                 change without a record",
                raw::FIMK_HOLDERS_MAX
            ));
        }
    }

    /// A description of it or a mapping went away. Whether the same process, or another, has more of them only a look
    /// can tell.
    pub(crate) fn released(&mut self, path: &BytePath, who: Option<ActorKey>) {
        if self.held.holds(path) && self.looks.tells_mappings {
            self.looks.want();
        } else {
            self.held.remove(path, who);
        }
    }

    /// Somebody holds it: it is read again, whatever the kernel says.
    pub(crate) fn reread(&mut self, path: &BytePath, how: How) -> Result<(), Trouble> {
        if how == How::Mapped || !self.is_as_recorded(path)? {
            self.settle
                .entry(path, false)
                .found
                .get_or_insert(Found::Late);
        }
        Ok(())
    }

    /// Nobody holds it any more: it is read for the last time.
    fn reread_released(&mut self, path: &BytePath, holders: &[Option<ActorKey>]) {
        let pending = self.settle.entry(path, false);
        if pending.touches.is_empty() {
            pending.found.get_or_insert(Found::Late);
            pending.asked = true;
            for who in holders {
                pending.add(hold(*who));
            }
        }
    }

    /// What differs though no record says why was done by one of those who hold it: they are added. And what was
    /// found late, but has a record of somebody who did it, was not found late.
    pub(crate) fn add_holders(&self, path: &BytePath, pending: &mut Pending) {
        let vague = Operations::of(&[raw::FIMK_OP_MAP, raw::FIMK_OP_CLOSE]);
        let mut touches = pending.touches.iter();
        if !touches.all(|it| it.fact.is_none() && it.operations.without(vague).is_empty()) {
            pending.found.take_if(|found| *found == Found::Late);
            return;
        }
        if pending.touches.is_empty() && !pending.asked {
            return;
        }
        let suspects = self
            .held
            .suspects(path, matches!(self.eyes, Eyes::Fanotify(_)));
        let known = |who: &Option<ActorKey>| pending.touches.iter().any(|it| it.actor == *who);
        let others: Vec<_> = suspects.into_iter().filter(|who| !known(who)).collect();
        if others.is_empty() || !matches!(pending.found, None | Some(Found::Late)) {
            return;
        }
        pending.found = Some(Found::Late);
        for who in others {
            pending.add(hold(who));
        }
    }
}

/// How often something found changed waits for records that are on their way. The first time at least, and each time
/// longer than the loader takes to announce again what the ring had no room for.
const PUT_OFF_MAX: u8 = 5;
const PUT_OFF: Duration = Duration::from_millis(150);

impl Engine {
    /// What is on record as somebody's doing, and not taken yet, is waited for.
    pub(crate) fn put_off(&mut self, path: &BytePath, pending: Pending) -> Option<Pending> {
        if self.is_to_wait_for_others(path, &pending) {
            self.wait_for_others(path.clone(), pending, EXPLAINED_WITHIN);
            return None;
        }
        let Eyes::Bpf(bpf) = &self.eyes else {
            return Some(pending);
        };
        let on_its_way = pending.put_off == 0 || bpf.takes_in_flight();
        let late = pending.found == Some(Found::Late) && pending.asked;
        if !late || !on_its_way || pending.put_off >= PUT_OFF_MAX {
            return Some(pending);
        }
        let put_off = pending.put_off + 1;
        self.settle
            .defer(path.clone(), Pending { put_off, ..pending }, PUT_OFF);
        None
    }
}

/// That somebody holds a file, as a touch; it counts as done now.
fn hold(actor: Option<ActorKey>) -> Touch {
    let now = crate::clock::now();
    Touch {
        actor,
        uid: None,
        by: Attribution::LOOK,
        operations: Operations::of(&[raw::FIMK_OP_MAP]),
        first: now,
        last: now,
        count: 1,
        bytes: 0,
        accessed: None,
        fact: None,
    }
}

/// Whether the name stands for this object at this moment: what fanotify tells of names comes after the fact.
fn stands_under(path: &BytePath, object: Object) -> bool {
    host::look(path)
        .is_ok_and(|meta| meta.ino() == object.inode && device_of(meta.dev()) == object.device)
}
