//! Severities of what fimk says of itself; those of changes come from the rules.

/// Started, stopped, a first baseline.
pub const NOTICE: u8 = 21;

/// Nobody was watching for a while.
pub const GAP: u8 = 47;

/// Something was lost and found again by comparing.
pub const LOSS: u8 = 47;

/// Something is not watched as it should be.
pub const DEGRADED: u8 = 73;
