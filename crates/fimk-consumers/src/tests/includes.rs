//! What a file has its program read besides
use super::state;
use crate::{Consumer, includes::reads};

/// `CONSUMER GLOB`, with a sign of what skips backups.
fn said(consumer: Consumer, path: &str, content: &str) -> Vec<String> {
    let reads = reads(path.as_bytes(), &state(consumer, content));
    let line = |it: crate::includes::Reads| {
        let skips = if it.skips_backups {
            " (no backups)"
        } else {
            ""
        };
        format!("{:?} {}{skips}", it.consumer, it.glob)
    };
    reads.into_iter().map(line).collect()
}

#[test]
fn what_sudoers_includes_is_read_as_sudoers() {
    let content = "@include /opt/a\n#include b\n@includedir \"/opt/c d/\"\n#includedir e.%h\n# include no\nroot ALL=ALL\n";
    assert_eq!(
        said(Consumer::Sudoers, "/etc/sudoers", content),
        [
            "Sudoers /opt/a",
            "Sudoers /etc/b",
            "Sudoers /opt/c d/* (no backups)",
            "Sudoers /etc/e.*/* (no backups)",
        ]
    );
    assert_eq!(
        said(Consumer::Sudoers, "/srv/*/etc/sudoers", "@include /a\n"),
        ["Sudoers /a", "Sudoers /srv/\\*/a"]
    );
}

#[test]
fn what_sshd_includes_and_takes_keys_from_is_read_as_that() {
    let content = "Include /opt/*.conf sub/x.conf\nAuthorizedKeysFile .ssh/authorized_keys %h/.k/[a] /opt/k/%u/100%%\n\
        Match User a\nAuthorizedKeysFile none\nMatch User b\nAuthorizedKeysFile /b\nTrustedUserCAKeys /etc/ssh/ca\n";
    let expected = [
        "Sshd /opt/*.conf",
        "Sshd /etc/ssh/sub/x.conf",
        "AuthorizedKeys **/.ssh/authorized_keys",
        "AuthorizedKeys **/.k/\\[a\\]",
        "AuthorizedKeys /opt/k/*/100%",
        "AuthorizedKeys /b",
        "AuthorizedKeys /etc/ssh/ca",
    ];
    for path in ["/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/x.conf"] {
        assert_eq!(said(Consumer::Sshd, path, content), expected);
    }
}

#[test]
fn a_name_with_blanks_is_one_name_however_it_is_quoted() {
    for name in ["\"/a b\"", "'/a b'", "/a\\ b"] {
        let content = format!("Include {name}\nAuthorizedKeysFile {name} /c\n");
        let expected = ["Sshd /a b", "AuthorizedKeys /a b", "AuthorizedKeys /c"];
        assert_eq!(
            said(Consumer::Sshd, "/etc/ssh/sshd_config", &content),
            expected
        );
    }
}

#[test]
fn other_files_and_what_is_too_long_or_too_much_say_nothing() {
    assert!(said(Consumer::Hosts, "/etc/hosts", "10.0.0.1 include\n").is_empty());
    let long = format!("@include /{}\n", "x".repeat(2_000));
    assert!(said(Consumer::Sudoers, "/etc/sudoers", &long).is_empty());
    let many = "@include /a\n".repeat(1_000);
    assert_eq!(said(Consumer::Sudoers, "/etc/sudoers", &many).len(), 256);
    assert_eq!(
        said(
            Consumer::LibraryPath,
            "/etc/ld.so.conf",
            "include /a/*.conf b\n/lib\n"
        ),
        ["LibraryPath /a/*.conf", "LibraryPath /etc/b"]
    );
}
