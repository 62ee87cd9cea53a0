//! What is mounted over watched names, and what becomes visible again.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use fimk_tests::{
    Event, Expect, Monitor, Ran, Site, append_line, attempt, not_run, rule, run, text,
};

/// Mounts that are gone when dropped, in the reverse order.
#[derive(Default)]
pub struct Mounted(Vec<PathBuf>);

impl Mounted {
    /// `mount ARGUMENTS POINT`
    fn mount(&mut self, arguments: &[&str], point: &Path) -> Ran {
        let words = arguments.iter().map(OsStr::new).chain([point.as_os_str()]);
        let mount = run("mount", &words.collect::<Vec<_>>());
        self.0.push(point.to_owned());
        mount
    }

    /// One that was made otherwise.
    pub fn undo_later(&mut self, point: &Path) {
        self.0.push(point.to_owned());
    }

    fn tmpfs(&mut self, point: &Path) -> Ran {
        self.mount(&["-t", "tmpfs", "fimk-test"], point)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for point in self.0.iter().rev() {
            while attempt("umount", &["-l".as_ref(), point.as_os_str()]).succeeded {}
        }
    }
}

/// An expectation, with who did it where the source says.
fn by(monitor: &Monitor, expected: Expect, who: &Ran) -> Expect {
    if monitor.is_bpf() {
        expected.by(who)
    } else {
        expected.without("process")
    }
}

fn is_mount_event(event: &Event) -> bool {
    ["mounted", "unmounted"].contains(&event.action())
}

/// Waits until everything that happened so far must have been told: a change after it is told.
fn pass(site: &Site, monitor: &Monitor, name: &str) {
    let path = site.write(name, "one\n");
    monitor.expect(Expect::action("created").of(&path));
}

#[test]
fn a_file_system_over_a_watched_directory_is_told_with_what_it_hides_and_uncovers() {
    let site = Site::new();
    let hidden = site.write("dir/hidden", "one\n");
    let dir = site.file("dir");
    let monitor = site.watch();
    let mut mounted = Mounted::default();

    let mount = mounted.tmpfs(&dir);
    let expected = Expect::action("mounted")
        .of(&dir)
        .says("mount", "file system", None, Some("tmpfs"))
        .says("mount", "source", None, Some("fimk-test"))
        .field("file.type", "dir")
        .field("file.mode", "1777")
        .field("fimk.before.mode", "0755");
    monitor.expect(by(&monitor, expected, &mount));
    monitor.expect(
        Expect::action("deleted")
            .of(&hidden)
            .field("fimk.detected_by", "scan"),
    );

    // What is there now is watched like anything else.
    let other = dir.join("other");
    let shell = append_line(&other, "one");
    monitor.expect(Expect::action("created").of(&other).by(&shell));
    let shell = append_line(&other, "two");
    monitor.expect(Expect::action("modified").of(&other).by(&shell).adds("two"));

    let umount = run("umount", &[&dir]);
    let expected =
        Expect::action("unmounted")
            .of(&dir)
            .says("mount", "file system", Some("tmpfs"), None);
    monitor.expect(by(&monitor, expected, &umount));
    monitor.expect(
        Expect::action("created")
            .of(&hidden)
            .field("fimk.detected_by", "scan"),
    );
    monitor.expect(Expect::action("deleted").of(&other));
    let shell = append_line(&hidden, "two");
    monitor.expect(
        Expect::action("modified")
            .of(&hidden)
            .by(&shell)
            .adds("two"),
    );
    monitor.stop();
}

#[test]
fn what_is_done_to_a_covered_file_is_told_under_its_name() {
    let test = "what_is_done_to_a_covered_file_is_told_under_its_name";
    let site = Site::new();
    let path = site.write("dir/file", "one\n");
    let (dir, elsewhere) = (site.file("dir"), site.outside("elsewhere"));
    fs::create_dir(&elsewhere).expect("it is ours");
    let mut mounted = Mounted::default();
    mounted.mount(&["--bind", text(&dir)], &elsewhere);
    let monitor = site.watch();
    if !monitor.is_bpf() {
        not_run(test, "fanotify's marks go where the name leads");
        return;
    }
    mounted.tmpfs(&dir);
    monitor.expect(Expect::action("mounted").of(&dir));
    monitor.expect(Expect::action("deleted").of(&path));
    let shell = append_line(&elsewhere.join("file"), "two");
    let modified = Expect::action("modified").of(&path).by(&shell);
    monitor.expect(modified.field("fimk.content", "unread"));
    let made = dir.join("made");
    let shell = append_line(&elsewhere.join("made"), "one");
    monitor.expect(Expect::action("created").of(&made).by(&shell));
    run("umount", &[&dir]);
    monitor.expect(Expect::action("unmounted").of(&dir));
    let shell = append_line(&path, "three");
    let modified = Expect::action("modified").of(&path).by(&shell);
    monitor.expect(modified.adds("three"));
    monitor.stop();
}

#[test]
fn the_periodic_source_tells_of_mounts_at_once() {
    let site = Site::new();
    let dir = site.file("dir");
    fs::create_dir(&dir).expect("it is ours");
    let config = format!("source = \"periodic\"\n{}", rule(&[&site.files()]));
    let mut monitor = site.launch(&config).spawn();
    assert_eq!(monitor.await_start_or_exit(), None);
    let mut mounted = Mounted::default();
    mounted.tmpfs(&dir);
    monitor.expect(Expect::action("mounted").of(&dir));
    run("umount", &[&dir]);
    monitor.expect(Expect::action("unmounted").of(&dir));
    let events = monitor.stop();
    let of_dir = events.iter().filter(|event| event.is_about(&dir));
    assert_eq!(of_dir.count(), 2, "{events:?}");
}

#[test]
fn a_file_bound_over_a_watched_file_is_told_and_its_content_compared() {
    let site = Site::new();
    let path = site.write("passwords", "one\n");
    let other = site.outside("other");
    fs::write(&other, "one\ntwo\n").expect("it is ours");
    let monitor = site.watch();
    let mut mounted = Mounted::default();

    let mount = mounted.mount(&["--bind", text(&other)], &path);
    let expected = Expect::action("mounted").of(&path).mentions("mount");
    monitor.expect(by(&monitor, expected, &mount));
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .adds("two")
            .field("fimk.detected_by", "scan"),
    );
    let shell = append_line(&path, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("three"),
    );

    run("umount", &[&path]);
    monitor.expect(Expect::action("unmounted").of(&path));
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .removes("two")
            .field("fimk.detected_by", "scan"),
    );
    let shell = append_line(&path, "four");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("four"));
    monitor.stop();
}

#[test]
fn a_moved_mount_is_told_at_both_places() {
    let site = Site::new();
    let (from, to) = (site.file("from"), site.file("to"));
    let private = site.outside("private");
    for directory in [&from, &to, &private] {
        fs::create_dir(directory).expect("it is ours");
    }
    let mut mounted = Mounted::default();
    // What lies on a shared mount cannot be moved: everything happens on a private one.
    mounted.mount(&["--bind", text(&site.files())], &site.files());
    run("mount", &["--make-private", text(&site.files())]);
    mounted.tmpfs(&from);
    fs::write(from.join("file"), "one\n").expect("it is ours");
    let monitor = site.watch();

    let mount = run("mount", &["--move", text(&from), text(&to)]);
    mounted.0.push(to.clone());
    let expected = Expect::action("unmounted")
        .of(&from)
        .field("fimk.new_path", text(&to));
    monitor.expect(by(&monitor, expected, &mount));
    let expected = Expect::action("mounted")
        .of(&to)
        .field("fimk.previous_path", text(&from));
    monitor.expect(by(&monitor, expected, &mount));
    monitor.expect(Expect::action("deleted").of(&from.join("file")));
    monitor.expect(Expect::action("created").of(&to.join("file")));
    let shell = append_line(&to.join("file"), "two");
    monitor.expect(Expect::action("modified").of(&to.join("file")).by(&shell));
    monitor.stop();
}

#[test]
fn a_remount_is_told_with_its_options_before_and_after_and_nothing_else() {
    let site = Site::new();
    let dir = site.file("dir");
    fs::create_dir(&dir).expect("it is ours");
    let mut mounted = Mounted::default();
    mounted.mount(&["-t", "tmpfs", "-o", "noatime", "fimk-test"], &dir);
    fs::write(dir.join("file"), "one\n").expect("it is ours");
    let monitor = site.watch();
    run("mount", &["-o", "remount,bind,ro,noatime", text(&dir)]);
    let expected = Expect::action("mounted").of(&dir).says(
        "mount",
        "options",
        Some("rw,noatime"),
        Some("ro,noatime"),
    );
    // No source tells who did that.
    monitor.expect(expected.without("process"));
    pass(&site, &monitor, "after");
    let events = monitor.stop();
    let below = |event: &&Event| event.is_about(&dir.join("file"));
    assert!(events.iter().find(below).is_none(), "{events:?}");
    assert_eq!(events.iter().filter(|it| is_mount_event(it)).count(), 1);
}

#[test]
fn a_mount_above_a_watched_file_is_told_and_the_file_compared() {
    let site = Site::new();
    let path = site.write("dir/below/file", "one\n");
    let dir = site.file("dir");
    let monitor = site.start(&rule(&[&path]));
    let mut mounted = Mounted::default();
    let mount = mounted.tmpfs(&dir);
    let expected = Expect::action("mounted")
        .of(&dir)
        .field("fimk.rule", "test");
    monitor.expect(by(&monitor, expected, &mount));
    monitor.expect(Expect::action("deleted").of(&path));
    site.write("dir/below/file", "one\n");
    monitor.expect(Expect::action("created").of(&path));
    run("umount", &[&dir]);
    monitor.expect(Expect::action("unmounted").of(&dir));
    monitor.stop();
}

#[test]
fn many_new_objects_of_a_mount_are_counted_and_watched() {
    let site = Site::new();
    let dir = site.file("dir");
    let full = site.outside("full");
    for directory in [&dir, &full] {
        fs::create_dir(directory).expect("it is ours");
    }
    for number in 0..300 {
        fs::write(full.join(number.to_string()), "one\n").expect("it is ours");
    }
    let monitor = site.watch();
    let mut mounted = Mounted::default();
    mounted.mount(&["--bind", text(&full)], &dir);
    monitor.expect(Expect::action("mounted").of(&dir));
    monitor.wait_until("the new objects are counted", |events| {
        let baseline = |event: &&Event| event.action() == "baseline_created";
        events.iter().filter(baseline).count() == 2
    });
    let file = dir.join("7");
    let shell = append_line(&file, "two");
    monitor.expect(Expect::action("modified").of(&file).by(&shell).adds("two"));
    let events = monitor.stop();
    let created = |event: &&Event| event.action() == "created";
    assert_eq!(events.iter().filter(created).count(), 0, "{events:?}");
}

#[test]
fn what_is_mounted_in_another_mount_namespace_is_no_event() {
    let site = Site::new();
    site.write("dir/file", "one\n");
    let dir = site.file("dir");
    let monitor = site.watch();
    let script = "mount -t tmpfs fimk-test \"$0\" && umount \"$0\"";
    let arguments = ["-m", "--propagation", "private", "sh", "-c", script];
    let arguments: Vec<&str> = arguments.into_iter().chain([text(&dir)]).collect();
    run("unshare", &arguments);
    pass(&site, &monitor, "after");
    let events = monitor.stop();
    assert!(!events.iter().any(is_mount_event), "{events:?}");
    assert!(
        events.iter().all(|it| it.action() != "deleted"),
        "{events:?}"
    );
}

#[test]
fn a_mount_that_fails_is_no_event() {
    let site = Site::new();
    let path = site.write("dir/file", "one\n");
    let (dir, busy) = (site.file("dir"), site.file("busy"));
    fs::create_dir(&busy).expect("it is ours");
    let mut mounted = Mounted::default();
    mounted.tmpfs(&busy);
    let open = fs::File::create(busy.join("open")).expect("it is ours");
    let monitor = site.watch();
    // A directory over a file, a file system that does not exist, one that is in use.
    assert!(!attempt("mount", &["--bind", text(&dir), text(&path)]).succeeded);
    assert!(!attempt("mount", &["-t", "fimknone", "none", text(&dir)]).succeeded);
    assert!(!attempt("umount", &[&busy]).succeeded);
    pass(&site, &monitor, "after");
    drop(open);
    let events = monitor.stop();
    assert!(!events.iter().any(is_mount_event), "{events:?}");
}

#[test]
fn any_name_of_a_mount_point_is_told_without_loss() {
    let site = Site::new();
    let dir = site.files().join(OsStr::from_bytes(b"a b\n\\040\xff"));
    fs::create_dir(&dir).expect("it is ours");
    let monitor = site.watch();
    let mut mounted = Mounted::default();
    mounted.tmpfs(&dir);
    let escaped = format!("{}/a b\\x0a\\x5c040\\xff", text(&site.files()));
    monitor.expect(Expect::action("mounted").field("file.path", escaped.clone()));
    run("umount", &[&dir]);
    monitor.expect(Expect::action("unmounted").field("file.path", escaped));
    monitor.stop();
}

#[test]
fn mounts_on_one_place_are_told_one_by_one() {
    let site = Site::new();
    let dir = site.file("dir");
    fs::create_dir(&dir).expect("it is ours");
    let monitor = site.watch();
    let mut mounted = Mounted::default();
    let count = |wanted: &'static str, number: usize| {
        monitor.wait_until(wanted, |events| {
            events.iter().filter(|it| it.action() == wanted).count() == number
        });
    };
    for number in 1..=2 {
        mounted.tmpfs(&dir);
        count("mounted", number);
    }
    let file = dir.join("file");
    append_line(&file, "one");
    monitor.expect(Expect::action("created").of(&file));
    run("umount", &[&dir]);
    monitor.expect(Expect::action("deleted").of(&file));
    count("unmounted", 1);
    run("umount", &["-l".as_ref(), dir.as_os_str()]);
    count("unmounted", 2);
    monitor.stop();
}
