//! The digests of one content, in one pass.

use fimk_core::{config::Hash, record::Digest};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

/// One of them; those with much state lie elsewhere.
#[derive(Clone)]
enum Hasher {
    Sha256(Sha256),
    Blake3(Box<blake3::Hasher>),
    Sha512(Box<Sha512>),
    Sha1(Sha1),
    Md5(Md5),
}

impl Hasher {
    fn new(hash: Hash) -> Self {
        match hash {
            Hash::Sha256 => Self::Sha256(Sha256::new()),
            Hash::Blake3 => Self::Blake3(Box::default()),
            Hash::Sha512 => Self::Sha512(Box::default()),
            Hash::Sha1 => Self::Sha1(Sha1::new()),
            Hash::Md5 => Self::Md5(Md5::new()),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(it) => it.update(piece),
            Self::Blake3(it) => {
                it.update(piece);
            }
            Self::Sha512(it) => it.update(piece),
            Self::Sha1(it) => it.update(piece),
            Self::Md5(it) => it.update(piece),
        }
    }

    fn digest(self) -> Digest {
        match self {
            Self::Sha256(it) => Digest::Plain(it.finalize().into()),
            Self::Blake3(it) => Digest::Blake3(it.finalize().into()),
            Self::Sha512(it) => {
                let whole: [u8; 64] = it.finalize().into();
                let (mut first, mut second) = ([0; 32], [0; 32]);
                first.copy_from_slice(&whole[..32]);
                second.copy_from_slice(&whole[32..]);
                Digest::Sha512([first, second])
            }
            Self::Sha1(it) => Digest::Sha1(it.finalize().into()),
            Self::Md5(it) => Digest::Md5(it.finalize().into()),
        }
    }
}

/// By what a digest was made; a keyed one by SHA-256.
fn hash_of(digest: Digest) -> Hash {
    match digest {
        Digest::Plain(_) | Digest::Keyed(_) => Hash::Sha256,
        Digest::Blake3(_) => Hash::Blake3,
        Digest::Sha512(_) => Hash::Sha512,
        Digest::Sha1(_) => Hash::Sha1,
        Digest::Md5(_) => Hash::Md5,
    }
}

/// Takes in a content piece by piece.
#[derive(Clone)]
pub(super) struct Hashing(Vec<Hasher>);

/// What came of it: no keyed ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Digests(Vec<Digest>);

impl Hashing {
    /// By these, by what is on record already, and by SHA-256 if the digest may have to be a keyed one.
    pub(super) fn new(hashes: &[Hash], known: Option<Digest>, may_be_keyed: bool) -> Self {
        let known = known.filter(|known| !matches!(known, Digest::Keyed(_)));
        let mut wanted = hashes.to_vec();
        wanted.extend(known.map(hash_of));
        wanted.extend(may_be_keyed.then_some(Hash::Sha256));
        wanted.sort_unstable();
        wanted.dedup();
        Self(wanted.into_iter().map(Hasher::new).collect())
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        for hasher in &mut self.0 {
            hasher.update(piece);
        }
    }

    pub(super) fn digests(self) -> Digests {
        Digests(self.0.into_iter().map(Hasher::digest).collect())
    }
}

impl Digests {
    fn made_by(&self, hash: Hash) -> Option<Digest> {
        self.0.iter().copied().find(|it| hash_of(*it) == hash)
    }

    /// The plain digest by this; it was asked for.
    pub(super) fn by(&self, hash: Hash) -> Digest {
        let first = self.0.first().copied();
        self.made_by(hash)
            .or(first)
            .unwrap_or(Digest::Plain([0; 32]))
    }

    /// Those by these.
    pub(super) fn by_each(&self, hashes: &[Hash]) -> Vec<Digest> {
        hashes.iter().filter_map(|it| self.made_by(*it)).collect()
    }

    /// Whether this is among them.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.0.contains(&digest)
    }

    /// What a keyed digest is made of. Without SHA-256 so far there is a text, for only in one is a secret found; without
    /// that, too, it tells contents apart.
    pub(super) fn input_of_keyed(&self, text: Option<&[u8]>) -> [u8; 32] {
        match (self.made_by(Hash::Sha256), text) {
            (Some(Digest::Plain(digest)), _) => digest,
            (_, Some(text)) => Sha256::digest(text).into(),
            (_, None) => match self.0.first() {
                Some(Digest::Plain(digest) | Digest::Blake3(digest) | Digest::Keyed(digest)) => {
                    *digest
                }
                Some(Digest::Sha512(halves)) => Sha256::digest(halves.as_flattened()).into(),
                Some(Digest::Sha1(digest)) => Sha256::digest(digest).into(),
                Some(Digest::Md5(digest)) => Sha256::digest(digest).into(),
                None => [0; 32],
            },
        }
    }

    /// Whether it is the content that is on record by another hash.
    pub(super) fn is_known_as(&self, known: Option<Digest>, hash: Hash) -> bool {
        known.is_some_and(|known| hash_of(known) != hash && self.has(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(hash: Hash, known: Option<Digest>) -> Digests {
        let mut hashing = Hashing::new(&[hash], known, false);
        hashing.update(b"ab");
        hashing.update(b"c");
        hashing.digests()
    }

    #[test]
    fn only_what_is_wanted_is_made_and_an_older_digest_is_known_again() {
        let sha256 = digests(Hash::Sha256, None);
        let blake3 = digests(Hash::Blake3, None);
        let plain = Digest::Plain(Sha256::digest(b"abc").into());
        let other = Digest::Blake3(blake3::hash(b"abc").into());
        assert_eq!((&sha256.0, &blake3.0), (&vec![plain], &vec![other]));
        let known = Some(sha256.by(Hash::Sha256));
        let both = digests(Hash::Blake3, known);
        assert!(both.is_known_as(known, Hash::Blake3));
        assert_eq!(both.by(Hash::Blake3), blake3.by(Hash::Blake3));
        assert!(!both.is_known_as(Some(Digest::Plain([0; 32])), Hash::Blake3));
        assert!(!sha256.is_known_as(known, Hash::Sha256));
    }

    #[test]
    fn several_are_made_in_one_pass() {
        let mut hashing = Hashing::new(&[Hash::Sha256, Hash::Md5], None, false);
        hashing.update(b"abc");
        let all = hashing.digests();
        let md5 = digests(Hash::Md5, None).by(Hash::Md5);
        assert_eq!(all.by_each(&[Hash::Md5, Hash::Sha1]), [md5]);
        assert_eq!(
            all.by(Hash::Sha256),
            digests(Hash::Sha256, None).by(Hash::Sha256)
        );
    }

    /// RFC 1321, FIPS 180: the digests of "abc".
    #[test]
    fn older_and_longer_digests_are_those_of_the_standards() {
        let starts = |hash, start: &[u8]| {
            let digests = digests(hash, None);
            let whole: Vec<u8> = match digests.by(hash) {
                Digest::Sha512(halves) => halves.concat(),
                Digest::Sha1(digest) => digest.to_vec(),
                Digest::Md5(digest) => digest.to_vec(),
                other => panic!("{other:?}"),
            };
            assert!(whole.starts_with(start), "{whole:x?}");
        };
        starts(Hash::Md5, &[0x90, 0x01, 0x50, 0x98]);
        starts(Hash::Sha1, &[0xa9, 0x99, 0x3e, 0x36]);
        starts(Hash::Sha512, &[0xdd, 0xaf, 0x35, 0xa1]);
        let md5 = Some(digests(Hash::Md5, None).by(Hash::Md5));
        assert!(digests(Hash::Sha512, md5).is_known_as(md5, Hash::Sha512));
    }

    #[test]
    fn without_sha_256_and_a_text_contents_are_told_apart_as_well() {
        for hash in [Hash::Blake3, Hash::Sha512, Hash::Sha1, Hash::Md5] {
            let of = |content: &[u8]| {
                let mut hashing = Hashing::new(&[hash], None, false);
                hashing.update(content);
                hashing.digests().input_of_keyed(None)
            };
            assert_ne!(of(b"a"), of(b"b"));
        }
    }

    #[test]
    fn a_keyed_digest_is_always_one_of_sha_256() {
        let (one, other) = (digests(Hash::Sha256, None), digests(Hash::Blake3, None));
        assert_eq!(one.input_of_keyed(None), other.input_of_keyed(Some(b"abc")));
    }
}
