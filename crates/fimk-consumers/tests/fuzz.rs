//! Every parser on mutated input: nothing panics, what is the same does not differ, and what is printed is bounded.
//!
//! The short form is a test like others, with a fixed number of inputs from a fixed seed. The long form,
//! `scripts/fuzz MINUTES [CONSUMER]`, spends so much CPU time on each parser, from a seed of its own, and keeps small
//! inputs that made something new be said in `corpus/`, from which both forms start. An input at which a parser fails
//! is written there as well, so that it fails the test until it is mended, and is tried for ever after.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    env, fs,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fimk_consumers::{
    Comparison, Consumer, MAX_CHANGES, State, Token, Tokenize, compare, findings::find, includes,
    read, redact, understood,
};

mod mutate;

use mutate::{Mutator, Random};

/// Inputs of the short form for each parser: about a second.
const SHORT: usize = 1_000;

/// Inputs of which others are made.
const POOL_MAX: usize = 1_000;

/// What is kept of a long run for each parser: so many files of so many bytes.
const KEPT_MAX: usize = 12;
const KEPT_BYTES_MAX: usize = 400;

/// A diff is at most 16 KiB and a sentence, a field 256 bytes and the mark of a cut; characters that are escaped and
/// what is put around several fields come to no more than this.
const SHOWN_BYTES_MAX: usize = 64 << 10;

struct Keyed;

impl Tokenize for Keyed {
    fn token(&self, secret: &[u8]) -> Token {
        let mut hasher = DefaultHasher::new();
        secret.hash(&mut hasher);
        let half = hasher.finish().to_le_bytes();
        let mut token = [0; 16];
        token[..8].copy_from_slice(&half);
        token[8..].copy_from_slice(&half);
        Token(token)
    }
}

/// How long a parser is tried.
enum Effort {
    Inputs(usize),
    /// Of this thread on a CPU: on a busy host the time of a clock says nothing of how much was tried.
    Time(Duration),
}

/// What this thread has spent on a CPU. See `proc_pid_schedstat(5)`: the first number, in nanoseconds.
fn spent() -> Duration {
    let line =
        fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts CPU time");
    let nanoseconds = line.split(' ').next().and_then(|it| it.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number of nanoseconds"))
}

fn corpus(consumer: Consumer) -> PathBuf {
    // Where cargo runs it, for a kept build may be of another clone.
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let root = PathBuf::from(here).join("corpus");
    root.join(format!("{consumer:?}").to_ascii_lowercase())
}

fn kept(consumer: Consumer) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(corpus(consumer)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect()
}

fn state(consumer: Consumer, content: &[u8]) -> State {
    read(consumer, content, &Keyed).state
}

/// What was said, as far as it is of another kind: what makes an input worth keeping.
fn tried(consumer: Consumer, before: &[u8], after: &[u8]) -> BTreeSet<String> {
    let [old, new] = [before, after].map(|content| state(consumer, content));
    assert_eq!(compare(Some(&new), Some(&new)), Comparison::default());
    assert_eq!(find(Some(&new), Some(&new)), []);
    let mut said = BTreeSet::new();
    for (old, new) in [
        (Some(&old), Some(&new)),
        (None, Some(&new)),
        (Some(&old), None),
    ] {
        let comparison = compare(old, new);
        let differs = !comparison.changes.is_empty() || comparison.diff.is_some();
        assert!(differs || old == new || old.is_none() || new.is_none());
        bounded(&comparison);
        for change in &comparison.changes {
            said.insert(kind_of(&change.subject) + &change.field);
            said.extend(change.after.as_deref().map(kind_of));
        }
        for finding in find(old, new) {
            printable(&finding.message);
            said.insert(finding.id);
        }
    }
    let _ = includes::reads(b"/srv/etc/x", &new);
    let text = state(Consumer::Text, after);
    if let Some(understood) = understood(consumer, &text, &Keyed) {
        assert_eq!(understood, new);
    }
    let _ = redact::line(&String::from_utf8_lossy(after));
    said
}

/// The words of something said without names and numbers.
fn kind_of(text: &str) -> String {
    let plain: String = text
        .chars()
        .take(48)
        .filter(|it| it.is_ascii_lowercase() || b" [](@".contains(&(*it as u8)))
        .collect();
    plain
        .split(' ')
        .map(|word| word.chars().take(6).collect::<String>())
        .take(4)
        .collect()
}

fn bounded(comparison: &Comparison) {
    assert!(comparison.changes.len() <= MAX_CHANGES);
    for change in &comparison.changes {
        let sides = [&change.before, &change.after].into_iter().flatten();
        sides
            .chain([&change.subject, &change.field])
            .for_each(|text| printable(text));
    }
    if let Some(diff) = &comparison.diff {
        printable(&diff.replace(['\n', '\t'], ""));
    }
}

fn printable(text: &str) {
    assert!(text.len() <= SHOWN_BYTES_MAX, "{} bytes", text.len());
    let control = |it: char| it.is_control() && it != '\t';
    assert!(!text.contains(control), "a control character in {text:?}");
}

/// Tries one parser; how many inputs it had.
fn fuzz(consumer: Consumer, seed: u64, effort: &Effort) -> usize {
    let begun = spent();
    let mut mutator = Mutator::new(Random::new(seed));
    let mut pool = kept(consumer);
    assert!(!pool.is_empty(), "{} is empty", corpus(consumer).display());
    for other in Consumer::ALL {
        for content in kept(other) {
            mutator.learn(&content);
        }
    }
    let mut said = BTreeSet::new();
    let mut fresh = Vec::new();
    let first = pool.len();
    let mut count = 0;
    loop {
        let done = match effort {
            Effort::Inputs(inputs) => count >= *inputs,
            // Asking costs as much as a few small inputs.
            Effort::Time(time) => count % 64 == 0 && spent().saturating_sub(begun) >= *time,
        };
        if done && count >= first {
            break;
        }
        let before = mutator.pick(&pool).to_vec();
        let after = match pool.get(count) {
            Some(content) if count < first => content.clone(),
            _ => mutator.mutate(&pool),
        };
        let news = catch_unwind(AssertUnwindSafe(|| tried(consumer, &before, &after)));
        let Ok(news) = news else {
            keep(consumer, "failed", &after);
            keep(consumer, "failed", &before);
            panic!(
                "{consumer:?} failed with seed {seed} at input {count}: see {}",
                corpus(consumer).display()
            );
        };
        let mut is_new = false;
        for news in news {
            is_new |= said.insert(news);
        }
        if is_new && count >= first {
            if pool.len() < POOL_MAX {
                pool.push(after.clone());
            }
            fresh.push(after);
        }
        count += 1;
    }
    if matches!(effort, Effort::Time(_)) {
        let small = fresh
            .iter()
            .filter(|content| content.len() <= KEPT_BYTES_MAX);
        let room = KEPT_MAX.saturating_sub(kept(consumer).len());
        small
            .take(room)
            .for_each(|content| keep(consumer, "found", content));
    }
    count
}

fn keep(consumer: Consumer, why: &str, content: &[u8]) {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let path = corpus(consumer).join(format!("{why}-{:016x}", hasher.finish()));
    fs::write(path, content).expect("the input is written");
}

#[test]
fn no_parser_fails_at_mutated_input() {
    let minutes = env::var("FIMK_FUZZ_MINUTES").ok();
    let minutes = minutes.map(|it| it.parse::<f64>().expect("FIMK_FUZZ_MINUTES is a number"));
    let only = env::var("FIMK_FUZZ_CONSUMER").unwrap_or_default();
    let wanted = |consumer: &Consumer| {
        format!("{consumer:?}")
            .to_lowercase()
            .contains(&only.to_lowercase())
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = match minutes {
        Some(_) => now.map_or(1, |it| {
            u64::try_from(it.as_nanos() & 0xffff_ffff).unwrap_or(1)
        }),
        None => 1,
    };
    for consumer in Consumer::ALL.into_iter().filter(wanted) {
        let effort = match minutes {
            Some(minutes) => Effort::Time(Duration::from_secs_f64(minutes * 60.0)),
            None => Effort::Inputs(SHORT),
        };
        let begun = spent();
        let count = fuzz(consumer, seed, &effort);
        println!(
            "{consumer:?}: {count} inputs in {:?} of CPU time, seed {seed}",
            spent().saturating_sub(begun)
        );
    }
}
