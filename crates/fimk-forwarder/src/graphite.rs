//! Counters as lines of Graphite's plaintext protocol, with the names that bpfink gave them.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fimk_core::{
    config::{Graphite, Remote},
    request::Forward,
};
use serde_json::Value;

use crate::{
    ask::Analyzer,
    link::Link,
    pace::{Backoff, News},
    stop::Stop,
};

/// How often the analyzer is told how it goes.
const TOLD_EVERY: Duration = Duration::from_secs(20);

/// See the module.
pub struct Meter {
    name: String,
    config: Graphite,
    timeout: Duration,
    analyzer: Arc<Analyzer>,
    stop: Stop,
    problem: Option<String>,
    news: News,
    backoff: Backoff,
}

impl Meter {
    /// An output of this name.
    pub fn new(
        name: String,
        (remote, config): (&Remote, Graphite),
        analyzer: Arc<Analyzer>,
        stop: Stop,
    ) -> Self {
        Self {
            news: News::of(format!("output \"{name}\", {}", remote.place())),
            name,
            config,
            timeout: remote.timeout(),
            analyzer,
            stop,
            problem: None,
            backoff: Backoff::default(),
        }
    }

    /// Until it is to end; then once more.
    pub fn run(mut self) {
        while !self.stop.is_set() {
            let pause = match self.push() {
                Ok(()) => {
                    self.news.good();
                    self.backoff.reset();
                    self.problem = None;
                    Duration::from_secs(self.config.interval_s)
                }
                Err(why) => {
                    self.news.bad(&why);
                    self.problem = Some(why);
                    self.backoff.next()
                }
            };
            self.tell_for(pause);
        }
        let _ = self.push();
    }

    fn push(&self) -> Result<(), String> {
        let status = self.analyzer.status()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let text = lines(&status, &self.config, now.map_or(0, |now| now.as_secs()));
        let mut link = Link::open(&self.config.address, None, self.timeout)?;
        link.write(text.as_bytes())?;
        link.confirm()
    }

    /// Sleeps, and says meanwhile how it went.
    fn tell_for(&self, pause: Duration) {
        let end = Instant::now() + pause;
        loop {
            // Who does not answer is missed by the next push.
            let _ = self.analyzer.forward(Forward {
                output: self.name.clone(),
                problem: self.problem.clone(),
                ..Forward::default()
            });
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.is_set() {
                return;
            }
            self.stop.sleep(left.min(TOLD_EVERY));
        }
    }
}

/// What a status has of counters. They count from the start of the analyzer on.
fn lines(status: &Value, config: &Graphite, now: u64) -> String {
    let host = status["host"]["name"].as_str().unwrap_or_default();
    let by_role = format!("by_role.{}.{}", config.role, part(host));
    let mut text = String::new();
    let mut put = |name: String, value: u64| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}.{name} {value} {now}", config.prefix);
    };
    put(format!("installed.{by_role}.count.hourly"), 1);
    let version = status["version"].as_str().unwrap_or_default();
    put(
        format!("installed.{by_role}.version.hourly"),
        digits(version),
    );
    let none = serde_json::Map::new();
    let caught = status["events"]["since_start"].as_object().unwrap_or(&none);
    let sum = caught.values().filter_map(Value::as_u64).sum();
    put(format!("bpf.events_caught.{by_role}.count.minutely"), sum);
    for (action, count) in caught {
        let count = count.as_u64().unwrap_or(0);
        put(
            format!("events.{by_role}.{}.count.minutely", part(action)),
            count,
        );
    }
    let hooks = status["counters"]["hooks"].as_object().unwrap_or(&none);
    for (hook, causes) in hooks {
        let of = |cause: &str| causes[cause].as_u64().unwrap_or(0);
        let name = |what| format!("bpf.{by_role}.{}.kprobe.{what}.minutely", part(hook));
        put(name("hit_rate"), of("seen"));
        put(name("miss_rate"), of("ring_full") + of("dirty_full"));
    }
    text
}

/// One part of a name: dots separate parts.
fn part(text: &str) -> String {
    let plain = |it: char| {
        if it.is_ascii_alphanumeric() || it == '-' {
            it
        } else {
            '_'
        }
    };
    let part: String = text.chars().map(plain).collect();
    if part.is_empty() {
        "unknown".to_owned()
    } else {
        part
    }
}

/// As bpfink had it: the digits of a version, put together; 0.1.12 is 112.
fn digits(version: &str) -> u64 {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let digits: String = numbers.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use fimk_core::config::Address;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_bpfink_and_no_value_makes_another_line() {
        let config = Graphite {
            address: Address {
                host: "g".to_owned(),
                port: 2003,
            },
            prefix: "sec".to_owned(),
            role: "web".to_owned(),
            interval_s: 30,
        };
        let status = json!({
            "version": "0.1.12",
            "host": { "name": "a.b\nc d" },
            "events": { "since_start": { "created": 2, "modified": 3 } },
            "counters": { "hooks": { "vfs_write": { "seen": 7, "ring_full": 1, "dirty_full": 1 } } },
        });
        let expected = "sec.installed.by_role.web.a_b_c_d.count.hourly 1 9\n\
            sec.installed.by_role.web.a_b_c_d.version.hourly 112 9\n\
            sec.bpf.events_caught.by_role.web.a_b_c_d.count.minutely 5 9\n\
            sec.events.by_role.web.a_b_c_d.created.count.minutely 2 9\n\
            sec.events.by_role.web.a_b_c_d.modified.count.minutely 3 9\n\
            sec.bpf.by_role.web.a_b_c_d.vfs_write.kprobe.hit_rate.minutely 7 9\n\
            sec.bpf.by_role.web.a_b_c_d.vfs_write.kprobe.miss_rate.minutely 2 9\n";
        assert_eq!(lines(&status, &config, 9), expected);
        assert_eq!(lines(&json!({}), &config, 9).lines().count(), 3);
    }
}
