//! File systems that fanotify marks as a whole: what is told of them, which they are, and that they tell of their errors.

use std::{
    fs,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{
    Event, Expect, Launch, Monitor, Ran, Site, append_line, attempt, deadline, descendants,
    not_run, rule, run, text,
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// A file system of its own; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(point: &Path) -> Self {
        fs::create_dir_all(point).expect("it is ours");
        run("mount", &["-t", "tmpfs", "none", text(point)]);
        Self(point.to_owned())
    }

    fn unmount(self) {
        run("umount", &[&self.0]);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        attempt("umount", &["-l", text(&self.0)]);
    }
}

/// How fanotify is to mark.
const AUTO: &str = "";
const ALWAYS: &str = "fanotify_marks = \"filesystem\"\n";

fn watch(site: &Site, settings: &str, rules: &str) -> Monitor {
    started(&site.launch(&config(settings, rules)))
}

fn config(settings: &str, rules: &str) -> String {
    format!("source = \"fanotify\"\n{settings}{rules}")
}

fn started(launch: &Launch) -> Monitor {
    let mut monitor = launch.spawn();
    assert_eq!(monitor.await_start_or_exit(), None);
    monitor
}

/// What the status says of the mount at this point.
fn mount_at(site: &Site, point: &Path) -> Value {
    let status = site.status();
    let mounts = status["mounts"].as_array().cloned().unwrap_or_default();
    let mut mounts = mounts.into_iter();
    let found = mounts.find(|mount| mount["path"] == text(point));
    found.unwrap_or_else(|| panic!("{} is no mount of {status}", point.display()))
}

fn marks(site: &Site, point: &Path) -> (String, String) {
    let mount = mount_at(site, point);
    let word = |name: &str| mount[name].as_str().unwrap_or_default().to_owned();
    (word("marks"), word("reason"))
}

/// Whether this kernel marks what is there as a whole. None did before 5.17, where it is told nothing of new directories, or
/// where it has no tmpfs.
fn is_whole(site: &Site, point: &Path, test: &str) -> bool {
    let (marks, reason) = marks(site, point);
    if marks != "filesystem" {
        not_run(test, &reason);
    }
    marks == "filesystem"
}

/// As [`watch`]; none where what is there is not marked as a whole.
fn watch_whole(
    site: &Site,
    settings: &str,
    rules: &str,
    point: &Path,
    test: &str,
) -> Option<Monitor> {
    let monitor = watch(site, settings, rules);
    if is_whole(site, point, test) {
        return Some(monitor);
    }
    monitor.stop();
    None
}

fn await_marks(site: &Site, point: &Path, wanted: &str) -> String {
    let end = Instant::now() + deadline();
    loop {
        let (marks, reason) = marks(site, point);
        if marks == wanted {
            return reason;
        }
        assert!(Instant::now() < end, "{marks}: {reason}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn created(path: &Path, who: &Ran) -> Expect {
    let created = Expect::action("created").of(path).by(who);
    created.field("fimk.detected_by", "event")
}

#[test]
fn what_is_made_in_a_new_directory_at_once_is_told_with_who_made_it() {
    const ROUNDS: usize = 50;
    let test = "what_is_made_in_a_new_directory_at_once_is_told_with_who_made_it";
    let site = Site::new();
    let disk = site.file("disk");
    let _mounted = Mounted::tmpfs(&disk);
    let Some(monitor) = watch_whole(&site, AUTO, &rule(&[&site.files()]), &disk, test) else {
        return;
    };
    let script = format!(
        "cd \"$0\"; i=0; while [ $i -lt {ROUNDS} ]; do mkdir -p d$i/e/f; echo x >d$i/e/f/made; \
         mkdir t$i; echo x >t$i/short; rm -r t$i; mkdir n$i; mv n$i m$i; echo x >m$i/made; i=$((i + 1)); done"
    );
    let shell = run("sh", &["-c", &script, text(&disk)]);
    for round in 0..ROUNDS {
        for made in [format!("d{round}/e/f/made"), format!("m{round}/made")] {
            monitor.expect(created(&disk.join(made), &shell));
        }
        // By another process, which rm is.
        let short =
            Expect::any_of(&["created", "deleted"]).of(&disk.join(format!("t{round}/short")));
        monitor.expect(short.field("fimk.detected_by", "event"));
    }
    monitor.stop();
}

#[test]
fn a_directory_that_is_moved_in_is_known_at_once_and_what_moves_on_is_followed() {
    let test = "a_directory_that_is_moved_in_is_known_at_once";
    let site = Site::new();
    let disk = site.outside("disk");
    let _mounted = Mounted::tmpfs(&disk);
    let watched = disk.join("watched");
    for directory in ["watched", "elsewhere/tree/below"] {
        fs::create_dir_all(disk.join(directory)).expect("it is ours");
    }
    fs::write(disk.join("elsewhere/tree/below/old"), "one\n").expect("it is ours");
    let Some(monitor) = watch_whole(&site, ALWAYS, &rule(&[&watched]), &disk, test) else {
        return;
    };
    let script = "cd \"$0\"; mv elsewhere/tree watched; echo x >watched/tree/made; mv watched/tree watched/moved; \
         echo x >watched/moved/later; exec sh -c 'echo two >>watched/moved/below/old'";
    let shell = run("sh", &["-c", script, text(&disk)]);
    monitor.expect(created(&watched.join("moved/later"), &shell));
    let made = watched.join("moved/made");
    let found = Expect::any_of(&["created", "renamed"]).of(&made);
    monitor.expect(found.with_content_of(&made));
    let old = watched.join("moved/below/old");
    let found = Expect::any_of(&["created", "modified"]).of(&old);
    monitor.expect(found.with_content_of(&old));
    let writer = append_line(&old, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&old)
            .by(&writer)
            .adds("three"),
    );
    monitor.stop();
}

#[test]
fn only_where_rules_cover_all_of_it_a_file_system_is_marked_as_a_whole() {
    let test = "only_where_rules_cover_all_of_it_a_file_system_is_marked_as_a_whole";
    let site = Site::new();
    let (all, part) = (site.file("all"), site.outside("part"));
    let _mounted = [Mounted::tmpfs(&all), Mounted::tmpfs(&part)];
    let covered = part.join("covered");
    fs::create_dir(&covered).expect("it is ours");
    let Some(monitor) = watch_whole(&site, AUTO, &rule(&[&site.files(), &covered]), &all, test)
    else {
        return;
    };
    assert!(marks(&site, &all).1.ends_with("rules cover all of it"));
    let (how, why) = marks(&site, &part);
    assert_eq!(how, "objects");
    assert!(why.ends_with("rules cover a part of it"), "{why}");
    let words = run(site.fimk(), &["status", "--run-dir", text(&site.run_dir())]).output;
    assert!(
        words.contains("one mark tells of the whole, because rules cover all of it"),
        "{words}"
    );
    for directory in [&all, &covered] {
        let path = directory.join("file");
        let writer = append_line(&path, "one");
        monitor.expect(created(&path, &writer));
    }
    monitor.stop();
}

#[test]
fn of_a_whole_file_system_only_what_rules_cover_is_told() {
    let test = "of_a_whole_file_system_only_what_rules_cover_is_told";
    let site = Site::new();
    let disk = site.outside("disk");
    let _mounted = Mounted::tmpfs(&disk);
    let (watched, other) = (disk.join("watched"), disk.join("other"));
    for directory in [&watched, &other] {
        fs::create_dir(directory).expect("it is ours");
    }
    let Some(monitor) = watch_whole(&site, ALWAYS, &rule(&[&watched]), &disk, test) else {
        return;
    };
    assert!(
        marks(&site, &disk)
            .1
            .ends_with("fanotify_marks asks for that")
    );
    let script = "cd \"$0\"; for i in 1 2 3; do mkdir d$i; echo x >d$i/a; ln d$i/a b$i; mv d$i/a c$i; rm -r d$i; done";
    run("sh", &["-c", script, text(&other)]);
    // Under a name that no rule covers, and that was not there at the start.
    let file = watched.join("file");
    let writer = append_line(&file, "one");
    monitor.expect(created(&file, &writer));
    let alias = other.join("alias");
    fs::hard_link(&file, &alias).expect("one file system");
    let writer = append_line(&alias, "two");
    let modified = Expect::action("modified").of(&file).by(&writer).adds("two");
    monitor.expect(modified);
    let events = monitor.stop();
    let strange = |event: &&Event| {
        let path = event.text("file.path").unwrap_or_default();
        Path::new(path).starts_with(&other)
    };
    assert_eq!(events.iter().find(strange).map(Event::action), None);
}

#[test]
fn a_file_system_that_comes_while_fimk_watches_is_marked_as_a_whole_and_one_that_goes_no_more() {
    let test = "a_file_system_that_comes_while_fimk_watches_is_marked_as_a_whole";
    let site = Site::new();
    let disk = site.file("disk");
    fs::create_dir(&disk).expect("it is ours");
    let monitor = watch(&site, AUTO, &rule(&[&site.files()]));
    let told = |action: &str, times: usize| {
        monitor.wait_until(action, |events| {
            events.iter().filter(|it| it.action() == action).count() >= times
        });
    };
    for (at, round) in ["first", "second"].into_iter().enumerate() {
        let mounted = Mounted::tmpfs(&disk);
        told("mounted", at + 1);
        let end = Instant::now() + deadline();
        while marks(&site, &disk).0 != "filesystem" && Instant::now() < end {
            if marks(&site, &disk).1.contains("refuses") {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        if !is_whole(&site, &disk, test) {
            break;
        }
        let script = "mkdir -p \"$0/a/b\"; echo x >\"$0/a/b/$1\"";
        let shell = run("sh", &["-c", script, text(&disk), round]);
        monitor.expect(created(&disk.join("a/b").join(round), &shell));
        mounted.unmount();
        told("unmounted", at + 1);
    }
    let beneath = disk.join("beneath");
    let writer = append_line(&beneath, "one");
    monitor.expect(created(&beneath, &writer));
    monitor.stop();
}

#[test]
fn a_whole_that_tells_of_too_much_else_is_marked_object_by_object() {
    let test = "a_whole_that_tells_of_too_much_else_is_marked_object_by_object";
    let site = Site::new();
    let disk = site.file("disk");
    let _mounted = Mounted::tmpfs(&disk);
    let (kept, noise) = (disk.join("kept"), disk.join("noise"));
    for directory in [&kept, &noise] {
        fs::create_dir(directory).expect("it is ours");
    }
    let excluding = format!("exclude = [{:?}]\n[[output]]", text(&noise));
    let rules = rule(&[&site.files()]).replacen("[[output]]", &excluding, 1);
    let Some(monitor) = watch_whole(&site, AUTO, &rules, &disk, test) else {
        return;
    };
    // Each is an event at least: a name that comes, and one that goes, unless the kernel merges them.
    for number in 0..80_000 {
        let path = noise.join(number.to_string());
        fs::write(&path, "x").expect("it is ours");
        fs::remove_file(&path).expect("it is ours");
    }
    let why = await_marks(&site, &disk, "objects");
    assert!(
        why.contains("events in") && why.ends_with("of nothing watched"),
        "{why}"
    );
    let path = kept.join("file");
    let writer = append_line(&path, "one");
    monitor.expect(created(&path, &writer));
    let below = kept.join("new/file");
    run(
        "sh",
        &["-c", "mkdir \"${0%/*}\"; echo x >\"$0\"", text(&below)],
    );
    monitor.expect(Expect::action("created").of(&below).with_content_of(&below));
    let lost = |event: &&Event| event.action() == "events_lost";
    assert_eq!(monitor.stop().iter().filter(lost).count(), 0);
}

#[test]
fn rules_that_no_longer_cover_all_of_it_have_it_marked_object_by_object() {
    let test = "rules_that_no_longer_cover_all_of_it_have_it_marked_object_by_object";
    let site = Site::new();
    let disk = site.file("disk");
    let _mounted = Mounted::tmpfs(&disk);
    let part = disk.join("part");
    fs::create_dir(&part).expect("it is ours");
    let of = |rules: &str| config(AUTO, rules);
    let launch = site.launch(&of(&rule(&[&site.files()])));
    let monitor = started(&launch);
    if !is_whole(&site, &disk, test) {
        monitor.stop();
        return;
    }
    for (paths, how) in [(vec![&*part], "objects"), (vec![&*disk], "filesystem")] {
        fs::write(&launch.config, of(&rule(&paths))).expect("it is ours");
        monitor.signal(Signal::SIGHUP);
        await_marks(&site, &disk, how);
        let path = part.join(how);
        let writer = append_line(&path, "one");
        monitor.expect(created(&path, &writer));
    }
    let lost = |event: &&Event| event.action() == "events_lost";
    assert_eq!(monitor.stop().iter().filter(lost).count(), 0);
}

#[test]
fn the_next_analyzer_marks_file_systems_anew() {
    let test = "the_next_analyzer_marks_file_systems_anew";
    let site = Site::new();
    let disk = site.file("disk");
    let _mounted = Mounted::tmpfs(&disk);
    let Some(monitor) = watch_whole(&site, AUTO, &rule(&[&site.files()]), &disk, test) else {
        return;
    };
    let first = monitor.analyzer_pid().expect("it runs");
    run("kill", &["-KILL", &first.to_string()]);
    monitor.wait_until("another has started", |events| {
        let started = |it: &&Event| it.action() == "monitor_started";
        events.iter().filter(started).count() == 2
    });
    await_marks(&site, &disk, "filesystem");
    let script = "mkdir -p \"$0/a/b\"; echo x >\"$0/a/b/made\"";
    let shell = run("sh", &["-c", script, text(&disk)]);
    monitor.expect(created(&disk.join("a/b/made"), &shell));
    monitor.stop();
}

/// The process that marks: of root's, with these capabilities and no others.
fn marker_below(loader: u32) -> u32 {
    let is_marker = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("\nUid:\t0\t") && status.contains("\nCapEff:\t0000000000200004\n")
    };
    let found = descendants(loader).into_iter().find(is_marker);
    found.expect("it runs")
}

#[test]
fn when_the_marker_is_gone_what_it_marked_is_told_and_what_comes_is_marked_object_by_object() {
    let test = "when_the_marker_is_gone_what_it_marked_is_told";
    let site = Site::new();
    let (before, after) = (site.file("before"), site.file("after"));
    let _before = Mounted::tmpfs(&before);
    let Some(monitor) = watch_whole(&site, AUTO, &rule(&[&site.files()]), &before, test) else {
        return;
    };
    let marker = marker_below(monitor.loader_pid());
    run("kill", &["-KILL", &marker.to_string()]);
    let _after = Mounted::tmpfs(&after);
    let why = await_marks(&site, &after, "objects");
    assert!(why.ends_with("nobody who could mark the whole"), "{why}");
    monitor.expect_logged("that marks file systems does not answer");
    for directory in [&before, &after] {
        let path = directory.join("file");
        let writer = append_line(&path, "one");
        monitor.expect(created(&path, &writer));
    }
    monitor.stop();
}

#[test]
fn what_is_opened_on_a_whole_file_system_is_told_where_a_rule_asks_for_it() {
    let test = "what_is_opened_on_a_whole_file_system_is_told";
    let site = Site::new();
    let disk = site.file("disk");
    let _mounted = Mounted::tmpfs(&disk);
    let path = disk.join("secret");
    fs::write(&path, "one\n").expect("it is ours");
    let rules =
        rule(&[&site.files()]).replacen("[[output]]", "report = [\"opened\"]\n[[output]]", 1);
    let Some(monitor) = watch_whole(&site, AUTO, &rules, &disk, test) else {
        return;
    };
    let reader = run("cat", &[&path]);
    monitor.expect(Expect::action("opened").of(&path).by(&reader));
    monitor.stop();
}

#[test]
fn one_that_is_unmounted_here_and_used_still_costs_no_comparison() {
    let test = "one_that_is_unmounted_here_and_used_still_costs_no_comparison";
    let site = Site::new();
    let disk = site.file("disk");
    let _mounted = Mounted::tmpfs(&disk);
    let Some(monitor) = watch_whole(&site, AUTO, &rule(&[&site.files()]), &disk, test) else {
        return;
    };
    let within = fs::File::open(&disk).expect("it is mounted");
    run("umount", &["-l", text(&disk)]);
    monitor.expect(Expect::action("unmounted").of(&disk));
    for round in ["first", "second", "third"] {
        let made = format!("/proc/self/fd/{}/{round}", within.as_raw_fd());
        fs::create_dir(&made).expect("it is a file system still");
        fs::write(Path::new(&made).join("file"), "x").expect("it is a file system still");
        // What was done before it is told was read before it.
        let path = disk.join(round);
        let writer = append_line(&path, "one");
        monitor.expect(created(&path, &writer));
    }
    let words = "an event named an unknown directory";
    let status = site.status().to_string();
    assert!(!status.contains(words), "{status}");
    assert!(!monitor.errors().contains(words), "{}", monitor.errors());
    monitor.stop();
}

/// ext4 in a file; none where that cannot be made.
fn image(site: &Site, test: &str) -> Option<PathBuf> {
    let image = site.outside("image");
    let file = fs::File::create(&image).expect("it is ours");
    file.set_len(16 << 20).expect("it has no blocks");
    if attempt("mkfs.ext4", &["-q", "-F", text(&image)]).succeeded {
        return Some(image);
    }
    not_run(test, "no ext4 can be made here");
    None
}

fn mounted(image: &Path, point: &Path, test: &str) -> Option<Mounted> {
    fs::create_dir_all(point).expect("it is ours");
    if attempt("mount", &["-o", "loop", text(image), text(point)]).succeeded {
        return Some(Mounted(point.to_owned()));
    }
    not_run(test, "no ext4 can be mounted here");
    None
}

fn ext4(site: &Site, point: &Path, test: &str) -> Option<Mounted> {
    mounted(&image(site, test)?, point, test)
}

/// A copy has the same number, and its objects have the same handles: an event of one could be of either.
#[test]
fn a_copy_of_a_file_system_is_not_taken_for_it() {
    let test = "a_copy_of_a_file_system_is_not_taken_for_it";
    let site = Site::new();
    let Some(image) = image(&site, test) else {
        return;
    };
    let copy = site.outside("copy");
    fs::copy(&image, &copy).expect("there is room");
    let points = ["first", "second"].map(|name| site.file(name));
    let [Some(_first), Some(_second)] = [(&image, &points[0]), (&copy, &points[1])]
        .map(|(image, point)| mounted(image, point, test))
    else {
        return;
    };
    let settings = "scan_interval_s = 1\n";
    let monitor = watch(&site, settings, &rule(&[&site.files()]));
    let sources = |point: &Path| mount_at(&site, point)["sources"].to_string();
    let (compared, told): (Vec<_>, Vec<_>) = points
        .iter()
        .partition(|point| sources(point).contains("periodic"));
    let ([compared], [told]) = (&compared[..], &told[..]) else {
        panic!("{compared:?} and {told:?}");
    };
    let why = mount_at(&site, compared)["reason"].to_string();
    assert!(why.contains("has the same number, as a copy has"), "{why}");
    let path = told.join("file");
    let writer = append_line(&path, "one");
    monitor.expect(created(&path, &writer));
    let path = compared.join("file");
    append_line(&path, "one");
    let found = Expect::action("created").of(&path);
    monitor.expect(found.field("fimk.source", "periodic"));
    monitor.stop();
}

#[test]
fn a_file_system_that_reports_errors_is_told_once_with_their_number() {
    let test = "a_file_system_that_reports_errors_is_told_once_with_their_number";
    let site = Site::new();
    let disk = site.file("disk");
    let Some(_mounted) = ext4(&site, &disk, test) else {
        return;
    };
    let device = run("findmnt", &["-n", "-o", "SOURCE", text(&disk)]).output;
    let device = device
        .trim()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
    let monitor = watch(&site, AUTO, &rule(&[&site.files()]));
    if !mount_at(&site, &disk)["errors"].is_u64() || !Path::new(&trigger).exists() {
        not_run(test, "this kernel tells of no errors of file systems");
        monitor.stop();
        return;
    }
    for _ in 0..3 {
        fs::write(&trigger, "a test").expect("root may have an error reported");
    }
    let point = text(&disk).to_owned();
    let told = Expect::action("degraded").and("of the file system".to_owned(), move |event| {
        let message = event.text("message").unwrap_or_default();
        message.contains(&format!("the file system at {point} reports an error"))
    });
    let event = monitor.expect(told);
    assert!(
        event.number("fimk.counts.file_system_errors") >= Some(1),
        "{event:?}"
    );
    let end = Instant::now() + deadline();
    while mount_at(&site, &disk)["errors"] != 3 {
        assert!(Instant::now() < end, "{}", mount_at(&site, &disk));
        thread::sleep(Duration::from_millis(20));
    }
    let run_dir = site.run_dir();
    let arguments = [
        "status",
        "--format",
        "prometheus",
        "--run-dir",
        text(&run_dir),
    ];
    let metrics = run(site.fimk(), &arguments).output;
    assert!(
        metrics.contains("\nfimk_file_system_errors_total 3\n"),
        "{metrics}"
    );
    // It still tells of changes, and errors of the same minute are one more event at most.
    let path = disk.join("file");
    let writer = append_line(&path, "one");
    monitor.expect(created(&path, &writer));
    let of_errors = |event: &&Event| {
        event
            .text("message")
            .is_some_and(|it| it.contains("reports an error"))
    };
    assert_eq!(monitor.stop().iter().filter(of_errors).count(), 1);
}
