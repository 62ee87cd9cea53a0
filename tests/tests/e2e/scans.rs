//! The first baseline and the comparison at a start: how far they are, and what becomes of them when they are cut short.

use std::{
    fs,
    os::unix::fs::{FileExt as _, lchown, symlink},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{Disk, Expect, Monitor, Site, append_line, deadline, rule, run};
use serde_json::Value;

/// Of each file. At a mebibyte a second four are read in that time.
const FILE_BYTES: usize = 256 << 10;
const FILES: usize = 24;

/// Nobody, as Debian numbers it.
const NOBODY: u32 = 65534;

const SECRET: &str = "what-only-root-may-read";

/// Asks until the scan has come so far.
fn await_scan(site: &Site, monitor: &Monitor, done: u64) -> Value {
    let end = Instant::now() + deadline();
    loop {
        let answer = site.status();
        if answer["scan"]["done"].as_u64().is_some_and(|it| it >= done) {
            return answer;
        }
        assert!(
            Instant::now() < end && !is_started(monitor),
            "the scan did not come to {done}: {answer}\n{}",
            monitor.account()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_started(monitor: &Monitor) -> bool {
    let events = monitor.events();
    events.iter().any(|it| it.action() == "monitor_started")
}

#[test]
fn a_killed_baseline_goes_on_where_it_was_and_a_swapped_directory_is_not_followed() {
    let site = Site::new();
    let line = "as it was in the beginning\n";
    let text = line.repeat(FILE_BYTES / line.len());
    for number in 0..FILES {
        site.write(&format!("file{number:02}"), &text);
    }
    let first = site.file("file00");
    let harmless = site.write("file12-swapped/private", "harmless\n");
    let swapped = harmless.parent().expect("it has one");
    let elsewhere = site.outside("elsewhere");
    fs::create_dir(&elsewhere).expect("it is ours");
    fs::write(elsewhere.join("private"), SECRET).expect("it is ours");

    let config = rule(&[&site.files()]);
    let slow = format!("scan_bytes_per_s = {}\ncpu_quota = 100\n{config}", 1 << 20);
    let monitor = site.launch(&slow).spawn();
    let answer = await_scan(&site, &monitor, 4);
    assert_eq!(answer["state"], "starting");
    assert_eq!(answer["scan"]["kind"], "baseline");
    assert!(
        answer["scan"]["of"].as_u64() > Some(FILES as u64),
        "{answer}"
    );
    // Known by its name since the walk, and not read yet.
    fs::rename(swapped, site.outside("moved")).expect("it is ours");
    symlink(&elsewhere, swapped).expect("it is ours");
    lchown(swapped, Some(NOBODY), Some(NOBODY)).expect("this is root");
    await_scan(&site, &monitor, 18);
    let raw = monitor.raw();
    monitor.kill9();
    append_line(&first, "changed while nobody watched");

    let monitor = site.start(&config);
    let baseline = monitor.expect(Expect::action("baseline_created"));
    let count = |name: &str| baseline.number(&format!("fimk.counts.{name}"));
    assert!(count("resumed") >= Some(10), "{baseline:?}");
    assert!(count("objects") > count("resumed"), "{baseline:?}");
    let mut wanted = Expect::action("modified")
        .of(&first)
        .adds("changed while nobody watched");
    if !monitor.is_bpf() {
        // With BPF the kernel watched.
        wanted = wanted.field("fimk.detected_by", "scan");
    }
    monitor.expect(wanted);
    let events = monitor.stop();
    let told = events.iter().filter(|it| it.action() == "modified");
    assert_eq!(
        told.count(),
        1,
        "nothing else is called changed: {events:?}"
    );
    for bytes in [raw, site.state_bytes()] {
        let found = bytes
            .windows(SECRET.len())
            .any(|it| it == SECRET.as_bytes());
        assert!(!found, "a user's link led to what is root's");
    }
}

#[test]
fn another_hash_is_no_change_and_each_is_told_in_a_field_of_its_own() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let quiet = site.write("quiet", "one\n");
    let config = rule(&[&site.files()]);
    site.start(&config).stop();

    let other = format!("hash = [\"blake3\", \"md5\"]\n{config}");
    let monitor = site.start(&other);
    let shell = append_line(&path, "two");
    // What b3sum and md5sum say of "one\ntwo\n".
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("two")
            .without("file.hash.sha256")
            .field("file.hash.md5", MD5)
            .field("fimk.hash.blake3", BLAKE3),
    );
    let events = monitor.stop();
    let quiet = quiet.to_str();
    let told = events.iter().any(|it| it.text("file.path") == quiet);
    assert!(!told, "{events:?}");
}

const MD5: &str = "2094b601daac3d68f5aed51d3c20f7cd";
const BLAKE3: &str = "04d2649eb72531af4fa85b201f6610814cb48e8ffb171b64bea1be6051ee8ba5";

#[test]
fn what_was_changed_below_the_file_system_is_found_when_its_rule_is_compared() {
    const BEFORE: &[u8] = b"what the file system wrote";
    const AFTER: &[u8] = b"what nobody has seen happen";
    let site = Site::new();
    let (image, point) = (site.outside("image"), site.file("disk"));
    let Some(_disk) = Disk::of_image(&image, &point, "a change below the file system") else {
        return;
    };
    let file = point.join("file");
    fs::write(&file, BEFORE.repeat(400)).expect("it is ours");
    run::<&str>("sync", &[]);
    let interval = "compare_interval_s = 1\n[[output]]";
    let config = rule(&[&file]).replace("[[output]]", interval);
    let monitor = site.start(&config);
    let disk = fs::File::options().read(true).write(true).open(&image);
    let disk = disk.expect("it is ours");
    let bytes = fs::read(&image).expect("it is ours");
    let at = bytes.windows(BEFORE.len()).position(|it| it == BEFORE);
    let at = u64::try_from(at.expect("it is there")).expect("it is small");
    disk.write_all_at(&AFTER[..BEFORE.len()], at)
        .expect("it is ours");
    // What the kernel remembers of the file is forgotten, as when it needs the memory.
    fs::write("/proc/sys/vm/drop_caches", "1").expect("tests run as root");
    let found = Expect::action("modified").of(&file).without("process");
    monitor.expect(found.field("fimk.content", "changed"));
    monitor.stop();
}
