//! Root does almost nothing, and the analyzer has one capability.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt as _};

use fimk_tests::{Site, attempt};
use nix::unistd::User;

const DAC_READ_SEARCH: u64 = 1 << 2;

/// What a root process that only forwards has no use for, by number: `CHOWN DAC_OVERRIDE FOWNER FSETID
/// LINUX_IMMUTABLE NET_BIND_SERVICE NET_ADMIN NET_RAW SYS_MODULE SYS_RAWIO SYS_PTRACE SYS_BOOT SYS_TIME
/// MKNOD SETFCAP MAC_ADMIN`.
const NEVER: [u32; 16] = [0, 1, 3, 4, 9, 10, 12, 13, 16, 17, 19, 22, 25, 27, 31, 33];

struct Status(HashMap<String, String>);

impl Status {
    fn of(pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Self(
            pairs
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
                .collect(),
        )
    }

    fn text(&self, key: &str) -> &str {
        self.0
            .get(key)
            .map(String::as_str)
            .expect("the kernel prints it")
    }

    fn mask(&self, key: &str) -> u64 {
        u64::from_str_radix(self.text(key), 16).expect("it is a mask")
    }
}

#[test]
fn the_analyzer_is_unprivileged_but_for_reading() {
    let site = Site::new();
    let monitor = site.watch();
    let status = Status::of(monitor.analyzer_pid().expect("it runs"));
    let user = User::from_name("fimk")
        .ok()
        .flatten()
        .expect("Site::new checks it");
    for (key, id) in [("Uid", user.uid.as_raw()), ("Gid", user.gid.as_raw())] {
        assert!(
            status
                .text(key)
                .split_whitespace()
                .all(|one| one == id.to_string()),
            "{key} {}",
            status.text(key)
        );
    }
    assert!(
        status
            .text("Groups")
            .split_whitespace()
            .all(|group| group == user.gid.to_string()),
        "Groups {}",
        status.text("Groups")
    );
    for key in ["CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"] {
        assert_eq!(
            status.mask(key) & !DAC_READ_SEARCH,
            0,
            "{key} {}",
            status.text(key)
        );
    }
    assert_eq!(status.mask("CapEff"), DAC_READ_SEARCH);
    assert_eq!(status.text("NoNewPrivs"), "1");
    assert_eq!(status.text("Seccomp"), "2");
    monitor.stop();
}

#[test]
fn the_loader_keeps_only_what_it_needs() {
    let site = Site::new();
    let monitor = site.watch();
    let status = Status::of(monitor.loader_pid());
    for key in ["CapEff", "CapPrm"] {
        for bit in NEVER {
            assert_eq!(
                status.mask(key) >> bit & 1,
                0,
                "{key} {} has capability {bit}",
                status.text(key)
            );
        }
    }
    assert_eq!(status.text("NoNewPrivs"), "1");
    assert_eq!(status.text("Seccomp"), "2");
    monitor.stop();
}

#[test]
fn neither_process_leaves_a_core_and_the_analyzers_memory_is_its_own() {
    let site = Site::new();
    let monitor = site.watch();
    let analyzer = monitor.analyzer_pid().expect("it runs");
    for pid in [monitor.loader_pid(), analyzer] {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
        let core = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max core file size"))
            .expect("the kernel prints it");
        let values: Vec<&str> = core.split_whitespace().take(2).collect();
        assert_eq!(values, ["0", "0"], "of {pid}");
    }
    // What is not dumpable has files in /proc that are root's: proc(5).
    let owner = fs::metadata(format!("/proc/{analyzer}/mem")).expect("it runs");
    assert_eq!(owner.uid(), 0);
    monitor.stop();
}

#[test]
fn the_analyzer_refuses_to_run_as_root() {
    let site = Site::new();
    let analyzer = site.launch("").loader.with_file_name("fimk-analyzer");
    let ran = attempt(&analyzer, &["--config", "/nonexistent"]);
    assert!(!ran.succeeded, "it ran as root");
    assert!(!ran.output.contains("panicked at"), "{}", ran.output);
}
