//! `redact`: what secrets look like that only this host has.

use fimk_consumers::redact::{PATTERN_BYTES_MAX, PATTERNS_MAX, Patterns};

use super::{ConfigError, error::shown, section::Section};

pub(super) fn redact(top: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let entries = top.strings("redact")?;
    for (number, entry) in entries.iter().enumerate() {
        if number == PATTERNS_MAX {
            let message =
                format!("`redact` has more than {PATTERNS_MAX} patterns; put some together with |");
            return Err(top.error_at(*entry, message));
        }
        if entry.text.is_empty() || entry.text.len() > PATTERN_BYTES_MAX {
            let message = format!("a pattern of `redact` must have 1 to {PATTERN_BYTES_MAX} bytes");
            return Err(top.error_at(*entry, message));
        }
    }
    let patterns: Vec<String> = entries.iter().map(|entry| entry.text.to_owned()).collect();
    match Patterns::new(&patterns) {
        Ok(_) => Ok(patterns),
        Err((number, why)) => {
            let message = format!(
                "the pattern \"{}\" of `redact` {}",
                shown(&patterns[number]),
                shown(&why)
            );
            Err(top.error_at(entries[number], message))
        }
    }
}
