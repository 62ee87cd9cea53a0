//! Inputs made of others: bytes changed, parts repeated, swapped, cut, and put together.

/// A generator of numbers from a seed (xorshift64*), the same on every host.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % end.max(1)
    }

    /// A part of so many bytes.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let size = 1 << self.below(7);
        start..length.min(start + self.below(size))
    }
}

/// An input is at most so long, but for one in some hundreds.
const BYTES_MAX: usize = 4 << 10;
const LONG_BYTES_MAX: usize = 128 << 10;
const LONG_EVERY: usize = 400;

/// Words of which others are made, at most.
const WORDS_MAX: usize = 4_000;

/// What is odd in every format.
const ODD: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\\\n",
    b"\\",
    b"\"",
    b"'",
    b"#",
    b"=",
    b":",
    b",",
    b"[",
    b"]",
    b"(",
    b"%",
    b"\xff",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"\t",
    b" ",
    b"\xc3\xa9",
    b"$6$ab$",
    b"99999999999999999999",
    b"-",
];

pub struct Mutator {
    random: Random,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(random: Random) -> Self {
        Self {
            random,
            words: ODD.iter().map(|word| word.to_vec()).collect(),
        }
    }

    /// Takes the lines and words of a content.
    pub fn learn(&mut self, content: &[u8]) {
        let lines = content.split_inclusive(|&byte| byte == b'\n');
        let words = content.split(|byte| !byte.is_ascii_alphanumeric());
        let new = lines
            .chain(words)
            .filter(|word| !word.is_empty() && word.len() < 200);
        let room = WORDS_MAX.saturating_sub(self.words.len());
        self.words.extend(new.take(room).map(<[u8]>::to_vec));
    }

    /// Any of the pool.
    pub fn pick<'a>(&mut self, pool: &'a [Vec<u8>]) -> &'a [u8] {
        pool.get(self.random.below(pool.len()))
            .map_or(&[], Vec::as_slice)
    }

    /// Another one.
    pub fn mutate(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut content = self.pick(pool).to_vec();
        for _ in 0..=self.random.below(6) {
            self.step(&mut content, pool);
        }
        let long = self.random.below(LONG_EVERY) == 0;
        if long {
            let times = LONG_BYTES_MAX / content.len().max(1);
            content = content.repeat(times.min(20_000));
        }
        content.truncate(if long { LONG_BYTES_MAX } else { BYTES_MAX });
        content
    }

    fn step(&mut self, content: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let random = &mut self.random;
        let at = random.below(content.len() + 1);
        match random.below(8) {
            0 => {
                let byte = random.next().to_le_bytes()[0];
                if let Some(it) = content.get_mut(at) {
                    *it = byte;
                }
            }
            1 => {
                content.drain(random.range(content.len()));
            }
            2 => {
                let part = content[random.range(content.len())].to_vec();
                let times = 1 + random.below(8);
                content.splice(at..at, part.repeat(times));
            }
            3 => content.truncate(at),
            4 => {
                let other = self.pick(pool);
                let part = other[self.random.range(other.len())].to_vec();
                content.splice(at..at, part);
            }
            5 => {
                let other = self.pick(pool).to_vec();
                content.extend(other);
            }
            6 => {
                let lines: Vec<&[u8]> = content.split_inclusive(|&byte| byte == b'\n').collect();
                let (one, two) = (random.below(lines.len()), random.below(lines.len()));
                let mut lines = lines;
                if !lines.is_empty() {
                    lines.swap(one, two);
                }
                *content = lines.concat();
            }
            _ => {
                let word = random.below(self.words.len());
                let word = self.words.get(word).cloned().unwrap_or_default();
                content.splice(at..at, word);
            }
        }
    }
}
