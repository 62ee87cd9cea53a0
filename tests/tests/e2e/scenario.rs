//! The guided tour that bpfink ships (its `examples/watcher/setup.sh`), made again with files of ours: each
//! step, and what is told of it.

use std::{fs, os::unix::fs::symlink};

use fimk_tests::{Event, Expect, Monitor, Site, append_line, rule, run, text};

const ACCESS: &str = "-:root:ALL\n# net/mask\n+:john:127.0.0.0/24\n-:ALL:ALL\n";
const PASSWD: &str =
    "root:x:0:0::/root:/bin/bash\nbin:x:1:1::/:/sbin/nologin\ndaemon:x:2:2::/:/sbin/nologin\n";
const SHADOW: &str = "root:!:17597::::::\n";
const SUDOERS: &str = "root ALL = (ALL:ALL) ALL\n";

fn modified() -> Expect {
    Expect::action("modified")
}

/// A thing came, with these words, or went.
fn came_or_went(subject: &'static str, came: bool, words: &'static str) -> Expect {
    let (there, absent) = if came {
        ("after", "before")
    } else {
        ("before", "after")
    };
    modified().and(format!("{subject} {there}: {words}"), move |event| {
        event.changes().iter().any(|change| {
            change["subject"] == subject
                && change.get(absent).is_none()
                && change[there]
                    .as_str()
                    .is_some_and(|told| told.contains(words))
        })
    })
}

/// Appends a line with the shell, takes it away with `sed -i`, and waits for what is told of each.
fn appended_and_removed(
    site: &Site,
    monitor: &Monitor,
    name: &str,
    line: &str,
    told: impl Fn(bool) -> Expect,
) {
    let path = site.file(name);
    let shell = append_line(&path, line);
    monitor.expect(told(true).of(&path).by(&shell));
    let sed = run("sed", &["-i", "$ d", text(&path)]);
    monitor.expect(told(false).of(&path).by(&sed));
}

fn prepare(site: &Site) -> String {
    site.write("etc/security/access.conf", ACCESS);
    site.write("etc/passwd", PASSWD);
    site.write("etc/shadow", SHADOW);
    site.write("etc/sudoers", SUDOERS);
    site.write("dynamic/test", "");
    let target = site.write("dynamic/dir/example.txt", "");
    symlink(&target, site.file("dynamic/linked")).expect("it is ours");
    let excluded = [
        site.write("dynamic/excluded/test", ""),
        site.write("excluded", ""),
    ];
    let directory = excluded[0].parent().expect("it has one");
    let exclude = format!(
        "exclude = [{:?}, {:?}]",
        text(directory),
        text(&excluded[1])
    );
    rule(&[&site.files()]).replace("\n\n[[output]]", &format!("\n{exclude}\n\n[[output]]"))
}

#[test]
fn every_step_of_the_guided_tour_is_told() {
    let site = Site::new();
    let config = prepare(&site);
    let monitor = site.start(&config);
    logins(&site, &monitor);
    let name = "etc/sudoers";
    for (line, subject, words) in [
        (
            "ncircle ALL=(ALL) NOPASSWD:NCIRCLE_CMDS",
            "ncircle may run NCIRCLE_CMDS without password",
            "as ALL, on ALL, tags NOPASSWD",
        ),
        (
            "Cmnd_Alias NCIRCLE_CMDS=ALL, !/bin/netstat",
            "Cmnd_Alias NCIRCLE_CMDS member !/bin/netstat",
            "place 3",
        ),
    ] {
        appended_and_removed(&site, &monitor, name, line, |came| {
            came_or_went(subject, came, words)
        });
    }
    new_names(&site, &monitor);
    fs::write(site.file("excluded"), "unseen\n").expect("it is ours");
    fs::write(site.file("dynamic/excluded/test"), "unseen\n").expect("it is ours");
    let last = append_line(&site.file("dynamic/test"), "last");
    monitor.expect(modified().of(&site.file("dynamic/test")).by(&last));
    assert!(
        !String::from_utf8_lossy(&monitor.raw()).contains("badPassword"),
        "what stands in a password field is a secret"
    );
    let of_excluded = |event: &&Event| {
        event
            .text("file.path")
            .is_some_and(|path| path.contains("excluded"))
    };
    let events = monitor.stop();
    let seen: Vec<_> = events.iter().filter(of_excluded).collect();
    assert!(seen.is_empty(), "excluded: {seen:?}");
}

/// A rule of access.conf, a user with a password and a user who may not log in come and go.
fn logins(site: &Site, monitor: &Monitor) {
    let name = "etc/security/access.conf";
    appended_and_removed(site, monitor, name, "+:nobody:nobody", |came| {
        came_or_went("rule 4", came, "+:nobody:nobody")
    });
    let line = "RealUser:badPassword:17597::::::";
    appended_and_removed(site, monitor, "etc/shadow", line, |came| {
        came_or_went("user RealUser", came, "password set")
    });
    let line = "RealUser:x:4:4::/root:/bin/bash";
    appended_and_removed(site, monitor, "etc/passwd", line, |came| {
        came_or_went("user RealUser", came, "shell /bin/bash")
    });
    let line = "serviceAccount:x:3:3::/:/sbin/nologin";
    appended_and_removed(site, monitor, "etc/passwd", line, |came| {
        came_or_went("user serviceAccount", came, "shell /sbin/nologin")
    });
}

/// A new file, a write through a link, a new directory and a file in it.
fn new_names(site: &Site, monitor: &Monitor) {
    let new = site.file("dynamic/new.txt");
    let shell = append_line(&new, "real time");
    monitor.expect(Expect::action("created").of(&new).by(&shell));

    let shell = append_line(&site.file("dynamic/linked"), "through a link");
    let target = site.file("dynamic/dir/example.txt");
    monitor.expect(modified().of(&target).by(&shell).adds("through a link"));

    let directory = site.file("dynamic/made");
    let mkdir = run("mkdir", &[&directory]);
    monitor.expect(Expect::action("created").of(&directory).by(&mkdir));

    let file = directory.join("touched");
    let touch = run("touch", &[&file]);
    monitor.expect(Expect::action("created").of(&file).by(&touch));
}
