//! By what it is known who did something.

use serde::{Deserialize, Serialize};

use crate::event::Change;

/// What told of a process, any number of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution(u8);

impl Attribution {
    /// A BPF program that ran in the process when it did it.
    pub const PROGRAM: Self = Self(1);
    /// The event of fanotify, by the number of the process.
    pub const FANOTIFY: Self = Self(2);
    /// The descriptor of the process that came with that event: it still had its number when the event was read.
    pub const PIDFD: Self = Self(4);
    /// A look at all processes: it has the file open for writing, or mapped, or had just then.
    pub const LOOK: Self = Self(8);
    /// The table of processes, which is filled when they start and execute.
    pub const TABLE: Self = Self(16);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// As `fimk.attributed_by` has them.
    pub fn names(self) -> Vec<&'static str> {
        const NAMES: [&str; 5] = ["program", "fanotify", "pidfd", "look", "process_table"];
        let bits = NAMES.into_iter().enumerate();
        bits.filter(|(bit, _)| self.0 >> bit & 1 != 0)
            .map(|(_, name)| name)
            .collect()
    }
}

impl Change {
    /// By what each process is known that it names, in their order.
    pub fn attributions(&self) -> Vec<Attribution> {
        self.actor
            .iter()
            .chain(&self.actors)
            .map(|it| it.attribution)
            .collect()
    }

    /// The reverse.
    pub fn attribute(&mut self, by: &[Attribution]) {
        for (actor, by) in self.actor.iter_mut().chain(&mut self.actors).zip(by) {
            actor.attribution = *by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name() {
        let all = [
            (Attribution::PROGRAM, "program"),
            (Attribution::FANOTIFY, "fanotify"),
            (Attribution::PIDFD, "pidfd"),
            (Attribution::LOOK, "look"),
            (Attribution::TABLE, "process_table"),
        ];
        for (one, name) in all {
            assert_eq!(one.names(), [name]);
        }
        let whole = all
            .iter()
            .fold(Attribution::default(), |sum, (it, _)| sum.with(*it));
        assert_eq!(whole.names(), all.map(|(_, name)| name));
        assert!(Attribution(0xe0).names().is_empty(), "of a later build");
    }
}
