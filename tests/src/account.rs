//! A user in the real /etc that goes away again.

use std::{fs, path::Path};

use crate::{Ran, attempt, run, text, which};

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

    /// Makes a user with this home, a directory of the user's own.
    pub fn with_home(prefix: &str, home: &Path) -> Self {
        let name = format!("{prefix}{}", std::process::id());
        let made_by = run(
            "useradd",
            &["--create-home", "--home-dir", text(home), &name],
        );
        Self { name, made_by }
    }

    /// The number of the user.
    pub fn uid(&self) -> u32 {
        let printed = run("id", &["-u", &self.name]).output;
        printed.trim().parse().expect("id prints a number")
    }

    /// Runs a line of shell as this user.
    pub fn sh(&self, line: &str) -> Ran {
        let id = self.uid().to_string();
        let arguments = [
            "--reuid",
            &id,
            "--regid",
            &id,
            "--clear-groups",
            "sh",
            "-c",
            line,
        ];
        let mut ran = run("setpriv", &arguments);
        // It becomes the shell, with the pid it has.
        let shell = which(Path::new("sh")).and_then(|shell| fs::canonicalize(shell).ok());
        ran.executable = shell.expect("there is a shell");
        ran
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
