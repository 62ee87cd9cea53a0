//! What takes records: a stream of lines, a socket of datagrams, a file. A thread of its own calls it, and it may block.

mod datagram;
mod file;
mod journal;
mod stream;

use std::{io, path::PathBuf};

use fimk_core::config::OutputKind;

use self::{datagram::Syslog, file::Lines, journal::Journal};
pub use self::{journal::MEMORY_FILE, stream::Stream};

/// An event as it is given to a sink: whole, never joined with others by anybody else.
#[derive(Debug, Default)]
pub struct Record {
    /// The number up to which all is told once this is; 0 for one out of its turn.
    pub sequence: u64,
    /// In the sink's form; empty where the event is not for it.
    pub bytes: Vec<u8>,
}

/// Takes records in order.
pub trait Sink: Send {
    /// Takes some of the records from the first on, none of them empty and at least one, and returns how many. `moved` is
    /// to be called when something went on its way though not whole.
    ///
    /// # Errors
    /// Nothing of the first record was taken, or not all of it: it is given again later.
    fn take(&mut self, records: &[&[u8]], moved: &mut dyn FnMut()) -> io::Result<usize>;
}

/// The sink of an output, as configured; none where another process sends. What it needs from outside it gets when it is
/// first given something.
///
/// # Errors
/// Standard output is closed.
pub fn open(kind: &OutputKind) -> io::Result<Option<Box<dyn Sink>>> {
    Ok(Some(match kind {
        OutputKind::Stdout => Box::new(Stream::stdout()?),
        OutputKind::Journald { socket } => Box::new(Journal::new(socket.clone())),
        OutputKind::Syslog { socket, .. } => Box::new(Syslog::new(socket.clone())),
        OutputKind::File {
            path,
            rotate_bytes,
            rotate_keep,
        } => Box::new(Lines::new(path.clone(), *rotate_bytes, *rotate_keep)),
        OutputKind::Remote(_) => return Ok(None),
    }))
}

/// Where it goes, for sentences.
pub fn place(kind: &OutputKind) -> String {
    let shown = |path: &PathBuf| {
        fimk_core::path::BytePath::new(path.as_os_str().as_encoded_bytes()).escaped()
    };
    match kind {
        OutputKind::Stdout => "standard output".to_owned(),
        OutputKind::Journald { socket } => format!("journald at {}", shown(socket)),
        OutputKind::Syslog { socket, .. } => format!("syslog at {}", shown(socket)),
        OutputKind::File { path, .. } => format!("the file {}", shown(path)),
        OutputKind::Remote(remote) => remote.place(),
    }
}
