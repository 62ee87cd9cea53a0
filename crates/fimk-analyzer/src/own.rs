//! What this process writes itself, where a rule covers it: an event about each event would be one without end.
//!
//! It writes to its database and to files of outputs, which every rule leaves out, and to standard output and standard error, which may be files
//! that one covers. Its writes to those are counted and not told; everybody else's are told.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::PathBuf,
};

use fimk_core::{
    config::{Config, Metrics},
    path::BytePath,
    record::Attributes,
    rules::RuleSet,
};

use crate::{host, identity::ActorKey, mounts::Table};

/// The state and the run directory: nothing in them is watched, by whatever name.
#[derive(Clone, Default)]
pub struct Directories(Vec<(u64, u64)>);

impl Directories {
    /// As they are now; they must be there.
    pub fn of(config: &Config) -> Self {
        let own = [&config.state_dir, &config.run_dir].into_iter();
        let found = own.filter_map(|directory| fs::metadata(directory).ok());
        Self(found.map(|meta| (meta.dev(), meta.ino())).collect())
    }

    /// Whether this is one of them, maybe under another name, as that of a bind mount.
    pub fn is(&self, path: &BytePath) -> bool {
        let found = host::look(path);
        found.is_ok_and(|meta| self.0.contains(&(meta.dev(), meta.ino())))
    }
}

/// What every rule leaves out: the state and the run directory and the files of outputs, those that were full among them.
pub fn names(config: &Config) -> Vec<BytePath> {
    let files = config.outputs.iter().flat_map(|it| it.kind.files());
    let files = files.chain(config.metrics.iter().flat_map(Metrics::files));
    let directories = [&config.state_dir, &config.run_dir].map(PathBuf::clone);
    real(directories.into_iter().chain(files))
}

/// As configured and as they are without links.
fn real(paths: impl IntoIterator<Item = PathBuf>) -> Vec<BytePath> {
    let mut own = Vec::new();
    for path in paths {
        own.push(BytePath::new(path.as_os_str().as_bytes()));
        // A file need not be there yet.
        let above = path.parent().zip(path.file_name());
        let real = above.and_then(|(above, name)| Some(fs::canonicalize(above).ok()?.join(name)));
        let real = [fs::canonicalize(&path).ok(), real];
        let real = real.into_iter().flatten();
        own.extend(real.map(|real| BytePath::new(real.as_os_str().as_bytes())));
    }
    own.retain(|path| path.bytes().starts_with(b"/"));
    own.dedup();
    match host::prefix() {
        Some(root) => on_host(&own, root),
        None => own,
    }
}

/// Names of ours as the host has them, where it sees these places at all: a container may have file systems of its own.
fn on_host(own: &[BytePath], root: &BytePath) -> Vec<BytePath> {
    let table = File::open("/proc/self/mountinfo").and_then(Table::read);
    let table = table.unwrap_or_default();
    let host = table.below(root);
    let names = own.iter().filter_map(|path| {
        let (mount, inside) = table.place_of(path)?;
        host.path_on(mount.device, &inside)
    });
    names.collect()
}

/// Sentences on what a rule covers, or names, of our own directories; `rules` do not leave them out yet.
pub fn covered(config: &Config, rules: &RuleSet) -> Vec<String> {
    let mut sentences = Vec::new();
    let files = config.outputs.iter();
    let files = files.filter_map(|it| it.kind.files().into_iter().next());
    let directories = [&config.state_dir, &config.run_dir].map(PathBuf::clone);
    for own in real(directories.into_iter().chain(files)) {
        let lies_in = |rule: &&fimk_core::config::Rule| {
            let mut paths = rule.paths.iter();
            paths.any(|path| path.base().is_in(&own) && *path.base() != own)
        };
        let named = config.rules.iter().filter(lies_in).map(|rule| &rule.name);
        let above = rules.covers(&own).map(|found| &found.rule.name);
        sentences.extend(above.into_iter().chain(named).map(|rule| {
            format!(
                "the rule \"{rule}\" covers {}, where fimk itself writes: nothing there is watched, because each event would \
                 cause the next; exclude it from the rule",
                own.escaped()
            )
        }));
    }
    sentences
}

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
