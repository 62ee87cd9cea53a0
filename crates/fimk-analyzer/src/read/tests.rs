#![allow(clippy::expect_used, reason = "a failed step of a test is its failure")]

mod extended;
mod homes;

use std::{
    fs::{self, File},
    io::Write,
    iter,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt as _, symlink},
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::openat,
    sys::stat::{Mode, mkdirat},
    unistd::mkfifo,
};
use sha2::{Digest as _, Sha256};
use tempfile::tempdir;

use super::*;

const MAX: u64 = 4 << 20;
const TEXT: Wanted = Wanted {
    consumer: Some(Consumer::Text),
    content: ContentMode::Auto,
    growing: false,
};

fn reader() -> Reader {
    Reader::new(
        Arc::new(DigestKey::from_bytes([7; 32])),
        MAX,
        Homes::default(),
    )
}

fn bytes(path: &Path) -> BytePath {
    BytePath::new(path.as_os_str().as_bytes())
}

fn read(path: &Path, wanted: &Wanted) -> Read {
    reader().snapshot(&bytes(path), wanted).expect("a reading")
}

fn plain(content: &[u8]) -> Digest {
    Digest::Plain(Sha256::digest(content).into())
}

#[test]
fn a_regular_file_gives_digest_state_and_attributes() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a");
    fs::write(&path, "one\ntwo\n").expect("written");
    let Read {
        snapshot,
        consistent,
        ..
    } = read(&path, &TEXT);
    assert!(consistent);
    assert_eq!(
        (
            snapshot.attributes.kind,
            snapshot.attributes.size,
            snapshot.attributes.links
        ),
        (FileKind::File, 8, 1)
    );
    assert_eq!(reader().attributes(&bytes(&path)), Ok(snapshot.attributes));
    assert!(
        matches!(snapshot.content, Content::Read { digest, state: Some(_) } if digest == plain(b"one\ntwo\n"))
    );
}

#[test]
fn the_policy_says_how_much_is_read() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a");
    fs::write(&path, "x").expect("written");
    let hash = read(
        &path,
        &Wanted {
            content: ContentMode::Hash,
            ..TEXT
        },
    );
    assert_eq!(
        hash.snapshot.content,
        Content::Read {
            digest: plain(b"x"),
            state: None
        }
    );
    let nobody = read(
        &path,
        &Wanted {
            consumer: None,
            ..TEXT
        },
    );
    assert_eq!(
        nobody.snapshot.content,
        Content::Read {
            digest: plain(b"x"),
            state: None
        }
    );
    let none = read(
        &path,
        &Wanted {
            content: ContentMode::None,
            ..TEXT
        },
    );
    assert!(matches!(none.snapshot.content, Content::Unread(_)));
}

#[test]
fn content_with_a_secret_has_no_plain_digest_whatever_the_policy() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("shadow");
    let content = b"root:$6$abcdefgh$0123456789abcdefghijklmnopqrstuvwxyz:1:0:99999:7:::\n";
    fs::write(&path, content).expect("written");
    let keyed = DigestKey::from_bytes([7; 32]).keyed_digest(&Sha256::digest(content).into());
    for policy in [ContentMode::Auto, ContentMode::Diff, ContentMode::Hash] {
        let read = read(
            &path,
            &Wanted {
                consumer: Some(Consumer::Shadow),
                content: policy,
                growing: false,
            },
        );
        assert!(
            matches!(read.snapshot.content, Content::Read { digest, .. } if digest == Digest::Keyed(keyed))
        );
    }
}

#[test]
fn a_text_over_a_mebibyte_has_a_digest_and_no_lines() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a");
    let content = b"line\n".repeat(300_000);
    fs::write(&path, &content).expect("written");
    match read(&path, &TEXT).snapshot.content {
        Content::Read {
            digest,
            state: Some(State::Text(text)),
        } => {
            assert_eq!(digest, plain(&content));
            assert!(text.lines.is_empty() && text.rest.is_some());
        }
        other => panic!("{other:?}"),
    }
    let zeros = vec![0; 2 << 20];
    fs::write(&path, &zeros).expect("written");
    assert_eq!(
        read(&path, &TEXT).snapshot.content,
        Content::Read {
            digest: plain(&zeros),
            state: Some(State::Binary)
        }
    );
}

#[test]
fn what_begins_as_a_short_text_with_a_secret_did_is_not_taken_for_it() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a");
    let mut content = b"password = hunter2hunter2\n".to_vec();
    content.resize(1 << 20, b'#');
    for hash in [Hash::Sha256, Hash::Blake3, Hash::Md5] {
        let reader = Reader {
            hashes: vec![hash],
            ..reader()
        };
        let read = |known| {
            let read = reader.snapshot_of(&bytes(&path), &TEXT, known);
            read.expect("read")
        };
        fs::write(&path, &content).expect("written");
        let Content::Read { digest, .. } = read(None).snapshot.content else {
            panic!("it is read");
        };
        assert!(matches!(digest, Digest::Keyed(_)));
        let bytes = content.len() as u64;
        fs::write(&path, [&content[..], b"more\n"].concat()).expect("written");
        assert!(!read(Some(Known { digest, bytes })).rehashed, "{hash:?}");
    }
}

#[test]
fn of_a_file_that_is_understood_the_first_mebibyte_is_however_long_it_is() {
    let wanted = Wanted {
        consumer: Some(Consumer::Passwd),
        ..TEXT
    };
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a");
    let padding = "# a line of some length that pads a file\n".repeat(40_000);
    let read = |first: &str, last: &str| {
        fs::write(&path, format!("{first}{padding}{last}")).expect("written");
        match read(&path, &wanted).snapshot.content {
            Content::Read {
                digest: Digest::Keyed(digest),
                state: Some(state),
            } => (digest, state),
            other => panic!("{other:?}"),
        }
    };
    let bob = |uid: u8| format!("bob:x:{uid}:100::/:/bin/sh\n");
    let (one, uid, rest) = (
        read(&bob(7), "x\n"),
        read(&bob(0), "x\n"),
        read(&bob(7), &bob(0)),
    );
    assert_eq!(one, read(&bob(7), "x\n"));
    assert!(one.0 != uid.0 && one.0 != rest.0);
    let ids = |other: &State| -> Vec<String> {
        let found = fimk_consumers::findings::find(Some(&one.1), Some(other));
        found.into_iter().map(|it| it.id).collect()
    };
    assert_eq!(ids(&uid.1), ["passwd-uid-zero", "not-understood"]);
    assert_eq!(ids(&rest.1), ["not-understood"]);
    let said = fimk_consumers::compare(Some(&one.1), Some(&uid.1)).changes;
    let fields: Vec<&str> = said.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(fields, ["uid", "rest"]);
}

#[test]
fn the_digest_of_a_long_file_is_one_of_all_of_it_by_whatever_hash() {
    let wanted = Wanted {
        consumer: Some(Consumer::Sudoers),
        ..TEXT
    };
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a");
    let mut content = b"#\n".repeat(1 << 20);
    let mut digest = |last: u8| {
        *content.last_mut().expect("it is long") = last;
        fs::write(&path, &content).expect("written");
        let read = |hash| {
            let reader = Reader {
                hashes: vec![hash],
                ..reader()
            };
            reader
                .snapshot(&bytes(&path), &wanted)
                .expect("read")
                .snapshot
        };
        let [one, other] = [Hash::Sha256, Hash::Blake3].map(|hash| read(hash).content);
        assert_eq!(one, other);
        one
    };
    assert_ne!(digest(b'a'), digest(b'b'));
}

#[test]
fn what_is_larger_than_the_limit_is_not_read_however_sparse() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a");
    let file = File::create(&path).expect("created");
    file.set_len(1 << 40).expect("sparse");
    assert_eq!(
        read(&path, &TEXT).snapshot.content,
        Content::Unread(format!("larger than {MAX} bytes"))
    );
    file.set_len(MAX).expect("cut");
    assert!(matches!(
        read(&path, &TEXT).snapshot.content,
        Content::Read { .. }
    ));
}

#[test]
fn a_file_without_an_end_is_left_at_the_limit() {
    let endless = open_path(&BytePath::new(b"/dev/zero"), OFlag::O_PATH).expect("opened");
    let attributes = attributes::of(&endless).expect("it is there");
    let hashing = Hashing::new(&[Hash::Sha256], None, false);
    let stream = content::file(
        &endless,
        &attributes,
        MAX,
        true,
        hashing,
        &Progress::default(),
    );
    assert!(matches!(stream, Stream::Unread(why) if why.starts_with("larger")));
}

#[test]
fn pipes_devices_sockets_and_directories_are_named_and_not_opened() {
    let directory = tempdir().expect("a directory");
    let (fifo, socket) = (
        directory.path().join("fifo"),
        directory.path().join("socket"),
    );
    mkfifo(&fifo, Mode::S_IRWXU).expect("a fifo");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    for (path, why) in [
        (fifo.as_path(), "a fifo is not read"),
        (&socket, "a socket is not read"),
        (Path::new("/dev/null"), "a device is not read"),
        (directory.path(), "a directory is not read"),
    ] {
        assert_eq!(
            read(path, &TEXT).snapshot.content,
            Content::Unread(why.to_owned())
        );
    }
}

#[test]
fn a_link_is_read_as_a_link_and_never_followed() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("link");
    symlink("/etc/shadow", &path).expect("linked");
    let read = read(&path, &TEXT);
    assert_eq!(read.snapshot.attributes.kind, FileKind::Symlink);
    assert_eq!(
        read.snapshot.content,
        Content::Link(BytePath::new(b"/etc/shadow"))
    );
}

#[test]
fn what_is_gone_is_gone_and_a_loop_of_links_is_an_error() {
    let directory = tempdir().expect("a directory");
    let gone = directory.path().join("gone");
    assert_eq!(
        reader().snapshot(&bytes(&gone), &TEXT),
        Err(ReadError::Gone)
    );
    assert_eq!(
        reader().attributes(&bytes(&gone.join("below"))),
        Err(ReadError::Gone)
    );
    symlink("gone", &gone).expect("linked");
    assert!(matches!(
        reader().snapshot(&bytes(&gone.join("below")), &TEXT),
        Err(ReadError::Other(_))
    ));
    let nul = BytePath::new(b"/etc/\0passwd");
    assert!(matches!(
        reader().snapshot(&nul, &TEXT),
        Err(ReadError::Other(_))
    ));
}

#[test]
fn a_path_longer_than_path_max_is_read() {
    let directory = tempdir().expect("a directory");
    let name = [b'd'; 250];
    let mut path = bytes(directory.path());
    let mut above = open_path(&path, OFlag::O_PATH | OFlag::O_DIRECTORY).expect("opened");
    for _ in 0..50 {
        let name = std::ffi::OsStr::from_bytes(&name);
        mkdirat(&above, name, Mode::S_IRWXU).expect("made");
        above = openat(
            &above,
            name,
            OFlag::O_PATH | OFlag::O_DIRECTORY,
            Mode::empty(),
        )
        .expect("opened");
        path = path.join(name.as_bytes());
    }
    let file =
        openat(&above, "f", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).expect("created");
    File::from(file).write_all(b"deep").expect("written");
    let read = reader()
        .snapshot(&path.join(b"f"), &TEXT)
        .expect("a reading");
    assert!(
        matches!(read.snapshot.content, Content::Read { digest, .. } if digest == plain(b"deep"))
    );
    let name_too_long = path.join(&[b'n'; 300]);
    assert!(
        matches!(reader().attributes(&name_too_long), Err(ReadError::Other(why)) if why.contains("ENAMETOOLONG"))
    );
}

#[test]
fn a_single_name_longer_than_a_piece_is_an_error_and_no_panic() {
    for length in [4094, 4095, 4096, 9000, 2 << 20] {
        let path = BytePath::new(b"/").join(&vec![b'x'; length]);
        assert!(matches!(
            reader().attributes(&path),
            Err(ReadError::Other(_))
        ));
    }
}

#[test]
fn a_file_written_without_a_pause_gives_a_reading_in_the_end_and_says_so() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("busy");
    // Sparse, and so long that the writer has its turn during each reading, also on a busy host.
    File::create(&path)
        .and_then(|file| file.set_len(48 << 20))
        .expect("created");
    let reader = Reader::new(
        Arc::new(DigestKey::from_bytes([7; 32])),
        u64::MAX,
        Homes::default(),
    );
    let read = || reader.snapshot(&bytes(&path), &TEXT).expect("a reading");
    let stop = AtomicBool::new(false);
    let inconsistent = thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().append(true).open(&path).expect("opened");
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b"x").expect("written");
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let found =
            iter::repeat_with(read).find(|read| !read.consistent || Instant::now() > deadline);
        stop.store(true, Ordering::Relaxed);
        found
    });
    assert!(inconsistent.is_some_and(|read| !read.consistent));
    assert!(read().consistent);
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_read_all_the_same() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("cut");
    let lines = "user:x:1000:1000\n".repeat(30_000);
    fs::write(&path, &lines).expect("written");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&path).expect("opened");
            while !stop.load(Ordering::Relaxed) {
                file.set_len(0).expect("cut");
                file.write_all_at(lines.as_bytes(), 0).expect("written");
            }
        });
        let readings = iter::repeat_with(|| read(&path, &TEXT)).take(100);
        let all = readings
            .filter(|read| matches!(read.snapshot.content, Content::Read { .. }))
            .count();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(all, 100);
    });
    let whole = read(&path, &TEXT);
    assert!(whole.consistent && whole.snapshot.attributes.size == lines.len() as u64);
}

#[test]
fn proc_files_end_where_they_end() {
    assert!(matches!(
        read(Path::new("/proc/version"), &TEXT).snapshot.content,
        Content::Read { .. }
    ));
    assert!(matches!(
        read(Path::new("/proc/self/mem"), &TEXT).snapshot.content,
        Content::Unread(_)
    ));
}

#[test]
fn a_change_of_anything_is_a_change() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a");
    fs::write(&path, "x").expect("written");
    let first = reader().attributes(&bytes(&path)).expect("attributes");
    assert!(unchanged(
        &first,
        &reader().attributes(&bytes(&path)).expect("attributes")
    ));
    fs::remove_file(&path).expect("removed");
    fs::write(directory.path().join("b"), "y").expect("written");
    fs::write(&path, "xy").expect("written");
    assert!(!unchanged(
        &first,
        &reader().attributes(&bytes(&path)).expect("attributes")
    ));
}
