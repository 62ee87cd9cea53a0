//! Signs of life, both ways: the loader hears of us every few seconds, and we of it.

use std::time::Duration;

use super::{Engine, Eyes, Trouble, packets::PACKETS_AT_ONCE};
use crate::exit::log;

/// The loader answers within a tick; on a host that is starved, or while it looks at all processes, within seconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

impl Engine {
    /// A sign of life for systemd and for the loader, if it is time.
    pub(super) fn sign_of_life(&mut self) -> Result<(), Trouble> {
        self.notify.beat();
        Ok(self.channel.beat()?)
    }

    /// The same where something takes long; what the loader says meanwhile is put by, so that it can go on. That the
    /// channel has ended is noticed when the turn of packets comes.
    pub(crate) fn breathe(&mut self) {
        self.notify.beat();
        let mut heard = 0;
        while self.channel.beat().is_ok()
            && heard < PACKETS_AT_ONCE
            && let Ok(Some(received)) = self.channel.receive()
        {
            self.stash.push(received);
            heard += 1;
        }
    }

    /// Notices that the loader does not answer, and that it does again.
    pub(super) fn watch_loader(&mut self) -> Result<(), Trouble> {
        let silent = self.channel.unanswered_for();
        match (silent, self.alone) {
            (Some(silent), false) if silent >= ANSWERS_WITHIN => {
                self.alone = true;
                let sentence = self.says_alone(silent);
                log(&sentence);
                self.degraded(&sentence)
            }
            (None, true) => {
                self.alone = false;
                log("the loader answers again");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What it means that the loader does not answer; none if it does.
    pub(super) fn alone_sentence(&self) -> Option<String> {
        let silent = self.channel.unanswered_for().filter(|_| self.alone)?;
        Some(self.says_alone(silent))
    }

    fn says_alone(&self, silent: Duration) -> String {
        let meaning = match self.eyes {
            Eyes::Bpf(_) => {
                "what changes is kept by the kernel, and until it answers found only by looking"
            }
            Eyes::Fanotify(_) => "until it does, nobody is named who changes something",
            Eyes::Periodic => "nothing is missed, for files are only compared",
        };
        format!(
            "the loader has not answered for {} s, it is stopped or stuck: {meaning}; start fimk-loader again if that lasts",
            silent.as_secs()
        )
    }
}
