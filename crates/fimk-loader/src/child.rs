//! What a forked child does before it is the analyzer.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::SigSet;
use nix::unistd::{execve, setgroups, setresgid, setresuid};

use crate::capabilities;
use crate::error::{Error, Result};
use crate::exit::Status;
use crate::flags::{Flags, source_name};
use crate::log;
use crate::system;
use crate::user::Account;

/// The descriptor under which the analyzer finds its end of the channel.
const CHANNEL: RawFd = 3;
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// How to start an analyzer; all memory for it is taken before the fork.
pub struct Image {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    account: Account,
}

impl Image {
    /// The analyzer that `flags` name. It must exist, so that a broken installation is told at once.
    pub fn new(flags: &Flags, account: Account) -> Result<Self> {
        let path = path(flags)?;
        let found = std::fs::metadata(&path);
        if !found.is_ok_and(|found| found.is_file()) {
            return Err(Error::new(
                Status::Internal,
                format!(
                    "there is no analyzer at {}: install it there or name it with --analyzer",
                    path.display()
                ),
            ));
        }
        let mut environment = vec![c_string(PATH.as_ref())?];
        if let Some(language) = std::env::var_os("LANG") {
            let mut variable = std::ffi::OsString::from("LANG=");
            variable.push(language);
            environment.push(c_string(variable.as_ref())?);
        }
        Ok(Self {
            arguments: arguments(&path, flags)?,
            path: c_string(&path)?,
            environment,
            account,
        })
    }

    /// Becomes the analyzer. Returns the exit status if it cannot.
    pub fn become_analyzer(&self, channel: BorrowedFd<'_>) -> i32 {
        if let Err(cause) = self.drop_privileges() {
            log::line(format_args!(
                "the analyzer is not started with root's privileges, and they cannot be dropped: {cause}"
            ));
            return Status::Permission as i32;
        }
        let started = system::inherit_as(channel, CHANNEL)
            .and_then(|()| SigSet::all().thread_unblock())
            .and_then(|()| execve(&self.path, &self.arguments, &self.environment).map(drop));
        if let Err(cause) = started {
            log::line(format_args!(
                "{} cannot be executed: {cause}",
                self.path.to_string_lossy()
            ));
        }
        Status::Internal as i32
    }

    /// The one capability is kept over the change of user, and over exec by the ambient set.
    fn drop_privileges(&self) -> std::result::Result<(), Box<dyn std::error::Error>> {
        capabilities::bound_to_reading()?;
        nix::sys::prctl::set_keepcaps(true)?;
        setgroups(&[])?;
        setresgid(self.account.gid, self.account.gid, self.account.gid)?;
        setresuid(self.account.uid, self.account.uid, self.account.uid)?;
        capabilities::only_reading_over_exec()?;
        nix::sys::prctl::set_no_new_privs()?;
        Ok(())
    }
}

fn path(flags: &Flags) -> Result<PathBuf> {
    if let Some(path) = &flags.analyzer {
        return std::path::absolute(path).map_err(|cause| Error::internal("--analyzer", cause));
    }
    let own = std::env::current_exe()
        .map_err(|cause| Error::internal("the path of this executable", cause))?;
    Ok(own.with_file_name("fimk-analyzer"))
}

/// What the flags leave open is the configuration's to say, so it is not passed.
fn arguments(path: &Path, flags: &Flags) -> Result<Vec<CString>> {
    let mut arguments = vec![c_string(path)?];
    let mut push = |name: &str, value: &Path| -> Result<()> {
        arguments.push(c_string(name.as_ref())?);
        arguments.push(c_string(value)?);
        Ok(())
    };
    push("--channel", CHANNEL.to_string().as_ref())?;
    push("--config", &flags.config)?;
    for (name, directory) in [
        ("--state-dir", &flags.state_dir),
        ("--run-dir", &flags.run_dir),
    ] {
        if let Some(directory) = directory {
            push(name, directory)?;
        }
    }
    if let Some(source) = flags.source {
        push("--source", source_name(source).as_ref())?;
    }
    Ok(arguments)
}

fn c_string(value: &Path) -> Result<CString> {
    CString::new(value.as_os_str().as_bytes())
        .map_err(|cause| Error::internal("an argument", cause))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test that cannot go on must stop")]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_is_passed_on() {
        let flags = Flags {
            config: "/c".into(),
            source: Some(2),
            pin_dir: "/p".into(),
            state_dir: Some("/s".into()),
            run_dir: None,
            user: "u".into(),
            analyzer: None,
            stuck_after: crate::vigil::STUCK_AFTER,
            keep: false,
        };
        let arguments = arguments(Path::new("/a"), &flags).expect("no NUL");
        let words: Vec<_> = arguments
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        assert_eq!(
            words.join(" "),
            "/a --channel 3 --config /c --state-dir /s --source fanotify"
        );
    }
}
