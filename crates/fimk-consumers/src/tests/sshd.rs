//! `sshd_config(5)`
use super::{Keyed, compared, state, words};
use crate::{Consumer, compare, read};

const BASE: &str = "Include /etc/ssh/sshd_config.d/*.conf\n\
    # PermitRootLogin yes\n\
    Port 22\n\
    PermitRootLogin prohibit-password\n\
    PasswordAuthentication no\n\
    AllowUsers alice bob\n\
    Subsystem\tsftp\t/usr/lib/openssh/sftp-server\n\
    Match User alice\n\
    \tX11Forwarding no\n";

fn changes(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Sshd, before, after).changes)
}

#[test]
fn a_directive_is_told_with_both_values() {
    let after = BASE.replace("prohibit-password", "yes");
    assert_eq!(
        changes(BASE, &after),
        ["PermitRootLogin||prohibit-password|yes"]
    );
    let gone = BASE.replace("PasswordAuthentication no\n", "");
    assert_eq!(
        changes(BASE, &gone),
        ["PasswordAuthentication||no, place 4|-"]
    );
}

#[test]
fn only_the_first_value_holds() {
    let repeated = "PermitRootLogin (repeated, without effect)";
    let before = format!("PermitRootLogin yes\n{BASE}");
    assert_eq!(
        changes(BASE, &before),
        [
            "PermitRootLogin||prohibit-password|yes".to_owned(),
            format!("{repeated}||-|prohibit-password, place 4")
        ]
    );
    let after = BASE.replace("Match", "PermitRootLogin yes\nMatch");
    assert_eq!(
        changes(BASE, &after),
        [format!("{repeated}||-|yes, place 8")]
    );
}

#[test]
fn keywords_are_known_in_any_case_by_older_names_and_with_an_equals_sign() {
    let layout = "file|layout|-|only comments, blanks or the way it is written differ";
    for (from, to) in [
        ("PermitRootLogin prohibit", "permitrootlogin   prohibit"),
        ("PermitRootLogin prohibit", "PERMITROOTLOGIN = prohibit"),
        ("PermitRootLogin prohibit", "PermitRootLogin=prohibit"),
        (
            "PasswordAuthentication no",
            "PasswordAuthentication \"no\" # never",
        ),
    ] {
        assert_eq!(changes(BASE, &BASE.replace(from, to)), [layout]);
    }
    let before = "ChallengeResponseAuthentication no\nHostDSAKey /k\n";
    let after = "KbdInteractiveAuthentication no\nHostKey /k\n";
    assert_eq!(changes(before, after), [layout]);
}

/// Each of these is the same to sshd (9.2, `-T`).
#[test]
fn quotes_escapes_and_signs_of_equality_are_cut_as_sshd_cuts_them() {
    for line in [
        "\"PermitRootLogin\" yes",
        "=PermitRootLogin yes",
        " = PermitRootLogin = yes",
        "PermitRootLogin 'yes'",
        "PermitRootLogin y\"es\"",
        "PermitRootLogin \"\"y'e's # '",
        "PermitRootLogin \"yes\"\r",
    ] {
        let said = changes("", &format!("{line}\n"));
        assert_eq!(said, ["PermitRootLogin||-|yes"], "{line}");
    }
    let keys = "AuthorizedKeysFile||-|\"/a b\" /c";
    for line in [
        "AuthorizedKeysFile '/a b' /c",
        "AuthorizedKeysFile /a\\ b \"/c\"",
        "AuthorizedKeysFile /a' 'b /c #d e",
    ] {
        assert_eq!(changes("", &format!("{line}\n")), [keys], "{line}");
    }
    assert_eq!(changes("", "Banner '#' \\# x#y\n"), ["Banner||-|# \\# x#y"]);
}

#[test]
fn a_secret_that_quotes_part_is_hidden() {
    let line = |secret: &str| format!("ForceCommand curl https://u:hunter\"{secret}\"@host/\n");
    let (before, after) = (line("2hunter"), line("3hunter"));
    let said = changes(&before, &after).concat();
    assert!(said.contains("https://u:[redacted 1]@host/"), "{said}");
    let kept = format!("{:?}", state(Consumer::Sshd, &before));
    assert!(!kept.contains("hunter"), "{kept}");
}

#[test]
fn what_adds_up_is_told_value_by_value() {
    let after = BASE.replace("alice bob", "alice mallory") + "AllowUsers eve\n";
    assert_eq!(
        changes(BASE, &after),
        [
            "AllowUsers mallory||-|place 6",
            "Match User alice: AllowUsers eve||-|place 10",
            "AllowUsers bob||place 6|-",
        ]
    );
    let after = BASE.replace("Port 22", "Port 22\nPort 2222\nListenAddress ::");
    assert_eq!(
        changes(BASE, &after),
        ["Port 2222||-|place 3", "ListenAddress ::||-|place 4"]
    );
    let after = BASE.replace("/usr/lib/openssh/sftp-server", "/tmp/x -d 0");
    assert_eq!(
        changes(BASE, &after),
        ["Subsystem sftp||/usr/lib/openssh/sftp-server|/tmp/x -d 0"]
    );
}

#[test]
fn a_match_block_is_a_subject_of_its_own() {
    let after = BASE.replace("X11Forwarding no", "X11Forwarding yes");
    assert_eq!(
        changes(BASE, &after),
        ["Match User alice: X11Forwarding||no|yes"]
    );
    let after = format!("{BASE}match address 10.*\n PermitRootLogin yes\n");
    assert_eq!(
        changes(BASE, &after),
        [
            "Match address 10.*||-|place 10",
            "Match address 10.*: PermitRootLogin||-|yes, place 11"
        ]
    );
    let after = BASE.replace("Match User alice", "Match all");
    let said = changes(BASE, &after).concat();
    assert!(said.contains("Match all||-|place 8"), "{said}");
}

#[test]
fn an_include_that_moved_is_told_because_the_first_value_holds() {
    let include = "Include /etc/ssh/sshd_config.d/*.conf\n";
    let after = BASE
        .replace(include, "")
        .replace("Subsystem", &format!("{include}Subsystem"));
    assert_eq!(
        changes(BASE, &after),
        ["Include /etc/ssh/sshd_config.d/*.conf|place|1|6"]
    );
    // Without an include or a block the order of directives says nothing.
    let (before, after) = ("UsePAM yes\nUseDNS no\n", "UseDNS no\nUsePAM yes\n");
    assert!(changes(before, after)[0].starts_with("file|layout"));
}

#[test]
fn malformed_lines_are_named_by_number_and_length_and_never_quoted() {
    for (line, fault) in [
        ("planted", "something is missing"),
        ("Banner \"planted words", "a quote does not end"),
        ("pl@nted words", "of no known form"),
        ("Banner =", "something is missing"),
        ("Banner a\0b", "has NUL bytes"),
    ] {
        let said = changes(BASE, &format!("{BASE}{line}\n"));
        let expected = format!("line 10||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected], "{line}");
    }
    // What sshd does not know it refuses, or a later sshd may know it.
    assert_eq!(
        changes(BASE, &format!("{BASE}NewThing = \"two words\"\n")),
        ["Match User alice: NewThing||-|\"two words\", place 10"]
    );
}

#[test]
fn settings_about_passwords_are_no_secrets_and_urls_hide_theirs() {
    assert!(!read(Consumer::Sshd, BASE.as_bytes(), &Keyed).secrets);
    let open = format!("{BASE}PermitEmptyPasswords=yes\n");
    assert!(!read(Consumer::Sshd, open.as_bytes(), &Keyed).secrets);
    let after = BASE.to_owned() + "ForceCommand curl https://u:hunter2hunter2@host/\n";
    let said = changes(BASE, &after).concat();
    assert!(said.contains("curl https://u:[redacted 1]@host/"), "{said}");
}

#[test]
fn a_block_of_long_criteria_is_named_by_its_beginning() {
    let before = format!("Match User {}\n", "a,".repeat(20_000));
    let many = |value: &str| format!("{before}{}", format!("Banner {value}\n").repeat(2_000));
    let after = state(Consumer::Sshd, many("/x"));
    assert!(format!("{after:?}").len() < 2_000_000);
    assert!(changes(&many("/x"), &many("/y"))[0].contains("… (40011 bytes): Banner||/x|/y"));
}

#[test]
fn a_new_file_lists_its_directives() {
    let after = state(Consumer::Sshd, BASE);
    assert_eq!(compare(None, Some(&after)).changes.len(), 9);
    assert_eq!(
        words(&compare(Some(&after), None).changes),
        ["file|content|9 entries|-"]
    );
}
