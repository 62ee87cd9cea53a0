//! Who we are, and whom the analyzer becomes.

use nix::unistd::{Gid, Uid, User};

use crate::error::{Error, Result};
use crate::exit::Status;

/// The user the analyzer runs as.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Never 0.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
}

/// Refuses to go on for anybody but root.
pub fn require_root() -> Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    Err(Error::new(
        Status::Permission,
        "loading BPF programs needs root: start fimk-loader as root (sudo)",
    ))
}

/// Looks `name` up in the system's user database.
pub fn look_up(name: &str) -> Result<Account> {
    let user = User::from_name(name).map_err(|cause| {
        Error::new(
            Status::NoUser,
            format!("the user {name} cannot be looked up: {cause}"),
        )
    })?;
    let user = user.ok_or_else(|| {
        let make = format!("useradd --system --no-create-home --shell /usr/sbin/nologin {name}");
        Error::new(
            Status::NoUser,
            format!("there is no user {name}: create it ({make}) or name another with --user"),
        )
    })?;
    if user.uid.is_root() {
        return Err(Error::new(
            Status::Usage,
            format!(
                "the analyzer must not run as root, and {name} is root: name another user with --user"
            ),
        ));
    }
    Ok(Account {
        uid: user.uid,
        gid: user.gid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_does_not_exist_is_status_67_and_root_is_refused() {
        assert_eq!(
            look_up("no-such-user-of-fimk")
                .map_err(|error| error.status)
                .err(),
            Some(67)
        );
        assert_eq!(
            look_up("root").map_err(|error| error.status).err(),
            Some(64)
        );
    }
}
