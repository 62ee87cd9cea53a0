//! Nothing is reported where nothing changed.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use fimk_tests::{Event, Expect, Site, append_line, attempt, run, text};

/// Watches, does something that changes nothing, then changes another file: when that is reported
/// and fimk has stopped, nothing may have been said about the first.
fn nothing_is_said_of(act: impl Fn(&Site, &Path)) {
    let site = Site::new();
    let path = site.write("quiet", "one\n");
    let sentinel = site.write("sentinel", "one\n");
    let monitor = site.watch();
    act(&site, &path);
    let shell = append_line(&sentinel, "two");
    monitor.expect(
        Expect::action("modified")
            .of(&sentinel)
            .by(&shell)
            .adds("two"),
    );
    let events = monitor.stop();
    let said: Vec<&Event> = events
        .iter()
        .filter(|event| {
            event
                .text("file.path")
                .is_some_and(|name| Path::new(name) != sentinel)
        })
        .collect();
    assert!(said.is_empty(), "nothing had changed: {said:?}");
}

#[test]
fn reading_is_not_reported() {
    nothing_is_said_of(|_, path| {
        run("cat", &[path]);
    });
}

#[test]
fn listing_is_not_reported() {
    nothing_is_said_of(|site, _| {
        run("ls", &["-laR".as_ref(), site.files().as_os_str()]);
    });
}

#[test]
fn opening_for_writing_without_writing_is_not_reported() {
    nothing_is_said_of(|_, path| {
        drop(
            OpenOptions::new()
                .read(true)
                .append(true)
                .open(path)
                .expect("it is ours"),
        );
    });
}

#[test]
fn a_write_that_is_not_allowed_is_not_reported() {
    nothing_is_said_of(|_, path| {
        let script = "echo two >> \"$0\"";
        let arguments = [
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "sh",
            "-c",
            script,
            text(path),
        ];
        assert!(
            !attempt("setpriv", &arguments).succeeded,
            "nobody may write to it"
        );
    });
}

#[test]
fn a_write_that_fails_is_not_reported() {
    nothing_is_said_of(|_, path| {
        // No byte fits: EFBIG.
        let script = "trap '' XFSZ; ulimit -f 0; echo two >> \"$0\"";
        assert!(
            !attempt("sh", &["-c", script, text(path)]).succeeded,
            "the limit is in force"
        );
    });
}

#[test]
fn the_same_bytes_written_again_are_not_printed() {
    nothing_is_said_of(|_, path| {
        let script = "printf 'one\\n' | dd of=\"$0\" conv=notrunc";
        run("sh", &["-c", script, text(path)]);
    });
}

#[test]
fn changes_outside_the_rules_are_not_reported() {
    nothing_is_said_of(|site, _| {
        let path = site.outside("elsewhere");
        fs::write(&path, "one\n").expect("it is ours");
        fs::write(&path, "two\n").expect("it is ours");
        fs::remove_file(&path).expect("it is ours");
    });
}
