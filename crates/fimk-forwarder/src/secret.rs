//! Files that hold what others must not know.

use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Of a key with its certificates, or a token.
pub const BYTES_MAX: u64 = 256 << 10;

/// Of a token.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// What others of the file's group may not do, and anybody else.
const FORBIDDEN: u32 = 0o037;

/// The content of a regular file that only its owner, and its group by reading, can touch.
///
/// # Errors
/// A sentence: it cannot be read, or others can read or change it.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let (bytes, meta) = open(path, BYTES_MAX)?;
    let mode = meta.mode() & 0o7777;
    if mode & FORBIDDEN != 0 {
        return Err(format!(
            "{} may be read or changed by others (mode {mode:04o}), and holds a secret: chmod 0640, and chgrp it to fimk-forwarder",
            path.display()
        ));
    }
    Ok(bytes)
}

/// The content of a file that is no secret, and has no more bytes than these.
///
/// # Errors
/// A sentence: it cannot be read.
pub fn read_public(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    open(path, bytes_max).map(|(bytes, _)| bytes)
}

/// The token in a file: its first line, printable ASCII.
///
/// # Errors
/// A sentence, as those of [`read`], or that it holds no token.
pub fn token(path: &Path) -> Result<String, String> {
    let bytes = read(path)?;
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.trim_ascii();
    let printable = line.iter().all(u8::is_ascii_graphic);
    if line.is_empty() || line.len() > TOKEN_BYTES_MAX || !printable {
        return Err(format!(
            "{} holds no token: write it on the first line, in printable ASCII without spaces",
            path.display()
        ));
    }
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn open(path: &Path, bytes_max: u64) -> Result<(Vec<u8>, std::fs::Metadata), String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "{} cannot be read ({error}): let the user fimk-forwarder read it",
            path.display()
        )
    };
    // A pipe in its place must not hold us up.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    let mut bytes = Vec::new();
    if meta.is_file() {
        file.take(bytes_max + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
    }
    if !meta.is_file() || bytes.len() as u64 > bytes_max {
        return Err(format!(
            "{} is no regular file of at most {bytes_max} bytes: name one that is",
            path.display()
        ));
    }
    Ok((bytes, meta))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_secret_that_others_may_read_or_change_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        fs::write(&path, " abc.DEF-1 \nmore\n").expect("written");
        for (mode, fits) in [
            (0o600, true),
            (0o640, true),
            (0o400, true),
            (0o644, false),
            (0o620, false),
            (0o602, false),
            (0o601, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
            let found = token(&path);
            assert_eq!(found.is_ok(), fits, "{mode:o}");
            match found {
                Ok(found) => assert_eq!(found, "abc.DEF-1"),
                Err(error) => assert!(error.contains("chmod 0640"), "{error}"),
            }
        }
    }

    #[test]
    fn what_holds_no_token_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        for text in ["", "\nsecond", "two words", "\u{e9}", "a\rb"] {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
            assert!(token(&path).is_err(), "{text:?}");
        }
        assert!(token(directory.path()).is_err());
        assert!(token(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused_at_once_and_said_what_to_do_about() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("bundle");
        fs::write(&path, "12345678").expect("written");
        assert_eq!(read_public(&path, 8), Ok(b"12345678".to_vec()));
        let too_large = read_public(&path, 7).expect_err("one byte too much");
        fs::remove_file(&path).expect("it is ours");
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&path, mode).expect("it is ours");
        let pipe = read_public(&path, 8).expect_err("nobody writes to it");
        for error in [too_large, pipe] {
            assert!(
                error.contains("at most") && error.contains("name one"),
                "{error}"
            );
        }
    }
}
