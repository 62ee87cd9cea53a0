//! What the real tools of administration do, in the words of the file: those that `users` does not have. All but
//! `chage` and `crontab` work on copies.
//!
//! `systemctl edit` asks a running systemd, which a test host need not have: it is given one of its own, of a user. `systemctl
//! enable` needs none.

use std::{fs, os::unix::fs::symlink, path::Path};

use fimk_tests::{
    Account, Event, Expect, Site, attempt, not_run, rule, run, run_with_input, text, which,
};

fn modified() -> Expect {
    Expect::action("modified")
}

fn created() -> Expect {
    Expect::action("created")
}

/// The event was found to be grave for this reason.
fn found(expected: Expect, id: &'static str) -> Expect {
    expected.and(format!("found: {id}"), move |event| {
        ids(event).contains(&id.to_owned())
    })
}

fn ids(event: &Event) -> Vec<String> {
    let findings = event.get("fimk.findings").and_then(|all| all.as_array());
    let ids = findings.into_iter().flatten().map(|it| it["id"].as_str());
    ids.flatten().map(str::to_owned).collect()
}

/// The subject is new, and its words are these.
fn added(expected: Expect, subject: &str, words: &'static str) -> Expect {
    let subject = subject.to_owned();
    expected.and(format!("{subject} is new: {words}"), move |event| {
        event.changes().iter().any(|change| {
            let after = change["after"].as_str().unwrap_or_default();
            change["subject"] == subject.as_str() && after.contains(words)
        })
    })
}

#[test]
fn chage_is_told_in_days_and_dates() {
    let site = Site::new();
    let account = Account::new("fimkage");
    let shadow = Path::new("/etc/shadow");
    let monitor = site.start(&rule(&[shadow]));
    let chage = run("chage", &["-M", "90", "-E", "2030-01-02", &account.name]);
    let subject = account.subject();
    let expected = modified().of(shadow).by(&chage);
    let expected = expected.says(&subject, "expires", None, Some("2030-01-02"));
    monitor.expect(expected.says(&subject, "maximum days", Some("99999"), Some("90")));
    monitor.stop();
}

#[test]
fn crontab_is_told_job_by_job() {
    let test = "crontab_is_told_job_by_job";
    let spool = Path::new("/var/spool/cron/crontabs");
    if which(Path::new("crontab")).is_none() || !spool.is_dir() {
        not_run(test, "there is no crontab(1) with its spool");
        return;
    }
    let site = Site::new();
    let account = Account::new("fimkcron");
    let monitor = site.start(&rule(&[spool]));
    let path = spool.join(&account.name);
    let jobs = "@daily /usr/bin/backup\n";
    let crontab = run_with_input("crontab", &["-u", &account.name, "-"], jobs);
    let subject = "job /usr/bin/backup";
    let event = monitor.expect(
        added(
            Expect::any_of(&["created", "renamed"]),
            subject,
            "schedule @daily",
        )
        .of(&path),
    );
    assert_eq!(event.number("process.pid"), Some(crontab.pid.into()));
    run_with_input(
        "crontab",
        &["-u", &account.name, "-"],
        "@reboot /usr/bin/backup\n",
    );
    let expected = modified().says(subject, "schedule", Some("@daily"), Some("@reboot"));
    monitor.expect(expected.of(&path));
    run("crontab", &["-u", &account.name, "-r"]);
    monitor.expect(Expect::action("deleted").of(&path));
    monitor.stop();
}

#[test]
fn what_ssh_keygen_makes_has_the_fingerprints_that_it_prints() {
    let site = Site::new();
    let known = site.write("home/.ssh/known_hosts", "");
    let host = site.file("etc/ssh/ssh_host_ed25519_key");
    fs::create_dir_all(host.parent().expect("it has a directory")).expect("it is made");
    let monitor = site.watch();
    let make = |comment: &str| {
        let _ = fs::remove_file(&host);
        run(
            "ssh-keygen",
            &[
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                comment,
                "-f",
                text(&host),
            ],
        );
        let public = host.with_extension("pub");
        let printed = run("ssh-keygen", &["-lf", text(&public)]).output;
        let print = printed.split(' ').nth(1).unwrap_or_default().to_owned();
        (print, fs::read_to_string(public).expect("there is one"))
    };
    let (first, public) = make("one");
    let key = added(
        created(),
        &format!("private key {first}"),
        "ssh-ed25519, encryption no passphrase",
    );
    monitor.expect(key.of(&host));
    let word = public.split(' ').nth(1).unwrap_or_default();
    site.replace(&known, &format!("a.example ssh-ed25519 {word}\n"));
    monitor.expect(added(modified(), "known host a.example ssh-ed25519", "SHA256:").of(&known));
    run("ssh-keygen", &["-R", "a.example", "-f", text(&known)]);
    let gone = modified().says("known host a.example ssh-ed25519", "", Some(&first), None);
    monitor.expect(gone.of(&known));
    let secret = fs::read_to_string(&host).expect("there is one");
    let secret = secret.lines().nth(2).expect("a line of the key").to_owned();
    monitor.stop();
    assert!(!String::from_utf8_lossy(&site.state_bytes()).contains(&secret));
}

#[test]
fn a_sudoers_that_visudo_edits_is_told_rule_by_rule_and_one_that_it_checks_is_not() {
    let test = "a_sudoers_that_visudo_edits_is_told_rule_by_rule_and_one_that_it_checks_is_not";
    if which(Path::new("visudo")).is_none() {
        not_run(test, "there is no visudo; install sudo");
        return;
    }
    let site = Site::new();
    let sudoers = site.write("etc/sudoers", "root ALL=(ALL:ALL) ALL\n");
    run("chmod", &["0440", text(&sudoers)]);
    let monitor = site.watch();
    run("visudo", &["-cf", text(&sudoers)]);
    let edit = "echo 'bob ALL=NOPASSWD: /bin/ls' >>\"$1\"";
    let editor = site.outside("editor");
    fs::write(
        &editor,
        format!("#!/bin/sh\nfor last; do :; done\nset -- \"$last\"\n{edit}\n"),
    )
    .expect("it is written");
    run("chmod", &["0755", text(&editor)]);
    let line = format!(
        "EDITOR={0} VISUAL={0} visudo -f {1}",
        text(&editor),
        text(&sudoers)
    );
    run("sh", &["-c", &line]);
    let words = "tags NOPASSWD";
    let rule = added(modified(), "bob may run /bin/ls without password", words);
    monitor.expect(found(rule, "sudoers-nopasswd").of(&sudoers));
    // It was not told that it was checked: what was told first is the edit.
    let events = monitor.stop();
    let first = events.iter().find(|event| event.is_about(&sudoers));
    assert_eq!(first.map(ids), Some(vec!["sudoers-nopasswd".to_owned()]));
}

/// A systemd for a user with the home `$1`, in a process namespace and control groups of its own, and `systemctl edit` on a
/// terminal, with the editor `$0/editor`.
const EDIT: &str = r#"
group=fimk-systemctl-$$
hierarchies=$(awk '$3 ~ "^cgroup" { print $2 }' /proc/mounts)
leave() {
    for at in $hierarchies; do
        echo $$ >"$at/cgroup.procs"
        find "$at/$group" -depth -type d -exec rmdir {} +
    done
}
trap leave EXIT
for at in $hierarchies; do
    mkdir "$at/$group" || exit
    case $at in
    */systemd | */unified | */cgroup) echo $$ >"$at/$group/cgroup.procs" || exit ;;
    esac
done
export XDG_RUNTIME_DIR=/run/user/0 HOME="$1" XDG_CONFIG_HOME="$1/.config" SYSTEMD_EDITOR="$0/editor"
timeout 60 unshare --mount --pid --fork --kill-child sh -c '
    mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" || exit
    /usr/lib/systemd/systemd --user >/dev/null 2>&1 &
    for turn in $(seq 200); do [ -S "$XDG_RUNTIME_DIR/systemd/private" ] && break; sleep 0.1; done
    script -qec "systemctl --user edit web.service" /dev/null; exit'
"#;

const EDITOR: &str = "#!/bin/sh\nprintf '[Service]\\nExecStart=\\nExecStart=/tmp/x\\n' >\"$1\"\n";

#[test]
fn what_systemctl_edit_writes_is_told_setting_by_setting() {
    let test = "what_systemctl_edit_writes_is_told_setting_by_setting";
    let needs = ["systemctl", "script", "/usr/lib/systemd/systemd"];
    if let Some(missing) = needs.iter().find(|it| which(Path::new(it)).is_none()) {
        not_run(test, &format!("there is no {missing}"));
        return;
    }
    let site = Site::new();
    let editor = site.outside("editor");
    fs::write(&editor, EDITOR).expect("it is ours");
    run("chmod", &["0755", text(&editor)]);
    site.write(
        "home/.config/systemd/user/web.service",
        "[Service]\nExecStart=/usr/bin/web\n",
    );
    let drop_in = site.write(
        "home/.config/systemd/user/web.service.d/override.conf",
        "[Service]\nUser=web\n",
    );
    let home = site.file("home");
    let scratch = editor.parent().expect("it is in a directory").to_owned();
    let monitor = site.watch();
    let edited = attempt("sh", &["-c", EDIT, text(&scratch), text(&home)]);
    if !edited.succeeded {
        monitor.stop();
        not_run(test, "no systemd of a user can be started here");
        return;
    }
    let command = added(modified(), "[Service] ExecStart", "/tmp/x, place 2");
    let by_systemctl = found(command, "unit-command")
        .of(&drop_in)
        .field("process.name", "systemctl");
    monitor.expect(by_systemctl);
    monitor.stop();
}

#[test]
fn what_is_renamed_to_where_it_means_something_is_told_as_new() {
    let site = Site::new();
    let directory = "etc/systemd/system/web.service.d";
    let aside = site.write(
        &format!("{directory}/.#override.conf"),
        "[Service]\nExecStart=/tmp/x\n",
    );
    let aside_too = site.write(&format!("{directory}/list"), "[Service]\nUser=web\n");
    let monitor = site.watch();
    let drop_in = site.file(&format!("{directory}/override.conf"));
    let mv = run("mv", &[&aside, &drop_in]);
    let renamed = || Expect::action("renamed");
    let command = added(renamed(), "[Service] ExecStart", "/tmp/x");
    monitor.expect(found(command, "unit-command").of(&drop_in).by(&mv));
    // Where it goes on to mean nothing, only that it moved is told.
    let other = site.file(&format!("{directory}/list.old"));
    let mv = run("mv", &[&aside_too, &other]);
    let event = monitor.expect(renamed().of(&other).by(&mv));
    assert_eq!(event.changes().len(), 0, "{event:?}");
    monitor.stop();
}

#[test]
fn a_drop_in_that_takes_over_a_service_and_its_enabling_are_told() {
    let site = Site::new();
    let unit =
        "[Service]\nUser=web\nExecStart=/usr/sbin/web\n[Install]\nWantedBy=multi-user.target\n";
    let service = site.write("etc/systemd/system/web.service", unit);
    let drop_in = site.file("etc/systemd/system/web.service.d/override.conf");
    let directory = drop_in.parent().expect("it has a directory").to_owned();
    let monitor = site.watch();
    // As editors write it.
    fs::create_dir(&directory).expect("it is made");
    let temporary = directory.join(".#override.conf1a2b3c");
    fs::write(&temporary, "[Service]\nExecStart=\nExecStart=/tmp/x\n").expect("it is written");
    fs::rename(&temporary, &drop_in).expect("it is renamed");
    let any = Expect::any_of(&["created", "renamed"]);
    let command = added(any, "[Service] ExecStart", "/tmp/x, place 2");
    monitor.expect(found(command, "unit-command").of(&drop_in));
    let wanted = site.file("etc/systemd/system/multi-user.target.wants/web.service");
    let root = site.files();
    let option = format!("--root={}", text(&root));
    if which(Path::new("systemctl")).is_some() {
        run("systemctl", &[option.as_str(), "enable", "web.service"]);
    } else {
        fs::create_dir_all(wanted.parent().expect("it has a directory")).expect("it is made");
        symlink("/etc/systemd/system/web.service", &wanted).expect("it is made");
    }
    monitor.expect(created().of(&wanted).field("file.type", "symlink"));
    site.replace(&service, &unit.replace("User=web\n", ""));
    let user = modified().says("[Service] User", "", Some("web"), None);
    monitor.expect(found(user, "unit-user-removed").of(&service));
    monitor.stop();
}

#[test]
fn a_capability_that_setcap_gives_is_told_by_name() {
    let test = "a_capability_that_setcap_gives_is_told_by_name";
    if which(Path::new("setcap")).is_none() {
        not_run(test, "there is no setcap; install libcap2-bin");
        return;
    }
    let site = Site::new();
    let path = site.write("bin/tool", "#!/bin/sh\n");
    let monitor = site.watch();
    let setcap = run("setcap", &["cap_net_raw,cap_setuid+ep", text(&path)]);
    let expected = Expect::action("attributes_modified").of(&path).by(&setcap);
    let event = monitor.expect(found(expected, "capability-added"));
    let said = event
        .changes()
        .iter()
        .map(ToString::to_string)
        .collect::<String>();
    assert!(
        said.contains("cap_net_raw") && said.contains("cap_setuid"),
        "{said}"
    );
    monitor.stop();
}

/// Makes a package with these files and has apt install it below a root of its own, or dpkg where there is no apt.
fn install(site: &Site, version: &str, files: &[(&str, &str, &str)]) {
    let tree = site.outside(&format!("tree-{version}"));
    let put = |name: &str, content: &str, mode: &str| {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().expect("it has a directory")).expect("it is made");
        fs::write(&path, content).expect("it is written");
        run("chmod", &[mode, text(&path)]);
    };
    let control = format!(
        "Package: fimk-sample\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a sample\n"
    );
    put("DEBIAN/control", &control, "0644");
    for (name, content, mode) in files {
        put(name, content, mode);
    }
    let package = site.outside(&format!("sample-{version}.deb"));
    run(
        "dpkg-deb",
        &["--root-owner-group", "--build", text(&tree), text(&package)],
    );
    let root = format!("--root={}", text(&site.files()));
    if which(Path::new("apt-get")).is_none() {
        run("dpkg", &[&root, "--log=/dev/null", "-i", text(&package)]);
        return;
    }
    let own = site.outside("apt");
    for directory in [
        "state/lists/partial",
        "cache/archives/partial",
        "etc",
        "log",
    ] {
        fs::create_dir_all(own.join(directory)).expect("it is made");
    }
    let at = |name: &str, directory: &str| format!("Dir::{name}={}/{directory}", text(&own));
    let status = site.file("var/lib/dpkg/status");
    let options = [
        at("State", "state"),
        at("Cache", "cache"),
        at("Etc", "etc"),
        at("Log", "log"),
        format!("Dir::State::status={}", text(&status)),
        format!("Dpkg::Options::={root}"),
        "Dpkg::Options::=--log=/dev/null".to_owned(),
        // Its own user for downloads may not pass our directories.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let mut arguments = vec!["-q", "-y"];
    for option in &options {
        arguments.extend(["-o", option]);
    }
    arguments.extend(["install", text(&package)]);
    run("apt-get", &arguments);
}

#[test]
fn what_a_package_installs_and_upgrades_is_told_in_words_and_by_dpkg() {
    let test = "what_a_package_installs_and_upgrades_is_told_in_words_and_by_dpkg";
    if which(Path::new("dpkg")).is_none() || which(Path::new("dpkg-deb")).is_none() {
        not_run(test, "there is no dpkg");
        return;
    }
    let site = Site::new();
    for directory in ["info", "updates", "triggers"] {
        fs::create_dir_all(site.file(&format!("var/lib/dpkg/{directory}"))).expect("it is made");
    }
    site.write("var/lib/dpkg/status", "");
    let service = site.file("usr/lib/systemd/system/sample.service");
    let cron = site.file("etc/cron.d/sample");
    let tool = site.file("usr/bin/sample");
    for path in [&service, &cron, &tool] {
        fs::create_dir_all(path.parent().expect("it has a directory")).expect("it is made");
    }
    let watched = [&service, &cron, &tool].map(|path| path.parent().expect("it has a directory"));
    let monitor = site.start(&rule(&watched));
    let unit = "[Service]\nExecStart=/usr/bin/sample\n";
    let files = |unit, mode| {
        [
            ("usr/lib/systemd/system/sample.service", unit, "0644"),
            ("etc/cron.d/sample", "@daily root /usr/bin/sample\n", "0644"),
            ("usr/bin/sample", "#!/bin/sh\n", mode),
        ]
    };
    install(&site, "1", &files(unit, "0755"));
    let any = || Expect::any_of(&["created", "renamed"]);
    let command = added(any(), "[Service] ExecStart", "/usr/bin/sample");
    let event = monitor.expect(found(command, "unit-command").of(&service));
    assert_eq!(event.text("process.name"), Some("dpkg"));
    if which(Path::new("apt-get")).is_some() {
        let above = event.get("fimk.ancestors").map(ToString::to_string);
        let above = above.unwrap_or_default();
        assert!(above.contains("\"apt-get\""), "{above}");
    }
    let job = added(any(), "job /usr/bin/sample", "user root");
    monitor.expect(found(job, "cron-root-job").of(&cron));
    monitor.expect(any().of(&tool));
    let evil = "[Service]\nExecStart=/usr/bin/sample --root\n";
    install(&site, "2", &files(evil, "4755"));
    let (before, after) = ("/usr/bin/sample", "/usr/bin/sample --root");
    let command = Expect::any_of(&["modified", "renamed"]).says(
        "[Service] ExecStart",
        "",
        Some(before),
        Some(after),
    );
    monitor.expect(found(command, "unit-command").of(&service));
    let bit = Expect::any_of(&["modified", "renamed", "attributes_modified"]);
    monitor.expect(found(bit, "set-user-id").of(&tool));
    monitor.stop();
}
