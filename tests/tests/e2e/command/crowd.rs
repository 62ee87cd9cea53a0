//! The control socket under a crowd: ten thousand who follow and never read, requests without an end, garbage.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{Expect, Site, append_line, deadline};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

const CROWD: usize = 10_000;

/// What `fimk events --follow` asks.
const FOLLOW: &[u8] = b"{\"command\":\"events\",\"after\":0}\n";

/// Makes room for so many connections; false where this system does not.
fn have_room() -> bool {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("it has a limit");
    let wanted = CROWD as u64 + 500;
    most >= wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, most).is_ok()
}

fn connect(site: &Site) -> UnixStream {
    UnixStream::connect(site.run_dir().join("control.sock")).expect("it listens")
}

#[test]
fn ten_thousand_who_follow_and_never_read_hold_up_nobody() {
    if !have_room() {
        fimk_tests::not_run(
            "ten_thousand_who_follow_and_never_read_hold_up_nobody",
            "a process may not have so many descriptors here",
        );
        return;
    }
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let mut crowd = Vec::with_capacity(CROWD);
    for number in 0..CROWD {
        let mut stream = connect(&site);
        // Who has no place is told so, and the connection may be closed by then.
        let _ = match number % 3 {
            0 => stream.write_all(FOLLOW),
            1 => stream.write_all(&[b'{'; 9_000]),
            _ => stream.write_all(b"\xff\x00]\n"),
        };
        crowd.push(stream);
        if number == CROWD / 2 {
            // In the midst of it: what happens is told as ever.
            let shell = append_line(&path, "two");
            monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
        }
    }
    // They are all still there, and nobody has read a byte.
    let answer = await_answer(&site);
    let refused = &answer["control"]["refused"];
    let sum =
        ["busy", "bad_request", "too_long", "too_slow"].map(|it| refused[it].as_u64().unwrap_or(0));
    let answered = answer["control"]["answered"].as_u64().unwrap_or(0);
    assert!(refused["busy"].as_u64() > Some(0), "{answer}");
    assert!(
        sum.iter().sum::<u64>() + answered >= CROWD as u64 - 16,
        "{answer}"
    );
    assert_eq!(answer["state"], "watching");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", answer["pid"])).expect("it runs");
    assert!(descriptors.count() < 200, "each of them has an end");
    // A sample of what they were told: one line, or nothing.
    for stream in crowd.iter_mut().step_by(997) {
        stream.set_nonblocking(true).expect("it is ours");
        let mut told = String::new();
        let _ = stream.read_to_string(&mut told);
        assert!(told.lines().count() <= 1, "{told}");
    }
    drop(crowd);
    append_line(&path, "three");
    monitor.expect(Expect::action("modified").of(&path).adds("three"));
    monitor.stop();
}

/// Of root, for whom there is a place as soon as one is free.
fn await_answer(site: &Site) -> Value {
    let end = Instant::now() + deadline();
    loop {
        let answer = site.status();
        if !answer.is_null() {
            return answer;
        }
        assert!(Instant::now() < end, "nobody answers");
        thread::sleep(Duration::from_millis(50));
    }
}
