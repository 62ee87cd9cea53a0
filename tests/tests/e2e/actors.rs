//! Who did it, where a process is not what it seems: scripts, programs without a file, threads of the kernel, other
//! users, other namespaces.

use std::{
    fs,
    io::Write as _,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    process::Command,
};

use fimk_tests::{
    Event, Expect, Ran, Site, UringThread, attempt, myself, not_run, run, text, uring_write_by,
};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};

fn arguments(event: &Event) -> Vec<&str> {
    let words = event
        .get("process.args")
        .and_then(serde_json::Value::as_array);
    let words = words.into_iter().flatten();
    words.filter_map(serde_json::Value::as_str).collect()
}

/// A copy of the shell under a name of its own.
fn copy_of_shell(site: &Site, name: &str) -> std::path::PathBuf {
    let program = site.outside(name);
    let shell = fs::canonicalize("/bin/sh").expect("every system has one");
    fs::copy(shell, &program).expect("it is ours");
    program
}

#[test]
fn a_script_is_told_by_its_interpreter_and_its_arguments() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let script = site.outside("script");
    fs::write(&script, "#!/bin/sh -e\necho two >> \"$1\"\n").expect("it is ours");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let monitor = site.watch();
    let mut shell = run(&script, &[&path]);
    shell.executable = fs::canonicalize("/bin/sh").expect("every system has one");
    let expected = Expect::action("modified").of(&path).by(&shell).adds("two");
    let event = monitor.expect(expected.field("process.name", "script"));
    let words = ["/bin/sh", "-e", text(&script), text(&path)];
    assert_eq!(arguments(&event), words, "{event:?}");
    monitor.stop();
}

#[test]
fn an_executable_that_was_removed_meanwhile_is_told_as_gone() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let program = copy_of_shell(&site, "vanishing");
    let monitor = site.watch();
    let script = "rm \"$1\" && echo two >> \"$0\"";
    let executable = program.clone();
    let mut command = Command::new(&program);
    let mut child = command
        .args(["-c", script, text(&path), text(&program)])
        .spawn()
        .expect("it can be executed");
    let writer = Ran {
        pid: child.id(),
        executable,
        succeeded: child.wait().expect("it ends").success(),
        output: String::new(),
    };
    let mut expected = Expect::action("modified").of(&path).by(&writer).adds("two");
    if monitor.is_bpf() {
        expected = expected.field("fimk.executable_gone", true);
    } else {
        not_run(
            "an executable that was removed while it ran is told as gone",
            "fanotify names a process after the fact, by what it was when it was started",
        );
    }
    monitor.expect(expected.without("fimk.executable_in_memory"));
    monitor.stop();
}

#[test]
fn a_program_that_lies_in_memory_only_is_told_as_such() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let memory = memfd_create(c"hidden", MFdFlags::empty()).expect("the kernel has memfd");
    let shell = fs::read("/bin/sh").expect("every system has one");
    fs::File::from(memory.try_clone().expect("it is ours"))
        .write_all(&shell)
        .expect("it is ours");
    fcntl(&memory, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is ours");
    let monitor = site.watch();
    let program = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let mut child = Command::new(program)
        .args(["-c", "echo two >> \"$0\"", text(&path)])
        .spawn()
        .expect("it can be executed");
    let pid = child.id();
    assert!(child.wait().expect("it ends").success());
    let expected = Expect::action("modified").of(&path).adds("two");
    let expected = expected
        .field("process.pid", pid)
        .field("process.executable", "/memfd:hidden")
        .field("fimk.executable_in_memory", true);
    monitor.expect(expected.field("fimk.executable_gone", true));
    monitor.stop();
}

/// Someone logs in, then becomes another user, as su and sudo do.
const BECOME: &str = "echo 4242 > /proc/self/loginuid || exit 1
setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'echo two >> \"$0\"' \"$0\"";

#[test]
fn who_becomes_another_user_keeps_the_login() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let monitor = site.watch();
    let session = attempt("sh", &["-c", BECOME, text(&path)]);
    if !session.succeeded {
        not_run(
            "who becomes another user keeps the login",
            &format!("no login uid can be set, or no setpriv: {}", session.output),
        );
        return;
    }
    let expected = Expect::action("modified").of(&path).adds("two");
    let event = monitor.expect(expected.field("fimk.login_uid", 4242));
    assert_eq!(event.text("user.id"), Some("65534"), "{event:?}");
    assert!(event.number("fimk.session").is_some(), "{event:?}");
    monitor.stop();
}

/// What does the work for `io_uring` is of the process since Linux 5.12, and was a thread of the kernel before.
fn a_uring_write_is_named(by: UringThread, test: &str) {
    let site = Site::new();
    let path = site.write("ring", "before\n");
    let monitor = site.watch();
    if let Err(error) = uring_write_by(by, &path, b"after!\n") {
        not_run(test, &format!("this kernel refuses that: {error}"));
        return;
    }
    let expected = Expect::action("modified").of(&path).adds("after!");
    let event = monitor.expect(expected.with_content_of(&path));
    if event.get("fimk.kernel_thread").is_some() {
        assert!(
            event
                .text("process.name")
                .is_some_and(|name| name.starts_with("io")),
            "{event:?}"
        );
        assert_eq!(event.get("process.executable"), None, "{event:?}");
        return;
    }
    let me = myself();
    assert_eq!(
        event.number("process.pid"),
        Some(u64::from(me.pid)),
        "{event:?}"
    );
    assert_eq!(
        event.text("process.executable"),
        Some(text(&me.executable)),
        "{event:?}"
    );
    let name = fs::read_to_string("/proc/self/comm").expect("it runs");
    assert_eq!(
        event.text("process.name"),
        Some(name.trim_end()),
        "{event:?}"
    );
    monitor.stop();
}

#[test]
fn a_worker_of_io_uring_is_named_as_its_process() {
    a_uring_write_is_named(UringThread::Worker, "a worker of io_uring");
}

#[test]
fn a_poller_of_io_uring_is_named_as_its_process() {
    a_uring_write_is_named(UringThread::Poller, "a poller of io_uring");
}

#[test]
fn a_process_in_a_pid_namespace_is_told_with_both_its_numbers() {
    let site = Site::new();
    let (inside, outside) = (
        site.write("inside", "one\n"),
        site.write("outside", "one\n"),
    );
    let monitor = site.watch();
    let script = "echo two >> \"$0\"";
    run(
        "unshare",
        &["--pid", "--fork", "sh", "-c", script, text(&inside)],
    );
    let writer = run("sh", &["-c", script, text(&outside)]);
    let expected = Expect::action("modified").of(&inside).adds("two");
    let event = monitor.expect(expected.field("fimk.pid_in_namespace", 1));
    assert!(
        event.number("process.pid").is_some_and(|pid| pid > 1),
        "{event:?}"
    );
    let expected = Expect::action("modified").of(&outside).by(&writer);
    monitor.expect(expected.without("fimk.pid_in_namespace"));
    monitor.stop();
}
