//! Users and passwords, by the real tools in the real /etc, and every odd line on copies.

use std::path::Path;

use fimk_tests::{Account, Expect, Site, rule, run, run_with_input};

/// Of no password that anybody knows.
const HASH: &str = "$6$Zq0fP3xw$Xk1bW7u0vYyTq5cH2mN9eR4sD8gJ6lA3pV1oB7iK5fL2zC9tU4xE6wQ8rM0hG3jS1dF7yN5aP2kT4vI6bO8u";

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";

fn real_rule() -> String {
    rule(&[PASSWD.as_ref(), SHADOW.as_ref()])
}

#[test]
fn useradd_is_named_with_the_user_it_made() {
    let site = Site::new();
    let monitor = site.start(&real_rule());
    let account = Account::new("fimkeve");
    let subject = account.subject();
    for path in [PASSWD, SHADOW] {
        let event = monitor.expect(
            Expect::action("modified")
                .of(Path::new(path))
                .by(&account.made_by)
                .mentions(&subject),
        );
        assert_eq!(event.text("process.name"), Some("useradd"));
        let made = event
            .changes()
            .iter()
            .find(|change| change["subject"] == subject.as_str())
            .expect("it is mentioned");
        assert!(
            made.get("before").is_none() && made.get("after").is_some(),
            "a new user has no before: {made}"
        );
    }
    monitor.stop();
}

#[test]
fn usermod_is_named_with_both_uids_and_both_shells() {
    let site = Site::new();
    let account = Account::new("fimkmod");
    let uid = run("id", &["-u", &account.name]).output.trim().to_owned();
    let monitor = site.start(&real_rule());
    let usermod = run(
        "usermod",
        &["--uid", "64321", "--shell", "/bin/sh", &account.name],
    );
    let subject = account.subject();
    let expected = Expect::action("modified")
        .of(Path::new(PASSWD))
        .by(&usermod);
    let expected = expected.says(&subject, "uid", Some(&uid), Some("64321"));
    monitor.expect(expected.says(
        &subject,
        "shell",
        Some("/usr/sbin/nologin"),
        Some("/bin/sh"),
    ));
    monitor.stop();
}

#[test]
fn gpasswd_is_named_with_the_member_and_the_group() {
    let site = Site::new();
    let account = Account::new("fimkgrp");
    let files = ["/etc/group", "/etc/gshadow"].map(Path::new);
    let monitor = site.start(&rule(&files));
    let subject = format!("group users member {}", account.name);
    let member = Some("member");
    for (option, before, after) in [("--add", None, member), ("--delete", member, None)] {
        let gpasswd = run("gpasswd", &[option, &account.name, "users"]);
        for path in files {
            let expected = Expect::action("modified").of(path).by(&gpasswd);
            monitor.expect(expected.says(&subject, "", before, after));
        }
    }
    monitor.stop();
}

#[test]
fn chpasswd_is_named_and_the_password_is_not_shown() {
    let site = Site::new();
    let account = Account::new("fimkpwd");
    run_with_input("chpasswd", &["-e"], &format!("{}:{HASH}\n", account.name));
    let monitor = site.start(&real_rule());
    let other = HASH.replace("Zq0fP3xw", "aB1cD2eF");
    let chpasswd = run_with_input("chpasswd", &["-e"], &format!("{}:{other}\n", account.name));
    let expected = Expect::action("modified")
        .of(Path::new(SHADOW))
        .by(&chpasswd);
    monitor.expect(redacted_password(expected, &account.subject()));
    monitor.stop();
}

#[test]
fn userdel_is_named_with_the_user_it_removed() {
    let site = Site::new();
    let account = Account::new("fimkdel");
    let monitor = site.start(&real_rule());
    let userdel = run("userdel", &[&account.name]);
    let subject = account.subject();
    let event = monitor.expect(
        Expect::action("modified")
            .of(Path::new(PASSWD))
            .by(&userdel)
            .mentions(&subject),
    );
    let gone = event
        .changes()
        .iter()
        .find(|change| change["subject"] == subject.as_str())
        .expect("it is mentioned");
    assert!(
        gone.get("before").is_some() && gone.get("after").is_none(),
        "a removed user has no after: {gone}"
    );
    monitor.stop();
}

/// The password of a user changed, and both sides are shown as different secrets.
fn redacted_password(expected: Expect, subject: &str) -> Expect {
    let subject = subject.to_owned();
    expected.and(
        format!("{subject} password [redacted …] → another"),
        move |event| {
            event.changes().iter().any(|change| {
                let text = |key: &str| {
                    change
                        .get(key)
                        .and_then(serde_json::Value::as_str)
                        .unwrap_or_default()
                };
                let (before, after) = (text("before"), text("after"));
                text("subject") == subject
                    && text("field") == "password"
                    && before != after
                    && before.contains("[redacted")
                    && after.contains("[redacted")
            })
        },
    )
}

/// Replaces the file by each text in turn and waits for what is expected of each.
fn each_edit_is_told(name: &str, start: &str, edits: Vec<(String, Expect)>) {
    let site = Site::new();
    let path = site.write(name, start);
    let monitor = site.watch();
    for (text, expected) in edits {
        site.replace(&path, &text);
        monitor.expect(expected.of(&path));
    }
    assert!(
        !monitor.errors().contains("panicked at"),
        "{}",
        monitor.errors()
    );
    monitor.stop();
}

fn modified() -> Expect {
    Expect::action("modified")
}

fn added(subject: &'static str, words: &'static str) -> Expect {
    modified().and(format!("{subject} is new: {words}"), move |event| {
        event.changes().iter().any(|change| {
            change["subject"] == subject
                && change.get("before").is_none()
                && change["after"]
                    .as_str()
                    .is_some_and(|after| after.contains(words))
        })
    })
}

#[test]
fn every_change_of_passwd_that_matters_is_told_in_words() {
    let start = "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www:/var/www:/usr/sbin/nologin\nalice:x:1000:1000:Alice:/home/alice:/bin/bash\n";
    let promoted = start.replace("alice:x:1000:", "alice:x:0:");
    let shell = promoted.replace("/usr/sbin/nologin", "/bin/sh");
    let open = shell.replace("alice:x:", "alice::");
    let toor = format!("{open}toor::0:0::/root:/bin/sh\n");
    let nis = format!("{toor}+::::::\n");
    let blank = format!("{nis}\n");
    let short = format!("{blank}mallory:x:0\n");
    let comment = format!("{short}# a comment\n");
    let last = comment.replace("/home/alice", "/home/elsewhere");
    each_edit_is_told(
        "etc/passwd",
        start,
        vec![
            (
                promoted,
                modified().says("user alice", "uid", Some("1000"), Some("0")),
            ),
            (
                shell,
                modified().says(
                    "user www-data",
                    "shell",
                    Some("/usr/sbin/nologin"),
                    Some("/bin/sh"),
                ),
            ),
            (
                open,
                modified().and("alice's password field changed".to_owned(), |event| {
                    event.changes().iter().any(|change| {
                        change["subject"] == "user alice" && change["field"] == "password"
                    })
                }),
            ),
            (toor, added("user toor", "uid 0")),
            (nis, modified().mentions("NIS entry +")),
            (blank, modified()),
            (short, modified().mentions("line 7")),
            (comment, modified().mentions("line 8")),
            (
                last,
                modified().says(
                    "user alice",
                    "home",
                    Some("/home/alice"),
                    Some("/home/elsewhere"),
                ),
            ),
        ],
    );
}

#[test]
fn every_change_of_shadow_that_matters_is_told_in_words() {
    let start = format!("root:{HASH}:19000:0:99999:7:::\nalice:!:19000:0:99999:7:::\n");
    // Same length, same last four characters.
    let changed = start.replace("Zq0fP3xw", "aB1cD2eF");
    let locked = changed.replace("root:$6$", "root:!$6$");
    let open = locked.replace("alice:!:", "alice::");
    let short = format!("{open}mallory:x\n");
    let last = short.replace("alice::19000:", "alice::19001:");
    let password_of_alice = modified().and("alice's password changed".to_owned(), |event| {
        event
            .changes()
            .iter()
            .any(|change| change["subject"] == "user alice" && change["field"] == "password")
    });
    let locked_root = modified().and("root is locked now".to_owned(), |event| {
        event.changes().iter().any(|change| {
            change["subject"] == "user root"
                && change["after"]
                    .as_str()
                    .is_some_and(|after| after.contains("locked"))
        })
    });
    each_edit_is_told(
        "etc/shadow",
        &start,
        vec![
            (changed, redacted_password(modified(), "user root")),
            (locked, locked_root),
            (open, password_of_alice),
            (short, modified().mentions("line 3")),
            (last, modified().mentions("user alice")),
        ],
    );
}
