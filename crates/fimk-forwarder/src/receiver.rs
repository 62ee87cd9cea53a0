//! What takes events, by one protocol each.

mod http;
mod local;
mod syslog;
mod udp;

use std::time::Duration;

use fimk_core::config::{Remote, Way};

/// Records that one call sets aside at most: all are named in one request to the analyzer, which has a limit.
pub const REFUSED_MAX: usize = 16;

/// What became of records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// So many of the first are done with.
    pub count: usize,
    /// The places of those among them that are never taken, however often they are given,
    pub refused: Vec<usize>,
    /// and why, if there are any.
    pub why: String,
}

impl Taken {
    /// All of so many.
    pub fn all(count: usize) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }
}

/// Takes records in order.
pub trait Receiver: Send {
    /// Sends some of the records from the first on, at least one.
    ///
    /// # Errors
    /// A sentence. The first was not taken, or not for certain: it is given again.
    fn send(&mut self, records: &[String]) -> Result<Taken, String>;

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
pub fn receiver(remote: &Remote) -> Option<Box<dyn Receiver>> {
    let timeout = remote.timeout();
    Some(match &remote.way {
        Way::Syslog(config) => syslog::receiver((**config).clone(), timeout),
        Way::Udp(config) => Box::new(udp::Udp::new(config.addresses.clone())),
        Way::Http(config) => Box::new(http::Http::new((**config).clone(), timeout)),
        Way::Graphite(_) => return None,
    })
}
