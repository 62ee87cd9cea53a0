//! Which container a control group belongs to, by the names that container managers give their groups.
//!
//! | name of a directory | made by |
//! |---|---|
//! | `docker-ID.scope` | Docker with the systemd driver |
//! | `cri-containerd-ID.scope` | containerd for Kubernetes, systemd driver |
//! | `crio-ID.scope` | CRI-O, systemd driver |
//! | `libpod-ID.scope`, `libpod-ID` | Podman, systemd and cgroupfs driver |
//! | `ID` | all of these with the cgroupfs driver: `/docker/ID`, `/kubepods/…/podUID/ID` |
//! | `lxc.payload.NAME` | LXC 4 and newer |
//! | `machine-NAME.scope` | systemd-machined: systemd-nspawn and others that register there |
//!
//! ID is 64 lower-case hexadecimal digits (OCI leaves the form open; all named here use SHA-256's). The names are
//! those in the sources of runc's `libcontainer/cgroups/systemd`, of Podman's `libpod`, of LXC's `cgfsng.c` and of
//! systemd's `machined`. Whoever may make control groups can make one of such a name: root, and a user below
//! the group that was delegated to them.

use crate::path::escaped;

/// Digits of an id.
const ID_DIGITS: usize = 64;
/// In front of an id and `.scope`.
const SCOPES: [&str; 4] = ["docker-", "cri-containerd-", "crio-", "libpod-"];

/// The id, or the name where the manager has only names, of the innermost container in the path of a control
/// group; none where no directory of it has such a name.
pub fn container_id(cgroup: &[u8]) -> Option<String> {
    let mut directories = cgroup.rsplit(|&byte| byte == b'/');
    directories.find_map(|name| of_directory(std::str::from_utf8(name).ok()?))
}

fn of_directory(name: &str) -> Option<String> {
    if let Some(scope) = name.strip_suffix(".scope") {
        return match scope.strip_prefix("machine-") {
            Some(machine) => unescaped(machine),
            None => SCOPES
                .iter()
                .find_map(|prefix| id(scope.strip_prefix(prefix)?)),
        };
    }
    if let Some(payload) = name.strip_prefix("lxc.payload.") {
        return (!payload.is_empty()).then(|| escaped(payload.as_bytes()));
    }
    id(name.strip_prefix("libpod-").unwrap_or(name))
}

fn id(name: &str) -> Option<String> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (name.len() == ID_DIGITS && name.bytes().all(is_digit)).then(|| name.to_owned())
}

/// A part of a unit's name as it was: systemd writes `\x2d` for a hyphen and for whatever it cannot use.
fn unescaped(name: &str) -> Option<String> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match after.split_at_checked(3) {
            Some(([b'x', high, low], after)) if byte == b'\\' => {
                plain.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            _ => plain.push(byte),
        }
    }
    let name = std::str::from_utf8(&plain).ok()?;
    (!name.is_empty()).then(|| escaped(name.as_bytes()))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn every_manager_s_form_gives_the_id() {
        for form in [
            "/system.slice/docker-ID.scope",
            "/docker/ID",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-ID.scope",
            "/kubepods/besteffort/pod11111111-2222/ID",
            "/kubepods.slice/crio-ID.scope",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            "/libpod_parent/libpod-ID",
            "/docker/ID/init.scope",
        ] {
            let path = form.replace("ID", ID);
            assert_eq!(container_id(path.as_bytes()).as_deref(), Some(ID), "{path}");
        }
    }

    #[test]
    fn a_machine_has_its_name() {
        for (path, name) in [
            ("/machine.slice/machine-web\\x2d1.scope/payload", "web-1"),
            ("/lxc.payload.web-1/system.slice/cron.service", "web-1"),
            ("/machine.slice/machine-web\\x0a1.scope", "web\\x0a1"),
        ] {
            assert_eq!(
                container_id(path.as_bytes()).as_deref(),
                Some(name),
                "{path}"
            );
        }
    }

    #[test]
    fn the_innermost_of_two_counts() {
        let inner = ID.replace('0', "f");
        let path = format!("/docker/{ID}/docker/{inner}");
        assert_eq!(container_id(path.as_bytes()), Some(inner));
    }

    #[test]
    fn what_only_resembles_a_container_is_none() {
        for path in [
            "",
            "/",
            "/system.slice/ssh.service",
            "/system.slice/docker.service",
            "/user.slice/user-1000.slice/session-3.scope",
            "/docker/0123",
            "/lxc.monitor.web",
            "/lxc.payload.",
            "/machine.slice/machine-.scope",
            "/machine.slice/machine-\\xff.scope",
        ] {
            assert_eq!(container_id(path.as_bytes()), None, "{path}");
        }
        for near in [
            format!("/x/docker-{}.scope", ID.to_uppercase()),
            format!("/x/docker-{ID}0.scope"),
            format!("/x/crio-conmon-{ID}.scope"),
            format!("/x/libpod-conmon-{ID}.scope"),
            format!("/x/other-{ID}.scope"),
        ] {
            assert_eq!(container_id(near.as_bytes()), None, "{near}");
        }
        assert_eq!(container_id(b"/\xff\xfe/\xff"), None);
    }
}
