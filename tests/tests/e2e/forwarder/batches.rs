//! Events are sent together: as many as were asked for, or what there is when their time is over, or when fimk-forwarder ends.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use fimk_tests::{Expect, Site, rule};

use super::{Forwarder, log, until};

/// A server that takes every POST, and keeps how many lines each had.
struct Posts {
    port: u16,
    sizes: Arc<Mutex<Vec<usize>>>,
}

impl Posts {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = listener.local_addr().expect("it is bound").port();
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sizes);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let lines = take(connection);
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(lines);
            }
        });
        Self { port, sizes }
    }

    fn sizes(&self) -> Vec<usize> {
        self.sizes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn output(&self, name: &str, batch: &str) -> String {
        format!(
            "\n[[output]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"http://127.0.0.1:{}/\"\nactions = [\"created\"]\n{batch}\n",
            self.port
        )
    }
}

/// The lines of one request; none where it is none.
fn take(connection: TcpStream) -> Option<usize> {
    let mut reader = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line == "\r\n" {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer.as_bytes()).ok()?;
    Some(body.as_slice().lines().count())
}

#[test]
fn a_batch_goes_when_it_is_full_or_its_time_is_over_or_at_the_end() {
    let test = "batches by number and time";
    if !Forwarder::is_possible(test) {
        return;
    }
    let site = Site::new();
    let (by_number, by_time) = (Posts::listen(), Posts::listen());
    let config = [
        rule(&[&site.files()]),
        // The longest that can be asked for: longer than anything here takes.
        by_number.output("number", "batch_events = 2\nbatch_ms = 60000"),
        by_time.output("time", "batch_ms = 200"),
    ];
    let monitor = site.start(&config.concat());
    let forwarder = Forwarder::start(&site);
    let create = |number: usize| {
        let path = site.write(&number.to_string(), "one\n");
        monitor.expect(Expect::action("created").of(&path));
        until("its time is over", &site, || {
            by_time.sizes().len() == number
        });
    };
    create(1);
    assert_eq!(by_number.sizes(), [0; 0], "it waits for another");
    create(2);
    until("two are enough", &site, || by_number.sizes() == [2]);
    create(3);
    assert_eq!(by_number.sizes(), [2], "it waits for another");
    assert!(forwarder.stop(), "{}", log(&site));
    assert_eq!(by_number.sizes(), [2, 1], "what waits goes at the end");
    assert_eq!(by_time.sizes(), [1, 1, 1]);
    monitor.stop();
}
