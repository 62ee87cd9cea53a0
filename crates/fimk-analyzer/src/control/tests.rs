//! Real sockets, and a loop like the engine's.
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
};

use tempfile::TempDir;

use super::*;

const ASK: &[u8] = b"{\"command\":\"status\"}\n";
const ANSWER: &str = "{\"well\":true}\n";

struct Scene {
    directory: TempDir,
    control: Control,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let control = Control::bind(directory.path()).expect("bound");
        Self { directory, control }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.directory.path().join("control.sock"));
        stream.expect("it listens")
    }

    /// Some turns of the loop: more than any exchange here takes.
    fn turn(&mut self) {
        for _ in 0..4 {
            for question in self.control.turn() {
                assert_eq!(question.request, Request::Status {});
                assert!(question.trusted, "it comes from our own user");
                self.control.answer(question.number, ANSWER.to_owned());
            }
        }
    }

    /// Ends all connections' time.
    fn pass_time(&mut self) {
        for connection in &mut self.control.connections {
            connection.deadline = Instant::now();
        }
    }
}

/// What was answered, up to the end of the connection.
fn told(mut stream: UnixStream) -> String {
    let mut text = String::new();
    // A reset after the answer is what a peer gets that had sent more than was read.
    let _ = stream.read_to_string(&mut text);
    text
}

fn code(answer: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(answer).expect("it is JSON");
    let error = &answer["error"];
    assert!(error["message"].as_str().is_some_and(|it| it.len() > 10));
    error["code"].as_str().expect("a word").to_owned()
}

#[test]
fn a_question_is_answered_and_the_connection_closed() {
    let mut scene = Scene::new();
    let mut whole = scene.connect();
    whole.write_all(ASK).expect("sent");
    let mut halves = scene.connect();
    halves.write_all(&ASK[..7]).expect("sent");
    scene.turn();
    assert_eq!(told(whole), ANSWER);
    halves.write_all(&ASK[7..]).expect("sent");
    scene.turn();
    assert_eq!(told(halves), ANSWER);
    assert_eq!(scene.control.counts().answered, 2);
    assert!(scene.control.connections.is_empty());
}

#[test]
fn a_half_closed_connection_gets_its_answer_and_a_closed_one_is_forgotten() {
    let mut scene = Scene::new();
    let mut half = scene.connect();
    half.write_all(ASK.trim_ascii_end()).expect("sent");
    half.shutdown(Shutdown::Write).expect("shut");
    let mut gone = scene.connect();
    gone.write_all(ASK).expect("sent");
    drop(gone);
    drop(scene.connect());
    scene.turn();
    assert_eq!(told(half), ANSWER);
    assert!(scene.control.connections.is_empty());
    assert_eq!(scene.control.counts().answered, 1);
}

#[test]
fn garbage_and_what_is_too_long_are_refused_with_a_reason() {
    let mut scene = Scene::new();
    let sent: [&[u8]; 3] = [
        b"\x00\xff\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"command\":\"stop\"}\n",
    ];
    for bytes in sent {
        let mut stream = scene.connect();
        stream.write_all(bytes).expect("sent");
        scene.turn();
        assert_eq!(code(&told(stream)), "bad_request");
    }
    let mut stream = scene.connect();
    stream.write_all(&[b' '; 10_000]).expect("sent");
    scene.turn();
    assert_eq!(code(&told(stream)), "too_long");
    let counts = scene.control.counts();
    assert_eq!(
        (counts.bad_request, counts.too_long, counts.answered),
        (3, 1, 0)
    );
}

#[test]
fn who_says_nothing_is_told_so_and_makes_room() {
    let mut scene = Scene::new();
    let silent: Vec<_> = (0..CONNECTIONS_MAX).map(|_| scene.connect()).collect();
    scene.turn();
    let mut late = scene.connect();
    late.write_all(ASK).expect("sent");
    scene.turn();
    assert_eq!(code(&told(late)), "busy");
    assert!(scene.control.next_due().is_some());
    scene.pass_time();
    scene.turn();
    for stream in silent {
        assert_eq!(code(&told(stream)), "too_slow");
    }
    let mut next = scene.connect();
    next.write_all(ASK).expect("sent");
    scene.turn();
    assert_eq!(told(next), ANSWER);
    let counts = scene.control.counts();
    assert_eq!((counts.busy, counts.too_slow), (1, 8));
    assert_eq!(scene.control.next_due(), None);
}

#[test]
fn who_does_not_take_the_answer_is_dropped() {
    let mut scene = Scene::new();
    let mut stream = scene.connect();
    stream.write_all(ASK).expect("sent");
    let asked = loop {
        if let Some(question) = scene.control.turn().pop() {
            break question.number;
        }
    };
    scene.control.answer(asked, "x".repeat(8 << 20));
    scene.turn();
    assert_eq!(scene.control.connections.len(), 1, "it still has time");
    scene.pass_time();
    scene.turn();
    assert!(scene.control.connections.is_empty());
    assert_eq!(scene.control.counts().too_slow, 1);
}

#[test]
fn who_takes_the_answer_slowly_has_time_as_long_as_it_takes_some() {
    const ALL: usize = 8 << 20;
    let mut scene = Scene::new();
    let mut stream = scene.connect();
    stream.write_all(ASK).expect("sent");
    let asked = loop {
        if let Some(question) = scene.control.turn().pop() {
            break question.number;
        }
    };
    // Its making may have taken long: that is not the other side's fault.
    scene.pass_time();
    scene.control.answer(asked, "x".repeat(ALL));
    scene.turn();
    stream.set_nonblocking(true).expect("set");
    let (mut taken, mut bytes) = (0, vec![0; 64 << 10]);
    while taken < ALL {
        if let Ok(count) = stream.read(&mut bytes) {
            assert_ne!(count, 0, "it was dropped");
            taken += count;
        } else {
            // All that found room was taken.
            scene.pass_time();
            scene.control.turn();
        }
    }
    let counts = scene.control.counts();
    assert_eq!((counts.answered, counts.too_slow), (1, 0));
}

#[test]
fn who_takes_the_answer_bit_by_bit_for_ever_is_dropped_in_the_end() {
    let mut scene = Scene::new();
    let mut stream = scene.connect();
    stream.write_all(ASK).expect("sent");
    let asked = loop {
        if let Some(question) = scene.control.turn().pop() {
            break question.number;
        }
    };
    scene.control.answer(asked, "x".repeat(8 << 20));
    scene.turn();
    let connection = &mut scene.control.connections[0];
    connection.end_at(Instant::now());
    let mut bytes = vec![0; 64 << 10];
    while !scene.control.connections.is_empty() {
        let _ = stream.read(&mut bytes).expect("some is there");
        scene.control.turn();
    }
    assert_eq!(scene.control.counts().too_slow, 1);
}

#[test]
fn a_crowd_is_turned_away_bit_by_bit() {
    let mut scene = Scene::new();
    let crowd: Vec<_> = (0..64).map(|_| scene.connect()).collect();
    scene.control.turn();
    assert_eq!(
        scene.control.counts().busy,
        8,
        "16 at once, of which 8 stay"
    );
    scene.turn();
    assert_eq!(scene.control.counts().busy, 56);
    assert_eq!(scene.control.connections.len(), CONNECTIONS_MAX);
    drop(crowd);
    scene.turn();
    assert!(scene.control.connections.is_empty());
}

#[test]
fn no_user_takes_the_place_of_another_nor_all_of_them_that_of_root() {
    let user = |uid| User {
        gid: 100,
        uid,
        trusted: uid == 0,
        pid: 1,
    };
    let mut connected = vec![user(1), user(1)];
    assert!(!has_place(user(1), &connected) && has_place(user(2), &connected));
    connected.extend([user(2), user(2), user(3), user(3)]);
    assert!(!has_place(user(4), &connected) && has_place(user(0), &connected));
    connected.extend([user(0), user(0)]);
    assert!(!has_place(user(0), &connected));
}
