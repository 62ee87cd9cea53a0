//! What a change means.
use proptest::prelude::*;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    DES, YESCRYPT,
    keys::samples::{ED25519, P256, SK_ED25519},
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
fn a_user_whose_name_begins_like_a_line_of_nis_is_a_user() {
    for sign in ["+", "-"] {
        let bob = |uid: &str| format!("{ROOT}{sign}bob:x:{uid}:100::/:/bin/sh\n");
        assert_eq!(users(ROOT, &bob("0")), ["passwd-uid-zero"]);
        let group = |gid: &str| format!("{sign}ops:x:{gid}:\n");
        let found = ids(Consumer::Group, Some(&group("9")), &group("0"));
        assert_eq!(found, ["group-gid-zero"]);
    }
    assert_eq!(users(ROOT, &format!("{ROOT}+bob::::::\n")), ["passwd-nis"]);
    let shadow = ids(Consumer::Shadow, Some(""), "+bob::::::::\n");
    assert!(shadow.is_empty(), "{shadow:?}");
}

/// Each of these is another root to the C library (2.36), but the last.
#[test]
fn a_line_that_may_be_understood_by_others_is_found_and_a_blank_one_and_a_comment_are_not() {
    let long = format!("bob::0:0:{}:/:/bin/sh", "x".repeat(5_000));
    for line in [
        "bob::0:0",
        "bob::0:0:a:b:/bin/sh:c:d",
        "bob:: 0:0::/:/bin/sh",
        "bob::+0:0::/:/bin/sh",
        "bob\t::0:0::/:/bin/sh",
        "bob::0:0::/:/bin/sh\0x",
        &long,
        "bob",
    ] {
        let after = format!("{ROOT}{line}\n");
        assert_eq!(users(ROOT, &after), ["not-understood"], "{line}");
        assert!(users(&after, &format!("{line}\n{ROOT}")).is_empty());
    }
    assert!(users(ROOT, &format!("\n# bob::0:0\n{ROOT}")).is_empty());
}

#[test]
fn what_is_behind_the_limits_or_of_no_known_form_is_found_in_every_file_that_has_findings() {
    use Consumer::{
        AptList, AuthorizedKeys, Crontab, Environment, Group, Hosts, KnownHosts, Pam, Preload,
        Sshd, Sudoers, Sysctl, Systemd, Text,
    };
    let padding = "#\n".repeat(20_000);
    for (consumer, line) in [
        (Group, "sudo:x:27"),
        (Sudoers, "bob ALL=(ALL"),
        (Sshd, "Permit-Root yes"),
        (Crontab, "* * * * root x"),
        (Preload, "/tmp/x.so\0"),
        (Pam, "auth"),
        (Systemd, "ExecStart"),
        (Environment, "LD_PRELOAD"),
        (AptList, "deb http://a"),
        (Sysctl, "kernel"),
    ] {
        let found = ids(consumer, Some("#\n"), &format!("#\n{line}\n"));
        assert_eq!(found, ["not-understood"], "{consumer:?}");
        let behind = format!("{padding}{line}\n");
        let found = ids(consumer, Some(&padding), &behind);
        assert_eq!(found, ["not-understood"], "{consumer:?}");
        assert!(ids(consumer, Some(&behind), &behind).is_empty());
    }
    let key = format!("{padding}{ED25519}\n");
    let found = ids(AuthorizedKeys, Some(&padding), &key);
    assert_eq!(found, ["not-understood"]);
    // Of which nothing would be found if it were understood; and what sshd passes over.
    for consumer in [Hosts, KnownHosts, Text, AuthorizedKeys] {
        assert!(ids(consumer, Some(""), "planted\n").is_empty());
    }
}

#[test]
fn a_key_that_is_added_and_a_command_that_it_runs_are_found() {
    let plain = format!("{ED25519} bob\n");
    let command = format!("command=\"/bin/sh\" {plain}");
    assert_eq!(keys("", &plain), ["key-added"]);
    assert_eq!(keys(&plain, &command), ["key-command"]);
    assert_eq!(keys("", &command), ["key-added", "key-command"]);
    assert!(keys(&plain, "").is_empty());
}

#[test]
fn a_key_that_loses_what_restricts_it_is_found() {
    let key = |options: &str| format!("{options} {ED25519} bob\n");
    let lost = ["key-unrestricted"];
    assert_eq!(keys(&key("command=\"/bin/x\""), &key("no-pty")), lost);
    assert_eq!(keys(&key("restrict,pty"), &key("pty")), lost);
    assert_eq!(
        keys(&key("FROM=\"10.*\",no-pty"), &key("from=\"10.*\"")),
        lost
    );
    // A second line lets in what the first one does not.
    let twice = key("restrict") + &key("no-pty");
    assert_eq!(keys(&key("restrict"), &twice), lost);
    assert!(keys(&twice, &key("no-pty")).is_empty());
    // Another place, another time, more of what `restrict` took away.
    for (before, after) in [
        ("from=\"10.0.0.1\"", "from=\"10.0.0.1,*\""),
        ("from=\"!10.0.0.1,*\"", "from=\"*\""),
        (
            "permitopen=\"a:1\"",
            "permitopen=\"a:1\",permitopen=\"b:1\"",
        ),
        ("expiry-time=\"20260101\"", "expiry-time=\"20270101\""),
        ("restrict", "restrict,pty"),
        ("no-pty", "no-pty,PTY"),
    ] {
        assert_eq!(keys(&key(before), &key(after)), lost, "{after}");
    }
    for (before, after) in [
        ("from=\"10.0.0.1,*\"", "from=\"10.0.0.1\""),
        ("from=\"*\"", "from=\"!10.0.0.1,*\""),
        (
            "permitopen=\"a:1\",permitopen=\"b:1\"",
            "permitopen=\"b:1\"",
        ),
        ("expiry-time=\"20260101\"", "expiry-time=\"20250101\""),
        ("restrict,pty", "pty,restrict"),
        ("no-touch-required,pty", "restrict"),
        ("no-pty", "NO-PTY,restrict"),
        ("environment=\"A=restrict\"", "no-pty"),
    ] {
        assert!(keys(&key(before), &key(after)).is_empty(), "{after}");
    }
}

/// PROTOCOL.u2f: who touches nothing signs all the same.
#[test]
fn a_key_of_a_token_that_need_not_be_touched_any_more_is_found() {
    let key = |options: &str| format!("{options} {SK_ED25519} bob\n");
    assert_eq!(
        keys(&key("no-pty"), &key("no-pty,no-touch-required")),
        ["key-unrestricted"]
    );
    assert!(keys(&key("no-touch-required"), &key("no-pty")).is_empty());
}

#[test]
fn the_group_of_root_as_that_of_a_user_is_found() {
    let bob = |gid: &str| format!("{ROOT}bob:x:1000:{gid}::/:/bin/sh\n");
    assert_eq!(users(&bob("100"), &bob("0")), ["group-privileged-member"]);
    assert_eq!(users(&bob("100"), &bob("00")), ["group-privileged-member"]);
    assert!(users(&bob("0"), &bob("100")).is_empty());
}

#[test]
fn a_stack_that_lets_in_whom_it_refused_is_found() {
    let stack = "auth [success=1 default=ignore] pam_unix.so nullok\n\
        auth requisite pam_deny.so\nauth required pam_permit.so\n";
    let pam = |after: &str| ids(Consumer::Pam, Some(stack), after);
    let weakened = ["pam-weakened"];
    assert_eq!(
        pam(&stack.replace("auth requisite pam_deny.so\n", "")),
        weakened
    );
    assert_eq!(
        pam(&stack.replace("requisite pam_deny", "optional pam_unix2")),
        weakened
    );
    assert_eq!(
        pam(&format!("auth sufficient /tmp/x.so\n{stack}")),
        weakened
    );
    assert_eq!(
        pam(&stack.replace("pam_unix", "pam_x")),
        [weakened, weakened].concat()
    );
    assert!(pam(&format!("{stack}session optional pam_x.so\n")).is_empty());
    assert!(pam(&format!("auth required pam_faillock.so\n{stack}")).is_empty());
    assert!(ids(Consumer::Pam, None, "auth sufficient pam_rootok.so\n").is_empty());
}

#[test]
fn another_program_or_library_in_the_place_of_one_that_was_there_is_found() {
    for (consumer, line, id) in [
        (
            Consumer::Sshd,
            "AuthorizedKeysCommand ",
            "sshd-keys-command",
        ),
        (Consumer::Sshd, "TrustedUserCAKeys ", "sshd-keys-elsewhere"),
        (Consumer::Pam, "session optional pam_exec.so ", "pam-exec"),
        (Consumer::Environment, "LD_PRELOAD=", "environment-preload"),
        (Consumer::UserCrontab, "LD_PRELOAD=", "environment-preload"),
        (Consumer::Modprobe, "install x ", "modprobe-command"),
        (
            Consumer::Sysctl,
            "kernel.core_pattern = |",
            "sysctl-weakened",
        ),
        (Consumer::Sysctl, "kernel.modprobe=", "sysctl-weakened"),
    ] {
        let [one, other] = ["/usr/bin/x", "/tmp/x"].map(|name| format!("{line}{name}\n"));
        assert_eq!(ids(consumer, Some(&one), &other), [id], "{line}");
        assert!(ids(consumer, Some(&one), &format!("\n{one}")).is_empty());
    }
    let weak = |value: &str| format!("kernel.dmesg_restrict = {value}\n");
    assert!(ids(Consumer::Sysctl, Some(&weak("0")), &weak("0x0")).is_empty());
}

#[test]
fn keys_from_elsewhere_than_usual_are_found() {
    let sshd = |line: &str| ids(Consumer::Sshd, Some(""), &format!("{line}\n"));
    for line in [
        "AuthorizedKeysFile .ssh/authorized_keys /tmp/keys",
        "Match User a\nAuthorizedKeysFile \"/tmp/%u\"",
        "TrustedUserCAKeys /tmp/ca",
    ] {
        assert_eq!(sshd(line), ["sshd-keys-elsewhere"], "{line}");
    }
    for line in [
        "AuthorizedKeysFile .ssh/authorized_keys %h/.ssh/authorized_keys2",
        "AuthorizedKeysFile none",
        "TrustedUserCAKeys none",
    ] {
        assert!(sshd(line).is_empty(), "{line}");
    }
}

#[test]
fn a_password_in_passwd_itself_is_found() {
    let bob = |password: &str| format!("bob:{password}:1000:100::/:/bin/sh\n");
    assert_eq!(users(&bob("x"), &bob(YESCRYPT)), ["passwd-hash"]);
    assert_eq!(users(&bob("!"), &bob(DES)), ["passwd-hash"]);
    assert!(users(&bob(DES), &bob(YESCRYPT)).is_empty());
    for locked in ["x", "*", "!!", "nothing", &format!("!{YESCRYPT}")] {
        assert!(users(&bob("x"), &bob(locked)).is_empty(), "{locked}");
    }
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
            "Defaults exempt_group = eve\n",
            "sudoers-no-authentication",
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
        (
            Pam,
            "",
            "[auth] [user_unknown=die success = done] [/lib/pam_permit.so]\n",
            "pam-permit",
        ),
        (Pam, "", "auth [default=2] pam_permit.so\n", "pam-permit"),
        (
            Sudoers,
            "a ALL=(b) NOPASSWD: /bin/x\n",
            "a ALL=(root) NOPASSWD: /bin/x\n",
            "sudoers-nopasswd",
        ),
        (
            Sudoers,
            "a b=NOPASSWD: /bin/x\n",
            "a ALL=NOPASSWD: /bin/x\n",
            "sudoers-nopasswd",
        ),
        (Sudoers, "", "a ALL=(\"ro\\\\ot\") ALL\n", "sudoers-all"),
        (Sudoers, "", "a ALL=(%#00) ALL\n", "sudoers-all"),
        (
            Sudoers,
            "",
            "Defaults env_keep += \"A LD_PRELOAD\"\n",
            "environment-preload",
        ),
        (Crontab, "", "LD_PRELOAD=/tmp/x.so\n", "environment-preload"),
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
            Sudoers,
            "a ALL=(ALL:ALL) NOPASSWD: /bin/x\n",
            "a b=(c) NOPASSWD: /bin/x\n",
        ),
        (Sudoers, "", "a ALL=(!root) ALL\na ALL=(#10, %rooty) ALL\n"),
        (Sudoers, "", "Defaults env_keep += \"LANG\"\n"),
        (Pam, "", "auth [success=ok default=1] pam_permit.so\n"),
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
        (
            Sshd,
            "PasswordAuthentication no\n",
            "UsePAM yes\n",
            "sshd-password-authentication",
        ),
        (
            Systemd,
            "[Unit]\nDescription=a\n",
            "[Service]\nUser=b\nUser=root\n",
            "unit-user-removed",
        ),
        (
            Systemd,
            "",
            "[Service]\nEnvironment='LD_PRE'\"LOAD=/x\"\n",
            "environment-preload",
        ),
        (
            Sysctl,
            "",
            "kernel.randomize_va_space = 0x0\n",
            "sysctl-weakened",
        ),
        (
            Sysctl,
            "dev.tty.ldisc_autoload=0\n",
            "dev.tty.ldisc_autoload=1\n",
            "sysctl-weakened",
        ),
        (
            AptList,
            "deb http://a b c\n",
            "deb [trusted=no trusted=with] http://a b c\n",
            "repository-unsigned",
        ),
        (
            AptSources,
            "",
            &format!("{source}Enabled: yes\n"),
            "repository-added",
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
        (
            Shell,
            "umask 022\n",
            "ex\0port LD_PREL\0OAD=/tmp/x.so\n",
            "environment-preload",
        ),
        (
            Shell,
            "umask 022\n",
            &format!("umask 022\n{}", ":\n".repeat(20_000)),
            "not-understood",
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
fn a_command_says_whether_it_is_run_as_root() {
    let unit = |command: &str| format!("[Service]\nUser=bob\nExecStart={command}\n");
    for (command, said) in [
        ("/bin/x", "runs as bob"),
        ("-@/bin/x", "runs as bob"),
        ("+/bin/x", "runs as root, whatever the unit says"),
        ("-!!/bin/x", "runs as root, whatever the unit says"),
    ] {
        let found = find(None, Some(&state(Consumer::Systemd, unit(command))));
        assert!(found[0].message.ends_with(said), "{found:?}");
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
            "[Service]\nUser=b\nExecStart=\nExecSearchPath=/a\n[Install]\nWantedBy=a\n",
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
