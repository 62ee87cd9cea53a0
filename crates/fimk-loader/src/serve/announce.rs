//! What waits in the maps is told of again: to a new analyzer, and when the ring had no room.

use fimk_wire::raw;
use zerocopy::IntoBytes;

use super::{Fault, Server};
use crate::packets;

/// What a new analyzer, or one that lost announcements, is told of.
pub(super) enum Announcement {
    Taken(raw::fimk_key),
    Dirty(raw::fimk_key),
}

impl Server {
    /// Lines up what the analyzer before left.
    pub(super) fn announce_all(&mut self) -> Result<(), Fault> {
        self.announcements.clear();
        if let Some(file) = &self.source.file {
            // The list is worked off from its end: what was taken comes first.
            let all = &mut self.announcements;
            file.each_untaken(|key, _| all.push(Announcement::Dirty(key)))?;
            file.taken
                .each(|key, _| all.push(Announcement::Taken(key)))?;
        }
        Ok(())
    }

    pub(super) fn announce(&self, announcement: &Announcement) -> Result<(), Fault> {
        let Some(file) = &self.source.file else {
            return Ok(());
        };
        let packet = match announcement {
            Announcement::Taken(key) => file
                .taken
                .get(key)?
                .map(|entry| packets::taken(*key, entry).as_bytes().to_vec()),
            Announcement::Dirty(key) => file
                .waiting(key)
                .get(key)?
                .map(|entry| packets::touch(*key, &entry)),
        };
        if let Some(packet) = packet {
            self.channel.borrow_mut().send(&packet);
        }
        Ok(())
    }

    /// Lines up what the ring had no room for. `announced` is not set here: writing an entry back would
    /// undo what a program adds meanwhile, and an announcement too many costs one TAKE.
    pub(super) fn announce_again(&mut self) -> Result<(), Fault> {
        if let Some(file) = &self.source.file {
            let announcements = &mut self.announcements;
            file.each_untaken(|key, entry| {
                if entry.announced == 0 {
                    announcements.push(Announcement::Dirty(key));
                }
            })?;
            self.swept += announcements.len() as u64;
        }
        Ok(())
    }
}
