//! What is limited: how much the kernel watches, what that costs it, and what happens beyond.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use fimk_tests::{
    Event, Expect, Monitor, Ran, Site, append_line, attempt, not_run, rule, run, text,
};

/// The least that can be configured.
const FEW: u32 = 1_024;

/// As many files as a user makes to fill that, and some.
const FLOOD: u32 = 1_500;

/// With no word on the room there is to be.
fn usual(site: &Site) -> String {
    let config = rule(&[&site.files()]);
    let at = config.find("[[rule]]").expect("there is a rule");
    config[at..].to_owned()
}

#[test]
fn the_maps_take_no_more_than_64_mib_of_the_kernel_by_default_and_all_are_told() {
    let site = Site::new();
    site.write("one", "one\n");
    let monitor = site.launch(&usual(&site)).spawn();
    let started = monitor.await_start();
    let status = site.status();
    let bytes = started.number("fimk.counts.kernel_map_bytes");
    assert_eq!(status["kernel"]["map_bytes"].as_u64(), bytes);
    assert!(
        bytes.is_some_and(|bytes| bytes > 0 && bytes <= 64 << 20),
        "{bytes:?}"
    );
    if monitor.is_bpf() {
        assert_eq!(started.number("fimk.counts.objects_max"), Some(262_144));
        assert_eq!(status["objects"]["limit"], 262_144);
        assert!(bytes > Some(30 << 20), "{bytes:?} cannot be all");
    }
    println!("kernel memory of all maps: {bytes:?} bytes");
    monitor.stop();
}

#[test]
fn room_for_fewer_or_more_objects_can_be_asked_for() {
    let site = Site::new();
    let config = |objects: u32| format!("objects_max = {objects}\n{}", usual(&site));
    let bytes = [FEW, 65_536].map(|objects| {
        let monitor = site.start(&config(objects));
        let status = site.status();
        if monitor.is_bpf() {
            assert_eq!(status["objects"]["limit"], objects);
        }
        let bpf = monitor.is_bpf();
        monitor.stop();
        (bpf, status["kernel"]["map_bytes"].as_u64())
    });
    assert!(!bytes[0].0 || bytes[0].1 < bytes[1].1, "{bytes:?}");
}

#[test]
fn room_beyond_the_limits_is_refused() {
    let site = Site::new();
    for objects in [FEW - 1, (1 << 20) + 1] {
        let config = format!("objects_max = {objects}\n{}", usual(&site));
        let words = ["objects_max", "from 1024 to 1048576"];
        site.launch(&config).refused().assert(78, &words);
    }
}

/// Somebody without any privilege.
fn as_nobody(script: &str, argument: &Path) -> Ran {
    let privileges = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let arguments = [&privileges[..], &["sh", "-c", script, text(argument)]].concat();
    attempt("setpriv", &arguments)
}

/// A directory that is open to everybody, which is watched beside a named file and a directory of root's.
fn scene(site: &Site) -> String {
    let open = site.file("open");
    fs::create_dir(&open).expect("it is ours");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let named = site.write("some/named", "one\n");
    site.write("system/old", "one\n");
    let of = |name: &str, path: &Path| {
        format!("[[rule]]\nname = {name:?}\npaths = [{:?}]\n", text(path))
    };
    format!(
        "objects_max = {FEW}\nscan_interval_s = 2\n{}{}{}",
        of("open", &open),
        of("named", &named),
        of("system", &site.file("system"))
    )
}

/// What shell appends this to the file, and the event that says so at once.
fn is_told_at_once(monitor: &Monitor, path: &Path, line: &str) {
    let shell = append_line(path, line);
    let told = Expect::any_of(&["modified", "created"]).of(path).by(&shell);
    monitor.expect(told.field("fimk.detected_by", "event").adds(line));
}

#[test]
fn a_user_who_fills_the_watch_map_takes_nothing_from_named_files_nor_from_root() {
    let site = Site::new();
    let config = scene(&site);
    let monitor = site.start(&config);
    if !monitor.is_bpf() {
        monitor.stop();
        not_run("filling the watch map", "only the source bpf has one");
        return;
    }
    let flood = format!("cd \"$0\" && for i in $(seq {FLOOD}); do echo $i >$i; done");
    assert!(
        as_nobody(&flood, &site.file("open")).succeeded,
        "it may write there"
    );
    let lost = Expect::action("events_lost");
    monitor.expect(lost.and("watch_map_full".to_owned(), |event| {
        event.number("fimk.counts.watch_map_full") > Some(0)
    }));
    monitor.expect(
        Expect::action("degraded").and("says what to do".to_owned(), |event| {
            event
                .text("message")
                .is_some_and(|text| text.contains("objects_max"))
        }),
    );

    let named = site.file("some/named");
    is_told_at_once(&monitor, &named, "two");
    site.replace(&named, "one\ntwo\nthree\n");
    monitor.expect(Expect::action("modified").of(&named).adds("three"));
    is_told_at_once(&monitor, &named, "four");
    run("rm", &[&named]);
    monitor.expect(Expect::action("deleted").of(&named));
    run("sh", &["-c", "echo five >\"$0\"", text(&named)]);
    monitor.expect(Expect::action("created").of(&named));
    is_told_at_once(&monitor, &named, "six");

    is_told_at_once(&monitor, &site.file("system/old"), "two");
    let new = site.write("system/new", "one\n");
    monitor.expect(Expect::action("created").of(&new));
    is_told_at_once(&monitor, &new, "two");

    let beyond = site.file(&format!("open/{FLOOD}"));
    append_line(&beyond, "changed");
    monitor.expect(
        Expect::action("modified")
            .of(&beyond)
            .field("fimk.detected_by", "scan"),
    );
    let status = site.status();
    assert!(status["objects"]["refused"].as_u64() > Some(0), "{status}");
    let problems = status["problems"].as_array().cloned().unwrap_or_default();
    assert!(
        problems.iter().any(|problem| problem["code"] == "full"),
        "{status}"
    );
    monitor.stop();
}

#[test]
fn pins_with_other_room_are_replaced_and_those_with_the_same_are_taken_over() {
    let site = Site::new();
    let config = |objects: u32| format!("objects_max = {objects}\n{}", usual(&site));
    let first = site.start(&config(FEW));
    if !first.is_bpf() {
        first.stop();
        not_run(
            "pins with other room",
            "only the source bpf has a watch map",
        );
        return;
    }
    first.kill9();
    let second = site.start(&config(FEW));
    second.expect_logged("are taken over");
    second.kill9();
    let path = site.write("between", "one\n");
    let third = site.start(&config(2 * FEW));
    third.expect_logged("have room for another number of objects");
    assert_eq!(site.status()["objects"]["limit"], 2 * FEW);
    third.expect(Expect::action("created").of(&path));
    is_told_at_once(&third, &path, "two");
    third.stop();
}

/// More names than `names_max`, made one by one while fimk watches.
#[test]
fn names_that_come_one_by_one_are_bounded_counted_and_told_and_what_is_known_stays_watched() {
    const NAMES_MAX: u32 = 1_000;
    let site = Site::new();
    let kept = site.write("kept", "one\n");
    fs::create_dir(site.file("a")).expect("it is ours");
    let config = rule(&[&site.files()]);
    let monitor = site.start(&format!("names_max = {NAMES_MAX}\n{config}"));
    let script = "for i in $(seq \"$1\"); do : >\"$0/$i\"; done";
    let count = (NAMES_MAX + 100).to_string();
    run("sh", &["-c", script, text(&site.file("a")), &count]);
    let told = |event: &Event| {
        let message = event.text("message").unwrap_or_default();
        message.contains("names_max is reached")
    };
    monitor.expect(Expect::action("degraded").and("names_max".to_owned(), told));
    // Each of them is told of all the same.
    for number in [1, NAMES_MAX + 100] {
        let path = site.file(&format!("a/{number}"));
        monitor.expect(Expect::action("created").of(&path));
    }
    let objects = &site.status()["objects"];
    assert!(
        objects["watched"].as_u64() <= Some(NAMES_MAX.into()),
        "{objects}"
    );
    assert!(objects["left_out"].as_u64() >= Some(100), "{objects}");
    let shell = append_line(&kept, "two");
    monitor.expect(Expect::action("modified").of(&kept).by(&shell).adds("two"));
    monitor.stop();
}
