//! Who may do what, and who lets whom in.

use super::ids;
use crate::Consumer;

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
