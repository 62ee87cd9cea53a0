//! `report`: the kinds of attempts that a rule asks for, beside changes.

use crate::event::Action;

/// What is done to an object without changing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Somebody tried to read or change it, and was refused.
    Denied,
    /// Somebody opened it.
    Opened,
    /// Somebody executed it.
    Executed,
}

/// All of them, in the order of the manual.
pub const KINDS: [Kind; 3] = [Kind::Denied, Kind::Opened, Kind::Executed];

/// A set of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report(u8);

impl Kind {
    /// As the configuration names it, and `event.action`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.action().name()
    }

    /// The action of its events.
    #[must_use]
    pub fn action(self) -> Action {
        match self {
            Self::Denied => Action::Denied,
            Self::Opened => Action::Opened,
            Self::Executed => Action::Executed,
        }
    }

    /// Of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name() == name)
    }
}

impl Report {
    /// Whether one is in it.
    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// With one more.
    #[must_use]
    pub fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// All of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
