//! What the loader says: packets, in the order in which they came, and what is asked for because of them.

use fimk_wire::{Packet, actor_of_attempt, raw};

use super::{Engine, Eyes, Trouble};
use crate::{channel::Received, held::How, identity::ActorKey, source::arm};

/// Packets handled before anything else gets its turn.
pub(super) const PACKETS_AT_ONCE: usize = 4_096;

/// Objects that the kernel is to forget are named so many at a time: the loader has to keep up.
const UNWATCH_AT_ONCE: usize = 4_096;

/// Unknown actors remembered, so that nobody is asked for twice.
const UNKNOWN_MAX: usize = 4_096;

impl Engine {
    /// Handles what the loader sent; false when there is no more for now.
    pub(crate) fn receive(&mut self) -> Result<bool, Trouble> {
        let mut handled = 0;
        while handled < PACKETS_AT_ONCE
            && let Some(received) = self.next_packet()?
        {
            self.handle(&received.0)?;
            handled += 1;
        }
        self.settle_books()?;
        Ok(handled == PACKETS_AT_ONCE)
    }

    fn next_packet(&mut self) -> Result<Option<Received>, Trouble> {
        match self.stash.pop() {
            Some(received) => Ok(Some(received)),
            None => self.receive_anew(),
        }
    }

    /// From the channel, once the stash is worked off.
    fn receive_anew(&mut self) -> Result<Option<Received>, Trouble> {
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            for key in self.stash.take_announced() {
                bpf.want(key);
            }
            bpf.take(&mut self.channel, self.done.len() + bpf.taken.len())?;
        }
        Ok(self.channel.receive()?)
    }

    fn handle(&mut self, packet: &Packet) -> Result<(), Trouble> {
        match packet {
            Packet::Actor(actor) => {
                let key = self.actors.learn(actor);
                if let Eyes::Fanotify(fanotify) = &mut self.eyes {
                    fanotify.answer(key);
                }
            }
            Packet::Synced(synced) => self.answered(synced.cookie)?,
            Packet::Touch(touch) => {
                let actor = actor_of_attempt(touch.key.actor);
                self.note_executable(actor, touch.path_flags);
                self.want(ActorKey::of(actor))?;
                if let Eyes::Bpf(bpf) = &mut self.eyes {
                    bpf.touch(touch);
                }
            }
            Packet::Taken(taken) => {
                self.want(ActorKey::of(actor_of_attempt(taken.key.actor)))?;
                if let Eyes::Bpf(bpf) = &mut self.eyes {
                    let signals = bpf.taken(&self.tree, self.mounts.table(), taken);
                    self.signals(signals)?;
                }
            }
            Packet::Name(name) => {
                self.note_executable(name.actor, name.path_flags);
                self.want(ActorKey::of(name.actor))?;
                if let Eyes::Bpf(bpf) = &mut self.eyes {
                    let (tree, table) = (&mut self.tree, self.mounts.table());
                    let signals = bpf.name(tree, &self.walker, table, name);
                    self.signals(signals)?;
                }
            }
            Packet::Counters(counters) => self.count(counters)?,
            Packet::Holder(holder) => self.looks.note(holder),
            Packet::Armed(_) | Packet::Ready(_) => {}
        }
        self.keep_books()
    }

    fn note_executable(&mut self, actor: raw::fimk_actor_key, flags: u32) {
        if flags & raw::FIMK_PATH_EXECUTABLE_GONE != 0
            && let Some(key) = ActorKey::of(actor)
        {
            self.actors.lost_executable(key);
        }
    }

    /// What a source leaves to be done after each packet's signals.
    pub(crate) fn keep_books(&mut self) -> Result<(), Trouble> {
        let bpf = match &mut self.eyes {
            Eyes::Bpf(bpf) => bpf,
            Eyes::Fanotify(fanotify) => {
                let to_walk = std::mem::take(&mut fanotify.to_walk);
                return self.walk_new(to_walk);
            }
            Eyes::Periodic => return Ok(()),
        };
        bpf.take(&mut self.channel, self.done.len() + bpf.taken.len())?;
        for path in bpf.mapped.drain(..) {
            self.held.add(&path, None, How::Mapped);
            self.looks.want();
        }
        let unwanted = std::mem::take(&mut bpf.unwanted);
        for batch in unwanted.chunks(UNWATCH_AT_ONCE) {
            for object in batch {
                let key = raw::fimk_key {
                    object: object.wire(),
                    actor: crate::channel::no_actor(),
                };
                self.channel.ask(raw::FIMK_REQUEST_UNWATCH, 0, key, 0)?;
            }
            if batch.len() == UNWATCH_AT_ONCE {
                self.await_loader()?;
            }
        }
        Ok(())
    }

    /// Until the loader has done all that it was asked; what it says meanwhile is kept for its turn.
    fn await_loader(&mut self) -> Result<(), Trouble> {
        if self.alone {
            return Ok(());
        }
        let armed = arm::settle(&mut self.channel, &mut self.stash)?;
        debug_assert!(armed.is_empty(), "nothing is armed here");
        Ok(())
    }

    /// Takes in all that was recorded until now, so that a comparison does not find it first and without a name.
    pub(crate) fn catch_up(&mut self) -> Result<(), Trouble> {
        if matches!(self.eyes, Eyes::Periodic) {
            return Ok(());
        }
        self.look()?;
        self.await_loader()?;
        self.gather(false)
    }

    /// What waits until all packets that are here were handled. What was taken is done no sooner than what the walk
    /// finds, which may be of the same touch.
    fn settle_books(&mut self) -> Result<(), Trouble> {
        let stands = match &mut self.eyes {
            Eyes::Bpf(bpf) => bpf.look_beneath(&mut self.tree),
            Eyes::Fanotify(_) | Eyes::Periodic => false,
        };
        if stands {
            self.await_loader()?;
            self.handle_stash()?;
        }
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            bpf.walk_beneath(&self.tree);
            // All at once: each arming waits for the kernel to attach a program.
            let to_walk = std::mem::take(&mut bpf.to_walk);
            self.walk_new(to_walk)?;
        }
        let needs = self.settle.next_id();
        if let Eyes::Bpf(bpf) = &mut self.eyes {
            let taken = bpf.taken.drain(..);
            self.done
                .extend(taken.map(|(key, take)| (needs, key, take)));
        }
        Ok(())
    }

    /// What came until now, and no more.
    fn handle_stash(&mut self) -> Result<(), Trouble> {
        for _ in 0..self.stash.len() {
            if let Some(received) = self.stash.pop() {
                self.handle(&received.0)?;
            }
        }
        Ok(())
    }

    /// Makes sure that an actor is known or asked for; false while the answer is out.
    pub(crate) fn want(&mut self, key: Option<ActorKey>) -> Result<bool, Trouble> {
        // Without a start it is only a pid, of which nothing more can be known.
        let Some(key) = key.filter(|key| key.start_ns != 0) else {
            return Ok(true);
        };
        if self.actors.get(key).is_some() || self.unknown.contains(&key) {
            return Ok(true);
        }
        if self.alone {
            return Ok(true);
        }
        if self.asked_for.insert(key) {
            let cookie = self.channel.who(key.wire())?;
            self.asked.insert(cookie, key);
        }
        Ok(false)
    }

    /// As [`Self::want`], and waits for the answer. With fanotify whoever did something is known by the time that it is told of.
    pub(crate) fn learn_at_once(&mut self, key: Option<ActorKey>) -> Result<(), Trouble> {
        if matches!(self.eyes, Eyes::Bpf(_)) && !self.want(key)? {
            self.await_loader()?;
            for actor in self.stash.actors() {
                self.actors.learn(actor);
            }
        }
        Ok(())
    }

    fn answered(&mut self, cookie: u64) -> Result<(), Trouble> {
        self.others.answered(cookie);
        if let Some(key) = self.asked.remove(&cookie) {
            self.asked_for.remove(&key);
            if self.actors.get(key).is_none() {
                if self.unknown.len() >= UNKNOWN_MAX {
                    self.unknown.clear();
                }
                self.unknown.insert(key);
            }
            for path in std::mem::take(&mut self.awaiting) {
                self.settle.hasten(&path);
            }
        }
        if let Eyes::Fanotify(fanotify) = &mut self.eyes {
            let signals = fanotify.synced(
                cookie,
                &mut self.tree,
                &self.walker,
                &self.actors,
                self.mounts.table(),
            );
            self.signals(signals)?;
        }
        self.holders_told(cookie);
        self.checkpoint.answered(cookie, self.name_patience());
        Ok(())
    }
}
