//! The arming program: attached while the analyzer walks, and a little longer.

use std::time::{Duration, Instant};

use fimk_wire::{HOOK_NAMES, raw};
use zerocopy::IntoBytes;

use super::{Fault, Server};
use crate::log;
use crate::objects;
use crate::packets;
use crate::requests;

/// How long the arming program stays attached after a walk, arming nobody: to attach and to detach each wait for the
/// kernel's trampolines, so walks in quick succession share one, and no analyzer can have it attached in a loop.
const ARMING_KEPT: Duration = Duration::from_secs(2);

impl Server {
    /// Ends the arming, if a walk was going on. The program stays for a while and arms nobody, and where it could not
    /// be attached again for good: that costs each stat on the host some fifty instructions.
    pub fn end_arming(&mut self) {
        if self.reattaches && self.arming.is_some() {
            self.detach_at = Some(Instant::now() + ARMING_KEPT);
        }
        if let Some(file) = &mut self.source.file {
            file.set_arming(0, 0, 0);
        }
    }

    /// Detaches the arming program once no walk has come for a while. Says when to ask again.
    pub fn detach_arming(&mut self, now: Instant) -> Option<Instant> {
        if self.detach_at.is_some_and(|at| now >= at) {
            (self.arming, self.detach_at) = (None, None);
        }
        self.detach_at
    }

    pub(super) fn arm(&mut self, request: &raw::fimk_request) -> Result<(), Fault> {
        let thread = requests::arming_thread(request, self.analyzer)?;
        if thread == 0 {
            self.end_arming();
        } else if let Some(file) = &mut self.source.file {
            file.set_arming(thread, request.number, request.key.actor.image);
            self.detach_at = None;
            if self.arming.is_none() {
                match objects::attach(file.object(), raw::FIMK_HOOK_GETATTR) {
                    Ok(link) => self.arming = Some(link),
                    Err(cause) => self.tell_not_arming(&cause),
                }
            }
        }
        self.answer_behind(packets::synced(request.cookie).as_bytes());
        Ok(())
    }

    /// The walk finds no answers then, and its objects are not watched; the next ARM tries again.
    fn tell_not_arming(&mut self, cause: &libbpf_rs::Error) {
        if let Some(silent) = self.not_arming.may_speak(Instant::now()) {
            log::line(format_args!(
                "what the analyzer walks is not watched: the hook {} cannot be attached: {cause:#} ({silent} more \
                 since the last such line)",
                HOOK_NAMES[raw::FIMK_HOOK_GETATTR as usize]
            ));
        }
    }
}
