//! One output: fetches its events, sends them, says how far it came. What is not said to have been taken stays in the
//! analyzer's database and is fetched again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fimk_core::request::{Forward, Refused};

use crate::{
    ask::{Analyzer, Handed},
    pace::{Backoff, News},
    receiver::{Receiver, Taken},
    stop::Stop,
};

/// How often is asked when nothing waits.
const IDLE: Duration = Duration::from_millis(250);

/// The name of an output, its analyzer and its receiver.
pub struct Courier {
    name: String,
    place: String,
    analyzer: Arc<Analyzer>,
    receiver: Box<dyn Receiver>,
    stop: Stop,
    /// The epoch of the last answer, and the ticket up to which all was sent.
    done: Option<(String, u64)>,
    /// Those among them that the receiver will never take.
    refused: Option<Refused>,
    problem: Option<String>,
    /// Since when events wait that are too few for a batch.
    waiting: Option<Instant>,
    /// Of the receiver, and of the analyzer.
    backoff: (Backoff, Backoff),
    news: (News, News),
}

impl Courier {
    /// `place`: where it goes, for sentences.
    pub fn new(
        (name, place): (String, String),
        analyzer: Arc<Analyzer>,
        receiver: Box<dyn Receiver>,
        stop: Stop,
    ) -> Self {
        let news = (
            News::of(format!("output \"{name}\", {place}")),
            News::of(format!("output \"{name}\"")),
        );
        Self {
            name,
            place,
            analyzer,
            receiver,
            stop,
            done: None,
            refused: None,
            problem: None,
            waiting: None,
            backoff: Default::default(),
            news,
        }
    }

    /// Until it is to end, and nothing waits or nothing is taken.
    pub fn run(mut self) {
        while !self.stop.is_over() && self.turn() {}
    }

    /// One question, and what follows from it; false at the end.
    fn turn(&mut self) -> bool {
        let stopping = self.stop.is_set();
        let (most, within) = self.receiver.batch();
        let handed = match self.ask(most) {
            Ok(handed) => handed,
            Err(why) => {
                self.news.1.bad(&why);
                let pause = self.backoff.1.next();
                return !stopping && self.pause(pause);
            }
        };
        self.news.1.good();
        self.backoff.1.reset();
        if handed.records.is_empty() {
            self.waiting = None;
            self.stop.sleep(IDLE);
            return !stopping;
        }
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let early = within.saturating_sub(since.elapsed());
        if !stopping && !handed.more && handed.records.len() < most && !early.is_zero() {
            self.stop.sleep(early.min(IDLE));
            return true;
        }
        self.waiting = None;
        if self.send(handed) {
            return true;
        }
        let pause = self.backoff.0.next();
        !stopping && self.pause(pause)
    }

    fn send(&mut self, handed: Handed) -> bool {
        let (tickets, records): (Vec<u64>, Vec<String>) = handed.records.into_iter().unzip();
        match self.receiver.send(&records) {
            Ok(taken) => {
                let last = taken.count.checked_sub(1).and_then(|at| tickets.get(at));
                self.done = last.map(|ticket| (handed.epoch, *ticket));
                self.refused = refused(&taken, &tickets);
                self.problem = self.receiver.complaint();
                match &self.problem {
                    Some(why) => self.news.0.bad(why),
                    None => self.news.0.good(),
                }
                self.backoff.0.reset();
                true
            }
            Err(why) => {
                self.news.0.bad(&format!(
                    "{why}; its events are kept, and sent when it takes them"
                ));
                self.problem = Some(why);
                // So that it is known there while we pause.
                let _ = self.ask(0);
                false
            }
        }
    }

    fn ask(&mut self, limit: usize) -> Result<Handed, String> {
        let (epoch, done) = self.done.clone().unzip();
        let handed = self.analyzer.forward(Forward {
            output: self.name.clone(),
            place: Some(self.place.clone()),
            epoch,
            done,
            refused: self.refused.clone(),
            problem: self.problem.clone(),
            limit,
        })?;
        // It is known now; if its answer had not come, it would be said again.
        self.done = None;
        self.refused = None;
        Ok(handed)
    }

    fn pause(&self, time: Duration) -> bool {
        self.stop.sleep(time);
        true
    }
}

/// The tickets of what the receiver will never take.
fn refused(taken: &Taken, tickets: &[u64]) -> Option<Refused> {
    let places = taken.refused.iter();
    let tickets: Vec<u64> = places.filter_map(|at| tickets.get(*at).copied()).collect();
    (!tickets.is_empty()).then(|| Refused {
        tickets,
        why: taken.why.clone(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        os::unix::net::UnixListener,
        sync::Mutex,
        thread,
    };

    use fimk_core::request::Request;
    use serde_json::json;

    use super::*;

    /// Takes what it is told to, in turn; then everything.
    struct Fake {
        verdicts: Vec<Result<Taken, String>>,
        got: Arc<Mutex<Vec<String>>>,
        batch: (usize, Duration),
    }

    impl Receiver for Fake {
        fn send(&mut self, records: &[String]) -> Result<Taken, String> {
            let mut taken = if self.verdicts.is_empty() {
                Taken::all(records.len())
            } else {
                self.verdicts.remove(0)?
            };
            taken.count = taken.count.min(records.len());
            let mut got = self.got.lock().expect("it is not poisoned");
            let good = |(at, _): &(usize, &String)| !taken.refused.contains(at);
            let all = records[..taken.count].iter().enumerate().filter(good);
            got.extend(all.map(|(_, record)| record.clone()));
            Ok(taken)
        }

        fn batch(&self) -> (usize, Duration) {
            self.batch
        }
    }

    /// An analyzer with so many events, which hands out three at once; what problems it was told of, also of events that
    /// are refused.
    fn analyzer(
        directory: &std::path::Path,
        events: u64,
        stop: Stop,
    ) -> thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(directory.join("control.sock")).expect("bound");
        thread::spawn(move || {
            let (mut first, mut problems) = (1, Vec::new());
            while first <= events {
                let (stream, _) = listener.accept().expect("it asks");
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).expect("asked");
                let Ok(Request::Forward(asked)) = serde_json::from_str(&line) else {
                    panic!("it asks for events: {line}");
                };
                problems.extend(asked.problem.clone());
                let refused = asked.refused.iter();
                problems.extend(refused.map(|it| format!("{:?}: {}", it.tickets, it.why)));
                if let Some(done) = asked.done {
                    assert_eq!(asked.epoch.as_deref(), Some("life"));
                    first = done + 1;
                }
                let last = events.min(first + 2);
                let records: Vec<_> = (first..=last)
                    .take(asked.limit)
                    .map(|ticket| json!([ticket, format!("event {ticket}")]))
                    .collect();
                let answer = json!({ "epoch": "life", "records": records, "more": last < events });
                (&stream)
                    .write_all(format!("{answer}\n").as_bytes())
                    .expect("taken");
            }
            stop.set();
            problems
        })
    }

    fn sent(
        events: u64,
        verdicts: Vec<Result<Taken, String>>,
        batch: (usize, Duration),
    ) -> (Vec<String>, Vec<String>) {
        let directory = tempfile::tempdir().expect("a directory");
        let stop = Stop::default();
        let served = analyzer(directory.path(), events, stop.clone());
        let got = Arc::new(Mutex::new(Vec::new()));
        let fake = Fake {
            verdicts,
            got: Arc::clone(&got),
            batch,
        };
        let who = ("siem".to_owned(), "a test".to_owned());
        let there = Arc::new(Analyzer::at(directory.path()));
        Courier::new(who, there, Box::new(fake), stop).run();
        let problems = served.join().expect("it ended");
        let got = got.lock().expect("it is not poisoned").clone();
        (got, problems)
    }

    fn all(count: u64) -> Vec<String> {
        (1..=count)
            .map(|number| format!("event {number}"))
            .collect()
    }

    #[test]
    fn everything_is_sent_in_order_whatever_part_is_taken() {
        let (got, problems) = sent(
            10,
            vec![Ok(Taken::all(1)), Ok(Taken::all(2))],
            (256, Duration::ZERO),
        );
        assert_eq!((got, problems), (all(10), Vec::new()));
    }

    #[test]
    fn what_is_refused_is_said_and_sent_again() {
        let no = || Err("full".to_owned());
        let (got, problems) = sent(
            4,
            vec![Ok(Taken::all(3)), no(), no()],
            (256, Duration::ZERO),
        );
        assert_eq!(got, all(4));
        assert!(!problems.is_empty() && problems.iter().all(|it| it == "full"));
    }

    #[test]
    fn what_is_refused_for_good_is_said_by_its_ticket_and_holds_up_nothing() {
        let taken = Taken {
            count: 3,
            refused: vec![1],
            why: "no".to_owned(),
        };
        let verdicts = vec![Ok(Taken::all(3)), Ok(taken)];
        let (got, problems) = sent(7, verdicts, (256, Duration::ZERO));
        let mut wanted = all(7);
        wanted.remove(4);
        assert_eq!((got, problems), (wanted, vec!["[5]: no".to_owned()]));
    }

    #[test]
    fn few_events_wait_for_others_but_not_for_ever() {
        let began = Instant::now();
        let (got, _) = sent(2, Vec::new(), (256, Duration::from_millis(400)));
        assert_eq!(got, all(2));
        assert!(began.elapsed() >= Duration::from_millis(400));
    }
}
