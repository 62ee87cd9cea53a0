//! Names that move: what waited and was on record under the old one goes along, as far as it is of what moved.

use fimk_core::{path::BytePath, record::Record};
use fimk_store::Commit;

use crate::{
    engine::{Engine, Trouble},
    exit::Failure,
    pending::Pending,
    signal::{Fact, Touch},
    tree::rebased,
};

/// Of a move: see [`Signal::Moved`].
#[derive(Clone, Copy)]
pub(super) struct Move {
    pub replaced: bool,
    pub directory: bool,
    pub before: bool,
}

impl Engine {
    pub(super) fn moved(
        &mut self,
        old: Option<&BytePath>,
        new: Option<&BytePath>,
        how: Move,
        touch: &Touch,
    ) -> Result<(), Trouble> {
        let old_covered = old.filter(|path| self.covered(path));
        let new_covered = new.filter(|path| self.covered(path));
        match (old_covered, new_covered) {
            (from, Some(to)) => self.moved_to(from, old, to, how, touch)?,
            (Some(from), None) => {
                let touch = Touch {
                    fact: Some(Fact::MovedOut(new.cloned())),
                    ..touch.clone()
                };
                self.settle.entry(from, false).add(touch);
            }
            (None, None) => {}
        }
        if let Some(old) = old_covered {
            self.held.moved(old, new_covered);
        }
        if how.directory
            && let Some(old) = old
        {
            if !how.before {
                self.tell_what_was_gone_below(old, new)?;
            }
            self.moved_below(old, new, old_covered.is_some(), how, touch)?;
            if !how.before {
                self.waiting_below(old, new)?;
            }
        }
        Ok(())
    }

    /// Something stands under a watched name that stood elsewhere before.
    fn moved_to(
        &mut self,
        from: Option<&BytePath>,
        old: Option<&BytePath>,
        to: &BytePath,
        how: Move,
        touch: &Touch,
    ) -> Result<(), Trouble> {
        let mut prior = from
            .and_then(|path| self.settle.take(path))
            .unwrap_or_default();
        // What was waiting here about the object that is replaced stays: its facts are facts.
        let mut here = self.settle.take(to).unwrap_or_default();
        here.explain();
        // What is on record here may have moved on, and wait to be examined there.
        let stood_here = how.replaced || here.base.is_some() || self.own_record(to)?.is_some();
        // If it moved before a walk, something stands under the old name since: what waits there, and may be on record, is its own.
        let another = how.before && from.is_some_and(|path| self.tree.get(path).is_some());
        let record = match from {
            Some(path) => self.own_record(path)?,
            None => None,
        };
        let recorded = from.zip(record.as_ref());
        let its_own = another && recorded.is_some_and(|(path, it)| self.stands(path, it));
        if !stood_here {
            here.base = prior.base.take().or(record.filter(|_| !its_own));
        }
        if !another {
            for it in prior.of_object() {
                // Where it was reached when it had the old name, by the same process, is of the past.
                let now = touch.accessed.clone().filter(|_| it.actor == touch.actor);
                let accessed = now.or(it.accessed);
                here.add(Touch { accessed, ..it });
            }
        }
        let fact = if stood_here {
            Fact::Replaced(old.cloned())
        } else {
            Fact::Renamed(old.cloned())
        };
        here.add(Touch {
            fact: Some(fact),
            ..touch.clone()
        });
        here.former.extend(prior.former.iter().cloned());
        here.former.extend(from.filter(|_| !its_own).cloned());
        here.former.retain(|path| path != to);
        // What was carried here is as old as it was there: it is not done before it is examined here.
        here.id = match (here.id, prior.id) {
            (0, 0) => self.settle.new_id(),
            (0, id) | (id, 0) => id,
            (one, other) => one.min(other),
        };
        self.settle.put(to.clone(), here);
        if let Some(from) = from
            && (another && !prior.is_nothing() || prior.tells_of_name())
        {
            // How the object came by its old name is a fact that is told, though it is gone from there by now.
            let present = if another { prior.present } else { Some(false) };
            self.settle.put(from.clone(), Pending { present, ..prior });
        }
        Ok(())
    }

    /// What was recorded below a directory that moved goes with it, or out of sight.
    fn moved_below(
        &mut self,
        old: &BytePath,
        new: Option<&BytePath>,
        told: bool,
        how: Move,
        touch: &Touch,
    ) -> Result<(), Trouble> {
        let left = self.settle.left_below(old);
        for path in self.recorded_below(old)? {
            let record = self.store.record(&path).map_err(Failure::from)?;
            let elsewhere = new.map(|new| rebased(&path, old, new));
            let is_left = left.contains(&path);
            if self.stays(&path, elsewhere.as_ref(), record.as_ref(), is_left, how) {
                continue;
            }
            let moved = elsewhere.clone().filter(|path| self.covered(path));
            if moved.is_none() && !told {
                let fact = Some(Fact::MovedOut(elsewhere));
                // The name by which the directory was reached is none of what is in it.
                self.settle.entry(&path, false).add(Touch {
                    fact,
                    accessed: None,
                    ..touch.clone()
                });
                continue;
            }
            // Otherwise the event of the directory itself stands for what is in it. One at a time: all
            // together may be more than the store takes at once.
            if moved.is_none() && self.settle.waits(&path) {
                self.settle.entry(&path, false).base.clone_from(&record);
            }
            if let Some(moved) = &moved {
                self.tell_what_is_gone(moved)?;
            }
            self.commit(Commit {
                put: moved.zip(record).into_iter().collect(),
                remove: vec![path],
                ..Commit::default()
            })?;
        }
        Ok(())
    }

    /// Whether what is on record here is not of what moved with the directory: it was gone when that moved, or came after.
    fn stays(
        &self,
        path: &BytePath,
        elsewhere: Option<&BytePath>,
        record: Option<&Record>,
        is_left: bool,
        how: Move,
    ) -> bool {
        if how.before {
            let stands = record.is_some_and(|it| self.stands(path, it));
            return is_left || self.settle.is_gone(path) || stands;
        }
        // The name that was left may have been given again, and be on record, before the directory moved.
        let moved = elsewhere.zip(record);
        is_left && !moved.is_some_and(|(there, it)| self.stands(there, it))
    }

    /// What was gone from a directory when it moved is told at once, by the name it had: that may be given again, and the
    /// directory take another name along. (Of what came and went by one event it is not known when it went.)
    fn tell_what_was_gone_below(
        &mut self,
        old: &BytePath,
        new: Option<&BytePath>,
    ) -> Result<(), Trouble> {
        for path in self.settle.below(old) {
            if !self.settle.is_long_gone(&path) {
                continue;
            }
            let elsewhere = new.map(|new| rebased(&path, old, new));
            let stands = match &elsewhere {
                Some(elsewhere) => self.stands_after_all(elsewhere)?,
                None => false,
            };
            if !stands {
                self.tell_what_is_gone(&path)?;
            }
        }
        Ok(())
    }

    /// Tells of a removal that waits, before what has the name now, and its record, come in its place.
    fn tell_what_is_gone(&mut self, path: &BytePath) -> Result<(), Trouble> {
        if self.settle.is_gone(path)
            && let Some(pending) = self.settle.take(path)
        {
            for touch in &pending.touches {
                self.learn_at_once(touch.actor)?;
            }
            let over = Pending {
                over: true,
                ..pending
            };
            self.examine_at_last(path, over)?;
        }
        Ok(())
    }

    /// What is on record under this name and has not left it.
    fn own_record(&self, path: &BytePath) -> Result<Option<Record>, Trouble> {
        let record = self.store.record(path).map_err(Failure::from)?;
        Ok(record.filter(|record| !self.is_of_what_left(path, record)))
    }

    /// Whether what is on record under this name is of what has left it, and waits to be examined elsewhere.
    pub(crate) fn is_of_what_left(&self, path: &BytePath, record: &Record) -> bool {
        let mut left = self.settle.all_that_left(path);
        left.any(|(at, base)| match base {
            Some(base) => is_of_one_object(base, record),
            None => self.stands(at, record),
        })
    }

    /// Whether a walk found under this name what is on record there.
    fn stands(&self, path: &BytePath, record: &Record) -> bool {
        let found = self.tree.get(path).and_then(|entry| entry.object);
        found.is_some_and(|object| object.inode == record.snapshot.attributes.inode)
    }

    /// What waited below a directory that moved is to be looked for where it is now.
    fn waiting_below(&mut self, old: &BytePath, new: Option<&BytePath>) -> Result<(), Trouble> {
        for path in self.settle.below(old) {
            let moved = new.map(|new| rebased(&path, old, new));
            let Some(moved) = moved.filter(|path| self.covered(path)) else {
                continue;
            };
            self.tell_what_is_gone(&moved)?;
            let Some(mut pending) = self.settle.take(&path) else {
                continue;
            };
            if let Some(of_former) = pending.split_former() {
                let is_all = pending.is_nothing();
                self.settle.put(path, of_former);
                if is_all {
                    continue;
                }
            }
            if let Some(there) = self.settle.take(&moved) {
                // It is of what had the name before: whether this stands is not for it to say.
                let last = (pending.present, pending.timeless);
                pending.id = pending.id.min(there.id);
                there.touches.into_iter().for_each(|it| pending.add(it));
                (pending.present, pending.timeless) = last;
            }
            self.settle.put(moved, pending);
        }
        Ok(())
    }
}

fn is_of_one_object(one: &Record, other: &Record) -> bool {
    let identity = |it: &Record| {
        let attributes = &it.snapshot.attributes;
        (attributes.device, attributes.inode)
    };
    identity(one) == identity(other)
}
