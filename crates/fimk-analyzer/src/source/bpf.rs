//! The BPF source: records of the kernel → signals, with take–read–commit–done on the way.

mod accessed;
mod former;
mod layers;
mod names;
mod past;
mod record;
mod unreadable;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use fimk_core::{attribution::Attribution, path::BytePath};
use fimk_wire::{actor_of_attempt, error_of, raw};

use self::{
    accessed::Accessed,
    former::{Forgotten, Former},
    record::NameRecord,
    unreadable::{Unreadable, seen_above},
};
use crate::{
    attempts,
    channel::{Channel, ChannelError},
    clock,
    identity::{ActorKey, Object},
    mounts::Table,
    signal::{Attempted, Operations, Signal, Touch},
    source::{
        covered::Covered,
        takes::{Key, Takes},
    },
    tree::Tree,
};

/// A record of a name that the kernel counted may still be on its way for this long before the directory
/// is compared.
pub const NAME_PATIENCE: Duration = Duration::from_millis(10);

/// Names used by actors, kept from TOUCH to TAKEN; beyond, an event merely lacks `accessed_path`.
const ACCESSED_MAX: usize = 8_192;

/// A directory whose count says that records of it are missing, or that is to be compared for another reason.
struct Short {
    until: Instant,
    /// More than ever come, if it is to be compared whatever comes.
    missing: u64,
    touch: Touch,
}

/// The state of the conversation with the kernel.
#[derive(Default)]
pub struct Bpf {
    accessed: HashMap<Key, Accessed>,
    takes: Takes,
    /// Records of names seen per (directory, actor), less those that taken entries have accounted for. Each goes
    /// with the last answer about its key.
    names_seen: HashMap<Key, u64>,
    /// Directories whose count said that records are missing; for [`NAME_PATIENCE`].
    short: HashMap<Key, Short>,
    forgotten: Forgotten,
    /// When our own walk began, in nanoseconds since boot.
    walked_from_ns: u64,
    /// What was mounted over.
    pub covered: Covered,
    /// Taken and to be told DONE.
    pub taken: Vec<(raw::fimk_key, u64)>,
    /// New objects that no rule reaches: the kernel is to forget them.
    pub unwanted: Vec<Object>,
    /// Directories that had moved on when they were to be walked: what is in them is not watched yet.
    unwalked: HashSet<Object>,
    /// New directories that came with content of their own: to be walked.
    pub to_walk: Vec<(BytePath, Touch)>,
    /// Names that objects came by which somebody has mapped writable: who, is not known.
    pub mapped: Vec<BytePath>,
    /// Names on overlays in whose layers something changed: to be walked if they turn out to be new.
    beneath: Vec<(BytePath, Touch)>,
    /// Those of them that were found: see [`Bpf::look_beneath`].
    standing: Vec<(BytePath, Touch)>,
    /// Attributes that were set and that nobody reads here.
    unreadable: Unreadable,
}

impl Bpf {
    /// An object became dirty: it is to be taken.
    pub fn touch(&mut self, touch: &raw::fimk_touch) {
        let key = key_of(touch.key);
        if self.accessed.len() < ACCESSED_MAX
            && let Some(accessed) = Accessed::of(touch)
        {
            self.accessed.insert(key, accessed);
        }
        self.takes.want(key);
    }

    /// An entry is dirty whose record was not kept.
    pub fn want(&mut self, key: Key) {
        self.takes.want(key);
    }

    /// Asks for what is to be taken, as far as there is room beside what is `undone`.
    pub fn take(&mut self, channel: &mut Channel, undone: usize) -> Result<(), ChannelError> {
        while let Some((object, actor)) = self.takes.next(undone) {
            let key = raw::fimk_key {
                object: object.wire(),
                actor: actor.wire(),
            };
            channel.ask(raw::FIMK_REQUEST_TAKE, 0, key, 0)?;
        }
        Ok(())
    }

    /// Whether entries of this object are to come that are of another process than these.
    pub fn awaits_another(&self, object: Object, known: &[Option<ActorKey>]) -> bool {
        self.takes.awaits_another(object, known)
    }

    /// Whether answers to [`Self::take`] are out.
    pub fn takes_in_flight(&self) -> bool {
        self.takes.in_flight()
    }

    /// The counts of what was taken.
    pub fn taken(&mut self, tree: &Tree, table: &Table, taken: &raw::fimk_taken) -> Vec<Signal> {
        let key = key_of(taken.key);
        self.takes.answered(key);
        let signals = self.counted(tree, table, key, taken);
        if !self.takes.awaits(key) {
            // Every record so far belonged to an entry that was taken, or to a directory that is not watched.
            self.names_seen.remove(&key);
        }
        signals
    }

    fn counted(
        &mut self,
        tree: &Tree,
        table: &Table,
        key: Key,
        taken: &raw::fimk_taken,
    ) -> Vec<Signal> {
        let accessed = self.accessed.remove(&key);
        if taken.entry.count == 0 {
            return Vec::new();
        }
        self.taken.push((taken.key, taken.entry.take));
        let Some(object) = Object::of(taken.key.object) else {
            return Vec::new();
        };
        let accessed = accessed.and_then(|it| it.path(object, tree, table));
        let operations = Operations::from_flags(&taken.entry.operations);
        let actor = ActorKey::of(actor_of_attempt(taken.key.actor));
        let first = clock::from_boot(taken.entry.first_ns);
        let touch = Touch {
            actor,
            // Of the others it is that of the first.
            uid: actor.map(|_| taken.entry.uid),
            by: Attribution::PROGRAM,
            operations,
            first,
            // The two clocks are read anew for each, and a moment counts where both are the same.
            last: clock::from_boot(taken.entry.last_ns).max(first),
            // What the entry before has counted already is taken in here, so that nothing is missed, and told there.
            count: taken.entry.count - u64::from(taken.entry.again != 0),
            bytes: taken.entry.bytes,
            accessed: None,
            fact: self.unreadable.fact(key, operations),
        };
        if let Some(kind) = attempts::kind_of(taken.key.actor) {
            if touch.count == 0 {
                return Vec::new();
            }
            let error = error_of(taken.key.actor);
            let attempted = Attempted {
                kind,
                error: (error != 0).then_some(error),
                touch,
                or_else: None,
            };
            return attempted_on(tree, object, &attempted, accessed.as_ref());
        }
        if touch.operations.meets(Operations::NAMES) {
            self.account(key, &touch);
        }
        let covered = self.covered.names_of(object);
        if !covered.is_empty() {
            let touch = Touch {
                operations: touch.operations.without(Operations::NAMES),
                accessed: accessed.clone(),
                ..touch.clone()
            };
            let told = covered.iter().cloned();
            return told
                .map(|path| Signal::Covered(path, touch.clone()))
                .chain(signals(tree, object, touch.clone(), accessed.as_ref()))
                .collect();
        }
        if tree.is_strange(object) {
            let first_ns = taken.entry.first_ns;
            let told = self.forgotten.touched(object, &touch, first_ns);
            return told.into_iter().collect();
        }
        signals(tree, object, touch, accessed.as_ref())
    }

    /// Holds the kernel's count of records about a directory against those that came. A record may be here
    /// before the entry that counts it: then it is left for that one.
    fn account(&mut self, key: Key, touch: &Touch) {
        let seen = self.names_seen.entry(key).or_default();
        // An entry counts attribute changes of the directory as well; too few records then only cost a comparison.
        let missing = touch.count.saturating_sub(*seen);
        *seen = seen.saturating_sub(touch.count);
        if missing > 0 {
            let short = self.short.entry(key).or_insert_with(|| Short {
                until: Instant::now() + NAME_PATIENCE,
                missing: 0,
                touch: touch.clone(),
            });
            short.missing = short.missing.saturating_add(missing);
        }
    }

    /// A record of names in a directory came, perhaps one that was missed.
    fn see_name(&mut self, key: Key) {
        match self.short.get_mut(&key) {
            Some(short) if short.missing > 1 => short.missing -= 1,
            Some(_) => drop(self.short.remove(&key)),
            None => *self.names_seen.entry(key).or_default() += 1,
        }
        self.takes.want(key);
    }

    /// Directories whose missing records did not come by then, each once, with all whose records are missing.
    pub fn overdue(&mut self, tree: &Tree, by: Instant) -> Vec<Signal> {
        let mut late: HashMap<Object, Vec<Touch>> = HashMap::new();
        self.short.retain(|(directory, _), short| {
            let waits = short.until > by;
            if !waits {
                late.entry(*directory)
                    .or_default()
                    .push(short.touch.clone());
            }
            waits
        });
        let compare = |(directory, touches): (Object, Vec<Touch>)| {
            let names = tree.names_of(directory).iter();
            let names: Vec<BytePath> = names
                .chain(tree.merged_names_of(directory))
                .cloned()
                .collect();
            names
                .into_iter()
                .map(move |path| Signal::Compare(path, touches.clone()))
        };
        late.into_iter().flat_map(compare).collect()
    }

    /// When [`Self::overdue`] has something to say.
    pub fn next_due(&self) -> Option<Instant> {
        self.short.values().map(|short| short.until).min()
    }

    /// Lets the kernel forget an object that has no watched name any more: it never does by itself, and its
    /// map is limited. Whether it was one.
    pub fn forget(&mut self, tree: &Tree, object: Object) -> bool {
        if !tree.is_strange(object) || !self.covered.names_of(object).is_empty() {
            return false;
        }
        self.unwanted.push(object);
        self.unwalked.remove(&object);
        self.forgotten.add(object);
        true
    }

    /// Takes a name and all below it out of the tree, which it left at that time by the boot clock.
    pub fn drop_names(&mut self, tree: &mut Tree, path: &BytePath, went_ns: u64) {
        for (name, _) in tree.below(path) {
            self.lift(tree, &name);
        }
        for (path, entry) in tree.remove_below(path) {
            let Some(object) = entry.object else {
                continue;
            };
            if self.forget(tree, object) {
                let directory = entry.directory;
                let former = Former {
                    path,
                    directory,
                    went_ns,
                };
                self.forgotten.had_name(object, former);
            }
        }
    }

    /// Nothing was found where this was to be walked: it moved again, and the record of that is on its way.
    pub fn missed(&mut self, tree: &Tree, path: &BytePath) {
        let object = tree.get(path).and_then(|entry| entry.object);
        self.unwalked.extend(object);
    }
}

/// The dirty entries that a record of names announces. As they are, the key of nobody and nothing included: what
/// came must go out again.
pub fn keys_of(name: &raw::fimk_name) -> impl Iterator<Item = Key> {
    let actor = actor_of(name.actor);
    NameRecord::of(name)
        .counted_by()
        .map(move |object| (object, actor))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The dirty entry of a key.
pub fn key_of(key: raw::fimk_key) -> Key {
    (object_of(key.object), actor_of(key.actor))
}

fn object_of(wire: raw::fimk_object) -> Object {
    Object {
        inode: wire.inode,
        device: wire.device,
        generation: wire.generation,
    }
}

fn actor_of(wire: raw::fimk_actor_key) -> ActorKey {
    ActorKey {
        pid: wire.pid,
        image: wire.image,
        start_ns: wire.start_ns,
    }
}

/// A touch of an object is one of each of its names, and of those on overlays below which it lies; what concerns the
/// names in a directory is no touch of the directory.
fn signals(
    tree: &Tree,
    object: Object,
    mut touch: Touch,
    accessed: Option<&BytePath>,
) -> Vec<Signal> {
    let (names, merged) = (tree.names_of(object), tree.merged_names_of(object));
    touch.operations = touch.operations.without(Operations::MOUNTS);
    if names
        .iter()
        .chain(merged)
        .any(|path| tree.get(path).is_some_and(|entry| entry.directory))
    {
        touch.operations = touch.operations.without(Operations::NAMES);
    }
    let ours = names.iter().map(|path| (path, own(tree, path, &touch)));
    let above = merged.iter().map(|path| (path, seen_above(&touch)));
    let all = ours.chain(above);
    all.filter(|(_, touch)| !touch.operations.is_empty())
        .map(|(path, touch)| {
            let accessed = accessed.filter(|used| *used != path).cloned();
            Signal::Touched(path.clone(), Touch { accessed, ..touch })
        })
        .collect()
}

/// An attempt on an object is one on the name that was used; where that is not known, on each of its names.
fn attempted_on(
    tree: &Tree,
    object: Object,
    attempted: &Attempted,
    accessed: Option<&BytePath>,
) -> Vec<Signal> {
    let names = tree.names_of(object);
    if let Some(used) = accessed.filter(|used| names.contains(used)) {
        return vec![Signal::Attempted(used.clone(), attempted.clone())];
    }
    let one_each = |path: &BytePath| {
        let mut attempted = attempted.clone();
        attempted.touch.accessed = accessed.cloned();
        Signal::Attempted(path.clone(), attempted)
    };
    names.iter().map(one_each).collect()
}

/// The file of an overlay is closed while a mapping of what lies below lives: only the end of that one counts.
fn own(tree: &Tree, path: &BytePath, touch: &Touch) -> Touch {
    let mut touch = touch.clone();
    if !tree.layers_of(path).is_empty() {
        let close = Operations::of(&[raw::FIMK_OP_CLOSE]);
        touch.operations = touch.operations.without(close);
    }
    touch
}

#[cfg(test)]
mod tests;
