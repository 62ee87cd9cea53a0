//! `authorized_keys`
use proptest::prelude::*;

use super::{SHA512, assert_hidden, compared, state, words};
use crate::{Comparison, Consumer, compare, read, redact};

pub(super) mod samples;

use samples::{ALL, DSA, ED25519, P256, P256_CERT, RSA};

const KEYS: Consumer = Consumer::AuthorizedKeys;
const RSA_SUBJECT: &str = "key SHA256:+E6j1W93prJPaCjWYPexRKnQOpy/ZDLZ4r3ZQiycFAA";
const ED_SUBJECT: &str = "key SHA256:b71XwJZhTN4A6MpP4lj8cNyeqZU25LcAxjevwG17enw";

fn changes(before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) -> Vec<String> {
    words(&compared(KEYS, before, after).changes)
}

fn base() -> String {
    format!("# of root\n{RSA} alice@host\n")
}

#[test]
fn every_type_of_key_has_the_fingerprint_that_ssh_keygen_prints() {
    for (key, fingerprint) in ALL {
        let kind = key.split(' ').next().expect("a type");
        let said = changes(base(), format!("{}{key} bob\n", base()));
        if fingerprint != RSA_SUBJECT.trim_start_matches("key ") {
            assert_eq!(
                said,
                [format!("key {fingerprint}||-|{kind}, bob, no options")]
            );
        }
    }
}

#[test]
fn an_ed25519_key_that_is_added_is_named() {
    let said = changes(base(), format!("{}{ED25519} mallory\n", base()));
    assert_eq!(
        said,
        [format!("{ED_SUBJECT}||-|ssh-ed25519, mallory, no options")]
    );
}

#[test]
fn a_key_that_went_is_named() {
    let said = changes(base(), "# of root\n");
    assert_eq!(
        said,
        [format!("{RSA_SUBJECT}||ssh-rsa, alice@host, no options|-")]
    );
}

#[test]
fn a_key_of_a_type_of_the_future_is_a_key() {
    // Length, name, length, something.
    let key = "ssh-new@x AAAACXNzaC1uZXdAeAAAAAEq";
    let said = changes(base(), format!("{}no-pty {key}\n", base()));
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("key SHA256:") && said[0].ends_with("||-|ssh-new@x, options no-pty"),
        "{said:?}"
    );
}

#[test]
fn a_key_that_is_commented_out_is_no_key() {
    let after = format!("{}# {ED25519} mallory\n", base());
    let layout = "file|layout|-|only comments, blanks or the order of lines differ";
    assert_eq!(changes(base(), after), [layout]);
    let gone = changes(base(), base().replace("ssh-rsa", "  #ssh-rsa"));
    assert!(
        gone.len() == 1 && gone[0].ends_with("no options|-"),
        "{gone:?}"
    );
}

#[test]
fn a_command_that_is_added_to_a_key_is_named() {
    let options = "command=\"/bin/sh -c \\\"id, all\\\"\",no-pty";
    let after = base().replace("ssh-rsa", &format!("{options} ssh-rsa"));
    assert_eq!(
        changes(base(), after),
        [format!("{RSA_SUBJECT}|options|-|{options}")]
    );
}

#[test]
fn only_the_options_that_differ_are_shown() {
    let with = |options: &str| format!("{options} {RSA}\n");
    for (before, after, shown) in [
        (
            "restrict,from=\"10.0.0.0/8,*.example.org\",pty",
            "restrict,from=\"*\",pty",
            "from=\"10.0.0.0/8,*.example.org\"|from=\"*\"",
        ),
        ("restrict,pty", "pty,restrict", "restrict,pty|pty,restrict"),
        (
            "cert-authority,expiry-time=\"20270101\"",
            "cert-authority",
            "expiry-time=\"20270101\"|-",
        ),
        (
            "permitopen=\"a:1\",permitopen=\"a:1\"",
            "permitopen=\"a:1\"",
            "permitopen=\"a:1\"|-",
        ),
        (
            "environment=\"LANG=a b\"",
            "environment=\"LANG=a c\"",
            "environment=\"LANG=a b\"|environment=\"LANG=a c\"",
        ),
    ] {
        assert_eq!(
            changes(with(before), with(after)),
            [format!("{RSA_SUBJECT}|options|{shown}")]
        );
    }
}

#[test]
fn a_changed_comment_is_named() {
    let after = base().replace("alice@host", "alice at work");
    assert_eq!(
        changes(base(), after),
        [format!("{RSA_SUBJECT}|comment|alice@host|alice at work")]
    );
}

#[test]
fn a_key_and_its_certificate_are_told_apart() {
    let said = changes(format!("{P256}\n"), format!("{P256_CERT}\n")).join(" ");
    assert!(
        said.contains("|type|ecdsa-sha2-nistp256|ecdsa-sha2-nistp256-cert-v01@openssh.com"),
        "{said}"
    );
    assert!(said.contains("|certificate|-|SHA256:"), "{said}");
}

#[test]
fn a_second_line_of_a_key_is_a_duplicate() {
    let after = format!("{}{RSA} again\n", base());
    assert_eq!(
        changes(base(), after),
        [format!(
            "{RSA_SUBJECT}|duplicate|-|1 more: ssh-rsa, again, no options"
        )]
    );
}

#[test]
fn another_order_is_no_change_of_a_key() {
    let (one, two) = (
        format!("{RSA} a\n{ED25519} b\n"),
        format!("{ED25519} b\n{RSA} a\n"),
    );
    let layout = "file|layout|-|only comments, blanks or the order of lines differ";
    assert_eq!(changes(one, two), [layout]);
}

#[test]
fn white_space_around_or_within_a_key_does_not_hide_it() {
    for line in [
        format!("\t {ED25519} bob  \r"),
        ED25519.replace(' ', " \t "),
        format!("no-pty \t{ED25519}"),
        ED25519.replace("AAAAC", "AA\rAA\x0cC\x0b"),
    ] {
        let said = changes(base(), format!("{}{line}\n", base()));
        assert!(said[0].starts_with(ED_SUBJECT), "{said:?}");
    }
}

#[test]
fn malformed_keys_are_named_by_number_and_length_and_never_quoted() {
    let (_, base64) = ED25519.split_once(' ').expect("a type and a key");
    for (line, fault) in [
        ("planted-words".to_owned(), "no key"),
        ("ssh-rsa".into(), "no key"),
        ("ssh-rsa planted!words".into(), "the key is not base64"),
        (
            format!("ssh-rsa {base64}"),
            "the key is of another type than its name says",
        ),
        (
            format!("from=\"planted\" ssh-rsa {base64}"),
            "the key is of another type than its name says",
        ),
        (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC3j".into(),
            "the key is cut short",
        ),
        ("ssh-ed25519 AAAA".into(), "the key is cut short"),
        ("ssh-x AAAABXNzaC14".into(), "no key"),
        (
            format!("ssh-ed25519 {base64}AAAA"),
            "the key has too many bytes",
        ),
        (
            format!("command=\"planted {ED25519}"),
            "a quote does not end",
        ),
        (format!("{ED25519} a\0b"), "has NUL bytes"),
        (format!("{ED25519} {}", "x".repeat(65_536)), "too long"),
    ] {
        let said = changes(base(), format!("{}{line}\n", base()));
        let expected = format!("line 3||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected]);
        assert!(
            read(KEYS, line.as_bytes(), &super::Keyed).secrets,
            "it may be anything"
        );
    }
}

#[test]
fn a_malformed_line_that_changes_is_told_by_the_numbers_of_tokens() {
    let said = changes("ssh-rsa !one\n", "ssh-rsa !two\n");
    let words = "malformed, 12 bytes (the key is not base64)";
    assert_eq!(
        said,
        [format!("line 1||{words} [redacted 1]|{words} [redacted 2]")]
    );
}

#[test]
fn secrets_in_options_and_comments_are_redacted_and_their_changes_seen() {
    for (form, shown) in [
        (
            "environment=\"API_TOKEN=SECRET\" KEY c",
            "API_TOKEN=[redacted 1]\"",
        ),
        (
            "command=\"mysql -pSECRET db\" KEY c",
            "mysql -p[redacted 1] db",
        ),
        (
            "no-pty,environment=\"DB_PASS=SECRET\" KEY c",
            "DB_PASS=[redacted 1]",
        ),
        (
            "command=\"curl https://u:SECRET@host/\" KEY c",
            "https://u:[redacted 1]@host",
        ),
        ("KEY password=SECRET", "password=[redacted 1]"),
    ] {
        let (secret, other) = ("hunter2hunter2", "swordfishsword");
        let with =
            |secret: &str| format!("{}\n", form.replace("KEY", RSA).replace("SECRET", secret));
        let before = read(KEYS, with(secret).as_bytes(), &super::Keyed);
        assert!(before.secrets, "{form}");
        let comparison = compared(KEYS, with(secret), with(other));
        let said = words(&comparison.changes);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(shown), "{said:?}");
        assert_hidden(secret, &format!("{before:?}{said:?}"));
        assert_hidden(other, &said[0]);
    }
}

#[test]
fn a_secret_in_a_comment_line_makes_the_digest_a_keyed_one() {
    let secrets = |text: &str| read(KEYS, text.as_bytes(), &super::Keyed).secrets;
    assert!(secrets("# password=hunter2\n"));
    assert!(secrets(&format!("# {SHA512}\n")));
    assert!(!secrets(&base()));
}

#[test]
fn options_and_comments_cannot_forge_lines_or_terminals() {
    let after = format!("from=\"\x1b[2J\" {ED25519} \x1b[2J\u{202e}\n");
    let said = changes(base(), after).concat();
    assert!(!said.contains(['\x1b', '\u{202e}']), "{said}");
}

#[test]
fn a_new_file_lists_its_keys() {
    let after = state(KEYS, format!("{RSA} a\n{DSA} b\n"));
    assert_eq!(compare(None, Some(&after)).changes.len(), 2);
    assert_eq!(
        words(&compare(Some(&after), None).changes),
        ["file|content|2 keys|-"]
    );
}

#[test]
fn a_key_beyond_the_limit_still_counts() {
    let filler = "\n".repeat(20_000);
    assert_eq!(
        changes(&filler, format!("{filler}{ED25519}\n")),
        ["file|rest|-|more differs after the first 20,000 lines or 1 MiB"]
    );
}

#[test]
fn fingerprints_are_not_taken_for_secrets() {
    for (_, fingerprint) in ALL {
        assert_eq!(
            redact::line(&format!("key {fingerprint}")),
            format!("key {fingerprint}")
        );
    }
}

fn any_line() -> impl Strategy<Value = String> {
    let key = proptest::sample::select(ALL.map(|(key, _)| key).to_vec());
    let option = proptest::sample::select(vec![
        "no-pty",
        "restrict",
        "from=\"a,b c\"",
        "command=\"x \\\" y\"",
        "environment=\"A=b\"",
    ]);
    let options = proptest::collection::vec(option, 0..4);
    (key, options, "[a-z@ ]{0,12}").prop_map(|(key, options, comment)| {
        let blank = if options.is_empty() { "" } else { " " };
        format!("{}{blank}{key} {}", options.join(","), comment.trim())
    })
}

proptest! {
    #[test]
    fn any_byte_of_a_file_may_be_another(
        lines in proptest::collection::vec(any_line(), 1..5),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let before = lines.join("\n").into_bytes();
        let mut after = before.clone();
        let at = at.index(after.len());
        after[at] = byte;
        let comparison = compared(KEYS, &before, &after);
        prop_assert_eq!(comparison == Comparison::default(), before == after);
    }

    #[test]
    fn a_key_that_comes_or_goes_is_never_missed(
        lines in proptest::collection::vec(any_line(), 1..6),
        at in any::<proptest::sample::Index>(),
    ) {
        let all = lines.join("\n");
        let mut fewer = lines.clone();
        fewer.remove(at.index(lines.len()));
        for (before, after) in [(&all, &fewer.join("\n")), (&fewer.join("\n"), &all)] {
            let said = changes(before, after);
            prop_assert!(said.iter().any(|change| change.starts_with("key SHA256:")), "{:?}", said);
        }
    }
}
