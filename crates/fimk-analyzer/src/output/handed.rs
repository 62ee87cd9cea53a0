//! Records that another process fetches: fimk-forwarder, which has the network. It asks, sends what it was given, and says
//! how far it came when it asks again. What it does not say is given again, whoever asks: each record goes at least once.

use std::time::{Duration, Instant};

use super::{
    sink::Record,
    writer::{State, Writer},
};

/// Of what is handed out at once, but for its last record.
const BYTES_MAX: usize = 512 << 10;

/// Who does not ask for so long is not there: it asks several times a second, but not while it sends, which may take as
/// long as the largest `timeout_ms`.
const ABSENT_AFTER: Duration = Duration::from_secs(75);

/// The same for who never asked: one that waits for an analyzer asks every 15 seconds at least.
const MISSING_AFTER: Duration = Duration::from_secs(20);

/// What somebody is given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// Each with its ticket, which no other record of this life of the analyzer has.
    pub records: Vec<(u64, String)>,
    /// Others wait that found no room here.
    pub more: bool,
}

/// How far somebody is who fetches.
#[derive(Default)]
pub struct Fetched {
    /// The ticket of the first record that waits.
    first: u64,
    /// When somebody asked last, or since when that is waited for.
    asked: Option<Instant>,
    ever: bool,
}

impl Writer {
    /// Without a thread: what waits is fetched.
    pub fn of_another_process() -> Self {
        let writer = Self::idle();
        let asked = Some(Instant::now());
        writer.state().fetched = Some(Fetched {
            first: 1,
            asked,
            ever: false,
        });
        writer
    }

    /// Whether it is such a one.
    pub fn is_fetched(&self) -> bool {
        self.state().fetched.is_some()
    }

    /// For how long nobody asked, where somebody is to.
    pub fn unasked(&self) -> Option<Duration> {
        let asked = self.state().fetched.as_ref()?.asked;
        Some(asked.map_or(Duration::MAX, |at| at.elapsed()))
    }

    /// The receiver has all up to this ticket, but for `refused` ones: the numbers of their events.
    pub fn acknowledge(&self, upto: u64, refused: &[u64]) -> Vec<u64> {
        let mut state = self.state();
        let mut events = Vec::new();
        loop {
            let ticket = state.first_ticket();
            if ticket > upto {
                break;
            }
            let Some(record) = state.drop_first() else {
                break;
            };
            if refused.contains(&ticket) {
                events.push(record.event);
            }
        }
        events
    }

    /// The first records that wait, which stay until they are acknowledged. `problem`: why none was taken lately.
    pub fn hand_out(&self, limit: usize, problem: Option<String>) -> Handed {
        let mut state = self.state();
        state.error = problem;
        if let Some(fetched) = &mut state.fetched {
            fetched.asked = Some(Instant::now());
            fetched.ever = true;
        }
        // They stand for events that are not for this output.
        while state.records.front().is_some_and(|it| it.bytes.is_empty())
            && state.drop_first().is_some()
        {}
        let mut handed = Handed::default();
        let mut bytes = 0;
        for (ticket, record) in (state.first_ticket()..).zip(&state.records) {
            if handed.records.len() >= limit || bytes >= BYTES_MAX {
                handed.more = true;
                break;
            }
            if !record.bytes.is_empty() {
                bytes += record.bytes.len();
                let text = String::from_utf8_lossy(&record.bytes).into_owned();
                handed.records.push((ticket, text));
            }
        }
        handed
    }
}

impl State {
    fn first_ticket(&self) -> u64 {
        self.fetched.as_ref().map_or(u64::MAX, |it| it.first)
    }

    fn drop_first(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.bytes = self.bytes.saturating_sub(record.bytes.len());
        self.written = self.written.max(record.sequence);
        self.moved = Some(Instant::now());
        if let Some(fetched) = &mut self.fetched {
            fetched.first += 1;
        }
        Some(record)
    }
}

impl Fetched {
    /// What is to be said of who should fetch.
    pub(super) fn problem(&self) -> Option<String> {
        let patience = if self.ever {
            ABSENT_AFTER
        } else {
            MISSING_AFTER
        };
        let absent = self.asked.is_none_or(|at| at.elapsed() >= patience);
        absent.then(|| "fimk-forwarder does not fetch its events: start it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(writer: &Writer, limit: usize) -> Vec<u64> {
        let handed = writer.hand_out(limit, None);
        handed.records.iter().map(|(ticket, _)| *ticket).collect()
    }

    fn offer(writer: &Writer, sequence: u64, bytes: Vec<u8>) -> bool {
        writer.offer(Record {
            sequence,
            event: 100 + sequence,
            bytes,
        })
    }

    #[test]
    fn what_the_receiver_refuses_is_named_by_the_number_of_its_event() {
        let writer = Writer::of_another_process();
        for sequence in 1..5 {
            assert!(offer(&writer, sequence, vec![b'x']));
        }
        let refused = [2, 3, 4, 9];
        assert_eq!(writer.acknowledge(3, &refused), [102, 103]);
        assert!(writer.acknowledge(3, &refused).is_empty(), "an old word");
        assert_eq!((writer.written(), given(&writer, 9)), (3, vec![4]));
    }

    #[test]
    fn what_was_not_acknowledged_is_handed_out_again() {
        let writer = Writer::of_another_process();
        for sequence in 5..9 {
            assert!(offer(&writer, sequence, vec![b'x']));
        }
        assert_eq!(given(&writer, 3), [1, 2, 3]);
        assert_eq!(given(&writer, 9), [1, 2, 3, 4]);
        writer.acknowledge(2, &[]);
        assert_eq!((writer.written(), given(&writer, 9)), (6, vec![3, 4]));
        writer.acknowledge(1, &[]);
        assert_eq!(writer.written(), 6, "an old word changes nothing");
        writer.acknowledge(u64::MAX - 1, &[]);
        assert_eq!((writer.written(), given(&writer, 9)), (8, vec![]));
        assert!(writer.is_idle());
        assert!(offer(&writer, 9, vec![b'x']));
        assert_eq!(given(&writer, 9), [5]);
    }

    #[test]
    fn events_that_are_not_for_it_count_as_sent_without_being_sent() {
        let writer = Writer::of_another_process();
        assert!(offer(&writer, 1, Vec::new()), "nothing waits before it");
        assert_eq!(writer.written(), 1);
        assert!(offer(&writer, 2, vec![b'x']) && offer(&writer, 3, Vec::new()));
        assert!(offer(&writer, 4, vec![b'y']) && offer(&writer, 5, Vec::new()));
        assert_eq!(given(&writer, 9), [1, 3]);
        writer.acknowledge(3, &[]);
        assert_eq!((writer.written(), given(&writer, 9)), (4, vec![]));
        assert_eq!((writer.written(), writer.is_idle()), (5, true));
    }

    #[test]
    fn one_answer_has_a_limit_and_says_that_there_is_more() {
        let writer = Writer::of_another_process();
        for sequence in 1..4 {
            assert!(offer(&writer, sequence, vec![b'x'; BYTES_MAX / 2]));
        }
        let handed = writer.hand_out(9, None);
        assert_eq!((handed.records.len(), handed.more), (2, true));
        let handed = writer.hand_out(0, None);
        assert!(handed.records.is_empty() && handed.more);
    }

    #[test]
    fn why_nothing_is_taken_is_known_as_long_as_it_is_said() {
        let writer = Writer::of_another_process();
        assert!(offer(&writer, 1, vec![b'x']));
        assert_eq!(writer.blocked(), None, "nobody was waited for yet");
        writer.hand_out(9, Some("refused".to_owned()));
        let blocked = writer.blocked();
        assert_eq!(blocked.and_then(|it| it.error).as_deref(), Some("refused"));
        writer.hand_out(9, None);
        assert_eq!(writer.blocked(), None);
        writer.state().fetched = Some(Fetched::default());
        let error = writer.blocked().and_then(|it| it.error);
        assert!(error.is_some_and(|it| it.contains("fimk-forwarder")));
    }
}
