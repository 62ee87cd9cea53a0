//! What a real file system says besides the attributes.

use std::fs;

use fimk_core::record::{Extended, Xattr};
use rustix::{
    fs::{XattrFlags, setxattr},
    io::Errno,
};
use tempfile::TempDir;

use super::*;
use crate::not_run::not_run;

/// A file on a file system with user attributes; none, with a word, where the one of this test has none.
fn file(test: &str) -> Option<(TempDir, std::path::PathBuf)> {
    let directory = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let path = directory.path().join("f");
    fs::write(&path, "x").expect("written");
    match setxattr(&path, "user.note", b"one", XattrFlags::empty()) {
        Ok(()) => Some((directory, path)),
        Err(Errno::OPNOTSUPP) => {
            not_run(test, "/var/tmp has no extended attributes");
            None
        }
        Err(error) => panic!("no attribute can be set: {error}"),
    }
}

fn extended(path: &Path) -> Extended {
    read(path, &TEXT).snapshot.extended.expect("it is known")
}

/// The text of an attribute that must be there.
fn value(extended: &Extended, name: &str) -> Option<String> {
    let it = extended.xattrs.iter().find(|it: &&Xattr| it.name == name);
    let value = it.expect(name).value.as_ref().expect("it is readable");
    value.text.clone()
}

#[test]
fn attributes_are_read_as_text_or_digest_and_secrets_are_neither() {
    let Some((_directory, path)) =
        file("attributes_are_read_as_text_or_digest_and_secrets_are_neither")
    else {
        return;
    };
    let set = |name: &str, value: &[u8]| {
        setxattr(&path, name, value, XattrFlags::empty()).expect("set");
    };
    set("user.binary", b"a\0b\xff");
    set("user.line", b"a\nb");
    set("user.long", &[b'x'; 300]);
    set("user.empty", b"");
    set("user.secret", b"password = geheim99");
    let extended = extended(&path);
    assert_eq!(value(&extended, "user.note"), Some("one".to_owned()));
    assert_eq!(value(&extended, "user.empty"), Some(String::new()));
    for name in ["user.binary", "user.line", "user.long"] {
        assert_eq!(value(&extended, name), None, "{name}");
    }
    let printed = format!("{extended:?}");
    assert!(!printed.contains("geheim99"), "{printed}");
    assert_eq!(extended.more, 0);
}

#[test]
fn a_change_of_an_attribute_alone_does_not_look_the_same() {
    let Some((_directory, path)) = file("a_change_of_an_attribute_alone_does_not_look_the_same")
    else {
        return;
    };
    let snapshot = read(&path, &TEXT).snapshot;
    assert!(reader().looks_like(&bytes(&path), &snapshot));
    setxattr(&path, "user.note", b"two", XattrFlags::empty()).expect("set");
    assert!(!reader().looks_like(&bytes(&path), &snapshot));
    // Even where the time of change did not move.
    let mut odd = read(&path, &TEXT).snapshot;
    odd.extended = snapshot.extended;
    assert!(!reader().looks_like(&bytes(&path), &odd));
}

#[test]
fn attributes_beyond_the_limit_are_counted_and_those_of_the_system_come_first() {
    let Some((_directory, path)) =
        file("attributes_beyond_the_limit_are_counted_and_those_of_the_system_come_first")
    else {
        return;
    };
    for number in 0..80 {
        let name = format!("user.{number:02}");
        setxattr(&path, name, b"", XattrFlags::empty()).expect("set");
    }
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let privileged = setxattr(
        &path,
        "security.capability",
        &capability,
        XattrFlags::empty(),
    );
    let extended = extended(&path);
    let all = 81 + usize::from(privileged.is_ok());
    assert_eq!(usize::try_from(extended.more), Ok(all - 64));
    if privileged.is_ok() {
        assert_eq!(extended.capabilities.as_deref(), Some("cap_net_raw+ep"));
    } else {
        not_run("capabilities", "only root can set them");
    }
}

#[test]
fn a_link_a_directory_and_a_fifo_have_attributes_of_their_own() {
    let directory = tempdir().expect("a directory");
    let (link, fifo) = (directory.path().join("l"), directory.path().join("f"));
    symlink("nowhere", &link).expect("linked");
    mkfifo(&fifo, Mode::S_IRWXU).expect("a fifo");
    for path in [link.as_path(), &fifo, directory.path()] {
        assert!(
            read(path, &TEXT).snapshot.extended.is_some(),
            "{}",
            path.display()
        );
    }
}
