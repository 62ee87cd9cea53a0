//! Names come, go and move.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, thread, time::Duration};

use fimk_tests::{Event, Expect, Monitor, Site, append_line, rule, run, text};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

#[test]
fn a_new_file_is_created_by_its_writer() {
    let site = Site::new();
    let monitor = site.watch();
    let path = site.file("new");
    let shell = run("sh", &["-c", "echo hello > \"$0\"", text(&path)]);
    let event = monitor.expect(Expect::action("created").of(&path).by(&shell));
    assert_eq!(event.text("file.type"), Some("file"));
    monitor.stop();
}

#[test]
fn a_removed_file_is_deleted_by_rm() {
    let site = Site::new();
    let path = site.write("old", "one\n");
    let monitor = site.watch();
    let rm = run("rm", &[&path]);
    monitor.expect(Expect::action("deleted").of(&path).by(&rm));
    monitor.stop();
}

#[test]
fn who_replaces_a_new_file_is_told_to_have_though_both_are_read_together() {
    let site = Site::new();
    let path = site.file("new");
    let [one, two] = ["one", "two"].map(|name| {
        let file = site.outside(name);
        fs::write(&file, name).expect("it is ours");
        file
    });
    let monitor = site.watch();
    let stopped = stop_analyzer(&monitor);
    run("mv", &[&one, &path]);
    let second = run("mv", &[&two, &path]);
    kill(stopped, Signal::SIGCONT).expect("it runs");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&second)
            .field("fimk.replaced", true),
    );
    monitor.stop();
}

#[test]
fn what_was_removed_or_renamed_before_its_directory_moved_is_told_by_the_names_it_had() {
    let site = Site::new();
    let (directory, elsewhere) = (site.file("d"), site.file("e"));
    fs::create_dir(&directory).expect("it is ours");
    let [gone, one] = ["d/gone", "d/one"].map(|name| site.write(name, "text\n"));
    let new_name = directory.join("two");
    let monitor = site.watch();
    let stopped = stop_analyzer(&monitor);
    let remover = run("rm", &[&gone]);
    let renamer = run("mv", &[&one, &new_name]);
    let mover = run("mv", &[&directory, &elsewhere]);
    kill(stopped, Signal::SIGCONT).expect("it runs");
    monitor.expect(Expect::action("deleted").of(&gone).by(&remover));
    monitor.expect(Expect::action("renamed").of(&elsewhere).by(&mover));
    monitor.expect(
        Expect::action("renamed")
            .field("fimk.previous_path", text(&one))
            .by(&renamer),
    );
    monitor.stop();
    finds_nothing_more(&site);
}

#[test]
fn a_removal_is_told_though_another_directory_brings_the_name_back_at_once() {
    let site = Site::new();
    let [first, second, aside] = ["d", "other", "aside"].map(|name| site.file(name));
    for directory in [&first, &second] {
        fs::create_dir(directory).expect("it is ours");
    }
    let gone = site.write("d/f", "text\n");
    site.write("other/f", "text\n");
    let monitor = site.watch();
    let stopped = stop_analyzer(&monitor);
    let remover = run("rm", &[&gone]);
    let first_mover = run("mv", &[&first, &aside]);
    let second_mover = run("mv", &[&second, &first]);
    kill(stopped, Signal::SIGCONT).expect("it runs");
    monitor.expect(Expect::action("deleted").of(&gone).by(&remover));
    monitor.expect(Expect::action("renamed").of(&aside).by(&first_mover));
    monitor.expect(Expect::action("renamed").of(&first).by(&second_mover));
    monitor.stop();
    finds_nothing_more(&site);
}

#[test]
fn a_removal_is_not_told_with_what_another_was_that_had_left_the_name() {
    let site = Site::new();
    let [first, second] = ["a", "b"].map(|name| site.file(name));
    for directory in [&first, &second] {
        fs::create_dir(directory).expect("it is ours");
    }
    let path = site.write("a/f", "old\n");
    let old = inode(&path);
    let (kept, again) = (site.file("kept"), second.join("f"));
    let monitor = site.watch();
    let stopped = stop_analyzer(&monitor);
    let keeper = run("mv", &[&path, &kept]);
    run("mv", &[&first, &site.file("z")]);
    run("sh", &["-c", "echo new >\"$0\"", text(&again)]);
    run("mv", &[&second, &first]);
    let remover = run("rm", &[&path]);
    run("mv", &[&first, &site.file("c")]);
    kill(stopped, Signal::SIGCONT).expect("it runs");
    let event = monitor.expect(Expect::action("deleted").of(&path).by(&remover));
    assert_ne!(event.text("file.inode"), Some(old.as_str()), "{event:?}");
    monitor.expect(
        Expect::action("renamed")
            .of(&kept)
            .by(&keeper)
            .field("file.inode", old),
    );
    monitor.stop();
    finds_nothing_more(&site);
}

#[test]
fn what_is_renamed_is_not_compared_with_what_had_its_name_before() {
    let site = Site::new();
    let path = site.write("f", "old\n");
    let (kept, other) = (site.file("kept"), site.file("other"));
    let monitor = site.watch();
    let stopped = stop_analyzer(&monitor);
    run("mv", &[&path, &kept]);
    run("sh", &["-c", "echo new >\"$0\"", text(&path)]);
    run("mv", &[&path, &other]);
    kill(stopped, Signal::SIGCONT).expect("it runs");
    monitor.expect(Expect::action("renamed").of(&kept));
    let event = monitor.expect(Expect::any_of(&["created", "renamed", "modified"]).of(&other));
    assert!(!event.diff_has("-old"), "{event:?}");
    monitor.stop();
    finds_nothing_more(&site);
}

#[test]
fn who_removes_what_another_made_is_told_though_a_third_makes_it_anew_at_once() {
    let site = Site::new();
    let path = site.file("f");
    let monitor = site.watch();
    let stopped = stop_analyzer(&monitor);
    run("sh", &["-c", "echo one >\"$0\"", text(&path)]);
    let remover = run("rm", &[&path]);
    let last = run("sh", &["-c", "echo two >\"$0\"", text(&path)]);
    kill(stopped, Signal::SIGCONT).expect("it runs");
    monitor.expect(Expect::action("created").of(&path).by(&last));
    monitor.expect(Expect::action("deleted").of(&path).by(&remover));
    monitor.stop();
    finds_nothing_more(&site);
}

#[test]
fn what_moved_on_before_it_was_read_keeps_its_record_though_the_loader_is_slow_to_tell() {
    let site = Site::new();
    let (directory, elsewhere) = (site.file("d"), site.file("e"));
    fs::create_dir(&directory).expect("it is ours");
    let path = site.write("d/f", "one\n");
    let inode = inode(&path);
    let monitor = site.start(&format!("settle_ms = 300\n{}", rule(&[&site.files()])));
    let writer = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&writer));
    // It was read a moment ago: this waits, and is due before the move is heard of.
    run("sh", &["-c", "exec 3>>\"$0\"", text(&path)]);
    let stopped = stop_analyzer(&monitor);
    monitor.signal(Signal::SIGSTOP);
    let mover = run("mv", &[&directory, &elsewhere]);
    thread::sleep(Duration::from_millis(400));
    kill(stopped, Signal::SIGCONT).expect("it runs");
    thread::sleep(Duration::from_millis(300));
    monitor.signal(Signal::SIGCONT);
    monitor.expect(Expect::action("renamed").of(&elsewhere).by(&mover));
    let there = elsewhere.join("f");
    let remover = run("rm", &[&there]);
    let deleted = Expect::action("deleted").of(&there).by(&remover);
    monitor.expect(deleted.field("file.inode", inode));
    let told = monitor.stop();
    let came = |event: &&Event| event.action() == "created";
    assert_eq!(told.iter().find(came), None);
    finds_nothing_more(&site);
}

#[test]
fn what_moved_twice_the_same_way_at_once_and_is_gone_leaves_nothing_on_record() {
    let site = Site::new();
    let directory = site.file("d");
    fs::create_dir(&directory).expect("it is ours");
    let (path, other) = (site.write("a", "one\n"), directory.join("b"));
    let monitor = site.watch();
    let stopped = stop_analyzer(&monitor);
    // Of moves that are alike, by one process, fanotify makes one.
    let moves =
        "($a, $b) = @ARGV; rename($a, $b) && rename($b, $a) && rename($a, $b) && unlink($b) or die";
    let perl = run("perl", &["-e", moves, text(&path), text(&other)]);
    kill(stopped, Signal::SIGCONT).expect("it runs");
    monitor.expect(Expect::action("deleted").by(&perl));
    monitor.stop();
    finds_nothing_more(&site);
}

fn inode(path: &Path) -> String {
    fs::metadata(path).expect("it is there").ino().to_string()
}

/// What happens until it is continued is read together.
fn stop_analyzer(monitor: &Monitor) -> Pid {
    let analyzer = monitor
        .analyzer_pid()
        .and_then(|pid| i32::try_from(pid).ok());
    let analyzer = Pid::from_raw(analyzer.expect("it runs"));
    kill(analyzer, Signal::SIGSTOP).expect("it runs");
    analyzer
}

fn finds_nothing_more(site: &Site) {
    let later = site.watch().stop();
    let of_files = later
        .iter()
        .filter(|event| event.text("file.path").is_some());
    assert_eq!(of_files.count(), 0, "{later:?}");
}

#[test]
fn a_file_removed_and_made_again_stays_watched() {
    let site = Site::new();
    let path = site.write("config", "one\n");
    let name = text(&path);
    // The rule names the file itself, so nothing but its own name keeps it watched.
    let monitor = site.start(&rule(&[&path]));
    let rm = run("rm", &[name]);
    monitor.expect(Expect::action("deleted").of(&path).by(&rm));
    let maker = run("sh", &["-c", "echo two > \"$0\"", name]);
    monitor.expect(Expect::action("created").of(&path).by(&maker));
    let writer = append_line(&path, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&writer)
            .adds("three"),
    );
    monitor.stop();
}

#[test]
fn a_rename_within_a_rule_has_both_names() {
    let site = Site::new();
    let old = site.write("old", "one\n");
    let new = site.file("new");
    let monitor = site.watch();
    let mv = run("mv", &[&old, &new]);
    monitor.expect(
        Expect::action("renamed")
            .of(&new)
            .by(&mv)
            .field("fimk.previous_path", text(&old)),
    );
    monitor.stop();
}

#[test]
fn a_file_moved_into_a_rule_is_seen() {
    let site = Site::new();
    let old = site.outside("old");
    fs::write(&old, "one\n").expect("it is ours");
    let new = site.file("new");
    let monitor = site.watch();
    let mv = run("mv", &[&old, &new]);
    if monitor.is_bpf() {
        monitor.expect(
            Expect::action("renamed")
                .of(&new)
                .by(&mv)
                .field("fimk.previous_path", text(&old)),
        );
    } else {
        // Inode marks of fanotify see only the watched side.
        monitor.expect(Expect::any_of(&["renamed", "created"]).of(&new).by(&mv));
    }
    let shell = append_line(&new, "two");
    monitor.expect(Expect::action("modified").of(&new).by(&shell).adds("two"));
    monitor.stop();
}

#[test]
fn a_file_moved_out_of_a_rule_is_seen() {
    let site = Site::new();
    let old = site.write("old", "one\n");
    let new = site.outside("new");
    let monitor = site.watch();
    let mv = run("mv", &[&old, &new]);
    let about = old.clone();
    let expected = Expect::any_of(&["renamed", "deleted"]).by(&mv);
    monitor.expect(
        expected.and(format!("about {}", old.display()), move |event| {
            event.is_about(&about)
        }),
    );
    monitor.stop();
}

#[test]
fn a_new_directory_and_what_is_in_it_are_seen() {
    let site = Site::new();
    let monitor = site.watch();
    let path = site.file("a/b/c/deep");
    let directory = site.file("a/b/c");
    let script = "mkdir -p \"$0\" && echo one > \"$1\"";
    run("sh", &["-c", script, text(&directory), text(&path)]);
    monitor.expect(Expect::action("created").of(&site.file("a")));
    monitor.expect(Expect::action("created").of(&path));
    // The first look may have come before the first byte.
    let actions = ["created", "modified"];
    monitor.expect(Expect::any_of(&actions).of(&path).with_content_of(&path));
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    monitor.stop();
}

#[test]
fn a_file_in_directories_made_a_moment_before_is_never_missed() {
    const ROUNDS: usize = 1000;
    let site = Site::new();
    let monitor = site.watch();
    let script = format!(
        "i=0; while [ $i -lt {ROUNDS} ]; do mkdir -p \"$0/$i/a/b/c\" && echo x >\"$0/$i/a/b/c/f\"; i=$((i + 1)); done"
    );
    let shell = run("sh", &["-c", &script, text(&site.files())]);
    let is_bpf = monitor.is_bpf();
    let files = |events: &[Event]| {
        let created = events.iter().filter(|event| event.action() == "created");
        let paths = created.filter_map(|event| event.text("file.path"));
        let files = paths.filter(|path| path.ends_with("/a/b/c/f"));
        files
            .map(str::to_owned)
            .collect::<std::collections::HashSet<_>>()
    };
    monitor.wait_until("every file is created", |events| {
        files(events).len() >= ROUNDS
    });
    for event in monitor.stop() {
        let path = event.text("file.path").unwrap_or_default();
        if is_bpf && event.action() == "created" && path.ends_with("/a/b/c/f") {
            // The kernel watches what it makes: no walk has to find it.
            assert_eq!(
                event.number("process.pid"),
                Some(u64::from(shell.pid)),
                "{event:?}"
            );
            assert_eq!(event.text("fimk.detected_by"), Some("event"), "{event:?}");
        }
    }
}

#[test]
fn a_removed_tree_is_deleted_name_by_name() {
    let site = Site::new();
    let path = site.write("a/b/deep", "one\n");
    let monitor = site.watch();
    let rm = run("rm", &["-r".as_ref(), site.file("a").as_os_str()]);
    for gone in [path, site.file("a/b"), site.file("a")] {
        monitor.expect(Expect::action("deleted").of(&gone).by(&rm));
    }
    monitor.stop();
}

#[test]
fn files_of_a_burst_are_all_reported_under_the_right_pid() {
    const FILES: usize = 1000;
    let site = Site::new();
    let monitor = site.watch();
    let script =
        format!("i=0; while [ $i -lt {FILES} ]; do echo $i > \"$0/f$i\"; i=$((i + 1)); done");
    let shell = run("sh", &["-c", &script, text(&site.files())]);
    let prefix = format!("{}/f", site.files().display());
    let is_one = |event: &Event| {
        event.action() == "created"
            && event
                .text("file.path")
                .is_some_and(|path| path.starts_with(&prefix))
    };
    monitor.wait_until("1,000 files created", |events| {
        events.iter().filter(|event| is_one(event)).count() >= FILES
    });
    let events = monitor.stop();
    let created: Vec<_> = events.iter().filter(|event| is_one(event)).collect();
    let mut paths: Vec<_> = created
        .iter()
        .filter_map(|event| event.text("file.path"))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), FILES, "each file once");
    for event in created {
        assert_eq!(
            event.number("process.pid"),
            Some(u64::from(shell.pid)),
            "{event:?}"
        );
        assert_eq!(
            event.text("process.executable").map(str::to_owned),
            shell.executable.to_str().map(str::to_owned),
            "{event:?}"
        );
    }
}

#[test]
fn names_of_any_bytes_are_reported_without_breaking_a_line() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let site = Site::new();
    let monitor = site.watch();
    let path = site.files().join(OsStr::from_bytes(b"a\nb\x1b[31m\xff"));
    fs::write(&path, "one\n").expect("it is ours");
    monitor.expect(
        Expect::action("created").and("fimk.path_bytes".to_owned(), |event| {
            event.text("fimk.path_bytes").is_some()
        }),
    );
    monitor.stop();
}
