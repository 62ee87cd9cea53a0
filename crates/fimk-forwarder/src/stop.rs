//! That it is to end, and sleeping until then.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// At the end, what waits is sent for so long.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Known to all threads.
#[derive(Clone, Default)]
pub struct Stop(Arc<(Mutex<Option<Instant>>, Condvar)>);

impl Stop {
    /// It is to end now.
    pub fn set(&self) {
        let (wanted, changed) = &*self.0;
        let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.get_or_insert_with(|| Instant::now() + END_WITHIN);
        changed.notify_all();
    }

    /// Whether it is to end; what waits may still be sent.
    pub fn is_set(&self) -> bool {
        self.end().is_some()
    }

    /// Whether nothing more may be begun.
    pub fn is_over(&self) -> bool {
        self.end().is_some_and(|end| Instant::now() >= end)
    }

    fn end(&self) -> Option<Instant> {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps; shorter if it is to end.
    pub fn sleep(&self, time: Duration) {
        let (wanted, changed) = &*self.0;
        let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing to do with what it returns: whoever sleeps looks again.
        drop(changed.wait_timeout_while(wanted, time, |wanted| wanted.is_none()));
    }
}
