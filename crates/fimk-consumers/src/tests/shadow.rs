//! shadow(5)
use super::{DES, SHA512, YESCRYPT, assert_hidden, compared, words};
use crate::Consumer;

fn line(password: &str) -> String {
    format!("root:{password}:20000:0:99999:7:::\n")
}

fn changes(before: &str, after: &str) -> Vec<String> {
    words(&compared(Consumer::Shadow, before, after).changes)
}

fn password(before: &str, after: &str) -> Vec<String> {
    changes(&line(before), &line(after))
}

#[test]
fn a_changed_hash_of_the_same_length_and_end_is_a_change() {
    let other = SHA512.replace("zVqIMe", "qVzeMI");
    let said = password(SHA512, &other);
    assert_eq!(
        said,
        ["user root|password|[redacted 1] (SHA-512)|[redacted 2] (SHA-512)"]
    );
    assert_hidden(SHA512, &said.concat());
}

#[test]
fn locking_is_told_from_changing() {
    let locked = format!("!{YESCRYPT}");
    assert_eq!(
        password(YESCRYPT, &locked),
        ["user root|password|set, yescrypt|locked"]
    );
    assert_eq!(
        password(&locked, YESCRYPT),
        ["user root|password|locked|set, yescrypt"]
    );
    assert_eq!(
        password(&locked, SHA512),
        [
            "user root|password|locked, [redacted 1] (yescrypt)|[redacted 2] (SHA-512), weaker than before"
        ]
    );
    let twice = format!("!{locked}");
    let said = password(&locked, &twice).concat();
    assert!(
        said.contains("locked, marked !") && said.contains("marked !!"),
        "{said}"
    );
}

#[test]
fn every_form_of_no_password_has_its_words() {
    for marks in ["*", "!", "!!", "!*", "*LK*", "*NP*"] {
        assert_eq!(
            password(marks, ""),
            ["user root|password|none (cannot log in by password)|empty (no password needed)"]
        );
    }
    assert!(password("!", "*").concat().contains("marked *"));
}

#[test]
fn algorithms_are_named_by_prefix() {
    let bsdi = format!("_{}", "J9..abcdefghijklmnop".get(..19).unwrap_or_default());
    for (hash, name) in [
        (YESCRYPT, "yescrypt"),
        ("$gy$j9T$abcdefgh$abcdefgh", "gost-yescrypt"),
        ("$7$CU..../....abcdefgh", "scrypt"),
        (SHA512, "SHA-512"),
        ("$5$abcdefgh$abcdefgh", "SHA-256"),
        ("$2y$12$abcdefghabcdefgh", "bcrypt"),
        ("$1$abcdefgh$abcdefgh", "MD5"),
        ("$md5,rounds=9$abcdefgh", "Sun MD5"),
        ("$sha1$4$abcdefgh", "SHA-1"),
        ("$3$$abcdefghabcdefgh", "NT"),
        (DES, "DES"),
        (&bsdi, "BSDi DES"),
        ("x", "unknown form"),
        ("plain text", "unknown form"),
    ] {
        let said = password("*", hash);
        assert_eq!(
            said,
            [format!(
                "user root|password|none (cannot log in by password)|set, {name}"
            )]
        );
    }
}

#[test]
fn a_weaker_algorithm_is_said_to_be_weaker_and_a_stronger_one_is_not() {
    let said = password(YESCRYPT, "$1$abcdefgh$abcdefgh");
    assert_eq!(
        said,
        ["user root|password|[redacted 1] (yescrypt)|[redacted 2] (MD5), weaker than before"]
    );
    for (before, after) in [
        (SHA512, YESCRYPT),
        (SHA512, "plain"),
        ("plain", DES),
        (YESCRYPT, "$7$CU..../....abcdefgh"),
    ] {
        assert!(!password(before, after).concat().contains("weaker"));
    }
}

#[test]
fn a_new_user_with_an_empty_password_is_said_to_need_none() {
    let after = format!("{}toor::20778:0:99999:7::20779:\n", line("*"));
    assert_eq!(
        changes(&line("*"), &after),
        [
            "user toor||-|password empty (no password needed), last change 2026-11-21, expires 2026-11-22"
        ]
    );
}

#[test]
fn ageing_is_said_in_days_and_dates() {
    let after = "root:*:0:1:::30:20778:\n";
    assert_eq!(
        changes(&line("*"), after),
        [
            "user root|last change|2024-10-04|0 (must be changed at the next login)",
            "user root|minimum days|0|1",
            "user root|maximum days|99999|-",
            "user root|warning days|7|-",
            "user root|inactive days|-|30",
            "user root|expires|-|2026-11-21",
        ]
    );
}

#[test]
fn short_lines_are_reported_and_hidden() {
    let after = format!("{}root2:{SHA512}\n\nroot3\nroot4:*:soon::::::\n", line("*"));
    let said = changes(&line("*"), &after);
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].starts_with("line 2||-|malformed, "));
    assert_hidden(SHA512, &said.concat());
}
