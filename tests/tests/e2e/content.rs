//! What is in a file changes, by every way of writing.

use std::{fs, os::unix::fs::PermissionsExt as _};

use fimk_tests::{
    Event, Expect, Mapping, Site, append_line, attempt, myself, not_run, run, text, uring_write,
    which,
};
use serde_json::Value;

#[test]
fn an_appended_line_is_shown_with_the_shell_that_wrote_it() {
    let site = Site::new();
    let path = site.write("hosts", "one\n");
    let monitor = site.watch();
    let shell = append_line(&path, "two");
    let event = monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("two")
            .with_content_of(&path),
    );
    assert_eq!(event.number("file.size"), Some(8));
    assert_eq!(event.text("fimk.content"), Some("changed"));
    assert_eq!(event.text("fimk.detected_by"), Some("event"));
    assert_eq!(event.text("fimk.rule"), Some("test"));
    assert_eq!(event.text("user.id"), Some("0"));
    monitor.stop();
}

#[test]
fn every_line_has_the_fields_that_are_promised_for_all() {
    let site = Site::new();
    let path = site.write("hosts", "one\n");
    let monitor = site.watch();
    append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path));
    let events = monitor.stop();
    let mut last = 0;
    for event in &events {
        for name in [
            "@timestamp",
            "ecs.version",
            "event.kind",
            "host.name",
            "host.boot.id",
            "agent.name",
            "agent.version",
        ] {
            assert!(
                event.text(name).is_some_and(|text| !text.is_empty()),
                "no {name}: {event:?}"
            );
        }
        for name in ["event.category", "event.type", "event.severity"] {
            assert!(event.get(name).is_some(), "no {name}: {event:?}");
        }
        let sequence = event
            .number("event.sequence")
            .expect("each event has a number");
        assert!(sequence > last, "numbers rise: {event:?}");
        last = sequence;
    }
}

#[test]
fn a_truncated_file_loses_its_lines() {
    let site = Site::new();
    let path = site.write("motd", "one\ntwo\n");
    let monitor = site.watch();
    let truncate = run("truncate", &["--size=4", text(&path)]);
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&truncate)
            .removes("two")
            .with_content_of(&path),
    );
    monitor.stop();
}

#[test]
fn sed_in_place_replaces_the_file_and_shows_both_lines() {
    let site = Site::new();
    let path = site.write("sshd_config", "PermitRootLogin no\nX11Forwarding no\n");
    let monitor = site.watch();
    let sed = run("sed", &["-i", "s/RootLogin no/RootLogin yes/", text(&path)]);
    let expected = Expect::action("modified").of(&path).by(&sed);
    let expected = expected
        .removes("PermitRootLogin no")
        .adds("PermitRootLogin yes")
        .with_content_of(&path);
    let event = monitor.expect(expected.field("fimk.replaced", true));
    assert_eq!(event.text("process.name"), Some("sed"));
    monitor.stop();
}

#[test]
fn a_changed_mode_is_named_with_both_values() {
    let site = Site::new();
    let path = site.write("key", "one\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let monitor = site.watch();
    let chmod = run("chmod", &["0644", text(&path)]);
    let expected = Expect::action("attributes_modified").of(&path).by(&chmod);
    monitor.expect(
        expected
            .says_of_it("mode", "0600", "0644")
            .field("file.mode", "0644"),
    );
    monitor.stop();
}

#[test]
fn a_set_id_bit_is_named() {
    let site = Site::new();
    let path = site.write("tool", "#!/bin/sh\n");
    let monitor = site.watch();
    let chmod = run("chmod", &["4755", text(&path)]);
    monitor.expect(
        Expect::action("attributes_modified")
            .of(&path)
            .by(&chmod)
            .says_of_it("mode", "0644", "4755")
            .field("event.severity", 73),
    );
    monitor.stop();
}

#[test]
fn another_root_and_a_sudo_without_password_are_found_and_graver_than_their_rule() {
    let site = Site::new();
    let passwd = site.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    let sudoers = site.write("etc/sudoers", "root ALL=(ALL:ALL) ALL\n");
    let monitor = site.watch();
    let found = |id: &'static str| {
        move |event: &Event| {
            let findings = event.get("fimk.findings").and_then(Value::as_array);
            findings.is_some_and(|all| all.iter().any(|finding| finding["id"] == id))
        }
    };
    let shell = append_line(&passwd, "toor:x:0:0::/root:/bin/sh");
    monitor.expect(
        Expect::action("modified")
            .of(&passwd)
            .by(&shell)
            .field("event.severity", 99)
            .and("another root".to_owned(), found("passwd-uid-zero")),
    );
    let shell = append_line(&sudoers, "toor ALL=(ALL) NOPASSWD: /bin/ls");
    monitor.expect(
        Expect::action("modified")
            .of(&sudoers)
            .by(&shell)
            .field("event.severity", 73)
            .and("no password".to_owned(), found("sudoers-nopasswd")),
    );
    monitor.stop();
}

#[test]
fn a_changed_owner_is_named() {
    let site = Site::new();
    let path = site.write("file", "one\n");
    let monitor = site.watch();
    let chown = run("chown", &["12345:54321", text(&path)]);
    let event = monitor.expect(Expect::action("attributes_modified").of(&path).by(&chown));
    assert_eq!(event.text("file.uid"), Some("12345"));
    assert_eq!(event.text("file.gid"), Some("54321"));
    monitor.stop();
}

#[test]
fn a_store_to_a_mapping_is_found_when_the_mapping_goes() {
    let site = Site::new();
    let path = site.write("mapped", "before\n");
    let monitor = site.watch();
    let mut mapping = Mapping::new(&path, 7).expect("it can be mapped");
    mapping.store(b"after!\n");
    drop(mapping);
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&myself())
            .removes("before")
            .adds("after!")
            .with_content_of(&path),
    );
    monitor.stop();
}

#[test]
fn a_store_to_a_mapping_that_stays_is_found_too() {
    let site = Site::new();
    let path = site.write("mapped", "before\n");
    let monitor = site.watch();
    let mut mapping = Mapping::new(&path, 7).expect("it can be mapped");
    mapping.store(b"after!\n");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&myself())
            .removes("before")
            .adds("after!"),
    );
    drop(mapping);
    monitor.stop();
}

#[test]
fn a_write_through_io_uring_is_seen() {
    let site = Site::new();
    let path = site.write("ring", "before\n");
    let monitor = site.watch();
    match uring_write(&path, b"after!\n") {
        Ok(()) => {
            monitor.expect(
                Expect::action("modified")
                    .of(&path)
                    .by(&myself())
                    .removes("before")
                    .adds("after!")
                    .with_content_of(&path),
            );
        }
        Err(error) => not_run(
            "a write through io_uring",
            &format!("this kernel refuses rings: {error}"),
        ),
    }
    monitor.stop();
}

#[test]
fn a_copy_within_the_kernel_is_seen() {
    let site = Site::new();
    let path = site.write("target", "before\n");
    let source = site.outside("source");
    fs::write(&source, "copied\n").expect("it is ours");
    let monitor = site.watch();
    // GNU cp uses copy_file_range or a clone where the file system can.
    let cp = run("cp", &["--reflink=auto", text(&source), text(&path)]);
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&cp)
            .adds("copied")
            .with_content_of(&path),
    );
    monitor.stop();
}

#[test]
fn a_binary_file_is_told_by_its_digest() {
    let site = Site::new();
    let path = site.write("program", "");
    fs::write(&path, [0_u8, 159, 146, 150]).expect("it is ours");
    let monitor = site.watch();
    let dd = run(
        "dd",
        &[
            "if=/dev/zero",
            &format!("of={}", path.display()),
            "bs=1k",
            "count=4",
            "conv=notrunc",
        ],
    );
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&dd)
            .with_content_of(&path)
            .without("fimk.diff"),
    );
    monitor.stop();
}

#[test]
fn a_save_by_vim_names_vim_and_shows_the_line() {
    let site = Site::new();
    let path = site.write("crontab", "one\n");
    let monitor = site.watch();
    if which("vim.tiny".as_ref()).is_none() {
        not_run("a save by vim", "vim.tiny is not installed");
        return;
    }
    let name = text(&path);
    // Silent ex mode may end with status 1 although it saved.
    let vim = attempt(
        "vim.tiny",
        &["-u", "NONE", "-es", "-c", "normal Gotwo", "-c", "wq", name],
    );
    assert_eq!(
        fs::read_to_string(&path).expect("it is there"),
        "one\ntwo\n",
        "{}",
        vim.output
    );
    let actions = ["created", "modified", "renamed"];
    monitor.expect(
        Expect::any_of(&actions)
            .of(&path)
            .by(&vim)
            .with_content_of(&path),
    );
    monitor.stop();
}

#[test]
fn a_temporary_renamed_over_the_file_is_a_modification_of_it() {
    let site = Site::new();
    let path = site.write("crontab", "one\n");
    let temporary = site.file("crontab.tmp");
    let monitor = site.watch();
    let script = "printf 'one\\ntwo\\n' > \"$1\" && exec mv \"$1\" \"$0\"";
    let mut shell = run("sh", &["-c", script, text(&path), text(&temporary)]);
    // The shell became mv: the same pid, another program.
    shell.executable = which("mv".as_ref())
        .and_then(|mv| fs::canonicalize(mv).ok())
        .expect("mv is installed");
    let expected = Expect::action("modified")
        .of(&path)
        .by(&shell)
        .field("fimk.replaced", true);
    monitor.expect(expected.adds("two").with_content_of(&path));
    monitor.stop();
}
