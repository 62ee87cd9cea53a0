//! A machine that has little left: memory, or time of a CPU.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
};

/// Where control groups are mounted, and what limits memory there: of the second version, of the first.
const PLACES: [(&str, &str); 2] = [
    ("/sys/fs/cgroup", "memory.max"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
];

/// A control group that some processes are put into; removed when dropped, when they are back where they were or gone.
pub struct MemoryLimit {
    group: PathBuf,
    above: PathBuf,
    pids: Vec<u32>,
}

impl MemoryLimit {
    /// Puts these processes, and what they start, into a group that may have so many bytes.
    pub fn new(bytes: u64, pids: &[u32]) -> io::Result<Self> {
        let mut refused = io::Error::other("no control groups are mounted");
        for (above, limit) in PLACES {
            match Self::below(Path::new(above), limit, bytes, pids) {
                Ok(group) => return Ok(group),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn below(above: &Path, limit: &str, bytes: u64, pids: &[u32]) -> io::Result<Self> {
        if limit == "memory.max" {
            fs::write(above.join("cgroup.subtree_control"), "+memory")?;
        }
        let group = above.join(format!("fimk-test-{}", process::id()));
        fs::create_dir(&group)?;
        let made = Self {
            group,
            above: above.to_owned(),
            pids: pids.to_vec(),
        };
        fs::write(made.group.join(limit), bytes.to_string())?;
        for pid in pids {
            fs::write(made.group.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(made)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        for pid in &self.pids {
            let _ = fs::write(self.above.join("cgroup.procs"), pid.to_string());
        }
        let _ = fs::remove_dir(&self.group);
    }
}

/// Processes that do nothing as fast as they can, on the first CPU; ended when dropped.
pub struct Spinners(Vec<Child>);

impl Spinners {
    /// So many, with these processes beside them on that CPU. None where there is no taskset.
    pub fn beside(count: usize, pids: &[u32]) -> Option<Self> {
        for pid in pids {
            let pinned = Command::new("taskset")
                .args(["-a", "-c", "-p", "0", &pid.to_string()])
                .stdout(Stdio::null())
                .status();
            if !pinned.is_ok_and(|status| status.success()) {
                return None;
            }
        }
        let spin = |_| {
            Command::new("taskset")
                .args(["-c", "0", "sh", "-c", "while :; do :; done"])
                .spawn()
                .ok()
        };
        (0..count).map(spin).collect::<Option<_>>().map(Self)
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
