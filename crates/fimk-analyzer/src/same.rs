//! Whether the state is the one that was used before, on this host: somebody may have put another in its place while
//! nobody watched. What is in the state directory cannot tell; the run directory and the host can.

use std::{fs, io, path::Path};

use fimk_core::path::BytePath;
use fimk_store::{Store, StoreError};

use crate::host;

/// The name of the note in the run directory: which database was used last, until this boot ends.
const NOTE: &str = "state";
/// Of the note: an identity, a number and a path.
const NOTE_BYTES_MAX: u64 = 16 << 10;

/// The meta key under which the host is kept.
const HOST: &str = "host";

/// The database that was used last.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    identity: String,
    /// The last event that was on disk.
    sequence: u64,
    state_dir: String,
}

impl Note {
    fn of(store: &Store, sequence: u64, state_dir: &Path) -> Self {
        Self {
            identity: store.identity(),
            sequence,
            state_dir: state_dir.display().to_string(),
        }
    }

    fn to_text(&self) -> String {
        let Self {
            identity,
            sequence,
            state_dir,
        } = self;
        format!("{identity}\n{sequence}\n{state_dir}\n")
    }

    /// None for anything else; what a path with a line break makes is none either.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let note = Self {
            identity: lines.next()?.to_owned(),
            sequence: lines.next()?.parse().ok()?,
            state_dir: lines.next()?.to_owned(),
        };
        lines.next().is_none().then_some(note)
    }

    /// What is odd about a database that is opened now, after this one.
    fn differs(&self, now: &Self) -> Option<String> {
        if self.state_dir != now.state_dir {
            return None;
        }
        if self.identity != now.identity {
            return Some(format!(
                "the database in {} is not the one that fimk used before, which had {} events: what changed meanwhile may not show; \
                 unless you replaced it, keep it as evidence",
                now.state_dir, self.sequence
            ));
        }
        (now.sequence < self.sequence).then(|| {
            format!(
                "the database in {} was put back: it ends at event {} and event {} had been stored; what changed since then is \
                 told again, and unless you restored it, keep it as evidence",
                now.state_dir, now.sequence, self.sequence
            )
        })
    }
}

/// What is odd about the database: sentences. To be called once, after it was opened.
pub fn oddities(
    store: &mut Store,
    state_dir: &Path,
    run_dir: &Path,
    host: &[u8],
) -> Result<Vec<String>, StoreError> {
    let newest = store.event_range()?.map_or(0, |(_, last)| last);
    let now = Note::of(store, newest, state_dir);
    let before = read(&run_dir.join(NOTE)).and_then(|text| Note::parse(&text));
    let replaced = before.and_then(|before| before.differs(&now));
    let kept = store.meta(HOST)?;
    if kept.as_deref() != Some(host) {
        store.set_meta(HOST, host)?;
    }
    let elsewhere = kept.filter(|kept| kept != host).map(|_| {
        format!(
            "the database in {} was made on another host, or this one has another digest key or machine-id now: files are compared \
             with what it says all the same; to begin with a new baseline, stop fimk and move it aside",
            state_dir.display()
        )
    });
    Ok(replaced.into_iter().chain(elsewhere).collect())
}

/// Writes down which database is used, and how far it goes. Without the note only a swap goes unseen.
pub fn remember(store: &Store, state_dir: &Path, run_dir: &Path) {
    let text = Note::of(store, store.synced_sequence(), state_dir).to_text();
    let (name, new) = (run_dir.join(NOTE), run_dir.join("state.new"));
    let _ = fs::write(&new, text).and_then(|()| fs::rename(&new, &name));
}

/// What names this host: the digest key, which is not in the state directory, and the machine-id where there is one.
pub fn host(key_id: [u8; 16]) -> Vec<u8> {
    let machine = host::read(&BytePath::new(b"/etc/machine-id"))
        .ok()
        .and_then(text)
        .unwrap_or_default();
    [&key_id[..], machine.trim().as_bytes()].concat()
}

fn read(path: &Path) -> Option<String> {
    text(fs::File::open(path).ok()?)
}

fn text(file: fs::File) -> Option<String> {
    use io::Read as _;
    let mut text = String::new();
    file.take(NOTE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn note(identity: &str, sequence: u64, state_dir: &str) -> Note {
        Note {
            identity: identity.to_owned(),
            sequence,
            state_dir: state_dir.to_owned(),
        }
    }

    #[test]
    fn another_database_or_an_older_state_of_it_is_odd_and_another_directory_is_not() {
        let before = note("a", 7, "/s");
        assert_eq!(before.differs(&note("a", 7, "/s")), None);
        assert_eq!(before.differs(&note("a", 9, "/s")), None);
        assert_eq!(before.differs(&note("b", 1, "/t")), None);
        let replaced = before.differs(&note("b", 9, "/s")).expect("it is odd");
        assert!(replaced.contains("is not the one"), "{replaced}");
        let put_back = before.differs(&note("a", 6, "/s")).expect("it is odd");
        assert!(put_back.contains("put back"), "{put_back}");
    }

    #[test]
    fn a_note_can_be_read_again_and_nonsense_is_none() {
        let note = note("a-b", 7, "/s");
        assert_eq!(Note::parse(&note.to_text()), Some(note));
        for text in ["", "a\n", "a\nb\nc\n", "a\n1\n", "a\n1\n/s\nmore\n"] {
            assert_eq!(Note::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_state_of_another_host_is_told_once() {
        let (state, run) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        let told = |host: &[u8]| {
            let (mut store, _) = Store::open(state.path()).expect("it opens");
            let odd = oddities(&mut store, state.path(), run.path(), host).expect("readable");
            store.sync().expect("writable");
            remember(&store, state.path(), run.path());
            odd.len()
        };
        assert_eq!((told(b"one"), told(b"one")), (0, 0));
        assert_eq!((told(b"two"), told(b"two")), (1, 0));
    }
}
