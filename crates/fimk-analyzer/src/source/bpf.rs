//! The BPF source: records of the kernel → signals, with take–read–commit–done on the way.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fimk_core::path::BytePath;
use fimk_wire::{leaf_first_to_path, raw, spanned};

use crate::{
    channel::{Channel, ChannelError},
    clock,
    identity::{ActorKey, Object},
    signal::{Fact, Operations, Signal, Touch},
    tree::{Entry, Tree},
    walk::Walker,
};

/// A record of a name that the kernel counted may still be on its way for this long before the directory
/// is compared.
const NAME_PATIENCE: Duration = Duration::from_millis(10);

/// Names used by actors, kept from TOUCH to TAKEN; beyond, an event merely lacks `accessed_path`.
const ACCESSED_MAX: usize = 8_192;

type Key = (Object, ActorKey);

/// The state of the conversation with the kernel.
#[derive(Default)]
pub struct Bpf {
    accessed: HashMap<Key, BytePath>,
    /// Records of names seen per (directory, actor), less those that taken entries have accounted for.
    names_seen: HashMap<Key, u64>,
    /// Directories whose count said that records are missing.
    short: Vec<(Instant, Key, u64, Touch)>,
    /// Taken and to be told DONE.
    pub taken: Vec<(raw::fimk_key, u64)>,
    /// New objects that no rule reaches: the kernel is to forget them.
    pub unwanted: Vec<Object>,
    /// New directories that came with content of their own: to be walked.
    pub to_walk: Vec<(BytePath, Touch)>,
}

impl Bpf {
    /// An object became dirty: take it.
    pub fn touch(
        &mut self,
        channel: &mut Channel,
        touch: &raw::fimk_touch,
    ) -> Result<(), ChannelError> {
        if touch.path.length > 0
            && touch.path_flags & raw::FIMK_PATH_WHOLE != 0
            && touch.path_flags & raw::FIMK_PATH_CUT == 0
            && self.accessed.len() < ACCESSED_MAX
            && let Some(key) = key_of(touch.key)
        {
            let path = leaf_first_to_path(spanned(&touch.tail, touch.path));
            self.accessed.insert(key, BytePath::new(&path));
        }
        channel.ask(raw::FIMK_REQUEST_TAKE, 0, touch.key, 0)
    }

    /// The counts of what was taken.
    pub fn taken(&mut self, tree: &Tree, taken: &raw::fimk_taken) -> Vec<Signal> {
        let object = Object::of(taken.key.object);
        let actor = ActorKey::of(taken.key.actor);
        let accessed = object.zip(actor).and_then(|key| self.accessed.remove(&key));
        if taken.entry.count == 0 {
            return Vec::new();
        }
        self.taken.push((taken.key, taken.entry.take));
        let Some(object) = object else {
            return Vec::new();
        };
        let touch = Touch {
            actor,
            uid: Some(taken.entry.uid),
            operations: Operations::from_flags(&taken.entry.operations),
            first: clock::from_boot(taken.entry.first_ns),
            last: clock::from_boot(taken.entry.last_ns),
            count: taken.entry.count,
            bytes: taken.entry.bytes,
            accessed: None,
            fact: None,
        };
        if touch.operations.meets(Operations::NAMES) {
            self.account(object, actor, &touch);
        }
        signals(tree, object, touch, accessed.as_ref())
    }

    /// Holds the kernel's count of records about a directory against those that came.
    fn account(&mut self, object: Object, actor: Option<ActorKey>, touch: &Touch) {
        let Some(key) = actor.map(|actor| (object, actor)) else {
            return;
        };
        let seen = self.names_seen.remove(&key).unwrap_or(0);
        // An entry counts attribute changes of the directory as well; too few records then only cost a comparison.
        if seen < touch.count {
            self.short.push((
                Instant::now() + NAME_PATIENCE,
                key,
                touch.count - seen,
                touch.clone(),
            ));
        }
    }

    /// Directories whose missing records did not come in time.
    pub fn overdue(&mut self, tree: &Tree) -> Vec<Signal> {
        let now = Instant::now();
        let (due, short) = std::mem::take(&mut self.short)
            .into_iter()
            .partition(|(when, ..)| *when <= now);
        self.short = short;
        let mut signals = Vec::new();
        for (_, key, missing, touch) in Vec::<(Instant, Key, u64, Touch)>::from_iter::<Vec<_>>(due)
        {
            let late = self.names_seen.remove(&key).unwrap_or(0);
            if late < missing {
                signals.extend(
                    tree.names_of(key.0)
                        .iter()
                        .map(|path| Signal::Compare(path.clone(), touch.clone())),
                );
            }
        }
        signals
    }

    /// When [`Self::overdue`] has something to say.
    pub fn next_due(&self) -> Option<Instant> {
        self.short.iter().map(|(when, ..)| *when).min()
    }

    /// A name appeared, went or moved.
    pub fn name(
        &mut self,
        channel: &mut Channel,
        tree: &mut Tree,
        walker: &Walker<'_>,
        name: &raw::fimk_name,
    ) -> Result<Vec<Signal>, ChannelError> {
        let record = NameRecord::of(name);
        for directory in record.directories() {
            if let Some(actor) = record.actor {
                *self.names_seen.entry((directory, actor)).or_default() += 1;
            }
            let key = raw::fimk_key {
                object: directory.wire(),
                actor: name.actor,
            };
            channel.ask(raw::FIMK_REQUEST_TAKE, 0, key, 0)?;
        }
        Ok(match name.operation {
            raw::FIMK_OP_CREATE | raw::FIMK_OP_LINK => self.appeared(tree, walker, &record),
            raw::FIMK_OP_UNLINK => Self::vanished(tree, &record),
            raw::FIMK_OP_EXCHANGE => self.exchanged(tree, walker, &record),
            _ => self.moved(tree, walker, &record),
        })
    }

    fn appeared(
        &mut self,
        tree: &mut Tree,
        walker: &Walker<'_>,
        record: &NameRecord,
    ) -> Vec<Signal> {
        let others: Vec<BytePath> = tree.names_of(record.object).to_vec();
        let mut signals = Vec::new();
        for path in record.new_names(tree) {
            let Some(found) = walker.reaches(&path, record.is_directory) else {
                continue;
            };
            tree.insert(
                path.clone(),
                Entry {
                    object: Some(record.object),
                    directory: record.is_directory,
                },
            );
            if found.covered {
                let fact = if record.is_link {
                    Fact::Linked(others.first().cloned())
                } else {
                    Fact::Created
                };
                signals.push(Signal::Touched(path, record.touch(Some(fact))));
            }
        }
        if tree.names_of(record.object).is_empty() {
            self.unwanted.push(record.object);
        }
        if record.is_link && signals.is_empty() {
            let elsewhere = record.path_elsewhere();
            let fact = Fact::Linked(elsewhere);
            signals.extend(
                others
                    .into_iter()
                    .map(|path| Signal::Touched(path, record.touch(Some(fact.clone())))),
            );
        }
        signals
    }

    fn vanished(tree: &mut Tree, record: &NameRecord) -> Vec<Signal> {
        let mut signals = Vec::new();
        for path in record.new_names(tree) {
            // Only if it is still ours: the name may have been given to another object since.
            let gone = tree
                .get(&path)
                .is_some_and(|entry| entry.object.is_none_or(|it| it == record.object));
            if gone {
                tree.remove_below(&path);
            }
            signals.push(Signal::Touched(path, record.touch(Some(Fact::Deleted))));
        }
        signals
    }

    fn moved(&mut self, tree: &mut Tree, walker: &Walker<'_>, record: &NameRecord) -> Vec<Signal> {
        let reaches = |path: &BytePath| walker.reaches(path, record.is_directory).is_some();
        let old = record.old_name(tree);
        let new = record.new_names(tree).into_iter().next();
        let (old_reached, new_reached) =
            (old.clone().filter(&reaches), new.clone().filter(&reaches));
        let replaced = new_reached
            .as_ref()
            .is_some_and(|path| tree.get(path).is_some());
        if let Some(path) = &new_reached {
            tree.remove_below(path);
        }
        let known = old_reached
            .as_ref()
            .is_some_and(|path| tree.get(path).is_some());
        match (&old_reached, &new_reached) {
            (Some(old), Some(new)) if known => tree.rename(old, new),
            (Some(old), None) => drop(tree.remove_below(old)),
            _ => {}
        }
        if let Some(path) = &new_reached {
            tree.insert(
                path.clone(),
                Entry {
                    object: Some(record.object),
                    directory: record.is_directory,
                },
            );
            if record.is_directory && !known {
                self.to_walk.push((path.clone(), record.touch(None)));
            }
        } else if tree.names_of(record.object).is_empty() {
            self.unwanted.push(record.object);
        }
        if old_reached.is_none() && new_reached.is_none() {
            return Vec::new();
        }
        vec![Signal::Moved {
            old: old.or_else(|| record.old_path_elsewhere()),
            new: new.or_else(|| record.path_elsewhere()),
            replaced,
            directory: record.is_directory,
            touch: record.touch(None),
        }]
    }

    /// Two names changed places: for each, another object stands there now.
    fn exchanged(
        &mut self,
        tree: &mut Tree,
        walker: &Walker<'_>,
        record: &NameRecord,
    ) -> Vec<Signal> {
        let old = record
            .old_name(tree)
            .filter(|path| walker.reaches(path, true).is_some());
        let new = record
            .new_names(tree)
            .into_iter()
            .find(|path| walker.reaches(path, true).is_some());
        let mut signals = Vec::new();
        for (path, other, object) in [
            (&old, &new, record.replaced),
            (&new, &old, Some(record.object)),
        ] {
            let Some(path) = path else { continue };
            tree.remove_below(path);
            tree.insert(
                path.clone(),
                Entry {
                    object,
                    directory: record.is_directory,
                },
            );
            self.to_walk.push((path.clone(), record.touch(None)));
            signals.push(Signal::Touched(
                path.clone(),
                record.touch(Some(Fact::Replaced(other.clone()))),
            ));
        }
        signals
    }
}

fn key_of(key: raw::fimk_key) -> Option<Key> {
    Object::of(key.object).zip(ActorKey::of(key.actor))
}

/// A touch of an object is one of each of its names; what concerns the names in a directory is no touch
/// of the directory.
fn signals(
    tree: &Tree,
    object: Object,
    mut touch: Touch,
    accessed: Option<&BytePath>,
) -> Vec<Signal> {
    let names = tree.names_of(object);
    if names
        .iter()
        .any(|path| tree.get(path).is_some_and(|entry| entry.directory))
    {
        touch.operations = touch.operations.without(Operations::NAMES);
    }
    if touch.operations.is_empty() {
        return Vec::new();
    }
    names
        .iter()
        .map(|path| {
            let accessed = accessed.filter(|used| *used != path).cloned();
            Signal::Touched(
                path.clone(),
                Touch {
                    accessed,
                    ..touch.clone()
                },
            )
        })
        .collect()
}

/// A `fimk_name`, its identities and names made ours.
struct NameRecord {
    actor: Option<ActorKey>,
    uid: u32,
    time_ns: u64,
    operation: u32,
    directory: Option<Object>,
    old_directory: Option<Object>,
    object: Object,
    replaced: Option<Object>,
    is_directory: bool,
    is_link: bool,
    name: Vec<u8>,
    old_name: Vec<u8>,
    path: Vec<u8>,
    old_path: Vec<u8>,
}

impl NameRecord {
    fn of(wire: &raw::fimk_name) -> Self {
        let bytes = |span| spanned(&wire.tail, span);
        Self {
            actor: ActorKey::of(wire.actor),
            uid: wire.uid,
            time_ns: wire.time_ns,
            operation: wire.operation,
            directory: Object::of(wire.directory),
            old_directory: Object::of(wire.old_directory),
            object: Object {
                inode: wire.object.inode,
                device: wire.object.device,
                generation: wire.object.generation,
            },
            replaced: Object::of(wire.replaced),
            is_directory: wire.mode & 0o170_000 == 0o040_000,
            is_link: wire.operation == raw::FIMK_OP_LINK,
            name: without_end(bytes(wire.name)).to_vec(),
            old_name: without_end(bytes(wire.old_name)).to_vec(),
            path: bytes(wire.path).to_vec(),
            old_path: bytes(wire.old_path).to_vec(),
        }
    }

    /// The directories whose entries count this record, each once.
    fn directories(&self) -> impl Iterator<Item = Object> {
        let old = self
            .old_directory
            .filter(|old| Some(*old) != self.directory);
        self.directory.into_iter().chain(old)
    }

    /// The names that were meant, one for each name of the directory.
    fn new_names(&self, tree: &Tree) -> Vec<BytePath> {
        let Some(directory) = self.directory else {
            return Vec::new();
        };
        tree.names_of(directory)
            .iter()
            .map(|above| above.join(&self.name))
            .collect()
    }

    fn old_name(&self, tree: &Tree) -> Option<BytePath> {
        Some(tree.name_of(self.old_directory?)?.join(&self.old_name))
    }

    /// The name in a directory we do not know, as the kernel's own path has it.
    fn path_elsewhere(&self) -> Option<BytePath> {
        elsewhere(&self.path, &self.name)
    }

    fn old_path_elsewhere(&self) -> Option<BytePath> {
        elsewhere(&self.old_path, &self.old_name)
    }

    fn touch(&self, fact: Option<Fact>) -> Touch {
        let time = clock::from_boot(self.time_ns);
        Touch {
            actor: self.actor,
            uid: Some(self.uid),
            operations: Operations::of(&[self.operation]),
            first: time,
            last: time,
            count: 1,
            bytes: 0,
            accessed: None,
            fact,
        }
    }
}

/// The kernel ends every name by NUL.
fn without_end(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"\0").unwrap_or(name)
}

fn elsewhere(directory: &[u8], name: &[u8]) -> Option<BytePath> {
    (!name.is_empty()).then(|| BytePath::new(&leaf_first_to_path(directory)).join(name))
}
