//! What takes records: a stream of lines, a socket of datagrams, a file. A thread of its own calls it, and it may block.

mod datagram;
mod file;
mod journal;
mod stream;

use std::{io, path::PathBuf, sync::mpsc, thread, time::Duration};

use fimk_core::config::OutputKind;

use self::{datagram::Syslog, file::Lines, journal::Journal};
pub use self::{journal::MEMORY_FILE, stream::Stream};

/// The engine waits for it, and the loader takes a longer silence for a fault.
const OPEN_WITHIN: Duration = Duration::from_secs(2);

/// An event as it is given to a sink: whole, never joined with others by anybody else.
#[derive(Debug, Default)]
pub struct Record {
    /// The number up to which all is told once this is; 0 for one out of its turn.
    pub sequence: u64,
    /// The number of the event that it tells.
    pub event: u64,
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

/// The same, with what has to be opened for it open: a file on a file system that hangs holds up a thread of its own.
///
/// # Errors
/// One sentence: it cannot be opened.
pub fn opened(kind: &OutputKind) -> Result<Option<Box<dyn Sink>>, String> {
    let OutputKind::File {
        path,
        rotate_bytes,
        rotate_keep,
    } = kind
    else {
        return open(kind).map_err(|error| error.to_string());
    };
    let mut lines = Lines::new(path.clone(), *rotate_bytes, *rotate_keep);
    let (tell, told) = mpsc::channel();
    let opening = thread::Builder::new().name("opening".to_owned());
    let started = opening.spawn(move || tell.send(lines.open().map(|()| lines)));
    started.map_err(|error| error.to_string())?;
    match told.recv_timeout(OPEN_WITHIN) {
        Ok(Ok(lines)) => Ok(Some(Box::new(lines))),
        Ok(Err(error)) => Err(format!("{} ({error})", path.display())),
        Err(_) => Err(format!(
            "{} was not opened within {} s",
            path.display(),
            OPEN_WITHIN.as_secs()
        )),
    }
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
