//! `severity`: a word or a number.

use super::{ConfigError, section::Section};

/// The middles of the four quarters that SIEMs commonly divide 1 to 99 into.
const SEVERITIES: [(&str, u8); 4] = [("low", 21), ("medium", 47), ("high", 73), ("critical", 99)];

pub(super) fn severity(section: &Section<'_>) -> Result<Option<u8>, ConfigError> {
    if section.string("severity").is_ok() {
        return section.word("severity", &SEVERITIES);
    }
    let number = section.integer("severity", 0..=100)?;
    Ok(number.and_then(|number| u8::try_from(number).ok()))
}
