//! HTTP: batches by POST, each over a connection of its own, which says for certain where an answer begins.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use fimk_core::{
    config::{self, HttpBody},
    render::harmless,
};
use flate2::{Compression, write::GzEncoder};

use super::{REFUSED_MAX, Receiver, Taken};
use crate::{link::Link, secret};

/// Of status line and headers.
const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 128;

/// Of the body, for a sentence.
const EXCERPT_BYTES: usize = 200;

/// An event that was refused alone so often, with growing pauses, will not be taken: with the pauses of
/// [`crate::pace::Backoff`] that is some seconds.
const ATTEMPTS: u32 = 5;

/// See the module.
pub struct Http {
    config: config::Http,
    timeout: Duration,
    /// Events that the server takes at once, after it said that it was given too much.
    most: usize,
    /// The event that it refused alone, and how often.
    refused: Option<(String, u32)>,
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    excerpt: String,
}

impl Http {
    /// As configured.
    pub fn new(config: config::Http, timeout: Duration) -> Self {
        Self {
            most: config.batch_events,
            config,
            timeout,
            refused: None,
        }
    }

    fn post(&self, body: &[u8]) -> Result<Answer, String> {
        let head = self.head(body.len())?;
        let mut link = Link::open(&self.config.address, self.config.tls.as_ref(), self.timeout)?;
        link.write(head.as_bytes())?;
        let written = link.write(body);
        // Who refuses may do so before it has read everything.
        let answer = answer(&mut link, Instant::now() + self.timeout);
        match written {
            // But who takes what it has not read has not taken it.
            Err(why) => answer.ok().filter(|it| !it.is_success()).ok_or(why),
            Ok(()) => answer,
        }
    }

    fn head(&self, length: usize) -> Result<String, String> {
        let config = &self.config;
        let kind = match config.body {
            HttpBody::Array => "application/json",
            HttpBody::Ndjson => "application/x-ndjson",
        };
        let mut lines = vec![
            format!("POST {} HTTP/1.1", config.path),
            format!("Host: {}", self.host()),
            concat!("User-Agent: fimk/", env!("CARGO_PKG_VERSION")).to_owned(),
            "Accept: */*".to_owned(),
            format!("Content-Type: {kind}"),
            format!("Content-Length: {length}"),
            "Connection: close".to_owned(),
        ];
        if config.gzip {
            lines.push("Content-Encoding: gzip".to_owned());
        }
        if let Some(file) = &config.token_file {
            // Read each time: tokens are exchanged while we run.
            let token = secret::token(file)?;
            lines.push(format!("Authorization: {} {token}", config.token_scheme));
        }
        let own = config.headers.iter();
        lines.extend(own.map(|(name, value)| format!("{name}: {value}")));
        Ok(lines.join("\r\n") + "\r\n\r\n")
    }

    fn host(&self) -> String {
        let address = &self.config.address;
        let usual = if self.config.tls.is_some() { 443 } else { 80 };
        let all = address.to_string();
        if address.port == usual {
            all.rsplit_once(':')
                .map_or(all.clone(), |(host, _)| host.to_owned())
        } else {
            all
        }
    }

    fn body(&self, records: &[String]) -> Vec<u8> {
        let body = match self.config.body {
            HttpBody::Ndjson => records.iter().flat_map(|it| [it.as_str(), "\n"]).collect(),
            HttpBody::Array => format!("[{}]", records.join(",\n")),
        };
        if !self.config.gzip {
            return body.into_bytes();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        let _ = encoder.write_all(body.as_bytes());
        encoder.finish().unwrap_or_default()
    }
}

impl Receiver for Http {
    fn send(&mut self, records: &[String]) -> Result<Taken, String> {
        loop {
            let some = &records[..records.len().min(self.most)];
            let answer = self.post(&self.body(some))?;
            if answer.is_success() {
                // What was too much once may be little of something else.
                self.most = (self.most.saturating_mul(2)).min(self.config.batch_events);
                self.refused = None;
                return Ok(Taken::all(some.len()));
            }
            if !answer.is_about_events() {
                return Err(answer.sentence());
            }
            if some.len() == 1 {
                return self.pass_over(records, &answer);
            }
            // Too much at once, or one that is not to its liking: the others are not held up by it.
            self.most = some.len() / 2;
        }
    }

    fn batch(&self) -> (usize, Duration) {
        let within = Duration::from_millis(self.config.batch_ms);
        // Those behind one that is refused are needed to learn whether it alone is.
        let more = self.refused.as_ref().map_or(0, |_| REFUSED_MAX);
        (self.config.batch_events + more, within)
    }
}

impl Http {
    /// The first event was refused alone. When it was so often enough, and one of the next is taken, it is for good; a
    /// server that takes none of them refuses all, and then none is given up. Those between were refused once, which is
    /// not enough: their turn comes, and what was taken behind them goes twice.
    fn pass_over(&mut self, records: &[String], answer: &Answer) -> Result<Taken, String> {
        let first = records.first().cloned().unwrap_or_default();
        let before = self.refused.take().filter(|(event, _)| *event == first);
        let attempts = before.map_or(0, |(_, attempts)| attempts).saturating_add(1);
        self.refused = Some((first, attempts));
        let why = answer.sentence();
        if attempts < ATTEMPTS {
            return Err(why);
        }
        for place in 1..records.len().min(REFUSED_MAX + 1) {
            let answer = self.post(&self.body(&records[place..=place]))?;
            if answer.is_success() {
                self.refused = None;
                return Ok(Taken {
                    count: if place == 1 { 2 } else { 1 },
                    refused: vec![0],
                    why,
                });
            }
            if !answer.is_about_events() {
                return Err(answer.sentence());
            }
        }
        Err(why)
    }
}

impl Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// It is what was sent that the server does not like, be it how much or what: the same event will not be taken later.
    fn is_about_events(&self) -> bool {
        matches!(self.status, 400 | 413 | 422)
    }

    fn sentence(&self) -> String {
        refused(self.status, &self.excerpt)
    }
}

fn refused(status: u16, excerpt: &str) -> String {
    let hint = match status {
        401 | 403 => ": see token_file and headers",
        404 | 405 => ": see the url",
        300..=399 => ": it leads elsewhere, and fimk does not follow; give the url that it means",
        400 | 413 | 415 | 422 => ": see what it takes (format, body, gzip)",
        _ => "",
    };
    let said = if excerpt.is_empty() {
        String::new()
    } else {
        format!(" (\"{excerpt}\")")
    };
    format!("it answers {status}{said}{hint}")
}

/// The final answer: what comes before it (1xx) is passed over.
fn answer(link: &mut Link, end: Instant) -> Result<Answer, String> {
    let mut bytes = Vec::new();
    let mut closed = false;
    loop {
        match parse(&bytes)? {
            Parsed::Passing(length) => drop(bytes.drain(..length)),
            Parsed::Final(status, length) => {
                return Ok(Answer {
                    status,
                    excerpt: excerpt(link, bytes.split_off(length), status),
                });
            }
            Parsed::Partial if closed && bytes.is_empty() => {
                return Err("it closed the connection without an answer".to_owned());
            }
            Parsed::Partial if closed || bytes.len() > HEAD_BYTES_MAX => {
                return Err("its answer is not HTTP: see what listens there".to_owned());
            }
            Parsed::Partial => {
                let mut some = [0; 4096];
                let count = link.read(&mut some, end)?;
                bytes.extend_from_slice(&some[..count]);
                closed = count == 0;
            }
        }
    }
}

enum Parsed {
    Partial,
    /// So long is its head.
    Passing(usize),
    Final(u16, usize),
}

fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(Parsed::Partial),
        Ok(httparse::Status::Complete(length)) => Ok(match response.code {
            Some(100..=199) => Parsed::Passing(length),
            status => Parsed::Final(status.unwrap_or(0), length),
        }),
        Err(error) => Err(format!(
            "its answer is not HTTP ({error}): see what listens there"
        )),
    }
}

/// Where it went wrong, the beginning of what the server says to it.
fn excerpt(link: &mut Link, mut body: Vec<u8>, status: u16) -> String {
    if (200..300).contains(&status) {
        return String::new();
    }
    let end = Instant::now() + Duration::from_millis(200);
    let mut some = [0; EXCERPT_BYTES];
    while body.len() < EXCERPT_BYTES
        && let Ok(count @ 1..) = link.read(&mut some, end)
    {
        body.extend_from_slice(&some[..count]);
    }
    body.truncate(EXCERPT_BYTES);
    harmless(String::from_utf8_lossy(&body).trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{
        io::{BufRead as _, BufReader, Read as _},
        net::TcpListener,
        thread,
    };

    use super::*;

    fn config(lines: &str, port: u16) -> config::Http {
        let text = format!(
            "[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n[[output]]\ntype = \"http\"\nurl = \"http://127.0.0.1:{port}/in?x=1\"\n{lines}"
        );
        let config = config::parse(&text, "x").expect("valid");
        match config.outputs[0].kind.remote().map(|it| it.way.clone()) {
            Some(config::Way::Http(http)) => *http,
            _ => panic!("it is of that type"),
        }
    }

    /// The lines of a head, and a body.
    type Posted = (Vec<String>, Vec<u8>);

    /// Answers each request in turn; what it read, without the line ends of the head.
    fn server(answers: &'static [&'static [u8]]) -> (u16, thread::JoinHandle<Vec<Posted>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let served = thread::spawn(move || {
            let serve = |answer: &&[u8]| {
                let (stream, _) = listener.accept().expect("somebody comes");
                let mut reader = BufReader::new(&stream);
                let mut head = Vec::new();
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).expect("a line");
                    let line = line.trim_end().to_owned();
                    if line.is_empty() {
                        break;
                    }
                    if let Some(number) = line.strip_prefix("Content-Length: ") {
                        length = number.parse().expect("a number");
                    }
                    head.push(line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("the body");
                (&stream).write_all(answer).expect("taken");
                (head, body)
            };
            answers.iter().map(serve).collect()
        });
        (port, served)
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    fn http(lines: &str, port: u16) -> Http {
        Http::new(config(lines, port), Duration::from_secs(20))
    }

    fn records(count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("{{\"n\":{number}}}"))
            .collect()
    }

    #[test]
    fn a_batch_is_lines_or_an_array_with_the_headers_that_were_asked_for() {
        let (port, served) = server(&[
            OK,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ]);
        let mut lines = http("headers = [\"X-Scope: a b\"]\n", port);
        assert_eq!(lines.send(&records(2)), Ok(Taken::all(2)));
        let mut array = http("body = \"array\"\ngzip = true\n", port);
        assert_eq!(array.send(&records(2)), Ok(Taken::all(2)));
        let served = served.join().expect("it ended");
        let (head, body) = &served[0];
        assert_eq!(head[0], "POST /in?x=1 HTTP/1.1");
        assert!(head.contains(&format!("Host: 127.0.0.1:{port}")));
        assert!(head.contains(&"X-Scope: a b".to_owned()));
        assert_eq!(body, b"{\"n\":0}\n{\"n\":1}\n");
        let (head, body) = &served[1];
        assert!(head.contains(&"Content-Encoding: gzip".to_owned()));
        let mut text = String::new();
        flate2::read::GzDecoder::new(body.as_slice())
            .read_to_string(&mut text)
            .expect("gzip");
        assert_eq!(text, "[{\"n\":0},\n{\"n\":1}]");
    }

    #[test]
    fn what_is_too_much_at_once_is_halved_until_it_is_taken() {
        const TOO_MUCH: &[u8] = b"HTTP/1.1 413 no\r\n\r\n";
        let (port, served) = server(&[TOO_MUCH, TOO_MUCH, OK, OK]);
        let mut http = http("", port);
        assert_eq!(http.send(&records(8)), Ok(Taken::all(2)));
        assert_eq!(http.send(&records(8)), Ok(Taken::all(4)));
        let sizes: Vec<usize> = served
            .join()
            .expect("it ended")
            .iter()
            .map(|(_, body)| body.len() / 8)
            .collect();
        assert_eq!(sizes, [8, 4, 2, 4]);
    }

    const BAD: &[u8] = b"HTTP/1.1 400 not this\r\n\r\n";

    #[test]
    fn an_event_that_is_refused_for_good_is_passed_over_once_another_is_taken() {
        let (port, served) = server(&[BAD, BAD, BAD, BAD, BAD, BAD, BAD, OK]);
        let mut http = http("batch_events = 1\n", port);
        let first = &records(1)[..];
        for _ in 1..ATTEMPTS {
            let why = http.send(first).expect_err("it may be taken yet");
            assert!(why.contains("400"), "{why}");
        }
        assert_eq!(http.batch().0, 1 + REFUSED_MAX, "others are asked for");
        let taken = http.send(&records(4)).expect("the last but one is taken");
        assert_eq!(
            (taken.count, &taken.refused[..]),
            (1, &[0][..]),
            "the two behind it were refused only once"
        );
        assert!(taken.why.contains("400"), "{}", taken.why);
        assert_eq!(http.batch().0, 1);
        let last = served.join().expect("it ended").pop();
        assert_eq!(last.expect("a request").1, b"{\"n\":3}\n");
        let (port, served) = server(&[BAD, BAD, BAD, BAD, BAD, OK]);
        let mut http = self::http("batch_events = 1\n", port);
        for _ in 1..ATTEMPTS {
            http.send(first).expect_err("it may be taken yet");
        }
        let taken = http.send(&records(2)).expect("the next is taken");
        assert_eq!((taken.count, &taken.refused[..]), (2, &[0][..]));
        served.join().expect("it ended");
    }

    #[test]
    fn a_server_that_refuses_everything_makes_no_event_be_given_up() {
        let (port, served) = server(&[BAD; ATTEMPTS as usize + 2]);
        let mut http = http("batch_events = 1\n", port);
        for _ in 0..ATTEMPTS {
            let given = if http.batch().0 > 1 { 3 } else { 1 };
            assert!(http.send(&records(given)).is_err());
        }
        assert_eq!(
            served.join().expect("it ended").len(),
            ATTEMPTS as usize + 2
        );
    }

    #[test]
    fn whatever_is_no_success_says_what_it_was() {
        for (answer, word) in [
            (
                b"HTTP/1.1 500 Oops\r\n\r\nthe\x1b[2J disk\nis full".as_slice(),
                "it answers 500 (\"the\\u{1b}[2J disk\\u{a}is full\")",
            ),
            (
                b"HTTP/1.1 401 Who\r\n\r\n",
                "it answers 401: see token_file",
            ),
            (
                b"HTTP/1.1 302 Away\r\nLocation: http://elsewhere/\r\n\r\n",
                "does not follow",
            ),
            (b"HTTP/1.1 413 Huge\r\n\r\n", "it answers 413"),
            (b"", "without an answer"),
            (b"SSH-2.0-OpenSSH\r\n", "is not HTTP"),
            (b"HTTP/1.1 200", "is not HTTP"),
            (b"\x00\xff\x00", "is not HTTP"),
        ] {
            let answers: &'static [&'static [u8]] = Box::leak(Box::new([answer]));
            let (port, served) = server(answers);
            let why = http("", port).send(&records(1)).expect_err("no success");
            assert!(why.contains(word), "{why}");
            served.join().expect("it ended");
        }
    }
}
