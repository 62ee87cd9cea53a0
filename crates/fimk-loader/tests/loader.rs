//! Drives the real loader as root with a scripted analyzer (`examples/fake_analyzer.rs`).
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop"
)]

mod harness;

use std::io::{BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fimk_wire::{leaf_first_to_path, raw, spanned};
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use nix::unistd::User;
use zerocopy::FromBytes;

use harness::{Loader, Place, not_run};

fn status_of(pid: &str, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .expect("a field of every process");
    line[field.len()..]
        .trim_start_matches(':')
        .trim()
        .to_owned()
}

#[test]
fn hello_is_answered_with_a_source_and_who_names_the_analyzer_itself() {
    let Some(place) = Place::new("hello=2 who nobody sync") else {
        return;
    };
    let mut loader = place.start();
    let lines = loader.until("synced 79");
    let one = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(one("descriptor anon_inode:[fanotify]"), 1, "{lines:#?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("ready source=2 reason=1")),
        "{lines:#?}"
    );
    let analyzer = std::fs::canonicalize(place.path("analyzer")).unwrap();
    let own = format!("executable={}", analyzer.display());
    assert!(
        lines
            .iter()
            .find(|line| line.starts_with("actor"))
            .unwrap()
            .ends_with(&own),
        "{lines:#?}"
    );
    assert!(one("actor") > 3, "ancestors are told: {lines:#?}");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains(" flags=16 "))
            .count(),
        1,
        "{lines:#?}"
    );
    assert_eq!((one("synced 77"), one("synced 78")), (1, 1));
    assert!(place.pins().contains(&"actors".to_owned()));
    loader.stop();
    loader.until("end");
    let (status, log) = loader.end();
    assert_eq!(status, 0, "{log}");
    assert!(!place.path("bpf/fimk").exists(), "no pin is left");
}

#[test]
fn the_bpf_source_arms_by_touch_announces_a_change_and_gives_it_once() {
    let Some(place) = Place::new("hello=1 arm change arm change sync") else {
        return;
    };
    let loader = place.start();
    let Some(mut loader) = or_refused(loader) else {
        return;
    };
    let lines = loader.until("synced 79");
    let all = |start: &str| {
        lines
            .iter()
            .filter(|line| line.starts_with(start))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(all("armed"), ["armed rule=7 flags=0"; 2], "{lines:#?}");
    assert!(all("touch")[0].ends_with("state/watched"), "{lines:#?}");
    let taken = all("taken");
    assert!(!taken[0].starts_with("taken count=0"), "{lines:#?}");
    assert_eq!(all("taken count=0 take=0").len(), 2, "{lines:#?}");
    assert!(place.pins().contains(&"link_vfs_write".to_owned()));
    loader.stop();
    let (status, log) = loader.end();
    assert_eq!(status, 0, "{log}");
    assert!(!place.path("bpf/fimk").exists());
}

/// As when its exec was missed: the map was full, or the kernel skipped the program.
fn forget_process(place: &Place, pid: u32) -> MapHandle {
    let actors = MapHandle::from_pinned_path(place.path("bpf/fimk/actors")).expect("it is pinned");
    let is_its = |key: &Vec<u8>| key[..4] == pid.to_ne_bytes();
    let keys: Vec<_> = actors.keys().filter(is_its).collect();
    assert!(!keys.is_empty(), "its exec was seen");
    for key in keys {
        actors.delete(&key).expect("it is there");
    }
    actors
}

#[test]
fn a_process_whose_exec_was_missed_is_gathered_at_its_touch() {
    let Some(place) = Place::new("hello=1 arm sync") else {
        return;
    };
    let Some(mut loader) = or_refused(place.start()) else {
        return;
    };
    loader.until("synced 79");
    let mut writer = Command::new("sh")
        .args(["-c", "read go; echo changed > \"$0\"; read go"])
        .arg(place.path("state/watched"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("every system has a shell");
    // Once it says this it waits for us, and its exec is long past.
    let pid = writer.id();
    while !std::fs::read_to_string(format!("/proc/{pid}/syscall"))
        .is_ok_and(|call| call.starts_with(&format!("{} 0x0 ", nix::libc::SYS_read)))
    {
        std::thread::yield_now();
    }
    let actors = forget_process(&place, pid);
    let mut input = writer.stdin.take().expect("it is piped");
    input.write_all(b"go\n").expect("it reads");
    loader.until(&format!("touch pid={pid}"));
    let is_its = |key: &Vec<u8>| key[..4] == pid.to_ne_bytes();
    let key = actors.keys().find(is_its).expect("it is known again");
    let value = actors.lookup(&key, MapFlags::ANY).unwrap().unwrap();
    let actor = raw::fimk_actor::read_from_bytes(&value).expect("an actor");
    let executable = leaf_first_to_path(spanned(&actor.tail, actor.executable));
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(executable, shell.as_os_str().as_encoded_bytes());
    assert!(actor.arguments.length > 0);
    drop(input);
    writer.wait().expect("our child");
    loader.stop();
    assert_eq!(loader.end().0, 0);
}

/// The loader, if it does not end at once because this kernel refuses trampolines.
fn or_refused(mut loader: Loader) -> Option<Loader> {
    let mut line = String::new();
    while loader.output.read_line(&mut line).expect("text") > 0 {
        if line.starts_with("ready") {
            return Some(loader);
        }
        line.clear();
    }
    let (status, log) = loader.end();
    assert_eq!(status, 69, "{log}");
    assert!(
        log.contains("the source bpf cannot serve: this kernel refuses BPF trampolines"),
        "{log}"
    );
    not_run(
        "the source bpf",
        "this kernel refuses BPF trampolines; run it in a virtual machine",
    );
    None
}

#[test]
fn auto_gives_a_source_and_says_why() {
    let Some(place) = Place::new("hello=0") else {
        return;
    };
    let mut loader = place.start();
    loader.until("ready source=");
    loader.stop();
    let (status, log) = loader.end();
    assert_eq!(status, 0, "{log}");
    assert!(log.contains(" serves: "), "{log}");
}

#[test]
fn each_process_has_only_the_privileges_it_needs() {
    let Some(place) = Place::new("status files environment hello=2 sync") else {
        return;
    };
    let mut loader = place.start();
    let lines = loader.until("synced 79");
    let uid = User::from_name("nobody")
        .unwrap()
        .expect("every system has it")
        .uid;
    let has = |start: &str| {
        lines
            .iter()
            .find(|line| line.starts_with(start))
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(has("Uid:"), format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            has(set).ends_with("0000000000000004"),
            "CAP_DAC_READ_SEARCH alone: {}",
            has(set)
        );
    }
    assert!(has("NoNewPrivs:").ends_with('1'));
    assert!(
        has("Groups:").trim_end().ends_with("Groups:"),
        "{:?}",
        has("Groups:")
    );
    assert!(has("SigBlk:").ends_with("0000000000000000"));
    // Its own reading of the directory is descriptor 4.
    let files = lines
        .iter()
        .filter(|line| line.starts_with("file "))
        .count();
    assert_eq!(
        files, 5,
        "only the standard three and the channel: {lines:#?}"
    );
    let variables: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("variable "))
        .collect();
    assert!(
        variables.iter().all(|name| ["PATH", "LANG"].contains(name)),
        "{variables:?}"
    );
    let pid = loader.child.id().to_string();
    assert_eq!(
        status_of(&pid, "CapEff"),
        "000000c000000000",
        "CAP_BPF and CAP_PERFMON"
    );
    assert_eq!(status_of(&pid, "CapPrm"), "000000c000000000");
    assert_eq!(status_of(&pid, "CapBnd"), "0000000000000000");
    assert_eq!(
        (status_of(&pid, "Seccomp"), status_of(&pid, "NoNewPrivs")),
        ("2".to_owned(), "1".to_owned())
    );
    loader.stop();
    assert_eq!(loader.end().0, 0);
}

/// The process below the loader that marks file systems: it alone has `CAP_SYS_ADMIN`.
fn marker_of(loader: u32) -> Option<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.map(|it| it.file_name().to_string_lossy().into_owned());
    let numbers = pids.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
    let mut markers = numbers.filter(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains(&format!("\nPPid:\t{loader}\n"))
            && status.contains("\nCapEff:\t0000000000200004\n")
    });
    markers.next()
}

#[test]
fn the_marker_marks_file_systems_and_can_do_nothing_else() {
    let Some(place) = Place::new("hello=2 marks sync hang") else {
        return;
    };
    let mut loader = place.start();
    let lines = loader.until("synced 79");
    let answers: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("marker "))
        .collect();
    let [changes, no_changes, again, unknown, without, path, nothing] = answers[..] else {
        panic!("{lines:#?}");
    };
    // A file system that takes no such mark, or a kernel that has not all kinds, refuses both.
    if changes == "changes: 0" {
        assert_eq!(
            (no_changes, again),
            ("no changes: 0", "no changes again: 2")
        );
    }
    assert_eq!(unknown, "an unknown kind: 22");
    assert_eq!((without, path), ("no descriptor: 9", "only a path: 9"));
    assert_eq!(nothing, "nothing: 0");
    let marker = marker_of(loader.child.id()).expect("it runs");
    for (field, value) in [
        ("CapPrm", "0000000000200004"),
        ("CapBnd", "0000000000000000"),
        ("CapInh", "0000000000000000"),
        ("Seccomp", "2"),
        ("NoNewPrivs", "1"),
    ] {
        assert_eq!(status_of(&marker, field), value, "{field}");
    }
    let descriptors = std::fs::read_dir(format!("/proc/{marker}/fd")).unwrap();
    assert_eq!(
        descriptors.count(),
        5,
        "the standard three, its group and its socket"
    );
    // However the loader ends, it does: it holds the group.
    loader.child.kill().unwrap();
    loader.child.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while Path::new(&format!("/proc/{marker}")).exists() {
        assert!(Instant::now() < end, "it lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nonsense_drops_the_analyzer_and_it_is_started_again_at_most_five_times() {
    for step in ["garbage", "long", "early", "hello=9", "hello=0 hello=0"] {
        let Some(place) = Place::new(&format!("{step} hang")) else {
            return;
        };
        let (status, log) = place.start().end();
        assert_eq!(status, 70, "{step}: {log}");
        assert_eq!(log.matches("is dropped: ").count(), 6, "{step}: {log}");
        assert!(place.pins().is_empty(), "{step}");
    }
}

#[test]
fn a_crashed_analyzer_is_started_again_and_a_configuration_error_is_passed_on() {
    let Some(place) = Place::new("crash") else {
        return;
    };
    let (status, log) = place.start().end();
    assert_eq!(
        (status, log.matches("is started again").count()),
        (70, 5),
        "{log}"
    );
    std::fs::write(place.path("script"), "hello=0 exit=78").unwrap();
    let (status, log) = place.start().end();
    assert_eq!(
        (status, log.matches("is started again").count()),
        (78, 0),
        "{log}"
    );
    assert!(!place.path("bpf/fimk").exists());
}

#[test]
fn an_analyzer_that_does_not_end_is_killed_after_ten_seconds() {
    let Some(place) = Place::new("hello=0 hang") else {
        return;
    };
    let mut loader = place.start();
    loader.until("ready");
    let began = Instant::now();
    loader.stop();
    let (status, log) = loader.end();
    assert_eq!(status, 70, "{log}");
    assert!((9..20).contains(&began.elapsed().as_secs()), "{log}");
    assert!(place.pins().is_empty());
}

#[test]
fn a_second_instance_is_refused_and_a_killed_one_leaves_nothing_that_hinders() {
    let Some(place) = Place::new("hello=0") else {
        return;
    };
    let mut first = place.start();
    first.until("ready");
    let (status, log) = place.start().end();
    assert_eq!(status, 75, "{log}");
    assert!(log.contains("another fimk-loader uses"), "{log}");
    first.child.kill().unwrap();
    first.until("end");
    first.child.wait().unwrap();
    assert!(!place.pins().is_empty(), "a killed loader cannot unpin");
    let mut second = place.start();
    second.until("ready");
    second.stop();
    let (status, log) = second.end();
    assert_eq!(status, 0, "{log}");
    assert!(
        log.contains("of a loader that is gone are taken over"),
        "{log}"
    );
}

#[test]
fn keep_leaves_the_pins() {
    let Some(place) = Place::new("hello=0") else {
        return;
    };
    let mut command = place.command();
    command.arg("--keep");
    let mut loader = Loader::from(command);
    loader.until("ready");
    loader.stop();
    assert_eq!(loader.end().0, 0);
    assert!(place.pins().contains(&"actors".to_owned()));
    let mode = std::fs::metadata(place.path("bpf/fimk/actors"))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn directories_are_made_for_the_user_and_what_is_not_safe_is_refused() {
    let Some(place) = Place::new("hello=0") else {
        return;
    };
    let mut loader = place.start();
    loader.until("ready");
    loader.stop();
    assert_eq!(loader.end().0, 0);
    let state = std::fs::metadata(place.path("state")).unwrap();
    let nobody = User::from_name("nobody")
        .unwrap()
        .expect("every system has it");
    assert_eq!(
        (state.mode() & 0o7777, state.uid()),
        (0o700, nobody.uid.as_raw())
    );

    std::fs::remove_dir(place.path("state")).unwrap();
    std::os::unix::fs::symlink("/etc", place.path("state")).unwrap();
    let (status, log) = place.start().end();
    assert_eq!(status, 74, "{log}");
    assert_ne!(
        std::fs::metadata("/etc").unwrap().uid(),
        nobody.uid.as_raw()
    );

    std::fs::remove_file(place.path("state")).unwrap();
    std::fs::create_dir(place.path("state")).unwrap();
    std::fs::write(place.path("state/precious"), "").unwrap();
    let (status, log) = place.start().end();
    assert_eq!(status, 74, "{log}");
    assert!(log.contains("root's and not empty"), "{log}");
    assert!(place.pins().is_empty());
}

#[test]
fn each_wrong_start_has_its_status_and_one_sentence() {
    let Some(place) = Place::new("hello=0") else {
        return;
    };
    let with = |flag: &str, value: &str| {
        let mut command = place.command();
        command.arg(format!("{flag}={value}"));
        // The last of two is refused as a usage error, so build the line anew without the first.
        let mut line: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        if let Some(at) = line.iter().position(|word| word == flag) {
            line.drain(at..at + 2);
        }
        let mut command = Command::new(command.get_program());
        command
            .args(line)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Loader::from(command).end()
    };
    for (flag, value, expected) in [
        ("--user", "no-such-user-of-fimk", 67),
        ("--user", "root", 64),
        ("--source", "kprobe", 64),
        ("--pin-dir", "/run/fimk-no-bpf", 69),
        ("--pin-dir", "/nonexistent/fimk", 74),
        ("--analyzer", "/nonexistent", 70),
    ] {
        let (status, log) = with(flag, value);
        assert_eq!(status, expected, "{flag} {value}: {log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
    assert!(!Path::new("/run/fimk-no-bpf").exists());
}
