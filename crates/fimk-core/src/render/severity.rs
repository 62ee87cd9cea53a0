//! Severities, 0 to 100 with us, as others have them.

/// `low`, `medium`, `high`, `critical`; below, it is not printed unless somebody asks: `none`.
pub fn severity_word(severity: u8) -> &'static str {
    match severity {
        0 => "none",
        1..47 => "low",
        47..73 => "medium",
        73..99 => "high",
        _ => "critical",
    }
}

/// The severity of RFC 5424 and of journald's `PRIORITY`: 2 critical, 3 error, 4 warning, 5 notice, 6 informational.
/// 0 and 1 are for who makes a system unusable, and some daemons print them on every terminal.
pub fn syslog_severity(severity: u8) -> u8 {
    match severity {
        0 => 6,
        1..47 => 5,
        47..73 => 4,
        73..99 => 3,
        _ => 2,
    }
}

/// `severity_id` of OCSF, and `severity` beside it.
pub(super) fn ocsf_severity(severity: u8) -> (u8, &'static str) {
    match severity {
        0 => (1, "Informational"),
        1..47 => (2, "Low"),
        47..73 => (3, "Medium"),
        73..99 => (4, "High"),
        _ => (5, "Critical"),
    }
}
