//! Which capabilities each of our processes keeps, and why.
//!
//! | process | keeps | for |
//! |---|---|---|
//! | loader | `CAP_BPF` | map operations, where the kernel forbids bpf(2) to the unprivileged |
//! | | `CAP_PERFMON` | attaching the arming program, again at each walk |
//! | spawner | `CAP_SETUID` `CAP_SETGID` | becoming the analyzer's user |
//! | | `CAP_SETPCAP` | cutting the analyzer's bounding set |
//! | | `CAP_DAC_READ_SEARCH` | to hand it on |
//! | | `CAP_KILL` | ending an analyzer that does not end |
//! | marker | `CAP_SYS_ADMIN` | marks on whole file systems, which is all that its seccomp filter leaves of it |
//! | | `CAP_DAC_READ_SEARCH` | those whose topmost directory is not everybody's to read |
//! | analyzer | `CAP_DAC_READ_SEARCH` | reading what the rules name |

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

const LOADER: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];
const SPAWNER: [Capability; 5] = [
    Capability::CAP_SETUID,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_KILL,
];
const MARKER: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_DAC_READ_SEARCH];
const ANALYZER: [Capability; 1] = [Capability::CAP_DAC_READ_SEARCH];

/// The loader, once everything is loaded and attached.
pub fn keep_for_forwarding() -> Result<(), CapsError> {
    bound_to(&[])?;
    keep(&LOADER)
}

/// The spawner, as it starts.
pub fn keep_for_spawning() -> Result<(), CapsError> {
    keep(&SPAWNER)
}

/// The marker, as it starts.
pub fn keep_for_marking() -> Result<(), CapsError> {
    bound_to(&[])?;
    keep(&MARKER)
}

/// In the child that becomes the analyzer, while it is root.
pub fn bound_to_reading() -> Result<(), CapsError> {
    bound_to(&ANALYZER)
}

/// In the child that becomes the analyzer, once it is no longer root.
pub fn only_reading_over_exec() -> Result<(), CapsError> {
    keep(&ANALYZER)?;
    caps::set(None, CapSet::Inheritable, &set(&ANALYZER))?;
    caps::set(None, CapSet::Ambient, &set(&ANALYZER))
}

/// Cuts effective and permitted set to what of `kept` we have.
fn keep(kept: &[Capability]) -> Result<(), CapsError> {
    let had = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = set(kept).intersection(&had).copied().collect();
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

/// Without `CAP_SETPCAP` the bounding set stays as it was given to us.
fn bound_to(kept: &[Capability]) -> Result<(), CapsError> {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        return Ok(());
    }
    for capability in caps::read(None, CapSet::Bounding)?.difference(&set(kept)) {
        caps::drop(None, CapSet::Bounding, *capability)?;
    }
    Ok(())
}

fn set(capabilities: &[Capability]) -> CapsHashSet {
    capabilities.iter().copied().collect()
}
