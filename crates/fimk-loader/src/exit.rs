//! The exit statuses, as outside programs rely on them.

/// Why the program ends. The numbers are those of sysexits(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// A flag is wrong, or asks for what is not built.
    Usage = 64,
    /// The user to run the analyzer as does not exist.
    NoUser = 67,
    /// The kernel lacks, or refuses, what is needed.
    Kernel = 69,
    /// A fault of fimk itself, or an analyzer that dies again and again.
    Internal = 70,
    /// A directory or file cannot be made, or was found in a state that is not safe.
    Io = 74,
    /// Another instance uses the same pins.
    Second = 75,
    /// Not root, or root without the capability that is needed.
    Permission = 77,
}

/// Statuses with which an analyzer ends for a reason that another start would meet again: they are
/// passed on as the loader's own.
const FINAL: [u8; 7] = [64, 67, 69, 74, 75, 77, 78];

/// Whether an analyzer that ended with this status must not be started again.
pub fn is_final(status: i32) -> Option<u8> {
    u8::try_from(status)
        .ok()
        .filter(|status| FINAL.contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_error_is_final_and_a_crash_is_not() {
        assert_eq!(is_final(78), Some(78));
        for status in [-1, 0, 1, 70, 101, 134, 78 + 256] {
            assert_eq!(is_final(status), None, "{status}");
        }
    }
}
