//! Two services that may be started, stopped and killed in any order.
//!
//! What needs a hand inside the pins (another build, half-written and squatted ones) is tested beside the loader.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::{UnixDatagram, UnixListener},
    },
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use fimk_tests::{
    Expect, Launch, Monitor, Site, append_line, deadline, not_run, rule, run, stop_services,
};
use nix::sys::signal::Signal;

fn launch(site: &Site) -> Launch {
    site.launch(&rule(&[&site.files()]))
}

fn kill(mut monitor: Monitor) {
    monitor.signal(Signal::SIGKILL);
    monitor.await_exit();
}

#[test]
fn a_change_is_reported_and_a_stop_leaves_pins_until_detach() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let launch = launch(&site);
    let loader = launch.serve();
    let analyzer = launch.analyze();
    let shell = append_line(&path, "two");
    analyzer.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    let refused = launch.detach();
    assert!(
        !refused.succeeded && refused.output.contains("another fimk-loader uses"),
        "{refused:?}"
    );
    let (loader, _) = stop_services(loader, analyzer);
    assert!(
        loader.errors().contains("fimk-loader --detach"),
        "{}",
        loader.errors()
    );
    assert!(fs::read_dir(&launch.pins).is_ok_and(|mut pins| pins.next().is_some()));
    let detached = launch.detach();
    assert!(detached.succeeded, "{detached:?}");
    loader.assert_no_pin();
    assert!(launch.detach().succeeded, "with nothing there");
}

#[test]
fn a_stopped_loader_lets_the_analyzer_end_in_order() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let launch = launch(&site);
    let mut loader = launch.serve();
    let mut analyzer = launch.analyze();
    let shell = append_line(&path, "two");
    analyzer.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    loader.signal(Signal::SIGTERM);
    assert!(analyzer.await_exit().success(), "{}", analyzer.account());
    assert!(loader.await_exit().success(), "{}", loader.account());
    let events = analyzer.events();
    assert!(
        events.iter().any(|event| event.action() == "modified"),
        "{}",
        analyzer.account()
    );
    assert_eq!(
        events.last().map(fimk_tests::Event::action),
        Some("monitor_stopped")
    );
}

#[test]
fn an_analyzer_by_itself_takes_another_configuration_at_sighup() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let other = site.outside("other");
    fs::write(&other, "one\n").expect("it is ours");
    let launch = launch(&site);
    let loader = launch.serve();
    let analyzer = launch.analyze();
    fs::write(&launch.config, rule(&[&other])).expect("it is ours");
    // The loader knows no configuration, and says who does.
    loader.signal(Signal::SIGHUP);
    loader.await_log("SIGHUP is for the analyzer");
    analyzer.signal(Signal::SIGHUP);
    analyzer.expect(Expect::action("config_reloaded").field("fimk.counts.objects_dropped", 2));
    append_line(&path, "not watched any more");
    let shell = append_line(&other, "two");
    analyzer.expect(Expect::action("modified").of(&other).by(&shell).adds("two"));
    fs::write(&launch.config, "nonsense").expect("it is ours");
    analyzer.signal(Signal::SIGHUP);
    analyzer.expect(Expect::action("config_rejected"));
    let (_, analyzer) = stop_services(loader, analyzer);
    let events = analyzer.events();
    assert!(!events.iter().any(|event| event.is_about(&path)));
}

/// As one that was killed between making them and giving them to the group left them.
#[test]
fn what_a_loader_left_half_made_is_no_obstacle_and_a_socket_is_never_seen_before_it_is_given() {
    let site = Site::new();
    let launch = launch(&site);
    let socket = launch.handover();
    let directory = socket.parent().expect("it is in a directory").to_owned();
    let unfinished = directory.with_extension("new");
    fs::create_dir(&unfinished).expect("it is ours");
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o700)).expect("it is ours");
    for _ in 0..5 {
        let loader = launch.serve_without_waiting();
        let until = Instant::now() + deadline();
        // Without a pause: what is half made is so for a moment only.
        let made = loop {
            if let Ok(made) = fs::metadata(&socket) {
                break made;
            }
            assert!(Instant::now() < until, "{}", loader.account());
        };
        assert_eq!((made.mode() & 0o7777, made.gid()), (0o660, fimk_group()));
        let above = fs::metadata(&directory).expect("a socket is in it");
        assert_eq!((above.mode() & 0o7777, above.gid()), (0o750, fimk_group()));
        assert!(!unfinished.exists());
        loader.await_log("waits for an analyzer");
        kill(loader);
        fs::remove_file(&socket).expect("who is killed leaves it");
        let half_made = UnixListener::bind(socket.with_extension("new"));
        drop(half_made.expect("it is ours"));
    }
    let loader = launch.serve();
    let analyzer = launch.analyze();
    stop_services(loader, analyzer);
}

fn fimk_group() -> u32 {
    let group = nix::unistd::Group::from_name("fimk").ok().flatten();
    group.expect("Site::new checks it").gid.as_raw()
}

#[test]
fn a_second_analyzer_is_refused_with_status_75() {
    let site = Site::new();
    let launch = launch(&site);
    let loader = launch.serve();
    let analyzer = launch.analyze();
    let mut second = launch.analyze_without_waiting();
    assert_eq!(second.await_exit().code(), Some(75), "{}", second.account());
    assert!(
        second.errors().contains("serves another analyzer"),
        "{}",
        second.errors()
    );
    stop_services(loader, analyzer);
}

#[test]
fn another_user_gets_no_channel() {
    let site = Site::new();
    let launch = launch(&site);
    let loader = launch.serve();
    // Without the group the directory is closed; with it the kernel still says who asks.
    for (group, words) in [
        ("nogroup", "may not be connected to"),
        ("fimk", "does not serve this user"),
    ] {
        let mut stranger = launch.analyze_as("nobody", group);
        // It cannot read the digest key either: with the group it gets as far as the socket.
        let status = stranger.await_exit().code();
        if group == "fimk" {
            assert_eq!(status, Some(77), "{}", stranger.account());
        }
        assert!(
            stranger.errors().contains(words) || status == Some(78),
            "{}",
            stranger.account()
        );
    }
    let analyzer = launch.analyze();
    stop_services(loader, analyzer);
}

#[test]
fn an_analyzer_that_is_started_first_waits_for_its_loader() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let launch = launch(&site);
    let analyzer = launch.analyze_without_waiting();
    let loader = launch.serve();
    analyzer.await_start();
    let shell = append_line(&path, "two");
    analyzer.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    stop_services(loader, analyzer);
}

#[test]
fn a_change_while_the_loader_is_dead_is_reported() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let launch = launch(&site);
    let loader = launch.serve();
    let mut analyzer = launch.analyze();
    let is_bpf = analyzer.is_bpf();
    kill(loader);
    assert!(
        analyzer.await_exit().success(),
        "it ends with its channel\n{}",
        analyzer.account()
    );
    let shell = append_line(&path, "two");
    let loader = launch.serve();
    let analyzer = launch.analyze();
    let expected = Expect::action("modified").of(&path).adds("two");
    // The programs stay attached and the maps pinned; a fanotify group dies with its loader.
    analyzer.expect(if is_bpf {
        expected.by(&shell).field("fimk.detected_by", "event")
    } else {
        expected.field("fimk.detected_by", "gap")
    });
    assert!(
        loader.errors().contains("are taken over"),
        "{}",
        loader.errors()
    );
    let shell = append_line(&path, "three");
    analyzer.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("three"),
    );
    stop_services(loader, analyzer);
}

#[test]
fn a_change_while_the_analyzer_is_dead_is_reported() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let launch = launch(&site);
    let loader = launch.serve();
    let analyzer = launch.analyze();
    let is_bpf = analyzer.is_bpf();
    kill(analyzer);
    let shell = append_line(&path, "two");
    let analyzer = launch.analyze();
    let expected = Expect::action("modified").of(&path).adds("two");
    analyzer.expect(if is_bpf {
        expected.by(&shell)
    } else {
        expected
    });
    let shell = append_line(&path, "three");
    analyzer.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("three"),
    );
    stop_services(loader, analyzer);
}

#[test]
fn names_that_were_given_again_while_both_were_dead_are_told_with_who_gave_them() {
    let site = Site::new();
    let [file, moved] = [site.write("a", "one\n"), site.file("b")];
    let [new, new_moved] = [site.file("n"), site.file("m")];
    let [directory, elsewhere] = [site.file("d"), site.file("e")];
    let [place, away, came] = [site.file("p"), site.file("q"), site.file("r")];
    for path in [&directory, &place] {
        fs::create_dir(path).expect("it is ours");
    }
    let within = site.write("d/f", "one\n");
    let given_again = site.write("p/f", "one\n");
    let launch = launch(&site);
    let loader = launch.serve();
    let analyzer = launch.analyze();
    let is_bpf = analyzer.is_bpf();
    // Their successors walk over all this before they read the records of it.
    kill(loader);
    kill(analyzer);
    let movers = [
        run("mv", &[&file, &moved]),
        run("mv", &[&directory, &elsewhere]),
    ];
    let maker = append_line(&file, "another");
    let mkdir = run("mkdir", &[&directory]);
    let writer = append_line(&within, "another");
    append_line(&new, "one");
    run("mv", &[&new, &new_moved]);
    let second = append_line(&new, "another");
    let remover = run("rm", &[&given_again]);
    run("mv", &[&place, &away]);
    run("mkdir", &[&came]);
    let last = append_line(&came.join("f"), "another");
    run("mv", &[&came, &place]);
    let loader = launch.serve();
    let analyzer = launch.analyze();
    if !is_bpf {
        not_run(
            "names that were given again while both were dead",
            "the source fanotify keeps no records for a successor",
        );
        stop_services(loader, analyzer);
        return;
    }
    for (action, path, who) in [
        ("renamed", &moved, &movers[0]),
        ("renamed", &elsewhere, &movers[1]),
        ("created", &file, &maker),
        ("created", &directory, &mkdir),
        ("created", &within, &writer),
        ("created", &new, &second),
        ("deleted", &given_again, &remover),
        ("modified", &given_again, &last),
    ] {
        analyzer.expect(Expect::action(action).of(path).by(who));
    }
    let (_, analyzer) = stop_services(loader, analyzer);
    let since = [maker, mkdir, writer, second].map(|it| u64::from(it.pid));
    for path in [&moved, &elsewhere, &elsewhere.join("f"), &new_moved] {
        let events = analyzer.events();
        let mut of_path = events.iter().filter(|event| event.is_about(path));
        assert!(
            of_path.all(|event| event
                .number("process.pid")
                .is_none_or(|pid| !since.contains(&pid))),
            "{}",
            analyzer.account()
        );
    }
}

#[test]
fn both_may_be_killed_and_come_back_in_the_other_order() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let gone = site.write("gone", "one\n");
    let new = site.file("new");
    let launch = launch(&site);
    let loader = launch.serve();
    let analyzer = launch.analyze();
    let is_bpf = analyzer.is_bpf();
    kill(loader);
    kill(analyzer);
    let shell = append_line(&path, "two");
    let maker = append_line(&new, "made");
    let remover = run("rm", &[&gone]);
    let analyzer = launch.analyze_without_waiting();
    let loader = launch.serve();
    analyzer.await_start();
    for (expected, who) in [
        (Expect::action("modified").of(&path).adds("two"), &shell),
        (Expect::action("created").of(&new), &maker),
        (Expect::action("deleted").of(&gone), &remover),
    ] {
        analyzer.expect(if is_bpf { expected.by(who) } else { expected });
    }
    stop_services(loader, analyzer);
}

#[test]
fn a_service_and_a_foreground_run_take_turns_on_the_same_pins() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let launch = launch(&site);
    let loader = launch.serve();
    let analyzer = launch.analyze();
    stop_services(loader, analyzer);
    let shell = append_line(&path, "two");
    let monitor = launch.spawn();
    monitor.await_start();
    let expected = Expect::action("modified").of(&path).adds("two");
    monitor.expect(if monitor.is_bpf() {
        expected.by(&shell)
    } else {
        expected
    });
    monitor.stop();
}

#[test]
fn systemd_is_told_when_each_is_ready_and_when_it_stops() {
    let site = Site::new();
    let mut launch = launch(&site);
    for (variable, value) in [("WATCHDOG_USEC", "400000"), ("NOTIFY_SOCKET", "")] {
        launch.variables.push((variable.to_owned(), value.into()));
    }
    let ears = ["loader", "analyzer"].map(|name| listen(&site.outside(name)));
    let told = |ear: &Receiver<Vec<u8>>, wanted: &str| {
        while let Ok(said) = ear.recv_timeout(deadline()) {
            if said == wanted.as_bytes() {
                return;
            }
        }
        panic!("systemd was not told {wanted}");
    };
    launch.variables[1].1 = site.outside("loader");
    let loader = launch.serve();
    told(&ears[0], "READY=1");
    launch.variables[1].1 = site.outside("analyzer");
    let analyzer = launch.analyze_without_waiting();
    // From within the sandbox.
    told(&ears[1], "READY=1");
    told(&ears[1], "WATCHDOG=1");
    told(&ears[0], "WATCHDOG=1");
    stop_services(loader, analyzer);
    told(&ears[1], "STOPPING=1");
    told(&ears[0], "STOPPING=1");
}

/// As systemd does: whatever is said is read at once. A socket keeps ten messages, and more are not waited for.
fn listen(path: &Path) -> Receiver<Vec<u8>> {
    let ear = UnixDatagram::bind(path).expect("it is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("it is ours");
    ear.set_read_timeout(Some(deadline()))
        .expect("it is a socket");
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(length) = ear.recv(&mut buffer)
            && sender.send(buffer[..length].to_vec()).is_ok()
        {}
    });
    receiver
}
