//! Signals → what waits to be examined; mostly about names that come, go and move.

use std::sync::Arc;

use fimk_core::path::BytePath;
use fimk_store::Commit;
use fimk_wire::raw;

use crate::{
    engine::{Engine, Eyes, Trouble},
    exit::Failure,
    identity::ActorKey,
    pending::{Found, Pending},
    signal::{Fact, Operations, Signal, Touch},
    source::arm,
    tree::rebased,
    walk::{Found as FoundName, Walker},
};

impl Engine {
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Trouble> {
        match signal {
            Signal::Touched(path, touch) => self.touched(&path, touch),
            Signal::Moved {
                old,
                new,
                replaced,
                directory,
                touch,
            } => {
                self.moved(old.as_ref(), new.as_ref(), replaced, directory, &touch)?;
            }
            Signal::Compare(directory, touch) => self.compare_directory(&directory, &touch)?,
            Signal::Lost(reason) => self.scan_wanted = Some(reason),
        }
        Ok(())
    }

    fn covered(&self, path: &BytePath) -> bool {
        self.rules.covers(path).is_some()
    }

    fn touched(&mut self, path: &BytePath, touch: Touch) {
        if !self.covered(path) {
            return;
        }
        if touch.operations.meets(Operations::of(&[raw::FIMK_OP_MAP])) {
            self.held.add(path, touch.actor);
        } else if touch
            .operations
            .meets(Operations::of(&[raw::FIMK_OP_CLOSE]))
        {
            self.held.remove(path, touch.actor);
        }
        let newborn = touch.fact == Some(Fact::Created);
        self.settle.entry(path, newborn).add(touch);
    }

    /// Somebody still has it mapped: it is read again, whatever the kernel says.
    pub(crate) fn reread(&mut self, path: &BytePath, actor: Option<ActorKey>) {
        let now = crate::clock::now();
        let touch = Touch {
            actor,
            uid: None,
            operations: Operations::of(&[raw::FIMK_OP_MAP]),
            first: now,
            last: now,
            count: 1,
            bytes: 0,
            accessed: None,
            fact: None,
        };
        let pending = self.settle.entry(path, false);
        pending.found.get_or_insert(Found::Late);
        pending.add(touch);
    }

    fn moved(
        &mut self,
        old: Option<&BytePath>,
        new: Option<&BytePath>,
        replaced: bool,
        directory: bool,
        touch: &Touch,
    ) -> Result<(), Trouble> {
        let old_covered = old.filter(|path| self.covered(path));
        let new_covered = new.filter(|path| self.covered(path));
        match (old_covered, new_covered) {
            (from, Some(to)) => self.moved_to(from, old, to, replaced, touch)?,
            (Some(from), None) => {
                let touch = Touch {
                    fact: Some(Fact::MovedOut(new.cloned())),
                    ..touch.clone()
                };
                self.settle.entry(from, false).add(touch);
            }
            (None, None) => {}
        }
        if directory && let Some(old) = old {
            self.moved_below(old, new, old_covered.is_some(), touch)?;
        }
        Ok(())
    }

    /// Something stands under a watched name that stood elsewhere before.
    fn moved_to(
        &mut self,
        from: Option<&BytePath>,
        old: Option<&BytePath>,
        to: &BytePath,
        replaced: bool,
        touch: &Touch,
    ) -> Result<(), Trouble> {
        let mut prior = from
            .and_then(|path| self.settle.take(path))
            .unwrap_or_default();
        let newborn = prior
            .touches
            .iter()
            .any(|it| it.fact == Some(Fact::Created));
        // What was waiting here about the object that is replaced stays: its facts are facts.
        let mut here = self.settle.take(to).unwrap_or_default();
        let stood_here = replaced
            || here.base.is_some()
            || self.store.record(to).map_err(Failure::from)?.is_some();
        if !stood_here {
            here.base = match prior.base.take() {
                Some(base) => Some(base),
                None => match from {
                    Some(path) => self.store.record(path).map_err(Failure::from)?,
                    None => None,
                },
            };
        }
        let carried = prior
            .touches
            .iter()
            .filter(|it| it.fact.is_none() || newborn);
        let carried = carried.map(|it| Touch {
            fact: None,
            ..it.clone()
        });
        for touch in carried.filter(|it| {
            it.operations
                .meets(Operations::CONTENT.with(Operations::ATTRIBUTES))
        }) {
            here.add(Touch {
                operations: touch.operations.without(Operations::NAMES),
                ..touch
            });
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
        here.former.extend(from.cloned());
        here.former.retain(|path| path != to);
        if here.id == 0 {
            here.id = self.settle.new_id();
        }
        self.settle.put(to.clone(), here);
        if let Some(from) = from.filter(|_| newborn) {
            // It was made, and is gone from here before it could be read under this name.
            self.settle.put(
                from.clone(),
                Pending {
                    present: Some(false),
                    ..prior
                },
            );
        }
        Ok(())
    }

    /// What was recorded below a directory that moved goes with it, or out of sight.
    fn moved_below(
        &mut self,
        old: &BytePath,
        new: Option<&BytePath>,
        told: bool,
        touch: &Touch,
    ) -> Result<(), Trouble> {
        let mut commit = Commit::default();
        let below: Vec<_> = self
            .store
            .records(Some(old))
            .collect::<Result<_, _>>()
            .map_err(Failure::from)?;
        for (path, record) in below.into_iter().filter(|(path, _)| path != old) {
            let moved = new
                .map(|new| rebased(&path, old, new))
                .filter(|path| self.covered(path));
            match moved {
                Some(moved) => commit.put.push((moved, record)),
                // The event of the directory itself stands for what is in it.
                None if told => {}
                None => {
                    let fact = Some(Fact::MovedOut(new.map(|new| rebased(&path, old, new))));
                    self.settle.entry(&path, false).add(Touch {
                        fact,
                        ..touch.clone()
                    });
                    continue;
                }
            }
            commit.remove.push(path);
        }
        self.commit(commit)
    }

    /// A directory that came with content of its own: it is watched, then what is in it is examined.
    pub(crate) fn walk_new(&mut self, path: &BytePath, touch: &Touch) -> Result<(), Trouble> {
        let found = self.watch_below(path)?;
        for it in found
            .into_iter()
            .filter(|it| it.covered && it.path != *path)
        {
            if self
                .store
                .record(&it.path)
                .map_err(Failure::from)?
                .is_none()
            {
                self.found(&it.path, touch);
            }
        }
        Ok(())
    }

    fn found(&mut self, path: &BytePath, touch: &Touch) {
        let pending = self.settle.entry(path, false);
        pending.found.get_or_insert(Found::Scan);
        pending.add(Touch {
            fact: None,
            ..touch.clone()
        });
    }

    /// Holds what is in a directory against what is known of it.
    fn compare_directory(&mut self, directory: &BytePath, touch: &Touch) -> Result<(), Trouble> {
        let rules = Arc::clone(&self.rules);
        let entries = Walker::new(&rules).entries(directory);
        let known: Vec<BytePath> = self
            .tree
            .below(directory)
            .into_iter()
            .map(|(path, _)| path)
            .filter(|path| path.parent().as_ref() == Some(directory))
            .collect();
        for path in known
            .iter()
            .filter(|path| !entries.iter().any(|it| it.path == **path))
        {
            self.tree.remove_below(path);
            if self.covered(path) {
                self.found(path, touch);
            }
        }
        for it in &entries {
            if self.tree.get(&it.path).is_some() {
                continue;
            }
            self.watch_below(&it.path)?;
            if it.covered {
                self.found(&it.path, touch);
            }
            self.walk_new(&it.path, touch)?;
        }
        Ok(())
    }

    /// Watches a name and all below it that rules reach, each directory before it is listed; gives what it found.
    pub(crate) fn watch_below(&mut self, top: &BytePath) -> Result<Vec<FoundName>, Trouble> {
        let rules = Arc::clone(&self.rules);
        let walker = Walker::new(&rules);
        let mut all: Vec<FoundName> = Vec::new();
        let mut level: Vec<FoundName> = walker.look(top).into_iter().collect();
        while !level.is_empty() {
            self.watch(&level)?;
            let directories = level
                .iter()
                .filter(|it| it.directory && Walker::may_enter(&it.path));
            let next = directories
                .flat_map(|it| walker.entries(&it.path))
                .collect();
            all.append(&mut level);
            level = next;
        }
        Ok(all)
    }

    fn watch(&mut self, found: &[FoundName]) -> Result<(), Trouble> {
        match &mut self.eyes {
            Eyes::Bpf(_) => {
                let armed = arm::arm(&mut self.channel, &mut self.tree, found, &mut self.stash)?;
                if armed.refused > 0 {
                    self.degraded(&format!(
                        "the watch map is full: {} objects are not watched; watch fewer",
                        armed.refused
                    ))?;
                }
            }
            Eyes::Fanotify(fanotify) => {
                let refused = fanotify.watch(&mut self.tree, found);
                for sentence in refused {
                    self.degraded(&sentence)?;
                }
            }
            Eyes::Periodic => {
                for it in found {
                    let entry = crate::tree::Entry {
                        object: None,
                        directory: it.directory,
                    };
                    self.tree.insert(it.path.clone(), entry);
                }
            }
        }
        Ok(())
    }
}
