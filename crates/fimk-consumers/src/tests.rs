//! The whole crate from outside: what a change of a file becomes in words.
//!
//! What bpfink finds no difference in, takes for one, or panics at, and the test that says otherwise:
//!
//! | change | test |
//! |---|---|
//! | uid 1000 → 0 | `users::a_changed_uid_is_named_with_both_values` |
//! | nologin → shell | `users::a_service_account_that_gets_a_shell_is_named` |
//! | uid 0, no password | `users::a_new_uid_0_user_with_an_empty_password_field_is_said_to_need_none`, `users::a_password_field_that_is_emptied_is_said`, `shadow::a_new_user_with_an_empty_password_is_said_to_need_none` |
//! | keys other than ssh-rsa | `keys::an_ed25519_key_that_is_added_is_named`, `keys::every_type_of_key_has_the_fingerprint_that_ssh_keygen_prints` |
//! | commented-out key | `keys::a_key_that_is_commented_out_is_no_key` |
//! | `command=` added | `keys::a_command_that_is_added_to_a_key_is_named` |
//! | hash of the same length and end | `shadow::a_changed_hash_of_the_same_length_and_end_is_a_change` |
//! | NIS, blank, short lines | `users::nis_entries_are_named_as_such`, `users::malformed_lines_are_named_by_number_and_length_and_never_quoted`, `shadow::short_lines_are_reported_and_hidden` |
//! | indented comment in access.conf | `access::malformed_lines_are_named_by_number_and_length_and_never_quoted` |
//! | origin → ALL, rules swapped | `access::an_origin_that_becomes_all_is_named_with_both_values`, `access::rules_that_were_swapped_are_said_to_have_moved` |
//! | `#includedir` | `sudoers::includes_are_no_comments_whatever_begins_them`, `text::an_includedir_in_sudoers_is_no_comment_that_is_skipped` |
//! | 70 KB line | `text::a_line_behind_a_very_long_one_is_shown` |
//! | duplicate, reordered lines | `text::duplicates_and_order_are_differences` |
//! | identical content | `text::an_identical_rewrite_is_no_difference`, `users::the_same_content_written_again_is_no_difference` |
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use proptest::prelude::*;

use crate::{Comparison, Consumer, Difference, State, Token, Tokenize, compare, read};

mod access;
mod crontab;
mod findings;
mod groups;
mod hosts;
mod includes;
mod keys;
mod pam;
mod redaction;
mod shadow;
mod software;
mod ssh;
mod sshd;
mod sudoers;
mod system;
mod systemd;
mod text;
mod users;

/// Not cryptographic, but of all bytes and of a key.
struct Keyed;

impl Tokenize for Keyed {
    fn token(&self, secret: &[u8]) -> Token {
        let half = |seed: u64| {
            secret.iter().fold(seed, |hash, byte| {
                (hash ^ u64::from(*byte))
                    .wrapping_mul(0x0100_0000_01b3)
                    .rotate_left(23)
            })
        };
        let mut token = [0; 16];
        token[..8].copy_from_slice(&half(0xcbf2_9ce4_8422_2325).to_le_bytes());
        token[8..].copy_from_slice(&half(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        Token(token)
    }
}

fn state(consumer: Consumer, content: impl AsRef<[u8]>) -> State {
    read(consumer, content.as_ref(), &Keyed).state
}

fn compared(consumer: Consumer, before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) -> Comparison {
    compare(
        Some(&state(consumer, before)),
        Some(&state(consumer, after)),
    )
}

/// `subject|field|before|after`, an absent side as `-`.
fn words(changes: &[Difference]) -> Vec<String> {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".into());
    let line = |change: &Difference| {
        let (before, after) = (side(&change.before), side(&change.after));
        format!("{}|{}|{before}|{after}", change.subject, change.field)
    };
    changes.iter().map(line).collect()
}

fn assert_hidden(secret: &str, shown: &str) {
    for piece in secret.as_bytes().windows(8) {
        let piece = str::from_utf8(piece).expect("secrets of tests are ASCII");
        assert!(!shown.contains(piece), "{piece:?} of {secret:?} in {shown}");
    }
}

const DES: &str = "abJnggxhB/yWI";
const SHA512: &str =
    "$6$nRYz9cvPO6d1JVbX$zVqIMeEtTlIqTqWiTe4EWe5RmMFbRSIN6yRNbWIGAdO8EVpN4ZbYc4XgFyzJgX0/";
const YESCRYPT: &str = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7";

#[test]
fn a_path_is_known_by_its_last_two_components() {
    for (path, consumer) in [
        (&b"/etc/passwd"[..], Consumer::Passwd),
        (b"/srv/chroot//etc/passwd-", Consumer::Passwd),
        (b"etc/shadow", Consumer::Shadow),
        (b"/etc/shadow-", Consumer::Shadow),
        (b"/etc/crontab", Consumer::Crontab),
        (b"/etc/cron.d/e2scrub_all", Consumer::Crontab),
        (b"/var/spool/cron/crontabs/alice", Consumer::UserCrontab),
        (b"/var/spool/cron/alice", Consumer::UserCrontab),
        (b"/var/spool/cron/crontabs/tmp.lwEZ45", Consumer::Text),
        (b"/etc/cron.daily/man-db", Consumer::Text),
        (b"/srv/cron/alice", Consumer::Text),
        (b"/etc/hosts", Consumer::Hosts),
        (b"/etc/hosts.allow", Consumer::Text),
        (b"/etc/ld.so.preload", Consumer::Preload),
        (b"/etc/pam.d/sshd", Consumer::Pam),
        (b"/etc/ssh/sshd_config", Consumer::Sshd),
        (b"/etc/ssh/sshd_config.d/50-site.conf", Consumer::Sshd),
        (b"/etc/ssh/sshd_config.d/README", Consumer::Text),
        (b"/etc/ssh/ssh_config", Consumer::Text),
        (b"/etc/sudoers", Consumer::Sudoers),
        (b"/etc/sudoers.d/90-site", Consumer::Sudoers),
        (b"/etc/sudoers.d/.90-site.swp", Consumer::Text),
        (b"/etc/cron.d/.placeholder", Consumer::Text),
        (b"/etc/pam.d/.sshd.swp", Consumer::Text),
        (b"/usr/share/doc/sudoers", Consumer::Text),
        (b"/etc/group", Consumer::Group),
        (b"/etc/group-", Consumer::Group),
        (b"/etc/gshadow", Consumer::Gshadow),
        (b"/etc/gshadow-", Consumer::Gshadow),
        (b"/root/.ssh/authorized_keys", Consumer::AuthorizedKeys),
        (b"/home/a/.ssh//authorized_keys2", Consumer::AuthorizedKeys),
        (b"/etc/ssh/authorized_keys/alice", Consumer::AuthorizedKeys),
        (
            b"/etc/ssh/authorized_keys.d/alice",
            Consumer::AuthorizedKeys,
        ),
        (b"/etc/security/access.conf", Consumer::Access),
        (b"/etc/security/access.d/10-site.conf", Consumer::Access),
        (b"/etc/security/access.d/README", Consumer::Text),
        (b"/root/authorized_keys", Consumer::Text),
        (b"/srv/authorized_keys/alice", Consumer::Text),
        (b"/root/.ssh/known_hosts", Consumer::KnownHosts),
        (b"/etc/ssh/ssh_known_hosts", Consumer::KnownHosts),
        (b"/etc/ssh/ssh_host_ed25519_key", Consumer::PrivateKey),
        (b"/etc/ssh/ssh_host_ed25519_key.pub", Consumer::PublicKey),
        (b"/root/.ssh/id_rsa", Consumer::PrivateKey),
        (b"/root/.ssh/id_rsa.pub", Consumer::PublicKey),
        (b"/var/spool/cron/crontabs/root", Consumer::RootCrontab),
        (b"/var/spool/cron/root", Consumer::RootCrontab),
        (b"/etc/systemd/system/x.service", Consumer::Systemd),
        (b"/usr/lib/systemd/user/x@.timer", Consumer::Systemd),
        (
            b"/etc/systemd/system/x.service.d/override.conf",
            Consumer::Systemd,
        ),
        (b"/etc/systemd/system/service.d/all.conf", Consumer::Systemd),
        (b"/etc/systemd/system/x.service.d/README", Consumer::Text),
        (b"/etc/systemd/journald.conf", Consumer::Systemd),
        (b"/etc/systemd/journald.conf.d/x.conf", Consumer::Systemd),
        (b"/srv/x.service", Consumer::Text),
        (b"/etc/ld.so.conf", Consumer::LibraryPath),
        (b"/etc/ld.so.conf.d/libc.conf", Consumer::LibraryPath),
        (b"/etc/nsswitch.conf", Consumer::Nsswitch),
        (b"/etc/environment", Consumer::Environment),
        (b"/etc/environment.d/10.conf", Consumer::Environment),
        (b"/etc/profile", Consumer::Shell),
        (b"/etc/profile.d/x.sh", Consumer::Shell),
        (b"/root/.bashrc", Consumer::Shell),
        (b"/etc/apt/sources.list", Consumer::AptList),
        (b"/etc/apt/sources.list.d/x.list", Consumer::AptList),
        (
            b"/etc/apt/sources.list.d/debian.sources",
            Consumer::AptSources,
        ),
        (b"/etc/apt/trusted.gpg.d/x.asc", Consumer::TrustedKeys),
        (b"/usr/share/keyrings/x.gpg", Consumer::TrustedKeys),
        (b"/etc/pki/rpm-gpg/RPM-GPG-KEY-x", Consumer::TrustedKeys),
        (b"/etc/yum.repos.d/x.repo", Consumer::YumRepo),
        (b"/etc/modprobe.d/x.conf", Consumer::Modprobe),
        (b"/etc/modules", Consumer::ModulesLoad),
        (b"/usr/lib/modules-load.d/x.conf", Consumer::ModulesLoad),
        (b"/etc/sysctl.conf", Consumer::Sysctl),
        (b"/usr/lib/sysctl.d/50-x.conf", Consumer::Sysctl),
        (b"/etc/pam.d/passwd", Consumer::Pam),
        (b"/etc/shadow.bak", Consumer::Text),
        (b"", Consumer::Text),
        (b"passwd", Consumer::Text),
    ] {
        assert_eq!(
            Consumer::for_path(path),
            consumer,
            "{}",
            path.escape_ascii()
        );
    }
}

#[test]
fn the_manual_names_files_of_every_consumer_and_no_other() {
    let page = include_str!("../../../man/fimk-consumers.7");
    let section = page.split(".Sh FILES THAT ARE UNDERSTOOD").nth(1);
    let section = section
        .and_then(|rest| rest.split(".Sh ").next())
        .unwrap_or_default();
    let mut found = vec![Consumer::Text];
    for line in section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Pa "))
    {
        let line = line.split(" No ").next().unwrap_or_default();
        for pattern in line.split(" , Pa ") {
            for name in ["x", "root", "x.service", "x.asc"] {
                let path = format!("/{}", pattern.replace("NAME", "x").replace('*', name));
                found.push(Consumer::for_path(path.as_bytes()));
            }
            assert!(
                found.iter().rev().take(4).any(|it| *it != Consumer::Text),
                "{pattern}"
            );
        }
    }
    for consumer in Consumer::ALL {
        assert!(
            found.contains(&consumer),
            "{consumer:?} has no file in the manual"
        );
    }
}

#[test]
fn text_that_became_binary_is_said() {
    let comparison = compared(Consumer::Text, "a\n", "a\0\n");
    assert_eq!(words(&comparison.changes), ["file|content|text|binary"]);
    assert_eq!(comparison.diff, None);
}

#[test]
fn a_file_that_was_recorded_as_text_is_said_to_be_of_its_kind_now() {
    let before = state(Consumer::Text, "root ALL=ALL\n");
    let after = state(Consumer::Sudoers, "root ALL=ALL\nevil ALL=ALL\n");
    let comparison = compare(Some(&before), Some(&after));
    assert_eq!(words(&comparison.changes), ["file|content|text|2 entries"]);
}

/// Whoever takes quadratic time for a part takes minutes here.
#[test]
fn a_part_that_is_repeated_without_end_is_read_and_compared_in_time() {
    for consumer in &Consumer::ALL {
        for part in PARTS {
            let repeated = part.repeat(60_000 / part.len());
            let comparison = compared(*consumer, &repeated, format!("{repeated}{part}x"));
            assert!(comparison.changes.len() <= crate::MAX_CHANGES);
        }
    }
}

#[test]
fn entries_in_another_order_are_compared_in_time() {
    let rule = |n: usize| format!("u{} ALL=ALL\n", n % 9_000);
    let before: String = (0..18_000).map(rule).collect();
    let after: String = (0..18_000).rev().map(rule).collect();
    let comparison = compared(Consumer::Sudoers, before, after);
    assert_eq!(comparison.truncated, ["fimk.changes"]);
}

#[test]
fn a_flood_of_differences_is_cut_and_said_to_be() {
    let users = |uid| {
        let user = |n| format!("u{n}:x:{uid}:0::/:/bin/sh\n");
        (0..2_000).map(user).collect::<String>()
    };
    let comparison = compared(Consumer::Passwd, users(1), users(0));
    assert_eq!(comparison.changes.len(), crate::MAX_CHANGES);
    assert_eq!(comparison.truncated, ["fimk.changes"]);
}

fn any_consumer() -> impl Strategy<Value = Consumer> {
    proptest::sample::select(&Consumer::ALL[..])
}

/// What the files are made of.
const PARTS: [&str; 65] = [
    "\n",
    ":",
    "::",
    "root:x:0:0::/:/bin/sh\n",
    "+@a::\n",
    "$6$",
    "password=",
    "password: \"",
    "://",
    "@",
    "\\",
    "'",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END PRIVATE KEY-----",
    "usermod -p ",
    "\r\n",
    "x:!:1::::::\n",
    "{SSHA}",
    "\"",
    "é",
    "eyJ",
    "+:",
    "-:ALL EXCEPT ",
    ":ALL\n",
    "# ",
    "ssh-ed25519 ",
    "AAAAC3NzaC1lZDI1NTE5AAAAIC3j8IZGT20SRaSmPR8xODJy8zl7TmTWXdLTsUHctOFY",
    "command=\"",
    "no-pty,",
    "\nroot ALL=(ALL:ALL) NOPASSWD: ALL",
    "Defaults ",
    "User_Alias A = ",
    "#include",
    "Match User a\n",
    "PermitRootLogin ",
    "* * * * * root ",
    "@reboot ",
    "\n10.0.0.1 ",
    "auth required ",
    "[success=1",
    "\\\n",
    "sha256:",
    "!",
    "=",
    ",",
    "(",
    "^",
    "\0",
    "0\0",
    "[Service]\n",
    "ExecStart=",
    "\nTypes: deb\nURIs: a b\nSuites: c d\n",
    "deb [trusted=yes] ",
    "|1|a=|b= ",
    "@cert-authority ",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n",
    "\u{98}",
    "include ",
    "install x ",
    "passwd: files\n",
    "kernel.core_pattern = |",
    "; ",
    " \n",
    " b",
];

/// Bytes of which a parser sees more than of random ones.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        "[ -~]{0,12}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..6),
        proptest::sample::select(&PARTS[..]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_compared(consumer in any_consumer(), old in content(), new in content()) {
        let (before, after) = (state(consumer, &old), state(consumer, &new));
        let _ = compare(None, Some(&after));
        let _ = compare(Some(&before), None);
        prop_assert_eq!(compare(Some(&after), Some(&after)), Comparison::default());
        let comparison = compare(Some(&before), Some(&after));
        if consumer != Consumer::Text || before != after {
            let said = comparison.diff.is_some() || !comparison.changes.is_empty();
            prop_assert_eq!(said, before != after);
        }
        let shown = comparison.diff.unwrap_or_default();
        prop_assert!(!shown.chars().any(|c| c.is_control() && !"\t\n".contains(c)));
        let _ = crate::redact::line(&String::from_utf8_lossy(&old));
    }

    #[test]
    fn no_piece_of_a_planted_secret_is_stored_or_shown(
        consumer in any_consumer(),
        noise in "[ -~&&[^:'\"\\\\$]]{0,20}",
        salt in "[a-zA-Z0-9./]{8,16}",
        hash in "[a-zA-Z0-9./]{43}",
        form in 0..8_usize,
    ) {
        let secret = format!("{}{salt}${hash}", ["$6$", "$y$j9T$", "$1$", "$2b$12$"][form % 4]);
        let line = match form {
            0 => format!("eve:{secret}:19000:0:99999:7:::"),
            1 => format!("eve:!{secret}:1000:1000:{noise}:/:/bin/sh"),
            2 => format!("eve:{secret}"),
            3 => format!("{noise} {secret} {noise}"),
            4 => format!("{secret}:x:0:0::/:"),
            5 => format!("usermod -p '{secret}' eve # {noise}"),
            6 => format!("eve:{secret}:alice:{noise}"),
            _ => format!("+{secret}:{noise}"),
        };
        let other = line.replace(&hash, &hash.chars().rev().collect::<String>());
        let (before, after) = (read(consumer, line.as_bytes(), &Keyed), read(consumer, other.as_bytes(), &Keyed));
        prop_assert!(before.secrets);
        let comparison = compare(Some(&before.state), Some(&after.state));
        for shown in [format!("{before:?}{after:?}"), format!("{comparison:?}")] {
            assert_hidden(&secret, &shown);
        }
        prop_assert!(before.state == after.state || comparison != Comparison::default());
        let printed = crate::redact::arguments(&["sh".into(), "-c".into(), line]);
        assert_hidden(&secret, &printed.concat());
    }

    #[test]
    fn no_piece_of_a_des_hash_behind_a_name_is_shown(hash in "[a-zA-Z0-9./]{11}[A-Z0-9./][A-Z]", form in 0..5_usize) {
        let line = match form {
            0 => format!("eve:{hash}:19000:0:99999:7:::"),
            1 => format!("eve:{hash}"),
            2 => format!("sed -i 's|^eve:[^:]*|eve:{hash}|' /etc/shadow"),
            3 => format!("sed -i s/^eve:x/eve:{}/g /etc/shadow", hash.replace('/', "\\/")),
            _ => format!("usermod -p {hash} eve"),
        };
        let text = read(Consumer::Text, line.as_bytes(), &Keyed);
        prop_assert!(text.secrets, "{}", line);
        assert_hidden(&hash, &format!("{text:?}"));
        let printed = crate::redact::arguments(&["sh".into(), "-c".into(), line]);
        assert_hidden(&hash, &printed.concat());
    }
}
