//! The host's digest key: what makes tokens of secrets and digests of contents that hold one.

use std::{
    env, fmt,
    fs::File,
    hint::black_box,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use fimk_consumers::{Token, Tokenize};
use hmac::{Hmac, KeyInit, Mac};
use nix::{fcntl::OFlag, unistd::geteuid};
use sha2::Sha256;

/// Where the key lies on an installed host.
pub const KEY_PATH: &str = "/etc/fimk/digest.key";
/// Its name in `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "digest.key";
/// As long as the digest: a longer key adds nothing to HMAC-SHA-256, a shorter one weakens it.
const KEY_BYTES: usize = 32;
/// One block of SHA-256. HMAC fills a shorter key with zeros to this length itself.
const BLOCK_BYTES: usize = 64;

/// What the key is used for; goes before the message, so that a value of one use is never one of another.
mod purpose {
    pub const TOKEN: &[u8] = b"fimk token 1\0";
    pub const DIGEST: &[u8] = b"fimk digest 1\0";
    pub const KEY_ID: &[u8] = b"fimk key id 1\0";
}

/// The digest key. Never printed; overwritten when dropped.
#[derive(Clone)]
pub struct DigestKey {
    block: [u8; BLOCK_BYTES],
}

impl DigestKey {
    /// The key of this host: the systemd credential where there is one, else [`KEY_PATH`].
    ///
    /// # Errors
    /// One sentence: the file is missing, not a regular file, not 32 bytes, not root's, or open to everybody.
    pub fn of_this_host() -> Result<Self, String> {
        match env::var_os("CREDENTIALS_DIRECTORY")
            .map(|directory| PathBuf::from(directory).join(CREDENTIAL))
        {
            // systemd gives a credential to the unit's own user where the file system has no ACLs.
            Some(path) if path.exists() => Self::read(&path, &[0, geteuid().as_raw()]),
            _ => Self::load(Path::new(KEY_PATH)),
        }
    }

    /// The key in this file, which must be root's.
    ///
    /// # Errors
    /// As [`Self::of_this_host`].
    pub fn load(path: &Path) -> Result<Self, String> {
        Self::read(path, &[0])
    }

    fn read(path: &Path, owners: &[u32]) -> Result<Self, String> {
        let name = path.display();
        let unreadable = |error| {
            format!(
                "The digest key {name} cannot be read ({error}); make it with: \
                 head -c {KEY_BYTES} /dev/urandom > {name}, owner root, group of fimk, mode 0640."
            )
        };
        let file = File::options()
            .read(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(path)
            .map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(format!(
                "The digest key {name} is not a regular file; put the key itself there."
            ));
        }
        if !owners.contains(&metadata.uid()) {
            return Err(format!(
                "The digest key {name} does not belong to root; run: chown root {name}."
            ));
        }
        if metadata.mode() & 0o026 != 0 {
            return Err(format!(
                "The digest key {name} is open to others than root and its group; run: chmod 0640 {name}."
            ));
        }
        // One byte more than a key, so that a longer file is told from a right one.
        let mut bytes = Vec::with_capacity(KEY_BYTES + 1);
        file.take(KEY_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice());
        wipe(&mut bytes);
        key.map(Self::from_bytes).map_err(|_| {
            format!("The digest key {name} is not exactly {KEY_BYTES} bytes long; make a new one.")
        })
    }

    /// From its bytes.
    pub fn from_bytes(mut key: [u8; KEY_BYTES]) -> Self {
        let mut block = [0; BLOCK_BYTES];
        block[..KEY_BYTES].copy_from_slice(&key);
        wipe(&mut key);
        Self { block }
    }

    /// The keyed digest of a content, made from its SHA-256, so that content is hashed once and in a stream.
    pub fn keyed_digest(&self, sha256: &[u8; 32]) -> [u8; 32] {
        self.mac(purpose::DIGEST, sha256)
    }

    /// Tells keys apart without telling anything of the key.
    pub fn id(&self) -> Token {
        self.short(purpose::KEY_ID, &[])
    }

    fn short(&self, purpose: &[u8], message: &[u8]) -> Token {
        let mut token = [0; 16];
        token.copy_from_slice(&self.mac(purpose, message)[..16]);
        Token(token)
    }

    fn mac(&self, purpose: &[u8], message: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new(&self.block.into());
        mac.update(purpose);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

impl Tokenize for DigestKey {
    fn token(&self, secret: &[u8]) -> Token {
        self.short(purpose::TOKEN, secret)
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(…)")
    }
}

impl Drop for DigestKey {
    fn drop(&mut self) {
        wipe(&mut self.block);
    }
}

/// Overwrites a secret; `black_box` keeps the compiler from leaving that out.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::not_run::not_run;

    fn file(bytes: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("digest.key");
        fs::write(&path, bytes).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
        (directory, path)
    }

    #[test]
    fn uses_of_one_key_and_two_keys_never_meet() {
        let (one, two) = (
            DigestKey::from_bytes([1; 32]),
            DigestKey::from_bytes([2; 32]),
        );
        assert_eq!(one.token(b"x"), one.token(b"x"));
        assert_ne!(one.token(b"x"), one.token(b"y"));
        assert_ne!(one.token(b"x"), two.token(b"x"));
        assert_ne!(one.id(), two.id());
        assert_ne!(one.keyed_digest(&[7; 32])[..16], one.token(&[7; 32]).0);
    }

    #[test]
    fn the_mac_is_hmac_sha_256_with_the_short_key() {
        let mut expected = Hmac::<Sha256>::new_from_slice(&[3; 32]).expect("any length");
        expected.update(b"ab");
        assert_eq!(
            DigestKey::from_bytes([3; 32]).mac(b"a", b"b"),
            <[u8; 32]>::from(expected.finalize().into_bytes())
        );
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(
            format!("{:?}", DigestKey::from_bytes([0x41; 32])),
            "DigestKey(…)"
        );
    }

    #[test]
    fn a_key_that_is_missing_short_long_or_a_link_is_refused_in_a_sentence() {
        if !geteuid().is_root() {
            not_run(
                "a key that is refused",
                "needs root (the key must be root's)",
            );
            return;
        }
        let (directory, path) = file(&[9; 32], 0o640);
        assert!(DigestKey::load(&path).is_ok());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(
            DigestKey::load(&link)
                .expect_err("a link")
                .contains("cannot be read")
        );
        assert!(
            DigestKey::load(&directory.path().join("none"))
                .expect_err("missing")
                .contains("/dev/urandom")
        );
        assert!(
            DigestKey::load(directory.path())
                .expect_err("a directory")
                .contains("not a regular file")
        );
        for length in [0, 31, 33, 5000] {
            let (_directory, path) = file(&vec![9; length], 0o640);
            assert!(
                DigestKey::load(&path)
                    .expect_err("wrong length")
                    .contains("not exactly 32 bytes")
            );
        }
    }

    #[test]
    fn a_key_of_another_owner_or_open_to_all_is_refused() {
        if !geteuid().is_root() {
            not_run("a key of another owner", "needs root");
            return;
        }
        for mode in [0o644, 0o642, 0o660] {
            let (_directory, path) = file(&[9; 32], mode);
            assert!(
                DigestKey::load(&path)
                    .expect_err("open")
                    .contains("chmod 0640")
            );
        }
        let (_directory, path) = file(&[9; 32], 0o600);
        std::os::unix::fs::chown(&path, Some(65534), None).expect("given away");
        assert!(
            DigestKey::load(&path)
                .expect_err("not root's")
                .contains("chown root")
        );
    }
}
