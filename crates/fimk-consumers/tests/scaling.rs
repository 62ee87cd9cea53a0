//! Twice the input costs at most about twice the work, whatever the input. Work is what is counted: bytes that are
//! allocated and bytes of which tokens are made; not seconds, which depend on who else is at work.
//!
//! One test in a file of its own: the counts are those of the whole process.

use std::{
    alloc::System,
    sync::atomic::{AtomicUsize, Ordering},
};

use fimk_consumers::{Consumer, Token, Tokenize, compare, findings::find, includes, read};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Below this, what is allocated once for all decides.
const NOISE: usize = 128 << 10;

/// Growing by doubling and sorting cost a little more than twice.
const RATIO: f64 = 2.7;

#[derive(Default)]
struct Counted(AtomicUsize);

impl Tokenize for Counted {
    fn token(&self, secret: &[u8]) -> Token {
        self.0.fetch_add(secret.len(), Ordering::Relaxed);
        let sum = secret.iter().fold(7_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
        let mut token = [0; 16];
        token[..8].copy_from_slice(&sum.to_le_bytes());
        Token(token)
    }
}

/// Of reading and comparing this content and one that differs from it at the end.
fn work(consumer: Consumer, content: &[u8]) -> usize {
    let counted = Counted::default();
    let region = Region::new(ALLOCATOR);
    let before = read(consumer, content, &counted).state;
    let after = read(consumer, &[content, b"x\n"].concat(), &counted).state;
    for (before, after) in [(None, Some(&after)), (Some(&before), Some(&after))] {
        let _ = compare(before, after);
        let _ = find(before, after);
    }
    let _ = includes::reads(b"/etc/x", &after);
    region.change().bytes_allocated + counted.0.load(Ordering::Relaxed)
}

fn kept(consumer: Consumer) -> Vec<u8> {
    // Where cargo runs it, for a kept build may be of another clone.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let name = format!("{consumer:?}").to_lowercase();
    let directory = format!("{here}/corpus/{name}");
    let path = std::path::Path::new(&directory).join("ordinary");
    std::fs::read(path).unwrap_or_default()
}

/// What is repeated.
fn parts(consumer: Consumer) -> Vec<Vec<u8>> {
    let ordinary = kept(consumer);
    let with_crlf = String::from_utf8_lossy(&ordinary).replace('\n', "\r\n");
    let one_line = String::from_utf8_lossy(&ordinary).replace('\n', " ");
    let continued = String::from_utf8_lossy(&ordinary).replace('\n', "\\\n");
    let numbers = "1,22,333,".repeat(10);
    let mut parts = vec![
        ordinary,
        with_crlf.into_bytes(),
        one_line.into_bytes(),
        continued.into_bytes(),
        numbers.into_bytes(),
    ];
    let odd: [&[u8]; 12] = [
        b"\n",
        b"\0",
        b"\0\n",
        b"a",
        b"a\n",
        b"\"",
        b"#",
        b"\\",
        b"a=b:c,d ",
        b"\xff",
        b"[a]\na=b\n",
        b"password=a ",
    ];
    parts.extend(odd.map(<[u8]>::to_vec));
    parts
}

fn assert_linear(consumer: Consumer, part: &[u8], bytes: usize) {
    let single = part.repeat(bytes / part.len().max(1));
    let double = [&single[..], &single].concat();
    let (one, two) = (work(consumer, &single), work(consumer, &double));
    #[allow(clippy::cast_precision_loss, reason = "a ratio of some megabytes")]
    let ratio = two as f64 / one.max(NOISE) as f64;
    assert!(
        ratio <= RATIO,
        "{consumer:?}: {bytes} bytes of {:?} cost {one}, twice as many {two}",
        part[..part.len().min(40)].escape_ascii().to_string()
    );
}

#[test]
fn twice_the_input_is_about_twice_the_work() {
    for consumer in Consumer::ALL {
        for part in parts(consumer) {
            // Lines of 70 KiB where the part has no newline; no newline at the end where it has none.
            assert_linear(consumer, &part, 35 << 10);
        }
        // A million lines, of which the first 20,000 are kept.
        assert_linear(consumer, b"a\n", 1 << 20);
    }
}
