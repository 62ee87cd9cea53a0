//! Attributes and names: every operation is seen under the process that did it, and named.

use fimk_tests::{Event, Expect, Monitor, Ran, Site, attempt, not_run, run, text};

/// An event of this operation by this process. Fanotify does not tell which attribute it was.
fn expect_attribute(monitor: &Monitor, path: &std::path::Path, by: &Ran, operation: &'static str) {
    let operation = if monitor.is_bpf() {
        operation
    } else {
        "attributes"
    };
    let named = move |event: &Event| {
        let operations = event.get("fimk.operations").and_then(|it| it.as_array());
        operations.is_some_and(|all| all.iter().any(|it| it.as_str() == Some(operation)))
    };
    monitor.expect(
        Expect::action("attributes_modified")
            .of(path)
            .by(by)
            .and(format!("fimk.operations has {operation}"), named),
    );
}

#[test]
fn an_extended_attribute_set_and_removed_is_seen() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    if !monitor.is_bpf() {
        not_run(
            "an_extended_attribute_set_and_removed_is_seen",
            "fanotify does not say which attribute was changed",
        );
        return;
    }
    let name = text(&path);
    let set = run("setfattr", &["-n", "user.fimk", "-v", "one", name]);
    expect_attribute(&monitor, &path, &set, "setxattr");
    let remove = run("setfattr", &["-x", "user.fimk", name]);
    expect_attribute(&monitor, &path, &remove, "setxattr");
    monitor.stop();
}

#[test]
fn an_access_control_list_set_and_removed_is_seen() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let name = text(&path);
    // Before Linux 6.2 an ACL is an extended attribute to the kernel.
    let is_attribute = monitor.events().iter().any(|event| {
        event
            .text("fimk.plan.setacl")
            .is_some_and(|plan| plan.starts_with("absent"))
    });
    let operation = if is_attribute { "setxattr" } else { "setacl" };
    let set = run("setfacl", &["-m", "u:daemon:rw", name]);
    expect_attribute(&monitor, &path, &set, operation);
    let remove = run("setfacl", &["-b", name]);
    expect_attribute(&monitor, &path, &remove, operation);
    monitor.stop();
}

/// Makes a file mutable again whatever happens: otherwise nobody could remove it.
struct Mutable<'a>(&'a std::path::Path);

impl Drop for Mutable<'_> {
    fn drop(&mut self) {
        attempt("chattr", &["-i".as_ref(), self.0.as_os_str()]);
    }
}

#[test]
fn a_file_made_immutable_and_mutable_again_is_seen() {
    let test = "a_file_made_immutable_and_mutable_again_is_seen";
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    if !monitor.is_bpf() {
        // It has no event for flags, and the release of the descriptor was not for writing.
        not_run(test, "fanotify does not tell of file flags");
        return;
    }
    let _mutable = Mutable(&path);
    let set = attempt("chattr", &["+i".as_ref(), path.as_os_str()]);
    if !set.succeeded {
        not_run(test, "this file system has no such flag");
        return;
    }
    expect_attribute(&monitor, &path, &set, "setflags");
    let clear = run("chattr", &["-i".as_ref(), path.as_os_str()]);
    expect_attribute(&monitor, &path, &clear, "setflags");
    monitor.stop();
}

#[test]
fn every_kind_of_new_name_is_seen_under_its_maker() {
    let site = Site::new();
    let file = site.write("file", "one\n");
    let monitor = site.watch();
    let (directory, symlink) = (site.file("directory"), site.file("symlink"));
    let (fifo, link) = (site.file("fifo"), site.file("link"));
    let mkdir = run("mkdir", &[&directory]);
    monitor.expect(Expect::action("created").of(&directory).by(&mkdir));
    let ln = run("ln", &["-s", "nowhere", text(&symlink)]);
    monitor.expect(Expect::action("created").of(&symlink).by(&ln));
    let mkfifo = run("mkfifo", &[&fifo]);
    monitor.expect(Expect::action("created").of(&fifo).by(&mkfifo));
    let ln = run("ln", &[&file, &link]);
    monitor.expect(Expect::any_of(&["linked", "created"]).of(&link).by(&ln));
    let rmdir = run("rmdir", &[&directory]);
    monitor.expect(Expect::action("deleted").of(&directory).by(&rmdir));
    monitor.stop();
}

#[test]
fn the_start_tells_how_every_operation_is_served() {
    let site = Site::new();
    let monitor = site.watch();
    let is_bpf = monitor.is_bpf();
    let events = monitor.stop();
    let started = events
        .iter()
        .find(|event| event.action() == "monitor_started")
        .expect("it started");
    let plan = |operation: &str| started.text(&format!("fimk.plan.{operation}"));
    assert!(plan("exec").is_some(), "{started:?}");
    if is_bpf {
        assert_eq!(plan("write"), Some("fexit vfs_write"), "{started:?}");
        assert_eq!(plan("rename"), Some("fentry d_move"), "{started:?}");
    } else {
        assert_eq!(plan("write"), Some("refused by this kernel"), "{started:?}");
    }
    let all = started
        .get("fimk.plan")
        .and_then(|plan| plan.as_object())
        .expect("there is a plan");
    for (operation, words) in all {
        let words = words.as_str().unwrap_or_default();
        assert!(!words.contains("not seen"), "{operation}: {words}");
    }
}
