//! The digests of one content, in one pass.

use fimk_core::{config::Hash, record::Digest};
use sha2::{Digest as _, Sha256};

/// Takes in a content piece by piece.
#[derive(Clone)]
pub(super) struct Hashing {
    sha256: Option<Sha256>,
    /// It is two kilobytes.
    blake3: Option<Box<blake3::Hasher>>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Digests {
    pub sha256: Option<[u8; 32]>,
    pub blake3: Option<[u8; 32]>,
}

impl Hashing {
    /// By this, by what is on record already, and by SHA-256 if the digest may have to be a keyed one.
    pub(super) fn new(hash: Hash, known: Option<Digest>, may_be_keyed: bool) -> Self {
        let plain = matches!(known, Some(Digest::Plain(_)));
        let sha256 = hash == Hash::Sha256 || plain || may_be_keyed;
        let blake3 = hash == Hash::Blake3 || matches!(known, Some(Digest::Blake3(_)));
        Self {
            sha256: sha256.then(Sha256::new),
            blake3: blake3.then(|| Box::new(blake3::Hasher::new())),
        }
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(piece);
        }
        if let Some(blake3) = &mut self.blake3 {
            blake3.update(piece);
        }
    }

    pub(super) fn digests(self) -> Digests {
        Digests {
            sha256: self.sha256.map(|it| it.finalize().into()),
            blake3: self.blake3.map(|it| it.finalize().into()),
        }
    }
}

impl Digests {
    /// The plain digest by this; it was asked for.
    pub(super) fn by(self, hash: Hash) -> Digest {
        match (hash, self.sha256, self.blake3) {
            (Hash::Blake3, _, Some(blake3)) => Digest::Blake3(blake3),
            (_, Some(sha256), _) => Digest::Plain(sha256),
            (_, None, blake3) => Digest::Blake3(blake3.unwrap_or_default()),
        }
    }

    /// What a keyed digest is made of. Without SHA-256 so far there is a text, for only in one is a secret found.
    pub(super) fn input_of_keyed(self, text: Option<&[u8]>) -> [u8; 32] {
        let of_text = || text.map(|text| Sha256::digest(text).into());
        self.sha256
            .or_else(of_text)
            .or(self.blake3)
            .unwrap_or_default()
    }

    /// Whether it is the content that is on record by another hash.
    pub(super) fn is_known_as(self, known: Option<Digest>, hash: Hash) -> bool {
        match (known, hash) {
            (Some(Digest::Plain(known)), Hash::Blake3) => self.sha256 == Some(known),
            (Some(Digest::Blake3(known)), Hash::Sha256) => self.blake3 == Some(known),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(hash: Hash, known: Option<Digest>) -> Digests {
        let mut hashing = Hashing::new(hash, known, false);
        hashing.update(b"ab");
        hashing.update(b"c");
        hashing.digests()
    }

    #[test]
    fn only_what_is_wanted_is_made_and_an_older_digest_is_known_again() {
        let sha256 = digests(Hash::Sha256, None);
        let blake3 = digests(Hash::Blake3, None);
        assert_eq!((sha256.blake3, blake3.sha256), (None, None));
        assert_eq!(sha256.sha256, Some(Sha256::digest(b"abc").into()));
        assert_eq!(blake3.blake3, Some(blake3::hash(b"abc").into()));
        let known = Some(sha256.by(Hash::Sha256));
        let both = digests(Hash::Blake3, known);
        assert!(both.is_known_as(known, Hash::Blake3));
        assert_eq!(both.by(Hash::Blake3), blake3.by(Hash::Blake3));
        assert!(!both.is_known_as(Some(Digest::Plain([0; 32])), Hash::Blake3));
        assert!(!sha256.is_known_as(known, Hash::Sha256));
    }

    #[test]
    fn a_keyed_digest_is_always_one_of_sha_256() {
        let (one, other) = (digests(Hash::Sha256, None), digests(Hash::Blake3, None));
        assert_eq!(one.input_of_keyed(None), other.input_of_keyed(Some(b"abc")));
    }
}
