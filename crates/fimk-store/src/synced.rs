//! The file `synced`: the sequence of the last event known to be on disk.
//!
//! It is overwritten in place, in two slots by turns, each in a block of its own: one write and one
//! fdatasync each time, where a temporary file and a rename would cost a new inode and two more. A slot
//! torn by power failure fails its checksum, and the other still tells the sequence before it.
//!
//! A third slot holds the sequence up to which events may have been told that could not be stored: its block is
//! there already, so a full disk has room for it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// Sequence and checksum, 8 bytes each, big endian.
const SLOT_BYTES: usize = 16;
/// A block of its own on any common disk.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
/// The same.
const TOLD_OFFSET: u64 = 8192;

/// What the file says at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Sequence(u64),
    /// There is no file.
    Nothing,
    /// Neither slot is whole.
    Nonsense,
}

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Synced {
    path: PathBuf,
    /// None until the first write, when there was no file or it was nonsense.
    file: Option<File>,
    /// The slot to write next.
    turn: usize,
    sequence: u64,
    told: u64,
}

impl Synced {
    /// Opens it as it is; writes nothing.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Said), StoreError> {
        let path = dir.join("synced");
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok((
                    Self {
                        path,
                        file: None,
                        turn: 0,
                        sequence: 0,
                        told: 0,
                    },
                    Said::Nothing,
                ));
            }
            Err(error) => return Err(StoreError::io(&path, &error)),
        };
        let slots = SLOT_OFFSETS.map(|offset| read_slot(&file, offset));
        let [first, second] = match slots {
            [Ok(first), Ok(second)] => [first, second],
            [Err(error), _] | [_, Err(error)] => return Err(StoreError::io(&path, &error)),
        };
        // A file of fimk 0.1 has no such slot.
        let told = read_slot(&file, TOLD_OFFSET).ok().flatten().unwrap_or(0);
        let Some(sequence) = first.max(second) else {
            return Ok((
                Self {
                    path,
                    file: None,
                    turn: 0,
                    sequence: 0,
                    told: 0,
                },
                Said::Nonsense,
            ));
        };
        let turn = usize::from(first >= second);
        Ok((
            Self {
                path,
                file: Some(file),
                turn,
                sequence,
                told,
            },
            Said::Sequence(sequence),
        ))
    }

    /// What was last written.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Up to which sequence events may have been told and not stored.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// Remembers that, if the disk still takes it: it is tried when the disk has failed.
    pub(crate) fn write_told(&mut self, sequence: u64) {
        self.told = sequence;
        if let Some(file) = &self.file
            && file.write_all_at(&slot(sequence), TOLD_OFFSET).is_ok()
        {
            let _ = file.sync_data();
        }
    }

    /// On disk when it returns.
    pub(crate) fn write(&mut self, sequence: u64) -> Result<(), StoreError> {
        self.try_write(sequence)
            .map_err(|error| StoreError::io(&self.path, &error))
    }

    fn try_write(&mut self, sequence: u64) -> io::Result<()> {
        let slot = slot(sequence);
        if let Some(file) = &self.file {
            file.write_all_at(&slot, SLOT_OFFSETS[self.turn])?;
            file.sync_data()?;
        } else {
            self.file = Some(create(&self.path, &slot)?);
        }
        self.turn = 1 - self.turn;
        self.sequence = sequence;
        Ok(())
    }
}

/// Under its name only when it is whole.
fn create(path: &Path, slot: &[u8]) -> io::Result<File> {
    let temporary = path.with_extension("new");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    for offset in SLOT_OFFSETS {
        file.write_all_at(slot, offset)?;
    }
    file.write_all_at(&self::slot(0), TOLD_OFFSET)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(file)
}

fn slot(sequence: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    let (left, right) = slot.split_at_mut(8);
    left.copy_from_slice(&sequence.to_be_bytes());
    let checksum = Sha256::new()
        .chain_update(b"fimk synced")
        .chain_update(sequence.to_be_bytes())
        .finalize();
    right.copy_from_slice(&checksum[..8]);
    slot
}

/// None: torn, or the file ends before it.
fn read_slot(file: &File, offset: u64) -> io::Result<Option<u64>> {
    let mut bytes = [0; SLOT_BYTES];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (sequence, _) = bytes.split_at(8);
    let sequence = sequence.try_into().map_or(0, u64::from_be_bytes);
    Ok((slot(sequence) == bytes).then_some(sequence))
}
