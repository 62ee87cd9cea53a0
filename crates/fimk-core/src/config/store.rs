//! `[store]`: how much of events is kept.

use super::{ConfigError, STORE, section::Section};

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Of all stored events together, uncompressed.
    pub keep_bytes: u64,
    /// How long events are kept: low, medium, high, critical; none for ever.
    pub keep_days: [Option<u32>; 4],
}

/// A gibibyte: about a million events.
const KEEP_BYTES_DEFAULT: u64 = 1 << 30;

pub(super) fn store(top: &Section<'_>) -> Result<Store, ConfigError> {
    let Some(section) = top.table("store", STORE)? else {
        return Ok(Store {
            keep_bytes: KEEP_BYTES_DEFAULT,
            keep_days: [None; 4],
        });
    };
    let all = days(&section, "keep_days")?;
    let mut keep_days = [all; 4];
    let keys = [
        "keep_days_low",
        "keep_days_medium",
        "keep_days_high",
        "keep_days_critical",
    ];
    for (kept, key) in keep_days.iter_mut().zip(keys) {
        *kept = days(&section, key)?.or(*kept);
    }
    Ok(Store {
        keep_bytes: section
            .integer("keep_bytes", 1 << 20..=1 << 40)?
            .unwrap_or(KEEP_BYTES_DEFAULT),
        keep_days,
    })
}

/// At most a century.
pub(super) fn days(section: &Section<'_>, key: &'static str) -> Result<Option<u32>, ConfigError> {
    let days = section.integer(key, 1..=36_525)?;
    Ok(days.and_then(|days| u32::try_from(days).ok()))
}
