//! What takes events, by one protocol each.

mod http;
mod syslog;
mod udp;

use std::time::Duration;

use fimk_core::config::{Format, Remote, Way};

/// Takes records in order.
pub trait Receiver: Send {
    /// Sends some of the records from the first on, at least one, and returns how many the receiver has.
    ///
    /// # Errors
    /// A sentence. The first was not taken, or not for certain: it is given again.
    fn send(&mut self, records: &[String]) -> Result<usize, String>;

    /// How many are wanted at once, and how long one waits for others.
    fn batch(&self) -> (usize, Duration) {
        (AT_ONCE, Duration::ZERO)
    }

    /// What is wrong though records are taken, and has not been told.
    fn complaint(&mut self) -> Option<String> {
        None
    }
}

/// Records given at once where the protocol has no batches.
const AT_ONCE: usize = 256;

/// As configured; none for one that takes no events.
pub fn receiver(remote: &Remote, format: Format) -> Option<Box<dyn Receiver>> {
    let timeout = remote.timeout();
    Some(match &remote.way {
        Way::Syslog(config) => syslog::receiver((**config).clone(), timeout),
        Way::Udp(config) => Box::new(udp::Udp::new(config.addresses.clone())),
        Way::Http(config) => Box::new(http::Http::new((**config).clone(), format, timeout)),
        Way::Graphite(_) => return None,
    })
}
