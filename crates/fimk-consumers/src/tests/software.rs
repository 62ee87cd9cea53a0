//! sources.list(5), dnf.conf(5), `OpenPGP` keys
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Keyed, assert_hidden, compared, state, words};
use crate::{Consumer, State, compare, findings, read};

/// A key, and the same with another below it, made by gpg(1) for these tests.
pub(super) const KEY: &str = "mDMEawJnPBYJKwYBBAHaRw8BAQdAgoF0CgjVW/p+ZFtptZDcLvPD+AWRDgowZmNeRCvqROW0JUV4YW1wbGUgQXJjaGl2ZSA8YXJjaGl2ZUBleGFtcGxlLm9yZz6IkAQTFggAOBYhBMfIZlcaCb4IaD43gzPF0ojHXAFRBQJrAmc8AhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEDPF0ojHXAFROK4A/iEypYpLvITfRTHkfAx8qiDfs48pHp7tb9r/uCtzes4tAPoCL+TeL0TCQa9Jw9gD813uqrm5C9+Oudk0XouPw7mdBQ==";
pub(super) const TWO_KEYS: &str = "mDMEawJnPBYJKwYBBAHaRw8BAQdAgoF0CgjVW/p+ZFtptZDcLvPD+AWRDgowZmNeRCvqROW0JUV4YW1wbGUgQXJjaGl2ZSA8YXJjaGl2ZUBleGFtcGxlLm9yZz6IkAQTFggAOBYhBMfIZlcaCb4IaD43gzPF0ojHXAFRBQJrAmc8AhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEDPF0ojHXAFROK4A/iEypYpLvITfRTHkfAx8qiDfs48pHp7tb9r/uCtzes4tAPoCL+TeL0TCQa9Jw9gD813uqrm5C9+Oudk0XouPw7mdBbgzBGsCZzwWCSsGAQQB2kcPAQEHQItOG6opiPjfGaiOZMQ1L9Rma6aYA1Gc5hlS0WvIo8LViO8EGBYIACAWIQTHyGZXGgm+CGg+N4MzxdKIx1wBUQUCawJnPAIbAgCBCRAzxdKIx1wBUXYgBBkWCAAdFiEE3vpRRMfu0VyUahFs/WlMGsK7C/YFAmsCZzwACgkQ/WlMGsK7C/ZPaQEAl7ehUL2vm7/XRURawwLnAeuODsQyLIdEuphLWac0UJUA+we/I7pMJ8z1VxY2pioIo+EHwWFxB8ZqGxv0p9t0WP8ACgABAN3hO3lO99cTTshVeTApvn7+gwgquPjbbuP7UMdH4ID4AQDBlVMks/B1iq4sZH4FxDBEfrk3SJIgp7d5FitaZKayBQ==";

const LIST: &str = "deb http://deb.debian.org/debian trixie main # all\n";
const STANZA: &str =
    "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie\nComponents: main\n";

fn changes(consumer: Consumer, before: &str, after: &str) -> Vec<String> {
    words(&compared(consumer, before, after).changes)
}

#[test]
fn a_source_is_told_with_components_and_options() {
    let after = format!(
        "{LIST}deb [trusted=yes arch=amd64] http://evil.example ./\ndeb-src http://a b c d\n"
    );
    assert_eq!(
        changes(Consumer::AptList, LIST, &after),
        [
            "deb http://evil.example ./||-|options trusted=yes arch=amd64, place 2",
            "deb-src http://a b||-|components c d, place 3"
        ]
    );
    assert_eq!(
        changes(
            Consumer::AptList,
            LIST,
            &LIST.replace("main", "main non-free")
        ),
        ["deb http://deb.debian.org/debian trixie|components|main|main non-free"]
    );
}

/// Each of these is the same to apt (2.6).
#[test]
fn quotes_and_percent_signs_are_read_and_a_hash_sign_in_brackets_begins_no_comment() {
    let said = |line: &str| changes(Consumer::AptList, "", &format!("{line}\n"));
    for line in [
        "deb [trusted=yes] http://a/ s m n",
        "deb [ trusted=\"yes\" ] \"http://a/\" \"s\" m \"n\" # c",
        "deb [trusted=%79es] http://a/ s m n#c",
        "\tdeb\t[trusted=y\"es\"]\thttp://a/ s m n",
    ] {
        let expected = "deb http://a/ s||-|components m n, options trusted=yes, place 1";
        assert_eq!(said(line), [expected], "{line}");
    }
    assert_eq!(
        said("deb [arch=amd64#x trusted=yes] http://a/%20b s m"),
        ["deb http://a/ b s||-|components m, options arch=amd64#x trusted=yes, place 1"]
    );
    let planted = format!("deb https://u:hunter2%{:x}unter2@a/ s m", b'h');
    assert_eq!(
        said(&planted),
        ["deb https://u:[redacted 1]@a/ s||-|components m, place 1"]
    );
    let planted = said("deb https://u:hunter\"2hunter2\"@a/ s m");
    assert_hidden("hunter2hunter2", &planted.concat());
}

#[test]
fn a_stanza_is_cut_as_apt_cuts_it() {
    // Blanks before a colon, a line of blanks, and the last of two values.
    let after = "Types : deb\n \t\nURIs: http://a\nSuites: s\nTrusted: no\nComponents: m\n\
        Enabled: no\nTrusted: yes\nEnabled:\n # no\n yes\n";
    assert_eq!(
        changes(Consumer::AptSources, "", &after.replace(" # no\n", "")),
        ["deb http://a s||-|components m, options enabled=yes trusted=yes, place 1"]
    );
    // However long what stands before it is.
    let long = format!("{STANZA}Signed-By: {}\nTrusted: yes\n", "x".repeat(4_000));
    let said = changes(Consumer::AptSources, STANZA, &long).concat();
    assert!(said.ends_with("signed-by= trusted=yes"), "{said}");
}

#[test]
fn malformed_sources_are_named_by_number_and_length_and_never_quoted() {
    for (line, fault) in [
        ("rpm http://planted a b", "of no known form"),
        ("deb http://planted", "something is missing"),
        ("deb http://planted suite", "something is missing"),
        (
            "deb [trusted=yes http://planted a b",
            "something is missing",
        ),
    ] {
        let said = changes(Consumer::AptList, LIST, &format!("{LIST}{line}\n"));
        let expected = format!("line 2||-|malformed, {} bytes ({fault})", line.len());
        assert_eq!(said, [expected], "{line}");
    }
    for line in ["planted", " planted", "pla nted: x"] {
        let said = changes(Consumer::AptSources, "", &format!("{line}\n"));
        let expected = format!(
            "line 1||-|malformed, {} bytes (of no known form)",
            line.len()
        );
        assert_eq!(said, [expected], "{line}");
    }
}

#[test]
fn a_source_is_the_same_as_a_stanza() {
    let entries = |state| match state {
        State::Apt(state) => state.entries,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        entries(state(Consumer::AptSources, STANZA)),
        entries(state(Consumer::AptList, LIST))
    );
}

#[test]
fn a_stanza_is_a_source_for_each_type_uri_and_suite() {
    let more = STANZA.replace(
        "Suites: trixie",
        "# a comment\nSuites: trixie\n trixie-updates",
    );
    let more = more.replace("Types: deb", "Types: deb deb-src") + "Trusted: yes\n";
    assert_eq!(
        changes(
            Consumer::AptSources,
            STANZA,
            &format!("{more}\n\n{STANZA}Enabled: no")
        ),
        [
            "deb http://deb.debian.org/debian trixie|options|-|trusted=yes",
            "deb-src http://deb.debian.org/debian trixie||-|components main, options trusted=yes, place 2",
            "deb http://deb.debian.org/debian trixie-updates||-|components main, options trusted=yes, place 3",
            "deb-src http://deb.debian.org/debian trixie-updates||-|components main, options trusted=yes, place 4",
            "deb http://deb.debian.org/debian trixie||-|components main, options enabled=no, place 5",
        ]
    );
    assert_eq!(
        changes(Consumer::AptSources, "", "Types: deb\nSuites: a\n"),
        ["deb  a (incomplete)||-|place 1"]
    );
    let many = " suite".repeat(100);
    let many = changes(Consumer::AptSources, "", &STANZA.replace("trixie", &many));
    assert_eq!(many.len(), 1, "{many:?}");
}

#[test]
fn who_logs_in_at_a_source_is_hidden() {
    for (consumer, text) in [
        (
            Consumer::AptList,
            LIST.replace("http://", "https://bob:hunter2hunter2@"),
        ),
        (
            Consumer::AptSources,
            STANZA.replace("http://", "https://bob:hunter2hunter2@"),
        ),
        (
            Consumer::YumRepo,
            "[x]\npassword=hunter2hunter2\n".to_owned(),
        ),
        (
            Consumer::YumRepo,
            "[x]\nbaseurl = https://bob:hunter2hunter2@a/\n".to_owned(),
        ),
    ] {
        let reading = read(consumer, text.as_bytes(), &Keyed);
        assert!(reading.secrets, "{text}");
        assert_hidden("hunter2hunter2", &format!("{reading:?}"));
        let other = state(consumer, text.replace("hunter2hunter2", "*******1"));
        let said = compare(Some(&reading.state), Some(&other)).changes;
        assert!(words(&said).concat().contains("[redacted 1]"), "{said:?}");
    }
}

#[test]
fn a_repository_of_yum_is_told_value_by_value() {
    let before = "# ours\n[base]\nname=Base\nbaseurl=http://a/\n  http://b/\ngpgcheck = 1\n";
    assert_eq!(
        changes(
            Consumer::YumRepo,
            before,
            &before
                .replace("= 1", "= 0")
                .replace("http://b/", "http://c/")
        ),
        [
            "[base] baseurl||http://b/|http://c/",
            "[base] gpgcheck||1|0"
        ]
    );
    assert_eq!(
        changes(Consumer::YumRepo, "", "a=b\n[x]\nplanted\n[planted\n"),
        [
            "line 1||-|malformed, 3 bytes (outside of any section)",
            "line 3||-|malformed, 7 bytes (of no known form)",
            "line 4||-|malformed, 8 bytes (something is missing)"
        ]
    );
}

fn keyring(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).expect("base64")
}

#[test]
fn a_key_has_the_fingerprint_that_gpg_prints_and_its_names() {
    let [one, two] = [KEY, TWO_KEYS].map(|text| state(Consumer::TrustedKeys, keyring(text)));
    let said = words(&compare(None, Some(&one)).changes);
    assert!(
        said[0].starts_with(
            "trusted key C7C866571A09BE08683E378333C5D288C75C0151||-|\
             Example Archive <archive@example.org>, signatures SHA256:"
        ),
        "{said:?}"
    );
    let said = words(&compare(Some(&one), Some(&two)).changes);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with(
        "key DEFA5144C7EED15C946A116CFD694C1AC2BB0BF6 below C7C866571A09BE08683E378333C5D288C75C0151||-|signatures "
    ), "{said:?}");
}

#[test]
fn an_armoured_key_is_the_same_key() {
    let lines: Vec<&str> = KEY
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).expect("ASCII"))
        .collect();
    let armoured = format!(
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\n{}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n",
        lines.join("\n")
    );
    let [binary, armoured] =
        [keyring(KEY), armoured.into_bytes()].map(|it| state(Consumer::TrustedKeys, it));
    let said = compare(Some(&binary), Some(&armoured));
    assert!(
        words(&said.changes)[0].starts_with("file|layout"),
        "{said:?}"
    );
}

#[test]
fn what_is_no_keyring_is_told_by_its_length_and_found_for_there_may_be_a_key_in_it() {
    let mut cut = keyring(KEY);
    cut.truncate(100);
    // A private key below a public one: nothing of it is kept.
    let mut private = keyring(KEY);
    private.extend([0xc5, 3, 4, 0, 0]);
    let one = state(Consumer::TrustedKeys, keyring(KEY));
    for content in [cut, b"no key\n".to_vec(), private] {
        let reading = read(Consumer::TrustedKeys, &content, &Keyed);
        assert!(reading.secrets);
        let said = words(&compare(None, Some(&reading.state)).changes);
        let expected = format!(
            "line 1||-|malformed, {} bytes (of no known form)",
            content.len()
        );
        assert_eq!(said, [expected]);
        let found = findings::find(Some(&one), Some(&reading.state));
        assert_eq!(found[0].id, "not-understood");
    }
    let empty = state(Consumer::TrustedKeys, "\n");
    assert!(findings::find(Some(&one), Some(&empty)).is_empty());
}

#[test]
fn a_keyring_that_is_made_too_long_to_be_understood_is_found() {
    let one = read(Consumer::TrustedKeys, &keyring(KEY), &Keyed);
    assert!(!one.secrets);
    // A packet of padding behind the keys.
    let long = [&keyring(KEY)[..], &vec![0; 1 << 20]].concat();
    let after = read(Consumer::TrustedKeys, &long, &Keyed);
    assert!(after.secrets);
    let found = findings::find(Some(&one.state), Some(&after.state));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, "not-understood");
}
