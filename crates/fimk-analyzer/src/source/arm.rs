//! Arming by touch: this thread calls statx, the kernel puts what it touched into the watch map and
//! answers with the object as the kernel itself names it.

use std::{collections::VecDeque, fs, os::unix::fs::MetadataExt, time::Duration};

use fimk_core::path::BytePath;
use fimk_wire::{Packet, raw};
use nix::unistd::gettid;

use crate::{
    channel::{Channel, ChannelError, Received, no_key},
    identity::Object,
    tree::{Entry, Tree},
    walk::Found,
};

/// Objects touched before the answers are fetched: their records take a small part of the ring.
const BATCH: usize = 256;

/// An answer of the loader takes milliseconds; on a host that is starved, seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of arming.
#[derive(Debug, Default, Clone, Copy)]
pub struct Armed {
    /// Objects for which the map had no room.
    pub refused: u64,
    /// Somebody holds some of them open for writing, or mapped.
    pub held: u64,
}

/// Arms names and enters them into the tree. What else arrives meanwhile goes to `stash`.
/// Nothing but statx may happen in this thread until it returns.
pub fn arm(
    channel: &mut Channel,
    tree: &mut Tree,
    found: &[Found],
    stash: &mut VecDeque<Received>,
) -> Result<Armed, ChannelError> {
    let mut total = Armed::default();
    if found.is_empty() {
        return Ok(total);
    }
    let thread = u64::try_from(gettid().as_raw()).unwrap_or(0);
    switch(channel, thread)?;
    settle(channel, stash)?;
    for batch in found.chunks(BATCH) {
        let touched = touch(batch);
        let answers = settle(channel, stash)?;
        pair(tree, touched, answers, &mut total);
    }
    switch(channel, 0)?;
    settle(channel, stash)?;
    Ok(total)
}

fn switch(channel: &mut Channel, thread: u64) -> Result<(), ChannelError> {
    let mut key = no_key();
    key.actor.image = raw::FIMK_WATCH_CHILDREN;
    channel.ask(raw::FIMK_REQUEST_ARM, 0, key, thread)
}

/// The inode each name led to; a link in a rule's path is touched as itself and as what it leads to.
fn touch(batch: &[Found]) -> Vec<(u64, &BytePath, bool, bool)> {
    let mut touched = Vec::with_capacity(batch.len());
    for it in batch {
        let Ok(meta) = fs::symlink_metadata(it.path.as_path()) else {
            continue;
        };
        touched.push((meta.ino(), &it.path, meta.is_dir(), false));
        if it.directory
            && meta.is_symlink()
            && let Ok(behind) = fs::metadata(it.path.as_path())
        {
            touched.push((behind.ino(), &it.path, true, true));
        }
    }
    touched
}

/// Waits until all that was recorded so far has arrived; gives the ARMED records.
fn settle(
    channel: &mut Channel,
    stash: &mut VecDeque<Received>,
) -> Result<Vec<raw::fimk_armed>, ChannelError> {
    let cookie = channel.sync()?;
    let mut answers = Vec::new();
    loop {
        match channel.wait(PATIENCE)? {
            (Packet::Armed(armed), _) => answers.push(armed),
            (Packet::Synced(synced), _) if synced.cookie == cookie => return Ok(answers),
            other => stash.push_back(other),
        }
    }
}

/// Joins touches and answers, both in order. The kernel may answer more than once for a touch (an overlay
/// and what lies below it); an object without an answer is known by name only.
fn pair(
    tree: &mut Tree,
    touched: Vec<(u64, &BytePath, bool, bool)>,
    answers: Vec<raw::fimk_armed>,
    total: &mut Armed,
) {
    let mut answers = answers.into_iter().peekable();
    for (inode, path, directory, alias) in touched {
        let object = loop {
            match answers.peek() {
                Some(armed) if armed.object.inode == inode => {
                    total.refused += u64::from(armed.flags & raw::FIMK_ARMED_FULL != 0);
                    total.held += u64::from(armed.writers > 0 || armed.mappings > 0);
                    break answers.next().and_then(|armed| Object::of(armed.object));
                }
                Some(_) => drop(answers.next()),
                None => break None,
            }
        };
        match object {
            Some(object) if alias => tree.alias(object, path.clone()),
            _ if alias => {}
            object => tree.insert(path.clone(), Entry { object, directory }),
        }
    }
}
