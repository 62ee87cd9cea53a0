//! Drives the real loader as a service, with scripted analyzers that come to it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop"
)]

mod harness;

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, MapType, libbpf_sys};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, socket,
};
use nix::unistd::{Pid, User};

use harness::{Loader, Place, not_run};

/// Where the fields of the pinned `meta` lie.
const COMPLETE: usize = 12;
const BUILD: usize = 16;

/// Changes the pinned `meta` as if another build, or a loader that died while pinning, had written it.
fn patch_meta(place: &Place, field: usize, byte: u8) {
    let meta = MapHandle::from_pinned_path(place.path("bpf/fimk/meta")).expect("it is pinned");
    let key = 0u32.to_ne_bytes();
    let mut value = meta.lookup(&key, MapFlags::ANY).unwrap().unwrap();
    value[field] = byte;
    meta.update(&key, &value, MapFlags::ANY).unwrap();
}

fn map_id(place: &Place, name: &str) -> u32 {
    let path = place.path("bpf/fimk").join(name);
    MapHandle::from_pinned_path(path)
        .expect("it is pinned")
        .info()
        .unwrap()
        .info
        .id
}

fn link_id(place: &Place, name: &str) -> u32 {
    let link = Link::open(place.path("bpf/fimk").join(name)).expect("it is pinned");
    link.info().unwrap().id
}

fn is_link_alive(id: u32) -> bool {
    libbpf_rs::query::LinkInfoIter::default().any(|link| link.id == id)
}

/// The answer of a service to somebody: one byte, or none.
fn answer_to_root(place: &Place) -> Vec<u8> {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    let caller = socket(family, kind, SockFlag::empty(), None).unwrap();
    connect(caller.as_raw_fd(), &UnixAddr::new(&place.socket()).unwrap()).expect("it listens");
    let mut bytes = [0; 8];
    let length = recv(caller.as_raw_fd(), &mut bytes, MsgFlags::empty()).unwrap_or(0);
    bytes[..length].to_vec()
}

fn stop(service: Loader) -> (i32, String) {
    service.stop();
    service.end()
}

#[test]
fn one_analyzer_is_served_a_second_refused_and_the_next_served_when_the_first_is_gone() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    let mut first = place.analyzer("hello=2 who sync");
    let told = first.until("synced 79");
    let own = std::fs::canonicalize(place.path("analyzer")).unwrap();
    let own = format!("executable={}", own.display());
    assert!(told.iter().any(|line| line.ends_with(&own)), "{told:#?}");
    place.analyzer("").until("busy");
    first.kill();
    let mut next = place.analyzer("hello=2 sync");
    next.until("synced 79");
    let (status, log) = stop(service);
    next.until("end");
    assert_eq!(status, 0, "{log}");
    assert_eq!(log.matches(" is attached").count(), 2, "{log}");
    assert!(log.contains("an analyzer is served already"), "{log}");
    assert!(log.contains("changes announced "), "{log}");
    assert!(log.contains("fimk-loader --detach --pin-dir "), "{log}");
    assert!(place.pins().contains(&"actors".to_owned()), "pins stay");
}

#[test]
fn only_the_analyzers_user_is_given_a_channel() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    let socket = std::fs::metadata(place.socket()).unwrap();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    assert_eq!((socket.uid(), socket.gid()), (0, nobody.gid.as_raw()));
    assert_eq!(socket.mode() & 0o777, 0o660);
    let directory = std::fs::metadata(place.path("hand")).unwrap();
    assert_eq!((directory.uid(), directory.gid()), (0, nobody.gid.as_raw()));
    assert_eq!(directory.mode() & 0o7777, 0o750);
    assert_eq!(answer_to_root(&place), Vec::<u8>::new());
    let (status, log) = stop(service);
    assert_eq!(status, 0, "{log}");
    assert!(
        log.contains("uid 0) that asked for a channel was turned away: it is not"),
        "{log}"
    );
}

#[test]
fn a_peer_that_sends_garbage_is_dropped_and_the_next_is_served() {
    let Some(place) = Place::new("") else { return };
    let mut service = place.serve();
    for garbage in ["garbage", "long", "early", "hello=9", "hello=2 hello=2"] {
        // Its channel is closed under it: the second HELLO may be the last it can say.
        let mut peer = place.analyzer(garbage);
        service.until_logged(" is dropped: ");
        let mut rest = String::new();
        let _ = peer.output.read_to_string(&mut rest);
        peer.end();
    }
    // One that asks without end and reads no answer is heard no further than its socket is wide.
    place.analyzer("hello=2 flood").until("flooded");
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    assert_eq!(stop(service).0, 0);
}

#[test]
fn an_analyzer_that_says_hello_and_leaves_does_not_end_the_loader() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    for _ in 0..5 {
        place.analyzer("leave=2").end();
    }
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    let (status, log) = stop(service);
    assert_eq!(status, 0, "{log}");
}

#[test]
fn whoever_connects_in_a_loop_costs_little_and_keeps_nobody_out_for_long() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", service.child.id())).unwrap();
        let fields: Vec<u64> = stat
            .split(' ')
            .skip(13)
            .take(2)
            .map(|n| n.parse().unwrap())
            .collect();
        fields.iter().sum::<u64>()
    };
    let before = ticks();
    let until = Instant::now() + Duration::from_secs(3);
    let mut callers = Vec::new();
    while Instant::now() < until {
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let caller = socket(family, kind, SockFlag::SOCK_NONBLOCK, None).unwrap();
        let _ = connect(caller.as_raw_fd(), &UnixAddr::new(&place.socket()).unwrap());
        callers.push(caller);
        callers.truncate(100);
    }
    drop(callers);
    let spent = ticks() - before;
    assert!(spent < 30, "{spent} ticks of CPU time in 3 s");
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    let (status, log) = stop(service);
    assert_eq!(status, 0, "{log}");
    assert!(log.lines().count() < 20, "{log}");
}

#[test]
fn a_service_has_only_the_privileges_it_needs() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    let mut analyzer = place.analyzer("hello=2 sync");
    analyzer.until("synced 79");
    let pid = service.child.id();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in [
        "CapEff:\t000000c000000000",
        "CapPrm:\t000000c000000000",
        "CapBnd:\t0000000000000000",
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert_eq!(stop(service).0, 0);
}

#[test]
fn a_second_service_is_refused_by_the_pins_and_by_the_socket() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    let (status, log) = Loader::from(place.service()).end();
    assert_eq!(status, 75, "{log}");
    assert!(log.contains("another fimk-loader uses"), "{log}");
    let mut other = Command::new(env!("CARGO_BIN_EXE_fimk-loader"));
    other.args(["--user", "nobody"]);
    other.arg("--handover").arg(place.socket());
    other.arg("--pin-dir").arg(place.path("bpf/other"));
    let output = other.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{log}");
    assert!(log.contains("another fimk-loader listens at"), "{log}");
    let _ = std::fs::remove_dir(place.path("bpf/other"));
    service.kill();
    // A killed one leaves its socket; it hinders nobody.
    place.analyzer("").until("no connection");
    assert_eq!(stop(place.serve()).0, 0);
}

#[test]
fn what_stands_where_the_socket_belongs_is_not_removed_or_followed() {
    let Some(place) = Place::new("") else { return };
    let hand = place.path("hand");
    let refused = |words: &str| {
        let (status, log) = Loader::from(place.service()).end();
        assert_eq!(status, 74, "{log}");
        assert!(log.contains(words), "{words}: {log}");
    };
    symlink("/etc", &hand).unwrap();
    refused("hand cannot be made");
    std::fs::remove_file(&hand).unwrap();
    std::fs::create_dir(&hand).unwrap();
    std::fs::set_permissions(&hand, PermissionsExt::from_mode(0o770)).unwrap();
    refused("others than root may write to it");
    std::fs::set_permissions(&hand, PermissionsExt::from_mode(0o755)).unwrap();
    chown(&hand, Some(1), None).unwrap();
    refused("others than root may write to it");
    chown(&hand, Some(0), None).unwrap();
    std::fs::write(place.socket(), "precious").unwrap();
    refused("it is no socket");
    assert_eq!(std::fs::read(place.socket()).unwrap(), b"precious");
}

#[test]
fn pins_of_a_killed_loader_are_taken_over_with_all_they_know() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    let ids =
        || ["actors", "pids", "exits", "process_counters", "meta"].map(|name| map_id(&place, name));
    let link = || link_id(&place, "link_sched_process_exec");
    let before = (ids(), link());
    service.kill();
    let mut gone = Command::new("true").spawn().unwrap();
    let pid = gone.id();
    gone.wait().unwrap();

    let mut service = place.serve();
    let mut analyzer = place.analyzer(&format!("hello=2 who={pid} sync"));
    let told = analyzer.until("synced 79");
    let actor = told.iter().find(|line| line.starts_with("actor")).unwrap();
    assert!(
        actor.ends_with("/true"),
        "it ran while no loader did: {told:#?}"
    );
    service.until_logged("are taken over");
    assert_eq!((ids(), link()), before);
    assert_eq!(stop(service).0, 0);
}

#[test]
fn a_bring_up_that_fails_leaves_the_pins_to_be_taken_over() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    service.kill();
    let pins = place.path("bpf/fimk");
    let mut actors = MapHandle::from_pinned_path(pins.join("actors")).unwrap();
    let id = map_id(&place, "actors");
    let left = pins.join("new_actors");
    actors.pin(&left).unwrap();
    std::fs::set_permissions(&left, PermissionsExt::from_mode(0o600)).unwrap();
    let service = place.serve();
    let mut analyzer = place.analyzer("hello=1 sync");
    if until_or_refused(&mut analyzer, "synced 79").is_some() {
        assert_eq!(stop(service).0, 0);
    } else {
        // This kernel refuses trampolines, and the source that was asked for has no substitute.
        assert_eq!(service.end().0, 69);
    }
    let mut service = place.serve();
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    service.until_logged("are taken over");
    assert_eq!(map_id(&place, "actors"), id);
    assert!(!left.exists());
    assert_eq!(stop(service).0, 0);
}

#[test]
fn pins_of_another_build_serve_until_new_ones_do() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    let before = (
        map_id(&place, "actors"),
        link_id(&place, "link_sched_process_exec"),
    );
    service.kill();
    patch_meta(&place, BUILD, 1);
    let mut service = place.serve();
    assert!(is_link_alive(before.1), "until somebody says HELLO");
    place.analyzer("hello=2 who sync exit=0").until("synced 79");
    service.until_logged("are of another build and are replaced");
    let after = (
        map_id(&place, "actors"),
        link_id(&place, "link_sched_process_exec"),
    );
    assert!(after.0 != before.0 && after.1 != before.1);
    assert!(
        place.pins().iter().all(|name| !name.starts_with("new_")),
        "{:?}",
        place.pins()
    );
    service.kill();
    // What was put in place is whole.
    let mut service = place.serve();
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    service.until_logged("are taken over");
    assert_eq!(map_id(&place, "actors"), after.0);
    assert_eq!(stop(service).0, 0);
}

#[test]
fn half_written_pins_are_removed_and_made_anew() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    service.kill();
    for meta in [true, false] {
        if meta {
            patch_meta(&place, COMPLETE, 0);
        } else {
            std::fs::remove_file(place.path("bpf/fimk/meta")).unwrap();
        }
        let before = map_id(&place, "actors");
        let mut service = place.serve();
        place.analyzer("hello=2 sync exit=0").until("synced 79");
        service.until_logged("because they are not whole");
        assert_ne!(map_id(&place, "actors"), before);
        service.kill();
    }
}

#[test]
fn what_a_loader_left_that_died_while_it_pinned_for_the_first_time_is_removed() {
    let Some(place) = Place::new("") else { return };
    for meta in [true, false] {
        let service = place.serve();
        place.analyzer("hello=2 sync exit=0").until("synced 79");
        service.kill();
        let pins = place.path("bpf/fimk");
        for name in place.pins() {
            std::fs::rename(pins.join(&name), pins.join(format!("new_{name}"))).unwrap();
        }
        if !meta {
            std::fs::remove_file(pins.join("new_meta")).unwrap();
        }
        let mut service = place.serve();
        place.analyzer("hello=2 sync exit=0").until("synced 79");
        service.until_logged("because they are not whole");
        assert!(
            place.pins().iter().all(|name| !name.starts_with("new_")),
            "{:?}",
            place.pins()
        );
        assert_eq!(stop(service).0, 0);
        assert_eq!(Loader::from_piped(detach(&place)).end().0, 0);
    }
}

#[test]
fn a_squatted_pin_directory_is_refused_with_what_to_do() {
    let Some(place) = Place::new("") else { return };
    let pins = place.path("bpf/fimk");
    let refused = |words: &str| {
        for command in [place.service(), detach(&place)] {
            let (status, log) = Loader::from_piped(command).end();
            assert_eq!(status, 74, "{words}: {log}");
            assert!(log.contains(words), "{words}: {log}");
        }
    };
    symlink("/sys/fs/bpf", &pins).unwrap();
    refused("the pin directory");
    std::fs::remove_file(&pins).unwrap();

    std::fs::create_dir(&pins).unwrap();
    chown(&pins, Some(1), None).unwrap();
    refused("it belongs to uid 1; remove it");
    chown(&pins, Some(0), None).unwrap();
    std::fs::set_permissions(&pins, PermissionsExt::from_mode(0o700)).unwrap();

    // A regular file that is no pin cannot be made on a BPF file system.
    assert!(std::fs::write(pins.join("actors"), "").is_err());
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let name = Some("foreign");
    let mut map = MapHandle::create(MapType::Array, name, 4, 4, 1, &options).unwrap();
    for name in ["cilium_calls", "meta"] {
        map.pin(pins.join(name)).unwrap();
        std::fs::set_permissions(pins.join(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
    refused("are not fimk's: name another --pin-dir");
    let (status, log) = place.start().end();
    assert_eq!(status, 74, "{log}");
    assert!(
        pins.join("cilium_calls").exists(),
        "it is left alone: {log}"
    );
    std::fs::remove_file(pins.join("cilium_calls")).unwrap();

    std::fs::set_permissions(pins.join("meta"), PermissionsExt::from_mode(0o666)).unwrap();
    refused("meta in it has mode 666 and not 600; remove it");
    std::fs::set_permissions(pins.join("meta"), PermissionsExt::from_mode(0o600)).unwrap();
    chown(pins.join("meta"), Some(1), None).unwrap();
    refused("meta in it belongs to uid 1; remove it");
    chown(pins.join("meta"), Some(0), None).unwrap();
    std::fs::set_permissions(&pins, PermissionsExt::from_mode(0o777)).unwrap();
    refused("its mode is 777 and not 700; remove it");
    std::fs::set_permissions(&pins, PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::remove_file(pins.join("meta")).unwrap();
    std::fs::create_dir(pins.join("link_x")).unwrap();
    refused("link_x in it is no pinned object; remove it");
}

fn detach(place: &Place) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fimk-loader"));
    command
        .arg("--detach")
        .arg("--pin-dir")
        .arg(place.path("bpf/fimk"));
    command
}

#[test]
fn detach_leaves_nothing_attached_and_refuses_while_a_loader_lives() {
    let Some(place) = Place::new("") else { return };
    let run = || Loader::from_piped(detach(&place)).end();
    let (status, log) = run();
    assert_eq!(status, 0, "{log}");
    assert!(log.contains("nothing is pinned in"), "{log}");
    let service = place.serve();
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    let (status, log) = run();
    assert_eq!(status, 75, "{log}");
    let link = link_id(&place, "link_sched_process_exec");
    assert_eq!(stop(service).0, 0);
    assert!(is_link_alive(link), "it stays attached after a stop");
    let (status, log) = run();
    assert_eq!(status, 0, "{log}");
    assert!(log.contains("pins were removed from"), "{log}");
    assert!(!place.path("bpf/fimk").exists());
    // The kernel frees a link a moment after its last name is gone.
    let until = Instant::now() + Duration::from_secs(20);
    while is_link_alive(link) {
        assert!(Instant::now() < until, "the link is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_foreground_run_that_fails_leaves_what_a_service_pinned() {
    let Some(place) = Place::new("exit=78") else {
        return;
    };
    let service = place.serve();
    place.analyzer("hello=2 sync exit=0").until("synced 79");
    assert_eq!(stop(service).0, 0);
    let (status, log) = place.start().end();
    assert_eq!(status, 78, "{log}");
    assert!(log.contains("what an earlier loader pinned"), "{log}");
    assert!(place.pins().contains(&"actors".to_owned()));
}

#[test]
fn systemd_is_told_of_start_stop_and_signs_of_life() {
    let Some(place) = Place::new("") else { return };
    let path = place.path("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut command = place.service();
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000");
    let service = Loader::from(command);
    let until = |wanted: &str| {
        let mut buffer = [0; 256];
        loop {
            let length = systemd.recv(&mut buffer).expect(wanted);
            if buffer[..length] == *wanted.as_bytes() {
                return;
            }
        }
    };
    until("READY=1");
    until("WATCHDOG=1");
    // After the sandbox as well.
    let mut analyzer = place.analyzer("hello=2 sync");
    analyzer.until("synced 79");
    until("STATUS=the source fanotify serves: it was asked for");
    until("WATCHDOG=1");
    service.stop();
    until("STOPPING=1");
    assert_eq!(service.end().0, 0);
}

#[test]
fn a_change_made_while_nobody_ran_is_told_with_who_made_it() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    let mut analyzer = place.analyzer("hello=1 arm sync");
    let Some(lines) = until_or_refused(&mut analyzer, "synced 79") else {
        let (status, log) = service.end();
        assert_eq!(status, 69, "{log}");
        let wanted = std::env::var("FIMK_EXPECT_SOURCE").unwrap_or_default();
        assert_ne!(wanted, "bpf", "it is expected here: {log}");
        not_run(
            "a change made while nobody ran",
            "this kernel refuses BPF trampolines; run it in a virtual machine",
        );
        return;
    };
    assert!(
        lines.iter().any(|line| line == "armed rule=7 flags=0"),
        "{lines:#?}"
    );
    let names = ["watch", "dirty", "taken", "ring", "filter", "file_counters"];
    let ids = || names.map(|name| map_id(&place, name));
    let link = || link_id(&place, "link_vfs_write");
    let before = (ids(), link());
    service.kill();
    analyzer.until("end");
    let watched = place.path("state/watched");
    let mut shell = Command::new("sh")
        .args(["-c", "echo more >>\"$0\""])
        .arg(&watched)
        .spawn()
        .unwrap();
    let pid = shell.id();
    shell.wait().unwrap();

    let mut service = place.serve();
    // Told, and not taken: the next analyzer is told again. Arming works on the variables that were taken over.
    for script in [
        "hello=1 sync exit=0",
        &format!("hello=1 who={pid} sync arm exit=0"),
    ] {
        let lines = place.analyzer(script).until("synced 79");
        let touch = format!("touch pid={pid} ");
        assert!(
            lines.iter().any(|line| line.starts_with(&touch)),
            "{touch}: {lines:#?}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("ready source=1") && !line.contains(" kept=0 "))
        );
    }
    service.until_logged("are taken over, with ");
    assert_eq!((ids(), link()), before);
    let mut analyzer = place.analyzer("hello=1 arm change sync");
    let lines = analyzer.until("synced 79");
    assert!(
        lines.iter().any(|line| line.starts_with("armed rule=7")),
        "{lines:#?}"
    );
    drop(analyzer);
    // A program that somebody has detached meanwhile is attached again.
    service.kill();
    std::fs::remove_file(place.path("bpf/fimk/link_vfs_write")).unwrap();
    let mut service = place.serve();
    place
        .analyzer("hello=1 arm change sync exit=0")
        .until("synced 79");
    service.until_logged("the hook vfs_write is not attached any more");
    assert_ne!(link(), before.1);
    let before = (before.0, link());
    // A change that nobody took, beside one that is not done, and another build: both go on, and the new programs work.
    Command::new("sh")
        .args(["-c", "echo again >>\"$0\""])
        .arg(&watched)
        .status()
        .unwrap();
    service.kill();
    patch_meta(&place, BUILD, 1);
    let mut service = place.serve();
    assert!(is_link_alive(before.1), "until somebody says HELLO");
    let lines = place
        .analyzer("hello=1 arm change sync exit=0")
        .until("synced 79");
    assert!(
        lines.iter().any(|line| line.contains(" kept=2 ")),
        "{lines:#?}"
    );
    service.until_logged("are of another build and are replaced");
    service.until_logged(" and 2 changes that are not done go on under the new programs");
    assert!(
        link() != before.1
            && !names
                .iter()
                .zip(before.0)
                .any(|(name, id)| map_id(&place, name) == id)
    );
    assert_eq!(stop(service).0, 0);
    let log = Loader::from_piped(detach(&place)).end().1;
    assert!(log.contains("pins were removed from"), "{log}");
    assert!(!place.path("bpf/fimk").exists());
}

/// The analyzer's lines up to one that starts so, or `None` if its channel ends before.
fn until_or_refused(analyzer: &mut Loader, start: &str) -> Option<Vec<String>> {
    use std::io::BufRead;
    let mut lines = Vec::new();
    for line in analyzer.output.by_ref().lines() {
        lines.push(line.expect("text"));
        if lines.last().is_some_and(|line| line.starts_with(start)) {
            return Some(lines);
        }
    }
    None
}

#[test]
fn a_loader_that_is_killed_while_an_analyzer_works_ends_its_channel() {
    let Some(place) = Place::new("") else { return };
    let service = place.serve();
    let mut analyzer = place.analyzer("hello=2 sync");
    analyzer.until("synced 79");
    let pid = Pid::from_raw(service.child.id().cast_signed());
    kill(pid, Signal::SIGKILL).unwrap();
    analyzer.until("end");
    service.end();
    assert!(Path::new(&place.path("bpf/fimk/actors")).exists());
}
