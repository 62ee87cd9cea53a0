//! What is denied, opened and executed: told where a rule asks for it, as events of their own, and by nobody else.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use fimk_tests::{
    Event, Expect, Monitor, Ran, Site, append_line, attempt, myself, not_run, rule, run,
    stop_services, text, which,
};

fn reporting(paths: &[&Path], kinds: &str) -> String {
    rule(paths).replace(
        "\n\n[[output]]",
        &format!("\nreport = [{kinds}]\n\n[[output]]"),
    )
}

/// Watches all files of the site, with these kinds of attempts.
fn watch(site: &Site, kinds: &str) -> Monitor {
    site.start(&reporting(&[&site.files()], kinds))
}

/// Watches with everything, where what is denied can be seen; none where it cannot.
fn watch_denied(site: &Site, test: &str) -> Option<Monitor> {
    let monitor = watch(site, "\"denied\"");
    if monitor.is_bpf() {
        return Some(monitor);
    }
    not_run(test, "only the source bpf sees what is denied");
    None
}

fn real(program: &str) -> PathBuf {
    let found = which(Path::new(program)).expect("it is installed");
    fs::canonicalize(found).expect("it is there")
}

/// Runs a line of shell, with the path as `$0`, as a user to whom nothing belongs. It ends as this program.
fn as_nobody(line: &str, path: &Path, program: &str) -> Ran {
    let arguments = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "sh",
        "-c",
        line,
    ];
    let mut ran = attempt("setpriv", &[&arguments[..], &[text(path)]].concat());
    ran.executable = real(program);
    assert!(!ran.succeeded, "{line} was not refused: {}", ran.output);
    ran
}

fn denied(path: &Path, who: &Ran, operation: &'static str, error: &str) -> Expect {
    Expect::action("denied")
        .of(path)
        .by(who)
        .field("error.code", error)
        .field("event.outcome", "failure")
        .field("fimk.operations", vec![operation])
        .without("fimk.content")
        .without("fimk.changes")
}

fn about<'e>(events: &'e [Event], path: &Path, action: &str) -> Vec<&'e Event> {
    let matching = events
        .iter()
        .filter(|event| event.action() == action && event.is_about(path));
    matching.collect()
}

#[test]
fn who_opened_a_file_is_named_and_its_writes_are_events_of_their_own() {
    let site = Site::new();
    let path = site.write("secret", "one\n");
    let monitor = watch(&site, "\"opened\"");
    let cat = run("cat", &[&path]);
    let opened = monitor.expect(
        Expect::action("opened")
            .of(&path)
            .by(&cat)
            .field("fimk.rule", "test")
            .without("fimk.content")
            .without("error.code"),
    );
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    let written = monitor.expect(Expect::action("opened").of(&path).by(&shell));
    let of = |event: &Event| event.get("fimk.operations").cloned();
    if monitor.is_bpf() {
        assert_eq!(of(&opened), Some(vec!["open_read"].into()));
        assert_eq!(of(&written), Some(vec!["open_write"].into()));
    } else {
        assert_eq!(of(&opened), Some(vec!["open"].into()));
    }
    let events = monitor.stop();
    let ours = |event: &&&Event| {
        event
            .text("process.name")
            .is_some_and(|name| name.starts_with("fimk"))
    };
    let opened = about(&events, &path, "opened");
    assert_eq!(opened.iter().find(ours), None, "fimk read it itself");
}

#[test]
fn what_two_programs_on_a_function_see_is_one_attempt() {
    let site = Site::new();
    let path = site.write("secret", "one\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let rules = reporting(&[&site.files()], "\"opened\", \"denied\"");
    let monitor = site.start(&format!("coverage = \"strict\"\n{rules}"));
    if !monitor.is_bpf() {
        return not_run("attempts seen twice", "no BPF program serves here");
    }
    let cat = as_nobody("exec cat \"$0\"", &path, "cat");
    monitor.expect(denied(&path, &cat, "open_read", "EACCES").field("fimk.count", 1));
    for _ in 0..7 {
        drop(File::open(&path).expect("it is ours"));
    }
    let counts = |events: &[Event]| -> u64 {
        let opened = about(events, &path, "opened");
        opened.iter().filter_map(|it| it.number("fimk.count")).sum()
    };
    monitor.wait_until("all seven", |events| counts(events) >= 7);
    assert_eq!(counts(&monitor.stop()), 7);
}

#[test]
fn what_appears_in_the_place_of_a_reported_file_is_reported_too() {
    let site = Site::new();
    let path = site.write("secret", "one\n");
    let other = site.write("other", "one\n");
    let monitor = site.start(&reporting(&[&path], "\"opened\""));
    site.replace(&path, "two\n");
    monitor.expect(Expect::action("modified").of(&path));
    run("cat", &[&other]);
    let cat = run("cat", &[&path]);
    monitor.expect(Expect::action("opened").of(&path).by(&cat));
    let events = monitor.stop();
    assert!(about(&events, &other, "opened").is_empty(), "{events:?}");
}

#[test]
fn a_file_made_later_is_reported_and_listing_is_not() {
    let site = Site::new();
    site.write("first", "one\n");
    let monitor = watch(&site, "\"opened\"");
    run("mkdir", &[&site.file("new")]);
    monitor.expect(Expect::action("created").of(&site.file("new")));
    let path = site.write("new/secret", "one\n");
    monitor.expect(Expect::action("created").of(&path));
    run("ls", &["-lR".as_ref(), site.files().as_os_str()]);
    let cat = run("cat", &[&path]);
    monitor.expect(Expect::action("opened").of(&path).by(&cat));
    let events = monitor.stop();
    for directory in [site.files(), site.file("new")] {
        assert!(about(&events, &directory, "opened").is_empty());
    }
}

#[test]
fn what_is_executed_is_named_with_who_started_it() {
    let site = Site::new();
    let tool = site.file("tool");
    fs::copy(real("true"), &tool).expect("it is ours");
    let script = site.write("script", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let monitor = watch(&site, "\"executed\"");
    let executed = |path: &Path, who: &Ran| {
        Expect::action("executed")
            .of(path)
            .by(who)
            .field("process.parent.pid", myself().pid)
            .field("event.category", vec!["process"])
            .field("event.type", vec!["start"])
            .field("fimk.operations", vec!["execute"])
    };
    let ran = run(&tool, &[""; 0]);
    monitor.expect(executed(&tool, &ran));
    let mut ran = run(&script, &[""; 0]);
    ran.executable = real("sh");
    monitor.expect(executed(&script, &ran));
    run("cat", &[&tool]);
    let events = monitor.stop();
    assert_eq!(about(&events, &tool, "executed").len(), 1, "{events:?}");
    assert!(about(&events, &tool, "opened").is_empty());
}

#[test]
fn thousands_of_opens_of_one_process_are_few_events() {
    const OPENS: u64 = 5_000;
    let site = Site::new();
    let path = site.write("busy", "one\n");
    let monitor = watch(&site, "\"opened\"");
    for _ in 0..OPENS {
        drop(File::open(&path).expect("it is ours"));
    }
    let cat = run("cat", &[&path]);
    monitor.expect(Expect::action("opened").of(&path).by(&cat));
    let counts = monitor.is_bpf();
    let events = monitor.stop();
    let mine: Vec<u64> = about(&events, &path, "opened")
        .iter()
        .filter(|event| event.number("process.pid") == Some(myself().pid.into()))
        .filter_map(|event| event.number("fimk.count"))
        .collect();
    let count: u64 = mine.iter().sum();
    let told = mine.len() as u64;
    // One in each window in which things settle, so more of them where opening is slow.
    assert!(told > 0 && told < OPENS / 5, "{told} events");
    // fanotify makes one event of several; BPF loses what falls into the moment in which an entry is taken, and, where
    // programs are attached twice, may count it in both entries if another thread had the place of its mark.
    assert!(count <= OPENS + told, "{count}");
    assert!(!counts || count > OPENS / 5 * 4, "{count}");
}

#[test]
fn refused_attempts_of_an_unprivileged_user_are_told_with_the_error() {
    let site = Site::new();
    let path = site.write("precious", "one\n");
    let private = site.write("private", "one\n");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let test = "refused_attempts_of_an_unprivileged_user_are_told_with_the_error";
    let Some(monitor) = watch_denied(&site, test) else {
        return;
    };
    let (new, directory) = (site.file("new"), site.files());
    for (line, what, program, on, operation, error) in [
        (
            "exec cat \"$0\"",
            &private,
            "cat",
            &private,
            "open_read",
            "EACCES",
        ),
        (
            "echo two >> \"$0\"",
            &path,
            "sh",
            &path,
            "open_write",
            "EACCES",
        ),
        ("exec rm -f \"$0\"", &path, "rm", &path, "unlink", "EACCES"),
        (
            "exec chmod 777 \"$0\"",
            &path,
            "chmod",
            &path,
            "chmod",
            "EPERM",
        ),
        (
            "exec chown 65534 \"$0\"",
            &path,
            "chown",
            &path,
            "chown",
            "EPERM",
        ),
        (
            "exec mv -f \"$0\" \"$0.x\"",
            &path,
            "mv",
            &path,
            "rename",
            "EACCES",
        ),
        (
            "echo two > \"$0\"",
            &new,
            "sh",
            &directory,
            "create",
            "EACCES",
        ),
        (
            "exec mkdir \"$0\"",
            &new,
            "mkdir",
            &directory,
            "create",
            "EACCES",
        ),
    ] {
        let who = as_nobody(line, what, program);
        let event = monitor.expect(denied(on, &who, operation, error));
        assert_eq!(event.text("user.id"), Some("65534"), "{event:?}");
    }
    let events = monitor.stop();
    for path in [&path, &private, &directory] {
        for action in ["modified", "attributes_modified", "deleted", "renamed"] {
            assert!(about(&events, path, action).is_empty(), "{events:?}");
        }
    }
}

#[test]
fn a_write_by_way_of_a_read_only_mount_is_told_as_refused() {
    let site = Site::new();
    let path = site.write("precious", "one\n");
    let test = "a_write_by_way_of_a_read_only_mount_is_told_as_refused";
    let Some(monitor) = watch_denied(&site, test) else {
        return;
    };
    let alias = site.outside("alias");
    fs::create_dir(&alias).expect("it is ours");
    let files = site.files();
    for (line, program, operation) in [
        ("echo two >> \"$1/precious\"", "sh", "open_write"),
        ("echo two > \"$1/precious\"", "sh", "open_write"),
        ("exec chmod 600 \"$1/precious\"", "chmod", "chmod"),
        (
            "exec touch -c -d 2001-01-01 \"$1/precious\"",
            "touch",
            "utimes",
        ),
    ] {
        let script =
            format!("mount --bind \"$0\" \"$1\" && mount -o remount,bind,ro \"$1\" && {line}");
        let arguments = ["-m", "sh", "-c", &script, text(&files), text(&alias)];
        let mut who = attempt("unshare", &arguments);
        who.executable = real(program);
        assert!(!who.succeeded, "{line} was not refused: {}", who.output);
        monitor.expect(denied(&path, &who, operation, "EROFS"));
    }
    monitor.stop();
}

#[test]
fn an_immutable_file_refuses_even_root_and_says_so() {
    let site = Site::new();
    let path = site.write("precious", "one\n");
    let test = "an_immutable_file_refuses_even_root_and_says_so";
    let Some(monitor) = watch_denied(&site, test) else {
        return;
    };
    if which(Path::new("chattr")).is_none() || !attempt("chattr", &["+i", text(&path)]).succeeded {
        return not_run(test, "no file can be made immutable here");
    }
    let mut shell = attempt("sh", &["-c", "echo two >> \"$0\"", text(&path)]);
    shell.executable = real("sh");
    let rm = attempt("rm", &["-f", text(&path)]);
    run("chattr", &["-i", text(&path)]);
    assert!(!shell.succeeded && !rm.succeeded, "it was not refused");
    monitor.expect(denied(&path, &shell, "open_write", "EPERM"));
    monitor.expect(denied(&path, &rm, "unlink", "EPERM"));
    monitor.stop();
}

#[test]
fn what_was_not_asked_for_is_not_told() {
    let site = Site::new();
    let path = site.write("quiet", "one\n");
    let sentinel = site.write("sentinel", "one\n");
    let monitor = watch(&site, "\"executed\"");
    run("cat", &[&path]);
    as_nobody("echo two >> \"$0\"", &path, "sh");
    let shell = append_line(&sentinel, "two");
    monitor.expect(Expect::action("modified").of(&sentinel).by(&shell));
    let started = monitor.expect(Expect::action("monitor_started"));
    if monitor.is_bpf() {
        assert!(started.get("fimk.plan.executed").is_some(), "{started:?}");
        for row in ["fimk.plan.opened", "fimk.plan.denied open"] {
            assert_eq!(
                started.get(row),
                None,
                "it was loaded without being asked for"
            );
        }
    }
    let events = monitor.stop();
    assert!(
        !events.iter().any(|event| event.is_about(&path)),
        "{events:?}"
    );
}

#[test]
fn what_a_source_cannot_see_is_said_at_the_start() {
    let site = Site::new();
    site.write("file", "one\n");
    let monitor = watch(&site, "\"denied\", \"opened\"");
    if monitor.is_bpf() {
        assert!(about(&monitor.events(), &site.files(), "degraded").is_empty());
        return;
    }
    monitor.expect(
        Expect::action("degraded").and("that denied is not seen".into(), |event| {
            event
                .text("message")
                .is_some_and(|message| message.contains("\"denied\", which is not seen"))
        }),
    );
    monitor.expect_logged("\"denied\", which is not seen");
    monitor.stop();
}

#[test]
fn a_service_that_starts_again_reports_what_a_changed_rule_asks_for() {
    let site = Site::new();
    let path = site.write("secret", "one\n");
    let launch = site.launch(&reporting(&[&site.files()], "\"executed\""));
    let (loader, analyzer) = (launch.serve(), launch.analyze());
    stop_services(loader, analyzer);
    let launch = site.launch(&reporting(&[&site.files()], "\"opened\", \"denied\""));
    // Another site.launch has the same pins, which the first loader left.
    let (loader, analyzer) = (launch.serve(), launch.analyze());
    let cat = run("cat", &[&path]);
    analyzer.expect(Expect::action("opened").of(&path).by(&cat));
    if analyzer.is_bpf() {
        loader.expect_logged("are taken over");
        let started = analyzer.expect(Expect::action("monitor_started"));
        assert_eq!(started.get("fimk.plan.executed"), None, "{started:?}");
        let rm = as_nobody("exec rm -f \"$0\"", &path, "rm");
        analyzer.expect(denied(&path, &rm, "unlink", "EACCES"));
    }
    stop_services(loader, analyzer);
    assert!(launch.detach().succeeded);
}
