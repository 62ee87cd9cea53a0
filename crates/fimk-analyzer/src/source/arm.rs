//! Arming by touch: this thread calls statx, the kernel puts what it touched into the watch map and
//! answers with the object as the kernel itself names it.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt, time::Duration};

use fimk_core::path::BytePath;
use fimk_wire::{Packet, raw};
use nix::unistd::gettid;

use crate::{
    attempts,
    channel::{Channel, ChannelError, no_key},
    host,
    identity::Object,
    mounts::Table,
    stash::Stash,
    tree::{Entry, Tree},
    walk::{Found, Walker},
};

/// Objects touched before the answers are fetched: their records take a small part of the ring.
const BATCH: usize = 256;

/// An answer of the loader takes milliseconds; on a host that is starved, seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a batch is touched again when answers are missing: the ring was full.
const ATTEMPTS: u32 = 3;

/// What came of arming.
#[derive(Debug, Default)]
pub struct Armed {
    /// Objects for which the map had no room.
    pub refused: u64,
    /// Somebody had these mapped for writing already: their content changes without a record until that ends.
    pub mapped: Vec<BytePath>,
    /// Somebody has these open for writing, or the kernel itself.
    pub open: Vec<BytePath>,
    /// Objects whose answers the ring had no room for: what happens to them cannot be told by name.
    pub unanswered: u64,
}

/// Arms names and enters them into the tree. What else arrives meanwhile goes to `stash`.
/// Nothing but statx may happen in this thread until it returns.
pub fn arm(
    channel: &mut Channel,
    tree: &mut Tree,
    table: &Table,
    walker: &Walker,
    found: &[Found],
    stash: &mut Stash,
) -> Result<Armed, ChannelError> {
    let mut total = Armed::default();
    // As many kinds as there are rules, and combinations of attempts asked for.
    // What is named comes first, so that what is not cannot take its room.
    let mut by_flags: BTreeMap<(bool, u32, u32), Vec<&Found>> = BTreeMap::new();
    for it in found {
        let key = (!it.named, walker.rule(&it.path), flags(walker, it));
        by_flags.entry(key).or_default().push(it);
    }
    let thread = u64::try_from(gettid().as_raw()).unwrap_or(0);
    for ((_, rule, flags), found) in &by_flags {
        switch(channel, thread, *rule, *flags)?;
        settle(channel, stash)?;
        for batch in found.chunks(BATCH) {
            arm_batch(channel, tree, table, batch, stash, &mut total)?;
        }
    }
    if !by_flags.is_empty() {
        switch(channel, 0, 0, 0)?;
        settle(channel, stash)?;
    }
    Ok(total)
}

fn arm_batch(
    channel: &mut Channel,
    tree: &mut Tree,
    table: &Table,
    batch: &[&Found],
    stash: &mut Stash,
    total: &mut Armed,
) -> Result<(), ChannelError> {
    let mut attempt = 1;
    loop {
        let touched = touch(batch, table);
        let answers = settle(channel, stash)?;
        let missing = touched.len().saturating_sub(answers.len());
        if missing == 0 || attempt == ATTEMPTS {
            pair(tree, touched, &answers, total);
            total.unanswered += missing as u64;
            return Ok(());
        }
        attempt += 1;
    }
}

/// What the kernel is to do with it: `FIMK_WATCH_*`. Those that make sense of directories only it leaves away.
fn flags(walker: &Walker, found: &Found) -> u32 {
    let named = if found.named {
        raw::FIMK_WATCH_NAMED
    } else {
        0
    };
    let inherited = if found.directory {
        attempts::flags(walker.report_within(&found.path)) << raw::FIMK_WATCH_INHERITED_SHIFT
    } else {
        0
    };
    raw::FIMK_WATCH_CHILDREN | named | attempts::flags(walker.report(&found.path)) | inherited
}

fn switch(channel: &mut Channel, thread: u64, rule: u32, flags: u32) -> Result<(), ChannelError> {
    let mut key = no_key();
    key.actor.image = flags;
    channel.ask(raw::FIMK_REQUEST_ARM, rule, key, thread)
}

/// What was touched, and what it is to its name.
struct Touched<'a> {
    inode: u64,
    path: &'a BytePath,
    directory: bool,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// What stands under the name.
    Itself,
    /// What a link in a rule's path leads to.
    Target,
    /// What a layer of an overlay has in its place.
    Layer,
}

/// The inode each name led to; a link in a rule's path is touched as itself and as what it leads to, and a name on an
/// overlay as itself and as what lies below.
fn touch<'a>(batch: &[&'a Found], table: &Table) -> Vec<Touched<'a>> {
    let mut touched = Vec::with_capacity(batch.len());
    for it in batch {
        let Ok(meta) = host::look(&it.path) else {
            continue;
        };
        let mut add = |inode, directory, role| {
            touched.push(Touched {
                inode,
                path: &it.path,
                directory,
                role,
            });
        };
        add(meta.ino(), meta.is_dir(), Role::Itself);
        if it.directory
            && meta.is_symlink()
            && let Ok(behind) = host::look_behind(&it.path)
        {
            add(behind.ino(), true, Role::Target);
        }
        for inode in layers(table, &it.path, meta.is_dir()) {
            add(inode, meta.is_dir(), Role::Layer);
        }
    }
    touched
}

/// Touches what the layers of an overlay have at a path, and gives the inodes. Since 6.12 the overlay's own is all that
/// the kernel shows to the arming program; a write to a layer is one to the merged name. Of a file only the topmost
/// shows, and with metacopy its data may lie in the next.
fn layers(table: &Table, path: &BytePath, directory: bool) -> Vec<u64> {
    let Some((layers, metacopy)) = table.layers_at(path) else {
        return Vec::new();
    };
    let wanted = match (directory, metacopy) {
        (true, _) => usize::MAX,
        (false, true) => 2,
        (false, false) => 1,
    };
    layers
        .filter_map(|real| host::look(&real).ok())
        .map(|meta| meta.ino())
        .take(wanted)
        .collect()
}

/// Waits until all that was recorded so far has arrived; gives the ARMED records.
pub fn settle(
    channel: &mut Channel,
    stash: &mut Stash,
) -> Result<Vec<raw::fimk_armed>, ChannelError> {
    let cookie = channel.sync()?;
    let mut answers = Vec::new();
    loop {
        match channel.wait(PATIENCE)? {
            (Packet::Armed(armed), _) => answers.push(armed),
            (Packet::Synced(synced), _) if synced.cookie == cookie => return Ok(answers),
            other => stash.push(other),
        }
    }
}

/// Joins touches and answers, both in order. The kernel may answer more than once for a touch (an overlay
/// and what lies below it), or with a number of its own; an object without an answer is known by name only,
/// and those behind it still find theirs.
fn pair(
    tree: &mut Tree,
    touched: Vec<Touched<'_>>,
    answers: &[raw::fimk_armed],
    total: &mut Armed,
) {
    let one_each = touched.len() == answers.len();
    let mut rest = answers;
    for (at, touched) in touched.into_iter().enumerate() {
        let Touched { inode, path, .. } = touched;
        let ahead = rest.iter().position(|armed| armed.object.inode == inode);
        let armed = match ahead {
            Some(ahead) => {
                let armed = rest[ahead];
                rest = &rest[ahead + 1..];
                Some(armed)
            }
            None => answers.get(at).filter(|_| one_each).copied(),
        };
        if let Some(armed) = armed {
            total.refused += u64::from(armed.flags & raw::FIMK_ARMED_FULL != 0);
            if armed.mappings > 0 {
                total.mapped.push(path.clone());
            } else if armed.writers > 0 && !touched.directory {
                total.open.push(path.clone());
            }
        }
        let object = armed.and_then(|armed| Object::of(armed.object));
        let directory = touched.directory;
        match (touched.role, object) {
            (Role::Itself, object) => tree.insert(path.clone(), Entry { object, directory }),
            (Role::Target, Some(object)) => tree.alias(object, path.clone()),
            (Role::Layer, Some(object)) => tree.lay(object, path.clone()),
            (_, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;
    use zerocopy::FromZeros;

    fn armed(inode: u64) -> raw::fimk_armed {
        let mut armed = raw::fimk_armed::new_zeroed();
        (armed.object.inode, armed.object.device) = (inode, 1);
        armed
    }

    fn paired(touched: &[(u64, &str)], answers: &[u64]) -> Vec<Option<u64>> {
        let names: Vec<BytePath> = touched
            .iter()
            .map(|(_, name)| BytePath::new(name.as_bytes()))
            .collect();
        let batch = touched
            .iter()
            .zip(&names)
            .map(|(&(inode, _), path)| Touched {
                inode,
                path,
                directory: false,
                role: Role::Itself,
            })
            .collect();
        let answers: Vec<_> = answers.iter().map(|&inode| armed(inode)).collect();
        let mut tree = Tree::default();
        pair(&mut tree, batch, &answers, &mut Armed::default());
        names
            .iter()
            .map(|name| tree.get(name).and_then(|it| it.object))
            .map(|object| object.map(|it| it.inode))
            .collect()
    }

    #[test]
    fn one_lost_answer_leaves_the_others_where_they_belong() {
        let touched = [(1, "/a"), (2, "/b"), (3, "/c")];
        assert_eq!(paired(&touched, &[1, 3]), [Some(1), None, Some(3)]);
    }

    #[test]
    fn an_answer_for_what_lies_below_an_overlay_is_passed_over() {
        let touched = [(1, "/a"), (2, "/b")];
        assert_eq!(paired(&touched, &[1, 91, 2, 92]), [Some(1), Some(2)]);
    }

    #[test]
    fn an_object_with_a_number_of_the_kernels_own_is_known_by_its_place() {
        let touched = [(1, "/a"), (2, "/b"), (3, "/c")];
        assert_eq!(paired(&touched, &[1, 77, 3]), [Some(1), Some(77), Some(3)]);
    }
}
