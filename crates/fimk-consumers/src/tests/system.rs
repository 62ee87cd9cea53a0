//! ld.so.conf, nsswitch.conf(5), environments, kernel modules, sysctl.conf(5), and what shells execute
use super::{Keyed, assert_hidden, compared, read, state, words};
use crate::{Comparison, Consumer, compare};

fn changes(consumer: Consumer, before: &str, after: &str) -> Vec<String> {
    words(&compared(consumer, before, after).changes)
}

#[test]
fn directories_of_libraries_and_what_is_included_are_told_with_their_place() {
    let before = "include /etc/ld.so.conf.d/*.conf\n/usr/local/lib # ours\n";
    assert_eq!(
        changes(
            Consumer::LibraryPath,
            before,
            &format!("/tmp/lib\n{before}")
        ),
        ["library path /tmp/lib||-|place 1"]
    );
    assert_eq!(
        changes(
            Consumer::LibraryPath,
            before,
            "/usr/local/lib\ninclude /etc/ld.so.conf.d/*.conf\n"
        ),
        ["include /etc/ld.so.conf.d/*.conf|place|1|2"]
    );
    assert_eq!(
        changes(
            Consumer::LibraryPath,
            before,
            &format!("{before}planted\ninclude\n")
        ),
        [
            "line 3||-|malformed, 7 bytes (of no known form)",
            "line 4||-|malformed, 7 bytes (something is missing)"
        ]
    );
}

#[test]
fn another_service_of_a_database_is_told_with_all() {
    let before = "passwd:  files systemd\nshadow: files\n";
    assert_eq!(
        changes(
            Consumer::Nsswitch,
            before,
            &before.replace("passwd:  files", "passwd: evil [NOTFOUND=return] files")
        ),
        ["database passwd||files systemd|evil [NOTFOUND=return] files systemd"]
    );
    assert!(
        changes(
            Consumer::Nsswitch,
            before,
            "shadow: files # all\npasswd: files systemd\n"
        )[0]
        .starts_with("file|layout")
    );
    assert_eq!(
        changes(
            Consumer::Nsswitch,
            before,
            &format!("{before}shadow:\nplanted\n")
        ),
        [
            "database shadow||-|nowhere, place 3",
            "line 4||-|malformed, 7 bytes (of no known form)"
        ]
    );
}

#[test]
fn a_variable_of_the_environment_is_told_with_both_values() {
    let before = "# all\nPATH=\"/usr/bin:/bin\"\n";
    assert_eq!(
        changes(
            Consumer::Environment,
            before,
            "PATH=/tmp:/usr/bin:/bin\nexport LD_PRELOAD=/tmp/x.so\n"
        ),
        [
            "environment PATH||/usr/bin:/bin|/tmp:/usr/bin:/bin",
            "environment LD_PRELOAD||-|/tmp/x.so"
        ]
    );
    assert_eq!(
        changes(
            Consumer::Environment,
            before,
            &format!("{before}planted words\nA B=c\n")
        ),
        [
            "line 3||-|malformed, 13 bytes (of no known form)",
            "line 4||-|malformed, 5 bytes (of no known form)"
        ]
    );
    let secret = read(Consumer::Environment, b"API_TOKEN=hunter2hunter2\n", &Keyed);
    assert!(secret.secrets);
    assert_hidden("hunter2hunter2", &format!("{secret:?}"));
}

#[test]
fn what_is_done_with_a_kernel_module_is_told() {
    let before = "blacklist usb-storage\ninstall cramfs /bin/false\n";
    assert_eq!(
        changes(
            Consumer::Modprobe,
            before,
            "# no\ninstall cramfs /tmp/x; \\\n/sbin/modprobe -i cramfs\noptions snd-hda index=1\n"
        ),
        [
            "install cramfs||/bin/false|/tmp/x;  /sbin/modprobe -i cramfs",
            "options snd_hda||-|index=1",
            "blacklist usb_storage||listed|-"
        ]
    );
    assert!(
        changes(
            Consumer::Modprobe,
            before,
            &before.replace("usb-s", "usb_s")
        )[0]
        .starts_with("file|layout")
    );
    assert_eq!(
        changes(
            Consumer::Modprobe,
            before,
            &format!("{before}planted x y\ninstall x\n")
        ),
        [
            "line 3||-|malformed, 11 bytes (of no known form)",
            "line 4||-|malformed, 9 bytes (something is missing)"
        ]
    );
    assert_eq!(
        changes(Consumer::ModulesLoad, "# none\n", "; x\nloop max_loop=8\n"),
        ["module loop||-|arguments max_loop=8"]
    );
}

#[test]
fn a_variable_of_the_kernel_is_told_by_one_name_however_it_is_written() {
    let before = "kernel.randomize_va_space = 2\n";
    assert_eq!(
        changes(Consumer::Sysctl, before, "kernel/randomize_va_space=0\n"),
        ["sysctl kernel.randomize_va_space||2|0"]
    );
    assert_eq!(
        changes(
            Consumer::Sysctl,
            "net/ipv4/conf/eth0.1/forwarding=0\n",
            "net.ipv4.conf.eth0/1.forwarding=1\n"
        ),
        ["sysctl net.ipv4.conf.eth0/1.forwarding||0|1"]
    );
    assert_eq!(
        changes(
            Consumer::Sysctl,
            before,
            &format!("{before}-net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all\nplanted\n")
        ),
        [
            "sysctl net.ipv4.conf.*.rp_filter||-|2, options errors count for nothing, place 2",
            "sysctl net.ipv4.conf.all||-|excluded from patterns, place 3",
            "line 4||-|malformed, 7 bytes (of no known form)"
        ]
    );
    let twice = format!("{before}kernel.randomize_va_space = 0\n");
    assert_eq!(
        changes(Consumer::Sysctl, before, &twice),
        ["sysctl kernel.randomize_va_space||-|0, place 2"]
    );
}

#[test]
fn what_shells_execute_is_told_as_lines() {
    let Comparison { changes, diff, .. } = compared(
        Consumer::Shell,
        "umask 022\n",
        "umask 022\nalias sudo=/tmp/sudo\n",
    );
    assert!(changes.is_empty());
    assert_eq!(
        diff.as_deref(),
        Some("@@ -1 +1,2 @@\n umask 022\n+alias sudo=/tmp/sudo\n")
    );
    let [text, shell] = [Consumer::Text, Consumer::Shell].map(|it| state(it, "a\n"));
    assert_eq!(
        compare(Some(&text), Some(&state(Consumer::Shell, "b\n")))
            .diff
            .as_deref(),
        Some("@@ -1 +1 @@\n-a\n+b\n"),
        "recorded by a fimk that took it for any text"
    );
    assert_eq!(
        compare(Some(&shell), None).diff.as_deref(),
        Some("@@ -1 +0,0 @@\n-a\n")
    );
}

#[test]
fn what_shells_execute_is_compared_by_line_unless_most_of_it_is_no_text() {
    let diff = |before: &[u8], after: &[u8]| compared(Consumer::Shell, before, after).diff;
    let nul = diff(b"a\n", b"a\0\n");
    assert_eq!(nul.as_deref(), Some("@@ -1 +1 @@\n-a\n+a\\x00\n"));
    let padded = [&b"a\n#"[..], &[0xff; 9], b"\n"].concat();
    for (before, after) in [(&b"a\n"[..], &padded[..]), (&padded, b"a\n")] {
        let comparison = compared(Consumer::Shell, before, after);
        assert!(
            comparison
                .diff
                .is_some_and(|it| it.ends_with("it is not compared by line\n"))
        );
        assert_eq!(comparison.truncated, ["fimk.diff"]);
    }
}
