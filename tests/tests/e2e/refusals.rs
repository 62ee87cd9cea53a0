//! What cannot be started says so in one sentence and with its own exit status, and leaves nothing behind.

use std::{fs, os::unix::fs::symlink, path::Path};

use fimk_tests::{Expect, Site, append_line, rule, run, text};

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let site = Site::new();
    let config = rule(&[&site.files()]).replacen("paths =", "recursiv = true\npaths =", 1);
    site.launch(&config)
        .refused()
        .assert(78, &["recursiv", "recursive", ":5:"]);
}

#[test]
fn a_configuration_that_is_no_toml_is_refused() {
    let site = Site::new();
    site.launch("[[rule]\nname = \n")
        .refused()
        .assert(78, &["1"]);
}

#[test]
fn a_missing_configuration_is_refused() {
    let site = Site::new();
    let mut launch = site.launch("");
    launch.config = site.outside("none.toml");
    launch.refused().assert(78, &["none.toml"]);
}

#[test]
fn a_rule_on_proc_is_refused() {
    let site = Site::new();
    site.launch(&rule(&["/proc".as_ref()]))
        .refused()
        .assert(78, &["/proc"]);
}

#[test]
fn pins_that_would_lie_outside_a_bpf_file_system_are_refused() {
    let site = Site::new();
    let mut launch = site.launch(&rule(&[&site.files()]));
    launch.pins = site.outside("pins");
    launch.refused().assert(69, &["BPF file system", "mount"]);
    assert!(!site.outside("pins").exists(), "nothing half-started");
}

/// Runs a program in a mount namespace in which the kernel shows no BTF.
fn without_btf() -> Vec<String> {
    let script = "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"";
    ["unshare", "-m", "--", "sh", "-c", script]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn without_btf_the_bpf_source_is_refused() {
    let site = Site::new();
    let mut launch = site.launch(&format!("source = \"bpf\"\n{}", rule(&[&site.files()])));
    launch.under = without_btf();
    launch.refused().assert(69, &["no BTF", "--source auto"]);
}

#[test]
fn without_btf_changes_are_still_reported_and_nobody_is_blamed() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let mut launch = site.launch(&rule(&[&site.files()]));
    launch.under = without_btf();
    let monitor = launch.spawn();
    let started = monitor.expect(Expect::action("monitor_started"));
    assert_eq!(started.text("fimk.source"), Some("fanotify"));
    append_line(&path, "two");
    let event = monitor.expect(Expect::action("modified").of(&path).adds("two"));
    assert_eq!(event.get("process.executable"), None, "{event:?}");
    monitor.stop();
}

#[test]
fn an_unknown_user_is_refused() {
    let site = Site::new();
    let mut launch = site.launch(&rule(&[&site.files()]));
    launch.user = "fimk-nobody-of-this-name".to_owned();
    launch.refused().assert(67, &["fimk-nobody-of-this-name"]);
}

#[test]
fn without_root_it_is_refused() {
    let site = Site::new();
    let mut launch = site.launch(&rule(&[&site.files()]));
    // Where the build lies, nobody may not be able to look.
    let copy = site.outside("fimk-loader");
    fs::copy(&launch.loader, &copy).expect("it is ours");
    launch.loader = copy;
    launch.under = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
    ]
    .map(str::to_owned)
    .to_vec();
    launch.refused().assert(77, &["root"]);
}

#[test]
fn a_second_instance_on_the_same_pins_is_refused_and_the_first_goes_on() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let config = rule(&[&site.files()]);
    let first = site.start(&config);
    let mut launch = site.launch(&config);
    launch.state = site.outside("state2");
    launch.run = site.outside("run2");
    let mut second = launch.spawn();
    assert_eq!(second.await_exit().code(), Some(75), "{}", second.account());
    let shell = append_line(&path, "two");
    first.expect(Expect::action("modified").of(&path).by(&shell));
    first.stop();
}

#[test]
fn a_second_instance_on_the_same_state_is_refused_and_the_first_goes_on() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let config = rule(&[&site.files()]);
    let first = site.start(&config);
    let mut launch = site.launch(&config);
    launch.pins = site.other_pins();
    launch.run = site.outside("run2");
    launch.refused().assert(75, &[]);
    let shell = append_line(&path, "two");
    first.expect(Expect::action("modified").of(&path).by(&shell));
    first.stop();
}

#[test]
fn two_instances_with_directories_of_their_own_run_side_by_side() {
    let (one, two) = (Site::new(), Site::new());
    let (first, second) = (one.watch(), two.watch());
    for (site, monitor) in [(&one, &first), (&two, &second)] {
        let path = site.file("new");
        let shell = run("sh", &["-c", "echo x > \"$0\"", text(&path)]);
        monitor.expect(Expect::action("created").of(&path).by(&shell));
    }
    first.stop();
    second.stop();
}

fn manifests(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(manifests(&entry.path()));
        } else if entry.file_name().to_string_lossy().starts_with("MANIFEST-") {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    let site = Site::new();
    let config = rule(&[&site.files()]);
    site.start(&config).stop();
    let manifests = manifests(&site.state());
    assert!(
        !manifests.is_empty(),
        "the database lies below the state directory"
    );
    for manifest in &manifests {
        fs::write(manifest, "this is no database").expect("tests run as root");
    }
    site.launch(&config)
        .refused()
        .assert(74, &[text(&site.state())]);
    for manifest in &manifests {
        assert_eq!(
            fs::read(manifest).expect("it is still there"),
            b"this is no database"
        );
    }
}

#[test]
fn a_state_directory_of_somebody_else_is_refused() {
    let site = Site::new();
    fs::create_dir(site.state()).expect("it is ours");
    run("chown", &["12345:12345", text(&site.state())]);
    let refusal = site.launch(&rule(&[&site.files()])).refused();
    assert!(
        [Some(74), Some(77)].contains(&refusal.status),
        "{refusal:?}"
    );
}

/// A rule on this path either works or is refused as configuration, in a sentence that names it; it never hangs.
fn neither_hangs_nor_crashes(site: &Site, path: &Path) {
    let mut monitor = site.launch(&rule(&[path])).spawn();
    match monitor.await_start_or_exit() {
        None => drop(monitor.stop()),
        Some(status) => {
            assert_eq!(status, 78, "{}", monitor.account());
            assert!(
                monitor.errors().contains(text(path)),
                "{}",
                monitor.account()
            );
            monitor.assert_no_pin();
        }
    }
}

#[test]
fn a_rule_on_a_fifo_does_not_hang() {
    let site = Site::new();
    let path = site.file("fifo");
    run("mkfifo", &[&path]);
    neither_hangs_nor_crashes(&site, &path);
}

#[test]
fn a_rule_on_a_device_does_not_read_it() {
    let site = Site::new();
    neither_hangs_nor_crashes(&site, Path::new("/dev/zero"));
}

#[test]
fn a_rule_on_a_loop_of_links_does_not_hang() {
    let site = Site::new();
    let (one, two) = (site.file("one"), site.file("two"));
    symlink(&two, &one).expect("it is ours");
    symlink(&one, &two).expect("it is ours");
    neither_hangs_nor_crashes(&site, &one);
}

#[test]
fn a_rule_on_an_endless_file_does_not_hang() {
    let site = Site::new();
    let path = site.file("endless");

    run("truncate", &["--size=1T", text(&path)]);
    neither_hangs_nor_crashes(&site, &path);
}

#[test]
fn odd_objects_in_a_watched_directory_do_not_disturb() {
    let site = Site::new();
    run("mkfifo", &[site.file("fifo")]);
    run("mknod", &[text(&site.file("zero")), "c", "1", "5"]);
    symlink("loop", site.file("loop")).expect("it is ours");
    run("truncate", &["--size=1T", text(&site.file("endless"))]);
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    monitor.stop();
}

#[test]
fn the_packaged_configuration_is_accepted() {
    let site = Site::new();
    let monitor = site.start(include_str!("../../../packaging/fimk.toml"));
    monitor.stop();
}
