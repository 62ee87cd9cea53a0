//! What the forwarder gives up before it hears a byte from the network.
//!
//! | layer | what is left |
//! |---|---|
//! | user | one of its own; never root |
//! | capabilities | none |
//! | not dumpable | no core dump, no ptrace by others of the same user |
//! | landlock | no writing to files, no programs, no TCP listening, no signals to others |
//! | seccomp | the usual calls and those of `sandbox/filter.rs`; everything else is `ENOSYS` |

mod filter;
// One list for both: a crate would be needed for it alone.
#[path = "../../fimk-analyzer/src/sandbox/usual.rs"]
mod usual;

use caps::CapSet;
use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, Scope};
use nix::{sys::prctl, unistd::getresuid};

/// The newest rights that are asked for; an older kernel takes those it knows.
const NEWEST: ABI = ABI::V8;

/// Enters the sandbox, for good. To be called before any thread exists.
///
/// # Errors
/// One sentence: it is root, or the kernel refused a layer that it has.
pub fn enter() -> Result<(), String> {
    let users =
        getresuid().map_err(|errno| format!("the user of this process is not known ({errno})"))?;
    let all = [users.real, users.effective, users.saved];
    if all.iter().any(|user| user.is_root()) {
        return Err(
            "fimk-forwarder does not run as root: start it as the user fimk-forwarder".to_owned(),
        );
    }
    prctl::set_no_new_privs()
        .map_err(|errno| format!("the kernel refused no_new_privs ({errno})"))?;
    prctl::set_dumpable(false).map_err(|errno| {
        format!("the kernel refused to protect the process from dumps ({errno})")
    })?;
    for set in [
        CapSet::Ambient,
        CapSet::Effective,
        CapSet::Permitted,
        CapSet::Inheritable,
    ] {
        caps::clear(None, set)
            .map_err(|error| format!("capabilities cannot be dropped ({error})"))?;
    }
    restrict_files()?;
    filter::apply()
}

/// Reading stays: certificates, tokens, and what resolves names.
fn restrict_files() -> Result<(), String> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST) & !read)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::BindTcp))
        .and_then(|ruleset| ruleset.scope(Scope::Signal))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map(drop)
        .map_err(|error| format!("landlock cannot be set up ({error})"))
}

#[cfg(test)]
mod tests;
