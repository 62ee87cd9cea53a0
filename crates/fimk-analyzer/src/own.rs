//! What this process writes itself, where a rule covers it: an event about each event would be one without end.
//!
//! It writes to its database, which no rule covers, and to standard output and standard error, which may be files that
//! one does. Its writes are counted and not told; everybody else's are told.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::MetadataExt as _},
};

use fimk_core::record::Attributes;

use crate::identity::ActorKey;

/// Major and minor number of the device, and inode.
type Identity = ((u32, u32), u64);

/// The files that we write, and how often we were seen to.
pub struct Own {
    files: Vec<Identity>,
    pid: u32,
    /// Writes of ours that were seen.
    pub writes: u64,
}

impl Own {
    /// As of now: nobody exchanges these descriptors later.
    pub fn of_this_process() -> Self {
        Self {
            files: [file_of(io::stdout()), file_of(io::stderr())]
                .into_iter()
                .flatten()
                .collect(),
            pid: std::process::id(),
            writes: 0,
        }
    }

    /// Whether it was us; counted then. As long as we live, nobody else has our number.
    pub fn did(&mut self, actor: Option<ActorKey>) -> bool {
        let own = actor.is_some_and(|actor| actor.pid == self.pid);
        self.writes += u64::from(own);
        own
    }

    /// Whether this is a file that we write.
    pub fn is(&self, attributes: &Attributes) -> bool {
        self.files.contains(&(attributes.device, attributes.inode))
    }
}

/// A pipe or a terminal is none.
fn file_of(descriptor: impl AsFd) -> Option<Identity> {
    let file = File::from(descriptor.as_fd().try_clone_to_owned().ok()?);
    let meta = file.metadata().ok()?;
    let device = (libc::major(meta.dev()), libc::minor(meta.dev()));
    meta.is_file().then(|| (device, meta.ino()))
}
