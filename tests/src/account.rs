//! A user in the real /etc that goes away again.

use crate::{Ran, attempt, run};

/// A user made by the real `useradd`; removed when dropped, also by a panic.
pub struct Account {
    /// Its name: that of the test run, so that runs side by side do not meet.
    pub name: String,
    /// The `useradd` that made it.
    pub made_by: Ran,
}

impl Account {
    /// Makes a user without a home directory.
    pub fn new(prefix: &str) -> Self {
        let name = format!("{prefix}{}", std::process::id());
        let made_by = run(
            "useradd",
            &["--no-create-home", "--shell", "/usr/sbin/nologin", &name],
        );
        Self { name, made_by }
    }

    /// As `fimk.changes` names it.
    pub fn subject(&self) -> String {
        format!("user {}", self.name)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        attempt("userdel", &["--force", &self.name]);
        attempt("groupdel", &[&self.name]);
    }
}
