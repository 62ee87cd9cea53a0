//! Who is who: a bounded cache of the actors the loader told us about.

use std::collections::HashMap;

use fimk_consumers::redact;
use fimk_core::{
    attribution::Attribution,
    container::container_id,
    event::{Actor, Process},
    path::{BytePath, escaped},
};
use fimk_wire::{leaf_first_to_path, raw, spanned};

use crate::{clock, identity::ActorKey};

/// Actors kept. About 300 bytes each; a forgotten one is asked for again.
const ACTORS_MAX: usize = 16_384;

/// Ancestors shown. Deeper chains are cut at the top: init and service managers are there.
const ANCESTORS_MAX: usize = 16;

/// A `fimk_actor`, decoded.
#[derive(Debug, Clone)]
pub struct Known {
    process: Process,
    parent: Option<ActorKey>,
    uid: u32,
    login_uid: Option<u32>,
    session: Option<u32>,
    container: Option<String>,
    cgroup: Option<String>,
    pid_in_namespace: Option<u32>,
    /// When its last thread exited, if it has.
    pub exit_ns: Option<u64>,
}

/// The cache.
#[derive(Default)]
pub struct Actors {
    known: HashMap<ActorKey, Known>,
}

impl Actors {
    /// Takes note of one; gives its key, or none when the loader knows nobody.
    pub fn learn(&mut self, wire: &raw::fimk_actor) -> Option<ActorKey> {
        if wire.flags & raw::FIMK_ACTOR_UNKNOWN != 0 {
            return None;
        }
        let key = ActorKey::of(wire.key)?;
        if self.known.len() >= ACTORS_MAX {
            self.known.clear();
        }
        self.known.insert(key, decode(wire));
        Some(key)
    }

    /// What is known of one.
    pub fn get(&self, key: ActorKey) -> Option<&Known> {
        self.known.get(&key)
    }

    /// Whether one is known to be in a container, and not to have ended.
    pub fn is_in_container(&self, key: ActorKey) -> bool {
        let known = self.known.get(&key);
        known.is_some_and(|known| known.container.is_some() && known.exit_ns.is_none())
    }

    /// Whether one is known to run this program.
    pub fn runs(&self, key: ActorKey, path: &BytePath) -> bool {
        let known = self.known.get(&key);
        known.is_some_and(|known| known.process.executable.as_ref() == Some(path))
    }

    /// Its executable was removed since it was started.
    pub fn lost_executable(&mut self, key: ActorKey) {
        if let Some(known) = self.known.get_mut(&key) {
            known.process.executable_gone = true;
        }
    }

    /// The whole of it for an event: the process, its ancestors, its user.
    pub fn describe(&self, key: ActorKey, uid: Option<u32>, by: Attribution) -> Actor {
        let Some(known) = self.known.get(&key) else {
            // The kernel named the pid itself; everything else would be a guess.
            return Actor {
                process: Process {
                    pid: key.pid,
                    start: start(key),
                    ..Process::default()
                },
                uid,
                attribution: by,
                ..Actor::default()
            };
        };
        Actor {
            process: known.process.clone(),
            ancestors: self.ancestors(known),
            uid: uid.or(Some(known.uid)),
            user: None,
            login_uid: known.login_uid,
            session: known.session,
            container: known.container.clone(),
            cgroup: known.cgroup.clone(),
            pid_in_namespace: known.pid_in_namespace,
            attribution: by.with(Attribution::TABLE),
        }
    }

    fn ancestors(&self, known: &Known) -> Vec<Process> {
        let mut chain = Vec::new();
        let mut next = known.parent;
        while let Some(key) = next
            && chain.len() < ANCESTORS_MAX
        {
            let Some(parent) = self.known.get(&key) else {
                chain.push(Process {
                    pid: key.pid,
                    start: start(key),
                    ..Process::default()
                });
                break;
            };
            chain.push(parent.process.clone());
            next = parent.parent.filter(|&above| above != key);
        }
        chain
    }
}

fn decode(wire: &raw::fimk_actor) -> Known {
    let kernel = wire.flags & raw::FIMK_ACTOR_KERNEL != 0;
    let executable = spanned(&wire.tail, wire.executable);
    let arguments = spanned(&wire.tail, wire.arguments);
    let process = Process {
        pid: wire.key.pid,
        executable: (!executable.is_empty())
            .then(|| BytePath::new(&leaf_first_to_path(executable))),
        name: name(&wire.name),
        args: words(arguments),
        start: ActorKey::of(wire.key).and_then(start),
        executable_gone: wire.flags & raw::FIMK_ACTOR_EXECUTABLE_GONE != 0,
        executable_in_memory: wire.flags & raw::FIMK_ACTOR_EXECUTABLE_MEMORY != 0,
        kernel,
    };
    let cgroup = leaf_first_to_path(spanned(&wire.tail, wire.cgroup_path));
    Known {
        process,
        parent: ActorKey::of(wire.parent),
        uid: wire.uid,
        login_uid: set(wire.login_uid),
        session: set(wire.session),
        container: container_id(&cgroup),
        cgroup: group_shown(&cgroup, wire.flags),
        pid_in_namespace: (wire.pid_in_namespace != 0).then_some(wire.pid_in_namespace),
        exit_ns: (wire.exit_ns != 0).then_some(wire.exit_ns),
    }
}

/// None for the root, of which nothing more is known on hosts that use only the older hierarchies.
fn group_shown(path: &[u8], flags: u32) -> Option<String> {
    let cut = flags & raw::FIMK_ACTOR_CGROUP_CUT != 0;
    let beginning = if cut { "…" } else { "" };
    (path != b"/").then(|| format!("{beginning}{}", escaped(path)))
}

fn start(key: ActorKey) -> Option<fimk_core::time::Timestamp> {
    (key.start_ns != 0).then(|| clock::from_boot(key.start_ns))
}

fn set(number: u32) -> Option<u32> {
    (number != raw::FIMK_NO_LOGIN).then_some(number)
}

fn name(comm: &[u8]) -> Option<String> {
    let end = comm
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(comm.len());
    (end > 0).then(|| escaped(&comm[..end]))
}

/// NUL-ended words; secrets are replaced before anything else sees them.
fn words(arguments: &[u8]) -> Vec<String> {
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(arguments);
    if arguments.is_empty() {
        return Vec::new();
    }
    let plain: Vec<String> = arguments
        .split(|&byte| byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    redact::arguments(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_the_table_does_not_have_is_known_by_the_number_alone() {
        let key = ActorKey {
            pid: 7,
            image: 0,
            start_ns: 0,
        };
        let actor = Actors::default().describe(key, None, Attribution::FANOTIFY);
        let process = Process {
            pid: 7,
            ..Process::default()
        };
        let expected = Actor {
            process,
            attribution: Attribution::FANOTIFY,
            ..Actor::default()
        };
        assert_eq!(actor, expected);
    }
}
